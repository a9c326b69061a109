//! Which lines of lists that call themselves attacks are some: the lists hold names of event handlers, single characters and
//! headings as well.
//!
//! A filter asks what every attack of the class must have, in whatever encoding, and knows nothing of the detector. A line that has it and is
//! harmless all the same stays in.

use crate::encode;

/// Whether `line` can be an attack of `class`.
pub(super) fn keep(class: &str, line: &str) -> bool {
    let line = line.trim();
    if line.len() < 4 || line.starts_with("# ") || line.starts_with("//-") {
        return false;
    }
    let text = plain(line);
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    match class {
        "sqli" => {
            let breaks = has(&["'", "\"", "(", "--", "#", "/*", ";", "=", "@@", "|", "`", "\u{2018}"]);
            breaks
                && (has(SQL_WORDS)
                    || text.contains("' '")
                    || has(&["'='", "'--", "' --", "'#", "' #", "\"--"]))
                || has(&["order by ", "group by "])
        }
        "xss" => markup(&text) || handler(&text) || has(SCRIPT),
        // An upward step in one of its spellings: the dots plain, escaped (as hexadecimal, overlong, wide or doubled), or after a separator.
        "traversal" => has(&["..", "2e", "%c0", "%uff0e", ".\\./", "./.", ".\\.", "%%32%65", "%e0%80"]),
        "file" => {
            text.starts_with('/') || text.contains(":\\") || text.contains(":/") || text.contains("etc")
        }
        "cmdi" => {
            has(&[";", "|", "&", "`", "$(", "${", "\n", ">", "\\n", "system(", "exec"])
                && text.bytes().filter(u8::is_ascii_alphabetic).count() >= 2
                && !text.contains("<!--#")
                && !text.starts_with('<')
        }
        "ssi" => text.contains("<!--#"),
        "nosql" => has(&[
            "$ne",
            "$gt",
            "$lt",
            "$where",
            "$regex",
            "$exists",
            "$in",
            "$or",
            "this.",
            "db.",
            "return",
            "||",
            "&&",
            "mapreduce",
        ]),
        "ldap" => has(&["(", ")"]) && has(&["=", "*", "|", "&", "\\00", "%00"]),
        "xpath" => {
            has(&["'", "\""]) && has(&[" or ", " and ", "|", "name(", "count(", "]"]) || has(&["//", "::"])
        }
        "xxe" => {
            has(&["<!entity", "<!doctype", "system ", "xi:include", "xinclude", "php:function", "document("])
        }
        "header" => text.contains(['\r', '\n']) && text.contains(':') || has(&["\\r\\n"]),
        "redirect" => has(&["//", "\\\\", "javascript:", "http", "/\\", "@"]),
        _ => false,
    }
}

/// The text that a line stands for: escapes and entities taken off, as often as there are some, in lower case.
fn plain(line: &str) -> String {
    let mut text = line.to_owned();
    for _ in 0..3 {
        match encode::url_decode(&text) {
            Some(decoded) if decoded != text => text = decoded,
            _ => break,
        }
    }
    for (entity, character) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&"), ("&apos;", "'")]
    {
        text = text.replace(entity, character);
    }
    text.to_lowercase()
}

const SQL_WORDS: &[&str] = &[
    "select",
    "union",
    " or ",
    "or(",
    "'or",
    "\"or",
    ")or",
    "/or",
    "+or",
    " and ",
    "'and",
    "\"and",
    "insert",
    "update",
    "delete",
    "drop ",
    "exec",
    "having",
    "sleep",
    "benchmark",
    "waitfor",
    "@@",
    "||",
    " like ",
    "convert(",
    "char(",
    "xp_",
    "sp_",
    " rlike ",
    "xor",
    "'='",
    "declare",
    "create ",
    "alter ",
    "shutdown",
    " between ",
    "extractvalue",
    "version(",
    "load_file",
    "pg_",
    "database(",
    "user(",
    "count(",
];

const SCRIPT: &[&str] = &[
    "javascript",
    "vbscript",
    "alert(",
    "prompt(",
    "confirm(",
    "eval(",
    "document.",
    "fromcharcode",
    "expression(",
    "data:text/html",
    "alert`",
    "window.",
    "location",
    "srcdoc",
    "\\x3c",
    "\\u003c",
    "&#",
];

/// A tag: `<` and what an element, a comment or an end can begin with.
fn markup(text: &str) -> bool {
    text.as_bytes()
        .windows(2)
        .any(|pair| pair[0] == b'<' && (pair[1].is_ascii_alphabetic() || b"!/?%\\".contains(&pair[1])))
}

/// An event handler with a value.
fn handler(text: &str) -> bool {
    text.match_indices("on").any(|(place, _)| {
        let name = text[place + 2..].bytes().take_while(u8::is_ascii_alphabetic).count();
        name >= 3 && text[place + 2 + name..].trim_start().starts_with('=')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_are_kept_and_what_surrounds_them_in_lists_is_not() {
        for (class, line) in [
            ("sqli", "' or 1=1 --"),
            ("sqli", "admin' #"),
            ("xss", "<svg/onload=alert(1)>"),
            ("xss", "%3cscript%3e"),
            ("xss", "x onerror = y()"),
            ("traversal", "%252e%252e%252fetc"),
            ("traversal", "..\\..\\boot.ini"),
            ("cmdi", ";id;"),
            ("ldap", "*)(uid=*"),
            ("nosql", "[$ne]=1"),
            ("xxe", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///c'>]>"),
            ("header", "%0d%0aSet-Cookie: a=b"),
        ] {
            assert!(keep(class, line), "{class}: {line}");
        }
        for (class, line) in [
            ("sqli", "select"),
            ("xss", "onMouseOver"),
            ("xss", "Exploit Name: Basic title breaker"),
            ("traversal", "/etc/passwd"),
            ("cmdi", "whoami"),
            ("cmdi", "||||"),
            ("ldap", "givenName"),
            ("nosql", "true, and more"),
            ("xxe", "<![CDATA[<test></test>]]>"),
            ("header", "# projurl"),
            ("no such class", "' or 1=1 --"),
        ] {
            assert!(!keep(class, line), "{class}: {line}");
        }
    }
}
