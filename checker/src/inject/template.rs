//! Templates and look-ups: expressions in the brackets of a template's language that compute, call or reach for what a template has no need of.
//!
//! `{{name}}` alone is no attack: documents, messages and front ends are full of it.

use super::{
    Best, Class, Text, contains, lookup, places,
    scan::{bytes, words},
    template_expression::Expression,
};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Template, rule, score);
}

/// What begins an expression, and what ends it.
const BRACKETS: [(&[u8], &[u8]); 14] = [
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
    (b"~{", b"}"),
    (b"[=", b"]"),
    (b"<#", b">"),
];

/// Bytes of an expression.
const LONGEST: usize = 2048;

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    let sum = lower.len() <= 256
        && text.scan.byte(bytes::BRACE)
        && text.scan.byte(bytes::STAR | bytes::PAREN)
        && lower.trim_ascii().starts_with(b"{");
    if !text.scan.word(words::TEMPLATE) && !sum {
        return;
    }
    lookup::judge(lower, text.raw, best);
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
    let razor =
        [&b"@system.diagnostics"[..], b"@system.io.", b"@system.reflection", b"@using system.diagnostics"];
    if razor.iter().any(|start| contains(lower, start))
        || contains(lower, b"#evaluate($")
        || contains(lower, b"#evaluate(\"")
    {
        add(best, "template-reach", 85);
    }
    if contains(lower, b"{php}") || contains(lower, b"{system(") || contains(lower, b"{passthru(") {
        add(best, "template-code", 80);
    }
}

fn expression(inside: &[u8], open: &[u8], closed: bool, best: &mut Best) {
    let inner = inside.trim_ascii();
    let inner = inner
        .strip_prefix(b"=")
        .or_else(|| inner.strip_prefix(b"-"))
        .or_else(|| inner.strip_prefix(b"{"))
        .or_else(|| {
            inner
                .strip_prefix(b"#")
                .filter(|rest| open == b"{{" && rest.first().is_some_and(u8::is_ascii_digit))
        })
        .or_else(|| inner.strip_prefix(b"@"))
        .unwrap_or(inner)
        .trim_ascii();
    // Perl's @{[ … ]} needs no end to be known.
    let perl = open == b"@{" && inner.starts_with(b"[");
    if (closed || perl || open == b"{{" || open == b"${")
        && let Some((rule, score)) = Expression::read(inner, open).judge()
        && (closed || rule == "template-reach")
    {
        add(best, rule, score);
    }
    // <#assign x = 7*7>
    if closed
        && open == b"<#"
        && let Some(equals) = memchr::memchr(b'=', inner)
        && let Some((rule, score)) = Expression::read(&inner[equals + 1..], open).judge()
    {
        add(best, rule, score);
    }
    if closed && open != b"@(" && open != b"[[" && prints(inner, open) {
        add(best, "template-call", 75);
    }
    // Ruby's: `id`, %x(id), [`id`]
    let runs = [&b"`"[..], b"%x", b"[`", b"[qx", b"[system", b"[exec"];
    let ruby = open == b"<%" || open == b"#{" || open == b"@{";
    if ruby
        && closed
        && runs.iter().any(|start| inner.starts_with(start))
        && inner.len() > 3
        && !quoted(inside)
    {
        add(best, "template-code", 75);
    }
}

/// Whether a backtick directly behind the bracket only ends what Markdown quotes: "`<%` begins a tag".
fn quoted(inside: &[u8]) -> bool {
    inside.starts_with(b"`") && memchr::memchr_iter(b'`', inside).count() % 2 == 1
        || inside.get(1) == Some(&b'`')
            && matches!(inside.first(), Some(b'=' | b'-' | b'_' | b'#'))
            && memchr::memchr_iter(b'`', inside).count() % 2 == 1
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
    // In single brackets: Smarty's.
    let condition = value.strip_prefix(b"{if ").and_then(|rest| rest.split(|byte| *byte == b'}').next());
    if let Some(inner) = condition.or_else(|| inside(b"{", b"}"))
        && inner.len() <= 256
        && !inner.iter().any(|byte| matches!(byte, b'\n' | b'{'))
        && let Some((rule, score)) = Expression::read(inner, b"{").judge()
    {
        add(best, rule, score.min(80));
    }
    // #set($x = 7*7)
    for at in places(lower, b"#set(").take(8) {
        let inner = &lower[at + 5..lower.len().min(at + 133)];
        let inner = &inner[..memchr::memchr2(b')', b'\n', inner).unwrap_or(inner.len())];
        if let Some(equals) = memchr::memchr(b'=', inner)
            && let Some((rule, score)) = Expression::read(&inner[equals + 1..], b"#set(").judge()
        {
            add(best, rule, score);
        }
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

/// Calls that only show that they were made, or wait.
fn prints(inner: &[u8], open: &[u8]) -> bool {
    let calls = [&b"phpinfo()"[..], b"sleep(", b"var_dump(", b"md5(", b"get_user_file("];
    // A script's `${print(node)}` is a function of its own, and so is what prints a text.
    let printed = inner.strip_prefix(b"print(").is_some_and(|rest| {
        open != b"${" && (rest.first().is_some_and(u8::is_ascii_digit) || rest.contains(&b'('))
    });
    printed || calls.iter().any(|call| inner.starts_with(call))
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
