//! What PHP's `serialize` writes: objects wherever they stand in it, and what leaves a string of it.

use super::{is_word, places};

/// Whether a text, in lower case, has an object: `O:8:"stdClass":1:{`, or a class that reads its own (`C:`).
pub(super) fn made(lower: &[u8]) -> bool {
    places(lower, b":{").any(|at| is_object(&lower[..at]))
}

/// Whether the text ends with `O:8:"stdClass":1`, as PHP writes an object before its `{`. The quotes may be escaped, as within JSON.
fn is_object(before: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().rev().take(8).take_while(|byte| byte.is_ascii_digit()).count();
    let count = digits(before);
    let Some(named) = before[..before.len() - count].strip_suffix(b"\":").filter(|_| count > 0) else {
        return false;
    };
    let named = unescaped(named);
    let name = named.iter().rev().take(128).take_while(|byte| is_word(**byte) || **byte == b'\\').count();
    let Some(sized) = named[..named.len() - name].strip_suffix(b"\"") else { return false };
    // The backslash of an escaped quote was taken for one of the name, which begins with none.
    let Some(sized) = unescaped(sized).strip_suffix(b":") else { return false };
    let size = digits(sized);
    let kind = &sized[..sized.len() - size];
    let kind = kind.strip_suffix(b"+").unwrap_or(kind);
    name > 0 && size > 0 && (kind.ends_with(b"o:") || kind.ends_with(b"c:"))
}

fn unescaped(text: &[u8]) -> &[u8] {
    let signs = text.iter().rev().take(4).take_while(|byte| **byte == b'\\').count();
    &text[..text.len() - signs]
}

/// Whether a text closes a string of a serialised list and goes on with entries of its own: `x";s:5:"admin";b:1;}`. What begins with a list
/// or a string itself has left none.
pub(super) fn leaves(text: &[u8]) -> bool {
    let Some(at) = super::find(text, b"\";") else { return false };
    if at > 256 || super::contains(&text[..at], b":\"") || super::contains(&text[..at], b":{") {
        return false;
    }
    let mut rest = &text[at + 2..];
    rest = &rest[rest.iter().take(16).take_while(|byte| **byte == b'}').count()..];
    let mut entries = 0;
    while let Some(length) = entry(rest) {
        entries += 1;
        rest = &rest[length..];
        rest = &rest[rest.iter().take(16).take_while(|byte| **byte == b'}').count()..];
        if entries == 64 {
            return true;
        }
    }
    entries >= 2 && rest.is_empty()
}

/// The length of one entry.
fn entry(text: &[u8]) -> Option<usize> {
    let digits =
        text.get(2..)?.iter().take(12).take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
    match text.get(..2)? {
        b"n;" => Some(2),
        b"i:" | b"b:" | b"d:" if digits > 0 && text.get(2 + digits) == Some(&b';') => Some(3 + digits),
        b"s:" if digits > 0 && text[2 + digits..].starts_with(b":\"") => {
            let length: usize = str::from_utf8(&text[2..2 + digits]).ok()?.parse().ok()?;
            let end = (4 + digits).checked_add(length)?;
            text.get(end..)?.starts_with(b"\";").then_some(end + 2)
        }
        b"a:" if digits > 0 && text[2 + digits..].starts_with(b":{") => Some(4 + digits),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_from_lists_and_entries_of_their_own_from_settings() {
        for object in [
            &b"o:8:\"stdclass\":1:{i:0;n;}"[..],
            b"o:+1:\"a\":0:{}",
            b"{\"a\":\"o:4:\\\"evil\\\":1:{s:1:\\\"a\\\"}\"}",
            b"a|i:1;b|o:15:\"app\\models\\user\":0:{}",
            b"c:11:\"arrayobject\":2:{x}",
        ] {
            assert!(made(object), "{}", String::from_utf8_lossy(object));
        }
        for other in [&b"a:1:{s:1:\"a\";i:2;}"[..], b"{\"o\":1,\"p\":{}}", b"foo:1:\"a\":{", b"o:1:a:1:{"] {
            assert!(!made(other), "{}", String::from_utf8_lossy(other));
        }
        for left in
            [&b"x\";s:8:\"is_admin\";b:1;}"[..], b"\";s:1:\"a\";a:1:{i:0;n;}}", b"\";}s:1:\"a\";i:1;}"]
        {
            assert!(leaves(left), "{}", String::from_utf8_lossy(left));
        }
        for kept in [
            &b"s:1:\"x\";s:8:\"is_admin\";b:1;"[..],
            b"a:2:{s:1:\"a\";i:2;s:1:\"b\";i:3;}",
            b"say \"hello\";s:1:\"a\" is how it goes",
            b"x\";i:1;",
            b"x\";s:9:\"a\";b:1;}",
        ] {
            assert!(!leaves(kept), "{}", String::from_utf8_lossy(kept));
        }
    }
}
