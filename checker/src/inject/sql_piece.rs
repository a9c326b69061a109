//! Short values that are a piece of a statement: its beginning or its middle, as no other language has it. What an application puts before
//! and behind it makes a statement of it.

use super::{
    Best, is_word,
    sql::add,
    sql_condition::{Strength, Tokens},
    sql_function, sql_rest,
    sql_token::{Kind, Word, is_empty_comment},
};

/// Longer values have other things in them.
const SHORT: usize = 96;
/// Operators that only PostgreSQL's, MySQL's and SQLite's JSON has.
const JSON: [&[u8]; 10] = [b"@>", b"<@", b"?|", b"?&", b"?", b"->", b"#>", b"#-", b"@?", b"::json"];

/// A value that stands in a statement without quotes around it.
pub(super) fn bare(tokens: Tokens<'_>, best: &mut Best) {
    let Some(first) = tokens.kind(0) else { return };
    if tokens.text.len() > SHORT {
        return;
    }
    let count = tokens.all.len();
    let last = count - 1;
    // Most values begin with a word, and few that have more than that are of these.
    if count >= 3 && first != Kind::Word(Word::Plain) {
        sql_rest::bare(tokens, best);
    }
    match first {
        Kind::Semicolon if stacked(tokens, 0) => add(best, "sql-stacked", 65),
        Kind::Number => {
            // 1.e.a: MySQL reads a name there. In a list of sections a space follows.
            let name = || tokens.text.get(tokens.all[1].end as usize).is_some_and(|byte| is_word(*byte));
            if tokens.is(1, Kind::Dot) && tokens.bytes(0).ends_with(b".e") && name() {
                add(best, "sql-number", 75);
            }
            // 1 union all
            if tokens.word(1, Word::Union) && tokens.word(2, Word::All) && tokens.ends(3) {
                add(best, "sql-union", 65);
            }
            compared_call(tokens, best);
            if tokens.is_or(1) {
                json(tokens, 2, best);
                column(tokens, 2, best);
            }
            // 1;drop a
            if tokens.is(1, Kind::Semicolon) && stacked(tokens, 1) {
                add(best, "sql-stacked", 65);
            }
        }
        Kind::Right if count <= 4 => {
            // ) like (
            let left = tokens.skip_right(0) + 1;
            let pattern = matches!(tokens.bytes(left - 1), b"like" | b"rlike" | b"regexp" | b"ilike");
            if pattern && tokens.is(left, Kind::Left) && left == last {
                add(best, "sql-open", 65);
            }
        }
        Kind::Left if count == 3 && tokens.word(1, Word::Case) && tokens.is(2, Kind::Left) => {
            add(best, "sql-open", 65);
        }
        Kind::String => json(tokens, 0, best),
        Kind::Arithmetic | Kind::Compare | Kind::Bars if tokens.is(1, Kind::String) => json(tokens, 1, best),
        // rlike sleep(5)
        Kind::Word(Word::Compare) if tokens.bytes(1) == b"sleep" && tokens.is(2, Kind::Left) => {
            add(best, "sql-wait", 70);
        }
        Kind::Word(Word::Or | Word::And) => joined(tokens, best),
        // having a=
        Kind::Word(Word::Having) if count >= 3 && tokens.is(last, Kind::Compare) => add(best, "sql-open", 70),
        Kind::Word(Word::From) if tokens.word(1, Word::Inner) && !tokens.is(2, Kind::Left) => {
            add(best, "sql-inner", 70);
        }
        // union all select from, union a select b from c
        Kind::Word(Word::Union)
            if tokens.word(2, Word::Select)
                && (tokens.word(1, Word::All) && tokens.word(3, Word::From)
                    || tokens.is(1, Kind::Word(Word::Plain)) && tokens.word(4, Word::From)) =>
        {
            add(best, "sql-union", 70);
        }
        Kind::Word(Word::Inner) => catalogue(tokens, best),
        Kind::Word(Word::Plain) if tokens.bytes(0) == b"match" => matched(tokens, best),
        // div(23,-2)
        Kind::Arithmetic if tokens.bytes(0) == b"div" && tokens.is(1, Kind::Left) => {
            let numbers = (2..last).all(|at| {
                matches!(tokens.kind(at), Some(Kind::Number | Kind::Comma))
                    || matches!(tokens.bytes(at), b"-" | b"+")
            });
            if numbers && tokens.is(last, Kind::Right) && (2..last).any(|at| tokens.is(at, Kind::Comma)) {
                add(best, "sql-call", 65);
            }
        }
        _ => {}
    }
    ended(tokens, best);
}

/// A value that begins as a statement does.
pub(super) fn statement(tokens: Tokens<'_>, best: &mut Best) {
    let last = tokens.all.len() - 1;
    // execute immediate 'x'
    if matches!(tokens.bytes(0), b"exec" | b"execute") {
        let asked = tokens.bytes(1) == b"immediate"
            && matches!(tokens.kind(2), Some(Kind::String | Kind::Open | Kind::Variable));
        let master = tokens.bytes(1) == b"master" && tokens.is(2, Kind::Dot);
        if asked || master {
            add(best, "sql-command", 75);
        }
    }
    if tokens.text.len() > SHORT {
        return;
    }
    if last <= 2 && sql_function::is_opened(tokens.text) {
        add(best, "sql-call", 65);
    }
    match tokens.bytes(0) {
        // if(1=: a program's condition compares by more than that.
        b"if" | b"iif"
            if last == 3
                && tokens.is(1, Kind::Left)
                && tokens.is(2, Kind::Number)
                && matches!(tokens.bytes(3), b"=" | b"<>" | b"<" | b">" | b"<=>") =>
        {
            add(best, "sql-open", 65);
        }
        // merge into a using (
        b"merge" if tokens.is(last, Kind::Left) && tokens.bytes(last - 1) == b"using" => {
            add(best, "sql-open", 65);
        }
        // create function f () -
        b"create"
            if matches!(tokens.bytes(1), b"function" | b"procedure")
                && tokens.is(3, Kind::Left)
                && tokens.is(4, Kind::Right)
                && last == 5
                && matches!(tokens.kind(5), Some(Kind::Arithmetic | Kind::Comment)) =>
        {
            add(best, "sql-open", 65);
        }
        // create function f returns string soname 'a.so': a library that the server loads.
        b"create" if (2..=last).any(|at| tokens.bytes(at) == b"soname") => add(best, "sql-file", 75),
        // select char(
        b"select" | b"load"
            if last == 2
                && tokens.is(2, Kind::Left)
                && matches!(
                    tokens.bytes(1),
                    b"char" | b"chr" | b"group_concat" | b"load_file" | b"unhex"
                ) =>
        {
            add(best, "sql-open", 65);
        }
        // select a from b --: whoever asks for that and nothing else has nothing to cut off.
        b"select" if last >= 2 && cuts_off(tokens, last) && tokens.is_selection(1) => {
            add(best, "sql-cut", 65);
        }
        // select if(a
        b"select" if last <= 3 && tokens.word(1, Word::If) && tokens.is(2, Kind::Left) => {
            add(best, "sql-open", 65);
        }
        _ => {}
    }
}

/// A value that closes the string it stands in.
pub(super) fn quoted(tokens: Tokens<'_>, best: &mut Best) {
    let count = tokens.all.len();
    if tokens.text.len() > SHORT {
        return;
    }
    let Some((quote, lead)) = tokens.bytes(0).split_last() else { return };
    // What begins with another word behind the quote than these is the rest of a sentence: it's.
    let begun = match tokens.kind(1) {
        Some(Kind::Word(Word::Plain)) => matches!(tokens.bytes(1), b"collate" | b"notnull" | b"escape"),
        behind => behind.is_some(),
    };
    if begun && lead.len() <= 40 {
        sql_rest::quoted(tokens, *quote, lead, best);
    }
    let value =
        |most| lead.len() <= most && lead.iter().all(|byte| is_word(*byte) || b"@.+-%\\".contains(byte));
    match tokens.kind(1) {
        // a';
        Some(Kind::Semicolon) if count == 2 && lead.len() > 1 && value(40) => add(best, "sql-closed", 65),
        Some(Kind::Semicolon) if stacked(tokens, 1) && value(16) => add(best, "sql-stacked", 70),
        Some(Kind::Word(Word::Or | Word::And)) if *quote == b'\'' && value(40) => {
            json(tokens, 2, best);
            column(tokens, 2, best);
        }
        // ' regexp a
        Some(Kind::Word(Word::Compare))
            if lead.is_empty()
                && matches!(tokens.bytes(1), b"regexp" | b"rlike")
                && (count == 2 || count == 3 && matches!(tokens.kind(2), Some(Kind::Word(_)))) =>
        {
            add(best, "sql-pattern", 65);
        }
        // ' union all a, and no name in quotes
        Some(Kind::Word(Word::Union))
            if value(8)
                && tokens.word(2, Word::All)
                && count == 4
                && matches!(tokens.kind(3), Some(Kind::Word(_))) =>
        {
            add(best, "sql-union", 65);
        }
        // ' having a=
        Some(Kind::Word(Word::Having)) if value(8) && count >= 4 && tokens.is(count - 1, Kind::Compare) => {
            add(best, "sql-open", 65);
        }
        // ' select a from b
        Some(Kind::Word(Word::Select)) if value(16) && tokens.word(3, Word::From) && count <= 7 => {
            add(best, "sql-stacked", 65);
        }
        // ' exec master..a
        Some(Kind::Word(Word::Statement))
            if value(16)
                && matches!(tokens.bytes(1), b"exec" | b"execute")
                && tokens.bytes(2) == b"master"
                && tokens.is(3, Kind::Dot) =>
        {
            add(best, "sql-command", 75);
        }
        // ' a and 1=1: a name for what stands before
        Some(Kind::Word(Word::Plain))
            if value(8)
                && tokens.is_or(2)
                && tokens.is(tokens.signs(tokens.skip_left(3)), Kind::Number)
                && tokens.condition(3) == Strength::Strong =>
        {
            add(best, "sql-condition", 70);
        }
        // ') select sleep(5)
        Some(Kind::Right) if value(8) => {
            let at = tokens.skip_right(1);
            if tokens.word(at, Word::Select)
                && tokens.bytes(at + 1) == b"sleep"
                && tokens.is(at + 2, Kind::Left)
            {
                add(best, "sql-wait", 75);
            }
        }
        // ' as a from b
        Some(Kind::Word(Word::As)) if value(8) && tokens.word(3, Word::From) => add(best, "sql-union", 65),
        // {"a":1}' @> '{"a":1}
        Some(Kind::Variable | Kind::Compare) if matches!(lead.last(), Some(b'}' | b']')) => {
            let rest = &tokens.text[tokens.all[1].start as usize..];
            let rest = rest.strip_prefix(b"@>").or_else(|| rest.strip_prefix(b"<@"));
            if rest.is_some_and(|rest| matches!(rest.trim_ascii_start(), [b'\'', b'{' | b'[', ..])) {
                add(best, "sql-json", 70);
            }
        }
        _ => {}
    }
}

/// Whether a statement, or a piece of one, follows the semicolon at `at`: `; drop a`, `; a: goto b`, `; execute immediate 'a'`.
fn stacked(tokens: Tokens<'_>, at: usize) -> bool {
    let verb = matches!(
        tokens.bytes(at + 1),
        b"desc"
            | b"describe"
            | b"insert"
            | b"rename"
            | b"alter"
            | b"select"
            | b"drop"
            | b"delete"
            | b"create"
            | b"declare"
            | b"load"
            | b"update"
            | b"merge"
            | b"open"
    );
    let named = matches!(tokens.kind(at + 2), Some(Kind::Word(_) | Kind::Variable | Kind::Number));
    // A program's lines have semicolons, too.
    let line = |found: bool| found && !tokens.text.contains(&b'\n');
    line(
        verb && named && tokens.all.len() <= at + 5
            || tokens.bytes(at + 2) == b":" && tokens.bytes(at + 3) == b"goto"
            || tokens.bytes(at + 1) == b"execute" && tokens.bytes(at + 2) == b"immediate"
            || matches!(tokens.bytes(at + 1), b"if" | b"benchmark")
                && tokens.is(at + 2, Kind::Left)
                && tokens.is(at + 3, Kind::Number),
    )
}

/// The end of a query that a value leaves: `,3,4--`, `a,b from c/*`, `delay '0:0:5'--`, `( 'a' or 1 ) ) --`.
fn ended(tokens: Tokens<'_>, best: &mut Best) {
    let last = tokens.all.len() - 1;
    if last < 2 || !cuts_off(tokens, last) {
        return;
    }
    let commas = tokens.all.iter().filter(|token| token.kind == Kind::Comma).count();
    if commas >= 2 && columns(tokens, last) {
        add(best, "sql-comment", 65);
    }
    if commas >= 1
        && last >= 4
        && tokens.word(last - 2, Word::From)
        && matches!(tokens.kind(last - 1), Some(Kind::Word(_)))
    {
        add(best, "sql-cut", 70);
    }
    let open = tokens.is(0, Kind::Left) && tokens.is(last - 1, Kind::Right);
    let beyond =
        open && tokens.operand(0).is_some_and(|behind| behind < last && tokens.skip_right(behind) == last);
    if beyond && (1..last).any(|at| matches!(tokens.kind(at), Some(Kind::String | Kind::Variable))) {
        add(best, "sql-comment", 65);
    }
    if tokens.bytes(0) == b"delay" && tokens.is(1, Kind::String) {
        add(best, "sql-wait", 70);
    }
}

/// Whether what stands before `last` is a list of columns, numbers and calls among them, and no enumeration: that has words in a row.
fn columns(tokens: Tokens<'_>, last: usize) -> bool {
    let clause =
        |at: usize| matches!(tokens.kind(at), Some(Kind::Word(Word::From | Word::Limit | Word::Where)));
    let word = |at: usize| matches!(tokens.kind(at), Some(Kind::Word(_))) && !clause(at);
    let simple = (0..last).all(|at| {
        matches!(
            tokens.kind(at),
            Some(
                Kind::Comma
                    | Kind::Number
                    | Kind::Left
                    | Kind::Right
                    | Kind::Dot
                    | Kind::Variable
                    | Kind::Word(_)
            )
        ) && !(word(at) && word(at + 1))
    });
    simple && (0..last).any(|at| tokens.is(at, Kind::Number) || tokens.is_sql_call(at))
}

/// Whether the token at `last` is a comment that cuts off the rest, and none that settings have.
fn cuts_off(tokens: Tokens<'_>, last: usize) -> bool {
    let comment = tokens.bytes(last);
    tokens.is(last, Kind::Comment) && !comment.starts_with(b"#") && is_empty_comment(comment)
}

/// What joins a condition on JSON: `or json_valid('[1]')`, `or a->>'b'='c'`.
fn joined(tokens: Tokens<'_>, best: &mut Best) {
    let name = tokens.bytes(1);
    let of_json = name.starts_with(b"json_") || name.starts_with(b"jsonb_");
    if of_json
        && tokens.is(2, Kind::Left)
        && (tokens.is(3, Kind::String) || tokens.bytes(5).starts_with(b"'$"))
    {
        add(best, "sql-json", 70);
    }
    if tokens.is(1, Kind::String) {
        json(tokens, 1, best);
    }
    // or json_keys(5)#
    let behind = || tokens.operand(1).map(|behind| tokens.skip_right(behind));
    if (of_json || tokens.is_sql_call(1))
        && tokens.is_literal(3)
        && behind().is_some_and(|behind| tokens.is(behind, Kind::Comment) && behind + 1 == tokens.all.len())
    {
        add(best, "sql-condition", 70);
    }
    column(tokens, 1, best);
}

/// A column of JSON and what it holds: `a->>'b'`, `a @> '{}'`.
fn column(tokens: Tokens<'_>, at: usize, best: &mut Best) {
    if !tokens.is(at, Kind::Word(Word::Plain)) {
        return;
    }
    let rest = tokens.text[tokens.all[at].end as usize..].trim_ascii_start();
    let operators = [&b"->>"[..], b"->", b"@>"];
    let rest = operators.iter().find_map(|operator| rest.strip_prefix(*operator));
    if rest.map(<[u8]>::trim_ascii_start).is_some_and(|rest| rest.starts_with(b"'")) {
        add(best, "sql-json", 70);
    }
}

/// An object or a list of JSON in a string, and an operator that only SQL has for it.
fn json(tokens: Tokens<'_>, at: usize, best: &mut Best) {
    let text = tokens.bytes(at);
    // What programs fill in stands in such brackets as well: '{name}'.
    let document = match text {
        [b'\'' | b'"', b'{', next, ..] => matches!(next, b'"' | b'\'' | b'\\' | b'}'),
        [b'\'' | b'"', b'[', next, ..] => next.is_ascii_digit() || matches!(next, b'"' | b']' | b'{'),
        _ => false,
    };
    if !document || text.first() != text.last() {
        return;
    }
    let rest = tokens.text[tokens.all[at].end as usize..].trim_ascii_start();
    if JSON.iter().any(|operator| rest.starts_with(operator)) {
        add(best, "sql-json", 70);
    }
}

/// A number compared with what a function of SQL's gives: `1 rlike round(5)`, `1 like md5(1) or '1`.
fn compared_call(tokens: Tokens<'_>, best: &mut Best) {
    let called = tokens.word(1, Word::Compare)
        && !matches!(tokens.bytes(1), b"in" | b"is")
        && matches!(tokens.kind(2), Some(Kind::Word(_)))
        && tokens.is(3, Kind::Left)
        && tokens.is_literal(4);
    if called && tokens.operand(2).is_some_and(|behind| tokens.ends(behind) || tokens.is_or(behind)) {
        add(best, "sql-pattern", 70);
    }
}

/// The name of what a server keeps about itself, alone: in the place of a table or of a schema it is all that an attacker writes.
fn catalogue(tokens: Tokens<'_>, best: &mut Best) {
    if tokens.bytes(0) == b"information_schema" && tokens.name(0) == tokens.all.len() {
        add(best, "sql-inner", 62);
    }
}

/// `match(a) against (`
fn matched(tokens: Tokens<'_>, best: &mut Best) {
    let behind = if tokens.is(1, Kind::Left) { tokens.all[1].behind as usize } else { 1 };
    if tokens.bytes(behind) == b"against" && tokens.is(behind + 1, Kind::Left) {
        add(best, "sql-condition", 65);
    }
}

/// A comment of MySQL's that it reads if it is new enough: `/*!50000…`, `/*!or*/`. Comments of scripts that are kept begin a text.
pub(super) fn conditional(text: &[u8], best: &mut Best) {
    if text.len() > SHORT {
        return;
    }
    let Some(at) = super::find(text, b"/*!") else { return };
    let rest = &text[at + 3..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let word = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let read = [&b"or"[..], b"and", b"union", b"select", b"from", b"where", b"if", b"order", b"sleep"];
    let late = (1..=16).contains(&at) && super::contains(rest, b"*/");
    if late || (5..=6).contains(&digits) || read.contains(&&rest[..word]) {
        add(best, "sql-comment", 65);
    }
}

#[cfg(test)]
#[path = "sql_piece_tests.rs"]
mod tests;
