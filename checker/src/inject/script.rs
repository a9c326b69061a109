//! Script: values that leave a string of a script, or a URL, and call something.

use super::{Best, Class, Kind, Text, contains, html, is_word, places, scan::words};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Xss, rule, score);
}

/// What is called to show that a script runs, or to take something away.
const CALLS: [&[u8]; 10] = [
    b"alert",
    b"confirm",
    b"prompt",
    b"eval",
    b"settimeout",
    b"setinterval",
    b"document.write",
    b"fromcharcode",
    b"importscripts",
    b"execscript",
];

/// Whole documents are looked at as the page that they may become, and not as a script that they may leave.
const LONGEST: usize = 4096;

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    if !text.scan.word(words::SCRIPT) || text.kind == Kind::Header {
        return;
    }
    let lower = text.lower;
    url(lower, best);
    if lower.len() > LONGEST || best.certain() {
        return;
    }
    let mut calls = 0;
    for name in CALLS {
        for at in places(lower, name).take(64) {
            let word = at > 0 && is_word(lower[at - 1]);
            if word || !called(&lower[at + name.len()..]) {
                continue;
            }
            calls += 1;
            if left(&lower[..at]) {
                add(best, "xss-left-string", 85);
                return;
            }
        }
    }
    let ended = lower.len() <= 128 && lower.trim_ascii_end().ends_with(b"//") && contains(lower, b"alert(");
    let passed = lower.len() <= 512
        && [&b"=javascript:"[..], b",javascript:"].iter().any(|piece| {
            places(lower, piece).any(|at| {
                !contains(&lower[..at], b" ")
                    && lower[at + piece.len()..].iter().take(40).any(|byte| matches!(byte, b'(' | b'`'))
            })
        });
    if ended || passed {
        add(best, "xss-url", 70);
    }
    let short = lower.len() <= 256 && !lower.contains(&b'\n');
    if calls > 0 && short {
        let first = super::trim_start(lower);
        let shown = [&b"alert"[..], b"confirm", b"prompt"].iter().any(|name| first.starts_with(name));
        let moved = contains(lower, b"document.cookie")
            || contains(lower, b"fromcharcode")
            || contains(lower, b"atob(")
            || contains(lower, b"location.hash")
            || contains(lower, b"document.domain");
        add(
            best,
            "xss-call",
            if moved {
                75
            } else if shown && first.len() < 64 {
                65
            } else {
                30
            },
        );
    }
    assembled(lower, best);
}

/// A URL that runs a script, as the value or behind what a URL may have before it.
fn url(text: &[u8], best: &mut Best) {
    let start = text
        .iter()
        .position(|byte| {
            !matches!(byte, 0..=b' ' | b'/' | b'"' | b'\'' | b'>' | b'\\' | b'`' | b'=' | b'?' | b'#')
        })
        .unwrap_or(text.len());
    let value = &text[start..];
    if !html::runs(value) {
        return;
    }
    // "JavaScript: The Good Parts" is a title.
    let colon = value.iter().position(|byte| *byte == b':').unwrap_or(0);
    let after = &value[(colon + 1).min(value.len())..];
    let code = after.iter().any(|byte| matches!(byte, b'(' | b'=' | b'`' | b'%' | b'/' | b'<' | b','))
        || !after.iter().any(|byte| *byte <= b' ');
    let image =
        value.starts_with(b"data:image/svg") && !contains(value, b"script") && !contains(value, b"onload");
    let title = value.starts_with(b"javascript:") && after.starts_with(b" ") && !contains(after, b"(")
        || after.is_empty();
    if code && !image && !title {
        add(best, "xss-url", if value.starts_with(b"data:") { 60 } else { 85 });
    }
}

/// `(`, a template, or `.call(` behind a name, perhaps after white space, a comment or brackets.
fn called(after: &[u8]) -> bool {
    let gap = after
        .iter()
        .take(8)
        .take_while(|byte| **byte <= b' ' || matches!(**byte, b')' | b'\'' | b'"' | b']'))
        .count();
    matches!(after.get(gap), Some(b'('))
        || matches!(after, [b'`', byte, ..] if byte.is_ascii_digit() || *byte == b'$')
        || after.starts_with(b".call")
        || after.starts_with(b".apply")
        || after.starts_with(b"/*")
}

/// Whether what is before a call is a string's end and an operator, so that the call stands outside: `";`, `'-`, `')}`.
fn left(before: &[u8]) -> bool {
    let joins = |byte: &u8| {
        *byte <= b' '
            || matches!(
                *byte,
                b';' | b'-'
                    | b'+'
                    | b'*'
                    | b'/'
                    | b'^'
                    | b'|'
                    | b'&'
                    | b','
                    | b')'
                    | b'}'
                    | b']'
                    | b'('
                    | b'{'
                    | b'%'
                    | b'?'
                    | b':'
            )
    };
    let length = before.iter().rev().take(32).take_while(|byte| joins(byte)).count();
    let (head, operators) = before.split_at(before.len() - length);
    let Some(&quote) = head.last() else {
        return operators.first().is_some_and(|byte| matches!(byte, b')' | b'}' | b']' | b'-' | b'*' | b';'))
            && length > 0;
    };
    if !matches!(quote, b'"' | b'\'' | b'`')
        || operators.iter().all(|byte| *byte <= b' ' || *byte == b'(' || *byte == b',')
    {
        return false;
    }
    // The quote is the first of its kind: it closes a string that was open before the value began.
    let earlier = &head[..head.len() - 1];
    let earlier = earlier.strip_suffix(b"\\").unwrap_or(earlier);
    !earlier.contains(&quote)
}

/// Names that are put together from pieces, so that no one reads them: `top["al"+"ert"]`, `[]["filter"]["constructor"]`.
fn assembled(text: &[u8], best: &mut Best) {
    let pieces = [
        &b"[\"constructor\"]"[..],
        b"['constructor']",
        b"constructor.constructor(",
        b".constructor('",
        b".constructor(\"",
        b"\"al\"+\"ert\"",
        b"'al'+'ert'",
        b"eval.call",
        b"eval(atob",
        b"eval(name",
        b"location=name",
        b"=alert;",
        b"onerror=alert",
        b"onerror=eval",
    ];
    if pieces.iter().any(|piece| contains(text, piece)) {
        add(best, "xss-assembled", 70);
    }
    if text.len() <= 128
        && contains(text, b"document.cookie")
        && (contains(text, b"location") || contains(text, b"http") || contains(text, b"=true"))
    {
        add(best, "xss-cookie", 65);
    }
}
