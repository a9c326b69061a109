//! What is read from good frames.

use stopbank_common::{
    Address,
    parse::{Facts, Fragment, Network, protocol, tcp_flags},
};

use crate::frames::{
    ACKNOWLEDGEMENT, ARP, DESTINATION_V4, DESTINATION_V6, IPV4, IPV6, PORT, SEQUENCE, SOURCE_PORT, SOURCE_V4,
    SOURCE_V6, SYN, authentication, ethernet, every_kind, extension, fragment, icmp, parsed, seen_in_part,
    tagged, tcp, tcp_with, udp, v4, v4_fragment, v4_with, v6,
};

/// What every IPv4 frame here says.
fn facts_v4(protocol: u8) -> Facts {
    let word = |bytes| Address::from_v4_word(u32::from_ne_bytes(bytes));
    Facts {
        source: word(SOURCE_V4),
        destination: word(DESTINATION_V4),
        protocol,
        hop_limit: 61,
        ..Facts::default()
    }
}

/// What every IPv6 frame here says.
fn facts_v6(protocol: u8) -> Facts {
    let (source, destination) = (Address::from_bytes(SOURCE_V6), Address::from_bytes(DESTINATION_V6));
    Facts { source, destination, protocol, hop_limit: 62, ..Facts::default() }
}

fn with_ports(facts: Facts) -> Facts {
    Facts { source_port: SOURCE_PORT, destination_port: PORT, ..facts }
}

/// What a TCP segment here says, with these flags.
fn segment(tcp_flags: u8, facts: Facts) -> Facts {
    let [tcp_sequence, tcp_acknowledgement] = [SEQUENCE, ACKNOWLEDGEMENT].map(u32::to_be);
    Facts { tcp_flags, tcp_sequence, tcp_acknowledgement, ..with_ports(facts) }
}

fn syn(facts: Facts) -> Facts {
    segment(SYN, facts)
}

#[track_caller]
fn reads(frame: &[u8], facts: Facts) {
    assert_eq!(parsed(frame), (Ok(Network::Ip), facts));
}

#[test]
fn every_kind_of_frame_is_good() {
    for (name, frame) in every_kind() {
        assert!(parsed(&frame).0.is_ok(), "{name}: {:?}", parsed(&frame));
    }
}

#[test]
fn arp_is_arp_and_what_is_not_ip_is_other() {
    assert_eq!(parsed(&ethernet(ARP, &[0; 28])), (Ok(Network::Arp), Facts::default()));
    assert_eq!(parsed(&ethernet(ARP, &[])), (Ok(Network::Arp), Facts::default()), "whatever its length");
    for ethertype in [0x0000, 0x0026, 0x05ff, 0x8847, 0x8863, 0x888e, 0x88cc, 0xffff] {
        assert_eq!(parsed(&ethernet(ethertype, &[0xff; 60])), (Ok(Network::Other), Facts::default()));
    }
}

#[test]
fn no_one_or_two_tags_of_any_kind_change_nothing() {
    let inner = v4(protocol::TCP, &tcp());
    reads(&ethernet(IPV4, &inner), syn(facts_v4(protocol::TCP)));
    for outer in [0x8100, 0x88a8, 0x9100] {
        reads(&tagged(&[outer], IPV4, &inner), syn(facts_v4(protocol::TCP)));
        for second in [0x8100, 0x88a8, 0x9100] {
            reads(&tagged(&[outer, second], IPV4, &inner), syn(facts_v4(protocol::TCP)));
            reads(
                &tagged(&[outer, second], IPV6, &v6(protocol::UDP, &udp(&[]))),
                with_ports(facts_v6(protocol::UDP)),
            );
        }
    }
    assert_eq!(parsed(&tagged(&[0x88a8, 0x8100], ARP, &[0; 28])).0, Ok(Network::Arp));
}

#[test]
fn tcp_udp_and_icmp_tell_their_ports_flags_and_types() {
    reads(
        &ethernet(IPV4, &v4(protocol::TCP, &tcp_with(0x12, &[], b"data"))),
        segment(0x12, facts_v4(protocol::TCP)),
    );
    reads(&ethernet(IPV4, &v4(protocol::UDP, &udp(b"data"))), with_ports(facts_v4(protocol::UDP)));
    reads(
        &ethernet(IPV4, &v4(protocol::ICMP, &icmp(3, 4))),
        Facts { icmp_type: 3, icmp_code: 4, ..facts_v4(protocol::ICMP) },
    );
    reads(&ethernet(IPV6, &v6(protocol::TCP, &tcp_with(SYN, &[1; 40], &[]))), syn(facts_v6(protocol::TCP)));
    reads(
        &ethernet(IPV6, &v6(protocol::ICMPV6, &icmp(135, 0)[..4])),
        Facts { icmp_type: 135, ..facts_v6(protocol::ICMPV6) },
    );
}

#[test]
fn the_other_familys_icmp_is_a_protocol_without_ports() {
    reads(&ethernet(IPV4, &v4(protocol::ICMPV6, &icmp(135, 0))), facts_v4(protocol::ICMPV6));
    reads(&ethernet(IPV6, &v6(protocol::ICMP, &icmp(8, 0))), facts_v6(protocol::ICMP));
}

#[test]
fn the_transport_header_stands_after_the_options() {
    for words in 1..=10 {
        // Options that look like a TCP header to whoever takes the header for twenty bytes.
        let options = &[&tcp_with(0xff, &[], &[])[..], &[9; 20]].concat()[..words * 4];
        reads(&ethernet(IPV4, &v4_with(options, 0, protocol::TCP, &tcp())), syn(facts_v4(protocol::TCP)));
    }
}

#[test]
fn padding_after_the_packet_is_nothing_of_it() {
    let mut frame = ethernet(IPV4, &v4(protocol::UDP, &udp(&[])));
    frame.resize(60, 0xff);
    reads(&frame, with_ports(facts_v4(protocol::UDP)));
    let mut frame = ethernet(IPV6, &v6(protocol::ICMPV6, &icmp(128, 0)));
    frame.resize(90, 0xff);
    reads(&frame, Facts { icmp_type: 128, ..facts_v6(protocol::ICMPV6) });
}

#[test]
fn each_extension_header_is_looked_through_at_its_real_length() {
    for kind in [
        protocol::HOP_BY_HOP,
        protocol::ROUTING,
        protocol::DESTINATION_OPTIONS,
        protocol::MOBILITY,
        protocol::HIP,
        protocol::SHIM6,
    ] {
        for units in [1, 2, 17, 256] {
            let frame = ethernet(IPV6, &v6(kind, &extension(protocol::TCP, units, &tcp())));
            reads(&frame, syn(facts_v6(protocol::TCP)));
        }
    }
    // The authentication header counts in four bytes, less two.
    for words in [3, 4, 6, 257] {
        let frame =
            ethernet(IPV6, &v6(protocol::AUTHENTICATION, &authentication(protocol::UDP, words, &udp(&[]))));
        reads(&frame, with_ports(facts_v6(protocol::UDP)));
    }
}

#[test]
fn eight_extension_headers_are_looked_through() {
    let mut inner = tcp();
    let mut next = protocol::TCP;
    for _ in 0..8 {
        inner = extension(next, 1, &inner);
        next = protocol::DESTINATION_OPTIONS;
    }
    reads(&ethernet(IPV6, &v6(next, &inner)), syn(facts_v6(protocol::TCP)));
}

#[test]
fn what_cannot_be_looked_through_is_a_protocol_of_its_own() {
    for next in [50, 59, 4, 41, 47, 132, 253, 254, 255] {
        reads(&ethernet(IPV6, &v6(next, &[0xff; 40])), facts_v6(next));
        reads(&ethernet(IPV6, &v6(protocol::ROUTING, &extension(next, 1, &[0xff; 40]))), facts_v6(next));
        reads(&ethernet(IPV4, &v4(next, &[0xff; 40])), facts_v4(next));
    }
    // IPv4 has no extension headers.
    for next in [protocol::HOP_BY_HOP, protocol::ROUTING, protocol::FRAGMENT, protocol::AUTHENTICATION] {
        reads(&ethernet(IPV4, &v4(next, &[0xff; 40])), facts_v4(next));
    }
}

#[test]
fn a_first_fragment_has_ports_and_a_later_one_has_none() {
    for (kind, field) in [(Fragment::Whole, 0x4000), (Fragment::First, 0x2000), (Fragment::Later, 0x2003)] {
        let facts = Facts { fragment: kind, ..facts_v4(protocol::UDP) };
        let expected = if kind == Fragment::Later { facts } else { with_ports(facts) };
        let frame = ethernet(IPV4, &v4_with(&[], field, protocol::UDP, &udp(&[7; 16])));
        reads(&frame, expected);
        assert_eq!(expected.has_ports(), kind != Fragment::Later);
    }
    let first = fragment(protocol::TCP, 0, true, &tcp_with(SYN, &[1; 4], &[]));
    let facts = Facts { fragment: Fragment::First, ..facts_v6(protocol::TCP) };
    reads(&ethernet(IPV6, &v6(protocol::FRAGMENT, &first)), syn(facts));
    let later = fragment(protocol::TCP, 1_024, false, &[7; 5]);
    let facts = Facts { fragment: Fragment::Later, ..facts_v6(protocol::TCP) };
    reads(&ethernet(IPV6, &v6(protocol::FRAGMENT, &later)), facts);
    assert!(!facts.has_ports() && !facts.opens_connection());
}

/// RFC 6946: a fragment header on a packet that is whole.
#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let atomic = fragment(protocol::TCP, 0, false, &tcp());
    reads(&ethernet(IPV6, &v6(protocol::FRAGMENT, &atomic)), syn(facts_v6(protocol::TCP)));
}

/// In a later fragment the next header is what the first one had there, and the bytes that follow are payload.
#[test]
fn nothing_is_looked_through_in_a_later_fragment() {
    for next in [protocol::DESTINATION_OPTIONS, protocol::FRAGMENT, protocol::HOP_BY_HOP, protocol::UDP] {
        let later = fragment(next, 512, false, &[0xff; 32]);
        let facts = Facts { fragment: Fragment::Later, ..facts_v6(next) };
        reads(&ethernet(IPV6, &v6(protocol::FRAGMENT, &later)), facts);
    }
}

#[test]
fn extension_headers_may_follow_in_a_first_fragment() {
    let inner = extension(protocol::UDP, 1, &udp(&[7; 8]));
    let frame =
        ethernet(IPV6, &v6(protocol::FRAGMENT, &fragment(protocol::DESTINATION_OPTIONS, 0, true, &inner)));
    reads(&frame, with_ports(Facts { fragment: Fragment::First, ..facts_v6(protocol::UDP) }));
}

/// Offset 8 is refused for TCP only: UDP's header is eight bytes long, and a fragment may well end behind it.
#[test]
fn the_last_byte_of_64_kib_and_an_offset_of_one_unit_are_good() {
    let later = |facts| Facts { fragment: Fragment::Later, ..facts };
    reads(
        &ethernet(IPV4, &v4_fragment(65_528, false, protocol::UDP, &[7; 7])),
        later(facts_v4(protocol::UDP)),
    );
    reads(&ethernet(IPV4, &v4_fragment(8, true, protocol::UDP, &[7; 8])), later(facts_v4(protocol::UDP)));
    reads(&ethernet(IPV4, &v4_fragment(16, true, protocol::TCP, &[7; 8])), later(facts_v4(protocol::TCP)));
}

/// A UDP datagram is longer than its first fragment.
#[test]
fn a_first_fragment_is_not_held_to_the_udp_length() {
    let mut header = udp(&[7; 16]);
    header[4..6].copy_from_slice(&1_480u16.to_be_bytes());
    let facts = Facts { fragment: Fragment::First, ..facts_v4(protocol::UDP) };
    reads(&ethernet(IPV4, &v4_fragment(0, true, protocol::UDP, &header)), with_ports(facts));
}

/// A large frame in several buffers: the program sees the first one only (`xdp(frags)`).
#[test]
fn a_frame_that_is_seen_in_part_is_held_to_its_whole_length() {
    let frame = ethernet(IPV4, &v4(protocol::TCP, &tcp_with(SYN, &[], &[7; 8_900])));
    let (visible, length) = (&frame[..200], frame.len() as u32);
    assert_eq!(seen_in_part(visible, length), (Ok(Network::Ip), syn(facts_v4(protocol::TCP))));
    assert!(seen_in_part(visible, 200).0.is_err(), "and not to what is visible");
}

#[test]
fn only_syn_without_ack_opens_a_connection() {
    for flags in 0..=255 {
        let (_, facts) = parsed(&ethernet(IPV4, &v4(protocol::TCP, &tcp_with(flags, &[], &[]))));
        let opens = flags & (tcp_flags::SYN | tcp_flags::ACK) == tcp_flags::SYN;
        assert_eq!(facts.opens_connection(), opens, "{flags:#04x}");
    }
    let udp = Facts { tcp_flags: SYN, ..facts_v4(protocol::UDP) };
    assert!(!udp.opens_connection());
}
