//! What each field asks, and where it ends.

use stopbank_common::{
    parse::protocol,
    signature::{OPTIONS_MALFORMED, OPTIONS_TOO_MANY, Range, Signature, field, option_kinds, words},
};

use crate::{
    frames::{IPV4, IPV6, SYN, ethernet, icmp, tcp_with, udp, v4, v4_fragment, v6},
    matches,
};

fn asks(fields: u32) -> Signature {
    Signature { fields, ..Signature::default() }
}

fn pattern(kind: u32, offset: u16, bytes: &[u8]) -> Signature {
    let (mut pattern, mut mask) = ([0; 16], [0; 16]);
    pattern[..bytes.len()].copy_from_slice(bytes);
    mask[..bytes.len()].fill(0xff);
    Signature {
        pattern: words(pattern),
        mask: words(mask),
        pattern_length: bytes.len() as u16,
        offset,
        ..asks(kind)
    }
}

#[track_caller]
fn hits(signature: &Signature, packet: &[u8]) -> bool {
    let ethertype = if packet[0] >> 4 == 4 { IPV4 } else { IPV6 };
    matches(signature, &ethernet(ethertype, packet)).unwrap()
}

fn segment(options: &[u8], payload: &[u8]) -> Vec<u8> {
    v4(protocol::TCP, &tcp_with(SYN, options, payload))
}

#[test]
fn ranges_hold_their_ends() {
    let packet = v4(protocol::UDP, &udp(&[0; 12]));
    for (from, to, inside) in [(40, 40, true), (0, 39, false), (41, 65_535, false), (0, 65_535, true)] {
        let signature = Signature { ip_length: Range { from, to }, ..asks(field::IP_LENGTH) };
        assert_eq!(hits(&signature, &packet), inside, "{from}-{to}");
    }
    let empty = Signature { payload_length: Range { from: 0, to: 0 }, ..asks(field::PAYLOAD_LENGTH) };
    assert!(!hits(&empty, &packet) && hits(&empty, &v4(protocol::UDP, &udp(&[]))));
    let hops = Signature { hop_limit: Range { from: 62, to: 62 }, ..asks(field::HOP_LIMIT) };
    assert!(hits(&hops, &v6(protocol::UDP, &udp(&[]))) && !hits(&hops, &packet));
}

#[test]
fn flags_windows_and_options_are_of_tcp_alone() {
    let flags = Signature { tcp_flags: [0x12, 0x02], ..asks(field::TCP_FLAGS) };
    assert!(hits(&flags, &segment(&[], &[])));
    assert!(!hits(&flags, &v4(protocol::TCP, &tcp_with(0x12, &[], &[]))));
    assert!(
        hits(&flags, &v4(protocol::TCP, &tcp_with(0x02 | 0xc0, &[], &[]))),
        "what is not in the mask does not count"
    );
    let none_set = Signature { tcp_flags: [0xff, 0], ..asks(field::TCP_FLAGS) };
    assert!(!hits(&none_set, &v4(protocol::UDP, &udp(&[]))), "UDP has no flags, not none of them set");
    let window = Signature { tcp_window: Range { from: 0, to: 65_535 }, ..asks(field::TCP_WINDOW) };
    assert!(hits(&window, &segment(&[], &[])) && !hits(&window, &v4(protocol::UDP, &udp(&[]))));
    let none = asks(field::TCP_OPTIONS);
    assert!(hits(&none, &segment(&[], &[9; 8])), "payload is no option");
    assert!(!hits(&none, &segment(&[2, 4, 5, 0xb4], &[])) && !hits(&none, &v4(protocol::UDP, &udp(&[]))));
}

#[test]
fn icmp_and_icmpv6_are_told_apart() {
    let echo = Signature { icmp_type: 8, ..asks(field::ICMP) };
    assert!(hits(&echo, &v4(protocol::ICMP, &icmp(8, 0))) && hits(&echo, &v4(protocol::ICMP, &icmp(8, 7))));
    assert!(!hits(&echo, &v6(protocol::ICMPV6, &icmp(8, 0))));
    let code = Signature { icmp_type: 1, icmp_code: 4, ..asks(field::ICMPV6 | field::ICMP_CODE) };
    assert!(
        hits(&code, &v6(protocol::ICMPV6, &icmp(1, 4))) && !hits(&code, &v6(protocol::ICMPV6, &icmp(1, 3)))
    );
    assert!(!hits(&code, &v4(protocol::ICMP, &icmp(1, 4))));
    // ICMP's number behind the other family's header is not ICMP.
    assert!(!hits(&Signature { icmp_type: 0, ..asks(field::ICMP) }, &v6(protocol::ICMP, &icmp(0, 0))));
}

#[test]
fn a_pattern_lies_within_the_payload() {
    let payload = b"\xff\xff\xff\xffTSource Engine Query\0";
    let packet = v4(protocol::UDP, &udp(payload));
    assert!(hits(&pattern(field::PAYLOAD, 0, b"\xff\xff\xff\xffTSource En"), &packet));
    assert!(hits(&pattern(field::PAYLOAD, 4, b"TSource Engine Q"), &packet), "sixteen bytes");
    assert!(!hits(&pattern(field::PAYLOAD, 5, b"TSource"), &packet));
    let end = payload.len() as u16;
    assert!(hits(&pattern(field::PAYLOAD, end - 2, b"y\0"), &packet));
    assert!(!hits(&pattern(field::PAYLOAD, end - 1, b"\0\0"), &packet), "half of it beyond the end");
    assert!(!hits(&pattern(field::PAYLOAD, 65_535, b"\0"), &packet));
    assert!(hits(&pattern(field::PAYLOAD_END, 2, b"y\0"), &packet));
    assert!(hits(&pattern(field::PAYLOAD_END, end, b"\xff"), &packet));
    assert!(
        !hits(&pattern(field::PAYLOAD_END, end + 1, b"\0"), &packet),
        "before the payload, a header's checksum"
    );
    assert!(!hits(&pattern(field::PAYLOAD_END, 1, b"\0\0"), &packet));
    assert!(hits(&pattern(field::HEADER, 8, b"\xff\xff\xff\xffT"), &packet));
    assert!(hits(&pattern(field::HEADER, 0, &packet[20..32]), &packet));
}

#[test]
fn a_mask_leaves_bits_out() {
    // An NTP answer of mode 7 with the request code MON_GETLIST_1.
    let mut signature = pattern(field::PAYLOAD, 0, &[0x87, 0, 0, 0x2a]);
    signature.mask = words([0x87, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(hits(&signature, &v4(protocol::UDP, &udp(&[0xd7, 0x12, 3, 0x2a, 9]))));
    assert!(!hits(&signature, &v4(protocol::UDP, &udp(&[0xd6, 0x12, 3, 0x2a, 9]))));
}

#[test]
fn a_later_fragment_has_a_payload_and_no_header() {
    let packet = v4_fragment(64, false, protocol::TCP, &[0x16; 24]);
    assert!(hits(&pattern(field::PAYLOAD, 0, &[0x16]), &packet));
    assert!(hits(&pattern(field::PAYLOAD_END, 24, &[0x16]), &packet));
    assert!(!hits(&pattern(field::HEADER, 0, &[0x16]), &packet));
    assert!(!hits(&Signature { tcp_flags: [0, 0], ..asks(field::TCP_FLAGS) }, &packet));
    let ports = Signature { source_ports: [Range { from: 0, to: 65_535 }; 4], ..asks(field::SOURCE_PORTS) };
    assert!(!hits(&ports, &packet) && hits(&ports, &segment(&[], &[])));
}

#[test]
fn everything_that_is_asked_must_fit() {
    let mut signature = pattern(field::PAYLOAD, 0, b"GET");
    signature.fields |= field::HOP_LIMIT;
    signature.hop_limit = Range { from: 61, to: 61 };
    assert!(hits(&signature, &segment(&[], b"GET /")));
    signature.hop_limit.to = 60;
    assert!(!hits(&signature, &segment(&[], b"GET /")));
}

#[test]
fn fingerprints_of_known_systems() {
    let kinds = |options: &[u8]| {
        let mut bytes = [0; 64];
        bytes[..options.len()].copy_from_slice(options);
        option_kinds(&bytes, options.len() as u32)
    };
    let linux = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    assert_eq!(kinds(&linux), u64::from_le_bytes([2, 4, 8, 1, 3, 0, 0, 0]));
    let windows = [2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];
    assert_eq!(kinds(&windows), u64::from_le_bytes([2, 1, 3, 1, 1, 4, 0, 0]));
    assert_eq!(kinds(&[]), 0);
    assert_eq!(kinds(&[0, 9, 9, 9]), 0, "what follows the end of the list does not count");
    assert_eq!(kinds(&[1; 8]), 0x0101_0101_0101_0101);
    assert_eq!(kinds(&[1; 9]), OPTIONS_TOO_MANY);
    assert_eq!(kinds(&[1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]), 0x0101_0101_0101_0101);
    for broken in [&[2, 1, 0, 0][..], &[2, 0, 0, 0], &[2, 5, 0, 0], &[1, 1, 1, 2], &[8, 255, 0, 0]] {
        assert_eq!(kinds(broken), OPTIONS_MALFORMED, "{broken:?}");
    }
}
