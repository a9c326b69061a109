//! Serialised objects: Java's, PHP's, Python's, Ruby's, .NET's, Node's, and what names a class to be made in JSON, YAML and XML.

use super::{
    Best, Class, Text, contains, object_class, object_php, object_stream, object_tag, places, scan::words,
    trim_start,
};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Deserialisation, rule, score);
}

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let (raw, lower) = (text.raw, text.lower);
    if object_php::made(lower) || text.scan.word(words::OBJECT) && object_php::leaves(lower) {
        add(best, "object-php", 80);
    }
    if text.scan.word(words::OBJECT) {
        if let Some(rule) = object_stream::within(raw) {
            add(best, rule, 80);
        }
        if object_tag::makes(raw, lower) {
            add(best, "object-tagged", 85);
        }
    }
    // Elements of XStream's, names of gadgets: each of these words stands in no other text (object_word.rs).
    if text.scan.word(words::GADGET) || lower.len() < 256 && reduces(lower) {
        add(best, "object-named", 85);
    }
    if text.scan.word(words::TYPED) && !best.certain() {
        if object_class::names_one(lower) || members(lower) {
            add(best, "object-typed", 85);
        } else if decodes_xml(lower) {
            add(best, "object-xml", 80);
        }
    }
}

/// A key or a member `__reduce__`, by which Python's objects say what makes them: `{"__reduce__": …}`, and neither the name nor its definition.
fn reduces(lower: &[u8]) -> bool {
    places(lower, b"__reduce__").any(|at| {
        let rest = lower[at + 10..].strip_prefix(b"\"").or_else(|| lower[at + 10..].strip_prefix(b"'"));
        rest.is_some_and(|rest| trim_start(rest).starts_with(b":"))
    })
}

/// Members by which libraries of Python and Ruby are told what to make: jsonpickle's, Oj's, and those of Ruby's own.
fn members(lower: &[u8]) -> bool {
    // By the name of the member alone: nothing else has one of them.
    const MADE: &[&[u8]] = &[
        b"py/object\"",
        b"py/object/apply\"",
        b"py/reduce\"",
        b"py/function\"",
        b"py/repr\"",
        b"py/type\"",
        b"py/newargs\"",
        b"py/newargsex\"",
        b"py/newobj\"",
        b"py/mod\"",
        b"\"^o\"",
        b"\"^u\"",
        b"\"^c\"",
    ];
    let value = |at: usize| trim_start(&lower[at..]).strip_prefix(b":").map(trim_start);
    let named = MADE.iter().any(|key| {
        places(lower, key).any(|at| {
            value(at + key.len()).is_some_and(|value| matches!(value.first(), Some(b'"' | b'[' | b'{')))
        })
    });
    named
        || places(lower, b"json_class\"").any(|at| {
            value(at + 11).and_then(|value| value.strip_prefix(b"\"")).is_some_and(|name| {
                contains(&name[..name.len().min(64)], b"::")
                    || [&b"erb\""[..], b"openstruct\"", b"kernel\"", b"file\"", b"io\"", b"object\""]
                        .iter()
                        .any(|known| name.starts_with(known))
            })
        })
}

/// A program of XMLDecoder's: its root, and elements that make or call something. Ant has the root as well, with other elements.
fn decodes_xml(lower: &[u8]) -> bool {
    let rooted = places(lower, b"<java").any(|at| matches!(lower.get(at + 5), Some(0..=b' ' | b'>')));
    rooted
        && [&b"<object"[..], b"<void", b"<new ", b"<new>", b"<class>", b"<method "]
            .iter()
            .any(|element| contains(lower, element))
        && contains(lower, b"<string>")
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
