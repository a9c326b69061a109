//! Source code, serialised objects, and names that reach into an interpreter.

use super::{Best, Class, Kind, Text, contains, is_word, places, scan::words};

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    if text.scan.word(words::OBJECT) {
        objects(text, best);
        prototypes(text, best);
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
                    && super::shell::command(&rest[name.len() + 1..]) >= 55
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

/// Serialised objects: Java, PHP, Python, .NET, Node, YAML.
fn objects(text: &Text<'_>, best: &mut Best) {
    let add = |best: &mut Best, rule, score| best.add(Class::Deserialisation, rule, score);
    let (raw, lower) = (text.raw, text.lower);
    let start = lower.trim_ascii_start();
    if raw.trim_ascii_start().starts_with(b"rO0AB")
        || start.starts_with(b"aced0005")
        || raw.starts_with(b"\xac\xed\x00\x05")
        || places(raw, b"rO0ABX").next().is_some()
    {
        add(best, "object-java", 90);
    }
    if contains(raw, b"AAEAAAD/////") {
        add(best, "object-dotnet", 90);
    }
    if places(lower, b":{").any(|at| is_php_object(&lower[..at])) {
        add(best, "object-php", 80);
    }
    let python = contains(lower, b"cos\nsystem\n")
        || contains(lower, b"cposix\nsystem")
        || contains(lower, b"c__builtin__\n")
        || contains(lower, b"!!python/")
        || contains(lower, b"__reduce__") && lower.len() < 256;
    let named = contains(lower, b"_$$nd_func$$_")
        || contains(lower, b"!!javax.script")
        || contains(lower, b"!ruby/object")
        || contains(lower, b"!!com.sun.")
        || contains(lower, b"jdbcrowsetimpl")
        || contains(lower, b"java.beans.xmldecoder")
        || contains(lower, b"templatesimpl")
        || contains(lower, b"objectdataprovider")
        || contains(lower, b"windowsidentity") && contains(lower, b"$type");
    if python || named {
        add(best, "object-named", 85);
    }
    let fast = (contains(lower, b"\"@type\":\"") || contains(lower, b"\"@type\": \""))
        && (contains(lower, b"com.sun.")
            || contains(lower, b"java.lang.")
            || contains(lower, b"org.apache."));
    if fast {
        add(best, "object-typed", 85);
    }
    if raw.starts_with(b"gASV")
        && raw.len() > 16
        && raw.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
    {
        add(best, "object-python", 65);
    }
    let factories = [
        &b"clonetransformer"[..],
        b"forclosure",
        b"instantiatefactory",
        b"instantiatetransformer",
        b"invokertransformer",
        b"prototypeclonefactory",
        b"prototypeserializationfactory",
        b"whileclosure",
    ];
    if factories.iter().any(|name| contains(lower, name)) {
        add(best, "object-gadget", 75);
    }
}

/// Whether the text ends with `O:8:"stdClass":1`, as PHP writes an object before its `{`.
fn is_php_object(before: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().rev().take(8).take_while(|byte| byte.is_ascii_digit()).count();
    let count = digits(before);
    let Some(named) = before[..before.len() - count].strip_suffix(b"\":").filter(|_| count > 0) else {
        return false;
    };
    let name = named.iter().rev().take(128).take_while(|byte| is_word(**byte) || **byte == b'\\').count();
    let Some(sized) = named[..named.len() - name].strip_suffix(b":\"") else { return false };
    let size = digits(sized);
    name > 0
        && size > 0
        && (sized[..sized.len() - size].ends_with(b"o:") || sized[..sized.len() - size].ends_with(b"c:"))
}

/// `__proto__`, and the way through the constructor; and the class loader, which bound parameters reach (CVE-2022-22965).
fn prototypes(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    let add = |best: &mut Best, rule, score| best.add(Class::Prototype, rule, score);
    for at in places(lower, b"__proto__").take(16) {
        let before = lower[..at].last();
        let after = lower.get(at + 9);
        let score = match (text.kind, before, after) {
            (Kind::Name, ..) => 90,
            (
                _,
                None | Some(b'"' | b'\'' | b'[' | b'.' | b'{' | b',' | b'&' | b'?' | b'='),
                Some(b'"' | b'\'' | b']' | b'[' | b'.'),
            ) => {
                if lower.len() <= 256 {
                    75
                } else {
                    40
                }
            }
            (_, None, None) => 65,
            _ => 30,
        };
        add(best, "prototype-name", score);
    }
    let through = [
        &b"constructor.prototype"[..],
        b"constructor[prototype]",
        b"[constructor][prototype]",
        b"constructor\":{\"prototype",
        b"constructor\": {\"prototype",
    ];
    if lower.len() <= 256 && through.iter().any(|way| contains(lower, way)) {
        // `a.constructor.prototype` in code has something before it.
        add(
            best,
            "prototype-constructor",
            if text.kind == Kind::Name || !contains(lower, b" ") { 70 } else { 40 },
        );
    }
    if contains(lower, b"class.module.classloader")
        || contains(lower, b"class.classloader.")
        || contains(lower, b"class['classloader']")
    {
        add(best, "prototype-class-loader", 85);
    }
}
