//! Any bytes as a text with secrets, and how it is cut: masking keeps the length, masks no more a second time, and does not depend on the cuts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::sensitive::{Counts, Kind, Sensitive, evidence_text};
use stopbank_fuzz::{LITTLE, bounded};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, text) = input;
    let all = [Sensitive::default(), Sensitive::new(&Kind::ALL, &[]).unwrap()];
    for (number, sensitive) in all.iter().enumerate() {
        let mut counts = Counts::default();
        let masked = bounded(text.len(), LITTLE, || sensitive.mask(text, &mut counts));
        assert_eq!(masked.len(), text.len());
        if number == 0 {
            assert_eq!(sensitive.mask(&masked, &mut Counts::default()), masked);
        }
        let (mut stream, mut out) = (sensitive.stream(), Vec::new());
        for piece in text.chunks(usize::from(cut).max(1)) {
            stream.push(piece, &mut out);
        }
        assert_eq!(stream.finish(&mut out), counts);
        assert_eq!(out, *masked);
    }
    if let Ok(text) = str::from_utf8(text) {
        let evidence = evidence_text(text);
        assert!(evidence.len() <= 128 && !evidence.contains(char::is_control));
    }
});
