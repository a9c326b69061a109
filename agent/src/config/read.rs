//! From the document to the [`Config`]: what may stand where, and what it means.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Component, Path, PathBuf},
};

use ipnet::IpNet;
use stopbank_common::{
    Reason,
    policy::{MAX_INTERFACES, MAX_LEVELS},
    reason::Kind,
};
use toml::{Spanned, de::DeTable};

use super::{
    builtin, classes,
    document::{Diagnostics, Table, Value},
    flows, interfaces, limits, list_files,
    model::{
        Agent, Attach, Class, Config, ConfiguredLists, Fragments, LimitSet, Mode, PrefixLength, Role, Source,
    },
    rate::{Period, Quantity, Rate},
    signatures, tunnels,
};
use crate::lists::{parse_prefix, printable};

/// Interfaces that a configuration may name: counter slot 0 is for all others.
pub(super) const MOST_INTERFACES: usize = MAX_INTERFACES - 1;
/// Longest path of a unix socket, in bytes (`sun_path`, less the NUL).
const LONGEST_SOCKET: usize = 107;
/// Most events a second: they are read and counted one by one.
const MOST_EVENTS: u64 = 10_000;

/// Choices.
pub(super) const MODES: [(&str, Mode); 2] = [("observe", Mode::Observe), ("enforce", Mode::Enforce)];
pub(super) const FRAGMENTS: [(&str, Fragments); 2] = [("judge", Fragments::Judge), ("drop", Fragments::Drop)];
pub(super) const ROLES: [(&str, Role); 4] =
    [("auto", Role::Auto), ("host", Role::Host), ("any", Role::Any), ("gateway", Role::Gateway)];
pub(super) const ATTACH: [(&str, Attach); 2] = [("native", Attach::Native), ("generic", Attach::Generic)];

/// Keys of tables.
pub(super) const AGENT_KEYS: [&str; 4] = ["pin_dir", "state_dir", "socket", "metrics"];
pub(super) const INTERFACE_KEYS: [&str; 3] = ["name", "attach", "required"];
pub(super) const SOURCE_KEYS: [&str; 3] = ["ipv4_prefix", "ipv6_prefix", "lines"];
pub(super) const EVENTS_KEYS: [&str; 1] = ["rate"];
pub(super) const LISTS_KEYS: [&str; 2] = ["allow", "deny"];
pub(super) const ROOT_KEYS: [&str; 18] = [
    "mode",
    "role",
    "fragments",
    "udp_needs_socket",
    "observe",
    "manage_sysctls",
    "amplifiers",
    "agent",
    "interface",
    "source",
    "flows",
    "tunnels",
    "events",
    "lists",
    "list",
    "signature",
    "default",
    "class",
];

/// Reads a document; what is wrong goes to `diagnostics`, and the result is of no use if there is any.
pub(super) fn config(document: &Spanned<DeTable<'_>>, diagnostics: &mut Diagnostics) -> Config {
    let root = Table::root(document, &ROOT_KEYS, diagnostics);
    let mut config = Config::builtin();
    if let Some(value) = root.get("mode") {
        config.mode = diagnostics.choice("mode", value, &MODES).unwrap_or(config.mode);
    }
    if let Some(value) = root.get("fragments") {
        config.fragments = diagnostics.choice("fragments", value, &FRAGMENTS).unwrap_or(config.fragments);
    }
    if let Some(value) = root.get("role") {
        config.role = diagnostics.choice("role", value, &ROLES).unwrap_or(config.role);
    }
    if let Some(value) = root.get("udp_needs_socket") {
        config.udp_needs_socket = diagnostics.boolean("udp_needs_socket", value).unwrap_or(false);
    }
    if let Some(value) = root.get("manage_sysctls") {
        config.manage_sysctls = diagnostics.boolean("manage_sysctls", value).unwrap_or(false);
    }
    if let Some(value) = root.get("observe") {
        config.observe = observed(value, diagnostics);
    }
    if let Some(value) = root.get("amplifiers") {
        let help = "an array of UDP ports and ranges: amplifiers = [53, 123, \"27015-27019\"]";
        let items = diagnostics.array("amplifiers", value, help);
        config.amplifiers = items.iter().filter_map(|item| classes::port_range(item, diagnostics)).collect();
    }
    if let Some(value) = root.get("agent") {
        agent(value, &mut config.agent, diagnostics);
    }
    if let Some(value) = root.get("interface") {
        config.interfaces = interfaces::read(value, diagnostics);
    }
    if let Some(value) = root.get("source") {
        source(value, &mut config.source, diagnostics);
    }
    if let Some(value) = root.get("flows") {
        flows::read(value, &mut config.flows, diagnostics);
    }
    if let Some(value) = root.get("tunnels") {
        tunnels::read(value, &mut config.tunnels, diagnostics);
    }
    if let Some(value) = root.get("events") {
        events(value, &mut config.events, diagnostics);
    }
    if let Some(value) = root.get("lists") {
        config.lists = lists(value, diagnostics);
    }
    if let Some(value) = root.get("list") {
        config.list_files = list_files::read(value, diagnostics);
    }
    if let Some(value) = root.get("signature") {
        config.signatures = signatures::read(value, diagnostics);
    }
    config.classes = Vec::new();
    if let Some(value) = root.get("default") {
        default_class(value, &mut config.default, diagnostics);
    }
    if let Some(value) = root.get("class") {
        config.classes = classes::read(value, diagnostics);
        prefix_lengths(&config, value, diagnostics);
    }
    signatures::of_classes(root.get("default"), root.get("class"), &mut config, diagnostics);
    if root.get("default").is_none() {
        // A file with [default] says itself what holds for the rest: nothing built in takes some of that away.
        config.classes.extend(builtin::beside(&config.classes, classes::MOST_CLASSES));
    }
    config
}

/// Reasons of rules that may be told to observe only.
pub(super) fn observable() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|reason| reason.kind() == Kind::Drop && !reason.is_malformed())
}

/// Rules, by the names of their reasons.
fn observed(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<Reason> {
    let choices: Vec<(&str, Reason)> = observable().map(|reason| (reason.name(), reason)).collect();
    let help = "an array of reasons: observe = [\"amplification\", \"no-connection\"]";
    let mut found = Vec::new();
    for item in diagnostics.array("observe", value, help) {
        found.extend(diagnostics.choice("observe", item, &choices));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Prefixes are wider than sources, and there are as many lengths as the kernel takes.
fn prefix_lengths(config: &Config, value: &Value<'_>, diagnostics: &mut Diagnostics) {
    let lengths: BTreeSet<PrefixLength> =
        config.all_classes().flat_map(|class| &class.per_prefix).map(|prefix| prefix.length).collect();
    if lengths.len() >= MAX_LEVELS {
        diagnostics.push(
            value.span(),
            format!("the classes name {} pairs of prefix lengths", lengths.len()),
            format!("allowed: at most {}, the same pairs in every class", MAX_LEVELS - 1),
        );
    }
    let Source { ipv4_prefix, ipv6_prefix, .. } = config.source;
    let too_long = |length: &&PrefixLength| {
        length.ipv4.is_some_and(|bits| bits >= ipv4_prefix)
            || length.ipv6.is_some_and(|bits| bits >= ipv6_prefix)
    };
    if lengths.iter().find(too_long).is_some() {
        diagnostics.push(
            value.span(),
            "a [[class.per_prefix]] is not wider than a source",
            format!(
                "allowed: less than [source] ipv4_prefix ({ipv4_prefix}) and ipv6_prefix ({ipv6_prefix})"
            ),
        );
    }
}

fn agent(value: &Value<'_>, agent: &mut Agent, diagnostics: &mut Diagnostics) {
    let Some(table) = Table::of("[agent]", value, &AGENT_KEYS, diagnostics) else {
        return;
    };
    if let Some(value) = table.get("pin_dir")
        && let Some(path) =
            path("pin_dir", value, "a directory on a BPF file system: \"/sys/fs/bpf/stopbank\"", diagnostics)
    {
        // bpffs refuses names with a dot; better said here than by the kernel at start.
        let dotted = path.components().any(|part| part.as_os_str().as_encoded_bytes().contains(&b'.'));
        if dotted {
            diagnostics.push(
                value.span(),
                "`pin_dir` has a dot in it, which a BPF file system does not take",
                "a directory on a BPF file system: \"/sys/fs/bpf/stopbank\"",
            );
        }
        agent.pin_dir = path;
    }
    if let Some(value) = table.get("state_dir")
        && let Some(path) =
            path("state_dir", value, "a directory that survives a reboot: \"/var/lib/stopbank\"", diagnostics)
    {
        agent.state_dir = path;
    }
    if let Some(value) = table.get("socket")
        && let Some(path) =
            path("socket", value, "the path of a unix socket: \"/run/stopbank/control.sock\"", diagnostics)
    {
        if path.as_os_str().len() > LONGEST_SOCKET {
            diagnostics.push(
                value.span(),
                "`socket` is too long",
                format!("allowed: at most {LONGEST_SOCKET} bytes, which is all that the kernel takes"),
            );
        }
        agent.socket = path;
    }
    if let Some(value) = table.get("metrics") {
        metrics(value, agent, diagnostics);
    }
}

fn metrics(value: &Value<'_>, agent: &mut Agent, diagnostics: &mut Diagnostics) {
    const HELP: &str =
        "allowed: a loopback address and a port, such as \"127.0.0.1:9117\" or \"[::1]:9117\", or \"off\"";
    let Some(text) = diagnostics.string("metrics", value, HELP) else { return };
    if text == "off" {
        agent.metrics = None;
        return;
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => agent.metrics = Some(address),
        Ok(address) => diagnostics.push_all(
            value.span(),
            format!("`metrics` is on {}, which is not a loopback address", address.ip()),
            vec![
                HELP.to_owned(),
                "metrics are served without TLS or a password; to reach them from elsewhere put a reverse proxy in front".to_owned(),
            ],
        ),
        Err(_) => diagnostics.push(
            value.span(),
            format!("`metrics` is \"{}\", which is no address with a port", printable(text, 40)),
            HELP,
        ),
    }
}

/// An absolute path without `..`.
pub(super) fn path(
    what: &str,
    value: &Value<'_>,
    help: &str,
    diagnostics: &mut Diagnostics,
) -> Option<PathBuf> {
    let text = diagnostics.string(what, value, help)?;
    let path = Path::new(text);
    let wrong = if text.contains('\0') {
        Some("holds a NUL character")
    } else if !path.is_absolute() {
        Some("is not an absolute path")
    } else if path.components().any(|part| part == Component::ParentDir) {
        Some("goes up by `..`")
    } else if path.components().count() < 2 {
        Some("is the root directory")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        diagnostics.push(value.span(), format!("`{what}` {wrong}"), help);
        return None;
    }
    Some(path.to_owned())
}

fn source(value: &Value<'_>, source: &mut Source, diagnostics: &mut Diagnostics) {
    let Some(table) = Table::of("[source]", value, &SOURCE_KEYS, diagnostics) else { return };
    let mut prefix = |key, allowed: std::ops::RangeInclusive<u64>, place: &mut u8| {
        let help = format!(
            "allowed: {} to {} (bits of the address that make one source)",
            allowed.start(),
            allowed.end()
        );
        if let Some(value) = table.get(key)
            && let Some(bits) = diagnostics.integer(key, value, allowed, &help)
        {
            *place = u8::try_from(bits).unwrap_or(u8::MAX);
        }
    };
    prefix("ipv4_prefix", 8..=32, &mut source.ipv4_prefix);
    prefix("ipv6_prefix", 16..=128, &mut source.ipv6_prefix);
    let Some(value) = table.get("lines") else { return };
    let help = "allowed: a power of two from 1024 (64 KiB) to 16777216 (1 GiB)";
    if let Some(lines) = diagnostics.integer("lines", value, 1 << 10..=1 << 24, help) {
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        if lines.is_power_of_two() {
            source.lines = lines;
        } else {
            let above = lines.next_power_of_two();
            let nearest = format!("the nearest are {} and {above}", above / 2);
            diagnostics.push_all(
                value.span(),
                format!("`lines` is {lines}, which is not a power of two"),
                vec![help.to_owned(), nearest],
            );
        }
    }
}

fn events(value: &Value<'_>, rate: &mut Rate, diagnostics: &mut Diagnostics) {
    let Some(table) = Table::of("[events]", value, &EVENTS_KEYS, diagnostics) else { return };
    let Some(value) = table.get("rate") else { return };
    let Some(read) = limits::rate("rate", value, Quantity::Count, diagnostics) else { return };
    if read.period != Period::Second || read.count > MOST_EVENTS {
        diagnostics.push(
            value.span(),
            "`rate` of [events] is out of range",
            format!(
                "allowed: \"1/s\" to \"{MOST_EVENTS}/s\"; events are samples, the counters count every packet"
            ),
        );
        return;
    }
    *rate = read;
}

fn lists(value: &Value<'_>, diagnostics: &mut Diagnostics) -> ConfiguredLists {
    let Some(table) = Table::of("[lists]", value, &LISTS_KEYS, diagnostics) else {
        return ConfiguredLists::default();
    };
    let mut seen: BTreeMap<IpNet, &str> = BTreeMap::new();
    let mut read = |key: &'static str| {
        let mut prefixes = BTreeSet::new();
        let help = format!("an array of prefixes: {key} = [\"192.0.2.0/24\", \"2001:db8::/32\"]");
        let Some(value) = table.get(key) else { return Vec::new() };
        for item in diagnostics.array(key, value, &help) {
            let Some(text) = diagnostics.string(key, item, &help) else { continue };
            match parse_prefix(text) {
                Ok(prefix) => match seen.insert(prefix, key) {
                    Some(other) if other != key => diagnostics.push(
                        item.span(),
                        format!("{prefix} is on both lists, allow and deny"),
                        "an allow entry beats a deny entry of the same prefix: take one of them away",
                    ),
                    _ => {
                        prefixes.insert(prefix);
                    }
                },
                Err(error) => {
                    diagnostics.push(
                        item.span(),
                        error.to_string(),
                        "allowed: addresses and prefixes, IPv4 and IPv6",
                    );
                }
            }
        }
        prefixes.into_iter().collect()
    };
    ConfiguredLists { allow: read("allow"), deny: read("deny") }
}

fn default_class(value: &Value<'_>, class: &mut Class, diagnostics: &mut Diagnostics) {
    let Some(table) = Table::of("[default]", value, &limits::CLASS_KEYS, diagnostics) else { return };
    // What the file says of the default class replaces the built-in limits as a whole: half of each would surprise.
    (class.per_source, class.total) = (LimitSet::default(), LimitSet::default());
    limits::of_class(&table, "default", class, diagnostics);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_root_key_is_read() {
        let text = "mode = 1\nfragments = 1\nagent = 1\ninterface = 1\nsource = 1\nevents = 1\nlists = 1\nlist = 1\ndefault = 1\nclass = 1\nrole = 1\nudp_needs_socket = 1\nobserve = 1\namplifiers = 1\nmanage_sysctls = 1\nsignature = 1";
        let error = crate::config::parse("f", text).unwrap_err().to_string();
        assert!(error.ends_with("f: 16 errors"), "{error}");
    }
}
