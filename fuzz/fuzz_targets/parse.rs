//! Any bytes as a frame. The address sanitizer watches that nothing outside them is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_common::{
    Reason,
    parse::{
        Cursor, Facts, Fragment, Inner, Layout, Network, parse, parse_inner, parse_layout, parse_tunnel, protocol,
        tunnel_of,
    },
    policy::{TUNNEL_GRE, TUNNEL_IPIP, TUNNEL_VXLAN},
};

fn parsed(frame: &[u8], length: u32) -> (Result<Network, Reason>, Facts) {
    let mut facts = Facts::default();
    let result = parse(Cursor::new(frame), length, &mut facts);
    check(result, &facts);
    (result, facts)
}

/// What holds of the facts of any frame.
fn check(result: Result<Network, Reason>, facts: &Facts) {
    let read_through = match result {
        Err(reason) => {
            assert!(reason.is_malformed(), "{reason:?} is no reason of the parser's");
            false
        }
        Ok(Network::Arp | Network::Other) => {
            assert_eq!(*facts, Facts::default());
            false
        }
        Ok(Network::Ip) => {
            assert_eq!(facts.source.is_v4(), facts.destination.is_v4());
            facts.fragment != Fragment::Later
        }
    };
    if !read_through || !facts.has_ports() {
        assert_eq!((facts.source_port, facts.destination_port, facts.tcp_flags), (0, 0, 0));
    }
    assert!(facts.tcp_flags == 0 || facts.protocol == protocol::TCP);
    let own_icmp = if facts.source.is_v4() { protocol::ICMP } else { protocol::ICMPV6 };
    if !read_through || facts.protocol != own_icmp {
        assert_eq!((facts.icmp_type, facts.icmp_code), (0, 0));
    }
}

/// What a tunnel carries, if the frame is one.
fn within(frame: &[u8], length: u32) -> Result<Option<(Facts, Layout)>, Reason> {
    let (mut facts, mut layout) = (Facts::default(), Layout::default());
    if parse_layout(Cursor::new(frame), length, &mut facts, &mut layout)? != Network::Ip {
        return Ok(None);
    }
    let kinds = TUNNEL_GRE | TUNNEL_IPIP | TUNNEL_VXLAN;
    let Some(tunnel) = tunnel_of(&facts, kinds, &[4789, 8472, 53, 443]) else { return Ok(None) };
    let outer = u32::from(layout.payload_offset) + u32::from(layout.payload_length);
    let Some(inner) = parse_tunnel(Cursor::new(frame), tunnel, &facts, &layout)? else { return Ok(None) };
    assert_eq!(Inner::from_word(inner.to_word()), inner);
    assert_eq!(u32::from(inner.at) + u32::from(inner.held), outer, "it ends where the outer packet does");
    let (mut facts, mut layout) = (Facts::default(), Layout::default());
    let result = parse_inner(Cursor::new(frame), inner, &mut facts, &mut layout);
    check(result, &facts);
    if result.is_ok() {
        assert!(u32::from(layout.payload_offset) + u32::from(layout.payload_length) <= outer);
    }
    result.map(|_| Some((facts, layout)))
}

fuzz_target!(|bytes: &[u8]| {
    // The first two bytes: how much longer the frame is than what can be seen of it.
    let [high, low, frame @ ..] = bytes else { return };
    let length = frame.len() as u32;
    let whole = parsed(frame, length);
    let longer = parsed(frame, length + u32::from(u16::from_be_bytes([*high, *low])));
    if whole.0.is_ok() {
        assert_eq!(whole, longer, "what follows the packet changed it");
    }
    let carried = within(frame, length);
    if carried.is_ok() {
        let longer = within(frame, length + u32::from(u16::from_be_bytes([*high, *low])));
        assert_eq!(carried, longer, "what follows the packet changed what it carries");
    }
    // Cut short anywhere, it says the same or is malformed.
    let cut = usize::from(*low) % (frame.len() + 1);
    let beginning = parsed(&frame[..cut], cut as u32);
    if beginning.0.is_ok() {
        assert_eq!(beginning, whole, "the rest of the frame changed it");
    }
});
