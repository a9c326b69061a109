//! What a value may become on its way to the program that reads it: one layer of every encoding that programs undo.
//!
//! All encodings of a layer are undone in one pass, which never makes the text longer.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::scan::{Scan, bytes};

/// Writes the next layer of `text` to `decoded`, and says whether there is one. `scan` is what `text` has.
pub(super) fn next(text: &[u8], scan: Scan, decoded: &mut Vec<u8>) -> bool {
    decoded.clear();
    // Beside letters, digits, `-` and `_`; there may be spaces around it.
    let of_base64 = bytes::PLUS | bytes::SLASH | bytes::EQUALS | bytes::CONTROL | bytes::SPACE;
    !scan.byte(!of_base64) && base64(text, decoded)
        || scan.byte(bytes::SEMICOLON) && data_url(text, decoded)
        || escapes(text, scan, decoded)
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
pub(super) const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
pub(super) const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The whole text as base64 (RFC 4648, sections 4 and 5), if it decodes to text.
fn base64(text: &[u8], decoded: &mut Vec<u8>) -> bool {
    let text = text.trim_ascii();
    if text.len() < 4
        || !starts_as_text(text)
        || !goes_on_as_text(text)
        || !text.iter().all(|&byte| is_base64(byte))
    {
        return false;
    }
    let ok = if text.iter().any(u8::is_ascii_whitespace) {
        let joined: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        decode_base64(&joined, decoded)
    } else {
        decode_base64(text, decoded)
    };
    if ok && is_text(decoded) {
        return true;
    }
    decoded.clear();
    false
}

fn decode_base64(text: &[u8], decoded: &mut Vec<u8>) -> bool {
    let url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { &URL_SAFE } else { &STANDARD };
    engine.decode_vec(text, decoded).is_ok()
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\r' | b'\n')
}

/// Whether the first four characters become text: of what is no base64, few do.
fn starts_as_text(text: &[u8]) -> bool {
    let Some(&[a, b, c, d]) = text.first_chunk() else { return false };
    let (a, b, c, d) = (six(a), six(b), six(c), six(d));
    // Padding ends it.
    let length = match (a | b < 64, c < 64, d < 64) {
        (true, true, true) => 3,
        (true, true, false) if d == PADDING => 2,
        (true, false, false) if c == PADDING && d == PADDING => 1,
        _ => return false,
    };
    let bytes = [a << 2 | b >> 4, b << 4 | (c & 63) >> 2, c << 6 | d & 63];
    let bytes = &bytes[..length];
    if bytes.is_ascii() {
        return !bytes.iter().any(|&byte| is_control(byte));
    }
    // Most that are no text begin with a byte that no character begins with, or go on with one that none has there.
    let continues = |byte: u8| byte & 0xc0 == 0x80;
    let starts = match bytes {
        [first, ..] if continues(*first) => false,
        [first, second, ..] => continues(*second) == (*first >= 0xc0),
        _ => true,
    };
    starts && is_text(bytes)
}

/// Whether the first characters become what text may hold, as far as [`is_text`] lets it: of words, numbers and keys that are no base64, few do.
/// It decodes nothing to memory, and is asked of most values.
fn goes_on_as_text(text: &[u8]) -> bool {
    let mut start = [0; 24];
    let mut length = 0;
    for four in text[..text.len().min(32)].chunks_exact(4) {
        let (a, b, c, d) = (six(four[0]), six(four[1]), six(four[2]), six(four[3]));
        if a | b | c | d >= PADDING {
            // Padding or a line end: the whole is decoded.
            return true;
        }
        start[length..length + 3].copy_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
        length += 3;
    }
    let start = &start[..length];
    let odd = match str::from_utf8(start) {
        Err(error) if error.error_len().is_some() => start.iter().filter(|&&byte| byte >= 0x80).count(),
        _ => 0,
    };
    odd + start.iter().filter(|&&byte| is_control(byte)).count() <= text.len() * 3 / 4 / 16
}

/// What a character of base64 stands for, in both alphabets: more than 63 for any other.
pub(super) const fn six(byte: u8) -> u8 {
    SIXES[byte as usize]
}

const SIXES: [u8; 256] = {
    let mut table = [NO_SIX; 256];
    let mut value = 0;
    while value < 64 {
        let byte = match value {
            0..26 => b'A' + value,
            26..52 => b'a' + value - 26,
            52..62 => b'0' + value - 52,
            62 => b'+',
            _ => b'/',
        };
        table[byte as usize] = value;
        value += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table[b'=' as usize] = PADDING;
    table
};
const PADDING: u8 = 64;
const NO_SIX: u8 = 128;

/// Control characters that stand in no text.
const fn is_control(byte: u8) -> bool {
    (byte < b' ' && !matches!(byte, 0 | b'\t' | b'\n' | b'\r')) || byte == 0x7f
}

/// UTF-8 without control characters other than white space and NUL, but for a few bytes in a long text.
fn is_text(bytes: &[u8]) -> bool {
    let odd = match str::from_utf8(bytes) {
        Ok(_) => 0,
        Err(error) if error.error_len().is_none() => 0,
        Err(_) => bytes.iter().filter(|&&byte| byte >= 0x80).count(),
    };
    let control = bytes.iter().filter(|&&byte| is_control(byte));
    !bytes.is_empty() && odd + control.count() <= bytes.len() / 16
}

/// What stands behind `base64,` in a data URL, in place of it.
fn data_url(text: &[u8], decoded: &mut Vec<u8>) -> bool {
    let Some(at) = super::find(text, b";base64,") else { return false };
    let start = at + b";base64,".len();
    let end =
        text[start..].iter().position(|&byte| !is_base64(byte)).map_or(text.len(), |length| start + length);
    let mut inner = Vec::new();
    if !base64(&text[start..end], &mut inner) {
        return false;
    }
    decoded.extend_from_slice(&text[..at]);
    decoded.push(b',');
    decoded.extend_from_slice(&inner);
    decoded.extend_from_slice(&text[end..]);
    true
}

/// Undoes percent, entity and backslash escapes, and writes letters as ASCII that only look different.
fn escapes(text: &[u8], scan: Scan, decoded: &mut Vec<u8>) -> bool {
    let marked = scan.byte(bytes::PERCENT | bytes::AMPERSAND | bytes::BACKSLASH | bytes::HIGH);
    if !marked && !scan.byte(bytes::PLUS) {
        return false;
    }
    if !marked && (memchr::memchr_iter(b'+', text).take(2).count() < 2 || text.contains(&b' ')) {
        return false;
    }
    // Where spaces are written as they are, a plus is a plus.
    let plus = (text.contains(&b'%') || !marked) && !text.contains(&b' ');
    let spaces = plus && memchr::memchr_iter(b'+', text).take(2).count() == 2;
    decoded.reserve(text.len());
    let (mut at, mut changed) = (0, false);
    while at < text.len() {
        let run = text[at..].iter().position(|&byte| BEGINS[usize::from(byte)]).unwrap_or(text.len() - at);
        decoded.extend_from_slice(&text[at..at + run]);
        at += run;
        let Some(&byte) = text.get(at) else { break };
        let rest = &text[at..];
        let step = match byte {
            b'%' => percent(rest),
            b'&' => entity(rest),
            b'\\' => backslash(rest),
            0x80.. => look_alike(rest),
            b'+' if plus => Some((u32::from(b' '), 1, false)),
            _ => None,
        };
        match step {
            Some((code, length, raw)) => {
                changed |= byte != b'+' || !marked || spaces;
                at += length;
                push(code, raw, decoded);
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    changed
}

/// Bytes that something can begin with that is undone.
const BEGINS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'%' | b'&' | b'\\' | b'+' | 0x80..);
        byte += 1;
    }
    table
};

fn push(code: u32, raw: bool, decoded: &mut Vec<u8>) {
    match u8::try_from(code) {
        Ok(byte) if raw || byte < 0x80 => decoded.push(byte),
        _ => {
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// A code (a byte, where the third is true) and the length of what says it.
type Step = Option<(u32, usize, bool)>;

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, &byte| Some(code << 4 | char::from(byte).to_digit(16)?))
}

/// `%27`, and `%u0027` as IIS has it.
fn percent(text: &[u8]) -> Step {
    if let Some(b'u' | b'U') = text.get(1) {
        return text.get(2..6).and_then(hexadecimal).map(|code| (code, 6, false));
    }
    text.get(1..3).and_then(hexadecimal).map(|code| (code, 3, true))
}

/// `\x27`, `\u0027`, `\u{27}`, and an octal `\047`.
fn backslash(text: &[u8]) -> Step {
    match text.get(1)? {
        b'x' | b'X' => text.get(2..4).and_then(hexadecimal).map(|code| (code, 4, true)),
        b'u' | b'U' if text.get(2) == Some(&b'{') => {
            let length = text.iter().take(10).position(|&byte| byte == b'}')?;
            let code = hexadecimal(text.get(3..length)?)?;
            (length > 3 && code <= 0x10_ffff).then_some((code, length + 1, false))
        }
        b'u' | b'U' => text.get(2..6).and_then(hexadecimal).map(|code| (code, 6, false)),
        b'0'..=b'3' => {
            let digits = text.get(1..4)?;
            let code =
                digits.iter().try_fold(0, |code, &byte| Some(code << 3 | char::from(byte).to_digit(8)?))?;
            Some((code, 4, true))
        }
        _ => None,
    }
}

/// Names of entities (HTML, section 13.5) that stand for what languages are made of.
const ENTITIES: [(&str, u8); 38] = [
    ("lt", b'<'),
    ("gt", b'>'),
    ("quot", b'"'),
    ("apos", b'\''),
    ("amp", b'&'),
    ("colon", b':'),
    ("semi", b';'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("tab", b'\t'),
    ("newline", b'\n'),
    ("sol", b'/'),
    ("bsol", b'\\'),
    ("nbsp", b' '),
    ("grave", b'`'),
    ("diacriticalgrave", b'`'),
    ("lcub", b'{'),
    ("lbrace", b'{'),
    ("rcub", b'}'),
    ("rbrace", b'}'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("dollar", b'$'),
    ("period", b'.'),
    ("comma", b','),
    ("excl", b'!'),
    ("equals", b'='),
    ("num", b'#'),
    ("plus", b'+'),
    ("ast", b'*'),
    ("midast", b'*'),
    ("percnt", b'%'),
    ("lowbar", b'_'),
    ("vert", b'|'),
    ("verbar", b'|'),
    ("commat", b'@'),
];

/// `&lt;`, `&#39;`, `&#x27;`; numbers need no semicolon.
fn entity(text: &[u8]) -> Step {
    if text.get(1) == Some(&b'#') {
        let sixteen = matches!(text.get(2), Some(b'x' | b'X'));
        let (start, radix) = if sixteen { (3, 16) } else { (2, 10) };
        let zeroes = text.iter().skip(start).take(16).take_while(|byte| **byte == b'0').count();
        let digits =
            text.iter().skip(start + zeroes).take(6).take_while(|byte| char::from(**byte).is_digit(radix));
        let mut length = zeroes;
        let mut code = 0;
        for &byte in digits {
            code = code * radix + char::from(byte).to_digit(radix)?;
            length += 1;
        }
        if length == 0 {
            return None;
        }
        let semicolon = text.get(start + length) == Some(&b';');
        return Some((code, start + length + usize::from(semicolon), false));
    }
    let known = text.get(1..)?.iter().take(17).position(|&byte| byte == b';').and_then(|length| {
        let name = &text[1..=length];
        let (_, byte) = ENTITIES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))?;
        Some((u32::from(*byte), name.len() + 2, false))
    });
    known.or_else(|| bracket(text))
}

/// `&lt` and `&gt` without a semicolon (HTML, section 13.2.5.73), unless what follows is another name's rest, or a parameter's of a URL: `&lte=1`.
#[cold]
fn bracket(text: &[u8]) -> Step {
    let [_, first @ (b'l' | b'L' | b'g' | b'G'), b't' | b'T', rest @ ..] = text else { return None };
    let name = rest.iter().take(24).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let bracket = if first.eq_ignore_ascii_case(&b'l') { b'<' } else { b'>' };
    (!matches!(rest.get(name), Some(b'=' | b';'))).then_some((u32::from(bracket), 3, false))
}

/// Overlong UTF-8 of ASCII, fullwidth forms (U+FF01 to U+FF5E), other quotes, and spaces that only look different.
fn look_alike(text: &[u8]) -> Step {
    let first = *text.first()?;
    let continued = |length: usize| {
        let tail = text.get(1..length)?;
        tail.iter()
            .all(|byte| byte & 0xc0 == 0x80)
            .then(|| tail.iter().fold(0_u32, |code, &byte| code << 6 | u32::from(byte & 0x3f)))
    };
    let length = match first {
        // A lead byte that is never right, and whatever ASCII stands behind it: some decoders drop the one, some take its bits.
        0xc0 | 0xc1 => {
            return match text.get(1) {
                Some(&low) if low < 0x40 && first == 0xc1 => Some((u32::from(low | 0x40), 2, true)),
                Some(&low) if low < 0x80 => Some((u32::from(low), 2, true)),
                Some(&low) if low & 0xc0 == 0x80 => {
                    Some((u32::from(first & 1) << 6 | u32::from(low & 0x3f), 2, true))
                }
                _ => None,
            };
        }
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf8 => 4,
        0xf8..0xfc => 5,
        0xfc..0xfe => 6,
        _ => return None,
    };
    let tail = continued(length)?;
    let lead = if length == 2 {
        u32::from(first & 0x1f) << 6
    } else {
        u32::from(first & (0x7f >> length)) << (6 * (length as u32 - 1))
    };
    let code = lead | tail;
    let ascii = match code {
        0..0x80 if length > 1 => code,
        0xff01..=0xff5e => code - 0xff01 + 0x21,
        0x2018 | 0x2019 | 0x201b | 0x2032 | 0x2035 | 0x2bc | 0x2b9 | 0xb4 => u32::from(b'\''),
        0x201c | 0x201d | 0x2033 | 0x2036 | 0x2ba => u32::from(b'"'),
        0xa0 | 0x1680 | 0x2000..=0x200b | 0x202f | 0x205f | 0x3000 | 0xfeff => u32::from(b' '),
        0xfe64 => u32::from(b'<'),
        0xfe65 => u32::from(b'>'),
        0x2215 | 0x2044 | 0xf025 => u32::from(b'/'),
        0x2216 | 0xefc8 => u32::from(b'\\'),
        0x2024 | 0xfe52 => u32::from(b'.'),
        0x2460..=0x2468 => code - 0x2460 + u32::from(b'1'),
        0x24ea => u32::from(b'0'),
        0x24b6..=0x24cf => code - 0x24b6 + u32::from(b'a'),
        0x24d0..=0x24e9 => code - 0x24d0 + u32::from(b'a'),
        _ => return None,
    };
    Some((ascii, length, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = Vec::new();
        next(text, Scan::of_bytes(text), &mut decoded).then_some(decoded)
    }

    #[test]
    fn each_encoding_is_undone() {
        for (coded, plain) in [
            (&b"%27%20or"[..], &b"' or"[..]),
            (b"a%u0027b", b"a'b"),
            (b"%2527", b"%27"),
            (b"a%27+or", b"a' or"),
            (b"&lt;b&gt;", b"<b>"),
            (b"&#60;&#x3C;&#0000060", b"<<<"),
            (b"java&Tab;script&colon;", b"java\tscript:"),
            (b"\\u003cb\\x3e\\u{3c}\\074", b"<b><<"),
            ("\u{ff07}or\u{3000}\u{2019}".as_bytes(), b"'or '"),
            (b"\xc0\xae\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf\xf8\x80\x80\x80\xaf\xc0/", b"./////"),
            (b"JyBvciAxPTEtLQ==", b"' or 1=1--"),
            (b"JyBvciAxPTEtLQ", b"' or 1=1--"),
            (b"PD9waHAgPz4_", b"<?php ?>?"),
            (b"&ltb&gt c &LT", b"<b> c <"),
            (b"data:text/html;base64,PGI+", b"data:text/html,<b>"),
        ] {
            assert_eq!(layer(coded).as_deref(), Some(plain), "{:?}", String::from_utf8_lossy(coded));
        }
    }

    #[test]
    fn what_is_not_encoded_has_no_next_layer() {
        for text in [
            &b""[..],
            b"plain text",
            b"100% sure",
            b"a & b",
            b"C:\\Program Files",
            b"3f2504e0-4f89",
            b"AT&T",
            b"a=1&lt=2&gte=3&ltimes;",
            b"caf\xc3\xa9",
            b"iVBORw0KGgoAAAANSUhEUgAAAAUA",
            b"%",
            b"&",
            b"\\",
            b"&#",
            b"%u",
            b"\\u{",
            b"\xff",
            b"\xe0",
        ] {
            assert_eq!(layer(text), None, "{:?}", String::from_utf8_lossy(text));
        }
    }
}
