//! Every good frame, cut at every byte.

use stopbank_common::{Reason, parse::Facts};

use crate::frames::{every_kind, parsed, seen_in_part};

/// Whether the reason is one that a cut can have.
fn is_malformed(reason: Reason) -> bool {
    (Reason::MalformedEthernet as u8..=Reason::MalformedIcmp as u8).contains(&(reason as u8))
}

/// What is left of the frame either says what the whole frame said, or is malformed.
#[test]
fn a_frame_cut_at_any_byte_says_the_same_or_is_malformed() {
    for (name, frame) in every_kind() {
        let whole = parsed(&frame);
        for length in 0..frame.len() {
            match parsed(&frame[..length]) {
                (Err(reason), facts) => {
                    assert!(is_malformed(reason), "{name} cut at {length}: {reason:?}");
                    assert_no_contradiction(name, length, &facts, &whole.1);
                }
                cut => assert_eq!(cut, whole, "{name} cut at {length}"),
            }
        }
    }
}

/// The same where the frame is whole and the rest of it is in buffers that the program does not see.
#[test]
fn a_frame_seen_up_to_any_byte_says_the_same_or_is_malformed() {
    for (name, frame) in every_kind() {
        let whole = parsed(&frame);
        let mut last_error = None;
        for length in 0..frame.len() {
            match seen_in_part(&frame[..length], frame.len() as u32) {
                (Err(reason), facts) => {
                    assert!(is_malformed(reason), "{name} seen up to {length}: {reason:?}");
                    assert_no_contradiction(name, length, &facts, &whole.1);
                    last_error = Some(length);
                }
                cut => {
                    assert_eq!(cut, whole, "{name} seen up to {length}");
                    assert!(last_error.is_none_or(|error| error < length));
                }
            }
        }
    }
}

/// Every header is cut short by some cut, and has a reason of its own.
#[test]
fn the_cuts_together_give_every_reason_there_is_for_a_header() {
    let mut seen = std::collections::BTreeSet::new();
    for (_, frame) in every_kind() {
        for length in 0..frame.len() {
            seen.extend(seen_in_part(&frame[..length], frame.len() as u32).0.err());
        }
    }
    let expected = [
        Reason::MalformedEthernet,
        Reason::MalformedVlan,
        Reason::MalformedIpv4,
        Reason::MalformedIpv6,
        Reason::MalformedExtension,
        Reason::MalformedTcp,
        Reason::MalformedUdp,
        Reason::MalformedIcmp,
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

/// What a cut frame says of itself is what the whole one says, as far as it says anything. (The protocol may be that of an
/// extension header that was not looked through yet.)
#[track_caller]
fn assert_no_contradiction(name: &str, length: usize, cut: &Facts, whole: &Facts) {
    let nothing = Facts::default();
    assert!(cut.source == nothing.source || cut.source == whole.source, "{name} cut at {length}");
    assert!(
        cut.destination == nothing.destination || cut.destination == whole.destination,
        "{name} cut at {length}"
    );
    assert!(cut.hop_limit == 0 || cut.hop_limit == whole.hop_limit, "{name} cut at {length}");
    assert_eq!((cut.source_port, cut.destination_port, cut.tcp_flags), (0, 0, 0), "{name} cut at {length}");
    assert_eq!((cut.icmp_type, cut.icmp_code), (0, 0), "{name} cut at {length}");
}
