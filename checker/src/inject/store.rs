//! Documents that a store reads as a query, or as a change: operators of MongoDB, entries of other stores' queries, and what leaves a string of JSON.

use super::{Best, Class, Kind, Text, contains, is_word, places, scan::bytes, store_code::left};

/// A document is read for them up to this length: a longer one that has one is about them.
const LONGEST: usize = 1024;

/// Operators of queries, whatever they are given.
const QUERY: [&[u8]; 25] = [
    b"where",
    b"ne",
    b"gt",
    b"gte",
    b"lt",
    b"lte",
    b"in",
    b"nin",
    b"or",
    b"and",
    b"not",
    b"nor",
    b"regex",
    b"exists",
    b"eq",
    b"expr",
    b"elemmatch",
    b"mod",
    b"function",
    b"accumulator",
    b"jsonschema",
    b"func",
    b"nearsphere",
    b"geowithin",
    b"geointersects",
];

/// Operators of updates, stages of pipelines, and operators of queries that other formats have as names: with what their operand begins.
const TYPED: [(&[u8], &[u8]); 37] = [
    (b"set", b"{"),
    (b"unset", b"{\"'"),
    (b"inc", b"{"),
    (b"mul", b"{"),
    (b"rename", b"{"),
    (b"push", b"{"),
    (b"pull", b"{"),
    (b"pullall", b"{"),
    (b"pop", b"{"),
    (b"addtoset", b"{"),
    (b"currentdate", b"{"),
    (b"setoninsert", b"{"),
    (b"match", b"{"),
    (b"project", b"{"),
    (b"lookup", b"{"),
    (b"graphlookup", b"{"),
    (b"facet", b"{"),
    (b"group", b"{"),
    (b"addfields", b"{"),
    (b"unionwith", b"{\"'"),
    (b"merge", b"{\"'"),
    (b"out", b"{\"'"),
    (b"collstats", b"{"),
    (b"indexstats", b"{"),
    (b"plancachestats", b"{"),
    (b"currentop", b"{"),
    (b"listsessions", b"{"),
    (b"listlocalsessions", b"{"),
    (b"geonear", b"{"),
    (b"replaceroot", b"{"),
    (b"replacewith", b"{\"'"),
    (b"redact", b"{"),
    (b"bucket", b"{"),
    (b"text", b"{"),
    (b"all", b"["),
    (b"size", b"0123456789"),
    (b"type", b"0123456789["),
];

/// Of these, those that no event and no tool has as a name of an entry: analytics send `$set`, formatters `$group`, rules about schemas `$lookup`.
const TYPED_NAMES: [&[u8]; 9] = [
    b"graphlookup",
    b"unionwith",
    b"addtoset",
    b"setoninsert",
    b"pullall",
    b"collstats",
    b"indexstats",
    b"listsessions",
    b"listlocalsessions",
];

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    if text.scan.byte(bytes::DOLLAR) {
        operators(text, best);
    }
    if best.certain() || lower.len() > LONGEST {
        return;
    }
    let nested = text.scan.byte(bytes::BRACE | bytes::BRACKET);
    if nested {
        secrets(text, best);
    }
    if text.scan.byte(bytes::QUOTE) && text.kind != Kind::Name {
        entries(lower, best);
        if nested {
            whole(lower, best);
        }
    }
}

/// `$ne` as a name, or where a name stands in a value: `{"$ne":…`, `[$ne]=`, `"name.$ne":`, `name.$ne=`.
fn operators(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    // Documentation of such a store shows changes and pipelines within its code.
    let document = matches!(super::trim_start(lower).first(), Some(b'{' | b'[' | b'\'' | b'"'))
        || left(lower).is_some_and(|left| left.closed || left.tail.starts_with(b","));
    for at in memchr::memchr_iter(b'$', lower).take(128) {
        let rest = &lower[at + 1..];
        let length = rest.iter().take(18).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (name, rest) = rest.split_at(length);
        let any = QUERY.contains(&name);
        let typed = TYPED.iter().find(|(typed, _)| *typed == name);
        if !any && typed.is_none() {
            continue;
        }
        let (before, after) = (lower[..at].trim_ascii_end().last(), super::trim_start(rest).first());
        let ended = at == 0 && after.is_none() || before == Some(&b'[') || before == Some(&b'.');
        if text.kind == Kind::Name && ended && (any || TYPED_NAMES.contains(&name)) {
            best.add(Class::NoSql, "nosql-name", 85);
            return;
        }
        // In a string of JSON its quotes are escaped.
        let opened = matches!(before, Some(b'{' | b'[' | b',' | b'"' | b'\''));
        let closed = matches!(after, Some(b'"' | b'\'' | b']' | b':'))
            || rest.starts_with(b"\\\"")
            || rest.starts_with(b"\\\\\"");
        let operand = || operand(rest).and_then(|operand| operand.first());
        let found = match typed {
            None => opened && closed,
            Some((_, begins)) => {
                document && opened && closed && operand().is_some_and(|first| begins.contains(first))
            }
        };
        let dotted = any
            && at > 1
            && before == Some(&b'.')
            && is_word(lower[at - 2])
            && (rest.starts_with(b"=") || operand().is_some() && !rest.starts_with(b":"));
        // PHP has variables of every name.
        let code = at == 0
            && name == b"where"
            && rest.starts_with(b"=")
            && [&b"this."[..], b"sleep(", b"return "].iter().any(|code| contains(rest, code));
        if found || code || dotted && lower.len() <= 256 {
            best.add(Class::NoSql, "nosql-operator", if lower.len() > LONGEST { 50 } else { 75 });
            if best.certain() {
                return;
            }
        }
    }
}

/// What stands behind a name, its quote and its colon.
fn operand(rest: &[u8]) -> Option<&[u8]> {
    let quote = rest.iter().take(4).take_while(|byte| matches!(byte, b'\\' | b'"' | b'\'')).count();
    let operand = super::trim_start(&rest[quote..]).strip_prefix(b":").map(super::trim_start)?;
    let escapes = operand.iter().take(4).take_while(|byte| **byte == b'\\').count();
    Some(&operand[escapes..])
}

/// Names of entries that hold what nobody compares but for the whole.
const SECRETS: [&[u8]; 6] = [b"password", b"passwd", b"secret", b"token", b"apikey", b"api_key"];
/// Comparisons as libraries name them that need no `$` (Prisma, LoopBack, Sequelize, Strapi).
const COMPARISONS: [&[u8]; 22] = [
    b"not",
    b"startswith",
    b"endswith",
    b"contains",
    b"notcontains",
    b"gt",
    b"gte",
    b"lt",
    b"lte",
    b"ne",
    b"neq",
    b"in",
    b"nin",
    b"inq",
    b"notin",
    b"like",
    b"ilike",
    b"nlike",
    b"notlike",
    b"regexp",
    b"iregexp",
    b"regex",
];

/// A secret that is compared by something else than being equal: `"password": {"startsWith": "a"}`, `password[not]=x`; a schema has a schema behind `not`.
fn secrets(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    for at in memchr::memchr2_iter(b'{', b'[', lower).take(64) {
        let inside = &lower[at + 1..];
        if lower[at] == b'[' {
            let name = word_before(&lower[..at]);
            let inside = inside.strip_prefix(b"$").unwrap_or(inside);
            let length = inside.iter().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
            let ended = inside[length..].strip_prefix(b"]").is_some_and(|rest| {
                rest.first() == Some(&b'=') || text.kind == Kind::Name && rest.is_empty()
            });
            // `filter[password][$startsWith]=`
            let name = if name.is_empty() {
                word_before(lower[..at].strip_suffix(b"]").unwrap_or(name))
            } else {
                name
            };
            if ended && is_secret(name) && COMPARISONS.contains(&&inside[..length]) {
                best.add(Class::NoSql, "nosql-secret", 75);
                return;
            }
            // Sequelize's, as its symbols are written out.
            if (inside.starts_with(b"op.") || inside.starts_with(b"symbol(")) && contains(inside, b"]\"") {
                best.add(Class::NoSql, "nosql-operator", 70);
                return;
            }
            continue;
        }
        let Some(name) = lower[..at].trim_ascii_end().strip_suffix(b":") else { continue };
        let name = name.trim_ascii_end();
        let name = word_before(name.strip_suffix(b"\"").unwrap_or(name));
        let Some(inside) = super::trim_start(inside).strip_prefix(b"\"").filter(|_| is_secret(name)) else {
            continue;
        };
        let length = inside.iter().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let scalar = operand(&inside[length..]).is_some_and(|operand| {
            matches!(operand.first(), Some(b'"' | b'[' | b'0'..=b'9' | b'n' | b't' | b'f'))
        });
        if COMPARISONS.contains(&&inside[..length]) && scalar {
            best.add(Class::NoSql, "nosql-secret", 75);
            return;
        }
    }
}

fn word_before(text: &[u8]) -> &[u8] {
    let length = text.iter().rev().take(32).take_while(|byte| is_word(**byte)).count();
    &text[text.len() - length..]
}

fn is_secret(name: &[u8]) -> bool {
    matches!(name, b"pass" | b"pwd") || SECRETS.iter().any(|secret| contains(name, secret))
}

/// A string of JSON that is left, the objects that it stands in perhaps too, and another entry: `a", "role": "admin`, `a"}}, {"match_all": {`.
fn entries(lower: &[u8], best: &mut Best) {
    if lower.len() > 512 {
        return;
    }
    // `' } ], $comment: 'a'`
    let operator = left(lower)
        .filter(|left| left.brace)
        .and_then(|left| left.tail.strip_prefix(b",").map(super::trim_start));
    if operator.is_some_and(|text| text.starts_with(b"$") && begins_name(&text[1..])) {
        best.add(Class::NoSql, "nosql-entry", 70);
        return;
    }
    let Some(quote) = memchr::memchr(b'"', &lower[..lower.len().min(64)]) else { return };
    if lower[..quote].iter().any(|byte| !is_word(*byte) && !matches!(byte, b' ' | b'-' | b'.' | b'@' | b'\\'))
    {
        return;
    }
    let rest = &lower[quote + 1..];
    let closing = rest.iter().take(16).take_while(|byte| matches!(byte, b'}' | b']' | b' ')).count();
    let Some(entry) = super::trim_start(&rest[closing..]).strip_prefix(b",").map(super::trim_start) else {
        return;
    };
    let opening = entry.iter().take(16).take_while(|byte| matches!(byte, b'{' | b'[' | b' ')).count();
    // An object that is opened is one of a list: something was closed before.
    let again = opening == 0 || rest[..closing].iter().any(|byte| *byte != b' ');
    let entry = entry[opening..].strip_prefix(b"\\").unwrap_or(&entry[opening..]);
    let Some(name) = entry.strip_prefix(b"\"") else { return };
    let length =
        name.iter().take(48).take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'$' | b'-')).count();
    // The value ends in a string as it began in one: its quotes come out even.
    let even = memchr::memchr_iter(b'"', lower).count().is_multiple_of(2);
    if again
        && length > 0
        && operand(&name[length..]).is_some()
        && name[length..].first() != Some(&b':')
        && even
    {
        best.add(Class::NoSql, "nosql-entry", 70);
    }
}

fn begins_name(text: &[u8]) -> bool {
    let length = text.iter().take(24).take_while(|byte| byte.is_ascii_alphabetic()).count();
    length > 0 && text[length..].starts_with(b":")
}

/// A value that is a query of Elasticsearch's as a whole, with a script or for everything; a view of CouchDB's; one of its administrators.
fn whole(lower: &[u8], best: &mut Best) {
    if !matches!(super::trim_start(lower).first(), Some(b'{' | b'[')) {
        return;
    }
    let named = |name: &[u8]| places(lower, name).any(|at| operand(&lower[at + name.len() - 1..]).is_some());
    let languages = [&b"\"painless\""[..], b"\"groovy\"", b"\"mvel\""];
    let script = named(b"\"script\"")
        && (named(b"\"source\"")
            || named(b"\"inline\"")
            || languages.iter().any(|language| contains(lower, language)));
    let query = named(b"\"query\"") && (named(b"\"match_all\"") || named(b"\"query_string\""));
    let view = contains(lower, b"function(doc)") && contains(lower, b"emit(");
    let reduced = named(b"\"mapreduce\"");
    let admin = named(b"\"roles\"") && contains(lower, b"\"_admin\"");
    let rules = [&b"\".read\""[..], b"\".write\""].into_iter().any(|rule| {
        places(lower, rule).any(|at| {
            operand(&lower[at + rule.len() - 1..]).is_some_and(|operand| operand.starts_with(b"true"))
        })
    });
    let compared = named(b"\"comparisonoperator\"") && named(b"\"attributevaluelist\"");
    if script || query || view || reduced || admin || rules || compared || named(b"\"script_fields\"") {
        best.add(Class::NoSql, "nosql-query", 70);
    }
}
