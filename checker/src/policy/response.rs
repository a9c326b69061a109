//! `[response]`: which headers answers get, and which they lose.

use std::{fmt::Write as _, sync::Arc};

use super::{
    document::{Diagnostics, Table, Value},
    render::{string, strings},
};
use crate::{
    security_headers::{Header, Headers},
    text::printable,
};

pub(super) const KEYS: [&str; 5] = ["preset", "set", "default", "remove", "keep"];

/// What there is to begin with.
#[derive(Clone, Copy)]
pub(super) enum Preset {
    None,
    Basic,
    Api,
}

pub(super) const PRESETS: [(&str, Preset); 3] =
    [("none", Preset::None), ("basic", Preset::Basic), ("api", Preset::Api)];

fn of_preset(preset: Preset) -> Headers {
    match preset {
        Preset::None => Headers::NONE,
        Preset::Basic => Headers::basic(),
        Preset::Api => Headers::api(),
    }
}

/// `"api"`, or a table.
pub(super) fn read(value: &Value<'_>, headers: &mut Arc<Headers>, diagnostics: &mut Diagnostics) {
    if !value.get_ref().is_table() {
        if let Some(preset) = diagnostics.choice("response", value, &PRESETS) {
            *headers = Arc::new(of_preset(preset));
        }
        return;
    }
    let Some(table) = Table::of("response", value, &KEYS, diagnostics) else { return };
    let preset = table.get("preset").and_then(|value| diagnostics.choice("preset", value, &PRESETS));
    let mut made = preset.map_or_else(|| Headers::clone(headers), of_preset);
    for (name, _) in names(&table, "keep", diagnostics) {
        made.remove.retain(|other| *other != name);
        made.set.retain(|other| other.name != name);
    }
    for (name, span) in names(&table, "remove", diagnostics) {
        checked(&Headers { set: Vec::new(), remove: vec![name.clone()] }, span, diagnostics);
        made.set.retain(|other| other.name != name);
        if !made.remove.contains(&name) {
            made.remove.push(name);
        }
    }
    for (key, replace) in [("default", false), ("set", true)] {
        set(&table, key, replace, &mut made, diagnostics);
    }
    made.sort();
    *headers = Arc::new(made);
}

fn names(
    table: &Table<'_, '_>,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, std::ops::Range<usize>)> {
    const HELP: &str = "names of headers: [\"via\", \"x-internal\"]";
    let Some(value) = table.get(key) else { return Vec::new() };
    let items = diagnostics.array(key, value, HELP);
    let mut names = Vec::new();
    for item in items {
        let name = diagnostics.string(key, item, HELP);
        names.extend(name.map(|name| (name.to_ascii_lowercase(), item.span())));
    }
    names
}

fn set(table: &Table<'_, '_>, key: &str, replace: bool, made: &mut Headers, diagnostics: &mut Diagnostics) {
    const HELP: &str = "names of headers with their values: { x-frame-options = \"DENY\" }";
    let Some(value) = table.get(key) else { return };
    let Some(values) = value.get_ref().as_table() else {
        diagnostics.wrong_type(key, value, "a table", HELP);
        return;
    };
    for (name, value) in values {
        let Some(text) = diagnostics.string(key, value, HELP) else { continue };
        let name = name.get_ref().to_ascii_lowercase();
        let header = Header { name, value: text.to_owned(), replace };
        checked(&Headers { set: vec![header.clone()], remove: Vec::new() }, value.span(), diagnostics);
        made.set.retain(|other| other.name != header.name);
        made.remove.retain(|other| *other != header.name);
        made.set.push(header);
    }
}

fn checked(headers: &Headers, span: std::ops::Range<usize>, diagnostics: &mut Diagnostics) {
    if let Err(error) = headers.check() {
        let help = "a header's name is a token, its value is of ASCII; what frames the body is the proxy's";
        diagnostics.push(span, printable(&error.to_string(), 200), help);
    }
}

/// All of it, as a policy has it; nothing where it is the same as `default`.
pub(super) fn render(text: &mut String, prefix: &str, headers: &Headers, default: Option<&Headers>) {
    if default == Some(headers) {
        return;
    }
    let table = |replace: bool| {
        let these = headers.set.iter().filter(|header| header.replace == replace);
        let lines: Vec<String> =
            these.map(|header| format!("{} = {}", string(&header.name), string(&header.value))).collect();
        format!("{{ {} }}", lines.join(", "))
    };
    let _ = writeln!(
        text,
        "\n[{prefix}response]\npreset = \"none\"\nset = {}\ndefault = {}\nremove = {}",
        table(true),
        table(false),
        strings(headers.remove.iter().map(String::as_str))
    );
}
