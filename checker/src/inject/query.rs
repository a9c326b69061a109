//! Queries other than SQL: those of stores, each in its file, and LDAP filters (RFC 4515).

use super::{
    Best, Class, Kind, Text, contains, scan::bytes, scan::words, store, store_code, store_line, store_path,
    xpath,
};

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let entries = text.scan.byte(bytes::QUOTE) && text.scan.byte(bytes::COLON);
    let marked = bytes::DOLLAR | bytes::BRACE | bytes::BRACKET;
    if text.scan.word(words::DOCUMENT) || text.scan.byte(marked) || entries {
        store::judge(text, best);
    }
    if text.scan.word(words::DOCUMENT) {
        store_code::judge(text.lower, best);
    }
    if text.scan.word(words::STORE) && text.kind == Kind::Value {
        store_path::judge(text.lower, best);
    }
    if text.scan.byte(bytes::CONTROL) || text.scan.word(words::HEADER | words::STORE) {
        store_line::judge(text, best);
    }
}

/// LDAP and XPath: what leaves a filter or a predicate.
pub(super) fn judge_filters(text: &Text<'_>, best: &mut Best) {
    let path = text.scan.byte(bytes::SLASH) && text.scan.byte(bytes::STAR | bytes::QUOTE | bytes::PIPE);
    let condition = text.scan.byte(bytes::QUOTE) && text.scan.byte(bytes::EQUALS);
    let lower = text.lower;
    let marked = path || condition || text.scan.byte(bytes::PAREN | bytes::BRACKET);
    // `' or . or '` has nothing but its quotes.
    let left =
        || text.scan.byte(bytes::QUOTE | bytes::SLASH) && xpath::joined(super::trim_start(lower)).is_some();
    if text.kind == Kind::Header || !marked && !left() {
        return;
    }
    if lower.len() <= 1024 {
        ldap(lower, best);
    }
    xpath::judge(lower, best);
}

/// A parenthesis that closes what the value did not open, and another filter.
fn ldap(lower: &[u8], best: &mut Best) {
    let mut depth = 0_usize;
    for at in memchr::memchr3_iter(b'(', b')', b'*', lower) {
        match lower[at] {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b')' => {
                let rest = super::trim_start(&lower[at + 1..]);
                let rest = rest.strip_prefix(b")").unwrap_or(rest);
                let rest = rest
                    .strip_prefix(b"!")
                    .or_else(|| rest.strip_prefix(b"&"))
                    .or_else(|| rest.strip_prefix(b"|"))
                    .unwrap_or(rest);
                if let Some(filter) = rest.strip_prefix(b"(")
                    && is_filter(filter)
                {
                    best.add(Class::Ldap, "ldap-filter", 85);
                    return;
                }
            }
            b'*' if depth == 0 && lower[at + 1..].starts_with(b"(|(") && is_filter(&lower[at + 3..]) => {
                best.add(Class::Ldap, "ldap-filter", 80);
                return;
            }
            _ => {}
        }
    }
    let value = lower.trim_ascii();
    // Of words that decode as base64 by chance, some begin so: what follows must be a filter's.
    let rest = value
        .strip_prefix(b"*)")
        .or_else(|| value.strip_prefix(b"*()"))
        .or_else(|| value.strip_prefix(b"(*)"))
        .or_else(|| value.strip_prefix(b"*(|("));
    let ended = rest.is_some_and(|rest| match rest.first() {
        None | Some(b')' | b'(' | b'|' | b'&' | b'!' | b'*' | b'%' | b'\\' | 0) => true,
        Some(_) => value.starts_with(b"*(|("),
    });
    if value.len() <= 16 && value.is_ascii() && ended {
        best.add(Class::Ldap, "ldap-wildcard", 65);
    }
    // A null byte that cuts off the rest, behind what was closed.
    if value.len() <= 128
        && (value.ends_with(b"))%00") || value.ends_with(b"))\\00") || value.ends_with(b")\0"))
        && !value.contains(&b'(')
    {
        best.add(Class::Ldap, "ldap-filter", 75);
    }
    if lower.starts_with(b"*") && contains(lower, b"(objectclass=*)") {
        best.add(Class::Ldap, "ldap-filter", 75);
    }
}

/// `|`, `&`, `!`, or an attribute and a comparison, as behind the `(` of a filter.
fn is_filter(text: &[u8]) -> bool {
    let text = super::trim_start(text);
    if let Some(first @ (b'|' | b'&' | b'!')) = text.first() {
        let rest = super::trim_start(&text[1..]);
        return rest.first().is_none_or(|byte| matches!(byte, b'(' | b')'))
            || *first == b'|' && rest.is_empty();
    }
    let text = text.strip_prefix(b"(").unwrap_or(text);
    let text = text.strip_prefix(b"|").or_else(|| text.strip_prefix(b"&")).unwrap_or(text);
    let text = text.strip_prefix(b"(").unwrap_or(text);
    let length = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b':' | b'.'))
        .count();
    let after = &text[length..];
    let compared = after.starts_with(b"=") && !after.starts_with(b"==") && !after.starts_with(b"=>")
        || after.starts_with(b">=")
        || after.starts_with(b"<=")
        || after.starts_with(b"~=");
    length > 0 && compared
}
