//! XPath: what leaves a string or a predicate and goes on with nodes, and what asks for nodes that it was not meant for.

use super::{Best, Class, contains, is_word, places, trim_start};

/// Bytes of a value that is read, at most.
const LONGEST: usize = 512;

/// Functions (XPath 1.0 section 4, XPath and XQuery Functions 3.1) that a query asks with. Most are SQL's or a language's too: what is in their
/// parentheses decides.
const CALLS: [&[u8]; 38] = [
    b"count",
    b"string-length",
    b"substring",
    b"substring-before",
    b"substring-after",
    b"name",
    b"local-name",
    b"namespace-uri",
    b"starts-with",
    b"ends-with",
    b"contains",
    b"matches",
    b"string",
    b"string-join",
    b"string-to-codepoints",
    b"normalize-space",
    b"translate",
    b"lower-case",
    b"upper-case",
    b"tokenize",
    b"boolean",
    b"number",
    b"sum",
    b"not",
    b"exists",
    b"data",
    b"distinct-values",
    b"doc",
    b"doc-available",
    b"concat",
    b"encode-for-uri",
    b"system-property",
    b"empty",
    b"root",
    b"deep-equal",
    b"id",
    b"key",
    b"current",
];
/// Those of them that name nothing in other languages, with an argument or without.
const OWN: [&[u8]; 17] = [
    b"position()",
    b"last()",
    b"name()",
    b"local-name(",
    b"node()",
    b"text()",
    b"comment()",
    b"true()",
    b"false()",
    b"string-length(",
    b"starts-with(",
    b"normalize-space(",
    b"namespace-uri(",
    b"count(/",
    b"name(/",
    b"lang('",
    b"string()",
];
/// Functions (XSLT 1.0 section 12, XPath and XQuery Functions 3.1 sections 14 and 15, EXPath) that read documents, files and the environment, or
/// say what the processor is.
const READS: [&[u8]; 20] = [
    b"doc",
    b"document",
    b"collection",
    b"uri-collection",
    b"unparsed-text",
    b"unparsed-text-lines",
    b"unparsed-text-available",
    b"environment-variable",
    b"available-environment-variables",
    b"system-property",
    b"function-available",
    b"element-available",
    b"base-uri",
    b"document-uri",
    b"static-base-uri",
    b"generate-id",
    b"codepoints-to-string",
    b"file:read-text",
    b"php:function",
    b"http:send-request",
];
/// The axes (XPath 1.0, section 2.2).
const AXES: [&[u8]; 13] = [
    b"ancestor",
    b"ancestor-or-self",
    b"attribute",
    b"child",
    b"descendant",
    b"descendant-or-self",
    b"following",
    b"following-sibling",
    b"namespace",
    b"parent",
    b"preceding",
    b"preceding-sibling",
    b"self",
];

/// `lower`: the value, in lower case.
pub(super) fn judge(lower: &[u8], best: &mut Best) {
    if lower.len() > LONGEST {
        return;
    }
    if memchr::memchr_iter(b'(', lower).take(64).any(|at| {
        let called = &lower[at - name_before(&lower[..at])..at];
        // Schemas and constraints say of a node what it must not have: `not(descendant::a[…])`.
        let constraint = matches!(called, b"not" | b"exists") && !lower[at + 1..].starts_with(b"/");
        CALLS.contains(&called) && !constraint && is_path(&lower[at + 1..])
    }) {
        best.add(Class::XPath, "xpath-call", 75);
    }
    if leaves(lower) || outside(lower) || goes_on(lower) {
        best.add(Class::XPath, "xpath-left", 80);
    }
    if reads(trim_start(lower)) {
        best.add(Class::XPath, "xpath-read", 70);
    }
    // An axis in a value that leaves a string or a predicate, or is two such steps.
    let axes = places(lower, b"::").take(16).filter(|at| is_axis(lower, *at)).count()
        + [&b"/text()"[..], b"/comment()", b"/node()", b"[position()", b"@*[name()", b"/@*"]
            .iter()
            .filter(|step| contains(lower, step))
            .count();
    let start = trim_start(lower);
    let begins = matches!(start.first(), Some(b'\'' | b'"' | b']' | b')')) || joined(start).is_some();
    if axes >= 2 && !lower.contains(&b' ')
        || axes >= 1 && begins
        || axes >= 1 && contains(lower, b"' or '")
        || alternative(start)
    {
        best.add(Class::XPath, "xpath-axis", 75);
    }
}

/// Whether a value is a call, as a whole, of a function that reads or tells something and that other languages have no name for.
fn reads(start: &[u8]) -> bool {
    let Some(open) = start.iter().take(40).position(|byte| *byte == b'(') else { return false };
    let (name, argument) = (&start[..open], &start[open + 1..]);
    let own = name.iter().any(|byte| matches!(byte, b'-' | b':'));
    let fetched = argument.strip_prefix(b"'").or_else(|| argument.strip_prefix(b"\""));
    let fetched = fetched.is_some_and(|url| {
        [&b"http:"[..], b"https:", b"file:", b"ftp:", b"/"].iter().any(|scheme| url.starts_with(scheme))
    });
    READS.contains(&name) && start.trim_ascii_end().ends_with(b")") && (own || fetched)
}

/// What closes a string and a predicate and goes on with the path (`']/..//a[`), another set of nodes (`'] union //a`), or compares what it
/// closed with one (`'=//a`).
fn goes_on(lower: &[u8]) -> bool {
    let start = trim_start(lower);
    let Some(rest) = start.strip_prefix(b"'").or_else(|| start.strip_prefix(b"\"")) else { return false };
    let closing = rest.iter().take(4).take_while(|byte| matches!(byte, b')' | b']')).count();
    let rest = trim_start(&rest[closing..]);
    let is_path = |path: &[u8]| {
        path.strip_prefix(b"//").is_some_and(|path| {
            path.first().is_some_and(|byte| byte.is_ascii_lowercase() || matches!(byte, b'*' | b'@'))
        })
    };
    let set = [&b"union"[..], b"intersect", b"except"].iter().find_map(|word| rest.strip_prefix(*word));
    let compared = rest.strip_prefix(b"!").unwrap_or(rest);
    let compared = compared.strip_prefix(b"=").map(trim_start);
    let stepped = start[1..].starts_with(b"]")
        && [&b"/.."[..], b"/*", b"//", b"/@", b"/parent::", b"/ancestor", b"/following", b"/preceding"]
            .iter()
            .any(|step| rest.starts_with(step));
    set.map(trim_start).is_some_and(is_path) || compared.is_some_and(is_path) || stepped
}

/// The length of the name that a text ends with.
fn name_before(text: &[u8]) -> usize {
    let of_name = |byte: &&u8| byte.is_ascii_lowercase() || **byte == b'-';
    text.iter().rev().take(24).take_while(of_name).count()
}

/// Whether `::` at `at` stands between an axis and what it tests: a name, `*`, or `node()`. A program's `Self::Error` stands where no step does.
fn is_axis(text: &[u8], at: usize) -> bool {
    let name = name_before(&text[..at]);
    let axis = &text[at - name..at];
    let before = text[..at - name].last();
    let step = matches!(before, None | Some(b'/' | b'[' | b'(' | b'|' | b'\'' | b'"' | b']' | b'@'));
    let test = &text[at + 2..];
    let node = test.starts_with(b"*") || test.starts_with(b"node()") || test.starts_with(b"text()");
    let name = test.iter().take_while(|byte| is_word(**byte) || **byte == b'-').count();
    let spaced = before == Some(&b' ') && (node || name > 0 && test[name..].starts_with(b"["));
    AXES.contains(&axis)
        && (step && before != Some(&b'(') || spaced || step && node)
        && test.first().is_some_and(|byte| is_word(*byte) || *byte == b'*')
        // `Self::Data>` and `Self::Emoji)` are types and variants.
        && (axis != b"self" || node || before == Some(&b'/'))
}

/// Whether a function's argument is a path: `/*`, `//user[1]`, `/child::node()`, `@*[1]`, or another call of these.
fn is_path(argument: &[u8]) -> bool {
    let mut argument = trim_start(argument);
    for _ in 0..4 {
        let open = argument.iter().take(24).position(|byte| *byte == b'(');
        match open {
            Some(open) if CALLS.contains(&&argument[..open]) => argument = trim_start(&argument[open + 1..]),
            _ => break,
        }
    }
    let parent = argument.strip_prefix(b"parent::*");
    if parent.is_some_and(|rest| !rest.starts_with(b"/descendant") && !rest.starts_with(b"/f:"))
        || argument.starts_with(b"../*")
        || argument.starts_with(b"@*[")
        || argument.starts_with(b"'http") && contains(argument, b"',//")
        || argument.starts_with(b"'http") && contains(argument, b"', //")
    {
        return true;
    }
    if argument.starts_with(b"child::")
        || argument.starts_with(b"self::")
        || argument.starts_with(b"descendant")
    {
        let colon = argument.iter().position(|byte| *byte == b':').unwrap_or(0);
        return is_axis(argument, colon);
    }
    // Who knows by which prefix names are written wrote the document's constraints: `//f:name`.
    let step = argument.iter().skip_while(|byte| **byte == b'/');
    let step: Vec<u8> = step.take(24).take_while(|byte| is_word(**byte) || **byte == b':').copied().collect();
    if memchr::memchr_iter(b':', &step).count() == 1 {
        return false;
    }
    let Some(path) = argument.strip_prefix(b"/") else { return false };
    let deep = path.strip_prefix(b"/");
    let path = deep.unwrap_or(path);
    // `//` begins a comment and `/…/` a regular expression: a name and what ends a step.
    let name =
        path.iter().take_while(|byte| is_word(**byte) || matches!(**byte, b'-' | b':' | b'*' | b'@')).count();
    let next = path.get(name);
    name > 0
        && match next {
            Some(b'[') => deep.is_some() || path.starts_with(b"*"),
            Some(b')' | b',') => deep.is_some() || path.starts_with(b"*") || contains(&path[..name], b"::"),
            Some(b'(') => {
                path[..name].ends_with(b"::node") || matches!(&path[..name], b"comment" | b"text" | b"node")
            }
            Some(b'/') => {
                let rest =
                    &path[..path.iter().position(|byte| matches!(byte, b')' | b',')).unwrap_or(path.len())];
                deep.is_some()
                    && (contains(path, b"/text()") || contains(path, b"/child::") || is_steps(rest))
                    || path.starts_with(b"*/")
            }
            _ => false,
        }
}

/// Names with single slashes between them, and nothing else.
fn is_steps(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|step| {
        !step.is_empty()
            && step.iter().all(|byte| is_word(*byte) || matches!(byte, b'-' | b'*' | b'@' | b'[' | b']'))
    }) && !path.contains(&b'.')
}

/// What stands behind `' or `: a quote, a bracket, or a number, and the word.
pub(super) fn joined(start: &[u8]) -> Option<&[u8]> {
    let start = start.strip_prefix(b"-").unwrap_or(start);
    let lead = start.iter().take(24).take_while(|byte| is_word(**byte)).count();
    let rest = &start[lead..];
    let rest = rest.strip_prefix(b"'").or_else(|| rest.strip_prefix(b"\"")).unwrap_or(rest);
    let closing = rest.iter().take(4).take_while(|byte| matches!(byte, b')' | b']')).count();
    let rest = &rest[closing..];
    let gap = rest.len() - trim_start(rest).len();
    let word = trim_start(rest);
    let word = word.strip_prefix(b"or").or_else(|| word.strip_prefix(b"and"))?;
    let spaced = gap > 0 || lead == 0 || closing > 0 || start.get(lead).is_some_and(|byte| !is_word(*byte));
    (spaced && word.first().is_some_and(|byte| !is_word(*byte) && *byte != b'-')).then_some(word)
}

/// A quote or a bracket that ends what the value stands in, and another path or a condition on nodes behind it.
fn leaves(lower: &[u8]) -> bool {
    let start = trim_start(lower);
    let Some(rest) = joined(start) else { return false };
    let quoted = matches!(start.iter().find(|byte| !is_word(**byte)), Some(b'\'' | b'"' | b']' | b')'));
    let mut rest = trim_start(rest);
    while let Some(inner) = rest.strip_prefix(b"not(").or_else(|| rest.strip_prefix(b"(")) {
        rest = trim_start(inner);
    }
    if quoted {
        return selects(rest);
    }
    let step = [&b"//"[..], b"/*", b"../", b"@*"].iter().find_map(|step| rest.strip_prefix(*step));
    let number = start.strip_prefix(b"-").unwrap_or(start).first().is_some_and(u8::is_ascii_digit);
    let path = step.is_some_and(|path| {
        path.is_empty()
            || number && path.iter().all(|byte| is_word(*byte) || matches!(byte, b'-' | b':'))
            || path.iter().take(64).any(|byte| matches!(byte, b'/' | b'[' | b'=' | b'*' | b'\'' | b'"'))
    });
    // Of a value without a quote only what no sentence has: nothing but signs and another condition follow the call.
    let calls = [&b"position()"[..], b"last()", b"text()", b"node()", b"comment()", b"name()", b"true()"];
    path || calls.iter().any(|call| {
        rest.strip_prefix(*call).is_some_and(|rest| {
            let rest = trim_start(rest);
            let word = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            matches!(&rest[..word], b"" | b"and" | b"or" | b"div" | b"mod")
        })
    })
}

/// Whether an operand of XPath's begins here, in a value that closed what it stands in: a path, an attribute, a condition on nodes, a call.
fn selects(rest: &[u8]) -> bool {
    let name =
        |text: &[u8]| text.iter().take_while(|byte| is_word(**byte) || matches!(byte, b'-' | b':')).count();
    let length = name(rest);
    let behind = trim_start(&rest[length..]);
    match rest.first() {
        // /a, //a, ../a, ./a, .='x', . and …
        Some(b'/') => true,
        Some(b'.') => {
            let dots = rest.iter().take_while(|byte| **byte == b'.').count();
            let next = trim_start(&rest[dots..]);
            dots <= 2
                && (matches!(
                    next.first(),
                    None | Some(b'/' | b'=' | b'\'' | b'"' | b'[' | b'!' | b'|' | b'<' | b'>')
                ) || joins(next))
        }
        // @id='1', @*
        Some(b'@') => {
            let attribute = &rest[1..];
            let length = name(attribute);
            let next = trim_start(&attribute[length..]);
            attribute.starts_with(b"*")
                || length > 0
                    && (matches!(next.first(), None | Some(b'=' | b'!' | b'<' | b'>' | b'|' | b'['))
                        || joins(next))
        }
        // *[1], *, */a
        Some(b'*') => {
            matches!(trim_start(&rest[1..]).first(), None | Some(b'[' | b'/' | b'=' | b'|'))
                || joins(trim_start(&rest[1..]))
        }
        // $x
        Some(b'$') => false,
        Some(_) if length > 0 => match behind.first() {
            // A function of XPath's, or of one of its processors: those with a prefix or a hyphen are no other language's.
            Some(b'(') => {
                let called = &rest[..length];
                CALLS.contains(&called)
                    || OWN.iter().any(|own| rest.starts_with(own))
                    || READS.contains(&called)
                    || called.contains(&b'-')
                    || called
                        .iter()
                        .position(|byte| *byte == b':')
                        .is_some_and(|at| at > 0 && !called.ends_with(b":"))
            }
            // user[1], user/name, child::a
            Some(b'[' | b'/') => behind.len() > 1 && !behind.starts_with(b"//") && !behind.starts_with(b"/*"),
            _ => places(&rest[..length], b"::")
                .any(|at| AXES.contains(&&rest[at - name_before(&rest[..at])..at])),
        },
        _ => false,
    }
}

/// Whether a text begins with a word that joins conditions or numbers.
fn joins(text: &[u8]) -> bool {
    let word = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    matches!(&text[..word], b"and" | b"or" | b"div" | b"mod" | b"eq" | b"ne")
}

/// Another path behind `|`, outside of what the value stood in: `'] | //user | a['`, `x | //*`.
fn outside(lower: &[u8]) -> bool {
    memchr::memchr_iter(b'|', lower).take(16).any(|at| {
        let lead = lower[..at].trim_ascii_end();
        let path = trim_start(&lower[at + 1..]);
        if !path.starts_with(b"/") || path.starts_with(b"///") {
            return false;
        }
        let closed = match lead.last() {
            // Not the end of a condition of the value's own.
            Some(b']') => memchr::memchr_iter(b']', lead).count() > memchr::memchr_iter(b'[', lead).count(),
            // x'|//a, x')|//a: the quote closes what was open before the value.
            Some(b'\'' | b'"' | b')') => {
                let quotes = lead.iter().filter(|byte| matches!(byte, b'\'' | b'"')).count();
                let sign = |byte: &u8| matches!(byte, b'\'' | b'"' | b')' | b']' | b' ');
                quotes % 2 == 1 && lead.len() <= 24 && lead.iter().all(|byte| is_word(*byte) || sign(byte))
            }
            _ => false,
        };
        let any = [&b"//*"[..], b"//@*", b"//text()", b"//node()", b"/*/", b"/*["]
            .iter()
            .any(|start| path.starts_with(start));
        closed || any && lead.iter().all(|byte| is_word(*byte)) && !lead.is_empty()
    })
}

/// A path with `*` steps, or with a condition that always holds, as a whole value.
fn alternative(start: &[u8]) -> bool {
    let path = start.starts_with(b"/*[") || start.starts_with(b"//") || start.starts_with(b"/*/");
    let whole = start.trim_ascii_end();
    path && (contains(start, b"]/*[")
        || contains(start, b"/text()|//")
        || contains(start, b"' or '1'='1")
        || contains(start, b"[1=1]")
        || contains(start, b"[true()]"))
        || matches!(whole, b"//*" | b"//@*" | b"//node()" | b"//text()" | b"//*/*" | b"/descendant::node()")
}

#[cfg(test)]
#[path = "xpath_tests.rs"]
mod tests;
