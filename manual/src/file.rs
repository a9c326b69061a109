//! The manual page of a configuration file.

use std::io;

use clap_mangen::roff::{Roff, bold, italic, roman};
use serde_json::Value;

/// A configuration file, and what its page says.
#[derive(Clone, Debug)]
pub struct File {
    /// The page's name, without the section.
    pub name: &'static str,
    /// What it is, in a few words that begin small.
    pub title: &'static str,
    /// Where it is.
    pub places: &'static [&'static str],
    /// Paragraphs.
    pub description: &'static [&'static str],
    /// JSON Schema of it, whose descriptions are its keys'; without one, the file that is installed is to have all of them.
    pub schema: Option<Value>,
    /// The file that is installed, or another example.
    pub installed: &'static str,
    /// Other pages.
    pub see_also: &'static str,
}

impl File {
    /// The page. `source` is the program with its version, `manual` what the page belongs to.
    pub(crate) fn page(&self, source: &str, manual: &str) -> io::Result<String> {
        let mut roff = Roff::new();
        roff.control("TH", [self.name, "5", "", source, manual]);
        roff.control("SH", ["NAME"]);
        roff.text([roman(format!("{} - {}", self.name, self.title))]);
        roff.control("SH", ["SYNOPSIS"]);
        for (number, place) in self.places.iter().enumerate() {
            if number > 0 {
                roff.control("br", []);
            }
            roff.text([italic(*place)]);
        }
        roff.control("SH", ["DESCRIPTION"]);
        for (number, paragraph) in self.description.iter().enumerate() {
            if number > 0 {
                roff.control("PP", []);
            }
            roff.text([roman(*paragraph)]);
        }
        if let Some(schema) = &self.schema {
            roff.control("SH", ["KEYS"]);
            keys(&mut roff, schema, "");
        }
        roff.control("SH", [if self.schema.is_some() { "EXAMPLE" } else { "KEYS" }]);
        roff.control("nf", []);
        for line in self.installed.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman(self.see_also)]);
        let mut text = Vec::new();
        roff.to_writer(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The names of all keys of a schema, those of tables included: what a page of it has to name.
pub fn key_names(schema: &Value, see: &mut dyn FnMut(&str)) {
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        see(key);
        if let Some((inner, _)) = table(schema) {
            key_names(inner, see);
        }
    }
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
