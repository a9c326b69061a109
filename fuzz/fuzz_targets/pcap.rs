//! Any bytes as a capture: `stopbank simulate` reads files that attackers wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank::capture::Capture;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut capture) = Capture::open(bytes) else { return };
    let mut frame = Vec::new();
    let mut read = 0;
    while let Ok(Some(record)) = capture.next_record() {
        read += record.data.len();
        assert!(record.data.len() <= record.original as usize);
        if let Some(shape) = record.ethernet(&mut frame) {
            assert_eq!(shape.captured, frame.len());
            assert!(shape.length >= 14 && shape.captured as u64 <= shape.length);
        }
    }
    // A gzip'd file holds more than its own length.
    assert!(bytes.starts_with(&[0x1f, 0x8b]) || read <= bytes.len());
    assert!(bytes.starts_with(&[0x1f, 0x8b]) || capture.truncated().is_none_or(|at| at <= bytes.len() as u64));
});
