//! Markup that servers read: XML entities, inclusions and server-side includes.

use super::{Best, Class, Text, contains, places, scan::words};

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    if !text.scan.word(words::MARKUP) {
        return;
    }
    let lower = text.lower;
    for at in places(lower, b"<!--#").take(64) {
        let directive = super::trim_start(&lower[at + 5..]);
        let known = [
            &b"exec"[..],
            b"include",
            b"echo",
            b"config",
            b"printenv",
            b"set",
            b"fsize",
            b"flastmod",
            b"if expr",
            b"call",
        ];
        if known.iter().any(|name| directive.starts_with(name)) {
            best.add(Class::Include, "include-directive", 90);
        }
    }
    entities(lower, best);
    let xsl = contains(lower, b"<xsl:")
        && (contains(lower, b"document(")
            || contains(lower, b"php:function")
            || contains(lower, b"system-property")
            || contains(lower, b"msxsl:script")
            || contains(lower, b"runtime"));
    if xsl {
        best.add(Class::Xxe, "xxe-stylesheet", 80);
    }
    if contains(lower, b"<?xml-stylesheet")
        && contains(lower, b"text/xsl")
        && contains(lower, b"://")
        && lower.len() <= 512
    {
        best.add(Class::Xxe, "xxe-stylesheet", 65);
    }
    if contains(lower, b"xinclude") && contains(lower, b":include") && contains(lower, b"href") {
        best.add(Class::Xxe, "xxe-include", 80);
    }
}

/// Where standards keep their document types.
const KEPT: [&[u8]; 12] = [
    b"w3.org",
    b"-//w3c//",
    b"apple.com",
    b"oasis-open.org",
    b"openmobilealliance",
    b"wapforum",
    b"mybatis.org",
    b"hibernate",
    b"java.sun.com",
    b"apache.org",
    b"nlm.nih.gov",
    b"ietf",
];

/// A document type that declares entities, or fetches its declarations from where no standard keeps them.
fn entities(lower: &[u8], best: &mut Best) {
    if let Some(at) = memchr::memmem::find(lower, b"<!entity") {
        let rest = &lower[at + 8..lower.len().min(at + 400)];
        let outside = contains(rest, b"system")
            || contains(rest, b"public")
            || rest.starts_with(b" %")
            || rest.starts_with(b"%");
        let declared = contains(&lower[..at], b"<!doctype");
        if outside || declared {
            best.add(Class::Xxe, "xxe-entity", 95);
        }
    }
    for at in places(lower, b"<!doctype").take(16) {
        let rest = &lower[at + 9..lower.len().min(at + 500)];
        let end = rest.iter().position(|byte| matches!(byte, b'>' | b'[')).unwrap_or(rest.len());
        let head = &rest[..end];
        let fetched = contains(head, b" system ")
            && !contains(head, b"about:legacy-compat")
            && !contains(head, b".dtd");
        let foreign = contains(head, b" system ") && contains(head, b"://") && !contains(head, b"w3.org");
        // A public name that no standard has, with an address.
        let strange = contains(head, b" public ")
            && contains(head, b"://")
            && !KEPT.iter().any(|known| contains(head, known));
        if fetched || foreign || strange {
            best.add(Class::Xxe, "xxe-doctype", 70);
        }
    }
}
