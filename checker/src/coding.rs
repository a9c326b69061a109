//! Content codings (RFC 9110, section 8.4.1): a body is inspected as its reader will have it, and decoded within limits.
//!
//! What follows the end of a coded body, which some decoders ignore and others decode as well, is refused.

use std::{borrow::Cow, io::Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::bufread::{GzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

use crate::Reason;

/// What decoding may come to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Codings over one another.
    pub codings: usize,
    /// Bytes of the decoded body.
    pub body: usize,
    /// How many times the coded body's size the decoded one may be.
    pub ratio: usize,
}

/// Below this many bytes no ratio is asked for: a few zeroes compress very well.
const SMALL: usize = 64 << 10;
/// Bytes that are decoded at once.
const STEP: usize = 16 << 10;
/// Largest window that a zstd frame may ask for, in bytes (RFC 9659 has 8 MiB for HTTP).
const ZSTD_WINDOW: u64 = 8 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self { codings: 1, body: 4 << 20, ratio: 100 }
    }
}

impl Limits {
    /// The most that a coded body of a size may become.
    fn most(&self, coded: usize) -> usize {
        self.body.min(coded.saturating_mul(self.ratio).max(SMALL))
    }

    fn too_much(&self, coded: usize) -> Reason {
        if self.most(coded) < self.body { Reason::CodingRatio } else { Reason::BodyLength }
    }
}

/// Decodes a body whose `Content-Encoding` headers have these values.
///
/// # Errors
///
/// The [`Reason`] to refuse it.
pub fn decode<'r, 'v>(
    body: &'r [u8],
    values: impl Iterator<Item = &'v [u8]>,
    limits: &Limits,
) -> Result<Cow<'r, [u8]>, Reason> {
    let names: Vec<&[u8]> = values
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.eq_ignore_ascii_case(b"identity"))
        .collect();
    if names.len() > limits.codings {
        return Err(Reason::CodingCount);
    }
    let mut decoded = Cow::Borrowed(body);
    // The one that was applied last is listed last.
    for name in names.iter().rev() {
        decoded = Cow::Owned(one(name, &decoded, limits)?);
    }
    Ok(decoded)
}

fn one(name: &[u8], coded: &[u8], limits: &Limits) -> Result<Vec<u8>, Reason> {
    match name.to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => {
            let mut decoder = GzDecoder::new(coded);
            let decoded = read(&mut decoder, coded.len(), limits)?;
            ended(decoder.into_inner(), decoded)
        }
        // The zlib format. Whoever sends a bare deflate stream under this name is not understood by all.
        b"deflate" => {
            let mut decoder = ZlibDecoder::new(coded);
            let decoded = read(&mut decoder, coded.len(), limits)?;
            ended(decoder.into_inner(), decoded)
        }
        b"br" => brotli(coded, limits),
        b"zstd" => zstd(coded, limits),
        _ => Err(Reason::CodingUnknown),
    }
}

fn ended(rest: &[u8], decoded: Vec<u8>) -> Result<Vec<u8>, Reason> {
    if rest.is_empty() { Ok(decoded) } else { Err(Reason::CodingExcess) }
}

fn read(decoder: &mut impl Read, coded: usize, limits: &Limits) -> Result<Vec<u8>, Reason> {
    let most = limits.most(coded);
    let mut decoded = Vec::new();
    decoder.take(most as u64 + 1).read_to_end(&mut decoded).map_err(|_| Reason::CodingBroken)?;
    if decoded.len() > most { Err(limits.too_much(coded)) } else { Ok(decoded) }
}

fn zstd(coded: &[u8], limits: &Limits) -> Result<Vec<u8>, Reason> {
    let mut decoder =
        StreamingDecoder::new_with_max_window_size(coded, ZSTD_WINDOW).map_err(|_| Reason::CodingBroken)?;
    let decoded = read(&mut decoder, coded.len(), limits)?;
    let (rest, frame) = decoder.into_parts();
    // Which it reads and does not look at (RFC 8878, section 3.1.1.1): a bit that is reserved, the size, and the checksum.
    let descriptor = coded.get(4).copied().unwrap_or_default();
    let sized = descriptor & 0xe0 != 0;
    let good = descriptor & 0x08 == 0
        && (!sized || frame.content_size() == decoded.len() as u64)
        && (frame.get_checksum_from_data().is_none()
            || frame.get_checksum_from_data() == frame.get_calculated_checksum());
    if good { ended(rest, decoded) } else { Err(Reason::CodingBroken) }
}

fn brotli(coded: &[u8], limits: &Limits) -> Result<Vec<u8>, Reason> {
    let most = limits.most(coded.len());
    // Strict is without windows beyond 16 MiB, which RFC 7932 has not and only some decoders know.
    let mut state =
        BrotliState::new_strict(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let (mut left, mut at, mut total) = (coded.len(), 0, 0);
    let mut decoded = Vec::new();
    loop {
        let start = decoded.len();
        decoded.resize(start + STEP, 0);
        let (mut room, mut written) = (STEP, start);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            coded,
            &mut room,
            &mut written,
            &mut decoded,
            &mut total,
            &mut state,
        );
        decoded.truncate(written);
        if decoded.len() > most {
            return Err(limits.too_much(coded.len()));
        }
        match result {
            BrotliResult::ResultSuccess => return ended(&coded[coded.len() - left..], decoded),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => return Err(Reason::CodingBroken),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zstandard(data: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// "abc", stored.
    const BROTLI: [u8; 7] = [0x0b, 0x01, 0x80, 0x61, 0x62, 0x63, 0x03];

    fn decoded(name: &str, body: &[u8]) -> Result<Vec<u8>, Reason> {
        decode(body, [name.as_bytes()].into_iter(), &Limits::default()).map(Cow::into_owned)
    }

    #[test]
    fn each_coding_is_decoded() {
        assert_eq!(decoded("gzip", &gzip(b"abc")), Ok(b"abc".to_vec()));
        assert_eq!(decoded("x-GZIP", &gzip(b"abc")), Ok(b"abc".to_vec()));
        assert_eq!(decoded("deflate", &zlib(b"abc")), Ok(b"abc".to_vec()));
        assert_eq!(decoded("zstd", &zstandard(b"abc")), Ok(b"abc".to_vec()));
        assert_eq!(decoded("br", &BROTLI), Ok(b"abc".to_vec()));
        assert_eq!(decoded("identity", b"abc"), Ok(b"abc".to_vec()));
        let none = decode(b"abc", std::iter::empty(), &Limits::default());
        assert!(matches!(none, Ok(Cow::Borrowed(b"abc"))));
    }

    #[test]
    fn what_decoders_differ_in_is_refused() {
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::best());
        bare.write_all(b"abc").unwrap();
        assert_eq!(decoded("deflate", &bare.finish().unwrap()), Err(Reason::CodingBroken));
        assert_eq!(decoded("compress", b"abc"), Err(Reason::CodingUnknown));
        assert_eq!(decoded("", b"abc"), Err(Reason::CodingUnknown));
        assert_eq!(decoded("gzip, gzip", &gzip(&gzip(b"abc"))), Err(Reason::CodingCount));
        for (name, coded) in [
            ("gzip", gzip(b"abc")),
            ("deflate", zlib(b"abc")),
            ("br", BROTLI.to_vec()),
            ("zstd", zstandard(b"abc")),
        ] {
            let twice = [coded.clone(), coded.clone()].concat();
            assert_eq!(decoded(name, &twice), Err(Reason::CodingExcess), "{name}");
            for end in 0..coded.len() {
                assert_eq!(decoded(name, &coded[..end]), Err(Reason::CodingBroken), "{name} {end}");
            }
        }
        let twice = Limits { codings: 2, ..Limits::default() };
        let body = zlib(&gzip(b"abc"));
        assert_eq!(decode(&body, [&b"gzip"[..], b"deflate"].into_iter(), &twice).unwrap(), &b"abc"[..]);
    }

    #[test]
    fn a_frame_that_says_something_wrong_of_itself_is_refused() {
        let good = zstandard(b"abc");
        // The reserved bit, the size (which follows the window), the checksum.
        for (at, bits) in [(4, 0x08), (good.len() - 1, 0x80)] {
            let mut bad = good.clone();
            bad[at] ^= bits;
            assert_eq!(decoded("zstd", &bad), Err(Reason::CodingBroken), "{at}");
        }
        let frame = |size: u8, content: &[u8]| {
            let header = u32::try_from(content.len()).unwrap() << 3 | 1;
            [b"\x28\xb5\x2f\xfd\x20", &[size][..], &header.to_le_bytes()[..3], content].concat()
        };
        assert_eq!(decoded("zstd", &frame(3, b"abc")), Ok(b"abc".to_vec()));
        assert_eq!(decoded("zstd", &frame(4, b"abc")), Err(Reason::CodingBroken));
        assert_eq!(decoded("zstd", &frame(0, b"")), Ok(Vec::new()));
    }

    #[test]
    fn a_bomb_is_refused_before_it_has_gone_off() {
        let zeroes = vec![0; 3 << 20];
        let limits = Limits { codings: 1, body: 1 << 20, ratio: 1_000_000 };
        for (name, coded) in
            [("gzip", gzip(&zeroes)), ("deflate", zlib(&zeroes)), ("zstd", zstandard(&zeroes))]
        {
            let names = || [name.as_bytes()].into_iter();
            assert_eq!(decode(&coded, names(), &Limits::default()), Err(Reason::CodingRatio), "{name}");
            assert_eq!(decode(&coded, names(), &limits), Err(Reason::BodyLength), "{name}");
        }
        // As small as these are, nobody is harmed.
        assert_eq!(decoded("gzip", &gzip(&vec![0; SMALL])).unwrap().len(), SMALL);
    }
}
