//! Source code that a server's interpreter runs.

use super::{Best, Class, Text, contains, is_word, object, places, prototype, scan::words};

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    if text.scan.word(words::OBJECT | words::GADGET | words::TYPED) {
        object::judge(text, best);
    }
    if text.scan.word(words::PROTOTYPE) {
        prototype::judge(text, best);
    }
    if text.scan.word(words::CODE) && !best.certain() {
        php(text.lower, best);
        others(text.lower, best);
    }
}

/// Functions of PHP that run a command or code.
const PHP: [&[u8]; 16] = [
    b"system(",
    b"exec(",
    b"shell_exec(",
    b"passthru(",
    b"popen(",
    b"proc_open(",
    b"eval(",
    b"assert(",
    b"phpinfo(",
    b"base64_decode(",
    b"file_get_contents(",
    b"$_get[",
    b"$_post[",
    b"$_request[",
    b"$_cookie[",
    b"move_uploaded_file(",
];

fn php(lower: &[u8], best: &mut Best) {
    let add = |best: &mut Best, rule, score| best.add(Class::Code, rule, score);
    let short = lower.len() <= 256;
    let runs = || PHP.iter().any(|name| called(lower, name));
    let opened = contains(lower, b"<?php") || contains(lower, b"<?=");
    if opened || contains(lower, b"<? ") || contains(lower, b"[php]") {
        if runs() {
            add(best, "code-php-call", if lower.len() <= 2048 { 85 } else { 50 });
        } else if short && opened {
            add(best, "code-php", if lower.contains(&b'\n') { 40 } else { 62 });
        }
    }
    if short && !opened {
        let start = lower.iter().position(|byte| is_word(*byte) || *byte == b'$').unwrap_or(lower.len());
        let (lead, rest) = lower.split_at(start);
        let left = lead.iter().any(|byte| matches!(byte, b';' | b'\'' | b'"' | b')' | b'|' | b'&' | b'{'));
        let calls = [
            &b"system("[..],
            b"exec(",
            b"shell_exec(",
            b"passthru(",
            b"popen(",
            b"eval(",
            b"assert(",
            b"phpinfo(",
            b"print(",
            b"echo(",
            b"die(",
        ];
        let call = calls.iter().find(|name| rest.starts_with(name));
        match call {
            Some(name) if left => add(
                best,
                "code-left-string",
                if name.starts_with(b"print") || name.starts_with(b"echo") { 55 } else { 75 },
            ),
            Some(&b"phpinfo(") => add(best, "code-php-call", 75),
            Some(name)
                if matches!(rest.get(name.len()), Some(b'\'' | b'"' | b'`'))
                    && super::shell_word::command(&rest[name.len() + 1..]) >= 55
                    && rest.trim_ascii_end().ends_with(b")") | rest.trim_ascii_end().ends_with(b");")
                    && !contains(rest, b"=>") =>
            {
                add(best, "code-php-call", 70);
            }
            Some(name) if rest[name.len()..].starts_with(b"$_") => add(best, "code-php-call", 75),
            _ => {}
        }
        // x');phpinfo();//
        if PHP[..9].iter().any(|name| {
            places(lower, name).any(|at| {
                at > 0 && matches!(lower[at - 1], b';' | b'\'' | b'"' | b'@' | b'{')
                    || at > 1 && lower[at - 1] == b' ' && lower[at - 2] == b';'
            })
        }) {
            add(best, "code-left-string", 65);
        }
        if contains(lower, b"eval($_")
            || contains(lower, b"assert($_")
            || contains(lower, b"system($_")
            || contains(lower, b"${@")
            || contains(lower, b"@eval(")
        {
            add(best, "code-php-call", 85);
        }
        if lower.starts_with(b"$_server[")
            || lower.starts_with(b"$_get[")
            || lower.starts_with(b"$_post[")
            || lower.starts_with(b"$globals[")
        {
            add(best, "code-php-variable", 62);
        }
    }
}

/// Whether a function is called, and is not the end of a longer name.
fn called(lower: &[u8], name: &[u8]) -> bool {
    places(lower, name).any(|at| at == 0 || !is_word(lower[at - 1]))
}

/// JavaScript, Python, Java and Ruby: what reaches from an expression to the system.
fn others(lower: &[u8], best: &mut Best) {
    let strong = [
        &b"__import__('os')"[..],
        b"__import__(\"os\")",
        b"__import__('subprocess",
        b"require('child_process').exec",
        b"require(\"child_process\").exec",
        b"require('child_process').spawn",
        b"require(\"child_process\").spawn",
        b"process.mainmodule.require",
        b"process.binding('spawn",
        b"global.process.main",
        b"this.constructor.constructor",
        b"getruntime().exec",
        b"#_memberaccess",
        b"@java.lang.runtime",
        b"_memberaccess",
        b"#context[",
        b"t(java.lang.",
        b"javax.script.scriptenginemanager",
        b"().__class__",
        b"''.__class__",
        b"[].__class__",
        b"\"\".__class__",
        b"constructor._load(",
        b"java.lang.runtime",
        b"java.lang.processbuilder",
        b"process.binding(",
        b"@ognl.",
        b"xwork2",
        b"commons.collections.functors",
    ];
    if lower.len() <= 1024 && strong.iter().any(|piece| contains(lower, piece)) {
        best.add(Class::Code, "code-reach", 75);
    }
    let start = super::trim_start(lower);
    let nodes =
        [&b"process.env"[..], b"module.exports=", b"new function(", b"while(true)", b"while(1)", b"for(;;)"];
    if start.len() <= 40
        && nodes.iter().any(|piece| start.starts_with(piece))
        && !contains(start, b"process.env.")
    {
        best.add(Class::Code, "code-fragment", 60);
    }
}
