//! Reading `[[class]]`: names, what a class claims, and that nothing is claimed twice.

use std::collections::BTreeMap;

use stopbank_common::{hash::class_salt, parse::protocol, policy::MAX_CLASSES};
use toml::de::DeValue;

use super::{
    document::{Diagnostics, Table, Value, did_you_mean},
    limits,
    model::{Claim, Class, Config, PortRange},
};
use crate::lists::printable;

/// Classes that a configuration may have, the two reserved ones not included.
pub(super) const MOST_CLASSES: usize = MAX_CLASSES - 2;
/// Longest name, in bytes: it is a metric's label and a table's column.
const LONGEST_NAME: usize = 32;

/// Keys that say what a class claims.
pub(super) const CLAIM_KEYS: [&str; 3] = ["name", "protocol", "ports"];
/// Protocols that have a name.
pub(super) const PROTOCOLS: [&str; 5] = ["tcp", "udp", "icmp", "fragments", "amplifiers"];
const PROTOCOL_HELP: &str = "allowed: \"tcp\", \"udp\", \"icmp\" (ICMP and ICMPv6), \"fragments\" (later fragments, which carry no ports), \"amplifiers\" (UDP from amplifiers to ports that no class names), or the number of another IP protocol, such as 47 for GRE";

/// Reads every `[[class]]`.
pub(super) fn read(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<Class> {
    let help = "write a block for each class:  [[class]]  name = \"web\"";
    let mut classes = Vec::new();
    let mut names = Names::default();
    let mut claims = Claims::default();
    for (i, item) in diagnostics.array("class", value, help).iter().enumerate() {
        if i == MOST_CLASSES {
            diagnostics.push(
                item.span(),
                "there are too many classes",
                format!("allowed: at most {MOST_CLASSES}"),
            );
            break;
        }
        if let Some(class) = class(item, &mut names, &mut claims, diagnostics) {
            classes.push(class);
        }
    }
    classes
}

fn class(
    item: &Value<'_>,
    names: &mut Names,
    claims: &mut Claims,
    diagnostics: &mut Diagnostics,
) -> Option<Class> {
    let keys: Vec<&str> = CLAIM_KEYS.into_iter().chain(limits::CLASS_KEYS).collect();
    let table = Table::of("[[class]]", item, &keys, diagnostics)?;
    let name = match table.get("name") {
        Some(value) => names.read(value, diagnostics),
        None => {
            diagnostics.push(table.span(), "this [[class]] has no `name`", "add one: name = \"web\"");
            None
        }
    };
    // A class whose name is wrong claims all the same: what clashes with it is told by the name as it was written.
    let written = table.get("name").and_then(|value| value.get_ref().as_str()).unwrap_or("without a name");
    let shown = &printable(written, 40);
    let claim = match table.get("protocol") {
        Some(value) => claim(shown, value, &table, claims, diagnostics),
        None => {
            diagnostics.push(table.span(), "this [[class]] has no `protocol`", PROTOCOL_HELP);
            None
        }
    };
    // What cannot be told claims nothing that could clash; the limits are checked all the same.
    let mut class = Class::new(shown, claim.clone().unwrap_or(Claim::Rest));
    limits::of_class(&table, &class.name.clone(), &mut class, diagnostics);
    (name.is_some() && claim.is_some()).then_some(class)
}

/// Names taken so far, by the salt that the kernel knows them by.
#[derive(Default)]
struct Names {
    by_salt: BTreeMap<u32, String>,
}

impl Names {
    fn read(&mut self, value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
        let help =
            "allowed: 1 to 32 lower-case letters, digits, `-` and `_`, beginning with a letter or digit";
        let name = diagnostics.string("name", value, help)?;
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = name.len() <= LONGEST_NAME
            && name.bytes().next().is_some_and(plain)
            && name.bytes().all(|c| plain(c) || c == b'-' || c == b'_');
        if !valid {
            diagnostics.push(
                value.span(),
                format!("\"{}\" is no name for a class", printable(name, 40)),
                help,
            );
            return None;
        }
        if name == Config::DEFAULT_CLASS || name == Config::NO_CLASS {
            let help = if name == Config::DEFAULT_CLASS {
                "what no class claims is configured in [default]"
            } else {
                "packets judged before they have a class are counted as `none`"
            };
            diagnostics.push(value.span(), format!("the name \"{name}\" is reserved"), help);
            return None;
        }
        let salt = class_salt(name);
        let reserved = [Config::DEFAULT_CLASS, Config::NO_CLASS].iter().any(|name| class_salt(name) == salt);
        match self.by_salt.insert(salt, name.to_owned()) {
            Some(other) if other == name => {
                diagnostics.push(
                    value.span(),
                    format!("class `{name}` stands twice"),
                    "give each class a name of its own",
                );
                None
            }
            Some(other) => {
                diagnostics.push(
                    value.span(),
                    format!("the names `{name}` and `{other}` have the same hash"),
                    "choose another name; this is a rare accident",
                );
                None
            }
            None if reserved || salt == 0 => {
                diagnostics.push(
                    value.span(),
                    format!("the hash of the name `{name}` is taken"),
                    "choose another name; this is a rare accident",
                );
                None
            }
            None => Some(name.to_owned()),
        }
    }
}

/// What is claimed so far, and by which class.
struct Claims {
    owners: Vec<String>,
    /// Index into `owners`, plus one; TCP and UDP.
    ports: [Vec<u8>; 2],
    /// TCP and UDP classes without ports.
    rest: [Option<String>; 2],
    protocols: BTreeMap<u8, String>,
    /// Claims of which there can be one.
    only: BTreeMap<&'static str, String>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            owners: Vec::new(),
            ports: [vec![0; 65_536], vec![0; 65_536]],
            rest: [None, None],
            protocols: BTreeMap::new(),
            only: BTreeMap::new(),
        }
    }
}

fn claim(
    name: &str,
    value: &Value<'_>,
    table: &Table<'_, '_>,
    claims: &mut Claims,
    diagnostics: &mut Diagnostics,
) -> Option<Claim> {
    let transport = match value.get_ref() {
        DeValue::String(text) => match text.as_ref() {
            "tcp" => Some(0),
            "udp" => Some(1),
            "icmp" => None,
            "fragments" => {
                return claims.only("fragments", Claim::Fragments, name, value, table, diagnostics);
            }
            "amplifiers" => {
                return claims.only("amplifiers", Claim::Answers, name, value, table, diagnostics);
            }
            other => {
                let mut help = vec![PROTOCOL_HELP.to_owned()];
                help.extend(
                    did_you_mean(other, PROTOCOLS.into_iter())
                        .map(|meant| format!("did you mean \"{meant}\"?")),
                );
                diagnostics.push_all(
                    value.span(),
                    format!("`protocol` is \"{}\"", printable(other, 40)),
                    help,
                );
                return None;
            }
        },
        _ => return other_protocol(name, value, table, claims, diagnostics),
    };
    let Some(transport) = transport else {
        refuse_ports(table, "icmp", diagnostics);
        for number in [protocol::ICMP, protocol::ICMPV6] {
            claims.protocol(number, name, value, diagnostics)?;
        }
        return Some(Claim::Icmp);
    };
    let make = if transport == 0 { Claim::Tcp } else { Claim::Udp };
    match table.get("ports") {
        Some(ports) => claims.ports(transport, name, ports, diagnostics).map(make),
        None => {
            if let Some(other) = &claims.rest[transport] {
                diagnostics.push(
                    value.span(),
                    format!("classes `{other}` and `{name}` both claim every port that is left"),
                    "give one of them `ports`",
                );
                return None;
            }
            claims.rest[transport] = Some(name.to_owned());
            Some(make(Vec::new()))
        }
    }
}

fn other_protocol(
    name: &str,
    value: &Value<'_>,
    table: &Table<'_, '_>,
    claims: &mut Claims,
    diagnostics: &mut Diagnostics,
) -> Option<Claim> {
    let number = diagnostics.integer("protocol", value, 0..=255, PROTOCOL_HELP)?;
    let number = u8::try_from(number).ok()?;
    let word = match number {
        protocol::TCP => Some("tcp"),
        protocol::UDP => Some("udp"),
        protocol::ICMP | protocol::ICMPV6 => Some("icmp"),
        _ => None,
    };
    if let Some(word) = word {
        diagnostics.push(
            value.span(),
            format!("protocol {number} has a name"),
            format!("write protocol = \"{word}\""),
        );
        return None;
    }
    refuse_ports(table, &format!("protocol {number}"), diagnostics);
    claims.protocol(number, name, value, diagnostics)?;
    Some(Claim::Protocol(number))
}

fn refuse_ports(table: &Table<'_, '_>, what: &str, diagnostics: &mut Diagnostics) {
    if let Some(ports) = table.get("ports") {
        diagnostics.push(
            ports.span(),
            format!("`ports` with {what}, which has none"),
            "ports go with protocol = \"tcp\" or \"udp\"",
        );
    }
}

impl Claims {
    fn only(
        &mut self,
        what: &'static str,
        claim: Claim,
        name: &str,
        value: &Value<'_>,
        table: &Table<'_, '_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Claim> {
        refuse_ports(table, what, diagnostics);
        if let Some(other) = self.only.get(what) {
            diagnostics.push(
                value.span(),
                format!("{what} are claimed by class `{other}` already"),
                "a packet belongs to one class",
            );
            return None;
        }
        self.only.insert(what, name.to_owned());
        Some(claim)
    }

    fn protocol(
        &mut self,
        number: u8,
        name: &str,
        value: &Value<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<()> {
        if let Some(other) = self.protocols.get(&number) {
            diagnostics.push(
                value.span(),
                format!("protocol {number} is claimed by class `{other}` already"),
                "a packet belongs to one class",
            );
            return None;
        }
        self.protocols.insert(number, name.to_owned());
        Some(())
    }

    fn ports(
        &mut self,
        transport: usize,
        name: &str,
        value: &Value<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<PortRange>> {
        let help = "an array of ports and ranges: ports = [80, 443, \"8000-8010\"]";
        let items = diagnostics.array("ports", value, help);
        if items.is_empty() && value.get_ref().is_array() {
            diagnostics.push(
                value.span(),
                "`ports` is empty",
                "name ports, or leave `ports` out to claim every port that no other class claims",
            );
            return None;
        }
        self.owners.push(name.to_owned());
        let owner = u8::try_from(self.owners.len()).ok()?;
        let before = items.len();
        let ranges: Vec<PortRange> = items
            .iter()
            .filter_map(|item| {
                let range = port_range(item, diagnostics)?;
                self.take(transport, owner, range, item, diagnostics).then_some(range)
            })
            .collect();
        (ranges.len() == before && before > 0).then_some(ranges)
    }

    /// Claims the ports of a range up to the first that is taken.
    fn take(
        &mut self,
        transport: usize,
        owner: u8,
        range: PortRange,
        item: &Value<'_>,
        diagnostics: &mut Diagnostics,
    ) -> bool {
        for port in range.first..=range.last {
            let place = &mut self.ports[transport][usize::from(port)];
            if *place == 0 {
                *place = owner;
                continue;
            }
            let protocol = ["tcp", "udp"][transport];
            let (message, help) = if *place == owner {
                (format!("{protocol} port {port} stands twice in this class"), "name each port once")
            } else {
                let other = &self.owners[usize::from(*place) - 1];
                (
                    format!("{protocol} port {port} is claimed by class `{other}` already"),
                    "a packet belongs to one class",
                )
            };
            diagnostics.push(item.span(), message, help);
            return false;
        }
        true
    }
}

pub(super) fn port_range(item: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<PortRange> {
    const HELP: &str = "allowed: a port from 1 to 65535, or a range such as \"8000-8010\"";
    if item.get_ref().is_integer() {
        let port = diagnostics.integer("ports", item, 1..=65_535, HELP)?;
        let port = u16::try_from(port).ok()?;
        return Some(PortRange { first: port, last: port });
    }
    let text = diagnostics.string("ports", item, HELP)?;
    let port =
        |digits: &str| digits.trim().parse::<u16>().ok().filter(|&port| port > 0 && !digits.contains('+'));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Some(PortRange { first, last }),
        (Some(first), Some(last)) => {
            let meant = format!("did you mean \"{last}-{first}\"?");
            diagnostics.push_all(
                item.span(),
                format!("the range \"{first}-{last}\" runs backwards"),
                vec![HELP.to_owned(), meant],
            );
            None
        }
        _ => {
            diagnostics.push(
                item.span(),
                format!("\"{}\" is no port and no range", printable(text, 40)),
                HELP,
            );
            None
        }
    }
}
