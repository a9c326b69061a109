//! Queries other than SQL: operators of document stores and LDAP filters (RFC 4515).

use super::{Best, Class, Kind, Text, contains, scan::bytes, scan::words, xpath};

/// Operators of document stores.
const OPERATORS: [&[u8]; 27] = [
    b"where",
    b"ne",
    b"gt",
    b"gte",
    b"lt",
    b"lte",
    b"in",
    b"nin",
    b"or",
    b"and",
    b"not",
    b"nor",
    b"regex",
    b"exists",
    b"eq",
    b"expr",
    b"elemmatch",
    b"all",
    b"type",
    b"mod",
    b"size",
    b"text",
    b"function",
    b"accumulator",
    b"jsonschema",
    b"comment",
    b"func",
];

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    if text.scan.word(words::DOCUMENT) {
        operators(text, best);
        code(lower, best);
    }
}

/// `$ne` as a name, or where a name stands in a value: `{"$ne":…`, `[$ne]=`.
fn operators(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    for at in memchr::memchr_iter(b'$', lower).take(128) {
        let rest = &lower[at + 1..];
        let length = rest.iter().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
        if !OPERATORS.contains(&&rest[..length]) {
            continue;
        }
        let (before, after) =
            (lower[..at].trim_ascii_end().last(), super::trim_start(&rest[length..]).first());
        let named = text.kind == Kind::Name
            && (at == 0 && after.is_none() || before == Some(&b'[') || before == Some(&b'.'));
        let opened = matches!(before, Some(b'{' | b'[' | b',' | b'"' | b'\''));
        let closed = matches!(after, Some(b'"' | b'\'' | b']' | b':'));
        if named && !matches!(&rest[..length], b"type" | b"comment" | b"text" | b"size" | b"all") {
            best.add(Class::NoSql, "nosql-name", 85);
        } else if opened
            && closed
            && !matches!(&rest[..length], b"type" | b"comment" | b"text" | b"size" | b"all")
        {
            // A long document that has one is about them.
            best.add(Class::NoSql, "nosql-operator", if lower.len() > 1024 { 50 } else { 75 });
        }
    }
}

/// Code for `$where`: it leaves a string, and returns or waits.
fn code(lower: &[u8], best: &mut Best) {
    let start = super::trim_start(lower);
    let left = start
        .iter()
        .take(24)
        .position(|byte| matches!(byte, b'\'' | b'"'))
        .map(|at| super::trim_start(&start[at + 1..]));
    if let Some(after) = left {
        let joined = after
            .strip_prefix(b";")
            .or_else(|| after.strip_prefix(b"&&"))
            .or_else(|| after.strip_prefix(b"||"))
            .or_else(|| after.strip_prefix(b"})"));
        if let Some(joined) = joined {
            let joined = super::trim_start(joined.strip_prefix(b";").unwrap_or(joined));
            if [
                &b"return true"[..],
                b"return(",
                b"return 1",
                b"return '",
                b"return \"",
                b"return this",
                b"return!",
                b"sleep(",
                b"while(",
                b"this.",
                b"db.",
                b"var ",
                b"it=new",
                b"function()",
            ]
            .iter()
            .any(|word| joined.starts_with(word))
            {
                best.add(Class::NoSql, "nosql-code", 80);
            }
        }
    }
    let number = start.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let bare = super::trim_start(&start[number..]);
    if bare.starts_with(b";")
        && (contains(&bare[..bare.len().min(16)], b"return true")
            || contains(&bare[..bare.len().min(16)], b"return 1")
            // Without a number it is a statement of SQL.
            || number > 0 && contains(&bare[..bare.len().min(16)], b"sleep("))
    {
        best.add(Class::NoSql, "nosql-code", 75);
    }
    let calls = [
        &b".insert("[..],
        b".find(",
        b".drop(",
        b".remove(",
        b".getcollectionnames(",
        b".findone(",
        b".update(",
    ];
    if start.starts_with(b"db.") && start.len() < 128 && calls.iter().any(|call| contains(start, call)) {
        best.add(Class::NoSql, "nosql-command", 65);
    }
    if contains(lower, b"this.")
        && contains(lower, b".match(/")
        && lower.contains(&b'\'')
        && lower.len() < 256
        && contains(lower, b"&&")
    {
        best.add(Class::NoSql, "nosql-code", 70);
    }
    // A function as `$where` takes it, or its body.
    let body = start.strip_prefix(b"function()").map(super::trim_start);
    let returns = body.and_then(|body| body.strip_prefix(b"{")).map(super::trim_start);
    let condition = start.starts_with(b"this.") && contains(start, b"==") && contains(start, b"|| true");
    if start.len() <= 200 && (returns.is_some_and(|body| body.starts_with(b"return this.")) || condition) {
        best.add(Class::NoSql, "nosql-code", 70);
    }
    // '+(function(){…}())+'
    if matches!(start.first(), Some(b'\'' | b'"'))
        && start.len() <= 300
        && super::trim_start(&start[1..]).starts_with(b"+(function(")
    {
        best.add(Class::NoSql, "nosql-code", 75);
    }
    if start.starts_with(b"{\"&exists") || start.starts_with(b"|| 1==1") || start.starts_with(b"||1==1") {
        best.add(Class::NoSql, "nosql-operator", 65);
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
    for (at, &byte) in lower.iter().enumerate() {
        match byte {
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
