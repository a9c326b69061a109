//! Numbers, strings and values as SPOP writes them (HAProxy's doc/SPOE.txt, section 3.1). Reading takes what is there and no more, borrows from it, and
//! ends with an error where something is missing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Below this a number is one byte.
const SINGLE: u8 = 240;
/// How far the last byte of a number of 64 bits is shifted.
const LAST_SHIFT: u32 = 4 + 9 * 7;

/// Types of values: the lower half of a value's first byte. Its upper half is flags.
const NULL: u8 = 0;
const BOOLEAN: u8 = 1;
const INT32: u8 = 2;
const UINT32: u8 = 3;
const INT64: u8 = 4;
const UINT64: u8 = 5;
const IPV4: u8 = 6;
const IPV6: u8 = 7;
const STRING: u8 = 8;
const BINARY: u8 = 9;
/// The flag of a boolean that is true.
const TRUE: u8 = 1 << 4;

/// Bytes that are no number, string or value, or end within one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// A value with its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value<'b> {
    Null,
    Boolean(bool),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Address(IpAddr),
    Text(&'b [u8]),
    Binary(&'b [u8]),
}

impl<'b> Value<'b> {
    /// The number, where it is one and not negative.
    pub(crate) fn number(self) -> Option<u64> {
        match self {
            Self::Int32(number) => u64::try_from(number).ok(),
            Self::Uint32(number) => Some(number.into()),
            Self::Int64(number) => u64::try_from(number).ok(),
            Self::Uint64(number) => Some(number),
            _ => None,
        }
    }

    /// The bytes, where it is text or binary.
    pub(crate) const fn bytes(self) -> Option<&'b [u8]> {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Bytes that are read from their beginning on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read.
    pub(crate) const fn rest(&self) -> &'b [u8] {
        self.0
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (&array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(array)
    }

    /// A number of up to 64 bits. Each has one way to be written: what comes behind the first byte begins at 240.
    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let first = self.byte()?;
        let mut number = u128::from(first);
        if first < SINGLE {
            return Ok(first.into());
        }
        for shift in (4..=LAST_SHIFT).step_by(7) {
            let byte = self.byte()?;
            number += u128::from(byte) << shift;
            if byte < 0x80 {
                return u64::try_from(number).map_err(|_| Malformed);
            }
        }
        Err(Malformed)
    }

    /// A length and as many bytes.
    pub(crate) fn string(&mut self) -> Result<&'b [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(string)
    }

    pub(crate) fn value(&mut self) -> Result<Value<'b>, Malformed> {
        let first = self.byte()?;
        let (kind, flags) = (first & 0x0f, first & 0xf0);
        if flags != 0 && (kind, flags) != (BOOLEAN, TRUE) {
            return Err(Malformed);
        }
        // HAProxy writes negative numbers of both lengths as 64 bits.
        let signed = |number: u64| number.cast_signed();
        Ok(match kind {
            NULL => Value::Null,
            BOOLEAN => Value::Boolean(flags == TRUE),
            INT32 => Value::Int32(signed(self.number()?).try_into().map_err(|_| Malformed)?),
            UINT32 => Value::Uint32(self.number()?.try_into().map_err(|_| Malformed)?),
            INT64 => Value::Int64(signed(self.number()?)),
            UINT64 => Value::Uint64(self.number()?),
            IPV4 => Value::Address(Ipv4Addr::from(self.array::<4>()?).into()),
            IPV6 => Value::Address(Ipv6Addr::from(self.array::<16>()?).into()),
            STRING => Value::Text(self.string()?),
            BINARY => Value::Binary(self.string()?),
            _ => return Err(Malformed),
        })
    }
}

/// Appends a number.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64) {
    let [low, ..] = number.to_le_bytes();
    if number < SINGLE.into() {
        out.push(low);
        return;
    }
    out.push(low | 0xf0);
    let mut rest = (number - u64::from(SINGLE)) >> 4;
    while rest >= 0x80 {
        let [low, ..] = rest.to_le_bytes();
        out.push(low | 0x80);
        rest = (rest - 0x80) >> 7;
    }
    let [low, ..] = rest.to_le_bytes();
    out.push(low);
}

/// Appends a length and as many bytes.
pub(crate) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    put_number(out, string.len() as u64);
    out.extend_from_slice(string);
}

/// Appends a value with its type.
pub(crate) fn put_value(out: &mut Vec<u8>, value: Value<'_>) {
    let mut number = |kind, number| {
        out.push(kind);
        put_number(out, number);
    };
    match value {
        Value::Null => out.push(NULL),
        Value::Boolean(truth) => out.push(if truth { BOOLEAN | TRUE } else { BOOLEAN }),
        Value::Int32(value) => number(INT32, i64::from(value).cast_unsigned()),
        Value::Uint32(value) => number(UINT32, value.into()),
        Value::Int64(value) => number(INT64, value.cast_unsigned()),
        Value::Uint64(value) => number(UINT64, value),
        Value::Address(IpAddr::V4(address)) => {
            out.push(IPV4);
            out.extend_from_slice(&address.octets());
        }
        Value::Address(IpAddr::V6(address)) => {
            out.push(IPV6);
            out.extend_from_slice(&address.octets());
        }
        Value::Text(bytes) => {
            out.push(STRING);
            put_string(out, bytes);
        }
        Value::Binary(bytes) => {
            out.push(BINARY);
            put_string(out, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_specification_shows_and_read_back() {
        for (number, bytes) in [
            (0, &[0][..]),
            (239, &[239]),
            (240, &[0xf0, 0]),
            (2287, &[0xff, 0x7f]),
            (2288, &[0xf0, 0x80, 0]),
            (264_431, &[0xff, 0xff, 0x7f]),
            (264_432, &[0xf0, 0x80, 0x80, 0]),
            (33_818_864, &[0xf0, 0x80, 0x80, 0x80, 0]),
        ] {
            let mut written = Vec::new();
            put_number(&mut written, number);
            assert_eq!(written, bytes, "{number}");
            assert_eq!(Reader::new(bytes).number(), Ok(number));
            for end in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..end]).number(), Err(Malformed), "{number} {end}");
            }
        }
        let mut largest = Vec::new();
        put_number(&mut largest, u64::MAX);
        assert_eq!(Reader::new(&largest).number(), Ok(u64::MAX));
        // One more, and a number without an end.
        assert_eq!(Reader::new(&[0xff; 40]).number(), Err(Malformed));
        *largest.last_mut().unwrap() += 1;
        assert_eq!(Reader::new(&largest).number(), Err(Malformed));
    }

    #[test]
    fn values_are_read_as_they_were_written_and_every_beginning_is_malformed() {
        for value in [
            Value::Null,
            Value::Boolean(true),
            Value::Boolean(false),
            Value::Int32(-5),
            Value::Uint32(u32::MAX),
            Value::Int64(i64::MIN),
            Value::Uint64(u64::MAX),
            Value::Address("192.0.2.1".parse().unwrap()),
            Value::Address("2001:db8::1".parse().unwrap()),
            Value::Text(b"a"),
            Value::Binary(&[7; 300]),
        ] {
            let mut written = Vec::new();
            put_value(&mut written, value);
            let mut reader = Reader::new(&written);
            assert_eq!(reader.value(), Ok(value));
            assert!(reader.rest().is_empty());
            for end in 0..written.len() {
                assert_eq!(Reader::new(&written[..end]).value(), Err(Malformed), "{value:?} {end}");
            }
        }
    }

    #[test]
    fn unknown_types_and_flags_and_numbers_that_do_not_fit_are_malformed() {
        let mut large = vec![UINT32];
        put_number(&mut large, u64::from(u32::MAX) + 1);
        // A length that nothing could have.
        let mut long = vec![STRING];
        put_number(&mut long, u64::MAX);
        for bytes in [&[10][..], &[15], &[0x80 | STRING, 0], &[TRUE], &[0x20 | BOOLEAN], &large, &long] {
            assert_eq!(Reader::new(bytes).value(), Err(Malformed), "{bytes:?}");
        }
    }
}
