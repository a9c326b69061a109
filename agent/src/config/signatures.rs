//! `[[signature]]`: what packets of known attacks look like, and the classes that name them.

mod counters;
mod fields;
mod pattern;
mod possible;
mod show;

use stopbank_common::{
    hash::class_salt,
    policy::MAX_SIGNATURES,
    signature::{Signature, field},
};
use toml::{Spanned, de::DeValue};

use super::{
    document::{Diagnostics, Table, Value, did_you_mean},
    model::{Class, Config, SignatureRule},
};
use crate::lists::printable;
pub use counters::SignatureCounters;
pub(super) use counters::number;
pub(super) use pattern::{FROM as PAYLOAD_FROM, KEYS as PAYLOAD_KEYS};
pub(super) use show::show;

pub(super) const KEYS: [&str; 12] = [
    "name",
    "observe",
    "payload",
    "length",
    "payload_length",
    "ttl",
    "source_ports",
    "tcp_flags",
    "tcp_window",
    "tcp_options",
    "icmp",
    "icmpv6",
];

/// Reads all blocks.
pub(super) fn read(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<SignatureRule> {
    let help = "write a block for each signature:  [[signature]]  name = \"probe\"  ttl = \"250..255\"";
    let mut rules: Vec<SignatureRule> = Vec::new();
    for (i, item) in diagnostics.array("signature", value, help).iter().enumerate() {
        if i == MAX_SIGNATURES {
            let allowed = format!("allowed: at most {MAX_SIGNATURES}");
            diagnostics.push(item.span(), "there are too many signatures", allowed);
            break;
        }
        let Some(table) = Table::of("[[signature]]", item, &KEYS, diagnostics) else { continue };
        let Some(rule) = one(&table, diagnostics) else { continue };
        if rules.iter().any(|other| other.name == rule.name) {
            let span = table.get("name").map_or_else(|| table.span(), Spanned::span);
            let message = format!("signature `{}` stands twice", rule.name);
            diagnostics.push(span, message, "give each a name of its own");
            continue;
        }
        if let Some(other) = same_hash(&rules, &rule.name) {
            let span = table.get("name").map_or_else(|| table.span(), Spanned::span);
            let message = format!("the hash of the name `{}` is taken{other}", rule.name);
            diagnostics.push(span, message, "choose another name; this is a rare accident");
            continue;
        }
        rules.push(rule);
    }
    rules
}

/// The kernel knows signatures by hashes of their names, of which 0 is none.
fn same_hash(rules: &[SignatureRule], name: &str) -> Option<String> {
    let salt = class_salt(name);
    let other = rules.iter().find(|other| class_salt(&other.name) == salt);
    other.map(|other| format!(" by `{}`", other.name)).or_else(|| (salt == 0).then(String::new))
}

fn one(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Option<SignatureRule> {
    let name = match table.get("name") {
        Some(value) => name(value, diagnostics),
        None => {
            diagnostics.push(table.span(), "this [[signature]] has no `name`", "add one: name = \"probe\"");
            None
        }
    };
    let before = diagnostics.count();
    let mut matches = fields::read(table, diagnostics);
    if let Some(value) = table.get("payload") {
        pattern::read(value, &mut matches, diagnostics);
    }
    if diagnostics.count() == before {
        consistent(table, &matches, diagnostics);
    }
    if let Some(value) = table.get("observe")
        && diagnostics.boolean("observe", value) == Some(true)
    {
        matches.fields |= field::OBSERVE;
    }
    Some(SignatureRule { name: name?, matches })
}

/// It asks for something, and for nothing that excludes something else.
fn consistent(table: &Table<'_, '_>, matches: &Signature, diagnostics: &mut Diagnostics) {
    let fields = matches.fields;
    if fields == 0 {
        let help = format!("ask for something: {}", KEYS[2..].join(", "));
        diagnostics.push(table.span(), "this [[signature]] would match every packet", help);
    }
    let kinds = [field::TCP, field::ICMP, field::ICMPV6].iter().filter(|kind| fields & **kind != 0).count();
    let ports_of_icmp = fields & field::SOURCE_PORTS != 0 && fields & (field::ICMP | field::ICMPV6) != 0;
    if kinds > 1 || ports_of_icmp {
        diagnostics.push(
            table.span(),
            "this [[signature]] can match no packet",
            "a packet is TCP, ICMP or ICMPv6, and only TCP and UDP have ports",
        );
    } else if let Some(possible::Objection { key, message, help }) = possible::by_itself(matches) {
        let span = table.get(key).map_or_else(|| table.span(), Spanned::span);
        diagnostics.push(span, format!("this [[signature]] can match no packet: {message}"), help);
    }
}

fn name(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let help = "allowed: 1 to 32 characters of a-z, 0-9, `-` and `_`";
    let name = diagnostics.string("name", value, help)?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(allowed) {
        let message = format!("\"{}\" is no name of a signature", printable(name, 40));
        diagnostics.push(value.span(), message, help);
        return None;
    }
    Some(name.to_owned())
}

/// `signatures` of `[default]` and of every `[[class]]`, once all blocks are read.
pub(super) fn of_classes(
    default: Option<&Value<'_>>,
    classes: Option<&Value<'_>>,
    config: &mut Config,
    diagnostics: &mut Diagnostics,
) {
    let classes = classes.and_then(|value| value.get_ref().as_array()).into_iter().flatten();
    for (is_default, item) in
        default.map(|item| (true, item)).into_iter().chain(classes.map(|item| (false, item)))
    {
        let Some(table) = item.get_ref().as_table() else { continue };
        let Some(value) = table.get("signatures") else { continue };
        let name = table.get("name").and_then(|name| name.get_ref().as_str());
        let class = if is_default {
            Some(&mut config.default)
        } else {
            config.classes.iter_mut().find(|class| Some(class.name.as_str()) == name)
        };
        let chosen = chosen(value, &config.signatures, class.as_deref(), diagnostics);
        if let Some(class) = class {
            class.signatures = chosen;
        }
    }
}

/// The signatures that a class names; one that no packet of the class can match is an error.
fn chosen(
    value: &Value<'_>,
    known: &[SignatureRule],
    class: Option<&Class>,
    diagnostics: &mut Diagnostics,
) -> Vec<String> {
    let help = "an array of names of [[signature]] blocks: signatures = [\"probe\"]";
    let mut chosen: Vec<String> = Vec::new();
    for item in diagnostics.array("signatures", value, help) {
        let Some(name) = diagnostics.string("signatures", item, help) else { continue };
        if chosen.iter().any(|other| other == name) {
            diagnostics.push(item.span(), format!("signature `{name}` stands twice"), "name each once");
        } else if let Some(rule) = known.iter().find(|rule| rule.name == name) {
            chosen.push(name.to_owned());
            let objection = class.and_then(|class| possible::in_class(class, name, &rule.matches));
            if let Some((message, help)) = objection {
                diagnostics.push(item.span(), message, help);
            }
        } else {
            let mut help = vec!["write a block for it: [[signature]]".to_owned()];
            help.extend(
                did_you_mean(name, known.iter().map(|rule| rule.name.as_str()))
                    .map(|meant| format!("did you mean \"{meant}\"?")),
            );
            let message = format!("there is no [[signature]] \"{}\"", printable(name, 40));
            diagnostics.push_all(item.span(), message, help);
        }
    }
    chosen
}

/// A number, or a string.
fn text_of(value: &Value<'_>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}
