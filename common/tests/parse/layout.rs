//! Where the parser says that things stand.

use stopbank_common::parse::{Cursor, Facts, Layout, Network, parse, parse_layout, protocol};

use crate::frames::{
    IPV4, IPV6, SYN, ethernet, extension, icmp, tagged, tcp_with, v4, v4_fragment, v4_with, v6,
};

/// The layout; what else is told is what [`parse`] tells.
#[track_caller]
fn laid_out(visible: &[u8], length: usize) -> Layout {
    let (mut facts, mut layout, mut alone) = (Facts::default(), Layout::default(), Facts::default());
    let result = parse_layout(Cursor::new(visible), length as u32, &mut facts, &mut layout);
    assert_eq!(result, Ok(Network::Ip));
    assert_eq!(parse(Cursor::new(visible), length as u32, &mut alone), result);
    assert_eq!(facts, alone);
    layout
}

/// An IP packet in a frame: offsets of the transport header and the payload, lengths of payload and IP packet.
#[track_caller]
fn lies(packet: &[u8], transport: u16, payload: u16, payload_length: u16, ip_length: u16) {
    let ethertype = if packet[0] >> 4 == 4 { IPV4 } else { IPV6 };
    stands(&ethernet(ethertype, packet), transport, payload, payload_length, ip_length);
}

#[track_caller]
fn stands(frame: &[u8], transport: u16, payload: u16, payload_length: u16, ip_length: u16) {
    let tcp_window = laid_out(frame, frame.len()).tcp_window;
    let expected = Layout {
        ip_length,
        transport_offset: transport,
        payload_offset: payload,
        payload_length,
        tcp_window,
    };
    let padded = [frame, &[0xee; 30]].concat();
    assert_eq!(laid_out(frame, frame.len()), expected);
    assert_eq!(laid_out(&padded, padded.len()), expected, "what pads the frame does not count");
}

#[test]
fn headers_and_payloads_are_where_the_headers_say() {
    let segment = |options: &[u8], payload: &[u8]| tcp_with(SYN, options, payload);
    lies(&v4(protocol::TCP, &segment(&[], &[])), 34, 54, 0, 40);
    lies(&v4(protocol::TCP, &segment(&[1; 40], &[7; 5])), 34, 94, 5, 85);
    lies(&v4_with(&[1; 40], 0, protocol::TCP, &segment(&[], &[7])), 74, 94, 1, 81);
    lies(&v6(protocol::TCP, &segment(&[1; 4], &[7; 9])), 54, 78, 9, 73);
    let datagram = |says: u16, holds: usize| {
        let [high, low] = says.to_be_bytes();
        [&[0x9c, 0x40, 1, 0xbb, high, low, 0, 0][..], &vec![7; holds]].concat()
    };
    lies(&v4(protocol::UDP, &datagram(8, 0)), 34, 42, 0, 28);
    lies(&v4(protocol::UDP, &datagram(18, 10)), 34, 42, 10, 38);
    // A receiver cuts it to what the UDP header says.
    lies(&v4(protocol::UDP, &datagram(12, 10)), 34, 42, 4, 38);
    stands(&tagged(&[0x88a8, 0x8100], IPV4, &v4(protocol::UDP, &datagram(9, 1))), 42, 50, 1, 29);
    lies(&v4(protocol::ICMP, &icmp(8, 0)), 34, 42, 0, 28);
    lies(&v6(protocol::ICMPV6, &[128, 0, 0, 0]), 54, 58, 0, 44);
    lies(&v6(protocol::ICMPV6, &[128, 0, 0, 0, 1, 2, 3, 4, 5]), 54, 62, 1, 49);
    lies(&v4(47, &[7; 12]), 34, 34, 12, 32);
    lies(&v6(0, &extension(protocol::UDP, 3, &datagram(10, 2))), 78, 86, 2, 74);
}

#[test]
fn of_a_fragment_it_is_what_the_fragment_holds() {
    // The datagram is longer than its first fragment.
    let first = [&[0x9c, 0x40, 1, 0xbb, 0x20, 0, 0, 0][..], &[7; 8]].concat();
    lies(&v4_fragment(0, true, protocol::UDP, &first), 34, 42, 8, 36);
    lies(&v4_fragment(64, false, protocol::UDP, &[7; 11]), 34, 34, 11, 31);
}

#[test]
fn a_frame_that_is_seen_in_part_is_laid_out_by_its_whole_length() {
    let frame = ethernet(IPV4, &v4(protocol::TCP, &tcp_with(SYN, &[], &[7; 8_900])));
    let Layout { payload_offset, payload_length, .. } = laid_out(&frame[..200], frame.len());
    assert_eq!((payload_offset, payload_length), (54, 8_900));
}

#[test]
fn only_segments_have_windows() {
    let window = |packet: &[u8]| laid_out(&ethernet(IPV4, packet), packet.len() + 14).tcp_window;
    assert_eq!(window(&v4(protocol::TCP, &tcp_with(SYN, &[], &[]))), 0xffff);
    assert_eq!(window(&v4(protocol::ICMP, &icmp(8, 0))), 0);
}
