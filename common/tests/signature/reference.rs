//! Signatures as a person would check them by hand, straight from the frame's bytes: nothing is shared with the crate but
//! the types. Only for frames that the parser takes for good.

use stopbank_common::signature::{Range, Signature, field};

/// What is read off a frame.
#[derive(Default, Debug)]
pub(crate) struct Seen<'f> {
    pub(crate) v4: bool,
    pub(crate) protocol: u8,
    pub(crate) hops: u8,
    pub(crate) ip_length: usize,
    /// The transport header and what follows; `None` in a later fragment.
    pub(crate) header: Option<&'f [u8]>,
    pub(crate) payload: &'f [u8],
}

fn be(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

/// Reads a good frame; nothing of what is not IP.
pub(crate) fn see(frame: &[u8]) -> Option<Seen<'_>> {
    let mut at = 12;
    while [0x8100, 0x88a8, 0x9100].contains(&be(frame, at)) {
        at += 4;
    }
    let packet = &frame[at + 2..];
    match be(frame, at) {
        0x0800 => Some(see_v4(packet)),
        0x86dd => Some(see_v6(packet)),
        _ => None,
    }
}

fn see_v4(packet: &[u8]) -> Seen<'_> {
    let total = be(packet, 2);
    let body = &packet[usize::from(packet[0] % 16) * 4..total];
    let later = be(packet, 6) & 0x1fff != 0;
    let seen = Seen { v4: true, protocol: packet[9], hops: packet[8], ip_length: total, ..Seen::default() };
    with_body(seen, body, later)
}

fn see_v6(packet: &[u8]) -> Seen<'_> {
    let end = 40 + be(packet, 4);
    let (mut next, mut at, mut later) = (packet[6], 40, false);
    while [0, 43, 44, 51, 60, 135, 139, 140].contains(&next) && !later {
        let length = match next {
            44 => {
                later = be(packet, at + 2) >> 3 != 0;
                8
            }
            51 => usize::from(packet[at + 1]) * 4 + 8,
            _ => usize::from(packet[at + 1]) * 8 + 8,
        };
        next = packet[at];
        at += length;
    }
    let seen = Seen { v4: false, protocol: next, hops: packet[7], ip_length: end, ..Seen::default() };
    with_body(seen, &packet[at..end], later)
}

#[expect(clippy::needless_pass_by_value, reason = "it becomes the result")]
fn with_body<'f>(seen: Seen<'f>, body: &'f [u8], later: bool) -> Seen<'f> {
    if later {
        return Seen { payload: body, ..seen };
    }
    let (length, end) = match (seen.protocol, seen.v4) {
        (6, _) => (usize::from(body[12] >> 4) * 4, body.len()),
        (17, _) => (8, body.len().min(be(body, 4))),
        (1, true) | (58, false) => (body.len().min(8), body.len()),
        _ => (0, body.len()),
    };
    Seen { header: Some(&body[..end]), payload: &body[length..end], ..seen }
}

/// The kinds of options as a list; an error for what cannot be read.
pub(crate) fn kinds(options: &[u8]) -> Result<Vec<u8>, ()> {
    let mut kinds = Vec::new();
    let mut rest = options;
    while let Some((&kind, after)) = rest.split_first() {
        match kind {
            0 => break,
            1 => rest = after,
            _ => {
                let size = usize::from(*after.first().ok_or(())?);
                if size < 2 {
                    return Err(());
                }
                rest = rest.get(size..).ok_or(())?;
            }
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

/// The kinds as the crate packs them. A ninth option that can be read is one too many, whatever follows it.
pub(crate) fn packed(options: &[u8]) -> u64 {
    let most =
        (0..=options.len()).filter_map(|end| kinds(&options[..end]).ok()).map(|kinds| kinds.len()).max();
    if most > Some(8) {
        return u64::MAX - 1;
    }
    kinds(options).map_or(u64::MAX, |kinds| {
        let mut bytes = [0; 8];
        bytes[..kinds.len()].copy_from_slice(&kinds);
        u64::from_le_bytes(bytes)
    })
}

fn within(range: Range, number: usize) -> bool {
    (usize::from(range.from)..=usize::from(range.to)).contains(&number)
}

/// Whether a frame matches, asked bit for bit.
pub(crate) fn matches(signature: &Signature, frame: &[u8]) -> bool {
    let Some(seen) = see(frame) else { return false };
    let header = seen.header.unwrap_or(&[]);
    let tcp = seen.protocol == 6 && seen.header.is_some();
    let udp = seen.protocol == 17 && seen.header.is_some();
    (0..32).filter(|bit| signature.fields >> bit & 1 != 0).all(|bit| match 1_u32 << bit {
        field::IP_LENGTH => within(signature.ip_length, seen.ip_length.min(65_535)),
        field::PAYLOAD_LENGTH => within(signature.payload_length, seen.payload.len()),
        field::HOP_LIMIT => within(signature.hop_limit, usize::from(seen.hops)),
        field::SOURCE_PORTS => {
            (tcp || udp) && signature.source_ports.iter().any(|range| within(*range, be(header, 0)))
        }
        field::TCP_FLAGS => tcp && header[13] & signature.tcp_flags[0] == signature.tcp_flags[1],
        field::TCP_WINDOW => tcp && within(signature.tcp_window, be(header, 14)),
        field::TCP_OPTIONS => {
            tcp && packed(&header[20..header.len() - seen.payload.len()]) == signature.tcp_options
        }
        field::ICMP => {
            seen.header.is_some() && seen.v4 && seen.protocol == 1 && header[0] == signature.icmp_type
        }
        field::ICMPV6 => {
            seen.header.is_some() && !seen.v4 && seen.protocol == 58 && header[0] == signature.icmp_type
        }
        field::ICMP_CODE => header.get(1) == Some(&signature.icmp_code),
        field::PAYLOAD => pattern(signature, seen.payload.get(usize::from(signature.offset)..)),
        field::HEADER => {
            seen.header.is_some() && pattern(signature, header.get(usize::from(signature.offset)..))
        }
        field::PAYLOAD_END => {
            let from = seen.payload.len().checked_sub(usize::from(signature.offset));
            pattern(signature, from.map(|from| &seen.payload[from..]))
        }
        field::OBSERVE => true,
        other => panic!("field {other:#x}"),
    })
}

fn pattern(signature: &Signature, bytes: Option<&[u8]>) -> bool {
    let flat = |words: [u64; 2]| [words[0].to_ne_bytes(), words[1].to_ne_bytes()].concat();
    let (pattern, mask) = (flat(signature.pattern), flat(signature.mask));
    let length = usize::from(signature.pattern_length);
    bytes.and_then(|bytes| bytes.get(..length)).is_some_and(|bytes| {
        bytes.iter().zip(pattern).zip(mask).all(|((byte, wanted), mask)| byte & mask == wanted)
    })
}
