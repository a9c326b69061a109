//! SQL's tail: what follows the first operand, or the quote that closed a string.

use super::{
    Best,
    sql::add,
    sql_condition::{Strength, Tokens},
    sql_statement::stacked,
    sql_token::{Kind, Word, is_empty_comment},
};

/// What a tail follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    /// A quote that closes the string.
    Quote,
    /// A number or anything in parentheses.
    Number,
    /// A name or a word.
    Word,
    /// Nothing: the value begins so.
    None,
}

/// Before a quote, more than this is a text or code of its own, for rules that ask for little behind the quote.
const LONGEST_LEAD: usize = 64;

/// What follows the operand that a value begins with, or the quote that it closes its string with.
pub(super) fn tail(tokens: Tokens<'_>, at: usize, lead: Lead, best: &mut Best) {
    let quote = lead == Lead::Quote;
    match tokens.kind(at) {
        Some(Kind::Word(Word::And | Word::Or) | Kind::Bars | Kind::Ampersands) => {
            joined(tokens, at, lead, best);
        }
        Some(Kind::Comment) => comment(tokens, at, lead, best),
        Some(Kind::Word(Word::Compare))
            if lead != Lead::Word && tokens.bytes(at) == b"in" && tokens.bytes(at + 1) == b"boolean" =>
        {
            tail(tokens, tokens.skip_right(at + 3), Lead::Number, best);
        }
        Some(Kind::Compare | Kind::Word(Word::Compare | Word::Between | Word::Not))
            if tokens.is_compare(at) =>
        {
            compared(tokens, at, lead, best);
        }
        Some(Kind::Arithmetic) => arithmetic(tokens, at, lead, best),
        Some(Kind::Word(Word::Having | Word::Where)) => match tokens.condition(at + 1) {
            Strength::Strong => add(best, "sql-condition", 90),
            Strength::Some if quote => add(best, "sql-condition", 90),
            Strength::Weak
                if (quote || tokens.ends(at + 2) || tokens.bytes(at + 2) == b"for")
                    && tokens.is(at + 1, Kind::Number) =>
            {
                add(best, "sql-condition", if lead == Lead::Word { 40 } else { 80 });
            }
            _ => {}
        },
        Some(Kind::Word(Word::Order | Word::Group)) if tokens.word(at + 1, Word::By) => {
            // An 'order by' of a sentence about it has the rest of that behind it.
            let behind = tokens.operand(at + 2).filter(|_| !prose_string(tokens, at + 2));
            let simple = behind.is_some_and(|behind| {
                tokens.ends(behind) || tokens.is(behind, Kind::Comma) || tokens.word(behind, Word::Having)
            });
            if simple
                && (quote
                    || (lead != Lead::Word && tokens.is(tokens.signs(at + 2), Kind::Number))
                    || (behind.is_some_and(|behind| tokens.is(tokens.skip_right(behind), Kind::Comment))))
            {
                add(best, "sql-order", 80);
            }
        }
        Some(Kind::Word(Word::Limit))
            if tokens.is(at + 1, Kind::Number)
                && (quote || !tokens.ends(at + 2) && tokens.is(at + 2, Kind::Comma)) =>
        {
            add(best, "sql-limit", 70);
        }
        Some(Kind::Word(Word::Union)) if lead == Lead::Number && tokens.ends(at + 1) => {
            add(best, "sql-union", 65);
        }
        // x') union all
        Some(Kind::Word(Word::Union))
            if quote
                && tokens.bytes(0).len() <= 8
                && (at > 1 || tokens.word(at + 1, Word::All))
                && at + 1 + usize::from(tokens.word(at + 1, Word::All)) == tokens.all.len() =>
        {
            add(best, "sql-union", 65);
        }
        Some(Kind::Word(Word::Select))
            if quote
                && tokens.bytes(0).len() == 1
                && tokens.all.last().is_some_and(|last| last.kind == Kind::Comment)
                && tokens.is_selection(at + 1) =>
        {
            add(best, "sql-stacked", 75);
        }
        Some(Kind::Word(Word::Statement))
            if quote && tokens.bytes(at) == b"insert" && stacked(tokens, at) =>
        {
            add(best, "sql-stacked", 75);
        }
        Some(Kind::Word(Word::Procedure)) if tokens.bytes(at + 1) == b"analyse" => {
            add(best, "sql-procedure", 90);
        }
        Some(Kind::Word(Word::As))
            if tokens.word(at + 2, Word::Where) && tokens.condition(at + 3) >= Strength::Some =>
        {
            add(best, "sql-condition", 90);
        }
        Some(Kind::Word(Word::Into)) if matches!(tokens.bytes(at + 1), b"outfile" | b"dumpfile") => {
            add(best, "sql-file", 90);
        }
        Some(Kind::Comma) => inserted(tokens, at, lead, best),
        Some(Kind::Word(Word::Statement))
            if lead != Lead::Word && tokens.bytes(at) == b"update" && stacked(tokens, at) =>
        {
            add(best, "sql-stacked", 80);
        }
        Some(Kind::Semicolon) if quote && tokens.is(at + 1, Kind::Comment) && tokens.ends(at + 1) => {
            add(best, "sql-comment", 90);
        }
        // x'/* a */; where a comment stands between the two.
        Some(Kind::Semicolon)
            if quote
                && at == 1
                && tokens.all.len() == 2
                && tokens.text.len() <= LONGEST_LEAD
                && super::contains(&tokens.text[tokens.all[0].end as usize..], b"/*") =>
        {
            add(best, "sql-closed", 65);
        }
        // x'); and not the end of a line of code.
        Some(Kind::Semicolon)
            if quote
                && at + 1 == tokens.all.len()
                && tokens.is(at - 1, Kind::Right)
                && !tokens.bytes(0).contains(&b' ') =>
        {
            add(best, "sql-closed", 60);
        }
        Some(Kind::Left) if tokens.is_subquery(at) && lead != Lead::Word => add(best, "sql-subquery", 80),
        _ => {}
    }
}

/// `and`, `or` and what follows.
fn joined(tokens: Tokens<'_>, at: usize, lead: Lead, best: &mut Best) {
    let condition = tokens.condition(at + 1);
    let symbol = matches!(tokens.kind(at), Some(Kind::Bars | Kind::Ampersands));
    let end = tokens.operand(at + 1).unwrap_or(at + 1);
    let next = tokens.skip_right(end);
    let commented = tokens.is(next, Kind::Comment);
    let grouped = matches!(tokens.kind(next), Some(Kind::Word(Word::Group | Word::Order)))
        && tokens.word(next + 1, Word::By)
        || tokens.word(next, Word::Having);
    let score = match (condition, lead) {
        (Strength::Strong, Lead::Quote) => 100,
        (Strength::Strong, Lead::Number) => 95,
        (Strength::Strong, Lead::None) => 85,
        (Strength::Strong, Lead::Word) => 75,
        (Strength::Some, Lead::Quote) => 90,
        (Strength::Some, Lead::Number) if tokens.is_sql_call(tokens.skip_left(at + 1)) => 80,
        (Strength::Some, Lead::Number) if !symbol || !tokens.is(end, Kind::Compare) => 60,
        (Strength::Weak, Lead::Quote)
            if tokens.is(next, Kind::Arithmetic)
                && tokens.is(next + 1, Kind::Open)
                && next + 2 == tokens.all.len() =>
        {
            75
        }
        (Strength::Weak, Lead::Quote)
            if next >= tokens.all.len()
                && tokens.bytes(0).len() <= LONGEST_LEAD
                && matches!(tokens.bytes(at + 1), b"\'\'" | b"\"\"") =>
        {
            70
        }
        (Strength::Weak, _) if grouped && (lead != Lead::Word || tokens.is_sql_call(next + 2)) => 85,
        (Strength::Weak, Lead::Quote) if commented || tokens.is(tokens.skip_right(end), Kind::Semicolon) => {
            90
        }
        // 6' or 7' are feet; ' or 1 are not.
        (Strength::Weak, Lead::Quote)
            if end >= tokens.all.len()
                && !follows_digit(tokens)
                && !prose_string(tokens, at + 1)
                && tokens.bytes(at + 1).iter().skip(1).all(|byte| super::is_word(*byte)) =>
        {
            70
        }
        // 1-@a or'1, and not 1998 and '99
        (Strength::Weak, Lead::Number)
            if at > 1
                && tokens.is(at + 1, Kind::Open)
                && at + 2 == tokens.all.len()
                && (2..=8).contains(&tokens.bytes(at + 1).len())
                && tokens.bytes(at + 1)[1..].iter().all(u8::is_ascii_digit) =>
        {
            70
        }
        (Strength::Weak, Lead::Number | Lead::None) if commented && !tokens.is(at + 1, Kind::Open) => 80,
        // id and 1--
        (Strength::Weak, Lead::Word)
            if tokens.is(at + 1, Kind::Number)
                && next + 1 == tokens.all.len()
                && tokens.text.len() <= LONGEST_LEAD
                && !tokens.bytes(next).starts_with(b"#")
                && tokens.is(next, Kind::Comment)
                && is_empty_comment(tokens.bytes(next)) =>
        {
            65
        }
        (Strength::No, Lead::Quote) if symbol && tokens.is_call(at + 1) => 70,
        (Strength::No, Lead::Quote) if commented => 80,
        // ' or a regexp b --
        (Strength::No, Lead::Quote)
            if tokens.is_compare(next)
                && tokens.operand(next + 1 + usize::from(tokens.word(next, Word::Not))).is_some_and(
                    |behind| {
                        let behind = tokens.skip_right(behind);
                        tokens.is(behind, Kind::Comment) && tokens.bytes(0).len() <= LONGEST_LEAD
                    },
                ) =>
        {
            80
        }
        _ => 0,
    };
    add(best, "sql-condition", score);
    // Joined to a string: '||(select …)||', and '||'a'||'.
    if symbol
        && lead == Lead::Quote
        && tokens
            .operand(at + 1)
            .is_some_and(|behind| tokens.is(behind, Kind::Bars) && tokens.is(behind + 1, Kind::Open))
    {
        add(best, "sql-joined", 70);
    }
    // A condition further on: ' and (x) or 1=1, and a=b and 1=1.
    if score < super::THRESHOLD
        && let Some(behind) = tokens.operand(at + 1)
    {
        let compared = tokens.is_compare(behind).then(|| tokens.operand(behind + 1)).flatten();
        let next = tokens.skip_right(compared.unwrap_or(behind));
        if tokens.is_or(next) && tokens.condition(next + 1) == Strength::Strong {
            add(best, "sql-condition", if lead == Lead::Word { 50 } else { 75 });
        }
    }
}

/// Whether the quote that closes the string stands behind a digit, as that of inches and years does.
fn follows_digit(tokens: Tokens<'_>) -> bool {
    let first = tokens.bytes(0);
    first.len() >= 2 && first[first.len() - 2].is_ascii_digit()
}

/// A string of several words, as quotation marks in a sentence make it.
fn prose_string(tokens: Tokens<'_>, at: usize) -> bool {
    matches!(tokens.kind(at), Some(Kind::String | Kind::Open))
        && (tokens.bytes(at).len() < 2 || tokens.bytes(at).contains(&b' '))
}

/// A comment that cuts off the rest of the statement.
fn comment(tokens: Tokens<'_>, at: usize, lead: Lead, best: &mut Best) {
    if lead != Lead::Quote || at + 1 < tokens.all.len() {
        return;
    }
    let comment = tokens.bytes(at);
    let rest = (!is_empty_comment(comment)).then_some(0);
    let before = tokens.bytes(0);
    let closed = at > 1;
    // "1-- and '1-- are found in lists of sizes; a name, or a parenthesis, and then a comment is not.
    let prose = before.contains(&b'\n') || before.iter().filter(|byte| **byte == b' ').count() > 8;
    let named = before.len() > 1
        && !prose
        && !before.ends_with(b"=\"")
        && !before[..before.len() - 1].iter().all(|byte| !super::is_word(*byte));
    match rest {
        None if comment.starts_with(b";") => add(best, "sql-comment", 90),
        None if closed => add(best, "sql-comment", 90),
        None if before.len() == 1 => add(best, "sql-comment", 80),
        None if named && !follows_spaces(tokens, at) => add(best, "sql-comment", 80),
        None if !comment.starts_with(b"#") => add(best, "sql-comment", 50),
        // ' -- &a=b
        Some(_) if before.len() == 1 && comment.starts_with(b"-- ") && tokens.text.len() <= LONGEST_LEAD => {
            add(best, "sql-comment", 65);
        }
        _ => {}
    }
}

/// White space between the quote and the comment, and many words before it: a sentence that ends in a dash.
fn follows_spaces(tokens: Tokens<'_>, at: usize) -> bool {
    let gap = tokens.all[at].start > tokens.all[at - 1].end;
    gap && tokens.bytes(0).iter().filter(|byte| **byte == b' ').count() > 2
}

/// A comparison with what was before.
fn compared(tokens: Tokens<'_>, at: usize, lead: Lead, best: &mut Best) {
    // not in (…), is not (…)
    let not = usize::from(tokens.word(at, Word::Not) || tokens.word(at + 1, Word::Not));
    let right = at + 1 + not;
    if tokens.is_subquery(right)
        || tokens.word(right, Word::Inner)
        || (tokens.bytes(right) == b"sleep" && tokens.is_call(right))
    {
        add(best, "sql-subquery", 90);
        return;
    }
    let Some(behind) = tokens.operand(right) else { return };
    let next = tokens.skip_right(behind);
    let is_symbol = tokens.is(at, Kind::Compare) && tokens.bytes(at) != b"=>";
    match lead {
        Lead::Quote => {
            let open = tokens.is(right, Kind::Open);
            let inner = tokens.bytes(right);
            let short = (2..=24).contains(&inner.len())
                && inner[1..].iter().all(|byte| super::is_word(*byte) || matches!(byte, b'%' | b'.'))
                || inner.len() == 1 && tokens.bytes(0).len() == 1;
            if open && behind == tokens.all.len() && is_symbol && short {
                add(best, "sql-compared", 75);
            }
            let literal = tokens.is_literal(tokens.skip_left(right));
            let called = tokens.is_sql_call(right) && is_empty_comment(tokens.bytes(next));
            if tokens.is(next, Kind::Comment)
                && (literal || called || tokens.bytes(right) == b"binary" && tokens.is_literal(right + 1))
            {
                add(best, "sql-compared", 80);
            }
            if tokens.is_or(next)
                && tokens.condition(next + 1) >= Strength::Weak
                && (literal || tokens.is_sql_call(right))
            {
                add(best, "sql-condition", 85);
            }
            if !is_symbol
                && tokens.bytes(at) != b"=>"
                && tokens.is_literal(right)
                && tokens.bytes(right).len() > 1
                && (open && short || tokens.is(right, Kind::Number))
                && tokens.ends(behind)
                && !prose_string(tokens, right)
            {
                add(best, "sql-compared", 65);
            }
            if is_symbol && tokens.is(right, Kind::Number) && tokens.is_compare(behind) {
                add(best, "sql-compared", 65);
            }
        }
        _ => {
            if tokens.is_or(next) && tokens.condition(next + 1) == Strength::Strong {
                add(best, "sql-condition", 70);
            }
        }
    }
}

/// Arithmetic with what was before: it is one if what it adds is a query or a call.
fn arithmetic(tokens: Tokens<'_>, at: usize, lead: Lead, best: &mut Best) {
    let mut right = at + 1;
    while tokens.is(right, Kind::Arithmetic) {
        right += 1;
    }
    let inner = tokens.skip_left(right);
    let quantified = tokens.is_call(inner)
        && tokens.word(inner + 2, Word::Select)
        && tokens.is_selection(inner + 3)
        && lead != Lead::Word;
    if quantified
        || tokens.is_subquery(right)
        || (tokens.word(inner, Word::Inner) && tokens.is_call(inner))
        || (tokens.bytes(inner) == b"sleep" && tokens.is_call(inner))
    {
        add(best, "sql-subquery", 85);
        return;
    }
    if matches!(lead, Lead::Quote | Lead::Number)
        && (tokens.word(inner, Word::Case) || tokens.word(inner, Word::If) && tokens.is_call(inner))
    {
        add(best, "sql-subquery", 80);
    }
    if lead != Lead::Quote {
        return;
    }
    let mut behind = tokens.operand(right);
    while let Some(next) = behind
        && tokens.is(next, Kind::Arithmetic)
        && let Some(further) = tokens.operand(next + 1)
    {
        behind = Some(further);
    }
    let Some(behind) = behind else { return };
    let next = tokens.skip_right(behind);
    if tokens.is_or(next) && tokens.condition(next + 1) >= Strength::Weak {
        add(best, "sql-condition", 85);
    }
    let before = tokens.bytes(0);
    let literal = tokens.is_literal(right);
    if tokens.is(next, Kind::Comment)
        && literal
        && (is_empty_comment(tokens.bytes(next)) || tokens.bytes(next).len() <= LONGEST_LEAD)
        && !matches!(tokens.bytes(at), b"!" | b"~")
        && !(tokens.is(right, Kind::String) && prose_string(tokens, right))
        && !tokens.is(right, Kind::Open)
        && before.len() <= LONGEST_LEAD
    {
        add(best, "sql-arithmetic", 75);
    }
    // '+' and '-0-': nothing but the operator between two strings.
    let open = tokens.is(behind - 1, Kind::Open) && behind == tokens.all.len();
    if open
        && literal
        && !matches!(tokens.bytes(at), b"~" | b"!")
        && before.len() + tokens.bytes(behind - 1).len() > 2
        && before.len() <= 2
        && tokens.bytes(behind - 1).len() <= 2
    {
        add(best, "sql-arithmetic", 65);
    }
    if tokens.is_sql_call(inner) && (tokens.ends(next) || open) {
        add(best, "sql-arithmetic", 70);
    }
}

/// More values for an `insert`, and the end of the list: x','y')--
fn inserted(tokens: Tokens<'_>, at: usize, lead: Lead, best: &mut Best) {
    let (mut at, mut called) = (at, false);
    while tokens.is(at, Kind::Comma) {
        let inner = tokens.skip_left(at + 1);
        called |= tokens.is_subquery(at + 1)
            || (tokens.word(inner, Word::Inner) && tokens.is_call(inner))
            || (tokens.is_sql_call(inner) && tokens.bytes(inner) == b"sleep")
            || tokens.word(inner, Word::Case)
            || tokens.word(inner, Word::If)
                && tokens.is(inner + 2, Kind::Number)
                && tokens.is_compare(inner + 3)
            || tokens.bytes(inner) == b"exp" && tokens.bytes(inner + 2) == b"~"
            || tokens.bytes(inner).starts_with(b"@@");
        match tokens.operand(at + 1) {
            Some(behind) if behind > at => at = tokens.skip_right(behind),
            _ => break,
        }
    }
    let commented = tokens.is(at, Kind::Comment) && at + 1 == tokens.all.len() && tokens.bytes(at).len() <= 3;
    if called && lead != Lead::Word {
        add(best, "sql-inserted", 75);
    } else if commented && tokens.is(at - 1, Kind::Right) && lead != Lead::Word {
        add(best, "sql-inserted", 80);
    }
}
