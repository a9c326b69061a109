//! Any values as a `[[signature]]`, and any frame: what the configuration takes matches exactly what a plain reading of the
//! frame says, and reads back the same. Nothing that it refuses gets here, which is the other half of the test: no value
//! makes it panic.
#![no_main]

#[path = "../../common/tests/signature/reference.rs"]
mod reference;

use std::fmt::Write as _;

use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use stopbank::config;
use stopbank_common::{
    parse::{Cursor, Facts, Layout, Network, parse_layout},
    signature::{Frame, option_kinds},
};

#[derive(Arbitrary, Debug)]
struct Input {
    asks: Asks,
    packet: Packet,
    /// Bytes of the frame that are other ones.
    changes: Vec<(u16, u8)>,
}

/// A range, as it is written: a number, two, or anything.
#[derive(Arbitrary, Debug)]
enum Span {
    One(u16),
    Two(u16, u16),
    /// Around what the packet has: so far below and above.
    Near(u8, u8),
    Text(String),
}

#[derive(Arbitrary, Debug)]
struct Asks {
    length: Option<Span>,
    payload_length: Option<Span>,
    ttl: Option<Span>,
    window: Option<Span>,
    ports: Option<Vec<Span>>,
    flags: Option<[u8; 2]>,
    options: Option<Kinds>,
    icmp: Option<(bool, u8, Option<u8>)>,
    pattern: Option<Pattern>,
    /// As written, in the place of what would have been.
    raw: Option<(u8, String)>,
}

#[derive(Arbitrary, Debug)]
enum Kinds {
    OfThePacket,
    These(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
struct Pattern {
    from: u8,
    offset: Option<u16>,
    /// Copied from the packet, so many; or these.
    copied: bool,
    bytes: Vec<u8>,
    mask: Option<Vec<u8>>,
}

#[derive(Arbitrary, Debug)]
struct Packet {
    v4: bool,
    tags: u8,
    protocol: u8,
    hops: u8,
    /// Words of IPv4 options, or an extension header.
    before: u8,
    fragment: Option<u8>,
    header: [u8; 20],
    options: Vec<u8>,
    payload: Vec<u8>,
}

impl Packet {
    fn protocol(&self) -> u8 {
        [6, 6, 17, 17, if self.v4 { 1 } else { 58 }, self.protocol][usize::from(self.protocol % 6)]
    }

    /// Options of a TCP header, filled up to whole words.
    fn options(&self) -> Vec<u8> {
        let mut options: Vec<u8> = self.options.iter().copied().take(40).collect();
        options.resize(options.len().next_multiple_of(4), 0);
        options
    }

    fn transport(&self) -> Vec<u8> {
        let payload = &self.payload[..self.payload.len().min(1_400)];
        let mut header = self.header.to_vec();
        match self.protocol() {
            6 => {
                header.extend(self.options());
                header[12] = (header.len() as u8 / 4) << 4 | header[12] & 15;
            }
            17 => {
                header.truncate(8);
                header[4..6].copy_from_slice(&(8 + payload.len() as u16).to_be_bytes());
            }
            1 | 58 => header.truncate(8),
            _ => header.clear(),
        }
        [&header, payload].concat()
    }

    /// A frame whose lengths are right.
    fn frame(&self) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for _ in 0..self.tags % 3 {
            frame.extend([0x81, 0, 0, 7]);
        }
        let body = self.transport();
        let offset = self.fragment.map_or(0, |offset| u16::from(offset & 63));
        if self.v4 {
            let words = usize::from(self.before % 11);
            frame.extend([8, 0]);
            let length = (20 + words * 4 + body.len()) as u16;
            frame.extend([0x45 + words as u8, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([0, 1]);
            frame.extend((offset | u16::from(self.fragment.is_some()) << 13).to_be_bytes());
            frame.extend([self.hops, self.protocol(), 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
            frame.extend(std::iter::repeat_n(1, words * 4));
        } else {
            let mut before = Vec::new();
            let mut first = self.protocol();
            if self.fragment.is_some() {
                let field = offset << 3 | 1;
                before = [&[first, 0][..], &field.to_be_bytes(), &[0, 0, 0, 9]].concat();
                first = 44;
            }
            if self.before % 3 == 1 {
                before.splice(0..0, [first, 0, 1, 4, 0, 0, 0, 0]);
                first = 60;
            }
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(((before.len() + body.len()) as u16).to_be_bytes());
            frame.extend([first, self.hops]);
            frame.extend([0x20; 32]);
            frame.extend(before);
        }
        frame.extend(body);
        frame
    }
}

fn span(span: &Span, near: usize) -> String {
    let near = near.min(65_535) as u16;
    match span {
        Span::One(number) => number.to_string(),
        Span::Two(from, to) => format!("\"{from}..{to}\""),
        Span::Near(below, above) => {
            let (from, to) =
                (near.saturating_sub((*below % 4).into()), near.saturating_add((*above % 4).into()));
            format!("\"{from}..{to}\"")
        }
        Span::Text(text) => format!("{text:?}"),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

impl Asks {
    /// As a person would write it, near to what a packet has.
    fn toml(&self, packet: &Packet) -> String {
        let frame = packet.frame();
        let seen = reference::see(&frame).expect("an IP packet");
        let header = seen.header.unwrap_or(&[]);
        let number = |at: usize| {
            header.get(at..at + 2).map_or(0, |two| usize::from(two[0]) << 8 | usize::from(two[1]))
        };
        let mut text = "[[signature]]\nname = \"fuzz\"\n".to_owned();
        let mut add = |number: u8, key: &str, value: String| {
            let value = match &self.raw {
                Some((which, raw)) if which % 16 == number => format!("{raw:?}"),
                _ => value,
            };
            let _ = writeln!(text, "{key} = {value}");
        };
        for (i, (key, asked, near)) in [
            ("length", &self.length, seen.ip_length),
            ("payload_length", &self.payload_length, seen.payload.len()),
            ("ttl", &self.ttl, usize::from(seen.hops)),
            ("tcp_window", &self.window, number(14)),
        ]
        .into_iter()
        .enumerate()
        {
            if let Some(asked) = asked {
                add(i as u8, key, span(asked, near));
            }
        }
        if let Some(ports) = &self.ports {
            let ports: Vec<String> =
                ports.iter().map(|one| span(one, number(0)).replace("..", "-")).collect();
            add(4, "source_ports", format!("[{}]", ports.join(", ")));
        }
        if let Some([mask, set]) = self.flags {
            let set = if set & 1 == 0 { header.get(13).copied().unwrap_or(set) } else { set };
            let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
            let flags: Vec<String> = (0..8)
                .filter(|bit| mask >> bit & 1 != 0)
                .map(|bit| format!("{}{}", if set >> bit & 1 == 0 { "!" } else { "" }, names[bit]))
                .collect();
            add(5, "tcp_flags", format!("\"{}\"", flags.join(",")));
        }
        if let Some(kinds) = &self.options {
            let kinds = match kinds {
                Kinds::These(kinds) => kinds.clone(),
                Kinds::OfThePacket => reference::kinds(&packet.options()).unwrap_or_default(),
            };
            let kinds: Vec<String> = kinds
                .iter()
                .map(|kind| if *kind == 1 { "nop".to_owned() } else { kind.to_string() })
                .collect();
            let text = if kinds.is_empty() { "none".to_owned() } else { kinds.join(",") };
            add(6, "tcp_options", format!("\"{text}\""));
        }
        if let Some((six, kind, code)) = self.icmp {
            let code = code.map_or_else(String::new, |code| format!("/{code}"));
            add(7, if six { "icmpv6" } else { "icmp" }, format!("\"{kind}{code}\""));
        }
        if let Some(pattern) = &self.pattern {
            add(8, "payload", pattern.toml(header, seen.payload));
        }
        text
    }
}

impl Pattern {
    fn toml(&self, header: &[u8], payload: &[u8]) -> String {
        let from = ["start", "end", "header"][usize::from(self.from % 3)];
        let whole = if from == "header" { header } else { payload };
        let at = match (from, self.offset) {
            ("end", offset) => whole.len().checked_sub(usize::from(offset.unwrap_or(1))),
            (_, offset) => Some(usize::from(offset.unwrap_or(0))),
        };
        let found = at.and_then(|at| whole.get(at..)).unwrap_or(&[]);
        let bytes: Vec<u8> = if self.copied {
            found.iter().copied().take(self.bytes.len()).collect()
        } else {
            self.bytes.clone()
        };
        let offset = self.offset.map_or_else(String::new, |offset| format!("offset = {offset}, "));
        let (bytes, mask) = match &self.mask {
            Some(mask) => {
                // Bits that the mask leaves out are an error, which is tried by `copied` alone.
                let mask: Vec<u8> =
                    mask.iter().copied().chain(std::iter::repeat(0xff)).take(bytes.len()).collect();
                let bytes: Vec<u8> = bytes.iter().zip(&mask).map(|(byte, mask)| byte & mask).collect();
                (bytes, format!(", mask = \"{}\"", hexadecimal(&mask)))
            }
            None => (bytes, String::new()),
        };
        format!("{{ {offset}from = \"{from}\", bytes = \"{}\"{mask} }}", hexadecimal(&bytes))
    }
}

fuzz_target!(|input: Input| {
    let text = input.asks.toml(&input.packet);
    let Ok(read) = config::parse("fuzz", &text) else { return };
    let again = config::parse("again", &config::render(&read))
        .expect("what was read is written so that it can be read");
    assert_eq!(again.signatures, read.signatures);
    let signature = &read.signatures[0].matches;

    let mut frame = input.packet.frame();
    for (at, byte) in &input.changes {
        let at = 12 + usize::from(*at) % (frame.len() - 12);
        frame[at] = *byte;
    }
    let (mut facts, mut layout) = (Facts::default(), Layout::default());
    let parsed = parse_layout(Cursor::new(&frame), frame.len() as u32, &mut facts, &mut layout);
    // Of what the parser does not take nothing is asked.
    if parsed == Ok(Network::Ip) {
        let matched = signature.matches(&facts, &layout, &Frame(&frame));
        assert_eq!(matched, reference::matches(signature, &frame), "{signature:?}\n{frame:02x?}");
    }
    let mut options = [0; 64];
    let written = input.packet.options();
    options[..written.len()].copy_from_slice(&written);
    assert_eq!(option_kinds(&options, written.len() as u32), reference::packed(&written));
});
