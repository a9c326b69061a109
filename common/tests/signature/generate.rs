//! Signatures that frames come near to: most ask for what some frame has, and now and then miss it by one.

use stopbank_common::signature::{Range, Signature, field, words};

use super::reference::{packed, see};

/// Numbers drawn from whatever the caller draws them from.
pub(crate) trait Draw {
    /// Any number below `bound`.
    fn below(&mut self, bound: usize) -> usize;
}

fn near(draw: &mut impl Draw, value: usize) -> Range {
    let value = value.min(65_535);
    let from = value.saturating_sub(draw.below(3)) + usize::from(draw.below(16) == 0);
    let to = (value + draw.below(3)).saturating_sub(usize::from(draw.below(16) == 0));
    Range { from: from.min(65_535) as u16, to: to.min(65_535) as u16 }
}

/// A signature with one to four wishes, drawn from a good frame.
pub(crate) fn signature(draw: &mut impl Draw, frame: &[u8]) -> Signature {
    let mut signature = Signature::default();
    let Some(seen) = see(frame) else { return Signature { fields: field::TCP_FLAGS, ..signature } };
    let header = seen.header.unwrap_or(&[0; 20]);
    let tcp = seen.protocol == 6 && seen.header.is_some();
    for _ in 0..=draw.below(4) {
        match draw.below(9) {
            0 => {
                (signature.ip_length, signature.fields) =
                    (near(draw, seen.ip_length), signature.fields | field::IP_LENGTH);
            }
            1 => {
                signature.payload_length = near(draw, seen.payload.len());
                signature.fields |= field::PAYLOAD_LENGTH;
            }
            2 => {
                (signature.hop_limit, signature.fields) =
                    (near(draw, usize::from(seen.hops)), signature.fields | field::HOP_LIMIT);
            }
            3 => {
                let port = header.get(..2).map_or(0, |port| usize::from(port[0]) << 8 | usize::from(port[1]));
                let at = draw.below(4);
                signature.source_ports = [Range { from: 1, to: 1 }; 4];
                signature.source_ports[at] = near(draw, port);
                signature.fields |= field::SOURCE_PORTS;
            }
            4 if tcp || draw.below(8) == 0 => {
                let mask = draw.below(256) as u8;
                signature.tcp_flags = [mask, header.get(13).copied().unwrap_or(2) & mask];
                signature.fields |= field::TCP_FLAGS;
            }
            5 if tcp => {
                signature.tcp_window = near(draw, usize::from(header[14]) << 8 | usize::from(header[15]));
                signature.fields |= field::TCP_WINDOW;
            }
            6 if tcp => {
                let options = &header[20..header.len() - seen.payload.len()];
                signature.tcp_options = packed(options) ^ u64::from(draw.below(8) == 0);
                signature.fields |= field::TCP_OPTIONS;
            }
            7 if !tcp => {
                signature.fields &= !(field::ICMP | field::ICMPV6);
                signature.fields |= if seen.v4 ^ (draw.below(8) == 0) { field::ICMP } else { field::ICMPV6 };
                signature.icmp_type = header.first().copied().unwrap_or(8);
                if draw.below(2) == 0 {
                    signature.fields |= field::ICMP_CODE;
                    signature.icmp_code = header.get(1).copied().unwrap_or(0);
                }
            }
            _ => pattern(draw, &mut signature, header, seen.payload),
        }
    }
    signature
}

fn pattern(draw: &mut impl Draw, signature: &mut Signature, header: &[u8], payload: &[u8]) {
    signature.fields &= !field::PATTERN;
    let kind = [field::PAYLOAD, field::PAYLOAD_END, field::HEADER][draw.below(3)];
    let bytes = if kind == field::HEADER { header } else { payload };
    let at = draw.below(bytes.len() + 1);
    let length = 1 + draw.below(16);
    let (mut pattern, mut mask) = ([0; 16], [0; 16]);
    for i in 0..length {
        mask[i] = [0xff, 0xff, draw.below(256) as u8][draw.below(3)];
        pattern[i] = bytes.get(at + i).copied().unwrap_or(0) & mask[i];
    }
    if draw.below(8) == 0 {
        let i = draw.below(length);
        pattern[i] = (pattern[i] ^ 1) & mask[i];
    }
    (signature.pattern, signature.mask) = (words(pattern), words(mask));
    signature.pattern_length = length as u16;
    signature.offset = if kind == field::PAYLOAD_END { bytes.len() - at } else { at } as u16;
    signature.fields |= kind;
}
