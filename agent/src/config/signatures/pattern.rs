//! `payload`: bytes at a place.

use stopbank_common::signature::{LONGEST_PATTERN, Signature, field, words};

use super::super::document::{Diagnostics, Table, Value};
use crate::lists::printable;

const BYTES_HELP: &str = "one to sixteen bytes in hexadecimal: \"17 00 03 2a\"";
pub(in super::super) const KEYS: [&str; 5] = ["offset", "from", "bytes", "text", "mask"];
/// Where offsets are counted from.
pub(in super::super) const FROM: [(&str, u32); 3] =
    [("start", field::PAYLOAD), ("end", field::PAYLOAD_END), ("header", field::HEADER)];

/// Reads the table.
pub(super) fn read(value: &Value<'_>, signature: &mut Signature, diagnostics: &mut Diagnostics) {
    let Some(table) = Table::of("payload", value, &KEYS, diagnostics) else { return };
    let from = table.get("from").map_or(Some(field::PAYLOAD), |from| diagnostics.choice("from", from, &FROM));
    let Some(bytes) = bytes(&table, diagnostics) else { return };
    let offset = match table.get("offset") {
        Some(offset) => diagnostics.integer("offset", offset, 0..=65_535, "allowed: 0 to 65535, in bytes"),
        // The pattern is what the payload ends with.
        None if from == Some(field::PAYLOAD_END) => Some(bytes.len() as u64),
        None => Some(0),
    };
    let Some(mask) = mask(&table, &bytes, diagnostics) else { return };
    let (Some(from), Some(offset)) = (from, offset.and_then(|offset| u16::try_from(offset).ok())) else {
        return;
    };
    if from == field::PAYLOAD_END && usize::from(offset) < bytes.len() {
        diagnostics.push(
            table.get("offset").map_or_else(|| table.span(), toml::Spanned::span),
            "the pattern would reach beyond the end of the payload",
            format!("counted from the end, `offset` is at least {}, the bytes of the pattern", bytes.len()),
        );
        return;
    }
    let mut pattern = ([0; LONGEST_PATTERN], [0; LONGEST_PATTERN]);
    for (i, (byte, mask)) in bytes.iter().zip(mask).enumerate() {
        (pattern.0[i], pattern.1[i]) = (byte & mask, mask);
    }
    (signature.pattern, signature.mask) = (words(pattern.0), words(pattern.1));
    (signature.offset, signature.pattern_length) = (offset, bytes.len() as u16);
    signature.fields |= from;
}

/// `bytes` or `text`.
fn bytes(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Option<Vec<u8>> {
    let (key, value) = match (table.get("bytes"), table.get("text")) {
        (Some(value), None) => ("bytes", value),
        (None, Some(value)) => ("text", value),
        (bytes, _) => {
            let found =
                if bytes.is_some() { "both `bytes` and `text`" } else { "neither `bytes` nor `text`" };
            diagnostics.push(table.span(), format!("`payload` has {found}"), "name one of them");
            return None;
        }
    };
    let bytes = if key == "bytes" {
        hexadecimal(key, value, diagnostics)?
    } else {
        diagnostics.string(key, value, "one to sixteen bytes as text: \"GET /\"")?.as_bytes().to_vec()
    };
    if bytes.is_empty() || bytes.len() > LONGEST_PATTERN {
        let message = format!("`{key}` has {} bytes", bytes.len());
        diagnostics.push(value.span(), message, format!("allowed: 1 to {LONGEST_PATTERN}"));
        return None;
    }
    Some(bytes)
}

/// All bits where nothing is said.
fn mask(table: &Table<'_, '_>, bytes: &[u8], diagnostics: &mut Diagnostics) -> Option<Vec<u8>> {
    let Some(value) = table.get("mask") else { return Some(vec![0xff; bytes.len()]) };
    let mask = hexadecimal("mask", value, diagnostics)?;
    if mask.len() != bytes.len() {
        let message = format!("`mask` has {} bytes, and the pattern {}", mask.len(), bytes.len());
        diagnostics.push(value.span(), message, "a mask is as long as what it stands over");
        return None;
    }
    if let Some(i) = bytes.iter().zip(&mask).position(|(byte, mask)| byte & !mask != 0) {
        let message = format!("byte {i} has bits that `mask` leaves out");
        diagnostics.push(value.span(), message, "write 0 where the mask has 0");
        return None;
    }
    Some(mask)
}

fn hexadecimal(key: &str, value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<u8>> {
    let text = diagnostics.string(key, value, BYTES_HELP)?;
    let digits: Vec<char> = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let byte = |pair: &[char]| match pair {
        [high, low] => Some((high.to_digit(16)? << 4 | low.to_digit(16)?) as u8),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    if bytes.is_none() {
        diagnostics.push(value.span(), format!("`{key}` is \"{}\"", printable(text, 40)), BYTES_HELP);
    }
    bytes
}
