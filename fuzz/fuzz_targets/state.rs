//! Any bytes as a file of the lists that are kept: what is taken reads the same when it is written again, and every line of it is
//! one that an agent could have written. The first byte chooses whether checksums are made to be right, so that what is behind
//! them is reached too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank::state::{Line, encode, read};

fn taken(mut bytes: &[u8]) -> Vec<(u64, Line)> {
    let mut lines = Vec::new();
    read(&mut bytes, |number, line| lines.push((number, line))).expect("memory can be read");
    lines
}

/// The lines with checksums in front of them.
fn summed(bytes: &[u8]) -> Vec<u8> {
    let mut text = b"stopbank lists 1\n".to_vec();
    for line in bytes.split(|byte| *byte == b'\n') {
        text.extend(format!("{:08x} ", crc32fast::hash(line)).bytes());
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, bytes @ ..] = bytes else { return };
    let lines = if choice % 2 == 0 { taken(bytes) } else { taken(&summed(bytes)) };
    let mut again = b"stopbank lists 1\n".to_vec();
    lines.iter().for_each(|(number, line)| encode(&mut again, *number, line));
    assert_eq!(taken(&again), lines);
});
