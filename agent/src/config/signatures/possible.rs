//! Whether any packet at all can match a signature: what it asks must not exclude itself, nor the class that names it.

use stopbank_common::signature::{Range, Signature, field};

use super::super::model::{Claim, Class};

/// What only some packets have, by the key that asks for it.
const ONLY_SOME: [(&str, u32); 7] = [
    ("source_ports", field::SOURCE_PORTS),
    ("tcp_flags", field::TCP_FLAGS),
    ("tcp_window", field::TCP_WINDOW),
    ("tcp_options", field::TCP_OPTIONS),
    ("icmp", field::ICMP),
    ("icmpv6", field::ICMPV6),
    ("payload from \"header\"", field::HEADER),
];
/// What every packet has.
const EVERY: &str = "payload, length, payload_length, ttl";
/// Shortest IPv4 and IPv6 headers.
const IP_HEADERS: (u32, u32) = (20, 40);

/// What is wrong, what is allowed, and which key it is about.
pub(super) struct Objection {
    pub(super) key: &'static str,
    pub(super) message: String,
    pub(super) help: String,
}

/// Why no packet of a class can match; what is allowed there.
pub(super) fn in_class(class: &Class, name: &str, matches: &Signature) -> Option<(String, String)> {
    let (what, fields) = match &class.claim {
        Claim::Rest => return None,
        Claim::Tcp(_) => ("TCP", field::TCP | field::SOURCE_PORTS | field::HEADER),
        Claim::Udp(_) | Claim::Answers => ("UDP", field::SOURCE_PORTS | field::HEADER),
        Claim::Icmp => ("ICMP", field::ICMP | field::ICMPV6 | field::HEADER),
        Claim::Fragments => ("later fragments, which have no transport header", 0),
        Claim::Protocol(_) => ("a protocol without ports", field::HEADER),
    };
    let begin = format!("no packet of class `{}` can match signature `{name}`", class.name);
    if let Some((key, _)) = ONLY_SOME.iter().find(|(_, bit)| matches.fields & bit & !fields != 0) {
        let asks = if key.contains(' ') { (*key).to_owned() } else { format!("`{key}`") };
        let also: Vec<&str> =
            ONLY_SOME.iter().filter(|(_, bit)| fields & bit != 0).map(|(key, _)| *key).collect();
        let also = if also.is_empty() { String::new() } else { format!(", {}", also.join(", ")) };
        return Some((
            format!("{begin}: it asks for {asks}, and the class is of {what}"),
            format!("allowed there: {EVERY}{also}"),
        ));
    }
    let objection = lengths(matches, header_of(&class.claim, matches))?;
    Some((format!("{begin}: {}", objection.message), objection.help))
}

/// Shortest transport header of what a class claims.
const fn header_of(claim: &Claim, matches: &Signature) -> Header {
    match claim {
        Claim::Tcp(_) => Header { least: 20, before_payload: 20 },
        Claim::Udp(_) | Claim::Answers => Header { least: 8, before_payload: 8 },
        Claim::Icmp => Header::icmp(matches),
        Claim::Rest | Claim::Fragments | Claim::Protocol(_) => Header { least: 0, before_payload: 0 },
    }
}

/// Lengths of the shortest transport header, without and with a payload behind it.
#[derive(Clone, Copy)]
struct Header {
    least: u32,
    before_payload: u32,
}

impl Header {
    /// Of ICMP eight bytes (RFC 792), of ICMPv6 four (RFC 4443) and, where there is a payload, eight.
    const fn icmp(matches: &Signature) -> Self {
        Self { least: if matches.fields & field::ICMPV6 != 0 { 4 } else { 8 }, before_payload: 8 }
    }
}

/// Why no packet at all can match by its lengths.
pub(super) fn by_itself(matches: &Signature) -> Option<Objection> {
    let asks = |fields: u32| matches.fields & fields != 0;
    let header = if asks(field::TCP) {
        Header { least: 20, before_payload: 20 }
    } else if asks(field::ICMP | field::ICMPV6) {
        Header::icmp(matches)
    } else if asks(field::SOURCE_PORTS) {
        Header { least: 8, before_payload: 8 }
    } else {
        Header { least: 0, before_payload: 0 }
    };
    lengths(matches, header)
}

fn lengths(matches: &Signature, header: Header) -> Option<Objection> {
    let asked = |bit: u32, range: Range| (matches.fields & bit != 0).then_some(range);
    let (offset, size) = (u32::from(matches.offset), u32::from(matches.pattern_length));
    // Up to where the pattern reaches: of the payload, and of header and payload.
    let (in_payload, in_header) = match matches.fields & field::PATTERN {
        field::PAYLOAD => (offset + size, 0),
        field::PAYLOAD_END => (offset, 0),
        field::HEADER => (0, offset + size),
        _ => (0, 0),
    };
    if let Some(allowed) = asked(field::PAYLOAD_LENGTH, matches.payload_length)
        && in_payload > u32::from(allowed.to)
    {
        return Some(Objection {
            key: "payload",
            message: format!(
                "the pattern takes a payload of {in_payload} bytes, and `payload_length` is at most {}",
                allowed.to
            ),
            help: format!("allowed: a pattern within {} bytes, or a longer `payload_length`", allowed.to),
        });
    }
    let payload = in_payload
        .max(asked(field::PAYLOAD_LENGTH, matches.payload_length).map_or(0, |range| range.from.into()));
    let header = if payload > 0 { header.before_payload } else { header.least };
    let transport = (header + payload).max(in_header);
    let ip = if matches.fields & field::ICMPV6 != 0 { IP_HEADERS.1 } else { IP_HEADERS.0 };
    // What IPv6 counts in its own length; IPv4 has less.
    let most = u32::from(u16::MAX);
    if transport > most {
        return Some(Objection {
            key: if in_payload.max(in_header) > 0 { "payload" } else { "payload_length" },
            message: format!("it takes {transport} bytes behind the IP header"),
            help: format!("allowed: what fits in {most} bytes, of which {header} are the transport header's"),
        });
    }
    let length = asked(field::IP_LENGTH, matches.ip_length)?;
    (ip + transport > u32::from(length.to)).then(|| Objection {
        key: "length",
        message: format!(
            "what it asks for takes a packet of {} bytes, and `length` is at most {}",
            ip + transport,
            length.to
        ),
        help: format!(
            "allowed: {} or more; `length` counts the IP header ({ip} bytes at least), the transport header ({header}) and the payload",
            ip + transport
        ),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    /// What is wrong with a signature in a class, in one line; nothing if nothing is.
    fn wrong(asks: &str, class: &str) -> Option<String> {
        let text = format!(
            "[[signature]]\nname = \"s\"\n{asks}\n[[class]]\nname = \"c\"\nprotocol = {class}\nsignatures = [\"s\"]\n"
        );
        parse("f", &text).err().map(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
    }

    #[test]
    fn lengths_are_told_apart_to_the_byte() {
        for (asks, class, good) in [
            ("length = 39", "\"tcp\"", false),
            ("length = 40", "\"tcp\"", true),
            ("length = 27", "\"udp\"", false),
            ("length = 28", "\"udp\"", true),
            ("length = 27", "\"icmp\"", false),
            ("length = 28", "\"icmp\"", true),
            ("length = 20", "47", true),
            ("length = 20", "\"fragments\"", true),
            ("length = 29\npayload = { text = \"ab\" }", "\"udp\"", false),
            ("length = 30\npayload = { text = \"ab\" }", "\"udp\"", true),
            ("length = 31\npayload = { text = \"a\", offset = 3 }", "\"udp\"", false),
            ("length = 32\npayload = { text = \"a\", offset = 3 }", "\"udp\"", true),
            ("length = 28\npayload_length = \"1..9\"", "\"udp\"", false),
            ("length = \"20..29\"\npayload_length = \"1..9\"", "\"udp\"", true),
            ("payload_length = 3\npayload = { text = \"ab\", offset = 2 }", "\"udp\"", false),
            ("payload_length = 4\npayload = { text = \"ab\", offset = 2 }", "\"udp\"", true),
            ("payload_length = 2\npayload = { text = \"ab\", from = \"end\", offset = 3 }", "\"udp\"", false),
            ("payload_length = 3\npayload = { text = \"ab\", from = \"end\", offset = 3 }", "\"udp\"", true),
            ("length = 45\npayload = { text = \"ab\", from = \"header\", offset = 24 }", "\"tcp\"", false),
            ("length = 46\npayload = { text = \"ab\", from = \"header\", offset = 24 }", "\"tcp\"", true),
            ("length = 43\nicmpv6 = 1", "\"icmp\"", false),
            ("length = 44\nicmpv6 = 1", "\"icmp\"", true),
            ("payload = { text = \"ab\", offset = 65526 }", "\"udp\"", false),
            ("payload = { text = \"a\", offset = 65526 }", "\"udp\"", true),
        ] {
            let wrong = wrong(asks, class);
            assert_eq!(wrong.is_none(), good, "{asks} in {class}: {wrong:?}");
        }
    }

    #[test]
    fn the_default_class_takes_any() {
        for asks in ["tcp_flags = \"syn\"", "icmp = 8", "source_ports = [53]", "length = 20"] {
            let text = format!("[[signature]]\nname = \"s\"\n{asks}\n[default]\nsignatures = [\"s\"]\n");
            assert!(parse("f", &text).is_ok(), "{asks}");
        }
    }
}
