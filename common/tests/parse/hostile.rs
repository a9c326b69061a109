//! Bytes that nobody sends on purpose: no panic, no read outside the frame, facts that hold together.

use std::ptr;

use proptest::prelude::*;
use stopbank_common::{
    Reason,
    parse::{Facts, Fragment, Network, protocol},
};

use crate::frames::{every_kind, parsed, seen_in_part};

/// Two pages between two that nobody may touch: who reads a byte before or after the frame dies of it.
struct Guarded {
    mapping: *mut u8,
    page: usize,
}

impl Guarded {
    fn new() -> Self {
        // SAFETY: a call without pointers.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let (none, private) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let mapping = unsafe { libc::mmap(ptr::null_mut(), 4 * page, none, private, -1, 0) };
        assert_ne!(mapping, libc::MAP_FAILED);
        let mapping = mapping.cast::<u8>();
        // SAFETY: the two pages in the middle of the mapping.
        let opened =
            unsafe { libc::mprotect(mapping.add(page).cast(), 2 * page, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(opened, 0);
        Self { mapping, page }
    }

    /// Parses the frame with its last byte, then with its first one, at the edge of what may be read.
    fn parse(&mut self, frame: &[u8], length: u32) -> (Result<Network, Reason>, Facts) {
        let room = 2 * self.page;
        assert!(frame.len() <= room);
        let [at_the_end, at_the_start] = [room - frame.len(), 0].map(|offset| {
            // SAFETY: `offset + frame.len()` is within the two readable pages, which nobody else refers to.
            let copy = unsafe {
                let place = self.mapping.add(self.page + offset);
                ptr::copy_nonoverlapping(frame.as_ptr(), place, frame.len());
                std::slice::from_raw_parts(place, frame.len())
            };
            seen_in_part(copy, length)
        });
        assert_eq!(at_the_end, at_the_start);
        at_the_end
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, to which no reference is left.
        unsafe { libc::munmap(self.mapping.cast(), 4 * self.page) };
    }
}

/// What holds of the facts of any frame.
fn check(result: Result<Network, Reason>, facts: &Facts) -> Result<(), TestCaseError> {
    match result {
        Err(reason) => {
            let number = reason as u8;
            prop_assert!((Reason::MalformedEthernet as u8..=Reason::MalformedIcmp as u8).contains(&number));
        }
        Ok(Network::Arp | Network::Other) => prop_assert_eq!(*facts, Facts::default()),
        Ok(Network::Ip) => {
            let tcp_or_udp = facts.protocol == protocol::TCP || facts.protocol == protocol::UDP;
            prop_assert_eq!(facts.has_ports(), tcp_or_udp && facts.fragment != Fragment::Later);
            prop_assert_eq!(facts.source.is_v4(), facts.destination.is_v4());
        }
    }
    if !facts.has_ports() || result.is_err() {
        prop_assert_eq!((facts.source_port, facts.destination_port, facts.tcp_flags), (0, 0, 0));
    }
    if facts.protocol != protocol::TCP {
        prop_assert_eq!(facts.tcp_flags, 0);
        prop_assert!(!facts.opens_connection());
    }
    let own_icmp = if facts.source.is_v4() { protocol::ICMP } else { protocol::ICMPV6 };
    if facts.protocol != own_icmp || facts.fragment == Fragment::Later || result.is_err() {
        prop_assert_eq!((facts.icmp_type, facts.icmp_code), (0, 0));
    }
    Ok(())
}

/// Some bytes of a good frame overwritten, more often with bytes that mean something, and some cut off or added.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(vec![
        0, 1, 4, 6, 17, 43, 44, 51, 58, 60, 135, 0x45, 0x4f, 0x60, 0x08, 0x81, 0x86, 0xdd, 0xff,
    ]);
    let change = (any::<prop::sample::Index>(), prop_oneof![telling, any::<u8>()]);
    let frame = prop::sample::select(every_kind()).prop_map(|(_, frame)| frame);
    let length = prop_oneof![
        2 => Just(None),
        1 => any::<prop::sample::Index>().prop_map(|index| Some(index.index(120))),
    ];
    (frame, prop::collection::vec(change, 0..6), length).prop_map(|(mut frame, changes, length)| {
        for (at, byte) in changes {
            // The first headers decide, so that is where most of the changes are.
            let at = 12 + at.index((frame.len() - 12).min(70));
            frame[at] = byte;
        }
        if let Some(length) = length {
            frame.resize(length, 0xa5);
        }
        frame
    })
}

fn random() -> impl Strategy<Value = Vec<u8>> {
    let ethertype = prop::sample::select(vec![0x0800u16, 0x86dd, 0x8100, 0x88a8, 0x0806]);
    (prop::collection::vec(any::<u8>(), 0..200), prop::option::weighted(0.9, ethertype)).prop_map(
        |(mut bytes, kind)| {
            if let (Some(kind), Some(field)) = (kind, bytes.get_mut(12..14)) {
                field.copy_from_slice(&kind.to_be_bytes());
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_bytes_are_parsed_within_their_bounds(frame in prop_oneof![mutated(), random()], beyond in 0..9_000u32) {
        let mut guarded = Guarded::new();
        let whole = guarded.parse(&frame, frame.len() as u32);
        check(whole.0, &whole.1)?;
        // The beginning of a longer frame, and a length that is too short for what is there.
        let in_part = guarded.parse(&frame, frame.len() as u32 + beyond);
        check(in_part.0, &in_part.1)?;
        let too_short = guarded.parse(&frame, beyond);
        check(too_short.0, &too_short.1)?;
    }

    /// Bytes behind the end that the headers give cannot change what the packet is.
    #[test]
    fn what_follows_the_packet_does_not_matter(frame in mutated(), padding in prop::collection::vec(any::<u8>(), 0..40)) {
        let (result, facts) = parsed(&frame);
        if result.is_ok() {
            let padded = [&frame[..], &padding].concat();
            prop_assert_eq!(parsed(&padded), (result, facts));
        }
    }
}

/// One mapping and many frames: a sweep over every byte of every good frame and all of its values.
#[test]
fn every_single_byte_of_every_good_frame_may_have_any_value() {
    let mut guarded = Guarded::new();
    for (name, frame) in every_kind() {
        for at in 12..frame.len().min(140) {
            let mut frame = frame.clone();
            for value in 0..=255 {
                frame[at] = value;
                let (result, facts) = guarded.parse(&frame, frame.len() as u32);
                if let Err(error) = check(result, &facts) {
                    panic!("{name}, byte {at} = {value:#04x}: {error}");
                }
            }
        }
    }
}
