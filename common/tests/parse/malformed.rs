//! Every way in which a frame can be cut short or contradict itself, and the reason it is dropped for.

use stopbank_common::{
    Address, Reason,
    parse::{Facts, protocol},
};

use crate::frames::{
    DESTINATION_V6, IPV4, IPV6, NETWORK, SOURCE_V4, SOURCE_V6, SYN, TRANSPORT_V4, TRANSPORT_V6,
    authentication, ethernet, extension, fragment, icmp, parsed, tagged, tcp, tcp_with, udp, v4, v4_fragment,
    v4_with, v6,
};

#[track_caller]
fn refused(frame: &[u8], reason: Reason) {
    assert_eq!(parsed(frame).0, Err(reason));
}

/// The frame with these bytes at `at`.
fn with(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

fn frame_v4() -> Vec<u8> {
    ethernet(IPV4, &v4(protocol::TCP, &tcp()))
}

fn frame_v6(next: u8, rest: &[u8]) -> Vec<u8> {
    ethernet(IPV6, &v6(next, rest))
}

#[test]
fn an_ethernet_header_that_is_cut_short() {
    for length in 0..14 {
        refused(&frame_v4()[..length], Reason::MalformedEthernet);
    }
}

#[test]
fn a_vlan_tag_that_is_cut_short() {
    let frame = tagged(&[0x88a8, 0x8100], IPV4, &v4(protocol::TCP, &tcp()));
    for length in 14..22 {
        refused(&frame[..length], Reason::MalformedVlan);
    }
}

#[test]
fn a_third_vlan_tag() {
    for tags in [[0x8100; 3], [0x88a8, 0x8100, 0x8100], [0x9100, 0x88a8, 0x8100]] {
        refused(&tagged(&tags, IPV4, &v4(protocol::TCP, &tcp())), Reason::MalformedVlan);
    }
    refused(&tagged(&[0x8100; 12], IPV4, &v4(protocol::TCP, &tcp())), Reason::MalformedVlan);
}

#[test]
fn an_ipv4_header_of_another_version() {
    for version in (0..16).filter(|version| *version != 4) {
        refused(&with(frame_v4(), NETWORK, &[version << 4 | 5]), Reason::MalformedIpv4);
    }
}

#[test]
fn an_ipv4_header_length_below_twenty_bytes() {
    for words in 0..5 {
        refused(&with(frame_v4(), NETWORK, &[0x40 | words]), Reason::MalformedIpv4);
    }
}

#[test]
fn an_ipv4_total_length_below_the_header() {
    for total in 0..20u16 {
        refused(&with(frame_v4(), NETWORK + 2, &total.to_be_bytes()), Reason::MalformedIpv4);
    }
    let options = ethernet(IPV4, &v4_with(&[1; 8], 0, protocol::TCP, &tcp()));
    refused(&with(options, NETWORK + 2, &27u16.to_be_bytes()), Reason::MalformedIpv4);
}

#[test]
fn an_ipv4_total_length_beyond_the_frame() {
    let fits = (frame_v4().len() - NETWORK) as u16;
    assert!(parsed(&with(frame_v4(), NETWORK + 2, &fits.to_be_bytes())).0.is_ok());
    for total in [fits + 1, 1_500, u16::MAX] {
        refused(&with(frame_v4(), NETWORK + 2, &total.to_be_bytes()), Reason::MalformedIpv4);
        // Nor may the tags be counted as the packet's.
        let behind_tags = tagged(&[0x88a8, 0x8100], IPV4, &v4(protocol::TCP, &tcp()));
        refused(&with(behind_tags, NETWORK + 8 + 2, &total.to_be_bytes()), Reason::MalformedIpv4);
    }
}

#[test]
fn an_ipv6_header_of_another_version() {
    for version in (0..16).filter(|version| *version != 6) {
        refused(&with(frame_v6(protocol::TCP, &tcp()), NETWORK, &[version << 4]), Reason::MalformedIpv6);
    }
}

#[test]
fn an_ipv6_payload_beyond_the_frame() {
    for length in [21, 1_500, u16::MAX] {
        refused(
            &with(frame_v6(protocol::TCP, &tcp()), NETWORK + 4, &length.to_be_bytes()),
            Reason::MalformedIpv6,
        );
    }
}

#[test]
fn an_ipv4_address_mapped_into_ipv6_as_source_or_destination() {
    let mapped = Address::from_v4_word(u32::from_ne_bytes(SOURCE_V4)).to_bytes();
    refused(&with(frame_v6(protocol::TCP, &tcp()), NETWORK + 8, &mapped), Reason::MalformedIpv6);
    refused(&with(frame_v6(protocol::TCP, &tcp()), NETWORK + 24, &mapped), Reason::MalformedIpv6);
    // The deprecated compatible form and NAT64's prefix are IPv6 addresses like others.
    for first in [[0, 0, 0, 0], [0, 0x64, 0xff, 0x9b]] {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&first);
        address[12..].copy_from_slice(&SOURCE_V4);
        assert!(parsed(&with(frame_v6(protocol::TCP, &tcp()), NETWORK + 8, &address)).0.is_ok());
    }
}

#[test]
fn an_extension_header_that_is_cut_short_or_longer_than_the_packet() {
    for kind in [protocol::HOP_BY_HOP, protocol::ROUTING, protocol::DESTINATION_OPTIONS, protocol::MOBILITY] {
        for length in 0..8 {
            let rest = &extension(protocol::TCP, 1, &tcp())[..length];
            refused(&frame_v6(kind, rest), Reason::MalformedExtension);
        }
        let lying = with(extension(protocol::TCP, 1, &tcp()), 1, &[3]);
        refused(&frame_v6(kind, &lying), Reason::MalformedExtension);
        refused(&frame_v6(kind, &with(lying, 1, &[255])), Reason::MalformedExtension);
    }
    for length in 0..8 {
        let rest = &fragment(protocol::TCP, 0, false, &tcp())[..length];
        refused(&frame_v6(protocol::FRAGMENT, rest), Reason::MalformedExtension);
    }
    let lying = with(authentication(protocol::TCP, 6, &tcp()), 1, &[11]);
    refused(&frame_v6(protocol::AUTHENTICATION, &lying), Reason::MalformedExtension);
}

#[test]
fn an_extension_header_of_which_only_padding_is_there() {
    let mut frame = frame_v6(protocol::DESTINATION_OPTIONS, &extension(protocol::TCP, 1, &tcp())[..4]);
    frame.resize(200, 0);
    refused(&frame, Reason::MalformedExtension);
}

#[test]
fn hop_by_hop_options_anywhere_but_first() {
    let again = extension(protocol::HOP_BY_HOP, 1, &extension(protocol::TCP, 1, &tcp()));
    refused(&frame_v6(protocol::HOP_BY_HOP, &again), Reason::MalformedExtension);
    refused(&frame_v6(protocol::DESTINATION_OPTIONS, &again), Reason::MalformedExtension);
}

#[test]
fn a_second_fragment_header() {
    let inner = fragment(protocol::TCP, 0, false, &tcp());
    for offset_and_more in [(0, false), (0, true)] {
        let twice = fragment(protocol::FRAGMENT, offset_and_more.0, offset_and_more.1, &inner);
        refused(&frame_v6(protocol::FRAGMENT, &twice), Reason::MalformedExtension);
    }
}

#[test]
fn nine_extension_headers() {
    let mut inner = tcp();
    let mut next = protocol::TCP;
    for _ in 0..9 {
        inner = extension(next, 1, &inner);
        next = protocol::DESTINATION_OPTIONS;
    }
    refused(&frame_v6(next, &inner), Reason::MalformedExtension);
}

#[test]
fn a_fragment_beyond_64_kib() {
    refused(&ethernet(IPV4, &v4_fragment(65_528, false, protocol::UDP, &[7; 8])), Reason::MalformedFragment);
    refused(
        &ethernet(IPV4, &v4_fragment(65_520, true, protocol::ICMP, &[7; 800])),
        Reason::MalformedFragment,
    );
    let death = fragment(protocol::UDP, 65_528, false, &[7; 8]);
    refused(&frame_v6(protocol::FRAGMENT, &death), Reason::MalformedFragment);
}

#[test]
fn a_fragment_without_payload() {
    for (offset, more) in [(0, true), (64, false), (64, true)] {
        refused(&ethernet(IPV4, &v4_fragment(offset, more, protocol::UDP, &[])), Reason::MalformedFragment);
        let empty = fragment(protocol::UDP, offset, more, &[]);
        refused(&frame_v6(protocol::FRAGMENT, &empty), Reason::MalformedFragment);
    }
}

#[test]
fn a_fragment_that_is_not_the_last_and_no_multiple_of_eight_bytes() {
    for length in (9..24).filter(|length| length % 8 != 0) {
        for offset in [0, 64] {
            let payload = &udp(&[7; 16])[..length];
            refused(
                &ethernet(IPV4, &v4_fragment(offset, true, protocol::UDP, payload)),
                Reason::MalformedFragment,
            );
            let over_v6 = fragment(protocol::UDP, offset, true, payload);
            refused(&frame_v6(protocol::FRAGMENT, &over_v6), Reason::MalformedFragment);
        }
    }
}

/// RFC 1858 section 3: the second fragment would overwrite the flags that the first was judged by.
#[test]
fn a_tcp_fragment_at_an_offset_of_eight_bytes() {
    refused(&ethernet(IPV4, &v4_fragment(8, true, protocol::TCP, &[7; 16])), Reason::MalformedFragment);
    refused(&ethernet(IPV4, &v4_fragment(8, false, protocol::TCP, &[7; 12])), Reason::MalformedFragment);
    let over_v6 = fragment(protocol::TCP, 8, false, &[7; 12]);
    refused(&frame_v6(protocol::FRAGMENT, &over_v6), Reason::MalformedFragment);
}

/// RFC 1858 section 2: a first fragment too small for the TCP header that it must hold.
#[test]
fn a_tiny_first_fragment() {
    let sixteen = &tcp()[..16];
    refused(&ethernet(IPV4, &v4_fragment(0, true, protocol::TCP, sixteen)), Reason::MalformedTcp);
    let over_v6 = fragment(protocol::TCP, 0, true, sixteen);
    refused(&frame_v6(protocol::FRAGMENT, &over_v6), Reason::MalformedTcp);
    let headers_later =
        fragment(protocol::DESTINATION_OPTIONS, 0, true, &extension(protocol::TCP, 2, &[])[..8]);
    refused(&frame_v6(protocol::FRAGMENT, &headers_later), Reason::MalformedExtension);
}

#[test]
fn a_tcp_header_that_is_cut_short() {
    for length in 0..20 {
        refused(&ethernet(IPV4, &v4(protocol::TCP, &tcp()[..length])), Reason::MalformedTcp);
        refused(&frame_v6(protocol::TCP, &tcp()[..length]), Reason::MalformedTcp);
        // The rest is in the frame, but not in the packet.
        let mut padded = ethernet(IPV4, &v4(protocol::TCP, &tcp()[..length]));
        padded.extend_from_slice(&tcp());
        refused(&padded, Reason::MalformedTcp);
    }
}

#[test]
fn a_tcp_data_offset_below_the_header_or_beyond_the_packet() {
    for words in 0..5u8 {
        refused(&with(frame_v4(), TRANSPORT_V4 + 12, &[words << 4]), Reason::MalformedTcp);
    }
    for words in 6..16u8 {
        refused(&with(frame_v4(), TRANSPORT_V4 + 12, &[words << 4]), Reason::MalformedTcp);
        let v6 = with(frame_v6(protocol::TCP, &tcp()), TRANSPORT_V6 + 12, &[words << 4]);
        refused(&v6, Reason::MalformedTcp);
    }
    let whole = ethernet(IPV4, &v4(protocol::TCP, &tcp_with(SYN, &[1; 40], &[])));
    assert!(parsed(&whole).0.is_ok());
    refused(&ethernet(IPV4, &v4(protocol::TCP, &tcp_with(SYN, &[1; 40], &[])[..59])), Reason::MalformedTcp);
}

#[test]
fn a_udp_header_that_is_cut_short_or_lies_about_its_length() {
    for length in 0..8 {
        refused(&ethernet(IPV4, &v4(protocol::UDP, &udp(&[])[..length])), Reason::MalformedUdp);
        refused(&frame_v6(protocol::UDP, &udp(&[])[..length]), Reason::MalformedUdp);
        let lying = with(udp(&[7; 4]), 4, &(length as u16).to_be_bytes());
        refused(&ethernet(IPV4, &v4(protocol::UDP, &lying)), Reason::MalformedUdp);
        refused(
            &ethernet(IPV4, &v4_fragment(0, true, protocol::UDP, &[&lying[..], &[7; 4]].concat())),
            Reason::MalformedUdp,
        );
    }
    for length in [13u16, 1_500, u16::MAX] {
        let lying = with(udp(&[7; 4]), 4, &length.to_be_bytes());
        refused(&ethernet(IPV4, &v4(protocol::UDP, &lying)), Reason::MalformedUdp);
        refused(&frame_v6(protocol::UDP, &lying), Reason::MalformedUdp);
    }
}

#[test]
fn an_icmp_header_that_is_cut_short() {
    for length in 0..8 {
        let (v4, v6) =
            (v4(protocol::ICMP, &icmp(8, 0)[..length]), v6(protocol::ICMPV6, &icmp(128, 0)[..length]));
        refused(&ethernet(IPV4, &v4), Reason::MalformedIcmp);
        if length < 4 {
            refused(&ethernet(IPV6, &v6), Reason::MalformedIcmp);
        } else {
            assert!(parsed(&ethernet(IPV6, &v6)).0.is_ok(), "RFC 4443 asks for four bytes");
        }
        let mut padded = ethernet(IPV4, &v4);
        padded.resize(60, 0);
        refused(&padded, Reason::MalformedIcmp);
    }
}

/// An event about a malformed packet shows who sent it.
#[test]
fn a_malformed_packet_can_be_told_by_its_source() {
    let (_, facts) = parsed(&with(frame_v4(), NETWORK + 2, &u16::MAX.to_be_bytes()));
    assert_eq!(facts.source, Address::from_v4_word(u32::from_ne_bytes(SOURCE_V4)));
    assert_eq!((facts.protocol, facts.destination_port), (protocol::TCP, 0));
    let (_, facts) = parsed(&with(frame_v6(protocol::TCP, &tcp()), NETWORK + 4, &u16::MAX.to_be_bytes()));
    assert_eq!(facts.source, Address::from_bytes(SOURCE_V6));
    assert_eq!(facts.destination, Address::from_bytes(DESTINATION_V6));
    let (_, facts) = parsed(&frame_v4()[..NETWORK + 19]);
    assert_eq!(facts, Facts::default(), "nothing is read from half a header");
}
