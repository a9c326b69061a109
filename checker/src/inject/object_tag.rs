//! Tags of YAML that have an object made: `!!python/object/apply:os.system`, `!ruby/object:ERB`, `!!com.a.B`, whole (`!<tag:yaml.org,2002:…>`) and by handles.

use super::{contains, is_word, object_class::is_gadget, places};

/// Whether one of a text's tags makes an object. `raw` tells the letters' case.
pub(super) fn makes(raw: &[u8], lower: &[u8]) -> bool {
    let handle = places(lower, b"%tag ").any(|at| at == 0 || lower[at - 1] == b'\n');
    let mut next = 0;
    memchr::memchr_iter(b'!', lower).any(|at| {
        // The second sign of a tag is not read as the first of another.
        if at < next {
            return false;
        }
        // A tag stands by itself: `a != b` and `wow!!` have none.
        if at > 0
            && !matches!(
                lower[at - 1],
                b' ' | b'\n' | b'\r' | b'\t' | b'[' | b'{' | b',' | b':' | b'-' | b'"' | b'\'' | b'>'
            )
        {
            return false;
        }
        let signs = lower[at..].iter().take(2).take_while(|byte| **byte == b'!').count();
        next = at + signs;
        let rest = &lower[at + signs..];
        let whole = rest.strip_prefix(b"<").map(|tag| tag.strip_prefix(b"!").unwrap_or(tag));
        let tag = whole.unwrap_or(rest);
        let stripped = tag
            .strip_prefix(b"tag:yaml.org,2002:")
            .or_else(|| tag.strip_prefix(b"tag:ruby.yaml.org,2002:"))
            .unwrap_or(tag);
        let ruby = tag.starts_with(b"tag:ruby.");
        let name = stripped.strip_prefix(b"~").unwrap_or(stripped);
        // `!p!object` where a line before says what `!p!` is.
        let named = name.iter().take(16).take_while(|byte| is_word(**byte)).count();
        let (name, handled) = match name.get(named) {
            Some(b'!') if handle && named > 0 => (&name[named + 1..], true),
            _ => (name, handle && signs == 1),
        };
        let global = signs == 2 || whole.is_some() || handled;
        let start = raw.len() - name.len();
        language(name)
            || ruby && rubys(name)
            || is_gadget(name) && declares(name)
            || global && class(&raw[start..])
            || handled && python(name)
    })
}

/// What a language's own tags make.
fn language(name: &[u8]) -> bool {
    if let Some(kind) = name.strip_prefix(b"python/") {
        return python(kind);
    }
    if let Some(kind) = name.strip_prefix(b"ruby/") {
        return rubys(kind);
    }
    if let Some(kind) = name.strip_prefix(b"perl/") {
        // A class of its own, or code.
        let kind = &kind[..kind.len().min(64)];
        let kind = &kind[..kind.iter().position(|byte| *byte <= b' ').unwrap_or(kind.len())];
        return kind.starts_with(b"code") || contains(kind, b"::") || kind.contains(&b':');
    }
    name.starts_with(b"php/object") || name.starts_with(b"js/function")
}

fn python(kind: &[u8]) -> bool {
    [&b"object"[..], b"name:", b"module:", b"apply"].iter().any(|made| kind.starts_with(made))
}

fn rubys(kind: &[u8]) -> bool {
    const MADE: &[&[u8]] = &[
        b"object",
        b"hash:",
        b"hash-with",
        b"array:",
        b"string:",
        b"struct",
        b"class",
        b"module",
        b"exception",
        b"marshalable",
        b"data-with",
        b"data:",
    ];
    MADE.iter().any(|made| kind.starts_with(made))
}

/// Whether a name is followed by what a value or its end can be, and not by the rest of a sentence.
fn declares(name: &[u8]) -> bool {
    let length =
        name.iter().take(200).take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'$')).count();
    length >= 12
        && matches!(name.get(length), None | Some(0..=b' ' | b'>' | b'[' | b'{' | b',' | b']' | b'%'))
}

/// A class of Java's by its package, of at least three parts and with a capital: `com.example.User`.
fn class(name: &[u8]) -> bool {
    let length =
        name.iter().take(200).take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'$')).count();
    let mut parts = name[..length].split(|byte| *byte == b'.');
    let last = parts.next_back();
    let packages = parts.clone().count();
    packages >= 2
        && parts.all(|part| part.first().is_some_and(u8::is_ascii_lowercase))
        && last.and_then(<[u8]>::first).is_some_and(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> bool {
        makes(text.as_bytes(), text.to_lowercase().as_bytes())
    }

    #[test]
    fn tags_that_make_objects_are_told_from_those_of_values() {
        for text in [
            "!!python/object/apply:os.system [id]",
            "- !!python/name:os.system",
            "!<tag:yaml.org,2002:python/object/new:os.system> [id]",
            "%TAG !p! tag:yaml.org,2002:python/\n---\n!p!object/apply:os.system [id]",
            "%TAG ! tag:yaml.org,2002:\n---\n!java.net.URL [a]",
            "--- !ruby/object:ERB {}",
            "!ruby/class 'Kernel'",
            "!<tag:ruby.yaml.org,2002:object:ERB>",
            "!!com.example.User {name: a}",
            "a: !com.sun.rowset.JdbcRowSetImpl\n  b: c",
            "!!java.net.URL [\"http://a\"]",
            "a: !<!System.Windows.Data.ObjectDataProvider%2c%20P> {}",
            "!!perl/hash:File::Temp {}",
            "--- !!perl/code: { a }",
            "!php/object \"O:1\"",
            "!!js/function 'function(){}'",
        ] {
            assert!(made(text), "{text}");
        }
        for text in [
            "!!str 5",
            "a: !!python/tuple [1, 2]",
            "a: !Ref B",
            "!GetAtt a.b.Arn",
            "wow!!python/object is cool",
            "a !== b",
            "!important",
            "!ruby/regexp /a/",
            "!ruby/sym a",
            "!!perl/hash {}",
            "%TAG !y! tag:yaml.org,2002:\n--- !y!str a",
            "!!js/regexp /a/",
            "Hello! com.sun is a package",
            "!!set {a, b}",
        ] {
            assert!(!made(text), "{text}");
        }
    }
}
