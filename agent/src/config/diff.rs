//! What differs between two configurations, key by key.
//!
//! Both are written out with every key ([`super::render()`]) and read as TOML again: a key that is written out cannot be
//! forgotten here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use super::{document::Value, model::Config, render};

/// One difference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// The key with the tables and blocks that it stands in: `class.web.per_source.packets`.
    pub key: String,
    /// What it was, as TOML; of an array (prefixes, ports) each element by itself. Left out: it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is to be. Left out: it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// All differences, by key.
pub fn diff(before: &Config, after: &Config) -> Vec<Difference> {
    let (mut old, new) = (flat(before), flat(after));
    let mut found = Vec::new();
    for ((key, element), value) in new {
        let was = old.remove(&(key.clone(), element));
        if was.as_ref() != Some(&value) {
            found.push(Difference { key, before: was, after: Some(value) });
        }
    }
    found.extend(old.into_iter().map(|((key, _), value)| Difference {
        key,
        before: Some(value),
        after: None,
    }));
    found.extend(order(before, after));
    found.sort();
    found
}

/// Signatures are asked in their order: the first that matches counts.
fn order(before: &Config, after: &Config) -> Option<Difference> {
    let common = |of: &Config, other: &Config| -> Vec<String> {
        let names = of.signatures.iter().map(|rule| &rule.name);
        names.filter(|name| other.signatures.iter().any(|rule| rule.name == **name)).cloned().collect()
    };
    let (was, is) = (common(before, after), common(after, before));
    let shown = |names: &[String]| Some(format!("in this order: {}", names.join(", ")));
    (was != is).then(|| Difference { key: "signature".to_owned(), before: shown(&was), after: shown(&is) })
}

/// Every value by its key; those of an array by key and value.
type Flat = BTreeMap<(String, Option<String>), String>;

fn flat(config: &Config) -> Flat {
    let text = render(config);
    let (document, _) = DeTable::parse_recoverable(&text);
    let mut all = Flat::new();
    table(&text, "", document.get_ref(), &mut all);
    all
}

fn table(text: &str, path: &str, table: &DeTable<'_>, all: &mut Flat) {
    for (key, value) in table {
        let key = key.get_ref();
        self::value(
            text,
            &if path.is_empty() { key.to_string() } else { format!("{path}.{key}") },
            value,
            all,
        );
    }
}

fn value(text: &str, path: &str, value: &Value<'_>, all: &mut Flat) {
    let said = text.get(value.span()).unwrap_or_default();
    match value.get_ref() {
        // One in a line of its own is a value: a rate and its burst.
        DeValue::Table(inner) if !said.starts_with('{') => table(text, path, inner, all),
        DeValue::Array(items) => {
            for item in items {
                match item.get_ref() {
                    DeValue::Table(block) => table(text, &format!("{path}.{}", name(block)), block, all),
                    _ => {
                        let said = text.get(item.span()).unwrap_or_default().to_owned();
                        all.insert((path.to_owned(), Some(said.clone())), said);
                    }
                }
            }
        }
        _ => {
            all.insert((path.to_owned(), None), said.to_owned());
        }
    }
}

/// What tells a block from others of its kind: its name, or the prefix lengths that it is for.
fn name(block: &DeTable<'_>) -> String {
    if let Some(name) = block.get("name").and_then(|name| name.get_ref().as_str()) {
        return name.to_owned();
    }
    let length = |key: &str| {
        let bits = block.get(key)?.get_ref().as_integer()?;
        Some(format!("{key}/{}", bits.as_str()))
    };
    ["ipv4", "ipv6"].into_iter().filter_map(length).collect::<Vec<_>>().join("+")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn shown(before: &str, after: &str) -> Vec<String> {
        let (before, after) = (parse("before", before).unwrap(), parse("after", after).unwrap());
        let or = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let line = |one: Difference| format!("{}: {} > {}", one.key, or(one.before), or(one.after));
        diff(&before, &after).into_iter().map(line).collect()
    }

    #[test]
    fn nothing_differs_between_a_configuration_and_itself() {
        assert!(shown("", crate::config::DEFAULT).is_empty());
    }

    #[test]
    fn values_elements_and_blocks_are_told_by_key() {
        let before = r#"
            mode = "observe"
            lists = { deny = ["192.0.2.0/24", "198.51.100.1"] }
            interface = [{ name = "eth0" }]
            signature = [{ name = "a", ttl = 1 }, { name = "b", ttl = 2 }]
            [default]
            [[class]]
            name = "web"
            protocol = "tcp"
            ports = [80]
            per_source = { packets = "5/s" }
            [[class.per_prefix]]
            ipv4 = 24
            packets = "9/s"
        "#;
        let after = r#"
            lists = { deny = ["192.0.2.0/24", "203.0.113.0/24"] }
            interface = [{ name = "eth0", attach = "generic" }, { name = "eth1" }]
            signature = [{ name = "b", ttl = 2 }, { name = "a", ttl = 1 }]
            [default]
            [[class]]
            name = "web"
            protocol = "tcp"
            ports = [80, "443-444"]
            per_source = { packets = { rate = "5/s", burst = 50 } }
            total = { connections = "1/m" }
            [[class.per_prefix]]
            ipv4 = 24
            packets = "9/s"
        "#;
        assert_eq!(
            shown(before, after),
            [
                "class.web.per_source.packets: { rate = \"5/s\", burst = \"5\" } > { rate = \"5/s\", burst = \"50\" }",
                "class.web.ports: - > \"443-444\"",
                "class.web.total.connections: - > { rate = \"1/m\", burst = \"1\" }",
                "class.web.total.proven: - > \"50%\"",
                "interface.eth0.attach: \"native\" > \"generic\"",
                "interface.eth1.attach: - > \"native\"",
                "interface.eth1.name: - > \"eth1\"",
                "interface.eth1.required: - > true",
                "lists.deny: - > \"203.0.113.0/24\"",
                "lists.deny: \"198.51.100.1/32\" > -",
                "mode: \"observe\" > \"enforce\"",
                "signature: in this order: a, b > in this order: b, a",
            ]
        );
        assert_eq!(shown(after, before).len(), 12);
    }

    #[test]
    fn limits_of_prefixes_are_told_by_their_lengths() {
        let class = |rate: &str| {
            format!("[default]\n[[default.per_prefix]]\nipv4 = 24\nipv6 = 48\npackets = \"{rate}\"")
        };
        let shown = shown(&class("5/s"), &class("6/s"));
        assert_eq!(shown.len(), 1);
        assert!(shown[0].starts_with("default.per_prefix.ipv4/24+ipv6/48.packets: "), "{shown:?}");
    }
}
