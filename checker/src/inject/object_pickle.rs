//! Python's pickles, read operation by operation as its machine does (Python, pickletools.py), without being run.

/// Whether bytes are a pickle that takes something by its name, or any of protocol 2 and later. `cut` when only its beginning is there.
pub(super) fn is_one(bytes: &[u8], cut: bool) -> bool {
    let versioned = matches!(bytes, [0x80, 2..=5, ..]);
    let (mut at, mut named, mut steps) = (0, false, 0_u32);
    while let Some(&operation) = bytes.get(at) {
        steps += 1;
        let rest = &bytes[at + 1..];
        let length = match operation {
            b'.' => {
                // What stands behind the end is left alone by those that read it, and kept by those that sign it.
                let ended = rest.iter().all(|byte| *byte <= b' ');
                return named && steps > 2 || versioned && ended && steps > 2;
            }
            b'('
            | b')'
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b'Q'
            | b'R'
            | b'a'
            | b'b'
            | b'd'
            | b']'
            | b'e'
            | b'l'
            | b's'
            | b't'
            | b'}'
            | b'u'
            | b'o'
            | 0x81
            | 0x85..=0x89
            | 0x8f..=0x92
            | 0x94
            | 0x97
            | 0x98 => Some(0),
            0x93 => {
                named = true;
                Some(0)
            }
            b'F' | b'I' | b'L' | b'S' | b'V' | b'P' | b'g' | b'p' => line(rest),
            b'c' | b'i' => {
                let two = name(rest).and_then(|first| Some(first + name(&rest[first..])?));
                named |= two.is_some();
                two
            }
            b'K' | b'h' | b'q' | 0x80 | 0x82 => Some(1),
            b'M' | 0x83 => Some(2),
            b'J' | b'j' | b'r' | 0x84 => Some(4),
            b'G' | 0x95 => Some(8),
            b'U' | 0x8a | 0x8c | b'C' => rest.first().map(|length| 1 + usize::from(*length)),
            b'T' | b'X' | b'B' | 0x8b => counted(rest, 4),
            0x8d | 0x8e | 0x96 => counted(rest, 8),
            _ => None,
        };
        // A length of nearly 2^64 leads past the end, and not back into what was read.
        let Some(length) = length else { return false };
        at = at.saturating_add(1).saturating_add(length);
    }
    // Its end is missing: cut off here, or before it was sent.
    (cut || versioned) && named && steps > 3
}

/// The length of a line with its end.
fn line(text: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', text).map(|end| end + 1)
}

/// The length of a line that is the name of a module, or of something in it.
fn name(text: &[u8]) -> Option<usize> {
    let end = line(text.get(..text.len().min(128))?)?;
    let name = text[..end].trim_ascii_end();
    let plain = name.iter().all(|byte| super::is_word(*byte) || *byte == b'.');
    (plain && name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')).then_some(end)
}

/// A length in so many bytes, the least first, and what it counts.
fn counted(text: &[u8], size: usize) -> Option<usize> {
    let length = text.get(..size)?.iter().rev().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    usize::try_from(length).ok()?.checked_add(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pickles_of_every_protocol_are_read_to_their_end() {
        for pickle in [
            &b"cos\nsystem\n(S'id'\ntR."[..],
            b"cposix\r\nsystem\r\n(S'id'\r\ntR.",
            b"(S'id'\nios\nsystem\n.",
            b"c__main__\nUser\n)\x81}b.",
            b"I1\n0cos\nsystem\n(S'id'\ntR.",
            b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85R.",
            b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
            b"\x80\x03}q\x00.",
        ] {
            assert!(is_one(pickle, false), "{}", pickle.escape_ascii());
        }
        assert!(is_one(b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00id", true));
        for other in [
            &b"cat\ndog\nand a mouse."[..],
            b"cos(x)\nsin(x)\n(tR.",
            b"Nobody.",
            b"]}.",
            b"I am\nhere.",
            b"\x80\x04hello",
            b"\x80\x02.",
            // Lengths with which a sum that wraps would stand still, or go back.
            b"\x80\x04\x8d\xf7\xff\xff\xff\xff\xff\xff\xff",
            b"\x80\x04N\x96\xf6\xff\xff\xff\xff\xff\xff\xff",
            b"",
        ] {
            assert!(!is_one(other, false), "{}", other.escape_ascii());
        }
    }
}
