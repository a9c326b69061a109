//! Answers about certificates (OCSP, RFC 6960) that a server sends along with its own: read as far as it must be known for whom and until when
//! they are good. Who is connected verifies them.

/// Shortest time of a form: `YYYYMMDDHHMMSSZ` (X.690, section 11.7).
const TIME: usize = 15;
/// Of `id-pkix-ocsp-basic`, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const IDENTIFIER: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const TIMED: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]`, around a value.
const FIRST: u8 = 0xa0;

/// What is wrong with an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// It is no DER, or no answer of OCSP.
    #[error("it is no OCSP response (RFC 6960, DER)")]
    Unreadable,
    /// The responder could not or would not answer.
    #[error("the responder has not answered the question: its status is {0} (RFC 6960, section 4.2.1)")]
    Unsuccessful(u8),
    /// It says nothing of the certificate.
    #[error("it says nothing of this certificate")]
    Other,
    /// The certificate is revoked, or unknown.
    #[error("it does not call the certificate good: it is revoked, or unknown to the responder")]
    NotGood,
    /// It has no end.
    #[error("it does not say how long it counts (nextUpdate)")]
    Endless,
}

/// From when until when a certificate is called good, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Good {
    /// `thisUpdate`.
    pub begins: u64,
    /// `nextUpdate`: not at this time any more.
    pub ends: u64,
}

/// Reads an answer about a certificate, both in DER.
///
/// # Errors
///
/// [`Problem`], where it is of no use to this certificate.
pub fn read(answer: &[u8], certificate: &[u8]) -> Result<Good, Problem> {
    let serial = serial(certificate).ok_or(Problem::Other)?;
    let (status, body) = outer(answer).ok_or(Problem::Unreadable)?;
    if status != 0 {
        return Err(Problem::Unsuccessful(status));
    }
    let mut responses = basic(body.ok_or(Problem::Unreadable)?).ok_or(Problem::Unreadable)?;
    while !responses.0.is_empty() {
        let single = responses.of(SEQUENCE).ok_or(Problem::Unreadable)?;
        let (of, good, begins, ends) = one(single).ok_or(Problem::Unreadable)?;
        if of == serial {
            return match (good, ends) {
                (false, _) => Err(Problem::NotGood),
                (true, None) => Err(Problem::Endless),
                (true, Some(ends)) => Ok(Good { begins, ends }),
            };
        }
    }
    Err(Problem::Other)
}

/// The serial number of a certificate (RFC 5280, section 4.1).
fn serial(certificate: &[u8]) -> Option<&[u8]> {
    let mut certificate = Der(Der(certificate).of(SEQUENCE)?);
    let mut signed = Der(certificate.of(SEQUENCE)?);
    signed.skip(FIRST);
    signed.of(INTEGER)
}

/// The status of an answer, and the bytes of it, if there are some.
fn outer(answer: &[u8]) -> Option<(u8, Option<&[u8]>)> {
    let mut whole = Der(answer);
    let mut parts = Der(whole.of(SEQUENCE)?);
    let [status] = *parts.of(ENUMERATED)? else { return None };
    // PEM and what is behind DER are no DER.
    whole.0.is_empty().then(|| (status, parts.of(FIRST)))
}

/// The single answers.
fn basic(bytes: &[u8]) -> Option<Der<'_>> {
    let mut typed = Der(Der(bytes).of(SEQUENCE)?);
    if typed.of(IDENTIFIER)? != BASIC {
        return None;
    }
    let mut signed = Der(Der(typed.of(OCTETS)?).of(SEQUENCE)?);
    let mut data = Der(signed.of(SEQUENCE)?);
    data.skip(FIRST);
    // Who answers, by name or by key.
    data.next().filter(|(tag, _)| matches!(tag, 0xa1 | 0xa2))?;
    data.of(TIMED)?;
    data.of(SEQUENCE).map(Der)
}

/// Of a single answer: the serial number, whether that is called good, and from when until when.
fn one(single: &[u8]) -> Option<(&[u8], bool, u64, Option<u64>)> {
    let mut single = Der(single);
    let mut of = Der(single.of(SEQUENCE)?);
    of.of(SEQUENCE)?;
    of.of(OCTETS)?;
    of.of(OCTETS)?;
    let serial = of.of(INTEGER)?;
    let (status, _) = single.next()?;
    let begins = seconds(single.of(TIMED)?)?;
    let ends = match single.peek() {
        Some(FIRST) => Some(seconds(Der(single.of(FIRST)?).of(TIMED)?)?),
        _ => None,
    };
    Some((serial, status == 0x80, begins, ends))
}

/// Seconds since 1970 of a GeneralizedTime.
fn seconds(text: &[u8]) -> Option<u64> {
    let (digits, b"Z") = text.split_at_checked(TIME - 1)? else { return None };
    let part = |from: usize, to: usize| -> Option<u64> {
        let digits = digits.get(from..to)?;
        digits.iter().try_fold(0, |all, digit| {
            digit.is_ascii_digit().then(|| all * 10 + u64::from(digit.wrapping_sub(b'0')))
        })
    };
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let fits = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !fits {
        return None;
    }
    // Years that begin in March (Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`).
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (century, of_century) = (year / 400, year % 400);
    let days = (153 * month + 2) / 5 + day - 1 + of_century * 365 + of_century / 4 - of_century / 100;
    let since = (century * 146_097 + days).checked_sub(719_468)?;
    Some(since * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Values in DER, one behind the other.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value: its tag, and what is in it.
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        // No tag of several bytes is used here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
                // X.690, section 10.1: the shortest form.
                (bytes.first() != Some(&0) && length > 0x7f).then_some((length, rest))?
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, which must have this tag.
    fn of(&mut self, tag: u8) -> Option<&'d [u8]> {
        if self.peek() != Some(tag) {
            return None;
        }
        self.next().map(|(_, value)| value)
    }

    /// Passes over the next value if it has this tag.
    fn skip(&mut self, tag: u8) {
        self.of(tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (text, expected) in [
            ("19700101000000Z", Some(0)),
            ("20000229235959Z", Some(951_868_799)),
            ("20261128120000Z", Some(1_795_867_200)),
            ("21000301000000Z", Some(4_107_542_400)),
            ("19691231235959Z", None),
            ("20261328120000Z", None),
            ("20260028120000Z", None),
            ("2026112812000Z", None),
            ("20261128120000+", None),
            ("20261128120000.5Z", None),
            ("2026-1-28120000Z", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let certificate = b"\x30\x07\x30\x05\x02\x03\x01\x02\x03";
        assert_eq!(serial(certificate), Some(&b"\x01\x02\x03"[..]));
        let try_later = b"\x30\x03\x0a\x01\x03";
        assert_eq!(read(try_later, certificate), Err(Problem::Unsuccessful(3)));
        for answer in [
            &b""[..],
            b"\x30",
            b"\x30\x80\0\0",
            b"\x30\x81\x03\x0a\x01\x03",
            b"\x30\x03\x0a\x01\x00",
            b"-----BEGIN",
            b"\x30\x03\x0a\x01\x00\x00",
        ] {
            assert_eq!(read(answer, certificate), Err(Problem::Unreadable), "{answer:?}");
        }
        assert_eq!(read(try_later, b"nonsense"), Err(Problem::Other));
    }
}
