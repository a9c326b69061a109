//! Short values that go on with an expression of SQL up to their end: read by its grammar, operand by operand.

use super::{
    Best,
    sql::add,
    sql_condition::Tokens,
    sql_function,
    sql_token::{Kind, Word, is_empty_comment},
};

/// Longer values have other things in them.
const SHORT: usize = 96;
/// Words that compare, and that sentences do not have between two others.
const PATTERNS: [&[u8]; 4] = [b"regexp", b"rlike", b"glob", b"ilike"];

/// What an expression has beside names.
#[derive(Clone, Copy, Default)]
struct Seen {
    operators: usize,
    /// An operator other than `+`, by which programs join strings.
    other: bool,
    compared: bool,
    /// `and`, `or` or `xor`.
    joined: bool,
    /// A number, a variable, NULL or a call of a function of SQL's.
    solid: bool,
    /// A call of any function.
    called: bool,
    /// A comparison by what no sentence compares with: `regexp`, `glob`, `notnull`, …
    pattern: bool,
}

/// What an expression ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Text,
    /// A comment with nothing in it.
    Cut,
    /// A comment with a text.
    Comment,
    /// A semicolon, and nothing or a quote behind it.
    Statement,
    /// A string that what stands behind the value closes.
    Reopened,
}

/// A value that closes the string it stands in.
pub(super) fn quoted(tokens: Tokens<'_>, best: &mut Best) {
    let before = tokens.bytes(0);
    let Some((quote, lead)) = before.split_last() else { return };
    let entered = lead.len() <= 40
        && lead.iter().filter(|byte| **byte == b' ').count() <= 1
        && lead.iter().all(|byte| super::is_word(*byte) || b" -.%\\@+".contains(byte));
    // A word and a space before a quote open a string: `select 'and'`. Brackets are of other grammars.
    let opens = lead.len() > 3 && lead.ends_with(b" ");
    let other = || tokens.text.iter().any(|byte| matches!(byte, b'[' | b']' | b'{' | b'}'));
    if tokens.text.len() > SHORT || !entered || opens || other() {
        return;
    }
    let Some((seen, end)) = expression(tokens, tokens.skip_right(1)) else { return };
    let double = *quote == b'"';
    let closed = tokens.is(1, Kind::Right);
    let found = match end {
        End::Cut => seen.other || seen.solid,
        End::Comment => seen.solid && (seen.compared || seen.joined) && lead.len() <= 8,
        End::Reopened => seen.other && (seen.solid || seen.joined || seen.compared && !double),
        End::Text => {
            seen.joined
                && (seen.compared && seen.solid || seen.pattern || closed && (seen.compared || seen.called))
        }
        End::Statement => {
            seen.joined && (seen.compared || seen.called || seen.solid)
                || seen.pattern
                || seen.compared && seen.solid && !double
        }
    };
    if found {
        add(best, "sql-expression", 70);
    }
}

/// A value that stands in a statement without quotes around it, begins with a literal or a parenthesis, and cuts off the rest.
pub(super) fn bare(tokens: Tokens<'_>, best: &mut Best) {
    if tokens.text.len() > SHORT {
        return;
    }
    if tokens.all.len() <= 3 && sql_function::is_opened(tokens.text) {
        add(best, "sql-call", 65);
    }
    let first = tokens.kind(0);
    if first == Some(Kind::Left) {
        grouped(tokens, best);
    }
    // -1 * 1 --
    let signed = first == Some(Kind::Arithmetic)
        && tokens.is(1, Kind::Number)
        && tokens.all[0].end == tokens.all[1].start
        && matches!(tokens.bytes(0), b"-" | b"+" | b"~" | b"!");
    if !signed && !matches!(first, Some(Kind::Number | Kind::String | Kind::Left)) && !tokens.is_sql_call(0) {
        return;
    }
    let Some(behind) = tokens.operand(0) else { return };
    let called = tokens.is_sql_call(0) && tokens.is(behind, Kind::Comment);
    let cut = if called {
        behind + 1 == tokens.all.len() && is_empty_comment(tokens.bytes(behind))
    } else {
        expression(tokens, behind).is_some_and(|(seen, end)| end == End::Cut && (seen.solid || seen.compared))
    };
    // `#` is a number sign as well.
    let hash = tokens.all.last().is_some_and(|last| tokens.text[last.start as usize..].starts_with(b"#"));
    if cut && !hash {
        add(best, "sql-expression", 65);
    }
}

/// Parentheses around what only SQL has: `( binary cos( 'a' ) )`, `((1) or (1 or 1))`.
fn grouped(tokens: Tokens<'_>, best: &mut Best) {
    let ended = |at: usize| tokens.ends(at) || tokens.is(at, Kind::Semicolon) && at + 1 == tokens.all.len();
    if !tokens.operand(0).is_some_and(ended) {
        return;
    }
    let binary = (1..tokens.all.len()).any(|at| {
        tokens.bytes(at) == b"binary"
            && (tokens.is_literal(at + 1) || tokens.is(at + 1, Kind::Left) || tokens.is_call(at + 1))
    });
    let opened = tokens.all.iter().filter(|token| token.kind == Kind::Left).count();
    let literals = tokens.all.iter().all(|token| {
        matches!(
            token.kind,
            Kind::Left
                | Kind::Right
                | Kind::Number
                | Kind::Variable
                | Kind::Comment
                | Kind::Semicolon
                | Kind::Word(Word::Or | Word::And)
        )
    });
    let joined = tokens.all.iter().any(|token| matches!(token.kind, Kind::Word(Word::Or | Word::And)));
    if binary || literals && joined && opened >= 2 {
        add(best, "sql-expression", 65);
    }
}

/// An operator and an operand, as often as there are any, up to the end. `None` if anything else stands there.
fn expression(tokens: Tokens<'_>, from: usize) -> Option<(Seen, End)> {
    let (mut at, mut seen) = (from, Seen::default());
    let last = tokens.all.len();
    loop {
        at = tokens.skip_right(at);
        if at >= last {
            return (seen.operators > 0).then_some((seen, End::Text));
        }
        if tokens.is(at, Kind::Comment) && at + 1 == last {
            let end = if is_empty_comment(tokens.bytes(at)) { End::Cut } else { End::Comment };
            return (seen.operators > 0).then_some((seen, end));
        }
        if tokens.is(at, Kind::Semicolon) {
            let reopened = at + 2 == last && tokens.is(at + 1, Kind::Open) && tokens.bytes(at + 1).len() == 1;
            return (seen.operators > 0 && (at + 1 == last || reopened)).then_some((seen, End::Statement));
        }
        if matches!(tokens.kind(at), Some(Kind::Word(Word::Plain | Word::Function)))
            && matches!(tokens.bytes(at), b"notnull" | b"isnull")
            && !tokens.is(at + 1, Kind::Left)
        {
            seen.operators += 1;
            (seen.other, seen.compared, seen.pattern) = (true, true, true);
            at += 1;
            continue;
        }
        at = operator(tokens, at, &mut seen)?;
        let operand = tokens.skip_left(at);
        if tokens.is(operand, Kind::Open) && operand + 1 == last {
            let inner = tokens.bytes(operand);
            let short = inner.len() <= 12
                && inner.iter().skip(1).all(|byte| super::is_word(*byte) || matches!(byte, b'%' | b' '));
            let cut = inner[1..].trim_ascii_start();
            let cut = (cut.starts_with(b"--") || cut.starts_with(b"#")) && is_empty_comment(cut);
            return (short || cut).then_some((seen, End::Reopened));
        }
        // `a` < 0 and `, which the application closes.
        if operand + 1 == last && tokens.bytes(operand) == b"`" {
            return Some((seen, End::Reopened));
        }
        seen.called |= tokens.is_call(operand);
        seen.solid |=
            matches!(tokens.kind(operand), Some(Kind::Number | Kind::Variable | Kind::Word(Word::Literal)))
                || tokens.is_sql_call(operand);
        // glob (a, b): what compares is a function as well.
        at = if tokens.is(operand, Kind::Word(Word::Compare)) && tokens.is(operand + 1, Kind::Left) {
            seen.called = true;
            tokens.all[operand + 1].behind as usize
        } else {
            tokens.operand(at)?
        };
    }
}

/// Behind an operator, and what may stand between it and its operand.
fn operator(tokens: Tokens<'_>, at: usize, seen: &mut Seen) -> Option<usize> {
    let mut next = at + 1;
    match tokens.kind(at)? {
        Kind::Word(Word::And | Word::Or) => seen.joined = true,
        Kind::Bars | Kind::Ampersands => {}
        // A program's own.
        Kind::Compare if matches!(tokens.bytes(at), b"==" | b"=>") => return None,
        Kind::Compare => seen.compared = true,
        Kind::Word(Word::Compare | Word::Between | Word::Not) if tokens.is_compare(at) => {
            seen.compared = true;
            seen.pattern |= PATTERNS.contains(&tokens.bytes(at))
                || tokens.word(at, Word::Not) && PATTERNS.contains(&tokens.bytes(at + 1));
            while matches!(tokens.kind(next), Some(Kind::Word(Word::Compare | Word::Not)))
                && !tokens.is(next + 1, Kind::Left)
            {
                next += 1;
            }
        }
        // SQLite's, and what goes with a comparison
        Kind::Word(Word::Plain) if matches!(tokens.bytes(at), b"match" | b"collate" | b"escape") => {
            if seen.operators == 0 && tokens.bytes(at) == b"match" {
                return None;
            }
            seen.compared = true;
        }
        Kind::Arithmetic if matches!(tokens.bytes(at), b"!" | b"~" | b":=" | b"::") => return None,
        Kind::Arithmetic => {}
        _ => return None,
    }
    seen.operators += 1;
    seen.other |= tokens.bytes(at) != b"+";
    while tokens.is(next, Kind::Arithmetic) || tokens.word(next, Word::Not) {
        next += 1;
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::super::{Class, Detector, Kind, Scratch};

    fn is_sql(value: &str) -> bool {
        let finding = Detector::shared().judge(value, Kind::Value, &mut Scratch::default());
        finding.is_some_and(|finding| finding.class == Class::Sql)
    }

    #[test]
    fn expressions_that_go_on_to_the_end_of_a_value_are_told_from_texts() {
        for attack in [
            "x'|name--",
            "name' not like name--",
            "x'>b -- -",
            "7' div 2 > '1",
            "x' xor b is null --#",
            "3' between 1 and 4 or 1 sounds like binary '1 ",
            "upper(b) --",
            "2 <=> b --;--",
            "( binary sin( 'b' ) )",
            "((2) or ((1 or 3)))",
            "b\"))) rlike conv(7)#",
            "1'; handler b open; --",
            "1'; insert b values (1)--",
        ] {
            assert!(is_sql(attack), "{attack:?}");
        }
        for benign in [
            "select 'and'",
            "'<' [ number | string ] '>'",
            "it's - or so - the 'best",
            "5' - 6'",
            "'+name+'",
            "name' => 'x",
            "(1 or 2)",
            "(binary data)",
            "3 - 2",
            "sum of a - b -- and more",
            "the user's - well -- house",
            "C#",
            "count(x) # of things",
            "move it; use it",
            "a; explain the rest; kill the process",
        ] {
            assert!(!is_sql(benign), "{benign:?}");
        }
    }
}
