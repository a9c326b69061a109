//! CSS in attributes and style elements: what runs or loads something.

use super::{
    Best, contains,
    html::{Tag, add, without_noise},
};

/// Styles that run something.
pub(super) fn style(value: &[u8], tag: &Tag<'_>, best: &mut Best) {
    let bare: Vec<u8>;
    let plain = if value.iter().any(|byte| matches!(byte, b'\\' | b'*' | 0..=b' ')) {
        bare = without_noise(value);
        &bare[..]
    } else {
        value
    };
    if contains(plain, b"expression(")
        || contains(plain, b"-moz-binding")
        || contains(plain, b"script:")
        || contains(plain, b"behavior:")
        || contains(plain, b"behaviour:")
        || contains(plain, b"@import")
        || contains(plain, b"-o-link:")
    {
        add(best, "xss-style", 85);
    } else if !tag.ordinary && tag.name.len() <= 3 {
        add(best, "xss-style", 60);
    }
}

/// How much of a `style` element is read.
const LONGEST: usize = 2048;

/// What a `style` element holds, up to where it or the next one is named: of a text that is full of them, each byte is read once.
pub(super) fn sheet(body: &[u8], best: &mut Best) {
    let body = &body[..body.len().min(LONGEST)];
    let end =
        [&b"</style"[..], b"<style"].into_iter().filter_map(|name| memchr::memmem::find(body, name)).min();
    let end = end.unwrap_or(body.len());
    let plain = without_noise(&body[..end]);
    let runs = [
        &b"expression("[..],
        b"-moz-binding",
        b"script:",
        b"behavior:url",
        b"-o-link:",
        b"@import'http",
        b"@import\"http",
        b"@importurl(http",
        b"@import'//",
        b"@import'ja",
        b"@importja",
    ];
    if runs.iter().any(|piece| contains(&plain, piece)) {
        add(best, "xss-style", 80);
    }
}
