//! Frames from their parts, inside out: each function puts a header before what it is given.
//!
//! Deliberately not the builder of the root tests: that crate depends on this one.

use stopbank_common::{
    Reason,
    parse::{Cursor, Facts, Network, parse, protocol},
};

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const ARP: u16 = 0x0806;
/// Where the network header begins in a frame without tags.
pub(crate) const NETWORK: usize = 14;
/// Where the transport header begins in an IPv4 frame without tags or options.
pub(crate) const TRANSPORT_V4: usize = 34;
/// Where the first extension or transport header begins in an IPv6 frame without tags.
pub(crate) const TRANSPORT_V6: usize = 54;

pub(crate) const SOURCE_V4: [u8; 4] = [192, 0, 2, 7];
pub(crate) const DESTINATION_V4: [u8; 4] = [198, 51, 100, 1];
/// 2001:db8::7
pub(crate) const SOURCE_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
/// 2001:db8:1::1
pub(crate) const DESTINATION_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

pub(crate) const SYN: u8 = 0x02;
pub(crate) const SOURCE_PORT: u16 = 40_000;
pub(crate) const SEQUENCE: u32 = 0x0102_0304;
pub(crate) const ACKNOWLEDGEMENT: u32 = 0x0506_0708;
pub(crate) const PORT: u16 = 443;

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// An Ethernet II header.
pub(crate) fn ethernet(ethertype: u16, rest: &[u8]) -> Vec<u8> {
    joined(&[&[2, 0, 0, 0, 0, 1], &[2, 0, 0, 0, 0, 2], &ethertype.to_be_bytes(), rest])
}

/// A frame with tags of these types, outermost first.
pub(crate) fn tagged(tags: &[u16], ethertype: u16, rest: &[u8]) -> Vec<u8> {
    let mut bytes = rest.to_vec();
    let mut inner = ethertype;
    for &tag in tags.iter().rev() {
        bytes = joined(&[&[0x20, 5], &inner.to_be_bytes(), &bytes]);
        inner = tag;
    }
    ethernet(inner, &bytes)
}

/// An IPv4 header with options (a multiple of four bytes) and the field of flags and fragment offset.
pub(crate) fn v4_with(options: &[u8], field: u16, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let total = (words * 4 + rest.len()) as u16;
    let [high, low] = total.to_be_bytes();
    let [flags, offset] = field.to_be_bytes();
    joined(&[
        &[0x40 | words as u8, 0, high, low, 0x12, 0x34, flags, offset, 61, protocol, 0, 0],
        &SOURCE_V4,
        &DESTINATION_V4,
        options,
        rest,
    ])
}

pub(crate) fn v4(protocol: u8, rest: &[u8]) -> Vec<u8> {
    v4_with(&[], 0x4000, protocol, rest)
}

/// An IPv4 fragment, `offset` in bytes.
pub(crate) fn v4_fragment(offset: u16, more: bool, protocol: u8, rest: &[u8]) -> Vec<u8> {
    v4_with(&[], (offset / 8) | (u16::from(more) << 13), protocol, rest)
}

pub(crate) fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
    let [high, low] = (rest.len() as u16).to_be_bytes();
    joined(&[&[0x60, 0, 0, 0, high, low, next, 62], &SOURCE_V6, &DESTINATION_V6, rest])
}

/// An extension header of `units` times eight bytes.
pub(crate) fn extension(next: u8, units: usize, rest: &[u8]) -> Vec<u8> {
    let mut header = vec![0; units * 8];
    header[0] = next;
    header[1] = (units - 1) as u8;
    joined(&[&header, rest])
}

/// An authentication header of `words` times four bytes.
pub(crate) fn authentication(next: u8, words: usize, rest: &[u8]) -> Vec<u8> {
    let mut header = vec![0; words * 4];
    header[0] = next;
    header[1] = (words - 2) as u8;
    joined(&[&header, rest])
}

/// An IPv6 fragment header, `offset` in bytes.
pub(crate) fn fragment(next: u8, offset: u16, more: bool, rest: &[u8]) -> Vec<u8> {
    let [high, low] = ((offset & 0xfff8) | u16::from(more)).to_be_bytes();
    joined(&[&[next, 0, high, low, 0, 0, 0, 1], rest])
}

/// A TCP header with options (a multiple of four bytes).
pub(crate) fn tcp_with(flags: u8, options: &[u8], rest: &[u8]) -> Vec<u8> {
    let words = (5 + options.len() / 4) as u8;
    joined(&[
        &SOURCE_PORT.to_be_bytes(),
        &PORT.to_be_bytes(),
        &SEQUENCE.to_be_bytes(),
        &ACKNOWLEDGEMENT.to_be_bytes(),
        &[words << 4, flags, 0xff, 0xff, 0, 0, 0, 0],
        options,
        rest,
    ])
}

pub(crate) fn tcp() -> Vec<u8> {
    tcp_with(SYN, &[], &[])
}

pub(crate) fn udp(rest: &[u8]) -> Vec<u8> {
    let [high, low] = (8 + rest.len() as u16).to_be_bytes();
    joined(&[&SOURCE_PORT.to_be_bytes(), &PORT.to_be_bytes(), &[high, low, 0, 0], rest])
}

/// An echo request of eight bytes, or a neighbour solicitation without its target.
pub(crate) fn icmp(kind: u8, code: u8) -> Vec<u8> {
    vec![kind, code, 0, 0, 0, 1, 0, 1]
}

/// Parses a whole frame.
pub(crate) fn parsed(frame: &[u8]) -> (Result<Network, Reason>, Facts) {
    seen_in_part(frame, frame.len() as u32)
}

/// Parses what is visible of a frame of `length` bytes.
pub(crate) fn seen_in_part(frame: &[u8], length: u32) -> (Result<Network, Reason>, Facts) {
    let mut facts = Facts::default();
    let result = parse(Cursor::new(frame), length, &mut facts);
    (result, facts)
}

/// A good frame of every kind, by what it is.
pub(crate) fn every_kind() -> Vec<(&'static str, Vec<u8>)> {
    use protocol::{
        AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT, HIP, HOP_BY_HOP, ICMP, ICMPV6, MOBILITY, ROUTING,
        SHIM6, TCP, UDP,
    };
    let v6_tcp = |next, rest: &[u8]| ethernet(IPV6, &v6(next, rest));
    let eight = extension(
        DESTINATION_OPTIONS,
        1,
        &extension(
            ROUTING,
            2,
            &extension(
                FRAGMENT,
                1,
                &fragment(
                    AUTHENTICATION,
                    0,
                    false,
                    &authentication(
                        DESTINATION_OPTIONS,
                        6,
                        &extension(MOBILITY, 1, &extension(SHIM6, 1, &extension(TCP, 1, &tcp()))),
                    ),
                ),
            ),
        ),
    );
    vec![
        ("ARP", ethernet(ARP, &[0; 28])),
        ("LLDP", ethernet(0x88cc, &[0; 50])),
        ("TCP over IPv4", ethernet(IPV4, &v4(TCP, &tcp()))),
        ("TCP with options and data", ethernet(IPV4, &v4(TCP, &tcp_with(SYN, &[1; 20], &[7; 9])))),
        ("IPv4 with forty bytes of options", ethernet(IPV4, &v4_with(&[1; 40], 0, TCP, &tcp()))),
        ("UDP over IPv4", ethernet(IPV4, &v4(UDP, &udp(&[7; 12])))),
        ("ICMP", ethernet(IPV4, &v4(ICMP, &icmp(8, 0)))),
        ("GRE over IPv4", ethernet(IPV4, &v4(47, &[0; 24]))),
        ("a first fragment of UDP", ethernet(IPV4, &v4_fragment(0, true, UDP, &udp(&[7; 16])))),
        ("a later fragment of UDP", ethernet(IPV4, &v4_fragment(24, false, UDP, &[7; 9]))),
        ("TCP over IPv6", ethernet(IPV6, &v6(TCP, &tcp()))),
        ("UDP over IPv6", ethernet(IPV6, &v6(UDP, &udp(&[7; 12])))),
        ("ICMPv6", ethernet(IPV6, &v6(ICMPV6, &icmp(135, 0)))),
        ("no next header", v6_tcp(59, &[])),
        ("hop-by-hop options", v6_tcp(HOP_BY_HOP, &extension(TCP, 1, &tcp()))),
        ("routing header", v6_tcp(ROUTING, &extension(TCP, 3, &tcp()))),
        ("destination options", v6_tcp(DESTINATION_OPTIONS, &extension(UDP, 2, &udp(&[])))),
        ("authentication header", v6_tcp(AUTHENTICATION, &authentication(TCP, 6, &tcp()))),
        ("mobility header", v6_tcp(MOBILITY, &extension(TCP, 2, &tcp()))),
        ("HIP", v6_tcp(HIP, &extension(TCP, 5, &tcp()))),
        ("Shim6", v6_tcp(SHIM6, &extension(TCP, 1, &tcp()))),
        ("the longest extension header", v6_tcp(DESTINATION_OPTIONS, &extension(TCP, 256, &tcp()))),
        ("eight extension headers", v6_tcp(HOP_BY_HOP, &eight)),
        ("an atomic fragment", v6_tcp(FRAGMENT, &fragment(TCP, 0, false, &tcp()))),
        (
            "a first fragment over IPv6",
            v6_tcp(FRAGMENT, &fragment(TCP, 0, true, &tcp_with(SYN, &[1; 4], &[]))),
        ),
        ("a later fragment over IPv6", v6_tcp(FRAGMENT, &fragment(TCP, 64, true, &[7; 16]))),
        ("802.1Q", tagged(&[0x8100], IPV4, &v4(TCP, &tcp()))),
        ("802.1ad and 802.1Q", tagged(&[0x88a8, 0x8100], IPV6, &v6(TCP, &tcp()))),
        ("the old service tag", tagged(&[0x9100, 0x8100], IPV4, &v4(UDP, &udp(&[])))),
        ("ARP behind a tag", tagged(&[0x8100], ARP, &[0; 28])),
    ]
}
