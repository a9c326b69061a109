//! SQL: whether a value leaves the place that it is put in and goes on as SQL.
//!
//! A program puts a value into a statement bare, within `'…'` or within `"…"`. Each is tried: what closes the string, and what follows it.

use super::{
    Best, Class, Kind as Place, Text, contains,
    scan::{bytes, words},
    sql_condition::{Strength, Tokens},
    sql_token::{self, Context, Kind, Token, Word},
};

pub(super) fn judge(text: &Text<'_>, tokens: &mut Vec<Token>, best: &mut Best) {
    let marked = bytes::QUOTE
        | bytes::EQUALS
        | bytes::LESS
        | bytes::GREATER
        | bytes::SEMICOLON
        | bytes::PAREN
        | bytes::HASH
        | bytes::STAR
        | bytes::PIPE
        | bytes::AMPERSAND
        | bytes::AT;
    if !text.scan.byte(marked) && !text.scan.word(words::SQL) {
        return;
    }
    if text.kind == Place::Path && !text.scan.byte(bytes::QUOTE | bytes::SPACE | bytes::STAR | bytes::PAREN) {
        return;
    }
    sql_token::read(text.lower, Context::Bare, tokens);
    bare(Tokens { text: text.lower, all: tokens }, best);
    for quote in [b'\'', b'"'] {
        if best.certain() || !text.lower.contains(&quote) {
            continue;
        }
        sql_token::read(text.lower, Context::Quoted(quote), tokens);
        quoted(Tokens { text: text.lower, all: tokens }, best);
        // A quote behind a backslash closes the string for some, and not for others.
        let first = memchr::memchr(quote, text.lower).unwrap_or(0);
        if first > 0 && text.lower[first - 1] == b'\\' && !best.certain() {
            let rest = &text.lower[first + 1..];
            sql_token::read(rest, Context::Quoted(quote), tokens);
            quoted(Tokens { text: rest, all: tokens }, best);
        }
    }
}

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Sql, rule, score);
}

/// Whether the whole value is a statement, as scripts, documentation and tools that take queries have it: nothing is left, then.
fn is_statement(tokens: Tokens<'_>) -> bool {
    let at = tokens.skip_left(0);
    match tokens.kind(at) {
        Some(Kind::Word(Word::Select)) => at == 0,
        Some(Kind::Word(Word::Statement | Word::If)) => true,
        Some(Kind::Comment) => true,
        _ => false,
    }
}

/// A value that stands in a statement without quotes around it.
fn bare(tokens: Tokens<'_>, best: &mut Best) {
    let statement = is_statement(tokens);
    anywhere(tokens, statement, best);
    if best.certain() {
        return;
    }
    if statement {
        whole(tokens, best);
        return;
    }
    if tokens.is_subquery(0) && tokens.text.len() < 512 {
        add(best, "sql-subquery", if wants_more(tokens, 0) { 80 } else { 62 });
    }
    alone(tokens, best);
    if let Some(behind) = tokens.operand(0) {
        let mut tail = behind;
        // Arithmetic before it: 1+0 or …
        while tokens.is(tail, Kind::Arithmetic) && !tokens.is_subquery(tail + 1) {
            match tokens.operand(tail + 1) {
                Some(further) => tail = further,
                None => break,
            }
        }
        let first = tokens.kind(0);
        let number = matches!(first, Some(Kind::Number | Kind::Arithmetic | Kind::Left));
        self::tail(tokens, tokens.skip_right(tail), if number { Lead::Number } else { Lead::Word }, best);
    } else if tokens.is_or(0)
        || matches!(
            tokens.kind(0),
            Some(
                Kind::Right
                    | Kind::Semicolon
                    | Kind::Comma
                    | Kind::Word(Word::Having | Word::Order | Word::Group | Word::Limit | Word::Procedure)
            )
        )
    {
        tail(tokens, tokens.skip_right(0), Lead::None, best);
    }
    if tokens.is(0, Kind::Semicolon) && tokens.is_or(1) {
        tail(tokens, 1, Lead::None, best);
    }
    if matches!(tokens.kind(0), Some(Kind::Word(Word::Compare))) && tokens.is_subquery(1) {
        add(best, "sql-subquery", 80);
    }
    if !best.certain() {
        scattered(tokens, statement, best);
    }
}

/// Values that are an expression of SQL and nothing else, put where the statement has one.
fn alone(tokens: Tokens<'_>, best: &mut Best) {
    let inner = tokens.skip_left(0);
    let compared =
        |at| tokens.is(at, Kind::Number) && tokens.bytes(at + 1) == b"=" && tokens.is(at + 2, Kind::Number);
    if (inner > 0 && compared(inner))
        || (tokens.word(inner, Word::Case)
            && tokens.word(inner + 1, Word::When)
            && compared(tokens.skip_left(inner + 2)))
    {
        add(best, "sql-expression", 70);
    }
    let sleeps =
        tokens.bytes(inner) == b"sleep" && tokens.is_call(inner) && tokens.is(inner + 2, Kind::Number);
    let after = tokens.skip_right(inner + 3);
    let closes = tokens.is(after, Kind::Comment)
        || tokens.is(after, Kind::Compare) && tokens.is(after + 1, Kind::Open);
    if sleeps && closes || tokens.word(0, Word::Order) && tokens.bytes(2) == b"sleep" && tokens.is_call(2) {
        add(best, "sql-wait", 75);
    }
    let called = (0..tokens.all.len().min(8))
        .any(|at| tokens.word(at, Word::Inner) && tokens.is_call(at) && !tokens.is(at + 2, Kind::Right));
    if called
        && tokens.is_call(0)
        && tokens.text.len() < 256
        && tokens.operand(0).is_some_and(|behind| tokens.ends(behind))
    {
        add(best, "sql-inner", 65);
    }
    let inner_call = [&b"version()"[..], b"user()", b"current_user()", b"database()"]
        .iter()
        .any(|call| contains(tokens.text, call));
    if inner_call && tokens.is_sql_call(0) && tokens.text.len() < 256 && tokens.is_sql_call(2) {
        add(best, "sql-inner", 65);
    }
    // ( binary ( 'a' or 1 ) ) --
    if inner > 0
        && tokens.operand(0).is_some_and(|behind| {
            tokens.is(behind, Kind::Comment)
                && behind + 1 == tokens.all.len()
                && tokens.bytes(behind).trim_ascii_end() == b"--"
        })
        && tokens.all[inner..]
            .iter()
            .any(|token| matches!(token.kind, Kind::String | Kind::Number | Kind::Variable | Kind::Left))
    {
        add(best, "sql-comment", 70);
    }
    if tokens.bytes(0).starts_with(b"@@") && tokens.is(1, Kind::Comment) && tokens.all.len() == 2 {
        add(best, "sql-variable", 65);
    }
}

/// A value that closes the string it stands in.
fn quoted(tokens: Tokens<'_>, best: &mut Best) {
    if tokens.all.is_empty() {
        return;
    }
    anywhere(tokens, false, best);
    // Programs and documents of many lines have quotes of their own: there it takes more.
    let lines = memchr::memchr_iter(b'\n', tokens.text).take(4).count();
    let lead = if lines > 3 || tokens.text.len() > 1024 { Lead::Word } else { Lead::Quote };
    if !best.certain() {
        tail(tokens, tokens.skip_right(1), lead, best);
    }
    if !best.certain() && lead == Lead::Quote {
        closed_again(tokens, best);
    }
    // In MySQL, a string may follow one that was closed: 'a''or 1=1.
    if !best.certain() && matches!(tokens.kind(1), Some(Kind::String)) && tokens.is_or(2) {
        tail(tokens, 2, Lead::Quote, best);
    }
}

/// What leaves the string and enters it again: x' or column&&'1.
fn closed_again(tokens: Tokens<'_>, best: &mut Best) {
    let last = tokens.all.len() - 1;
    let operator = |at: usize| {
        tokens.is_or(at)
            || tokens.is_compare(at)
            || matches!(tokens.kind(at), Some(Kind::Arithmetic | Kind::Word(Word::Not)))
    };
    let inner = tokens.bytes(last);
    let short = (2..=8).contains(&inner.len())
        && inner[1..].iter().all(|byte| super::is_word(*byte) || *byte == b'%');
    if !(3..=14).contains(&last)
        || !tokens.is(last, Kind::Open)
        || !short
        || !operator(1)
        || !operator(last - 1)
    {
        return;
    }
    let plain = |at: usize| tokens.is(at, Kind::Word(Word::Plain));
    let sentence = (1..last).any(|at| plain(at) && plain(at + 1));
    let sure = (1..last).any(|at| {
        tokens.is_or(at)
            || tokens.is_compare(at)
            || matches!(tokens.kind(at), Some(Kind::Number | Kind::Variable | Kind::Word(Word::Literal)))
    });
    if sure
        && !sentence
        && (1..last).all(|at| !matches!(tokens.kind(at), Some(Kind::Other | Kind::Comma | Kind::Dot)))
    {
        add(best, "sql-closed-again", 70);
    }
}

/// What a tail follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// A quote that closes the string.
    Quote,
    /// A number or anything in parentheses.
    Number,
    /// A name or a word.
    Word,
    /// Nothing: the value begins so.
    None,
}

/// What follows the operand that a value begins with, or the quote that it closes its string with.
fn tail(tokens: Tokens<'_>, at: usize, lead: Lead, best: &mut Best) {
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
            Strength::Weak if (quote || tokens.ends(at + 2)) && tokens.is(at + 1, Kind::Number) => {
                add(best, "sql-condition", if lead == Lead::Word { 40 } else { 80 });
            }
            _ => {}
        },
        Some(Kind::Word(Word::Order | Word::Group)) if tokens.word(at + 1, Word::By) => {
            let behind = tokens.operand(at + 2);
            let simple = behind.is_some_and(|behind| {
                tokens.ends(behind) || tokens.is(behind, Kind::Comma) || tokens.word(behind, Word::Having)
            });
            if simple
                && (quote
                    || (lead != Lead::Word && tokens.is(at + 2, Kind::Number))
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
        Some(Kind::Semicolon) if quote && at + 1 == tokens.all.len() && tokens.is(at - 1, Kind::Right) => {
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
        (Strength::Some, Lead::Number) if !symbol => 60,
        (Strength::Weak, Lead::Quote)
            if tokens.is(next, Kind::Arithmetic)
                && tokens.is(next + 1, Kind::Open)
                && next + 2 == tokens.all.len() =>
        {
            75
        }
        (Strength::Weak, Lead::Quote)
            if next >= tokens.all.len() && matches!(tokens.bytes(at + 1), b"\'\'" | b"\"\"") =>
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
        (Strength::Weak, Lead::Number | Lead::None) if commented && !tokens.is(at + 1, Kind::Open) => 80,
        (Strength::No, Lead::Quote) if symbol && tokens.is_call(at + 1) => 70,
        (Strength::No, Lead::Quote) if commented => 80,
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
    // A condition further on: ' and (x) or 1=1.
    if score < super::THRESHOLD
        && let Some(behind) = tokens.operand(at + 1)
        && tokens.is_or(tokens.skip_right(behind))
        && tokens.condition(tokens.skip_right(behind) + 1) == Strength::Strong
    {
        add(best, "sql-condition", if lead == Lead::Word { 50 } else { 75 });
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
    let plain = comment.trim_ascii_end();
    let plain = plain
        .strip_suffix(b"+")
        .or_else(|| plain.strip_suffix(b" -"))
        .or_else(|| plain.strip_suffix(b"\0"))
        .unwrap_or(plain);
    let rest = (!matches!(plain, b"--" | b"#" | b"/*")).then_some(0);
    let before = tokens.bytes(0);
    let closed = at > 1;
    // "1-- and '1-- are found in lists of sizes; a name, or a parenthesis, and then a comment is not.
    let named = before.len() > 1 && !before[..before.len() - 1].iter().all(|byte| !super::is_word(*byte));
    match rest {
        None if closed => add(best, "sql-comment", 90),
        None if before.len() == 1 => add(best, "sql-comment", 80),
        None if named && !follows_spaces(tokens, at) => add(best, "sql-comment", 80),
        None if !comment.starts_with(b"#") => add(best, "sql-comment", 50),
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
    let not = usize::from(tokens.word(at, Word::Not));
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
    let is_symbol = tokens.is(at, Kind::Compare);
    match lead {
        Lead::Quote => {
            let open = tokens.is(right, Kind::Open);
            let inner = tokens.bytes(right);
            let short = (2..=24).contains(&inner.len())
                && inner[1..].iter().all(|byte| super::is_word(*byte) || *byte == b'%')
                || inner.len() == 1 && tokens.bytes(0).len() == 1;
            if open && behind == tokens.all.len() && is_symbol && short {
                add(best, "sql-compared", 75);
            }
            if tokens.is(next, Kind::Comment) && tokens.is_literal(right) {
                add(best, "sql-compared", 80);
            }
            if tokens.is_or(next) && tokens.condition(next + 1) >= Strength::Weak && tokens.is_literal(right)
            {
                add(best, "sql-condition", 85);
            }
            if !is_symbol
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
    if tokens.is_subquery(right)
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
    if tokens.is(next, Kind::Comment) && literal && !tokens.is(right, Kind::Open) {
        add(best, "sql-arithmetic", 75);
    }
    // '+' and '-0-': nothing but the operator between two strings.
    let open = tokens.is(behind - 1, Kind::Open) && behind == tokens.all.len();
    if open
        && literal
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
                && tokens.is(inner + 3, Kind::Compare)
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

/// What speaks for itself wherever it stands.
fn anywhere(tokens: Tokens<'_>, statement: bool, best: &mut Best) {
    let mut selected = false;
    for at in 0..tokens.all.len() {
        match tokens.kind(at) {
            Some(Kind::Word(Word::Union)) => {
                let mut next = at + 1;
                while tokens.word(next, Word::All)
                    || tokens.is(next, Kind::Left)
                    || tokens.bytes(next) == b"!"
                {
                    next += 1;
                }
                let query = tokens.word(next, Word::Select)
                    && (tokens.is_selection(next + 1) || tokens.is_column(next + 1, true));
                if query && !(selected && statement) {
                    add(best, "sql-union", 100);
                } else if query && selected && numbers(tokens, next + 1) {
                    add(best, "sql-union", 80);
                } else if tokens.word(next, Word::Select) && next + 1 >= tokens.all.len() && at > 0 {
                    add(best, "sql-union", 65);
                }
            }
            Some(Kind::Word(Word::Select)) => selected = true,
            Some(Kind::Semicolon) if !statement && at > 0 && stacked(tokens, at + 1) => {
                add(best, "sql-stacked", 90);
            }
            Some(Kind::Word(Word::Waitfor))
                if matches!(tokens.kind(at + 2), Some(Kind::String | Kind::Open)) =>
            {
                add(best, "sql-wait", 95);
            }
            Some(Kind::Word(Word::Statement)) if command(tokens, at) => add(best, "sql-command", 85),
            _ => {}
        }
        if best.0.is_some_and(|hit| hit.score >= 80) {
            return;
        }
    }
}

/// A list of numbers and nulls, as one that tries how many columns there are.
fn numbers(tokens: Tokens<'_>, at: usize) -> bool {
    tokens.is(at + 1, Kind::Comma)
        && matches!(tokens.kind(at), Some(Kind::Number | Kind::Word(Word::Literal)))
}

/// A statement behind a semicolon, and not a sentence.
fn stacked(tokens: Tokens<'_>, at: usize) -> bool {
    let at = tokens.skip_left(at);
    let name = |at: usize| {
        matches!(
            tokens.kind(at),
            Some(Kind::Word(Word::Plain | Word::Inner | Word::Function) | Kind::Variable)
        )
    };
    match tokens.kind(at) {
        Some(Kind::Word(Word::Select)) => tokens.is_selection(at + 1),
        Some(Kind::Word(Word::If)) => {
            tokens.is(at + 1, Kind::Left) && tokens.condition(at + 2) == Strength::Strong
        }
        Some(Kind::Word(Word::Waitfor)) => true,
        Some(Kind::Word(Word::Statement)) => match tokens.bytes(at) {
            b"drop" | b"create" | b"alter" | b"truncate" => {
                matches!(
                    tokens.bytes(at + 1),
                    b"table"
                        | b"database"
                        | b"user"
                        | b"view"
                        | b"schema"
                        | b"procedure"
                        | b"function"
                        | b"login"
                        | b"index"
                        | b"trigger"
                        | b"or"
                ) && (name(at + 2)
                    || tokens.kind(at + 2) == Some(Kind::Word(Word::If))
                    || tokens.word(at + 2, Word::Statement))
            }
            b"insert" => tokens.word(at + 1, Word::Into) && name(at + 2),
            b"update" => name(at + 1) && tokens.bytes(tokens.name(at + 1)) == b"set",
            b"delete" => tokens.word(at + 1, Word::From) && name(at + 2),
            b"exec" | b"execute" => {
                name(at + 1) && !tokens.is(at + 2, Kind::Left)
                    || tokens.is(at + 1, Kind::String)
                    || tokens.is(at + 1, Kind::Left)
                        && matches!(tokens.kind(at + 2), Some(Kind::String | Kind::Variable))
            }
            b"declare" => tokens.is(at + 1, Kind::Variable),
            b"shutdown" => {
                tokens.ends(at + 1) || tokens.is(at + 1, Kind::Semicolon) || tokens.bytes(at + 1) == b"with"
            }
            b"begin" => tokens.word(at + 1, Word::Inner),
            b"grant" | b"revoke" => name(at + 1) && tokens.bytes(at + 2) == b"on",
            b"load" => tokens.bytes(at + 1) == b"data",
            b"copy" => name(at + 1) && (tokens.word(at + 2, Word::From) || tokens.bytes(at + 2) == b"to"),
            b"call" => name(at + 1) && tokens.is_call(at + 1),
            b"set" => tokens.is(at + 1, Kind::Variable),
            b"merge" => tokens.word(at + 1, Word::Into),
            b"show" => matches!(tokens.bytes(at + 1), b"tables" | b"databases" | b"columns"),
            b"backup" => tokens.bytes(at + 1) == b"database",
            _ => false,
        },
        _ => false,
    }
}

/// `exec xp_…`, `declare @x varchar`: what needs no semicolon before it.
fn command(tokens: Tokens<'_>, at: usize) -> bool {
    match tokens.bytes(at) {
        b"exec" | b"execute" => {
            let mut next = at + 1;
            while matches!(tokens.kind(next), Some(Kind::Word(_))) && tokens.is(next + 1, Kind::Dot) {
                next += 2;
                if tokens.is(next, Kind::Dot) {
                    next += 1;
                }
            }
            tokens.word(next, Word::Inner)
                || tokens.bytes(next).starts_with(b"sp_")
                || (tokens.is(next, Kind::Left) && tokens.is(next + 1, Kind::Variable))
        }
        b"declare" => {
            tokens.is(at + 1, Kind::Variable)
                && tokens.bytes(at + 1).len() > 1
                && matches!(tokens.bytes(at + 2), b"varchar" | b"nvarchar" | b"char" | b"int")
        }
        _ => false,
    }
}

/// A value that is a statement as a whole: documentation and tools have many, but hardly any that wait, or ask the server of itself.
fn whole(tokens: Tokens<'_>, best: &mut Best) {
    if wants_more(tokens, 0) {
        add(best, "sql-inner", 65);
    }
    if tokens.word(0, Word::Select) && tokens.word(tokens.all.len() - 1, Word::Where) {
        add(best, "sql-cut", 70);
    }
    for at in 0..tokens.all.len() {
        let or = matches!(tokens.kind(at), Some(Kind::Word(Word::Or)));
        if or
            && tokens.is_literal(at + 1)
            && tokens.is(at + 2, Kind::Compare)
            && tokens.bytes(at + 1) == tokens.bytes(at + 3)
        {
            add(best, "sql-tautology", 75);
        }
    }
}

/// Whether something waits, reads files, or is of the server's own.
fn wants_more(tokens: Tokens<'_>, from: usize) -> bool {
    (from..tokens.all.len()).any(|at| {
        (tokens.bytes(at) == b"sleep" && tokens.is_call(at) && tokens.is(at + 2, Kind::Number))
            || (tokens.word(at, Word::Inner)
                && (tokens.is_call(at)
                    || tokens.is(at + 1, Kind::Dot)
                    || at > 0 && tokens.word(at - 1, Word::From)))
            || (tokens.word(at, Word::Case)
                && tokens.word(at + 1, Word::When)
                && tokens.condition(at + 2) == Strength::Strong)
            || (at > 0 && tokens.is(at, Kind::Variable) && tokens.bytes(at).starts_with(b"@@"))
    })
}

/// Conditions and calls in the midst of a value that begins with words.
fn scattered(tokens: Tokens<'_>, statement: bool, best: &mut Best) {
    for at in 0..tokens.all.len() {
        if tokens.is_or(at)
            && matches!(tokens.kind(at), Some(Kind::Word(_)))
            && tokens.is(at + 1, Kind::Number)
            && tokens.is(at + 2, Kind::Compare)
            && (tokens.is(at + 3, Kind::Number) || tokens.bytes(at + 3).starts_with(b"@@"))
            && tokens.bytes(at + 2).len() == 1
            && tokens.is_end_of_condition(at + 4)
        {
            add(best, "sql-tautology", 65);
        }
        if !statement
            && (tokens.is_or(at) || at > 0 && tokens.is(at - 1, Kind::Comma))
            && tokens.word(tokens.skip_left(at + 1), Word::Select)
            && tokens.is_subquery(at + 1)
            && wants_more(tokens, at)
        {
            add(best, "sql-subquery", 80);
        }
        // make_set(1=1, …): a comparison of numbers as the first argument, as only SQL has it.
        if tokens.is_sql_call(at)
            && tokens.is(at + 2, Kind::Number)
            && tokens.bytes(at + 3) == b"="
            && tokens.is(at + 4, Kind::Number)
        {
            add(best, "sql-call", 75);
        }
        let sleeps = tokens.bytes(at) == b"pg_sleep"
            || tokens.bytes(at) == b"benchmark" && tokens.is(at + 3, Kind::Comma);
        if sleeps && tokens.is_call(at) && tokens.is(at + 2, Kind::Number) {
            add(best, "sql-wait", 70);
        }
        if tokens.word(at, Word::Inner) && tokens.is_call(at) && tokens.is_subquery(at + 2) {
            add(best, "sql-inner", 75);
        }
        if tokens.word(at, Word::Into)
            && matches!(tokens.bytes(at + 1), b"outfile" | b"dumpfile")
            && matches!(tokens.kind(at + 2), Some(Kind::String | Kind::Open))
        {
            add(best, "sql-file", 80);
        }
    }
}

impl Tokens<'_> {
    /// Whether a condition can end here: at the end, before a comment, a closing parenthesis or another condition.
    fn is_end_of_condition(self, at: usize) -> bool {
        self.ends(at)
            || self.is_or(at)
            || matches!(
                self.kind(at),
                Some(Kind::Semicolon | Kind::Comment | Kind::Word(Word::Union | Word::Order | Word::Group))
            )
    }
}
