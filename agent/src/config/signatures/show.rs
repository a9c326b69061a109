//! A signature as it is written.

use std::fmt::Write as _;

use stopbank_common::signature::{Range, field};

use super::{
    super::model::SignatureRule,
    fields::{FLAGS, NO_OPTIONS, OPTIONS},
    pattern::FROM,
};

/// One `[[signature]]`, which reads back as the same.
pub(in crate::config) fn show(out: &mut String, rule: &SignatureRule) {
    let SignatureRule { name, matches } = rule;
    let asks = |bit: u32| matches.fields & bit != 0;
    let _ = writeln!(out, "\n[[signature]]\nname = \"{name}\"\nobserve = {}", asks(field::OBSERVE));
    for (key, bit, Range { from, to }) in [
        ("length", field::IP_LENGTH, matches.ip_length),
        ("payload_length", field::PAYLOAD_LENGTH, matches.payload_length),
        ("ttl", field::HOP_LIMIT, matches.hop_limit),
        ("tcp_window", field::TCP_WINDOW, matches.tcp_window),
    ] {
        if asks(bit) {
            let _ = writeln!(out, "{key} = \"{from}..{to}\"");
        }
    }
    if asks(field::SOURCE_PORTS) {
        let mut ports: Vec<String> =
            matches.source_ports.iter().map(|Range { from, to }| format!("\"{from}-{to}\"")).collect();
        // What is not needed repeats the first.
        while ports.len() > 1 && ports.last() == ports.first() {
            ports.pop();
        }
        let _ = writeln!(out, "source_ports = [{}]", ports.join(", "));
    }
    if asks(field::TCP_FLAGS) {
        let [mask, set] = matches.tcp_flags;
        let flags: Vec<String> = FLAGS
            .iter()
            .filter(|(_, bit)| mask & bit != 0)
            .map(|(name, bit)| format!("{}{name}", if set & bit == 0 { "!" } else { "" }))
            .collect();
        let _ = writeln!(out, "tcp_flags = \"{}\"", flags.join(","));
    }
    if asks(field::TCP_OPTIONS) {
        let _ = writeln!(out, "tcp_options = \"{}\"", options(matches.tcp_options));
    }
    for (key, bit) in [("icmp", field::ICMP), ("icmpv6", field::ICMPV6)] {
        if asks(bit) {
            let code = if asks(field::ICMP_CODE) { format!("/{}", matches.icmp_code) } else { String::new() };
            let _ = writeln!(out, "{key} = \"{}{code}\"", matches.icmp_type);
        }
    }
    for (from, bit) in FROM {
        if asks(bit) {
            let length = usize::from(matches.pattern_length);
            let (bytes, mask) = (hexadecimal(matches.pattern, length), hexadecimal(matches.mask, length));
            let offset = matches.offset;
            let _ = writeln!(
                out,
                "payload = {{ offset = {offset}, from = \"{from}\", bytes = \"{bytes}\", mask = \"{mask}\" }}"
            );
        }
    }
}

fn options(kinds: u64) -> String {
    let name = |kind: u8| {
        OPTIONS
            .iter()
            .find(|(_, known)| *known == kind)
            .map_or_else(|| kind.to_string(), |(name, _)| (*name).to_owned())
    };
    let names: Vec<String> =
        kinds.to_le_bytes().into_iter().take_while(|kind| *kind != 0).map(name).collect();
    if names.is_empty() { NO_OPTIONS.to_owned() } else { names.join(",") }
}

fn hexadecimal(words: [u64; 2], length: usize) -> String {
    let bytes = words.into_iter().flat_map(u64::to_ne_bytes).take(length);
    bytes.map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
