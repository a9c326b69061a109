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
    // All ways to write `<`, for one: a single character breaks out of nothing.
    if text.trim().len() < 4 {
        return false;
    }
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
        "xss" => markup(&text) && !inert(&text) || handler(&text) || has(SCRIPT),
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
                || statement(&text)
        }
        "ssrf" => has(&["://", "http:", "file:", "data:", "//"]) && text.len() > 8,
        "lookup" => has(&["${", "$%7b", "\\u0024"]),
        "template" => has(&["{{", "${", "#{", "<%", "{%", "*{", "@{", "@(", "[[", "{$", "%{"]),
        "prototype" => has(&["__proto__", "prototype", "classloader"]),
        // A serialised object's own marks: PHP's, Java's in base64 and hexadecimal, .NET's, or the name of a class that is a gadget.
        "deserialisation" => {
            has(&["o:", "c:"]) && text.contains('{')
                || line.contains("rO0AB")
                || has(&[
                    "aced0005",
                    "\u{ac}\u{ed}",
                    "aaeaaad",
                    "clonetransformer",
                    "forclosure",
                    "instantiatefactory",
                ])
                || has(&[
                    "instantiatetransformer",
                    "invokertransformer",
                    "prototypeclonefactory",
                    "whileclosure",
                ])
                || has(&["prototypeserializationfactory", "processbuilder", "java.lang.runtime"])
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

/// Whether a text is markup of which nothing runs or loads anything.
pub(super) fn harmless(line: &str) -> bool {
    let text = plain(line);
    markup(&text) && inert(&text) && !handler(&text) && !SCRIPT.iter().any(|part| text.contains(part))
}

/// Whether a value is one word or one number: without a sign or a space, it neither leaves a place of SQL's or HTML's nor goes on in either.
pub(super) fn says_nothing(class: &str, line: &str) -> bool {
    let text = plain(line);
    let text = text.trim();
    matches!(class, "sqli" | "xss")
        && text
            .strip_prefix(['-', '+'])
            .unwrap_or(text)
            .chars()
            .all(|letter| letter.is_alphanumeric() || letter == '_')
}

/// A loop or a condition as `cmd.exe` has them: `for %a in (…) do …`, `if exist …`, `if not defined …`, `if "a"=="b" …`.
fn statement(text: &str) -> bool {
    let text = text.trim_start_matches(['&', '|', ' ']);
    let words: Vec<&str> = text.split_whitespace().take(6).collect();
    let word = |word: &&str| {
        ["exist", "defined", "errorlevel", "equ", "neq", "lss", "leq", "gtr", "geq"].contains(word)
    };
    match words.first() {
        Some(&"for") => text.contains(" %") && text.contains(" in "),
        Some(&"if") => words.iter().any(word) || text.contains("=="),
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
        [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'")]
    {
        text = text.replace(entity, character);
    }
    numbered(&text).to_lowercase()
}

/// With characters that are written by their number in place of that: `&#60`, `&#x3c;`, `\x3c`, `\u003c`.
fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let known = [("&#x", 16, 8), ("&#X", 16, 8), ("&#", 10, 8), ("\\x", 16, 2), ("\\u", 16, 4)];
        let read = known.into_iter().find_map(|(mark, radix, most)| {
            let after = rest.strip_prefix(mark)?;
            let digits = after.chars().take(most).take_while(|digit| digit.is_digit(radix)).count();
            let character = char::from_u32(u32::from_str_radix(&after[..digits], radix).ok()?)?;
            let after = &after[digits..];
            let end = if mark.starts_with('&') { after.strip_prefix(';').unwrap_or(after) } else { after };
            Some((character, end))
        });
        let (character, after) = read.unwrap_or((next, &rest[next.len_utf8()..]));
        out.push(character);
        rest = after;
    }
    out
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
];

/// Elements that only hold or show text, shapes or fields.
const INERT_ELEMENTS: &[&str] = &[
    "b", "body", "br", "button", "center", "circle", "code", "dd", "div", "dl", "dt", "em", "fieldset",
    "form", "g", "h1", "h2", "h3", "h4", "head", "hr", "html", "i", "input", "label", "legend", "li", "ol",
    "option", "p", "path", "pre", "rect", "select", "small", "span", "strong", "sub", "sup", "svg", "table",
    "tbody", "td", "textarea", "th", "thead", "title", "tr", "u", "ul",
];

/// Attributes that name, measure or colour an element.
const INERT_ATTRIBUTES: &[&str] = &[
    "align",
    "border",
    "class",
    "cols",
    "cx",
    "cy",
    "d",
    "dir",
    "fill",
    "height",
    "id",
    "lang",
    "maxlength",
    "name",
    "r",
    "rows",
    "size",
    "title",
    "type",
    "value",
    "width",
    "x",
    "xmlns",
    "y",
];

/// A tag: `<` and what an element, a comment or an end can begin with.
fn markup(text: &str) -> bool {
    text.as_bytes()
        .windows(2)
        .any(|pair| pair[0] == b'<' && (pair[1].is_ascii_alphabetic() || b"!/?%\\".contains(&pair[1])))
}

/// Whether all markup of a text is comments, ends, and elements that neither run nor load anything: pieces of pages that a list was cut into.
/// What leaves an attribute before it (`">`) is not.
fn inert(text: &str) -> bool {
    if ["\">", "'>", "[if", "<!entity"]
        .iter()
        .any(|mark| text.split('<').next().is_some_and(|lead| lead.contains(mark)))
    {
        return false;
    }
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            if comment.starts_with("[if") || comment.contains("<script") {
                return false;
            }
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let end = rest.find('>').unwrap_or(rest.len());
        let tag = &rest[..end];
        rest = &rest[end..];
        let plain = match tag.strip_prefix('/') {
            Some(name) => name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == ':'),
            None => tag == "!doctype html" || inert_tag(tag),
        };
        if !plain {
            return false;
        }
    }
    true
}

/// What stands between `<` and `>`: an element of [`INERT_ELEMENTS`] and attributes of [`INERT_ATTRIBUTES`] alone, or an ordinary link.
fn inert_tag(tag: &str) -> bool {
    let mut parts = tag.trim_end_matches('/').split_ascii_whitespace();
    let name = parts.next().unwrap_or_default();
    if name == "a" {
        return parts.all(|part| match part.split_once('=') {
            Some(("href", url)) => ordinary_url(url.trim_matches(['"', '\''])),
            Some((name, _)) => INERT_ATTRIBUTES.contains(&name),
            None => false,
        });
    }
    INERT_ELEMENTS.contains(&name.rsplit(':').next().unwrap_or(name))
        && parts.all(|part| match part.split_once('=') {
            Some((name, value)) => {
                (INERT_ATTRIBUTES.contains(&name) || name.starts_with("xmlns:"))
                    && !value.contains(['(', '<', '&'])
            }
            None => false,
        })
}

/// A URL of the Web whose host is a name, and is written as one.
fn ordinary_url(url: &str) -> bool {
    let rest = url.strip_prefix("https:").or_else(|| url.strip_prefix("http:")).unwrap_or(url);
    let Some(rest) = rest.strip_prefix("//") else { return false };
    let host = rest.split('/').next().unwrap_or(rest);
    rest.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._/?=&".contains(letter))
        && host.contains('.')
        && host
            .trim_end_matches('.')
            .rsplit('.')
            .next()
            .is_some_and(|top| top.chars().all(|letter| letter.is_ascii_lowercase()))
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
    fn a_word_or_a_number_says_nothing_in_sql_or_html() {
        for line in ["-3752", "1wwis", "+7", "select", "%61"] {
            assert!(says_nothing("sqli", line), "{line}");
        }
        for (class, line) in [
            ("sqli", "1'"),
            ("sqli", "--1"),
            ("sqli", "1 or 1"),
            ("xss", "%3c"),
            ("sqli", "%27"),
            ("cmdi", "id"),
            ("traversal", "x"),
        ] {
            assert!(!says_nothing(class, line), "{class}: {line}");
        }
    }

    #[test]
    fn attacks_are_kept_and_what_surrounds_them_in_lists_is_not() {
        for (class, line) in [
            ("sqli", "' or 1=1 --"),
            ("sqli", "admin' #"),
            ("xss", "<svg/onload=alert(1)>"),
            ("xss", "%3cscript%3e"),
            ("xss", "x onerror = y()"),
            ("xss", "\"><h1>x</h1>"),
            ("xss", "<div style=\"x:y\">"),
            ("xss", "<!-- a --><input value=a autofocus>"),
            ("xss", "&#60;script&#x3e;"),
            ("xss", "<a href=//b@c.example>d</a>"),
            ("xss", "<a href=http://0102.0146.0007.00000223/>c</a>"),
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
            ("xss", "&#x0003C;"),
            ("xss", "\\u003c"),
            ("xss", "<!-- IE 6 -->"),
            ("xss", "</div>"),
            ("xss", "<a class=b href=\"http://c.example/d?e=f\">g</a>"),
            ("xss", "<svg xmlns=\"http://www.w3.org/2000/svg\"><circle r=\"4\"></circle></svg:svg>"),
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
