//! Names that reach a prototype, a class or a class loader, as parameters and entries that are copied into objects have them.

use super::{Best, Class, Kind, Text, contains, places};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Prototype, rule, score);
}

/// Bytes of a value that is no document about such names.
const SHORT: usize = 256;

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    names(text, best);
    let through = [
        &b"constructor.prototype"[..],
        b"constructor[prototype]",
        b"[constructor][prototype]",
        b"constructor/prototype",
        b"\"constructor\",\"prototype\"",
    ];
    if lower.len() <= SHORT && (through.iter().any(|way| contains(lower, way)) || nested(lower)) {
        // `a.constructor.prototype` in code has something before it.
        let code = text.kind != Kind::Name
            && contains(lower, b" ")
            && !lower.starts_with(b"{")
            && !lower.starts_with(b"[");
        add(best, "prototype-constructor", if code { 40 } else { 70 });
    }
    if contains(lower, b"class.module.classloader")
        || contains(lower, b"class.classloader.")
        || contains(lower, b"class['classloader']")
        || contains(lower, b"['module']['classloader']")
    {
        add(best, "prototype-class-loader", 85);
    }
    // Python's way, from an object to the globals of a module.
    let globals = contains(lower, b"__globals__") && contains(lower, b"__init__")
        || contains(lower, b"__class__.__base__");
    if lower.len() <= SHORT && globals && !contains(lower, b" = ") {
        add(best, "prototype-globals", 75);
    }
    let accessors = [&b"__definegetter__"[..], b"__definesetter__", b"__lookupgetter__", b"__lookupsetter__"];
    let name = lower.trim_ascii_start();
    let name = name.strip_prefix(b"{").map_or(name, super::trim_start);
    let name = name.strip_prefix(b"\"").unwrap_or(name);
    if lower.len() <= SHORT && accessors.iter().any(|accessor| name.starts_with(accessor)) {
        add(best, "prototype-accessor", 70);
    }
}

/// `"constructor": {"prototype"`, with any white space.
fn nested(lower: &[u8]) -> bool {
    places(lower, b"\"constructor\"").take(4).any(|at| {
        let rest = super::trim_start(&lower[at + 13..]);
        let inside = rest.strip_prefix(b":").map(super::trim_start).and_then(|rest| rest.strip_prefix(b"{"));
        inside.is_some_and(|inside| super::trim_start(inside).starts_with(b"\"prototype\""))
    })
}

/// Whether the name at `at` stands in quotation marks as a word of a sentence does: it is no key with a value, nor one of a list.
fn is_quoted_word(lower: &[u8], at: usize) -> bool {
    let quote = matches!(lower[..at].last(), Some(b'"' | b'\''));
    let behind =
        lower.get(at + 9).filter(|byte| quote && matches!(byte, b'"' | b'\'')).map(|_| &lower[at + 10..]);
    let ahead = lower[..at.saturating_sub(1)].trim_ascii_end().last();
    behind.is_some_and(|behind| {
        let next = super::trim_start(behind).first();
        !matches!(next, Some(b':' | b']' | b',' | b'=' | b'}' | b')'))
            && ahead.is_none_or(|byte| super::is_word(*byte))
    })
}

/// `__proto__`, and what is left of it when a filter has cut it out once.
fn names(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    let doubled = contains(lower, b"__pro__proto__to__");
    for at in places(lower, b"__proto__").take(16) {
        let before = lower[..at].last();
        let after = lower.get(at + 9);
        let around = matches!(
            before,
            None | Some(b'"' | b'\'' | b'[' | b'.' | b'{' | b',' | b'&' | b'?' | b'=' | b'#' | b'/')
        ) && matches!(after, Some(b'"' | b'\'' | b']' | b'[' | b'.' | b'/'))
            && !is_quoted_word(lower, at);
        let score = match (text.kind, before, after) {
            (Kind::Name, ..) => 90,
            _ if around || doubled => {
                if lower.len() <= SHORT {
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
}

#[cfg(test)]
mod tests {
    use super::super::{Detector, Kind, Scratch};

    fn class(value: &str) -> Option<&'static str> {
        Detector::shared()
            .judge(value, Kind::Value, &mut Scratch::default())
            .map(|finding| finding.class.name())
    }

    #[test]
    fn ways_to_a_prototype_are_found_and_what_is_written_about_them_is_not() {
        for attack in [
            "__proto__[a]=b",
            "#__proto__[a]=b",
            "a/__proto__/b",
            "{\"constructor\" : { \"prototype\": {\"a\":1}}}",
            "[\"constructor\",\"prototype\",\"a\"]",
            "/constructor/prototype/a",
            "{\"__pro__proto__to__\":{\"a\":1}}",
            "[{\"op\":\"add\",\"path\":\"/__proto__/a\",\"value\":1}]",
            "__class__.__init__.__globals__.a",
            "{\"__lookupGetter__\":{\"a\":1}}",
        ] {
            assert_eq!(class(attack), Some("prototype"), "{attack}");
        }
        for benign in [
            "the __proto__ property is deprecated",
            "The \"__proto__\" node must be real",
            "'__proto__' is not allowed here",
            "class constructor and its prototype",
            "def __init__(self): pass",
            "Foo.prototype.constructor = Foo",
            "constructor: (prototype) => prototype",
        ] {
            assert_eq!(class(benign), None, "{benign}");
        }
    }
}
