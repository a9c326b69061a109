//! Serialised objects: Java's, PHP's, Python's, Ruby's, .NET's, Node's, and what names a class to be made in JSON, YAML and XML.

use super::{Best, Class, Text, contains, is_word, places, scan::words};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Deserialisation, rule, score);
}

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let (raw, lower) = (text.raw, text.lower);
    streams(raw, lower, best);
    if places(lower, b":{").any(|at| is_php_object(&lower[..at])) {
        add(best, "object-php", 80);
    }
    // Tags of YAML, elements of XStream's, names of gadgets: each of these words stands in no other text (scan.rs).
    if text.scan.word(words::GADGET) || lower.len() < 256 && reduces(lower) {
        add(best, "object-named", 85);
    }
    if text.scan.word(words::TYPED) {
        typed(lower, best);
    }
}

/// A key or a member `__reduce__`, by which Python's objects say what makes them: `{"__reduce__": …}`, and neither the name nor its definition.
fn reduces(lower: &[u8]) -> bool {
    places(lower, b"__reduce__").any(|at| {
        let rest = lower[at + 10..].strip_prefix(b"\"").or_else(|| lower[at + 10..].strip_prefix(b"'"));
        rest.is_some_and(|rest| super::trim_start(rest).starts_with(b":"))
    })
}

/// Binary formats, as they are, in hexadecimal, and as base64 begins for them.
fn streams(raw: &[u8], lower: &[u8], best: &mut Best) {
    let start = raw.trim_ascii();
    let java = start.starts_with(b"rO0AB")
        || places(raw, b"=rO0AB").next().is_some()
        || lower.trim_ascii_start().starts_with(b"aced0005")
        || raw.starts_with(b"\xac\xed\x00\x05")
        || places(raw, b"rO0ABX").next().is_some();
    if java {
        add(best, "object-java", 90);
    }
    // BinaryFormatter's header, and that of a view state without a signature that holds one.
    if contains(raw, b"AAEAAAD/////") || start.starts_with(b"/wEy") && contains(raw, b"AQAAAP////8B") {
        add(best, "object-dotnet", 90);
    }
    let digits = start.len() > 12 && start.iter().all(u8::is_ascii_hexdigit);
    if digits
        && (lower.trim_ascii_start().starts_with(b"04086f3a")
            || lower.trim_ascii_start().starts_with(b"04085b"))
    {
        add(best, "object-ruby", 75);
    }
    let base64 = start.len() >= 16
        && start
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'));
    if !base64 {
        return;
    }
    // Marshal's version, an object, a list or a hash, and the colon or the name behind it (Ruby, marshal.c).
    if [&b"BAhvO"[..], b"BAhbB", b"BAhVO", b"BAh7B", b"BAhJO"].iter().any(|mark| start.starts_with(mark)) {
        add(best, "object-ruby", 75);
    }
    // Pickle's protocols 2 to 5, and its last byte, `.` (Python, pickle.py).
    let protocol = [&b"gAJ"[..], b"gAN", b"gAS", b"gAW"].iter().any(|mark| start.starts_with(mark));
    if protocol && ends_with_stop(start) {
        add(best, "object-python", 75);
    }
}

/// Whether base64 ends with a full stop.
fn ends_with_stop(text: &[u8]) -> bool {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let Some(last) = text.last_chunk::<2>() else { return false };
    match text.len() % 4 {
        2 => last == b"Lg",
        3 => last[1] == b'4' && matches!(last[0], b'C' | b'S' | b'i' | b'y'),
        _ => {
            last[1] == b'u'
                && matches!(
                    last[0],
                    b'A' | b'E'
                        | b'I'
                        | b'M'
                        | b'Q'
                        | b'U'
                        | b'Y'
                        | b'c'
                        | b'g'
                        | b'k'
                        | b'o'
                        | b's'
                        | b'w'
                        | b'0'
                        | b'4'
                        | b'8'
                )
        }
    }
}

/// Entries by which JSON libraries choose a class: Fastjson's, Jackson's, Json.NET's; and Jackson's arrays of a name and a value.
fn typed(lower: &[u8], best: &mut Best) {
    for key in [
        &b"@type\""[..],
        b"@class\"",
        b"\"class\"",
        b"$type\"",
        b"__type\"",
        b"$type'",
        b"__type'",
        b"json_class\"",
        b"\"^o\"",
    ] {
        for at in places(lower, key) {
            let rest = super::trim_start(&lower[at + key.len()..]);
            let Some(rest) = rest.strip_prefix(b":").map(super::trim_start) else { continue };
            let Some(name) = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")) else { continue };
            let ruby = matches!(key, b"json_class\"" | b"\"^o\"");
            if is_gadget(name)
                || ruby && contains(&name[..name.len().min(64)], b"::")
                || ruby && (name.starts_with(b"erb\"") || name.starts_with(b"openstruct\""))
            {
                add(best, "object-typed", 85);
                return;
            }
        }
    }
    for at in places(lower, b"[\"") {
        let name = &lower[at + 2..];
        let length = name.iter().take(160).take_while(|byte| is_word(**byte) || **byte == b'.').count();
        let next = name[length..]
            .strip_prefix(b"\"")
            .map(super::trim_start)
            .and_then(|rest| rest.strip_prefix(b","));
        if next.map(super::trim_start).is_some_and(|rest| rest.starts_with(b"{")) && is_gadget(name) {
            add(best, "object-typed", 80);
            return;
        }
    }
}

/// Whether a class does something when it is made that an attacker wants: it looks a name up, loads code, starts a process, reads a file.
fn is_gadget(name: &[u8]) -> bool {
    let length =
        name.iter().take(200).take_while(|byte| is_word(**byte) || matches!(**byte, b'.' | b'$')).count();
    let class = &name[..length];
    let packages = [
        &b"com.sun.rowset."[..],
        b"com.sun.org.apache.",
        b"com.sun.jndi.",
        b"com.mchange.v2.c3p0.",
        b"com.zaxxer.hikari.",
        b"com.caucho.",
        b"ch.qos.logback.core.db.",
        b"org.springframework.context.support.",
        b"org.springframework.beans.factory.config.",
        b"org.springframework.aop.",
        b"org.apache.",
        b"org.hibernate.jmx",
        b"org.codehaus.groovy.runtime",
        b"java.lang.",
        b"java.net.url",
        b"javax.swing.",
        b"javax.naming.",
        b"javax.script.",
        b"oracle.jdbc.rowset",
        b"oracle.jms.",
        b"br.com.anteros.",
        b"net.sf.ehcache.",
        b"system.diagnostics.process",
        b"system.configuration.install",
        b"system.windows.data.",
        b"system.security.principal.windows",
        b"system.io.file",
        b"system.management.automation",
        b"microsoft.visualstudio.text.formatting",
    ];
    packages.iter().any(|package| class.starts_with(package))
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
    let kind = &sized[..sized.len() - size];
    let kind = kind.strip_suffix(b"+").unwrap_or(kind);
    name > 0 && size > 0 && (kind.ends_with(b"o:") || kind.ends_with(b"c:"))
}

#[cfg(test)]
mod tests {
    use super::super::{Class, Detector, Kind, Scratch};

    fn is_object(value: &str) -> bool {
        let finding = Detector::shared().judge(value, Kind::Value, &mut Scratch::default());
        finding.is_some_and(|finding| finding.class == Class::Deserialisation)
    }

    #[test]
    fn objects_of_each_language_are_told_from_what_looks_like_them() {
        for attack in [
            "rO0ABXQAAmlk",
            "aced00057400026964",
            "AAEAAAD/////AQAAAAAAAAAMAgAAAA==",
            "/wEyxBEAAQAAAP////8BAAAAAAAAAA==",
            "BAhvOhVHZW06Okluc3RhbGxlcgA=",
            "gANjcG9zaXgKc3lzdGVtCnEAWAIAAABpZHEBhXECUnEDLg==",
            "gASVHQAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAJpZJSFlFKULg==",
            "O:+8:\"stdClass\":1:{i:0;N;}",
            "cos\npopen\n(S'id'\ntR.",
            "{\"@type\":\"com.zaxxer.hikari.HikariConfig\"}",
            "{\"a\":[\"org.apache.xbean.propertyeditor.JndiConverter\",{\"b\":1}]}",
            "{'__type':'System.Diagnostics.Process, System'}",
            "a: !!com.mchange.v2.c3p0.WrapperConnectionPoolDataSource {}",
            "--- !ruby/struct:Foo {}",
            "<java.util.PriorityQueue serialization='custom'/>",
        ] {
            assert!(is_object(attack), "{attack}");
        }
        // Behind many that are none, and in a long text.
        assert!(is_object(&format!(
            "[{}{{\"@type\":\"org.apache.A\"}}]",
            "{\"@type\":\"A\"},".repeat(1_000)
        )));
        assert!(is_object(&format!("[{}[\"org.apache.A\",{{\"b\":1}}]]", "[\"a\",1],".repeat(1_000))));
        for benign in [
            "{\"@type\":\"Person\",\"name\":\"Anna\"}",
            "{\"@type\":\"https://schema.org/Person\"}",
            "{\"class\":\"row\"}",
            "{\"$type\":\"invoice\"}",
            "[\"com.example.app\",{\"a\":1}]",
            "gASVold as a word",
            "BAhamas",
            "facade0005",
            "a: !!str 5",
            "!important",
            "a:1:{s:1:\"a\";i:2;}",
        ] {
            assert!(!is_object(benign), "{benign}");
        }
    }
}
