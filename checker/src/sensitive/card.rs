//! Numbers of payment cards (ISO/IEC 7812-1): the issuers' ranges and lengths as they publish them, and the check digit of annex B.

use super::{
    Kind,
    scan::{Around, Match},
};

/// Digits of a number, fewest and most.
const FEWEST: usize = 13;
const MOST: usize = 19;

/// How numbers are printed in groups.
const GROUPS: [&[usize]; 5] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 1]];

/// Lengths by range of the first four digits: issuer, first, last, shortest, longest.
const ISSUERS: [(u16, u16, usize, usize); 24] = [
    (4000, 4999, 13, 19), // Visa: 13, 16 and 19, see below
    (5100, 5599, 16, 16), // Mastercard
    (2221, 2720, 16, 16), // Mastercard
    (3400, 3499, 15, 15), // American Express
    (3700, 3799, 15, 15), // American Express
    (3000, 3059, 14, 19), // Diners Club
    (3095, 3095, 14, 19), // Diners Club
    (3600, 3699, 14, 19), // Diners Club
    (3800, 3999, 14, 19), // Diners Club
    (6011, 6011, 16, 19), // Discover
    (6440, 6599, 16, 19), // Discover, RuPay
    (3528, 3589, 16, 19), // JCB
    (6200, 6299, 16, 19), // UnionPay
    (8100, 8171, 16, 19), // UnionPay
    (2200, 2204, 16, 19), // Mir
    (5018, 5018, 13, 19), // Maestro, here and below
    (5020, 5020, 13, 19),
    (5038, 5038, 13, 19),
    (5893, 5893, 13, 19),
    (6304, 6304, 13, 19),
    (6759, 6759, 13, 19),
    (6761, 6763, 13, 19),
    (9792, 9792, 16, 16), // Troy
    (5080, 5089, 16, 16), // RuPay
];

/// A number that begins here.
pub(super) fn find(around: Around<'_>) -> Option<Match> {
    // A fraction of a number, or of a name.
    if matches!(around.before, b'.' | b'_') {
        return None;
    }
    let run = around.text.iter().take(MOST + 1).take_while(|byte| byte.is_ascii_digit()).count();
    match run {
        FEWEST..=MOST => contiguous(around, run),
        4 => GROUPS.iter().find_map(|groups| grouped(around, groups)),
        _ => None,
    }
}

fn contiguous(around: Around<'_>, length: usize) -> Option<Match> {
    let (digits, after) = around.text.split_at_checked(length)?;
    let ends = match after {
        [b'.', next, ..] => !next.is_ascii_digit(),
        [next, ..] => !next.is_ascii_alphanumeric() && *next != b'_',
        [] => true,
    };
    if !ends || !is_number(digits) {
        return None;
    }
    Some(hidden(length, length - 4, is_bare(around, after)))
}

/// Groups with the same space or hyphen between them. What has more hyphens around it is another kind of number.
fn grouped(around: Around<'_>, groups: &[usize]) -> Option<Match> {
    let separator = *around.text.get(4)?;
    // More groups before are another kind of number, or one that is masked already.
    let continues = match around.before {
        b'-' => separator == b'-',
        b' ' => around.before_that == b'X',
        _ => false,
    };
    if !matches!(separator, b' ' | b'-') || continues {
        return None;
    }
    let (mut digits, mut count, mut at) = ([0; MOST], 0, 0);
    for (number, &group) in groups.iter().enumerate() {
        if number > 0 {
            if *around.text.get(at)? != separator {
                return None;
            }
            at += 1;
        }
        for &byte in around.text.get(at..at + group)? {
            if !byte.is_ascii_digit() {
                return None;
            }
            *digits.get_mut(count)? = byte;
            count += 1;
        }
        at += group;
    }
    let ends = around.text.get(at).is_none_or(|&next| !next.is_ascii_alphanumeric() && next != b'-');
    if !ends || !is_number(digits.get(..count)?) {
        return None;
    }
    // The last four digits stay, over a separator where there is one among them.
    let mut kept = 0;
    let hide = around.text.get(..at)?.iter().rposition(|byte| {
        kept += usize::from(byte.is_ascii_digit());
        kept == 4
    })?;
    Some(hidden(at, hide, false))
}

fn hidden(end: usize, hide: usize, bare: bool) -> Match {
    // A number that stands bare in JSON must stay one: nines are of no issuer.
    let (hide, with) = if bare { (end, b'9') } else { (hide, b'X') };
    Match { kind: Kind::Card, hide: (0, hide), with, whole: false, end, run: None }
}

/// Whether it stands where JSON has a number.
fn is_bare(around: Around<'_>, after: &[u8]) -> bool {
    let opens = |byte| matches!(byte, b':' | b'[' | b',');
    let opened = opens(around.before)
        || (matches!(around.before, b' ' | b'\n' | b'\t')
            && (opens(around.before_that) || matches!(around.before_that, b' ' | b'\n' | b'\t')));
    opened && matches!(after, [] | [b',' | b'}' | b']' | b'\n' | b'\r', ..] | [b' ', b'}' | b']' | b'\n', ..])
}

/// Whether these digits are a number of an issuer's range and length with the right check digit.
fn is_number(digits: &[u8]) -> bool {
    let Some([first @ .., _]) = digits.get(..5) else { return false };
    let first = first.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    let visa_length = first / 1000 != 4 || matches!(digits.len(), 13 | 16 | 19);
    visa_length
        && ISSUERS.iter().any(|&(low, high, shortest, longest)| {
            (low..=high).contains(&first) && (shortest..=longest).contains(&digits.len())
        })
        && luhn(digits)
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match (place % 2, digit) {
                (0, digit) => digit,
                (_, digit @ 0..5) => digit * 2,
                (_, digit) => digit * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}
