//! What tunnels carry: where it is found, what is refused, and that nothing outside the outer packet counts.

use stopbank_common::{
    Reason,
    parse::{
        Cursor, Facts, Fragment, Inner, Layout, Network, Tunnel, parse_inner, parse_layout, parse_tunnel,
        protocol, tunnel_of,
    },
    policy::{TUNNEL_GRE, TUNNEL_IPIP, TUNNEL_VXLAN},
};

use crate::frames::{
    IPV4, IPV6, PORT, SOURCE_V4, SOURCE_V6, SYN, ethernet, extension, icmp, parsed, tagged, tcp, tcp_with,
    udp, v4, v4_fragment, v4_with, v6,
};

const ALL: u32 = TUNNEL_GRE | TUNNEL_IPIP | TUNNEL_VXLAN;
/// The frames' UDP port stands for VXLAN's.
const PORTS: [u16; 4] = [4789, PORT, 0, 0];

/// What is in a frame's tunnel: nothing, an IP packet, or why it cannot be read.
fn within(visible: &[u8], length: usize) -> Result<Option<(Facts, Layout, Inner)>, Reason> {
    let (mut facts, mut layout) = (Facts::default(), Layout::default());
    if parse_layout(Cursor::new(visible), length as u32, &mut facts, &mut layout)? != Network::Ip {
        return Ok(None);
    }
    let Some(tunnel) = tunnel_of(&facts, ALL, &PORTS) else { return Ok(None) };
    let Some(inner) = parse_tunnel(Cursor::new(visible), tunnel, &facts, &layout)? else { return Ok(None) };
    assert_eq!(Inner::from_word(inner.to_word()), inner);
    let (mut facts, mut layout) = (Facts::default(), Layout::default());
    let network = parse_inner(Cursor::new(visible), inner, &mut facts, &mut layout)?;
    assert_eq!(network, Network::Ip);
    Ok(Some((facts, layout, inner)))
}

/// Flags, version, type and the rest of a GRE header, then what it carries.
fn gre(flags: u8, version: u8, ethertype: u16, rest: &[u8]) -> Vec<u8> {
    [&[flags, version][..], &ethertype.to_be_bytes(), rest].concat()
}

/// What follows is told by a number of its own.
fn gpe(next: u8, carried: &[u8]) -> Vec<u8> {
    let mut header = vxlan(0x0c, carried);
    // Behind UDP's header.
    let at = header.len() - carried.len() - 8;
    header[at + 3] = next;
    header
}

fn vxlan(flags: u8, frame: &[u8]) -> Vec<u8> {
    udp(&[&[flags, 0, 0, 0, 0, 0, 7, 0], frame].concat())
}

/// Packets as they may stand in tunnels.
fn packets() -> Vec<(u16, Vec<u8>)> {
    vec![
        (IPV4, v4(protocol::TCP, &tcp_with(SYN, &[1; 8], &[7; 5]))),
        (IPV4, v4_with(&[1; 40], 0, protocol::UDP, &udp(&[7; 3]))),
        (IPV4, v4_fragment(0, true, protocol::UDP, &udp(&[7; 16]))),
        (IPV4, v4_fragment(64, false, protocol::UDP, &[7; 9])),
        (IPV4, v4(protocol::ICMP, &icmp(8, 0))),
        (IPV6, v6(protocol::TCP, &tcp())),
        (IPV6, v6(protocol::HOP_BY_HOP, &extension(protocol::UDP, 3, &udp(&[7; 2])))),
        (IPV6, v6(protocol::ICMPV6, &icmp(128, 0))),
    ]
}

/// A packet in tunnels of every kind, and the frame that it would have been by itself, in an Ethernet frame or without.
fn tunnels(ethertype: u16, packet: &[u8]) -> Vec<(&'static str, Vec<u8>, usize)> {
    let ip = if ethertype == IPV4 { protocol::IPV4 } else { protocol::IPV6 };
    let around_v4 = |protocol, rest: &[u8]| ethernet(IPV4, &v4(protocol, rest));
    let frame = ethernet(ethertype, packet);
    let tags = tagged(&[0x88a8, 0x8100], ethertype, packet);
    let bare = gre(0, 0, ethertype, packet);
    let full = gre(0xb0, 0, ethertype, &[&[9; 12], packet].concat());
    vec![
        ("IP in IPv4", around_v4(ip, packet), 34),
        ("IP in IPv6", ethernet(IPV6, &v6(ip, packet)), 54),
        ("IP behind options", ethernet(IPV4, &v4_with(&[1; 12], 0, ip, packet)), 46),
        ("GRE", around_v4(47, &bare), 38),
        ("GRE over IPv6", ethernet(IPV6, &v6(60, &extension(47, 2, &bare))), 74),
        ("GRE with all of its options", tagged(&[0x8100], IPV4, &v4(47, &full)), 54),
        ("GRE with reserved bits", around_v4(47, &gre(0x0f, 0xf8, ethertype, packet)), 38),
        ("GRE with a tag", around_v4(47, &gre(0, 0, 0x8100, &tags[18..])), 42),
        ("GRE that bridges", around_v4(47, &gre(0, 0, 0x6558, &frame)), 52),
        ("GRE that bridges tags", around_v4(47, &gre(0x20, 0, 0x6558, &[&[9; 4], &tags[..]].concat())), 64),
        ("VXLAN", around_v4(17, &vxlan(8, &frame)), 64),
        ("VXLAN over IPv6 with tags", ethernet(IPV6, &v6(17, &vxlan(0xfb, &tags))), 92),
        ("VXLAN-GPE with Ethernet", around_v4(17, &gpe(3, &frame)), 64),
    ]
}

#[test]
fn in_every_tunnel_a_packet_is_what_it_is_by_itself() {
    for (ethertype, packet) in packets() {
        let alone = parsed(&ethernet(ethertype, &packet)).1;
        for (name, frame, at) in tunnels(ethertype, &packet) {
            let (facts, layout, inner) = within(&frame, frame.len()).unwrap().unwrap();
            assert_eq!(facts, alone, "{name}");
            let source = if ethertype == IPV4 { &SOURCE_V4[..] } else { &SOURCE_V6[..] };
            assert!(facts.source.to_bytes().ends_with(source));
            assert_eq!(
                (usize::from(inner.at), inner.v6, inner.cut),
                (at, ethertype == IPV6, false),
                "{name}"
            );
            assert_eq!(inner.ethernet, name.contains("bridges") || name.contains("VXLAN"), "{name}");
            assert_eq!(
                (usize::from(inner.held), usize::from(layout.ip_length)),
                (packet.len(), packet.len())
            );
            // The layout counts from the frame's start.
            let by_itself = {
                let (mut facts, mut layout) = (Facts::default(), Layout::default());
                let frame = ethernet(ethertype, &packet);
                parse_layout(Cursor::new(&frame), frame.len() as u32, &mut facts, &mut layout).unwrap();
                layout
            };
            let moved = at as u16 - 14;
            assert_eq!(layout.payload_offset, by_itself.payload_offset + moved, "{name}");
            assert_eq!(layout.transport_offset, by_itself.transport_offset + moved, "{name}");
            assert_eq!(layout.payload_length, by_itself.payload_length, "{name}");
        }
    }
}

/// Cut anywhere, whether the frame ends there, is only seen so far, or its outer header ends there and the frame goes on.
#[test]
fn whatever_is_cut_off_is_malformed() {
    for (ethertype, packet) in packets() {
        for (name, frame, at) in tunnels(ethertype, &packet) {
            for length in 0..frame.len() {
                let cut = within(&frame[..length], length);
                assert!(cut.is_err_and(Reason::is_malformed), "{name} cut at {length}: {cut:?}");
                let whole = within(&frame, frame.len());
                match within(&frame[..length], frame.len()) {
                    Err(reason) => assert!(reason.is_malformed(), "{name} seen up to {length}: {reason:?}"),
                    seen => assert_eq!(seen, whole, "{name} seen up to {length}"),
                }
            }
            if !name.contains("tags") && frame[12..14] == IPV4.to_be_bytes() && !name.contains("VXLAN") {
                for length in at..frame.len() {
                    let mut short = frame.clone();
                    short[16..18].copy_from_slice(&((length - 14) as u16).to_be_bytes());
                    let cut = within(&short, short.len());
                    assert!(cut.is_err_and(Reason::is_malformed), "{name} that ends at {length}: {cut:?}");
                }
            }
        }
    }
}

#[test]
fn what_no_sender_makes_is_malformed() {
    let packet = v4(protocol::TCP, &tcp());
    let frame = ethernet(IPV4, &packet);
    let in_gre = |bytes: &[u8]| ethernet(IPV4, &v4(47, bytes));
    let in_udp = |bytes: &[u8]| ethernet(IPV4, &v4(17, bytes));
    let padded = |mut frame: Vec<u8>| {
        frame.extend(packet.iter());
        frame
    };
    for (frame, reason) in [
        (in_gre(&gre(0x40, 0, IPV4, &packet)), Reason::MalformedTunnel),
        (in_gre(&gre(0, 2, IPV4, &packet)), Reason::MalformedTunnel),
        (in_gre(&gre(0, 7, IPV4, &packet)), Reason::MalformedTunnel),
        (padded(in_gre(&[0, 0, 8])), Reason::MalformedTunnel),
        (padded(in_gre(&gre(0xb0, 0, IPV4, &[0; 11]))), Reason::MalformedTunnel),
        (padded(in_gre(&gre(0, 0, 0x883e, &[]))), Reason::MalformedTunnel),
        (in_udp(&vxlan(0xf7, &frame)), Reason::MalformedTunnel),
        (in_udp(&gpe(1, &packet)), Reason::MalformedTunnel),
        (in_udp(&gpe(0, &frame)), Reason::MalformedTunnel),
        (padded(in_udp(&udp(&[8, 0, 0, 0, 0, 0, 7]))), Reason::MalformedTunnel),
        (padded(in_udp(&vxlan(8, &frame[..13]))), Reason::MalformedEthernet),
        (padded(in_gre(&gre(0, 0, 0x8100, &[0, 0, 8]))), Reason::MalformedVlan),
        (in_udp(&vxlan(8, &tagged(&[0x8100; 3], IPV4, &packet))), Reason::MalformedVlan),
        (padded(ethernet(IPV4, &v4(4, &[]))), Reason::MalformedIpv4),
        (ethernet(IPV4, &v4(41, &packet)), Reason::MalformedIpv6),
    ] {
        assert_eq!(within(&frame, frame.len()).unwrap_err(), reason, "{frame:02x?}");
    }
}

#[test]
fn what_carries_no_ip_has_nothing_within() {
    let packet = v4(protocol::TCP, &tcp());
    let arp = ethernet(0x0806, &[0; 28]);
    for frame in [
        ethernet(IPV4, &packet),
        ethernet(IPV4, &v4(47, &gre(0x20, 1, 0x880b, &packet))),
        ethernet(IPV4, &v4(47, &gre(0, 0, 0x8847, &packet))),
        ethernet(IPV4, &v4(47, &gre(0, 0, 0x0806, &packet))),
        ethernet(IPV4, &v4(47, &gre(0, 0, 0x6558, &arp))),
        ethernet(IPV4, &v4(17, &vxlan(8, &arp))),
        ethernet(IPV4, &v4_fragment(64, false, 47, &gre(0, 0, IPV4, &packet))),
        ethernet(IPV4, &v4_fragment(64, false, 4, &packet)),
    ] {
        assert_eq!(within(&frame, frame.len()), Ok(None), "{frame:02x?}");
    }
}

/// WCCP: Linux takes what follows for the outer packet's kind of IP, behind four bytes more unless those look like IPv4.
#[test]
fn ip_behind_wccp_is_found() {
    let inner = v4(protocol::TCP, &tcp());
    let second = [&[0, 1, 0, 0][..], &inner].concat();
    for content in [&inner, &second] {
        let frame = ethernet(IPV4, &v4(47, &gre(0, 0, 0x883e, content)));
        assert_eq!(within(&frame, frame.len()).unwrap().unwrap().0, parsed(&ethernet(IPV4, &inner)).1);
    }
    let inner = v6(protocol::TCP, &tcp());
    let frame = ethernet(IPV6, &v6(47, &gre(0, 0, 0x883e, &[&[0; 4], &inner[..]].concat())));
    assert_eq!(within(&frame, frame.len()).unwrap().unwrap().0, parsed(&ethernet(IPV6, &inner)).1);
    let with_key = ethernet(IPV4, &v4(47, &gre(0x20, 0, 0x883e, &[&[0; 4], &second[..]].concat())));
    assert_eq!(within(&with_key, with_key.len()), Ok(None), "only without any flag");
}

#[test]
fn only_what_is_asked_for_is_a_tunnel() {
    let facts = |protocol, destination_port, fragment| Facts {
        protocol,
        destination_port,
        fragment,
        ..Facts::default()
    };
    let whole = |protocol, port| facts(protocol, port, Fragment::Whole);
    for (facts, kind, tunnel) in [
        (whole(47, 0), TUNNEL_GRE, Tunnel::Gre),
        (whole(4, 0), TUNNEL_IPIP, Tunnel::Ipip),
        (whole(41, 0), TUNNEL_IPIP, Tunnel::Ipip),
        (whole(17, 4789), TUNNEL_VXLAN, Tunnel::Vxlan),
        (whole(17, PORT), TUNNEL_VXLAN, Tunnel::Vxlan),
    ] {
        for kinds in 0..=ALL {
            let expected = (kinds & kind != 0).then_some(tunnel);
            assert_eq!(tunnel_of(&facts, kinds, &PORTS), expected, "{facts:?}");
        }
        assert_eq!(tunnel_of(&Facts { fragment: Fragment::Later, ..facts }, ALL, &PORTS), None);
        assert!(tunnel_of(&Facts { fragment: Fragment::First, ..facts }, ALL, &PORTS).is_some());
    }
    for other in [whole(6, 4789), whole(17, 4790), whole(17, 0), whole(50, 0), whole(1, 0)] {
        assert_eq!(tunnel_of(&other, ALL, &PORTS), None, "{other:?}");
    }
}

/// A first fragment holds all headers or is malformed, whatever stands behind it in the frame.
#[test]
fn a_first_fragment_must_hold_the_inner_headers() {
    let inner = v4(protocol::UDP, &udp(&[7; 900]));
    let content = gre(0, 0, IPV4, &inner);
    let expected = parsed(&ethernet(IPV4, &inner)).1;
    for held in (8..200).step_by(8) {
        let mut frame = ethernet(IPV4, &v4_fragment(0, true, 47, &content[..held]));
        frame.extend(&content[held..held + 60]);
        match within(&frame, frame.len()) {
            // GRE, IPv4 and UDP are 32 bytes.
            Ok(Some((facts, layout, inner))) => {
                assert!(held >= 32 && inner.cut);
                assert_eq!((facts, usize::from(layout.payload_length)), (expected, held - 32));
            }
            Err(reason) => assert!(held < 32 && reason.is_malformed(), "{held}: {reason:?}"),
            Ok(None) => panic!("{held}"),
        }
    }
    // An inner fragment's own rules look at what its header says, not at what is here.
    let odd = v4_fragment(0, true, protocol::UDP, &udp(&[7; 15]));
    let frame = ethernet(IPV4, &v4_fragment(0, true, 4, &odd[..40]));
    assert_eq!(within(&frame, frame.len()).unwrap_err(), Reason::MalformedFragment);
}
