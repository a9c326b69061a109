//! Any bytes as a value: the detector never panics, takes at most a millisecond for a KiB, and says the same again with memory that was used before.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stopbank_checker::inject::{Detector, Finding, Kind, Scratch, THRESHOLD};
use stopbank_fuzz::bounded;

static DETECTOR: LazyLock<Detector> = LazyLock::new(Detector::new);

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, value)) = bytes.split_first() else { return };
    let kind = [Kind::Value, Kind::Path, Kind::Header, Kind::Name, Kind::FileName][usize::from(first) % 5];
    let mut scratch = Scratch::default();
    let detector = &*DETECTOR;
    let found = bounded(value.len(), 1 << 20, || detector.judge_bytes(value, kind, &mut scratch));
    assert_eq!(found, DETECTOR.judge_bytes(value, kind, &mut scratch));
    if let Some(Finding { score, decoded, .. }) = found {
        assert!((THRESHOLD..=100).contains(&score) && decoded.len() <= 128);
    }
});
