//! Templates and look-ups: expressions in the brackets of a template's language that compute, call or reach for what a template has no need of.
//!
//! `{{name}}` alone is no attack: documents, messages and front ends are full of it.

use super::{Best, Class, Text, contains, lookup, places, scan::bytes, scan::words};

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
const REACHES: [&[u8]; 66] = [
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
    b"'__cl'",
    b".__dict__",
    b".mro()",
    b".subclasses()",
    b"registerundefinedfiltercallback",
    b"|filter('",
    b"|map('system",
    b"|map('exec",
    b"|map('passthru",
    b"|sort('system",
    b"app.request.server",
    b"app.request.query.filter",
    b"|file_excerpt",
    b"getstreamvariable",
    b"smarty_internal",
    b"$smarty.template_object",
    b"@ognl.",
    b"ognlcontext",
    b"#_memberaccess",
    b".execute().text",
    b"open3.popen",
    b"system.diagnostics",
    b"wscript.shell",
    b"settings.secret_key",
    b"config['secret",
];

/// Bytes of an expression.
const LONGEST: usize = 2048;

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    let sum = lower.len() <= 24 && text.scan.byte(bytes::BRACE) && text.scan.byte(bytes::STAR);
    if !text.scan.word(words::TEMPLATE) && !sum {
        return;
    }
    lookup::judge(lower, best);
    if best.certain() {
        return;
    }
    for (open, close) in BRACKETS {
        // Each byte is looked at twice at the most, and none of them is too late to be: nothing hides behind many expressions.
        let mut behind = 0;
        for at in places(lower, open) {
            if at < behind {
                continue;
            }
            let inside = &lower[at + open.len()..lower.len().min(at + open.len() + LONGEST)];
            let end = memchr::memmem::find(inside, close);
            behind = at + open.len() + end.unwrap_or(LONGEST / 2);
            let inner = &inside[..end.unwrap_or(inside.len())];
            expression(inner, open, end.is_some(), best);
            // What is opened again before it is closed begins there.
            if let Some(again) = memchr::memmem::rfind(inner, open) {
                expression(&inner[again + open.len()..], open, end.is_some(), best);
            }
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
    if contains(lower, b"[#assign") && contains(lower, b"?new()")
        || contains(lower, b"$class.inspect(")
        || contains(lower, b"root.process") && contains(lower, b"mainmodule.require")
        || contains(lower, b"{self::get")
        || contains(lower, b"{smarty_internal")
    {
        add(best, "template-reach", 90);
    }
    whole(lower, best);
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

/// Values that are nothing but one expression, of those that show what a template knows.
fn whole(lower: &[u8], best: &mut Best) {
    let value = lower.trim_ascii();
    let inside = |open: &[u8], close: &[u8]| {
        value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).map(<[u8]>::trim_ascii)
    };
    if let Some(name) = inside(b"{{", b"}}").or_else(|| inside(b"${", b"}")).or_else(|| inside(b"<%=", b"%>"))
    {
        let shows = matches!(
            name,
            b"config"
                | b"self"
                | b"_self"
                | b"settings"
                | b"beans"
                | b"dump(app)"
                | b"dump()"
                | b"applicationscope"
                | b".data_model"
                | b"process.env"
                | b"request.environ"
                | b"get_flashed_messages"
        );
        let secret = name.starts_with(b"env[") && contains(name, b"secret");
        let reads = [&b"include("[..], b"source(", b"file.read(", b"dir.entries("]
            .iter()
            .any(|call| name.starts_with(call))
            && (contains(name, b"/etc/")
                || contains(name, b"/proc/")
                || contains(name, b":/")
                || contains(name, b"'/"));
        let executes = name.starts_with(b"[") && contains(name, b"].execute()");
        if shows || secret || reads || executes {
            add(best, "template-shows", 75);
        }
    }
    // A condition that always holds shows that something decides.
    if lower.len() <= 128 && (contains(lower, b"{% if true %}") || contains(lower, b"<%= if true %>")) {
        add(best, "template-computes", 70);
    }
    if matches!(inside(b"{%", b"%}"), Some(b"debug")) || contains(lower, b"{% get_admin_log") {
        add(best, "template-shows", 70);
    }
    // One sum in single brackets: Smarty's.
    if inside(b"{", b"}").is_some_and(|sum| {
        sum.contains(&b'*') && sum.iter().all(|byte| byte.is_ascii_digit() || *byte == b'*')
    }) {
        add(best, "template-computes", 70);
    }
    // {fetch file="/etc/passwd"}
    if inside(b"{fetch file=", b"}").is_some() {
        add(best, "template-code", 75);
    }
    if let Some(code) = lower.strip_prefix(b"@php(")
        && contains(code, b"(")
        && lower.len() <= 256
    {
        add(best, "template-code", 75);
    }
    // What breaks every engine at once, to see which answers: {{<%[%'"}}%\
    if contains(lower, b"{{<%[%'\"}}") {
        add(best, "template-probe", 90);
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

#[cfg(test)]
mod tests {
    use super::super::{Class, Detector, Kind, Scratch};

    fn is_template(value: &str) -> bool {
        let finding = Detector::shared().judge(value, Kind::Value, &mut Scratch::default());
        finding.is_some_and(|finding| finding.class == Class::Template)
    }

    #[test]
    fn expressions_that_show_or_reach_something_are_told_from_placeholders() {
        for attack in [
            "{{config}}",
            "{7*7}",
            "{{['id']|filter('system')}}",
            "{{include(\"/etc/passwd\")}}",
            "{% debug %}",
            "{% if True %}49{% endif %}",
            "${[\"bash\",\"-c\",\"id\"].execute().text}",
            "@php(system('id'))",
            "{fetch file=\"/etc/passwd\"}",
            "[#assign x = 'freemarker.template.utility.Execute'?new()]${x('id')}",
            "%{(#dm=@ognl.OgnlContext@DEFAULT_MEMBER_ACCESS).(#c='id')}",
            "${{<%[%'\"}}%\\.",
        ] {
            assert!(is_template(attack), "{attack}");
        }
        let attack = "{{''.__class__.__mro__[1].__subclasses__()}}";
        for padding in ["{{a}}".repeat(1_000), "{{a ".to_owned(), "{{".repeat(3_000), "{{ a {{".to_owned()] {
            assert!(is_template(&format!("{padding}{attack}")), "behind {} bytes", padding.len());
        }
        for benign in [
            "{{ config.title }}",
            "{{ user.name }} and {{ self.title }}",
            "{a*b}",
            "{ 2*x }",
            "{% if user %}hello{% endif %}",
            "{{ include(\"header.html\") }}",
            "{{> partial }}",
            "%{name} was here",
            "<%= title %>",
            "{fetch}",
        ] {
            assert!(!is_template(benign), "{benign}");
        }
    }
}
