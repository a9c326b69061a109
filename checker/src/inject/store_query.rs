//! Languages of stores that are none of SQL's: a string or a bracket that is left, and a clause of one behind it.
//!
//! Cypher (Neo4j), AQL (ArangoDB), N1QL (Couchbase), CQL (Cassandra), Gremlin, SPARQL, Flux (InfluxDB), ReQL (RethinkDB), OData, PartiQL and conditions of
//! DynamoDB, Lucene's syntax (Elasticsearch, Solr).

use super::{
    Best, Class, Kind, Text, contains, is_word, places,
    scan::{Scan, bytes, words},
    store_code::{Left, cut, left},
};

/// What is longer is documentation of such a language.
const LONGEST: usize = 512;

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    let marked = text.scan.byte(bytes::QUOTE | bytes::BACKTICK | bytes::PAREN | bytes::BRACE | bytes::STAR);
    if text.kind == Kind::Name || lower.len() > LONGEST || !marked && !text.scan.word(words::STORE) {
        return;
    }
    let start = super::trim_start(lower);
    let quoted = text.scan.byte(bytes::QUOTE | bytes::BACKTICK);
    let found = quoted.then(|| left(start)).flatten().is_some_and(|left| {
        clause_behind(&left)
            || statement(&left)
            || traversal(&left)
            || triples(&left)
            || piped(&left)
            || compared(left.tail)
    });
    let catalogued = || text.scan.word(words::CATALOGUE) && (catalogue(start) || condition(start));
    if found || bare(start) || catalogued() {
        best.add(Class::NoSql, "nosql-clause", 75);
        return;
    }
    if lucene(text.raw.trim_ascii(), text.scan, best) {
        best.add(Class::NoSql, "nosql-lucene", 70);
    }
}

/// The word that a text begins with, and what stands behind it and white space.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().take(32).take_while(|byte| is_word(**byte)).count();
    (&text[..length], super::trim_start(&text[length..]))
}

/// What a clause needs to be one of a query, and no word of a sentence or of code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clause {
    /// Nothing more.
    Certain,
    /// What follows the value is cut off.
    Cut,
    No,
}

/// The clause that a text begins with.
fn clause(text: &[u8]) -> Clause {
    let (first, rest) = word(text);
    let (second, third) = word(rest);
    let node = rest.starts_with(b"(") && rest.contains(&b')');
    let cut = |is| if is { Clause::Cut } else { Clause::No };
    let certain = |is| if is { Clause::Certain } else { Clause::No };
    match first {
        b"match" | b"merge" if node => Clause::Certain,
        b"create" => certain(node && rest[1..].starts_with(b":")),
        b"optional" => certain(second == b"match" && third.starts_with(b"(")),
        b"call" => certain(rest.starts_with(b"{") || procedure(rest)),
        b"load" => certain(second == b"csv"),
        b"detach" => certain(second == b"delete"),
        b"foreach" => certain(rest.starts_with(b"(") && contains(rest, b" in ") && rest.contains(&b'|')),
        b"show" => cut(!second.is_empty()),
        b"exists" => certain(rest.starts_with(b"{") && contains(rest, b"match")),
        b"unwind" => certain(contains(rest, b" as ")),
        b"with" => cut(contains(rest, b" as ")),
        b"return" | b"delete" | b"yield" => cut(!rest.is_empty()),
        b"set" => cut(rest.contains(&b'=')),
        b"union" => {
            let behind = if second == b"all" { third } else { rest };
            let joined = matches!(word(behind).0, b"return" | b"for" | b"traverse" | b"call");
            if joined { Clause::Cut } else { clause_of_union(behind) }
        }
        b"for" => cut(word(third).0 == b"in" || third.starts_with(b"in ")),
        b"let" => cut(third.starts_with(b"=")),
        b"remove" | b"upsert" | b"filter" | b"sort" | b"limit" | b"collect" => {
            cut(!second.is_empty() || rest.starts_with(b"{"))
        }
        b"update" | b"replace" => cut(third.starts_with(b"with ") || third.starts_with(b"in ")),
        b"insert" => cut(rest.starts_with(b"{")),
        b"allow" => certain(second == b"filtering"),
        b"using" => {
            certain(matches!(second, b"ttl" | b"timestamp") && third.first().is_some_and(u8::is_ascii_digit))
        }
        b"apply" => certain(second == b"batch"),
        b"traverse" | b"fetch" | b"start" => cut(contains(rest, b" from ") || contains(rest, b"* from")),
        _ => Clause::No,
    }
}

fn clause_of_union(text: &[u8]) -> Clause {
    let (first, rest) = word(text);
    if first == b"match" && rest.starts_with(b"(") { Clause::Certain } else { Clause::No }
}

/// `db.labels(`, `apoc.load.json(`: a procedure within its name space.
fn procedure(text: &[u8]) -> bool {
    let length = text.iter().take(64).take_while(|byte| is_word(**byte) || **byte == b'.').count();
    let spaces = [&b"db."[..], b"dbms.", b"apoc.", b"gds.", b"tx.", b"jwt.", b"custom."];
    spaces.iter().any(|space| text.starts_with(space))
        && (text[length..].starts_with(b"(") || length == text.len())
}

/// A clause behind what was left, perhaps behind a condition that is joined to it.
fn clause_behind(left: &Left<'_>) -> bool {
    let holds = |clause| match clause {
        Clause::Certain => true,
        Clause::Cut => cut(left.tail.trim_ascii_end()),
        Clause::No => false,
    };
    let tail = super::trim_start(left.tail.strip_prefix(b";").unwrap_or(left.tail));
    if holds(clause(tail)) {
        return true;
    }
    let Some(rest) = joined(tail) else { return false };
    // The operand, and the clause behind it.
    let operand = rest.iter().take(48).position(|byte| *byte <= b' ');
    operand.is_some_and(|end| holds(clause(super::trim_start(&rest[end..])))) || holds(clause(rest))
}

/// What stands behind `or`, `and`, `||` or `&&`.
fn joined(text: &[u8]) -> Option<&[u8]> {
    let rest = [&b"||"[..], b"&&"].iter().find_map(|operator| text.strip_prefix(*operator));
    let (first, behind) = word(text);
    rest.map(super::trim_start).or_else(|| matches!(first, b"or" | b"and").then_some(behind))
}

/// First words of statements, of all these languages.
const STATEMENTS: [&[u8]; 28] = [
    b"select",
    b"insert",
    b"update",
    b"delete",
    b"drop",
    b"truncate",
    b"grant",
    b"revoke",
    b"alter",
    b"create",
    b"define",
    b"remove",
    b"info",
    b"show",
    b"batch",
    b"apply",
    b"relate",
    b"traverse",
    b"upsert",
    b"load",
    b"clear",
    b"list",
    b"describe",
    b"move",
    b"match",
    b"call",
    b"begin",
    b"kill",
];

/// `'; TRUNCATE users; --`: another statement, and what cuts off the rest.
fn statement(left: &Left<'_>) -> bool {
    let Some(rest) = left.tail.strip_prefix(b";").map(super::trim_start) else { return false };
    let (first, rest) = word(rest);
    STATEMENTS.contains(&first)
        && (rest
            .first()
            .is_some_and(|byte| is_word(*byte) || matches!(byte, b'*' | b'"' | b'`' | b'(' | b';'))
            && cut(left.tail.trim_ascii_end())
            || first == b"update" && contains(rest, b" set ") && rest.contains(&b'='))
}

/// Steps of Gremlin that nothing else has as a method, and terms of ReQL: `').hasLabel('user').valueMap() //`, `'); r.db('a').table('b')`.
fn traversal(left: &Left<'_>) -> bool {
    let tail = super::trim_start(left.tail.strip_prefix(b";").unwrap_or(left.tail));
    let steps = [
        &b".v("[..],
        b".e(",
        b".haslabel(",
        b".valuemap(",
        b".elementmap(",
        b".addv(",
        b".adde(",
        b".iterate()",
        b".tolist()",
        b".drop()",
        b"(__.",
        b"g.v(",
        b"g.e(",
    ];
    let gremlin = (tail.starts_with(b".") && left.closed || tail.starts_with(b"g."))
        && steps.iter().any(|step| contains(tail, step))
        && (left.ends() || tail.trim_ascii_end().ends_with(b")"));
    gremlin || (left.closed || left.tail.starts_with(b";")) && rethink(tail)
}

/// A query of ReQL's: `r.db('a').table('b')`, `r.js('…')`.
fn rethink(text: &[u8]) -> bool {
    let Some(term) = text.strip_prefix(b"r.") else { return false };
    let quoted = |name: &[u8]| {
        term.strip_prefix(name).and_then(<[u8]>::first).is_some_and(|byte| matches!(byte, b'\'' | b'"'))
    };
    quoted(b"js(") || (quoted(b"db(") || quoted(b"table(")) && places(term, b").").next().is_some()
}

/// SPARQL: a triple of variables behind a literal or an IRI, or a group that is closed and followed by another.
fn triples(left: &Left<'_>) -> bool {
    let pattern = |rest: &[u8]| {
        let variables = memchr::memchr_iter(b'?', rest)
            .filter(|at| rest.get(at + 1).is_some_and(u8::is_ascii_alphabetic));
        variables.take(2).count() >= 2
    };
    if let Some(rest) = left.tail.strip_prefix(b".") {
        return super::trim_start(rest).starts_with(b"?") && pattern(rest);
    }
    let (first, rest) = word(left.tail);
    left.closed
        && matches!(first, b"union" | b"optional" | b"minus" | b"service")
        && rest.starts_with(b"{")
        && rest.contains(&b'?')
}

/// Flux: `") |> to(bucket: "b") //`.
fn piped(left: &Left<'_>) -> bool {
    let piped = [
        &b"|> range("[..],
        b"|> yield(",
        b"|> to(",
        b"|> filter(",
        b"|> map(",
        b"|> drop(",
        b"|> limit(",
        b"|> group(",
    ];
    contains(left.tail, b"|>")
        && (left.closed || joined(left.tail).is_some())
        && piped.iter().any(|function| contains(left.tail, function))
        && cut(left.tail.trim_ascii_end())
}

/// OData: `' or 1 eq 1 or '1' eq '2`, `' or startswith(Password,'a')`.
fn compared(tail: &[u8]) -> bool {
    let Some(rest) = joined(tail) else { return false };
    let rest = rest.strip_prefix(b"not ").unwrap_or(rest);
    let functions =
        [&b"startswith("[..], b"endswith(", b"substringof(", b"contains(", b"indexof(", b"length("];
    if functions.iter().any(|function| rest.starts_with(function)) && rest.contains(&b',') {
        return true;
    }
    let length = rest
        .iter()
        .take(48)
        .take_while(|byte| is_word(**byte) || matches!(byte, b'\'' | b'/' | b'.' | b'(' | b')'))
        .count();
    let (operator, behind) = word(super::trim_start(&rest[length..]));
    length > 0 && matches!(operator, b"eq" | b"ne" | b"gt" | b"ge" | b"lt" | b"le") && !behind.is_empty()
}

/// Without a quote: behind a number, or a call that a value is as a whole.
fn bare(start: &[u8]) -> bool {
    let number = start.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = super::trim_start(&start[number..]);
    if number > 0 {
        let (first, behind) = word(rest);
        let document = first == b"return" && behind.starts_with(b"document(");
        return document
            || clause(rest) == Clause::Certain
            || joined(rest).is_some_and(|rest| clause(rest) == Clause::Certain)
            || compared(rest);
    }
    if let Some(call) = rest.strip_prefix(b"call ") {
        return procedure(super::trim_start(call));
    }
    // A name in backticks, or an IRI, that is left by its own sign.
    if let Some(behind) = rest.strip_prefix(b">").map(super::trim_start) {
        let none = Left { quote: b'>', tail: behind, closed: false, brace: false };
        return triples(&none);
    }
    rethink(rest) || rest.starts_with(b"g.v(") && places(rest, b").").next().is_some()
}

/// Names of what a server keeps about itself, behind a string that was left, or in a statement.
const CATALOGUES: [&[u8]; 14] = [
    b"system:keyspaces",
    b"system:user_info",
    b"system:my_user_info",
    b"system:indexes",
    b"system:namespaces",
    b"system:datastores",
    b"system:buckets",
    b"system_auth.",
    b"system_schema.",
    b"from ouser",
    b"from orole",
    b"from ofunction",
    b"meta().id",
    b"influxdata/influxdb/secrets",
];

fn catalogue(start: &[u8]) -> bool {
    let stated = start.starts_with(b"select ") || start.starts_with(b"import ");
    let behind =
        || left(start).is_some_and(|left| joined(left.tail).is_some() || left.tail.starts_with(b";"));
    let joined_in = || {
        left(start).is_some_and(|left| {
            matches!(word(left.tail).0, b"union" | b"and" | b"or" | b"intersect" | b"except")
        })
    };
    let metadata = places(start, b"meta(").any(|at| contains(&start[at..start.len().min(at + 32)], b").id"));
    let named = CATALOGUES.iter().any(|name| contains(start, name));
    named && (stated || behind() || joined_in()) || metadata && (behind() || joined_in())
}

/// A condition of DynamoDB's that is joined to another.
fn condition(start: &[u8]) -> bool {
    let functions =
        [&b"attribute_exists("[..], b"attribute_not_exists(", b"attribute_type(", b"begins_with("];
    functions.iter().any(|function| {
        places(start, function).take(4).any(|at| {
            let before = start[..at].trim_ascii_end();
            let before = before.strip_suffix(b"not").map_or(before, <[u8]>::trim_ascii_end);
            // An expression as clients write it compares `#names`, too, or joins by `and`.
            (before.ends_with(b" or") || before.ends_with(b"'or")) && !start.contains(&b'#')
                || left(start).is_some() && before.ends_with(b"and")
        })
    })
}

/// Parsers that Solr's local parameters name and that reach further than the query they stand in.
const PARSERS: [&[u8]; 10] = [
    b"xmlparser",
    b"dismax",
    b"edismax",
    b"join",
    b"parent",
    b"child",
    b"func",
    b"frange",
    b"graph",
    b"collapse",
];

/// Lucene's: a phrase or a group that is left and joined to another field, everything, and another parser.
fn lucene(raw: &[u8], scan: Scan, best: &Best) -> bool {
    if best.certain() {
        return false;
    }
    if scan.byte(bytes::BRACE)
        && let Some(at) = places(raw, b"{!").next()
    {
        let name = &raw[at + 2..];
        let length = name.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        let ends = matches!(name.get(length), Some(b' ' | b'}'));
        return ends
            && PARSERS.contains(&&name[..length])
            && (at == 0 || raw[..at].ends_with(b"\"") || raw[at - 1] <= b' ');
    }
    let colon = scan.byte(bytes::COLON);
    if colon && scan.byte(bytes::QUOTE) && contains(raw, b"_query_:\"") {
        return true;
    }
    if colon && scan.byte(bytes::STAR) {
        if contains(raw, b" OR *:*") || contains(raw, b"NOT *:*") || raw == b"*:*" {
            return true;
        }
        if contains(raw, b":[* TO *]") && (contains(raw, b" OR ") || contains(raw, b" AND ")) {
            return true;
        }
    }
    // What closes what the value did not open.
    let Some(at) = raw.iter().take(64).position(|byte| matches!(byte, b'"' | b')' | b'(')) else {
        return false;
    };
    if raw[at] == b'(' || raw[..at].iter().any(|byte| matches!(byte, b':' | b'\n' | b'{' | b'=' | b'\'')) {
        return false;
    }
    let rest = super::trim_start(&raw[at + 1..]);
    let joined =
        [&b"OR "[..], b"AND ", b"|| ", b"&& "].iter().find_map(|operator| rest.strip_prefix(*operator));
    joined.is_some_and(|rest| field(rest) || raw[at] == b')' && rest.starts_with(b"(") && field(&rest[1..]))
}

/// `name:value`, `+_exists_:name`, and no second colon behind it.
fn field(text: &[u8]) -> bool {
    let text = super::trim_start(text);
    let text = text.strip_prefix(b"NOT ").unwrap_or(text);
    let text = match text.first() {
        Some(b'+' | b'-' | b'!') => &text[1..],
        _ => text,
    };
    let length = text.iter().take_while(|byte| is_word(**byte) || **byte == b'.').count();
    let value = text[length..].strip_prefix(b":");
    length > 0 && value.is_some_and(|value| value.first().is_some_and(|byte| *byte > b' ' && *byte != b':'))
        || text.starts_with(b"*:*")
        // A phrase with its slop, as long as any.
        || text.starts_with(b"\"") && contains(text, b"\"~")
}
