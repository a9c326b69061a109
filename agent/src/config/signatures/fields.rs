//! What a signature asks of the headers.

use std::ops::RangeInclusive;

use stopbank_common::{
    parse::tcp_flags,
    signature::{MAX_OPTION_KINDS, MAX_SOURCE_RANGES, Range, Signature, field},
};

use super::{
    super::{
        classes::port_range,
        document::{Diagnostics, Table, Value, did_you_mean},
    },
    text_of,
};
use crate::lists::printable;

/// TCP flags by name.
pub(super) const FLAGS: [(&str, u8); 8] = [
    ("fin", tcp_flags::FIN),
    ("syn", tcp_flags::SYN),
    ("rst", tcp_flags::RST),
    ("psh", tcp_flags::PSH),
    ("ack", tcp_flags::ACK),
    ("urg", tcp_flags::URG),
    ("ece", tcp_flags::ECE),
    ("cwr", tcp_flags::CWR),
];
/// TCP options by name (IANA "TCP Option Kind Numbers").
pub(super) const OPTIONS: [(&str, u8); 7] =
    [("nop", 1), ("mss", 2), ("wscale", 3), ("sack", 4), ("ts", 8), ("md5", 19), ("fastopen", 34)];
/// No options at all.
pub(super) const NO_OPTIONS: &str = "none";

/// Reads all keys but the payload.
pub(super) fn read(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Signature {
    let mut signature = Signature::default();
    ranges(table, &mut signature, diagnostics);
    if let Some(value) = table.get("source_ports")
        && let Some(ranges) = source_ports(value, diagnostics)
    {
        signature.source_ports = ranges;
        signature.fields |= field::SOURCE_PORTS;
    }
    if let Some(value) = table.get("tcp_flags")
        && let Some(flags) = flags(value, diagnostics)
    {
        signature.tcp_flags = flags;
        signature.fields |= field::TCP_FLAGS;
    }
    if let Some(value) = table.get("tcp_options")
        && let Some(options) = options(value, diagnostics)
    {
        signature.tcp_options = options;
        signature.fields |= field::TCP_OPTIONS;
    }
    for (key, bit) in [("icmp", field::ICMP), ("icmpv6", field::ICMPV6)] {
        if let Some(value) = table.get(key)
            && let Some((kind, code)) = icmp(key, value, diagnostics)
        {
            (signature.icmp_type, signature.icmp_code) = (kind, code.unwrap_or(0));
            signature.fields |= bit | if code.is_some() { field::ICMP_CODE } else { 0 };
        }
    }
    signature
}

fn ranges(table: &Table<'_, '_>, signature: &mut Signature, diagnostics: &mut Diagnostics) {
    let places = [
        ("length", 20..=65_535, field::IP_LENGTH, &mut signature.ip_length),
        ("payload_length", 0..=65_535, field::PAYLOAD_LENGTH, &mut signature.payload_length),
        ("ttl", 0..=255, field::HOP_LIMIT, &mut signature.hop_limit),
        ("tcp_window", 0..=65_535, field::TCP_WINDOW, &mut signature.tcp_window),
    ];
    for (key, allowed, bit, place) in places {
        if let Some(value) = table.get(key)
            && let Some(range) = range(key, value, allowed, diagnostics)
        {
            *place = range;
            signature.fields |= bit;
        }
    }
}

/// `468`, `"468"` or `"60..1500"`, both ends included.
fn range(
    key: &str,
    value: &Value<'_>,
    allowed: RangeInclusive<u16>,
    diagnostics: &mut Diagnostics,
) -> Option<Range> {
    let help = format!(
        "allowed: a number from {} to {}, or a range with both ends in it: \"60..200\"",
        allowed.start(),
        allowed.end()
    );
    let Some(text) = text_of(value) else {
        diagnostics.wrong_type(key, value, "a number or a string", &help);
        return None;
    };
    let number = |digits: &str| number::<u16>(digits.trim()).filter(|number| allowed.contains(number));
    let (from, to) = text.split_once("..").unwrap_or((&text, &text));
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Some(Range { from, to }),
        (Some(from), Some(to)) => {
            let meant = format!("did you mean \"{to}..{from}\"?");
            let message = format!("the range of `{key}` runs backwards");
            diagnostics.push_all(value.span(), message, vec![help, meant]);
            None
        }
        _ => {
            diagnostics.push(value.span(), format!("`{key}` is \"{}\"", printable(&text, 40)), help);
            None
        }
    }
}

/// Digits, and nothing else.
pub(super) fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn source_ports(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<[Range; MAX_SOURCE_RANGES]> {
    let help = "an array of one to four ports and ranges: source_ports = [53, \"1024-2047\"]";
    let items = diagnostics.array("source_ports", value, help);
    if value.get_ref().is_array() && (items.is_empty() || items.len() > MAX_SOURCE_RANGES) {
        diagnostics.push(value.span(), format!("`source_ports` has {} elements", items.len()), help);
        return None;
    }
    let mut found = Vec::new();
    for item in items {
        let range = port_range(item, diagnostics)?;
        found.push(Range { from: range.first, to: range.last });
    }
    let first = *found.first()?;
    // Those that are not needed repeat the first.
    Some(std::array::from_fn(|i| found.get(i).copied().unwrap_or(first)))
}

/// `"syn,!ack"`: the flags that count, and which of them are set.
fn flags(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<[u8; 2]> {
    let names: Vec<&str> = FLAGS.iter().map(|(name, _)| *name).collect();
    let help =
        format!("flags that are set, and with `!` those that are not: \"syn,!ack\"; of {}", names.join(", "));
    let text = diagnostics.string("tcp_flags", value, &help)?;
    let (mut mask, mut set) = (0, 0);
    for word in text.split(',').map(str::trim) {
        let name = word.strip_prefix('!').unwrap_or(word);
        let Some((_, bit)) = FLAGS.iter().find(|(known, _)| *known == name) else {
            unknown("tcp_flags", "a TCP flag", name, &names, help, value, diagnostics);
            return None;
        };
        if mask & bit != 0 {
            diagnostics.push(value.span(), format!("`tcp_flags` names \"{name}\" twice"), help);
            return None;
        }
        mask |= bit;
        set |= if word == name { *bit } else { 0 };
    }
    Some([mask, set])
}

/// `"mss,sack,ts,nop,wscale"`, in the order of the packet; `"none"`.
fn options(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<u64> {
    let names: Vec<&str> = OPTIONS.iter().map(|(name, _)| *name).collect();
    let help = format!(
        "all options in their order, at most {MAX_OPTION_KINDS}: \"mss,sack,ts,nop,wscale\", or \"{NO_OPTIONS}\"; of {}, or numbers from 2 to 254",
        names.join(", ")
    );
    let text = diagnostics.string("tcp_options", value, &help)?;
    if text == NO_OPTIONS {
        return Some(0);
    }
    let mut kinds = [0; MAX_OPTION_KINDS];
    for (i, word) in text.split(',').map(str::trim).enumerate() {
        let known = OPTIONS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
        let Some(kind) = known.or_else(|| number(word).filter(|kind| (2..=254).contains(kind))) else {
            unknown("tcp_options", "a TCP option", word, &names, help, value, diagnostics);
            return None;
        };
        let Some(place) = kinds.get_mut(i) else {
            diagnostics.push(value.span(), "`tcp_options` names too many options", help);
            return None;
        };
        *place = kind;
    }
    Some(u64::from_le_bytes(kinds))
}

fn unknown(
    key: &str,
    what: &str,
    written: &str,
    names: &[&str],
    help: String,
    value: &Value<'_>,
    diagnostics: &mut Diagnostics,
) {
    let mut help = vec![help];
    help.extend(
        did_you_mean(written, names.iter().copied()).map(|meant| format!("did you mean \"{meant}\"?")),
    );
    let message = format!("`{key}`: \"{}\" is not {what}", printable(written, 40));
    diagnostics.push_all(value.span(), message, help);
}

/// `8`, `"8"` or `"3/4"`: type, and code.
fn icmp(key: &str, value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<(u8, Option<u8>)> {
    let help = "allowed: a type from 0 to 255, or type and code: \"3/4\"";
    let Some(text) = text_of(value) else {
        diagnostics.wrong_type(key, value, "a number or a string", help);
        return None;
    };
    let found = match text.split_once('/') {
        Some((kind, code)) => number(kind.trim()).zip(number(code.trim()).map(Some)),
        None => number(text.trim()).map(|kind| (kind, None)),
    };
    if found.is_none() {
        diagnostics.push(value.span(), format!("`{key}` is \"{}\"", printable(&text, 40)), help);
    }
    found
}
