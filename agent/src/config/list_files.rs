//! `[[list]]`: files of prefixes.

use super::{
    document::{Diagnostics, Table, Value},
    model::{ListAction, ListFile},
    read::path,
};
use crate::lists::{feeds::Format, printable};

/// Files that a configuration may name.
pub(super) const MOST: usize = 64;
/// Countries or autonomous systems of one list.
const MOST_CHOSEN: usize = 4096;
pub(super) const KEYS: [&str; 6] = ["name", "path", "format", "action", "countries", "asns"];

pub(super) const ACTIONS: [(&str, ListAction); 2] =
    [("deny", ListAction::Deny), ("allow", ListAction::Allow)];

/// Reads all blocks.
pub(super) fn read(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<ListFile> {
    let help = "write a block for each file:  [[list]]  name = \"drop\"  path = \"/…\"  action = \"deny\"";
    let mut lists: Vec<ListFile> = Vec::new();
    for (i, item) in diagnostics.array("list", value, help).iter().enumerate() {
        if i == MOST {
            diagnostics.push(item.span(), "there are too many lists", format!("allowed: at most {MOST}"));
            break;
        }
        let Some(table) = Table::of("[[list]]", item, &KEYS, diagnostics) else { continue };
        let Some(list) = one(&table, diagnostics) else { continue };
        if lists.iter().any(|other| other.name == list.name) {
            let span = table.get("name").map_or_else(|| table.span(), toml::Spanned::span);
            diagnostics.push(
                span,
                format!("list `{}` stands twice", list.name),
                "give each a name of its own",
            );
            continue;
        }
        lists.push(list);
    }
    lists
}

fn one(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Option<ListFile> {
    let mut required = |key: &str, example: &str| {
        let value = table.get(key);
        if value.is_none() {
            diagnostics.push(
                table.span(),
                format!("this [[list]] has no `{key}`"),
                format!("add one: {example}"),
            );
        }
        value
    };
    let values = (
        required("name", "name = \"drop\""),
        required("path", "path = \"/var/lib/stopbank/lists/drop.txt\""),
        required("action", "action = \"deny\""),
    );
    let name = values.0.and_then(|value| name(value, diagnostics));
    let file = values.1.and_then(|value| path("path", value, "the absolute path of a file", diagnostics));
    let action = values.2.and_then(|value| diagnostics.choice("action", value, &ACTIONS));
    let format = match table.get("format") {
        Some(value) => diagnostics.choice("format", value, &Format::NAMES).unwrap_or(Format::Auto),
        None => Format::Auto,
    };
    let countries = countries(table, diagnostics);
    let asns = asns(table, diagnostics);
    let chosen = !countries.is_empty() || !asns.is_empty();
    if format != Format::Auto && format.chooses() != chosen {
        let (message, help) = if chosen {
            (
                "`countries` and `asns` say nothing of this format",
                "allowed with: \"iptoasn\", \"mmdb\", \"auto\"",
            )
        } else {
            ("this format needs `countries` or `asns`", "add: countries = [\"XX\"], or asns = [64500]")
        };
        diagnostics.push(table.span(), message, help);
    }
    Some(ListFile { name: name?, path: file?, format, action: action?, countries, asns })
}

/// It is a label of metrics.
fn name(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let help = "allowed: 1 to 32 characters of a-z, 0-9, `-` and `_`";
    let name = diagnostics.string("name", value, help)?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(allowed) {
        let message = format!("\"{}\" is no name of a list", printable(name, 40));
        diagnostics.push(value.span(), message, help);
        return None;
    }
    Some(name.to_owned())
}

fn countries(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Vec<String> {
    let help = "an array of two-letter codes (ISO 3166): countries = [\"NZ\", \"AU\"]";
    let Some(value) = table.get("countries") else { return Vec::new() };
    let mut countries = Vec::new();
    for item in diagnostics.array("countries", value, help).iter().take(MOST_CHOSEN) {
        let Some(text) = diagnostics.string("countries", item, help) else { continue };
        if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            countries.push(text.to_ascii_uppercase());
        } else {
            diagnostics.push(
                item.span(),
                format!("\"{}\" is no code of a country", printable(text, 40)),
                help,
            );
        }
    }
    countries.sort();
    countries.dedup();
    countries
}

fn asns(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Vec<u32> {
    let help = "an array of numbers of autonomous systems, from 1 to 4294967295: asns = [64500]";
    let Some(value) = table.get("asns") else { return Vec::new() };
    let mut asns: Vec<u32> = Vec::new();
    for item in diagnostics.array("asns", value, help).iter().take(MOST_CHOSEN) {
        let number = diagnostics.integer("asns", item, 1..=u64::from(u32::MAX), help);
        asns.extend(number.and_then(|number| u32::try_from(number).ok()));
    }
    asns.sort_unstable();
    asns.dedup();
    asns
}
