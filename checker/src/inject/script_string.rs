//! Script: values that leave a string of a script at once, and go on as the script does.

use super::{contains, is_word, script::called};

/// A value that ends a script's string at once, calls something, and cuts off the rest or enters the string again: `';f(1)//`, `"-f()-"`.
pub(super) fn steps_out(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let start = text.strip_prefix(b"\\").unwrap_or(text);
    let Some((&quote, rest)) = start.split_first().filter(|(quote, _)| matches!(quote, b'\'' | b'"')) else {
        return false;
    };
    let closing = rest.iter().take(4).take_while(|byte| matches!(byte, b')' | b']' | b'}')).count();
    let Some((&operator, call)) = rest[closing..].split_first() else { return false };
    let call = super::trim_start(call);
    // A list, a group or a sign before the name changes nothing.
    let signs = call.iter().take(2).take_while(|byte| matches!(byte, b'[' | b'(' | b'!' | b'~')).count();
    let call = &call[signs..];
    let name = call.iter().take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'$')).count();
    if name == 0 || call[0].is_ascii_digit() {
        return false;
    }
    let cut = call.ends_with(b"//") || call.ends_with(b"<!--");
    let again = call.len() > 2 && call.last() == Some(&quote) && call[call.len() - 2] == operator;
    // Something is given a value, or a member that is found by a text is called.
    let rest = &call[name..];
    let given = operator == b';' && rest.starts_with(b"=") && !rest.starts_with(b"==");
    let found = rest.starts_with(b"[") && contains(rest, b"](");
    if !(called(rest) || given || found) {
        return false;
    }
    match operator {
        // A page's own may have strings of its own, none of which is left open.
        b';' => {
            let quotes = memchr::memchr_iter(quote, call).count();
            let own = given || found || PAGES.iter().any(|page| call.starts_with(page));
            cut && (quotes == 0 || own && quotes.is_multiple_of(2)) || again
        }
        b'-' | b'*' | b'^' | b'%' => cut || again,
        // Between two strings of a program a call is an everyday thing, but not what only the page knows.
        b'+' => again && !call.contains(&b' ') && PRIVATE.iter().any(|own| contains(call, own)),
        _ => false,
    }
}

/// What only scripts of pages begin with.
const PAGES: [&[u8]; 8] =
    [b"$.", b"import(", b"window.", b"document.", b"location.", b"fetch(", b"top.", b"parent."];

/// What only a page knows.
const PRIVATE: [&[u8]; 3] = [b"(document.cookie", b"(document.domain", b"(localstorage"];
