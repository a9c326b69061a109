//! International bank account numbers (ISO 13616-1): a country's length, and check digits modulo 97 (ISO/IEC 7064).

use super::{Kind, scan::Match};

/// Lengths by country, of the registry that SWIFT keeps (release 99).
const LENGTHS: [(&[u8; 2], usize); 88] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// A number that begins here, in one piece or in groups of four. Its country and last four characters stay.
pub(super) fn find(text: &[u8]) -> Option<Match> {
    let [first, second, check @ .., _] = text.get(..5)? else { return None };
    if !second.is_ascii_uppercase() || !check.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let country = [*first, *second];
    let length = LENGTHS.iter().find(|(name, _)| **name == country)?.1;
    let spaced = text.get(4) == Some(&b' ');
    let (mut remainder, mut at, mut hide) = (0_u32, 0, 0);
    let mut head = [0; 4];
    for number in 0..length {
        if spaced && number > 0 && number % 4 == 0 {
            if *text.get(at)? != b' ' {
                return None;
            }
            at += 1;
        }
        let &byte = text.get(at)?;
        at += 1;
        if number + 4 == length {
            hide = at - 1;
        }
        match head.get_mut(number) {
            // The first four are moved to the end.
            Some(place) => *place = byte,
            None => remainder = divide(remainder, byte)?,
        }
    }
    for byte in head {
        remainder = divide(remainder, byte)?;
    }
    if remainder != 1 || text.get(at).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    Some(Match { kind: Kind::Iban, hide: (2, hide), with: b'X', whole: false, end: at, run: None })
}

/// The remainder modulo 97 with one more character: letters are the numbers 10 to 35.
fn divide(remainder: u32, byte: u8) -> Option<u32> {
    let value = match byte {
        b'0'..=b'9' | b'A'..=b'Z' => char::from(byte).to_digit(36)?,
        _ => return None,
    };
    Some((remainder * if value < 10 { 10 } else { 100 } + value) % 97)
}
