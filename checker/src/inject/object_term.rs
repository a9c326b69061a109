//! Ruby's Marshal (marshal.c) and Erlang's external terms (erts, "External Term Format"), read by their grammars. Nothing recurses: what is still to
//! come is counted.

/// So many parts are read: what begins well for as long is one.
const PARTS: usize = 256;

/// Whether bytes are an object, a list or a hash that Ruby's `Marshal.load` takes.
pub(super) fn is_marshal(bytes: &[u8]) -> bool {
    if !bytes.starts_with(b"\x04\x08") {
        return false;
    }
    let (mut at, mut open, mut made, mut parts) = (2, 1_usize, false, 0);
    let mut holds = false;
    while open > 0 && parts < PARTS {
        let Some(&kind) = bytes.get(at) else { return made };
        at += 1;
        open -= 1;
        parts += 1;
        let read = match kind {
            b'0' | b'T' | b'F' => Some(0),
            b'i' | b';' | b'@' => number(bytes, &mut at).map(|_| 0),
            b'"' | b'f' => text(bytes, &mut at).map(|_| 0),
            b':' => symbol(bytes, &mut at).map(|()| 0),
            b'/' => text(bytes, &mut at).map(|_| at += 1).map(|()| 0),
            b'l' => {
                at += 1;
                number(bytes, &mut at).map(|length| at += 2 * length).map(|()| 0)
            }
            b'[' | b'{' | b'}' => {
                holds = true;
                let each = if kind == b'[' { 1 } else { 2 };
                number(bytes, &mut at).map(|length| each * length + usize::from(kind == b'}'))
            }
            // A string or a pattern with its encoding, or a dumped object with variables.
            b'I' => match bytes.get(at) {
                Some(b'"' | b'/') => {
                    let pattern = bytes[at] == b'/';
                    at += 1;
                    text(bytes, &mut at).and_then(|_| {
                        at += usize::from(pattern);
                        number(bytes, &mut at).map(|length| 2 * length)
                    })
                }
                Some(b'u' | b'o' | b'U' | b'c' | b'S' | b'C') => return class_name(bytes, at + 1),
                _ => None,
            },
            b'o' | b'S' => {
                made |= class_name(bytes, at);
                name(bytes, &mut at).and_then(|()| number(bytes, &mut at)).map(|length| 2 * length)
            }
            b'c' | b'm' | b'M' => text(bytes, &mut at).map(|name| {
                made |= name.first().is_some_and(u8::is_ascii_uppercase);
                0
            }),
            b'u' => {
                made |= class_name(bytes, at);
                name(bytes, &mut at).and_then(|()| text(bytes, &mut at)).map(|_| 0)
            }
            b'U' | b'e' | b'C' | b'd' => {
                made |= class_name(bytes, at);
                name(bytes, &mut at).map(|()| 1)
            }
            _ => None,
        };
        match read {
            Some(more) if more <= 1 << 20 => open += more,
            // What ends within a name that has begun well was cut off.
            _ => return made && at >= bytes.len(),
        }
    }
    made || holds
}

/// Whether a symbol that is a constant's name stands there, or its beginning, where it was cut off.
fn class_name(bytes: &[u8], at: usize) -> bool {
    let mut start = at + 1;
    if bytes.get(at) != Some(&b':') || number(bytes, &mut start).is_none_or(|length| length >= 128) {
        return false;
    }
    let name = bytes.get(start..).unwrap_or_default();
    let length = usize::from(bytes[at + 1]).saturating_sub(5).clamp(1, 8);
    name.first().is_some_and(u8::is_ascii_uppercase)
        && name.iter().take(length).all(|byte| super::is_word(*byte) || *byte == b':')
}

/// A symbol, or a reference to one.
fn name(bytes: &[u8], at: &mut usize) -> Option<()> {
    let kind = *bytes.get(*at)?;
    *at += 1;
    match kind {
        b':' => symbol(bytes, at),
        b';' => number(bytes, at).map(|_| ()),
        b'I' => {
            *at += 1;
            symbol(bytes, at)?;
            let length = number(bytes, at)?;
            // An encoding: one pair of a symbol and a truth.
            (length <= 1).then_some(())
        }
        _ => None,
    }
}

fn symbol(bytes: &[u8], at: &mut usize) -> Option<()> {
    text(bytes, at).filter(|text| !text.is_empty() && text.iter().all(|byte| *byte > b' ')).map(|_| ())
}

fn text<'b>(bytes: &'b [u8], at: &mut usize) -> Option<&'b [u8]> {
    let length = number(bytes, at)?;
    let text = bytes.get(*at..at.checked_add(length)?);
    *at = if text.is_some() { *at + length } else { bytes.len() };
    text
}

/// A number that is not negative: zero, five more than it is, or its bytes behind their count.
fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let first = *bytes.get(*at)?;
    *at += 1;
    match first {
        0 => Some(0),
        6..=0x7f => Some(usize::from(first) - 5),
        1..=3 => {
            let value = bytes.get(*at..*at + usize::from(first))?;
            *at += value.len();
            Some(value.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
        }
        // Negative, as values may be, but no length.
        0xfc..=0xff => {
            *at += usize::from(first.wrapping_neg());
            Some(0)
        }
        0x80..=0xfb => Some(0),
        _ => None,
    }
}

/// Whether bytes are a term of Erlang's with an atom or a function in it, from its first byte to its last.
pub(super) fn is_term(bytes: &[u8], cut: bool) -> bool {
    if bytes.len() < 4 || bytes[0] != 131 {
        return false;
    }
    // Compressed: a size, and what zlib begins with.
    if bytes[1] == 80 {
        return bytes.get(6) == Some(&0x78);
    }
    let size = |at: usize, length: usize| {
        let bytes = bytes.get(at..at + length)?;
        Some(bytes.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)))
    };
    let (mut at, mut open, mut made, mut parts) = (1, 1_usize, false, 0);
    while open > 0 && parts < PARTS {
        let Some(&kind) = bytes.get(at) else { return cut && made && parts > 3 };
        at += 1;
        open -= 1;
        parts += 1;
        made |= matches!(kind, 100 | 115 | 118 | 119 | 112 | 113 | 117);
        // The length of what follows, and how many terms come behind it.
        let read = match kind {
            97 => Some((1, 0)),
            98 => Some((4, 0)),
            99 => Some((31, 0)),
            70 => Some((8, 0)),
            106 => Some((0, 0)),
            113 => Some((0, 3)),
            100 | 107 | 118 => size(at, 2).map(|length| (2 + length, 0)),
            115 | 119 => size(at, 1).map(|length| (1 + length, 0)),
            104 => size(at, 1).map(|count| (1, count)),
            105 => size(at, 4).map(|count| (4, count)),
            108 => size(at, 4).map(|count| (4, count + 1)),
            116 => size(at, 4).map(|count| (4, 2 * count)),
            109 => size(at, 4).map(|length| (4 + length, 0)),
            110 => size(at, 1).map(|length| (2 + length, 0)),
            112 => return size(at, 4).is_some_and(|length| length >= 29),
            _ => None,
        };
        match read {
            Some((length, count)) if count <= 1 << 20 => {
                at = at.saturating_add(length);
                open += count;
            }
            _ => return false,
        }
    }
    made && (at == bytes.len() || cut && parts == PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marshal_is_told_by_its_grammar() {
        for object in [
            &b"\x04\x08o:\x08ERB\x06:\x09@srcI\"\x07id\x06:\x06ET"[..],
            b"\x04\x08[\x07c\x15Gem::SpecFetcherc\x13Gem::Installer",
            b"\x04\x08U:\x15Gem::Requirement[\x06i\x06",
            b"\x04\x08e:\x0bKernelo:\x0bObject\x00",
            b"\x04\x08m\x0bKernel",
            b"\x04\x08Iu:\x09Time\x0d\x20\x80",
            b"\x04\x08{\x06:\x06ai\x06",
            b"\x04\x08[\x06i\x06",
        ] {
            assert!(is_marshal(object), "{}", object.escape_ascii());
        }
        for other in [
            &b"\x04\x08"[..],
            b"\x04\x08i\x06",
            b"\x04\x08\"\x06a",
            b"\x04\x08hello",
            b"\x04\x09[\x00",
            b"\x04\x08{\x7f:\x05",
        ] {
            assert!(!is_marshal(other), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn terms_are_read_to_their_last_byte() {
        for term in [
            &b"\x83h\x02d\x00\x02osd\x00\x03cmd"[..],
            b"\x83qd\x00\x02osd\x00\x03cmda\x01",
            b"\x83l\x00\x00\x00\x01w\x02okj",
            b"\x83t\x00\x00\x00\x01w\x01aa\x01",
        ] {
            assert!(is_term(term, false), "{}", term.escape_ascii());
        }
        for other in [
            &b"\x83h\x02a\x01a\x02"[..],
            b"\x83d\x00\x02os!",
            b"\x83hello there",
            b"\x83",
            b"\x83d\x00\x09os",
        ] {
            assert!(!is_term(other, false), "{}", other.escape_ascii());
        }
    }
}
