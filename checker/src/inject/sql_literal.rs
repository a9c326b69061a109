//! Conditions on literals alone, which tell a program nothing and an attacker whether they are read, and calls that are given text as a number.

use super::{
    Best,
    sql::add,
    sql_condition::Tokens,
    sql_token::{Kind, Word},
};

/// Longer values have other things in them.
const SHORT: usize = 128;
/// What compares texts by patterns in SQL, and in no other language by this word between two strings.
const PATTERNS: [&[u8]; 5] = [b"rlike", b"regexp", b"glob", b"ilike", b"like"];

/// A value that stands in a statement without quotes around it.
pub(super) fn bare(tokens: Tokens<'_>, best: &mut Best) {
    if tokens.text.len() > SHORT {
        return;
    }
    if compares_numbers(tokens) {
        add(best, "sql-constant", 65);
    }
    // 1 and bit_and(1), 1 and true
    if tokens.is(0, Kind::Number) && tokens.is_or(1) && matches!(tokens.kind(1), Some(Kind::Word(_))) {
        let open = matches!(tokens.kind(2), Some(Kind::Word(_))) && tokens.is(3, Kind::Left);
        let call = open && given(tokens, 3) && tokens.ends(tokens.all[3].behind as usize);
        let truth = matches!(tokens.bytes(2), b"true" | b"false" | b"null") && tokens.ends(3);
        if call || truth {
            add(best, "sql-condition", 70);
        }
    }
    // 1-sleep(5), 2*if(1,1,0)
    let waits = || {
        matches!(
            tokens.bytes(2),
            b"sleep"
                | b"pg_sleep"
                | b"benchmark"
                | b"if"
                | b"iif"
                | b"extractvalue"
                | b"updatexml"
                | b"randomblob"
        )
    };
    if tokens.is(0, Kind::Number)
        && tokens.is(1, Kind::Arithmetic)
        && tokens.is(3, Kind::Left)
        && waits()
        && tokens.is(4, Kind::Number)
    {
        add(best, "sql-expression", 70);
    }
    // concat(0x61,0x62)
    let spelled = || {
        matches!(
            tokens.bytes(0),
            b"concat"
                | b"concat_ws"
                | b"char"
                | b"ascii"
                | b"load_file"
                | b"convert"
                | b"cast"
                | b"group_concat"
        )
    };
    if tokens.is(1, Kind::Left)
        && spelled()
        && tokens.bytes(2).starts_with(b"0x")
        && tokens.bytes(2).len() >= 4
    {
        add(best, "sql-call", 65);
    }
}

/// A value that closes the string it stands in.
pub(super) fn quoted(tokens: Tokens<'_>, best: &mut Best) {
    let (text, last) = (tokens.text, tokens.all.len());
    if text.len() > SHORT || last < 3 || tokens.bytes(0).len() > 16 {
        return;
    }
    let named = tokens.bytes(0)[..tokens.bytes(0).len() - 1]
        .iter()
        .all(|byte| super::is_word(*byte) || *byte == b'%');
    let commented = tokens.is(last - 1, Kind::Comment);
    // x' rlike 'y
    let not = usize::from(tokens.word(1, Word::Not));
    let single = tokens.bytes(0).ends_with(b"'");
    if named
        && single
        && PATTERNS[..4 + not].contains(&tokens.bytes(1 + not))
        && tokens.is(tokens.signs(2 + not), Kind::Open)
        && last == tokens.signs(2 + not) + 1
    {
        add(best, "sql-pattern", 70);
    }
    // x' oorr 1=1 --: what is left of a word when a filter has taken another out of it.
    if named
        && matches!(tokens.kind(1), Some(Kind::Word(_)))
        && tokens.is(2, Kind::Number)
        && tokens.bytes(3) == b"="
        && tokens.bytes(4) == tokens.bytes(2)
        && commented
        && last <= 7
    {
        add(best, "sql-tautology", 70);
    }
    // x' or 1 limit 1 --
    let goes_on = matches!(
        tokens.kind(3),
        Some(Kind::Word(Word::Limit | Word::Order | Word::Group | Word::Having | Word::Union))
    );
    if named && tokens.is_or(1) && tokens.is_literal(2) && goes_on && commented {
        add(best, "sql-condition", 75);
    }
}

/// Whether the whole value compares numbers by what only SQL has: `1 is not null`, `1 <=> 1`, `1 between 1 and 2`, `(1)=(1)`.
fn compares_numbers(tokens: Tokens<'_>) -> bool {
    // The place behind a number, in parentheses or not.
    let number = |at: usize| {
        if tokens.is(at, Kind::Number) {
            return Some((at + 1, false));
        }
        if !tokens.is(at, Kind::Left) {
            return None;
        }
        let inner = tokens.signs(at + 1);
        let literal = matches!(tokens.kind(inner), Some(Kind::Number | Kind::Word(Word::Literal)));
        (tokens.is(at, Kind::Left) && literal && tokens.is(inner + 1, Kind::Right))
            .then_some((inner + 2, true))
    };
    let Some((operator, wrapped)) = number(0) else { return false };
    let not = usize::from(tokens.bytes(operator) == b"not");
    let word = tokens.bytes(operator + not);
    let next = operator + not + 1;
    let end = |at: usize| tokens.all.len() == at;
    match word {
        b"is" => {
            let not = usize::from(tokens.bytes(next) == b"not");
            matches!(tokens.bytes(next + not), b"null" | b"true" | b"false") && end(next + not + 1)
        }
        b"<=>" | b"regexp" | b"rlike" | b"like" | b"glob" => {
            number(next).is_some_and(|(behind, _)| end(behind))
        }
        b"between" => number(next).is_some_and(|(and, _)| {
            tokens.bytes(and) == b"and" && number(and + 1).is_some_and(|(behind, _)| end(behind))
        }),
        b"in" => {
            not == 1 && tokens.is(next, Kind::Left) && number(next).is_some_and(|(behind, _)| end(behind))
        }
        b"=" | b"<>" | b"!=" | b"<" | b">" | b"<=" | b">=" | b"or" | b"and" | b"xor" | b"||" | b"&&" => {
            wrapped && number(next).is_some_and(|(behind, second)| second && end(behind))
        }
        _ => false,
    }
}

/// Whether a call is given a literal or another call: `(s)` as in "or more(s)" is neither.
fn given(tokens: Tokens<'_>, open: usize) -> bool {
    let behind = tokens.all.get(open).map_or(0, |token| token.behind as usize);
    (open + 1..behind).any(|at| matches!(tokens.kind(at), Some(Kind::Number | Kind::String | Kind::Left)))
}

#[cfg(test)]
mod tests {
    use super::super::{Class, Detector, Kind as Place, Scratch};

    fn found(value: &str) -> Option<Class> {
        Detector::shared().judge(value, Place::Value, &mut Scratch::default()).map(|finding| finding.class)
    }

    #[test]
    fn conditions_on_literals_are_told_from_lists_and_sentences() {
        for attack in [
            "1 is not null",
            "1 <=> 1",
            "1 between 1 and 2",
            "1 not in (2)",
            "(1)=(1)",
            "(1)or(1)",
            "1 and true",
            "1 and bit_and(1)",
            "1 and like('a',upper(hex(randomblob(9))))",
            "1-sleep(5)",
            "2*if(1,1,0)",
            "concat(0x61,0x62)",
            "' rlike '.*",
            "x' not like 'y",
            "' oorr 1=1--",
            "' or 1 limit 1--",
        ] {
            assert_eq!(found(attack), Some(Class::Sql), "{attack}");
        }
        for benign in [
            "1 or more(s)",
            "1 and 2",
            "1 between friends",
            "3 is nothing",
            "2*max(a)",
            "100-size(x)",
            "char(20)",
            "concat(a, b)",
            "it's one 1=1",
            "1 and null values",
        ] {
            assert_eq!(found(benign), None, "{benign}");
        }
    }
}
