//! Signatures on the host: case by case, and against the reference on any frame.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cases;
#[path = "../parse/frames.rs"]
#[expect(dead_code, reason = "the parser's tests use the rest")]
mod frames;
mod generate;
mod reference;

use generate::Draw;
use proptest::prelude::*;
use stopbank_common::{
    parse::{Cursor, Facts, Layout, Network, parse_layout},
    signature::{Frame, Signature, option_kinds},
};

/// Whether a frame is good, and matches.
fn matches(signature: &Signature, frame: &[u8]) -> Option<bool> {
    let (mut facts, mut layout) = (Facts::default(), Layout::default());
    match parse_layout(Cursor::new(frame), frame.len() as u32, &mut facts, &mut layout) {
        Ok(Network::Ip) => Some(signature.matches(&facts, &layout, &Frame(frame))),
        _ => None,
    }
}

/// splitmix64.
struct Random(u64);

impl Draw for Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

#[test]
fn any_signature_and_any_good_frame_agree_with_the_reference() {
    let (mut random, frames) = (Random(35), frames::every_kind());
    let (mut hits, mut misses) = (0, 0);
    while hits + misses < 200_000 {
        let mut frame = frames[random.below(frames.len())].1.clone();
        let other = &frames[random.below(frames.len())].1;
        for _ in 0..random.below(3) {
            let at = 12 + random.below(frame.len() - 12);
            frame[at] = random.below(256) as u8;
        }
        let from = if random.below(4) == 0 { other } else { &frame };
        if matches(&Signature::default(), &frame).is_none() || matches(&Signature::default(), from).is_none()
        {
            continue;
        }
        let signature = generate::signature(&mut random, from);
        let matched = matches(&signature, &frame).unwrap();
        assert_eq!(matched, reference::matches(&signature, &frame), "{signature:?}\n{frame:02x?}");
        *(if matched { &mut hits } else { &mut misses }) += 1;
    }
    assert!(hits > 20_000 && misses > 20_000, "{hits} matched, {misses} did not");
}

proptest! {
    #[test]
    fn any_options_agree_with_the_reference(
        options in prop::collection::vec(prop_oneof![Just(1_u8), 0_u8..6, any::<u8>()], 0..=40)
    ) {
        let mut bytes = [0xee; 64];
        bytes[..options.len()].copy_from_slice(&options);
        prop_assert_eq!(option_kinds(&bytes, options.len() as u32), reference::packed(&options));
    }
}
