//! The manual page of the configuration file, made of its schema and of the file that packages install.

use std::io;

use clap_mangen::roff::{Roff, bold, italic, roman};
use serde_json::Value;

use crate::config;

/// What `stopbank man` calls it.
pub(super) const NAME: &str = "stopbank.toml";
/// The file of the page.
pub(super) const FILE: &str = "stopbank.toml.5";

const DESCRIPTION: &[&str] = &[
    "The agent reads one TOML file, and after it every *.toml in the directory conf.d beside it, by name. Every key is optional but the \
     interfaces; a key that is not known is an error, as is whatever has no meaning here, and errors name file, line, column and what is \
     allowed.",
    "A changed file is in force after `systemctl reload stopbank` or `stopbank reload`, as a whole or not at all. `stopbank config check` reads one \
     without putting it in force, `stopbank config diff` says what it would change, and `stopbank config apply --confirm 2m` takes it back unless it \
     is confirmed.",
];

/// The page.
pub(super) fn page() -> io::Result<Vec<u8>> {
    let mut roff = Roff::new();
    let source = concat!("stopbank ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [NAME, "5", "", source, "stopbank"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("stopbank.toml - configuration of the stopbank agent")]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([italic(config::DEFAULT_PATH)]);
    roff.control("br", []);
    roff.text([italic("/etc/stopbank/conf.d/*.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    for (number, paragraph) in DESCRIPTION.iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*paragraph)]);
    }
    roff.control("SH", ["KEYS"]);
    keys(&mut roff, &config::schema(), "");
    roff.control("SH", ["EXAMPLE"]);
    roff.control("nf", []);
    for line in config::DEFAULT.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("stopbank(1), stopbank-config(1), stopbank-run(1)")]);
    let mut text = Vec::new();
    roff.to_writer(&mut text)?;
    Ok(text)
}

/// The keys of a table that are no tables themselves, then those of each table in it.
fn keys(roff: &mut Roff, schema: &Value, path: &str) {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let (tables, values): (Vec<_>, Vec<_>) = properties.partition(|(_, schema)| table(schema).is_some());
    for (key, schema) in values {
        roff.control("TP", []);
        let mut term = vec![bold(key.as_str())];
        let kind = kind(schema);
        if !kind.is_empty() {
            term.extend([roman(" = "), italic(kind)]);
        }
        roff.text(term);
        roff.text([roman(description(schema))]);
    }
    for (key, schema) in tables {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let (inner, heading) = match table(schema) {
            Some((inner, true)) => (inner, format!("[[{path}]]")),
            Some((inner, false)) => (inner, format!("[{path}]")),
            None => continue,
        };
        roff.control("SS", [heading.as_str()]);
        roff.text([roman(description(inner))]);
        keys(roff, inner, &path);
    }
}

/// The schema of a table, or of each table of an array of them (then `true`).
fn table(schema: &Value) -> Option<(&Value, bool)> {
    if schema["properties"].is_object() {
        return Some((schema, false));
    }
    let items = &schema["items"];
    items["properties"].is_object().then_some((items, true))
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().map(|text| format!("{text}.")).unwrap_or_default()
}

/// What may stand behind the `=`.
fn kind(schema: &Value) -> String {
    if let Some(allowed) = schema["enum"].as_array() {
        return allowed.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    if let Some(constant) = schema.get("const") {
        return constant.to_string();
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let mut kinds: Vec<String> = any.iter().map(kind).filter(|kind| !kind.is_empty()).collect();
        kinds.dedup();
        return kinds.join(" | ");
    }
    match schema["type"].as_str() {
        Some("array") => {
            let items = kind(&schema["items"]);
            if items.is_empty() { "[…]".to_owned() } else { format!("[{items}, …]") }
        }
        Some("integer") => match (&schema["minimum"], &schema["maximum"]) {
            (Value::Number(least), Value::Number(most)) => format!("{least} to {most}"),
            _ => "number".to_owned(),
        },
        Some("boolean") => "true | false".to_owned(),
        Some("object") => "table".to_owned(),
        Some(other) => other.to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_known_stands_in_the_page() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        let mut missing = Vec::new();
        every_key(&config::schema(), &mut |key| {
            if !page.contains(&format!("\\fB{}\\fR", key.replace('-', "\\-")))
                && !page.contains(&format!("{key}]"))
            {
                missing.push(key.to_owned());
            }
        });
        assert!(missing.is_empty(), "{missing:?} of {page}");
        for part in [
            "[[class]]",
            "[class.per_source]",
            "[[class.per_prefix]]",
            "\"observe\" | \"enforce\"",
            ".SH EXAMPLE",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
    }

    fn every_key(schema: &Value, see: &mut dyn FnMut(&str)) {
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            see(key);
            if let Some((inner, _)) = table(schema) {
                every_key(inner, see);
            }
        }
    }
}
