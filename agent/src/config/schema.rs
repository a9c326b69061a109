//! The configuration as JSON Schema (draft 2020-12), for editors and other people's checks.
//!
//! Keys and choices are the reader's own, so that the two name the same; `tests/schema.rs` holds one against the other. What
//! a schema cannot say (that no port is claimed twice, that a signature can match at all) only the reader knows:
//! `stopbank config check`.

use serde_json::{Map, Value, json};
use stopbank_common::{
    Reason,
    policy::{MAX_SIGNATURES, MAX_VXLAN_PORTS},
    signature::MAX_SOURCE_RANGES,
};

use super::{classes, cookies, flows, limits, list_files, read, signatures, tunnels};
use crate::lists::feeds::Format;

const COUNT_RATE: &str = r"^\s*[0-9]+(\.[0-9]{1,9})?\s*[kKMG]?\s*/\s*[smhd]\s*$";
const BYTE_RATE: &str = r"^\s*[0-9]+(\.[0-9]{1,9})?\s*(B|[kKMG]B|[KMG]iB|bit|[kKMG]bit)\s*/\s*[smhd]\s*$";
const COUNT: &str = r"^\s*[0-9]+(\.[0-9]{1,9})?\s*[kKMG]?\s*$";
const BYTES: &str = r"^\s*[0-9]+(\.[0-9]{1,9})?\s*(B|[kKMG]B|[KMG]iB|bit|[kKMG]bit)\s*$";
const PORTS: &str = r"^\s*[0-9]{1,5}\s*(-\s*[0-9]{1,5}\s*)?$";
const RANGE: &str = r"^\s*[0-9]{1,5}\s*(\.\.\s*[0-9]{1,5}\s*)?$";
const ICMP: &str = r"^\s*[0-9]{1,3}\s*(/\s*[0-9]{1,3}\s*)?$";
const HEXADECIMAL: &str = r"^\s*([0-9a-fA-F]\s*[0-9a-fA-F]\s*)+$";
const NAME: &str = "^[a-z0-9_-]{1,32}$";
const CLASS_NAME: &str = "^[a-z0-9][a-z0-9_-]{0,31}$";
const PATH: &str = "^/.";

/// The schema of a whole configuration, all its files together.
pub fn schema() -> Value {
    let mut schema = object("stopbank's configuration", &read::ROOT_KEYS, &[], root);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:stopbank:configuration:1",
        "title": "stopbank's configuration",
    });
    if let (Value::Object(schema), Value::Object(head)) = (&mut schema, head) {
        schema.extend(head);
    }
    schema
}

fn root(key: &str) -> Value {
    match key {
        "mode" => choice("observe lets every packet pass and counts what enforce would drop", &read::MODES),
        "role" => choice("Whom the packets that come in are for", &read::ROLES),
        "fragments" => choice("What becomes of IP fragments", &read::FRAGMENTS),
        "udp_needs_socket" => flag("With role host: UDP to a port without socket is dropped"),
        "observe" => {
            let rules: Vec<&str> = read::observable().map(Reason::name).collect();
            array("Rules that are counted and drop nothing", json!({ "enum": rules }))
        }
        "manage_sysctls" => flag("The agent makes the two settings that SYN cookies need"),
        "amplifiers" => array("UDP source ports from which only answers come, or abuse", ports()),
        "agent" => object("The agent's own places", &read::AGENT_KEYS, &[], agent),
        "interface" => {
            let block = object("An interface to protect", &read::INTERFACE_KEYS, &["name"], interface);
            blocks(read::MOST_INTERFACES, block)
        }
        "source" => object("What counts as one source", &read::SOURCE_KEYS, &[], source),
        "flows" => object("A gateway's table of flows", &flows::KEYS, &[], flow),
        "tunnels" => object("Tunnels that are looked into", &tunnels::KEYS, &[], tunnel),
        "events" => object("Samples of dropped packets", &read::EVENTS_KEYS, &[], |_| {
            text("Samples a second, 1/s to 10000/s", COUNT_RATE)
        }),
        "lists" => object("Sources by prefix", &read::LISTS_KEYS, &[], |key| match key {
            "allow" => array("Sources that pass at once", json!({ "type": "string" })),
            "deny" => array("Sources that are dropped", json!({ "type": "string" })),
            _ => Value::Null,
        }),
        "list" => {
            let block = object("A file of prefixes", &list_files::KEYS, &["name", "path", "action"], list);
            blocks(list_files::MOST, block)
        }
        "signature" => {
            let block =
                object("What packets of a known attack look like", &signatures::KEYS, &["name"], signature);
            blocks(MAX_SIGNATURES, block)
        }
        "default" => object("What no class claims", &limits::CLASS_KEYS, &[], class),
        "class" => {
            let keys: Vec<&str> = classes::CLAIM_KEYS.into_iter().chain(limits::CLASS_KEYS).collect();
            let block = object("A class of packets and its limits", &keys, &["name", "protocol"], class);
            blocks(classes::MOST_CLASSES, block)
        }
        _ => Value::Null,
    }
}

fn agent(key: &str) -> Value {
    match key {
        "pin_dir" => text("Where maps and links are pinned, on a BPF file system", PATH),
        "state_dir" => text("What must survive a reboot", PATH),
        "socket" => text("The control API's unix socket", PATH),
        "metrics" => text("Loopback address and port, or off", r"^(off|.*:[0-9]+)$"),
        _ => Value::Null,
    }
}

fn interface(key: &str) -> Value {
    match key {
        "name" => {
            json!({ "type": "string", "minLength": 1, "maxLength": 15, "description": "As ip link shows it, a pattern (eth*), or default-route" })
        }
        "attach" => choice("In the driver, or behind it and slower", &read::ATTACH),
        "required" => flag("The agent does not start without it"),
        _ => Value::Null,
    }
}

fn source(key: &str) -> Value {
    match key {
        "ipv4_prefix" => integer("Bits of an IPv4 address that make a source", 8, 32),
        "ipv6_prefix" => integer("Bits of an IPv6 address that make a source", 16, 128),
        "lines" => integer("Lines of rate state, a power of two", 1 << 10, 1 << 24),
        _ => Value::Null,
    }
}

fn flow(key: &str) -> Value {
    match key {
        "lines" => integer("Lines of eight flows, a power of two", 1 << 10, 1 << 24),
        "learn" => text("For how long a new table drops nothing, 0s to 1h", r"[0-9]"),
        _ => Value::Null,
    }
}

fn tunnel(key: &str) -> Value {
    match key {
        "inspect" => {
            let kinds: Vec<&str> = tunnels::KINDS.iter().map(|(name, _)| *name).collect();
            array("Kinds of tunnels that are looked into", json!({ "enum": kinds }))
        }
        "vxlan_ports" => {
            let mut ports =
                array("UDP ports of VXLAN", json!({ "type": "integer", "minimum": 1, "maximum": 65535 }));
            bounded(&mut ports, 1, MAX_VXLAN_PORTS);
            ports
        }
        _ => Value::Null,
    }
}

fn list(key: &str) -> Value {
    match key {
        "name" => text("Its name in the CLI and in metrics", NAME),
        "path" => text("The file", PATH),
        "action" => choice("What becomes of its sources", &list_files::ACTIONS),
        "format" => choice("How it is written", &Format::NAMES),
        "countries" => array(
            "Which to take of a table of countries (ISO 3166)",
            json!({ "type": "string", "pattern": "^[a-zA-Z]{2}$" }),
        ),
        "asns" => array(
            "Which to take of a table of autonomous systems",
            json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
        ),
        _ => Value::Null,
    }
}

fn signature(key: &str) -> Value {
    let number = |about: &str, least: u64, most: u64, pattern: &str| {
        either(about, integer("", least, most), text("", pattern))
    };
    match key {
        "name" => text("What classes call it", NAME),
        "observe" => flag("What matches is counted, and goes on"),
        "payload" => object("Bytes at a place", &signatures::PAYLOAD_KEYS, &[], payload),
        "length" => number("Of the IP packet, a number or \"FROM..TO\"", 20, 65535, RANGE),
        "payload_length" => number("Of what follows the TCP, UDP or ICMP header", 0, 65535, RANGE),
        "ttl" => number("Time to live, or hop limit", 0, 255, RANGE),
        "source_ports" => {
            let mut ranges = array("Source ports, of TCP and UDP", ports());
            bounded(&mut ranges, 1, MAX_SOURCE_RANGES);
            ranges
        }
        "tcp_flags" => text("Flags that are set, and with ! those that are not: syn,!ack", "^[a-z!, ]+$"),
        "tcp_window" => number("As it stands in the header", 0, 65535, RANGE),
        "tcp_options" => text("All options in their order, or none", "^[a-z0-9, ]+$"),
        "icmp" => number("Type, or \"TYPE/CODE\"", 0, 255, ICMP),
        "icmpv6" => number("Type, or \"TYPE/CODE\"", 0, 255, ICMP),
        _ => Value::Null,
    }
}

fn payload(key: &str) -> Value {
    match key {
        "offset" => integer("In bytes", 0, 65535),
        "from" => choice("Where the offset is counted from", &signatures::PAYLOAD_FROM),
        "bytes" => text("One to sixteen bytes in hexadecimal", HEXADECIMAL),
        "text" => {
            json!({ "type": "string", "minLength": 1, "maxLength": 16, "description": "One to sixteen bytes as text" })
        }
        "mask" => text("The bits that count, in hexadecimal", HEXADECIMAL),
        _ => Value::Null,
    }
}

fn class(key: &str) -> Value {
    match key {
        "name" => text("Its name in the CLI and in metrics", CLASS_NAME),
        "protocol" => {
            let names = json!({ "enum": classes::PROTOCOLS });
            either("Which packets are of it", integer("", 0, 255), names)
        }
        "ports" => {
            let mut ranges =
                array("TCP or UDP destination ports; left out: what no other class claims", ports());
            bounded(&mut ranges, 1, 65535);
            ranges
        }
        "closed" => flag("Everything of it is dropped"),
        "observe" => flag("Its limits and signatures are counted, and drop nothing"),
        "signatures" => array(
            "Names of signatures: what matches one of them is dropped",
            json!({ "type": "string", "pattern": NAME }),
        ),
        "per_source" => limit_set("Limits for each source", &[], &[]),
        "per_prefix" => {
            let block = limit_set("Limits for each prefix", &limits::PREFIX_KEYS, &[]);
            json!({ "type": "array", "items": block, "description": "Limits for prefixes wider than a source" })
        }
        "total" => limit_set("Limits for all sources together", &limits::TOTAL_KEYS, &[]),
        "syn_cookies" => {
            let table = object("", &cookies::KEYS, &[], |key| match key {
                "mode" => choice("When", &cookies::MODES),
                "above" => text("From more SYNs a second than this on", COUNT_RATE),
                "hold" => text("Until there have been no more for so long, 1s to 1h", r"[0-9]"),
                _ => Value::Null,
            });
            either("Answer SYNs from XDP with cookies", choice("", &cookies::MODES), table)
        }
        _ => Value::Null,
    }
}

fn limit_set(about: &str, more: &[&str], required: &[&str]) -> Value {
    let keys: Vec<&str> = limits::dimensions().into_iter().chain(more.iter().copied()).collect();
    object(about, &keys, required, |key| match key {
        "packets" => limit("Packets", COUNT_RATE, COUNT),
        "bytes" => limit("Bytes of frames", BYTE_RATE, BYTES),
        "connections" => limit("New TCP connections", COUNT_RATE, COUNT),
        "proven" => text("The part of it that proven sources have first, 0% to 90%", r"^\s*[0-9]+\s*%$"),
        "ipv4" => integer("Prefix length, IPv4", 8, 31),
        "ipv6" => integer("Prefix length, IPv6", 16, 127),
        _ => Value::Null,
    })
}

fn limit(about: &str, rate: &str, amount: &str) -> Value {
    let table = object("", &limits::LIMIT_KEYS, &["rate"], |key| match key {
        "rate" => text("In the long run", rate),
        "burst" => either("At once", json!({ "type": "integer", "minimum": 1 }), text("", amount)),
        _ => Value::Null,
    });
    either(about, text("", rate), table)
}

/// A table: these keys and no others. A key that `describe` does not know is left out, which the tests find.
fn object(about: &str, keys: &[&str], required: &[&str], describe: impl Fn(&str) -> Value) -> Value {
    let property =
        |key: &&str| Some(((*key).to_owned(), Some(describe(key)).filter(|value| !value.is_null())?));
    let properties: Map<String, Value> = keys.iter().filter_map(property).collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    about_it(table, about)
}

fn blocks(most: usize, block: Value) -> Value {
    value([("type", json!("array")), ("items", block), ("maxItems", json!(most))])
}

fn array(about: &str, items: Value) -> Value {
    about_it(value([("type", json!("array")), ("items", items)]), about)
}

fn bounded(array: &mut Value, least: usize, most: usize) {
    array["minItems"] = json!(least);
    array["maxItems"] = json!(most);
}

fn ports() -> Value {
    either("", integer("", 1, 65535), text("", PORTS))
}

fn either(about: &str, one: Value, other: Value) -> Value {
    about_it(value([("anyOf", Value::Array(vec![one, other]))]), about)
}

fn choice<T>(about: &str, choices: &[(&str, T)]) -> Value {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    about_it(json!({ "enum": names }), about)
}

fn text(about: &str, pattern: &str) -> Value {
    about_it(json!({ "type": "string", "pattern": pattern }), about)
}

fn integer(about: &str, least: u64, most: u64) -> Value {
    about_it(json!({ "type": "integer", "minimum": least, "maximum": most }), about)
}

fn flag(about: &str) -> Value {
    about_it(json!({ "type": "boolean" }), about)
}

fn value<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn about_it(mut value: Value, about: &str) -> Value {
    if !about.is_empty() {
        value["description"] = json!(about);
    }
    value
}
