//! Any bytes as a value: the detector never panics, takes at most a millisecond for a KiB, and says the same again with memory that was used before.
#![no_main]

use std::{sync::LazyLock, time::Instant};

use libfuzzer_sys::fuzz_target;
use stopbank_checker::inject::{Detector, Finding, Kind, Scratch, THRESHOLD};

static DETECTOR: LazyLock<Detector> = LazyLock::new(Detector::new);

/// Milliseconds that a KiB may take: one, and sixteen times that for the sanitizers and for machines that do other things as well.
const MOST: u128 = 16;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, value)) = bytes.split_first() else { return };
    let kind = [Kind::Value, Kind::Path, Kind::Header, Kind::Name, Kind::FileName][usize::from(first) % 5];
    let mut scratch = Scratch::default();
    let start = Instant::now();
    let found = DETECTOR.judge_bytes(value, kind, &mut scratch);
    let kibibytes = value.len() as u128 / 1024 + 1;
    assert!(start.elapsed().as_millis() <= MOST * (kibibytes + 4), "{:?} for {} bytes", start.elapsed(), value.len());
    assert_eq!(found, DETECTOR.judge_bytes(value, kind, &mut scratch));
    if let Some(Finding { score, decoded, .. }) = found {
        assert!((THRESHOLD..=100).contains(&score) && decoded.len() <= 128);
    }
});
