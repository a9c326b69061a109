//! Script: values that leave a string of a script, or a URL, and call something.

use super::{
    Best, Class, Kind, Text, contains, html_attribute,
    html_fragment::stripped,
    is_word, places,
    scan::{bytes, words},
    script_string::steps_out,
    script_value,
};

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
    if text.scan.byte(bytes::BRACKET) && signs_only(text.lower) {
        add(best, "xss-signs", 85);
        return;
    }
    if text.kind == Kind::Header {
        return;
    }
    let escaped = text.scan.byte(bytes::BACKSLASH) && text.scan.byte(bytes::BRACKET);
    if text.lower.len() <= 128
        && (text.scan.byte(bytes::PAREN | bytes::BACKTICK) && pieced(text.lower)
            || escaped && script_value::named(super::trim_start(text.lower)))
    {
        add(best, "xss-assembled", 70);
        return;
    }
    let lower = text.lower;
    if text.scan.byte(bytes::QUOTE)
        && text.scan.byte(bytes::PAREN | bytes::EQUALS | bytes::BACKTICK)
        && lower.len() <= 256
        && steps_out(lower)
    {
        add(best, "xss-left-string", 70);
        return;
    }
    // What runs has one of these; a page's own names are words of a sentence, too.
    let signs = bytes::PAREN
        | bytes::BACKTICK
        | bytes::EQUALS
        | bytes::BRACKET
        | bytes::COLON
        | bytes::STAR
        | bytes::AMPERSAND
        | bytes::HIGH;
    if !text.scan.word(words::SCRIPT) || !text.scan.byte(signs) {
        return;
    }
    if lower.len() <= 256 && !lower.contains(&b'\n') && script_value::runs(lower) {
        add(best, "xss-value", 70);
        return;
    }
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
            if left(of_page(&lower[..at])) || cut_off(&lower[..at], &lower[at..]) {
                add(best, "xss-left-string", 85);
                return;
            }
        }
    }
    if lower.len() <= 256 && stripped(lower) {
        add(best, "xss-stripped", 65);
        return;
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
    if calls > 0 && lower.len() <= 512 && contains(lower, b"</script") && !contains(lower, b"<script") {
        add(best, "xss-closed-element", 75);
    }
    if short {
        flows(lower, best);
    }
    if lower.len() <= 1024 {
        hidden(lower, best);
    }
    if calls > 0 && short {
        let first = super::trim_start(lower);
        let shown = [&b"alert"[..], b"confirm", b"prompt"].iter().any(|name| first.starts_with(name));
        let moved = contains(lower, b"document.cookie")
            || places(lower, b"fromcharcode(").any(|at| spells(&lower[at + 13..]))
            || contains(lower, b"atob(")
            || contains(lower, b"location.hash")
            || contains(lower, b"document.domain");
        add(
            best,
            "xss-call",
            if moved {
                75
            } else if shown && first.len() < 64 && !tells(first) {
                65
            } else {
                30
            },
        );
    }
    assembled(lower, best);
}

/// Whether a letter's number is one of several: `88, 83`, and not a part of what is computed.
fn spells(arguments: &[u8]) -> bool {
    let digits = arguments.iter().take(8).take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && super::trim_start(&arguments[digits..]).starts_with(b",")
}

/// Whether what is shown is a sentence for people, in a string: `alert('Please save your changes.')`.
pub(super) fn tells(call: &[u8]) -> bool {
    let Some(open) = memchr::memchr(b'(', call) else { return false };
    let text = &call[open + 1..];
    // A program's own, that goes on when it was answered.
    if contains(text, b").then(") {
        return true;
    }
    let Some((&quote, text)) = text.split_first().filter(|(quote, _)| matches!(quote, b'\'' | b'"' | b'`'))
    else {
        return false;
    };
    let text = &text[..memchr::memchr(quote, text).unwrap_or(text.len())];
    memchr::memchr_iter(b' ', text).count() >= 2 && !text.contains(&b'<')
}

/// Nothing but the signs that any script can be written in: `[][(![]+[])[+[]]]`.
fn signs_only(text: &[u8]) -> bool {
    const FEW: [&[u8]; 4] = [b"!![]", b"![]+", b"+![]", b"[][[]]"];
    const MANY: [&[u8]; 6] = [b"(![]", b"[![]", b"!![]", b"+[]", b"[][", b"+{}"];
    let pieces = if text.len() >= 12 { &MANY[..] } else { &FEW[..] };
    text.iter().all(|byte| matches!(byte, b'[' | b']' | b'(' | b')' | b'!' | b'+' | b'{' | b'}' | b' '))
        && pieces.iter().any(|piece| contains(text, piece))
}

/// A value that begins with what runs or finds things by their name, where the name is put together from pieces, or a script that is
/// loaded from elsewhere: `top['al'+'ert'](1)`, `import('//a.example/b.js')`.
fn pieced(text: &[u8]) -> bool {
    const FINDS: [&[u8]; 9] = [
        b"top[",
        b"self[",
        b"window[",
        b"parent[",
        b"this[",
        b"frames[",
        b"eval(",
        b"settimeout(",
        b"function(",
    ];
    const RUNS: [&[u8]; 4] = [b"setinterval`", b"settimeout`", b"function`", b"eval`"];
    let first = super::trim_start(text);
    let first = first.strip_prefix(b"new ").unwrap_or(first);
    let pieces = [&b"'+'"[..], b"\"+\"", b"'+\"", b".source+"].iter().any(|piece| contains(first, piece));
    member_called(first)
        || pieces && contains(first, b"(") && FINDS.iter().any(|name| first.starts_with(name))
        || RUNS.iter().any(|name| first.starts_with(name)) && contains(first, b"\\")
        || [&b"import('//"[..], b"import(\"//", b"import('http", b"import(\"http"]
            .iter()
            .any(|load| first.starts_with(load))
}

/// Whether a value begins with a member of a page's own object that is found by a string and called: `window['f'](1)`, `top[/a/.source](1)`.
fn member_called(first: &[u8]) -> bool {
    const GLOBALS: [&[u8]; 8] =
        [b"window[", b"self[", b"top[", b"parent[", b"frames[", b"globalthis[", b"this[", b"document["];
    let Some(global) = GLOBALS.iter().find(|global| first.starts_with(global)) else { return false };
    let name = &first[global.len()..];
    let found = matches!(name.first(), Some(b'\'' | b'"' | b'`' | b'/' | b'\\' | b'(' | b'['));
    found
        && places(name, b"](").take(8).any(|at| {
            // Names of events and classes are no functions: what follows is the whole call.
            let call = name[at + 1..].trim_ascii_end();
            at <= 48 && !name[..at].contains(&b' ') && call.ends_with(b")") && !call.contains(&b' ')
        })
}

/// Whether a call stands behind a statement's end, and a comment cuts off what follows it: `x;alert(1)//`.
fn cut_off(before: &[u8], call: &[u8]) -> bool {
    let call = &call[..call.len().min(80)];
    matches!(before, [.., byte, b';'] if is_word(*byte)) && before.len() <= 64 && contains(call, b")//")
}

/// What takes a text for a script or an address, and what an attacker writes that text in.
const SINKS: [&[u8]; 9] = [
    b"eval(",
    b"settimeout(",
    b"setinterval(",
    b"execscript(",
    b"document.write(",
    b"function(",
    b"location=",
    b"location.href=",
    b"innerhtml=",
];
const SOURCES: [&[u8]; 12] = [
    b"location.",
    b"location)",
    b"url.",
    b"url)",
    b"window.name",
    b"(name)",
    b"=name",
    b"document.cookie",
    b"referrer",
    b"atob(",
    b"unescape(",
    b"javascript:",
];

/// A value that is a script as a whole, which runs what stands in its page's address: `eval(location.hash.slice(1))`.
fn flows(text: &[u8], best: &mut Best) {
    let first = super::trim_start(text);
    let first = first.strip_prefix(b"window.").unwrap_or(first);
    if let Some(sink) = SINKS.iter().find(|sink| first.starts_with(sink)) {
        let rest = &first[sink.len() - 1..];
        let elsewhere = sink.ends_with(b"=")
            && (rest.starts_with(b"=\"http")
                || rest.starts_with(b"='http")
                || rest.starts_with(b"='//")
                || rest.starts_with(b"=\"//"));
        if elsewhere || SOURCES.iter().any(|source| contains(rest, source)) {
            add(best, "xss-flow", 70);
        }
    }
}

/// Names that are written so that nobody finds them: in brackets, with comments between, or run through a template.
fn hidden(text: &[u8], best: &mut Best) {
    let broken = [&b"[\""[..], b"['", b"[/*", b"/*", b"(document)"].iter().any(|mark| contains(text, mark));
    if broken {
        let plain: Vec<u8> = html_attribute::without_noise(text)
            .into_iter()
            .filter(|byte| !matches!(byte, b'"' | b'\'' | b'[' | b']' | b'(' | b')' | b'.'))
            .collect();
        let names =
            [&b"documentcookie"[..], b"windowalert", b"selfalert", b"topalert", b"thisalert", b"parentalert"];
        let whole = [
            &b"document.cookie"[..],
            b"window.alert",
            b"self.alert",
            b"top.alert",
            b"this.alert",
            b"parent.alert",
            b"document cookie",
        ];
        if names.iter().any(|name| contains(&plain, name)) && !whole.iter().any(|name| contains(text, name)) {
            add(best, "xss-hidden", 70);
        }
    }
    let run = [
        &b"script:alert("[..],
        b"script:prompt(",
        b"script:confirm(",
        b"components.classes",
        b"new activexobject(",
        b".call`${",
        b"(document.domain)",
        // The signs of Latin-1 that ASCII's seven bits take for < and >.
        b"\xbcscript\xbe",
        b"\xbcscript\xc2\xbe",
        b"\xbc/script",
    ];
    let template = contains(text, b"call") && contains(text, b"`") && {
        let plain = html_attribute::without_noise(text);
        contains(&plain, b".call`${")
    };
    if template
        || run.iter().any(|piece| contains(text, piece))
        || contains(text, b".call `") && contains(text, b"alert")
    {
        add(best, "xss-hidden", 70);
    }
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
    if !html_attribute::runs(value) {
        return;
    }
    // "JavaScript: The Good Parts" is a title.
    let colon = value.iter().position(|byte| *byte == b':').unwrap_or(0);
    // Nobody but who hides it has control characters within the scheme.
    if value[..colon].iter().any(|byte| *byte < b' ') {
        add(best, "xss-url", 80);
    }
    let after = &value[(colon + 1).min(value.len())..];
    let code =
        after.iter().any(|byte| matches!(byte, b'(' | b'=' | b'`' | b'%' | b'/' | b'<' | b',' | b'\\'))
            || !after.iter().any(|byte| *byte <= b' ');
    let image =
        value.starts_with(b"data:image/svg") && !contains(value, b"script") && !contains(value, b"onload");
    let title = value.starts_with(b"javascript:")
        && after.starts_with(b" ")
        && !after.iter().any(|byte| matches!(byte, b'(' | b'\\'))
        || after.len() < 2
        || value.starts_with(b"data:") && after.starts_with(b" ");
    if code && !image && !title {
        add(best, "xss-url", if value.starts_with(b"data:") { 60 } else { 85 });
    }
}

/// `(`, a template, or `.call(` behind a name, perhaps after white space, a comment or brackets.
pub(super) fn called(after: &[u8]) -> bool {
    let gap = after
        .iter()
        .take(8)
        .take_while(|byte| **byte <= b' ' || matches!(**byte, b')' | b'\'' | b'"' | b']'))
        .count();
    matches!(after.get(gap), Some(b'('))
        || after.starts_with(b"?.(")
        || matches!(after, [b'`', byte, ..] if byte.is_ascii_digit() || *byte == b'$')
        || after.starts_with(b".call")
        || after.starts_with(b".apply")
        || after.starts_with(b"/*")
}

/// Without the page's own object that the called one is a member of: `'-top.`.
fn of_page(before: &[u8]) -> &[u8] {
    let Some(object) = before.strip_suffix(b".") else { return before };
    [&b"globalthis"[..], b"window", b"parent", b"frames", b"self", b"top"]
        .iter()
        .find_map(|name| object.strip_suffix(*name))
        .unwrap_or(before)
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
            && !operators.contains(&b' ');
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
    if text.len() <= 256 && contains(text, b".constructor") && contains(text, b"alert(") {
        add(best, "xss-assembled", 70);
    }
    // An error that is thrown to a function that takes any.
    if text.len() <= 128 && contains(text, b"throw") && contains(text, b"onerror=") {
        add(best, "xss-assembled", 70);
    }
    // alert itself, given to what calls it.
    let pieces = [
        &b".find(alert)"[..],
        b".map(alert)",
        b".foreach(alert)",
        b".filter(alert)",
        b".some(alert)",
        b".sort(alert)",
        b"=alert,",
    ];
    let given =
        super::trim_start(text).starts_with(b"(alert)") || pieces.iter().any(|piece| contains(text, piece));
    if text.len() <= 128 && given && contains(text, b"(") {
        add(best, "xss-assembled", 65);
    }
    if text.len() <= 128
        && contains(text, b"document.cookie")
        && (contains(text, b"'//")
            || contains(text, b"\"//")
            || contains(text, b"location")
            || contains(text, b"http")
            || contains(text, b"=true"))
    {
        add(best, "xss-cookie", 65);
    }
}
