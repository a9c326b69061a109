//! Binary formats of serialised objects, by their first bytes and then their grammar: as they are, as Latin-1 in UTF-8, in hexadecimal, in base64 of
//! either alphabet, compressed, and one in another.

use std::io::Read as _;

use base64::Engine as _;
use flate2::bufread::{GzDecoder, ZlibDecoder};

use super::{
    contains, decode, is_word, object_class, object_php, object_pickle, object_term, places,
    scan::{Scan, bytes},
};

/// So many bytes of a stream are read: what is made stands at its beginning.
const READ: usize = 2048;
/// How often a packing within another is undone.
const DEEP: usize = 3;
/// Less is no stream.
const LEAST: usize = 8;

/// The rule that finds a stream in a value as a whole.
pub(super) fn whole(raw: &[u8], scan: Scan) -> Option<&'static str> {
    if raw.len() < LEAST {
        return None;
    }
    // Letters, digits, `-` and `_`, and what base64 has beside them.
    let others = !(bytes::PLUS | bytes::SLASH | bytes::EQUALS | bytes::CONTROL);
    if !scan.byte(others)
        && let Some(rule) = packed(raw.trim_ascii(), 0)
    {
        return Some(rule);
    }
    if !scan.byte(bytes::CONTROL) {
        return None;
    }
    if matches!(raw[0], b'c' | b'(' | b'I' | b'S' | b'V' | b'F' | b'L' | b'N' | b']' | b'}')
        && object_pickle::is_one(raw, false)
    {
        return Some("object-python");
    }
    let binary = raw[..raw.len().min(24)].iter().any(is_binary);
    if !binary {
        return None;
    }
    let start = &raw[..raw.len().min(READ)];
    recognise(start, raw.len() > READ, 0).or_else(|| {
        // Each byte as a character of its own, as it comes out where bytes were taken for Latin-1.
        let text = str::from_utf8(start).unwrap_or_else(|error| {
            let valid = &start[..error.valid_up_to()];
            str::from_utf8(valid).unwrap_or_default()
        });
        let narrow: Option<Vec<u8>> =
            text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect();
        recognise(&narrow.filter(|narrow| narrow.len() < text.len())?, raw.len() > READ, 0)
    })
}

/// The rule that finds a stream in base64 or hexadecimal within a longer text: a member of JSON, a cookie, a field of a form.
pub(super) fn within(raw: &[u8]) -> Option<&'static str> {
    let mut rest = raw;
    while let Some(start) = rest.iter().position(|byte| is_base64(*byte)) {
        let length = rest[start..].iter().take_while(|byte| is_base64(**byte)).count();
        let run = &rest[start..start + length];
        rest = &rest[start + length..];
        let begins = |run: &[u8]| run.len() >= 16 && head(run).is_some_and(known);
        // A run may begin with the slash of a path, and base64 with one as well.
        let run = if begins(run) { run } else { run.strip_prefix(b"/").unwrap_or(run) };
        if begins(run)
            && let Some(rule) = base64(run, 0)
        {
            return Some(rule);
        }
        if let Some(digits) = run.strip_prefix(b"0x")
            && let Some(rule) = hexadecimal(digits, 0)
        {
            return Some(rule);
        }
    }
    numbers(raw)
}

/// A stream of Java's as hexadecimal with signs between, or as a list of numbers.
fn numbers(raw: &[u8]) -> Option<&'static str> {
    let lists = [&b"[172,237,0,5,"[..], b"[172, 237, 0, 5,", b"[-84,-19,0,5,", b"[-84, -19, 0, 5,"];
    let start = raw.trim_ascii_start();
    let signed = [b' ', b':', b'-'].into_iter().any(|sign| {
        let digits: Vec<u8> =
            start.iter().take(12).filter(|byte| **byte != sign).map(u8::to_ascii_lowercase).collect();
        start.get(2) == Some(&sign) && digits.starts_with(b"aced0005")
    });
    (signed || lists.iter().any(|list| contains(raw, list))).then_some("object-java")
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Control characters that are no white space.
const fn is_binary(byte: &u8) -> bool {
    *byte < b' ' && !matches!(*byte, b'\t' | b'\n' | b'\r') || *byte == 0x7f
}

/// What a whole text in hexadecimal or base64 is.
fn packed(text: &[u8], deep: usize) -> Option<&'static str> {
    if text.len() < 12 {
        return None;
    }
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")).unwrap_or(text);
    hexadecimal(digits, deep).or_else(|| base64(text, deep))
}

fn hexadecimal(digits: &[u8], deep: usize) -> Option<&'static str> {
    if digits.len() < 16 || !digits[..16].iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.chunks_exact(2).take(READ);
    let stream: Vec<u8> = pairs.map_while(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect();
    recognise(&stream, digits.len() > 2 * READ, deep)
}

/// The first three bytes of base64.
fn head(text: &[u8]) -> Option<[u8; 3]> {
    let four = text.first_chunk::<4>()?.map(decode::six);
    let bits = four.iter().try_fold(0_u32, |bits, six| (*six < 64).then(|| bits << 6 | u32::from(*six)))?;
    let [_, first, second, third] = bits.to_be_bytes();
    Some([first, second, third])
}

/// Whether a stream can begin so.
fn known(head: [u8; 3]) -> bool {
    match head {
        [0xac, 0xed, 0]
        | [0xca, 0xfe, 0xba]
        | [0, 1, 0]
        | [0xff, 1, _]
        | [0x80, 2..=5, _]
        | [0x04, 0x08, _]
        | [b'p', b's', b't']
        | [0x1b, b'L', _]
        | [0x93, b'N', b'U']
        | [0x1f, 0x8b, 8]
        | [0x83, 0x50..=0x77, _]
        | [b'P', b'K', 3] => true,
        [b'O' | b'C' | b'a', b':', digit] => digit.is_ascii_digit(),
        _ => false,
    }
}

/// Those as well that only a whole value is asked for.
fn known_alone(head: [u8; 3]) -> bool {
    known(head)
        || match head {
            // A text that names a module first: a pickle.
            [b'c', b'a'..=b'z' | b'_', b'a'..=b'z' | b'_']
            | [0xe3 | 0, 0, 0]
            | [0, _, 0]
            | [5, 0x0b, 0x11]
            | [b'=', b's' | 0xf3, b'r'] => true,
            // Zlib's two bytes are a multiple of 31.
            [0x78, level, _] => (0x7800 + u32::from(level)).is_multiple_of(31),
            _ => false,
        }
}

fn base64(text: &[u8], deep: usize) -> Option<&'static str> {
    let begins = known_alone(head(text)?);
    // In whatever else is no text, only a class's name says what it is.
    if !begins && (text.len() < 32 || !has_run(text)) {
        return None;
    }
    let joined: Vec<u8> =
        text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(READ).collect();
    let length = joined.iter().position(|byte| !is_base64(*byte)).unwrap_or(joined.len());
    let mut stream = Vec::new();
    let engine = if joined.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        &decode::URL_SAFE
    } else {
        &decode::STANDARD
    };
    // A length of one more than four has a character too many.
    let length = length - usize::from(length % 4 == 1);
    engine.decode_vec(&joined[..length], &mut stream).ok()?;
    let cut = text.len() > READ;
    if begins {
        return recognise(&stream, cut, deep);
    }
    let binary = stream.iter().take(256).any(is_binary);
    (binary && object_class::in_binary(&stream)).then_some("object-named")
}

/// Whether there are so many letters and digits in a row as the name of a class comes to ([`object_class::in_binary`]), which has none of the bytes
/// that other signs stand for: of 12 bytes, 14 characters are whole. Identifiers with hyphens have fewer.
fn has_run(text: &[u8]) -> bool {
    let mut run = 0;
    text.iter().any(|byte| {
        match byte {
            _ if byte.is_ascii_alphanumeric() => run += 1,
            // Lines are joined.
            _ if byte.is_ascii_whitespace() => {}
            _ => run = 0,
        }
        run == 14
    })
}

/// What bytes are. `cut` when there were more.
fn recognise(stream: &[u8], cut: bool, deep: usize) -> Option<&'static str> {
    const FORMATTER: &[u8] = b"\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00";
    if places(stream, b"\xac\xed\x00\x05").any(|at| matches!(stream.get(at + 4), None | Some(0x70..=0x7e)))
        || stream.starts_with(b"\xca\xfe\xba\xbe\x00\x00\x00")
    {
        return Some("object-java");
    }
    // BinaryFormatter's header, in a view state or a message as well; with other numbers of its own at the beginning alone.
    if contains(stream, FORMATTER)
        || stream.first() == Some(&0)
            && stream.get(9..17) == Some(&FORMATTER[9..])
            && matches!(stream.get(17), Some(1..=0x16))
    {
        return Some("object-dotnet");
    }
    if object_pickle::is_one(stream, cut) || stored(stream) {
        return Some("object-python");
    }
    if object_term::is_marshal(stream) {
        return Some("object-ruby");
    }
    if object_term::is_term(stream, cut) {
        return Some("object-erlang");
    }
    if matches!(stream, [b'p', b's', b't', b'0', 4 | 5, ..])
        || stream.starts_with(b"\x05\x0b\x11") && named(&stream[3..])
        || stream.starts_with(b"=srl")
        || stream.starts_with(b"=\xf3rl")
    {
        return Some("object-perl");
    }
    if stream.starts_with(b"\x1bLua") || stream.starts_with(b"\x1bLJ") {
        return Some("object-lua");
    }
    // What PHP's igbinary writes: its version, and an object by its class.
    if matches!(stream, [0, 0, 0, 1 | 2, 0x17, ..]) && named(&stream[5..]) {
        return Some("object-php");
    }
    if contains(stream, b":{") && object_php::made(&stream.to_ascii_lowercase()) {
        return Some("object-php");
    }
    if stream.iter().take(256).any(is_binary) && object_class::in_binary(stream) {
        return Some("object-named");
    }
    if deep >= DEEP {
        return None;
    }
    if let Some(inner) = inflated(stream) {
        return recognise(&inner, true, deep + 1);
    }
    if deep > 0
        && stream.len() >= 16
        && stream.trim_ascii().iter().all(|byte| is_base64(*byte) || *byte == b'=')
    {
        return packed(stream.trim_ascii(), deep + 1);
    }
    None
}

/// Python's other ways to keep what is run when it is read: code as compiled files have it, arrays of objects (NumPy), archives with a pickle (PyTorch).
fn stored(stream: &[u8]) -> bool {
    let code = stream.first() == Some(&0xe3)
        && stream.len() >= 24
        && stream[1..17].chunks_exact(4).all(|number| number[1..] == [0, 0, 0] && number[0] < 64);
    let array = stream.starts_with(b"\x93NUMPY") && (contains(stream, b"'|O'") || contains(stream, b"'O'"));
    code || array || stream.starts_with(b"PK\x03\x04") && contains(stream, b"data.pkl")
}

/// A length in a byte, and the name of a class so long.
fn named(stream: &[u8]) -> bool {
    let Some((&length, rest)) = stream.split_first() else { return false };
    rest.get(..usize::from(length)).is_some_and(|name| {
        name.first().is_some_and(u8::is_ascii_alphabetic)
            && name.iter().all(|byte| is_word(*byte) || matches!(byte, b':' | b'\\'))
    })
}

/// The beginning of what gzip or zlib have packed.
fn inflated(stream: &[u8]) -> Option<Vec<u8>> {
    let mut inner = Vec::new();
    let most = READ as u64;
    // What could be read before an error counts: a stream that was cut off ends in one.
    let _ = match stream {
        [0x1f, 0x8b, 8, ..] => GzDecoder::new(stream).take(most).read_to_end(&mut inner),
        [0x78, level, ..] if (0x7800 + u32::from(*level)).is_multiple_of(31) => {
            ZlibDecoder::new(stream).take(most).read_to_end(&mut inner)
        }
        _ => return None,
    };
    (inner.len() >= LEAST).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::super::scan::Scanner;
    use super::*;

    fn rule(value: &[u8]) -> Option<&'static str> {
        let scan = Scanner::new().scan(value);
        whole(value, scan).or_else(|| within(value))
    }

    #[test]
    fn streams_are_found_in_whatever_they_are_packed_in() {
        for (value, expected) in [
            (&b"rO0ABXNyABFqYXZhLnV0aWwuSGFzaFNldA=="[..], "object-java"),
            (b"ACED00057372001164", "object-java"),
            (b"0xaced00057372001164", "object-java"),
            (b"ac ed 00 05 73 72", "object-java"),
            (b"AC:ED:00:05:73:72", "object-java"),
            (b"\xc2\xac\xc3\xad\x00\x05sr\x00\x01a", "object-java"),
            (b"{\"a\":[172,237,0,5,115,114]}", "object-java"),
            (b"H4sIAAAAAAAA/1vzloG1uIhBMCuxLFGvtCQzR88jsTgjOLVkl0vr1Gk7tpswMzBUFJTzMDAwCNg7MIAAYwkDY0UFADmMfqk5AAAA", "object-java"),
            (b"eJxb85aBtbiIQTArsSxRr7QkM0fPI7E4wzexQFDJ2CU0rbyDmYHJjYErJz8xxS0xuSS/yJ", "object-java"),
            (b"AAEAAAD_____AQAAAAAAAAAMAgAAAElTeXN0ZW0", "object-dotnet"),
            (b"0001000000ffffffff01000000000000000c02", "object-dotnet"),
            (b"__VIEWSTATE=/wEylAQAAQAAAP////8BAAAAAAAAAAwCAAAAV0", "object-dotnet"),
            (b"BAhbCGMVR2VtOjpTcGVjRmV0Y2hlcmMTR2VtOjpJbnN0YWxsZXI=", "object-ruby"),
            (b"{\"a\":\"BAhbCGMVR2VtOjpTcGVjRmV0Y2hlcmMTR2VtOjpJbnN0YWxsZXI=\"}", "object-ruby"),
            (b"gASMAm9zlIwGc3lzdGVtlJOUjAJpZIVSLg==", "object-python"),
            (b"8004951d000000000000008c05706f736978948c0673797374656d9493948c02696494855294", "object-python"),
            (b"cos\nsystem\n(S'id'\ntR.", "object-python"),
            (b"4wAAAAAAAAAAAAAAAAAAAAACAAAAQAAAAHMQAAAA", "object-python"),
            (b"cHN0MAQLCDEyMzQ1Njc4BAgIAxEERXZpbAMBAAAA", "object-perl"),
            (b"g2gDZAACb3NkAANjbWRsAAAAAWsAAmlkag==", "object-erlang"),
            (b"G0xKAgpAeC5sdWE=", "object-lua"),
            (b"\x1bLuaQ\x00\x01\x04\x08\x04\x08\x00", "object-lua"),
            (b"Y3Bvc2l4CnN5c3RlbQpxAChYAgAAAGlkcQF0cQJScQMu", "object-python"),
            (b"AAAAAhcERXZpbBQBEQNjbWQRAmlk", "object-php"),
            (b"4f3a343a224576696c223a313a7b733a313a2261223b693a313b7d", "object-php"),
            (b"{\"a\":\"TzozOiJGb28iOjE6e3M6MToiYSI7aToxO30=\"}", "object-php"),
            (b"TXQAHWNvbS5zdW4ucm93c2V0LkpkYmNSb3dTZXRJbXBseno", "object-named"),
        ] {
            assert_eq!(rule(value), Some(expected), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn what_only_begins_like_a_stream_is_none() {
        for value in [
            &b"3f2504e04f8941d39a0c0305e82c3301"[..],
            b"aced00010203040506070809",
            b"BAhamasHolidayHome2024",
            b"gASVoldAsAWordOfLetters",
            b"iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4",
            b"H4sIAAAAAAAA/8tIzcnJVyjPL8pJAQCFEUoNCwAAAA==",
            b"eJzLSM3JyVcozy/KSQEAGgsEXQ==",
            b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            b"cat\ndog\n(mouse)",
            b"{\"colours\":[171,237,0,5,1]}",
            b"ac ed facts",
            b"/static/app/main.js",
            b"UEsDBBQAAAAIAAAAIQBjb250ZW50LnhtbA==",
        ] {
            assert_eq!(rule(value), None, "{}", value.escape_ascii());
        }
    }
}
