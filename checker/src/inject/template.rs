//! Templates and look-ups: expressions in the brackets of a template's language that compute, call or reach for what a template has no need of.
//!
//! `{{name}}` alone is no attack: documents, messages and front ends are full of it.

use super::{Best, Class, Text, contains, places, scan::words};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Template, rule, score);
}

/// What begins an expression, and what ends it.
const BRACKETS: [(&[u8], &[u8]); 11] = [
    (b"{{", b"}}"),
    (b"${", b"}"),
    (b"#{", b"}"),
    (b"<%", b"%>"),
    (b"{%", b"%}"),
    (b"*{", b"}"),
    (b"@{", b"}"),
    (b"@(", b")"),
    (b"[[", b"]]"),
    (b"{$", b"}"),
    (b"%{", b"}"),
];

/// What reaches from a value to the interpreter behind it.
const REACHES: [&[u8]; 41] = [
    b"__class__",
    b"__mro__",
    b"__subclasses__",
    b"__globals__",
    b"__builtins__",
    b"__import__",
    b"__init__",
    b"self._templatereference",
    b".constructor",
    b"[\"constructor\"]",
    b"['constructor']",
    b"constructor(",
    b"getclass()",
    b"class.forname",
    b"java.lang",
    b"getruntime",
    b"processbuilder",
    b"t(java",
    b"new java",
    b"freemarker",
    b"?new()",
    b"config.items",
    b"lipsum.",
    b"cycler.",
    b"joiner.",
    b"request.application",
    b"|attr(",
    b"| attr(",
    b"popen(",
    b"system(",
    b"exec(",
    b"passthru(",
    b"phpinfo(",
    b"shell_exec",
    b"child_process",
    b"process.main",
    b"process.binding",
    b"/etc/passwd",
    b"file.open(",
    b"scriptengine",
    b"io.popen",
];

/// Expressions that are looked at, at most, of each kind of bracket.
const MOST: usize = 128;
/// Bytes of an expression.
const LONGEST: usize = 2048;

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    if !text.scan.word(words::TEMPLATE) {
        return;
    }
    let lower = text.lower;
    for (open, close) in BRACKETS {
        for at in places(lower, open).take(MOST) {
            let inside = &lower[at + open.len()..lower.len().min(at + open.len() + LONGEST)];
            let end = memchr::memmem::find(inside, close);
            if open == b"${" || open == b"%{" {
                lookup(inside, best);
            }
            expression(&inside[..end.unwrap_or(inside.len())], open, end.is_some(), best);
            if best.certain() {
                return;
            }
        }
    }
    if contains(lower, b"<#assign") && contains(lower, b"?new()")
        || contains(lower, b"#set($") && (contains(lower, b".class") || contains(lower, b"getruntime"))
    {
        add(best, "template-reach", 90);
    }
    if contains(lower, b"{php}") || contains(lower, b"{system(") || contains(lower, b"{passthru(") {
        add(best, "template-code", 80);
    }
}

fn expression(inside: &[u8], open: &[u8], closed: bool, best: &mut Best) {
    let inner = inside.trim_ascii().trim_ascii_start();
    let inner = inner
        .strip_prefix(b"=")
        .or_else(|| inner.strip_prefix(b"{"))
        .or_else(|| inner.strip_prefix(b"@"))
        .unwrap_or(inner)
        .trim_ascii();
    if (closed || open == b"{{" || open == b"${") && REACHES.iter().any(|reach| contains(inner, reach)) {
        // Pages have handlers and functions in `${…}` of their own; "exec(" of a regular expression is one.
        let once = memchr::memmem::find_iter(inner, b"constructor").count() == 1
            && !contains(inner, b"constructor(");
        let weak = open == b"${" && once
            || (open == b"${" || open == b"@(" || open == b"[[")
                && (contains(inner, b"exec(") || contains(inner, b".constructor"))
                && inner.len() > 40;
        add(best, "template-reach", if weak { 45 } else { 90 });
    }
    if closed && computes(inner) {
        add(best, "template-computes", 85);
    }
    if closed && open != b"@(" && open != b"[[" && prints(inner) {
        add(best, "template-call", 75);
    }
    if open == b"<%" && (inner.contains(&b'`') || contains(inner, b"runtime") || contains(inner, b"dir.")) {
        add(best, "template-code", 75);
    }
    if (open == b"#{" || open == b"@{")
        && (inner.starts_with(b"`")
            || inner.starts_with(b"%x")
            || inner.starts_with(b"[system")
            || inner.starts_with(b"[`")
            || inner.starts_with(b"[exec")
            || inner.starts_with(b"[qx")
            || inner.starts_with(b"require"))
    {
        add(best, "template-code", 75);
    }
}

/// Literals and an operator, and nothing else: what is computed shows that something computes.
fn computes(inner: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| inner.iter().any(is);
    let operator = inner.iter().skip(1).any(|byte| matches!(byte, b'*' | b'+' | b'-' | b'/' | b'%' | b'^'));
    let first =
        inner.first().is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'\'' | b'"' | b'('));
    (3..=40).contains(&inner.len())
        && first
        && operator
        && has(u8::is_ascii_digit)
        && inner.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'+' | b'-' | b'/' | b'%' | b'^' | b' ' | b'\'' | b'"' | b'(' | b')' | b'.'))
        // A date or a version is no sum.
        && inner.iter().filter(|byte| matches!(byte, b'-' | b'.' | b'/')).count() <= 1
}

/// Calls that only show that they were made, or wait.
fn prints(inner: &[u8]) -> bool {
    let calls = [&b"print("[..], b"phpinfo()", b"sleep(", b"var_dump(", b"md5(", b"get_user_file("];
    calls.iter().any(|call| inner.starts_with(call))
}

/// `${jndi:…}` and what it is hidden in: Log4j looks these up, within one another.
fn lookup(inside: &[u8], best: &mut Best) {
    let add = |best: &mut Best, rule, score| best.add(Class::Lookup, rule, score);
    if inside.starts_with(b"jndi:") {
        add(best, "lookup-jndi", 100);
    }
    let nested =
        contains(&inside[..inside.len().min(256)], b"${") || contains(&inside[..inside.len().min(256)], b"}");
    let kinds = [
        &b"lower:"[..],
        b"upper:",
        b"env:",
        b"sys:",
        b"java:",
        b"date:",
        b"ctx:",
        b"main:",
        b"::-",
        b"bundle:",
        b"base64:",
        b"script:",
        b"dns:",
        b"url:",
        b"hostname",
        b"docker:",
        b"k8s:",
    ];
    if kinds
        .iter()
        .any(|kind| inside.starts_with(kind) || inside.starts_with(b"-:") || inside.starts_with(b":-"))
        && nested
    {
        // `${env:HOME}` is Serverless's and VS Code's as well; what nests letters is no one's but an attacker's.
        let hides = inside.starts_with(b"lower:")
            || inside.starts_with(b"upper:")
            || inside.starts_with(b"::-")
            || inside.starts_with(b"script:")
            || inside.starts_with(b"dns:")
            || inside.starts_with(b"java:")
            || inside.starts_with(b"base64:")
            || inside.starts_with(b"sys:os");
        let followed = memchr::memchr(b'}', inside).is_some_and(|end| {
            inside[end..].starts_with(b"}${")
                || inside[end..].starts_with(b"}ndi")
                || inside[end..].starts_with(b"}:")
        });
        add(
            best,
            "lookup-nested",
            if hides || followed && inside.contains(&b':') && contains(inside, b":-") { 85 } else { 40 },
        );
    }
}
