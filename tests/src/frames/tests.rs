use stopbank_common::{
    Reason,
    parse::{Cursor, Facts, Fragment, Network, parse},
};

use super::*;

fn read(frame: &Frame) -> Result<(Network, Facts), Reason> {
    let mut facts = Facts::default();
    parse(Cursor::new(frame), frame.len() as u32, &mut facts).map(|network| (network, facts))
}

fn sums_to_zero(frame: &Frame, pseudo: &[&[u8]]) {
    let mut parts = pseudo.to_vec();
    parts.push(&frame[frame.transport..]);
    assert_eq!(internet_checksum(&parts), 0);
}

#[test]
fn an_ipv4_datagram_has_its_lengths_and_checksums() {
    let frame =
        FrameBuilder::new("192.0.2.7", "198.51.100.1").options(&[1; 3]).udp(1000, 53).payload(b"abc").build();
    assert_eq!((frame.network, frame.transport, frame.payload, frame.len()), (14, 38, 46, 49));
    assert_eq!(frame[14], 0x46);
    assert_eq!(frame[16..18], 35_u16.to_be_bytes());
    assert_eq!(internet_checksum(&[&frame[14..38]]), 0);
    sums_to_zero(&frame, &[&frame[26..34], &[0, 17, 0, 11]]);
}

#[test]
fn every_transport_has_the_checksum_of_its_family() {
    let v6 = FrameBuilder::new("2001:db8::7", "2001:db8::1");
    for (builder, number) in [(v6.clone().tcp(1, 2), 6), (v6.clone().udp(1, 2), 17), (v6.echo_request(), 58)]
    {
        let frame = builder.payload(&[7; 5]).build();
        let length = (frame.len() - frame.transport) as u8;
        sums_to_zero(&frame, &[&frame[22..54], &[0, 0, 0, length, 0, 0, 0, number]]);
    }
    sums_to_zero(&FrameBuilder::new("192.0.2.7", "192.0.2.1").echo_request().payload(b"ping").build(), &[]);
}

#[test]
fn the_parser_reads_what_was_built() {
    let frame = FrameBuilder::new("2001:db8::7", "2001:db8::1")
        .service_vlan(7)
        .vlan(8)
        .hop_by_hop(1)
        .routing(2)
        .destination_options(1)
        .authentication(6)
        .tcp(40_000, 443)
        .tcp_options(&[2, 4, 5, 180])
        .build();
    let (network, facts) = read(&frame).unwrap();
    assert_eq!(network, Network::Ip);
    assert_eq!((facts.source_port, facts.destination_port), (40_000, 443));
    assert!(facts.opens_connection());
    for builder in
        [FrameBuilder::new("192.0.2.7", "192.0.2.1"), FrameBuilder::new("2001:db8::7", "2001:db8::1")]
    {
        let first = builder.clone().fragment(0, true).udp(1, 2).payload(&[0; 16]).udp_length(100).build();
        assert_eq!(read(&first).unwrap().1.fragment, Fragment::First);
        let later = builder.fragment(24, false).protocol(17).payload(&[0; 9]).build();
        assert_eq!(read(&later).unwrap().1.fragment, Fragment::Later);
    }
    assert_eq!(read(&arp(Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST)).unwrap().0, Network::Arp);
    assert_eq!(read(&other(ethertype::LLDP, &[0; 46])).unwrap().0, Network::Other);
}

#[test]
fn a_knob_breaks_its_own_field() {
    let v4 = FrameBuilder::new("192.0.2.7", "192.0.2.1").udp(1, 2);
    let v6 = FrameBuilder::new("2001:db8::7", "2001:db8::1").tcp(1, 2);
    for (builder, reason) in [
        (v4.clone().version(5), Reason::MalformedIpv4),
        (v4.clone().header_words(4), Reason::MalformedIpv4),
        (v4.clone().length(500), Reason::MalformedIpv4),
        (v4.clone().udp_length(7), Reason::MalformedUdp),
        (v6.clone().version(4), Reason::MalformedIpv6),
        (v6.clone().length(500), Reason::MalformedIpv6),
        (v6.clone().data_offset(4), Reason::MalformedTcp),
        (v6.clone().hop_by_hop(1).hop_by_hop(1), Reason::MalformedExtension),
        (v4.vlan(1).vlan(2).vlan(3), Reason::MalformedVlan),
    ] {
        assert_eq!(read(&builder.build()), Err(reason));
    }
    // Its IPv6 header promises more than there is.
    assert_eq!(read(&v6.build().truncated(60)), Err(Reason::MalformedIpv6));
}

/// Read with the code of the parser, which has been written from the same RFCs: see `common/tests/parse/tunnel.rs` for bytes.
#[test]
fn a_tunnel_carries_what_it_is_given() {
    let inner = FrameBuilder::new("2001:db8::7", "2001:db8::1").vlan(7).tcp(1, 2).build();
    let outer = || FrameBuilder::new("192.0.2.7", "192.0.2.1");
    let gre = Gre { checksum: true, key: Some(7), sequence: Some(8), bridges: false };
    for (frame, header) in [
        (outer().ip_in_ip(&inner).build(), 0),
        (outer().gre(Gre::default(), &inner).build(), 4),
        (outer().gre(gre, &inner).build(), 16),
    ] {
        assert_eq!(frame[frame.transport + header..], inner[inner.network..]);
        assert!(read(&frame).is_ok());
    }
    let bridged = outer().gre(Gre { bridges: true, ..Gre::default() }, &inner).build();
    assert_eq!(bridged[bridged.transport..][..4], [0, 0, 0x65, 0x58]);
    let vxlan = outer().vxlan(40_000, 4789, &inner).build();
    assert_eq!((&bridged[bridged.transport + 4..], &vxlan[vxlan.payload + 8..]), (&inner[..], &inner[..]));
    sums_to_zero(&vxlan, &[&vxlan[26..34], &[0, 17], &((vxlan.len() - 34) as u16).to_be_bytes()]);
}
