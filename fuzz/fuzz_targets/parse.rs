//! Any bytes as a frame. The address sanitizer watches that nothing outside them is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_common::{
    Reason,
    parse::{Cursor, Facts, Fragment, Network, parse, protocol},
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
            let malformed = Reason::MalformedEthernet as u8..=Reason::MalformedIcmp as u8;
            assert!(malformed.contains(&(reason as u8)), "{reason:?} is no reason of the parser's");
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

fuzz_target!(|bytes: &[u8]| {
    // The first two bytes: how much longer the frame is than what can be seen of it.
    let [high, low, frame @ ..] = bytes else { return };
    let length = frame.len() as u32;
    let whole = parsed(frame, length);
    let longer = parsed(frame, length + u32::from(u16::from_be_bytes([*high, *low])));
    if whole.0.is_ok() {
        assert_eq!(whole, longer, "what follows the packet changed it");
    }
    // Cut short anywhere, it says the same or is malformed.
    let cut = usize::from(*low) % (frame.len() + 1);
    let beginning = parsed(&frame[..cut], cut as u32);
    if beginning.0.is_ok() {
        assert_eq!(beginning, whole, "the rest of the frame changed it");
    }
});
