//! CSS in attributes and style elements: what runs or loads something.

use super::{
    Best, Text, contains,
    html::{Tag, add},
    html_attribute::without_noise,
    places,
    scan::{bytes, words},
    script_value::shown,
};

/// A style without the tag that it is meant for.
pub(super) fn loose(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    let script = text.scan.word(words::SCRIPT);
    let escapes = text.scan.byte(bytes::BACKSLASH) && text.scan.byte(bytes::COLON);
    if contains(lower, b"*/pression(")
        || script && contains(lower, b"-moz-binding")
        || escapes && numbered(lower)
    {
        add(best, "xss-style", 75);
    } else if script
        && [&b"url"[..], b"style", b"expression", b"background"].iter().any(|mark| contains(lower, mark))
    {
        let plain = without_noise(lower);
        let runs = shown(&plain)
            || [&b"style"[..], b"alert(", b"write(", b"document."].iter().any(|mark| contains(&plain, mark));
        // A filter that takes `\2` away makes an 8 of a bracket.
        let called = contains(&plain, b":expression(") || contains(&plain, b":expression8");
        if contains(&plain, b"url(javascript") || called && runs || pictured(&plain) {
            add(best, "xss-style", 70);
        }
    }
}

/// Whether a background is a script's URL.
fn pictured(plain: &[u8]) -> bool {
    [&b"background-image:"[..], b"background:"].iter().any(|name| {
        places(plain, name).take(8).any(|at| {
            let value = &plain[at + name.len()..];
            let value = value.strip_prefix(b"url(").unwrap_or(value);
            let value = value.strip_prefix(b"'").or_else(|| value.strip_prefix(b"\"")).unwrap_or(value);
            value.starts_with(b"javascript") || value.starts_with(b"vbscript:")
        })
    })
}

/// Whether what a declaration gives begins with four signs of ASCII by their numbers: `background:\75\72\6c\28`.
fn numbered(text: &[u8]) -> bool {
    places(text, b":\\").take(8).any(|at| {
        let name = at > 2 && text[at - 2..at].iter().all(u8::is_ascii_alphabetic);
        let mut rest = &text[at + 1..];
        let mut signs = 0;
        while let [b'\\', after @ ..] = rest {
            let digits = after.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
            if digits < 2 {
                break;
            }
            signs += 1;
            rest = super::trim_start(&after[digits..]);
        }
        name && signs >= 4
    })
}

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
        || contains(plain, b"binding:url(")
        || contains(plain, b"/pression(")
        || contains(value, b"*/pression(")
    {
        add(best, "xss-style", 85);
    } else if escaped(value) {
        add(best, "xss-style", 70);
    } else if disputed(value) {
        add(best, "xss-style", 62);
    } else if !tag.ordinary && tag.name.len() <= 3 {
        add(best, "xss-style", 60);
    }
}

/// Whether a style writes ASCII by its numbers (CSS, section 4.3.7: a backslash and up to six digits): nobody has to.
fn escaped(value: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', value).take(64).any(|at| {
        let digits = value[at + 1..].iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let code = value[at + 1..at + 1 + digits]
            .iter()
            .fold(0, |code: u32, &byte| code << 4 | char::from(byte).to_digit(16).unwrap_or(0));
        // Nor a backslash before a letter that is no digit, which stands for the letter itself (section 4.3.7).
        let letter = value.get(at + 1).is_some_and(|byte| matches!(byte, b'g'..=b'z'))
            && at > 0
            && value[at - 1].is_ascii_alphabetic();
        letter || digits > 1 && (0x20..0x7f).contains(&code)
    })
}

/// Whether readers do not agree where a declaration, a string or a URL of a style ends, so that what one takes for a text is a rule to another.
fn disputed(value: &[u8]) -> bool {
    let count = |byte: u8| memchr::memchr_iter(byte, value).count();
    let template = [&b"{{"[..], b"{%", b"${", b"<%", b"#{"].iter().any(|mark| contains(value, mark));
    if !template && (count(b'{') != count(b'}') || count(b'[') != count(b']')) {
        return true;
    }
    if value.starts_with(b"[") || contains(value, b"\n:") || value.starts_with(b"content:url(") {
        return true;
    }
    // A line's end in a string, the beginning of a comment, or the end of a declaration and another one.
    let (mut quote, mut start) = (0, 0);
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            b'\'' | b'"' if quote == 0 => (quote, start) = (byte, at),
            b'\n' | 0xc if quote != 0 => return true,
            other if other == quote => {
                quote = 0;
                if !template && declares(&value[start + 1..at]) {
                    return true;
                }
                // A string within a word: nobody writes one.
                if start > 0
                    && value[start - 1].is_ascii_alphanumeric()
                    && value.get(at + 1).is_some_and(u8::is_ascii_alphanumeric)
                {
                    return true;
                }
            }
            _ => {}
        }
    }
    // White space or a comment in a URL that is not within quotes, and a picture that may hold script.
    places(value, b"url(").take(16).any(|at| {
        let inner = super::trim_start(&value[at + 4..]);
        let inner = inner[..memchr::memchr(b')', inner).unwrap_or(inner.len())].trim_ascii();
        let quoted = matches!(inner.first(), None | Some(b'\'' | b'"' | b'&'));
        let data = inner.starts_with(b"data:");
        let split = contains(inner, b"/*") || inner.iter().any(|byte| *byte <= b' ');
        !quoted && !data && !template && (split || inner.ends_with(b".svg") || contains(inner, b".svg#"))
    })
}

/// Whether a string of a style holds the end of a declaration and another one, or the beginning of a comment.
fn declares(string: &[u8]) -> bool {
    let declared = string.split(|byte| *byte == b';').skip(1).any(|rest| {
        let name = rest.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'-').count();
        name > 2 && rest.get(name) == Some(&b':')
    });
    declared || super::find(string, b"/*").is_some_and(|at| !contains(&string[at..], b"*/"))
}

/// Whether a comment stands within a word, where readers do not agree whether it is one or two: `gre/**/en`.
fn split_word(body: &[u8]) -> bool {
    places(body, b"/**/").take(16).any(|at| {
        at > 0 && body[at - 1].is_ascii_alphabetic() && body.get(at + 4).is_some_and(u8::is_ascii_alphabetic)
    })
}

/// Whether a font is a part of an SVG document, which may hold script.
fn font_of_markup(body: &[u8]) -> bool {
    contains(body, b"@font-face") && contains(body, b".svg#") && !contains(body, b".woff")
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
        b"@import\"//",
        b"@importurl(//",
        b"@import`",
        b"@importhttp",
        b"@import'ja",
        b"@importja",
    ];
    let body = &body[..end];
    // A selector that holds a rule: [{}, or [a; behind which the next rule begins for some.
    let swallowed = memchr::memchr_iter(b'[', body).take(64).any(|at| {
        let inner = &body[at..body.len().min(at + 64)];
        let inner = &inner[..memchr::memchr(b']', inner).unwrap_or(inner.len())];
        inner.iter().any(|byte| matches!(byte, b'{' | b'}' | b';'))
            && !inner.iter().any(|byte| matches!(byte, b'"' | b'='))
    });
    let joined = [&b"@import'"[..], b"@import\"", b"@import\\'"].iter().any(|piece| contains(body, piece));
    if runs.iter().any(|piece| contains(&plain, piece)) {
        add(best, "xss-style", 80);
    } else if swallowed || joined || contains(body, b"`function(") || split_word(body) || font_of_markup(body)
    {
        add(best, "xss-style", 65);
    }
}
