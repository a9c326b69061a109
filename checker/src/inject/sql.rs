//! SQL: whether a value leaves the place that it is put in and goes on as SQL.
//!
//! A program puts a value into a statement bare, within `'…'` or within `"…"`. Each is tried: what closes the string, and what follows it.

use super::{
    Best, Class, Kind as Place, Text, contains,
    scan::{bytes, words},
    sql_clause,
    sql_condition::Tokens,
    sql_expression, sql_literal, sql_piece, sql_shape,
    sql_statement::{anywhere, scattered, wants_more, whole},
    sql_tail::{self, Lead, tail},
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
    if text.scan.byte(bytes::STAR) {
        sql_piece::conditional(text.lower, best);
    }
    sql_token::read(text.lower, Context::Bare, tokens);
    bare(Tokens::new(text.lower, tokens), best);
    for quote in [b'\'', b'"', b'`'] {
        let kind = if quote == b'`' { bytes::BACKTICK } else { bytes::QUOTE };
        if best.certain()
            || !text.scan.byte(kind)
            || memchr::memchr(quote, text.lower).is_none()
            || quote == b'`' && !leaves_name(text.lower)
        {
            continue;
        }
        sql_token::read(text.lower, Context::Quoted(quote), tokens);
        quoted(Tokens::new(text.lower, tokens), best);
        // A quote behind a backslash closes the string for some, and not for others.
        let first = memchr::memchr(quote, text.lower).unwrap_or(0);
        if first > 0 && text.lower[first - 1] == b'\\' && !best.certain() {
            let rest = &text.lower[first + 1..];
            sql_token::read(rest, Context::Quoted(quote), tokens);
            quoted(Tokens::new(rest, tokens), best);
        }
        // Two quotes are one within a string: a''b' or 1=1.
        if text.lower.get(first + 1) == Some(&quote) && text.lower.len() <= 256 && !best.certain() {
            let rest = &text.lower[first + 2..];
            sql_token::read(rest, Context::Quoted(quote), tokens);
            quoted(Tokens::new(rest, tokens), best);
        }
    }
}

/// Whether a value may close a name of MySQL's. Texts about programs have backticks too, but in pairs, the first of which stands behind a space
/// and before a word.
fn leaves_name(text: &[u8]) -> bool {
    if text.len() <= 64 && memchr::memchr_iter(b'`', text).count() == 1 {
        return true;
    }
    let Some(first) = memchr::memchr(b'`', text) else { return false };
    let behind = text.get(first + 1).is_some_and(|byte| {
        matches!(byte, b' ' | b')' | b'\n') || first > 0 && matches!(byte, b'|' | b'&' | b'/')
    });
    let before = first == 0 || super::is_word(text[first - 1]) || text[first - 1] == b'%';
    text.len() <= 512 && behind && before && text[..first].iter().filter(|byte| **byte == b' ').count() <= 1
}

pub(super) fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Sql, rule, score);
}

/// Whether the whole value is a statement, as scripts, documentation and tools that take queries have it: nothing is left, then.
pub(super) fn is_statement(tokens: Tokens<'_>) -> bool {
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
        sql_shape::statement(tokens, best);
        return;
    }
    if tokens.is_subquery(0) && tokens.text.len() < 512 {
        add(best, "sql-subquery", if wants_more(tokens, 0) { 80 } else { 62 });
    }
    alone(tokens, best);
    sql_shape::bare(tokens, best);
    sql_literal::bare(tokens, best);
    sql_clause::bare(tokens, best);
    if !best.certain() {
        sql_expression::bare(tokens, best);
    }
    if let Some(behind) = tokens.operand(0) {
        let mut tail = behind;
        // Arithmetic before it: 1+0 or …
        while tokens.is(tail, Kind::Arithmetic)
            && !tokens.is_subquery(tail + 1)
            && !tokens.word(tokens.skip_left(tail + 1), Word::Case)
        {
            match tokens.operand(tail + 1) {
                Some(further) => tail = further,
                None => break,
            }
        }
        let first = tokens.kind(0);
        let number = matches!(first, Some(Kind::Number | Kind::Arithmetic | Kind::Left));
        sql_tail::tail(tokens, tokens.skip_right(tail), if number { Lead::Number } else { Lead::Word }, best);
    } else if tokens.is_or(0)
        || matches!(
            tokens.kind(0),
            Some(
                Kind::Right
                    | Kind::Semicolon
                    | Kind::Comma
                    | Kind::Word(
                        Word::Having
                            | Word::Order
                            | Word::Group
                            | Word::Limit
                            | Word::Procedure
                            | Word::As
                            | Word::Where
                    )
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
    let compared = |at| {
        let operand = |at| matches!(tokens.kind(at), Some(Kind::Number | Kind::Variable));
        operand(at)
            && !tokens.bytes(at).ends_with(b".")
            && tokens.is_compare(at + 1)
            && tokens.bytes(at + 1) != b"in"
            && operand(at + 2)
    };
    let equal = |at: usize| compared(at) && tokens.bytes(at + 1) == b"=";
    // (1<>2)*2
    let scaled = |at: usize| {
        compared(at)
            && tokens.is(at + 3, Kind::Right)
            && tokens.is(at + 4, Kind::Arithmetic)
            && tokens.is(at + 5, Kind::Number)
    };
    // case sin(1) when 2 then 2 end
    if tokens.word(inner, Word::Case)
        && (tokens.is_sql_call(inner + 1) || tokens.is(inner + 1, Kind::Number))
        && tokens.operand(inner + 1).is_some_and(|behind| tokens.word(behind, Word::When))
    {
        add(best, "sql-expression", 70);
    }
    if (inner > 0 && (equal(inner) || scaled(inner)))
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
    let called = tokens.has(Word::Inner.bit())
        && (0..tokens.all.len().min(8))
            .any(|at| tokens.word(at, Word::Inner) && tokens.is_call(at) && !tokens.is(at + 2, Kind::Right));
    if called
        && tokens.is_call(inner)
        && tokens.text.len() < 256
        && tokens.operand(0).is_some_and(|behind| tokens.ends(behind))
    {
        add(best, "sql-inner", 65);
    }
    let calls = [&b"version()"[..], b"user()", b"current_user()", b"database()"];
    if tokens.is_sql_call(0)
        && tokens.is_sql_call(2)
        && tokens.text.len() < 256
        && calls.iter().any(|call| contains(tokens.text, call))
    {
        add(best, "sql-inner", 65);
    }
    // ( binary ( 'a' or 1 ) ) --
    if inner > 0
        && tokens.operand(0).is_some_and(|behind| {
            tokens.is(behind, Kind::Comment)
                && behind + 1 == tokens.all.len()
                && sql_token::is_empty_comment(tokens.bytes(behind))
                && (!tokens.bytes(behind).starts_with(b"#") || contains(tokens.text, b"binary"))
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
    let before = tokens.bytes(0);
    let spaces = before.iter().filter(|byte| **byte == b' ').count();
    let sentence = spaces >= 4 && before.iter().all(|byte| OF_SENTENCES[usize::from(*byte)]);
    // Line ends in place of spaces make no document.
    let number = before.len() > 1 && before[..before.len() - 1].iter().all(u8::is_ascii_digit);
    let document =
        lines > 3 && !number && tokens.text.len() > 8 * memchr::memchr_iter(b'\n', tokens.text).count();
    let long = document || tokens.text.len() > 1024 || sentence;
    let lead = if long { Lead::Word } else { Lead::Quote };
    if !best.certain() {
        tail(tokens, tokens.skip_right(1), lead, best);
    }
    if !best.certain() && lead == Lead::Quote {
        closed_again(tokens, best);
        sql_shape::quoted(tokens, best);
        sql_literal::quoted(tokens, best);
        sql_clause::quoted(tokens, best);
        if !best.certain() {
            sql_expression::quoted(tokens, best);
        }
    }
    // In MySQL, a string may follow one that was closed: 'a''or 1=1.
    if !best.certain()
        && matches!(tokens.kind(1), Some(Kind::String))
        && (tokens.is_or(2) || lead == Lead::Quote && tokens.is(2, Kind::Word(Word::Compare)))
    {
        tail(tokens, 2, Lead::Quote, best);
    }
}

/// What sentences are made of.
const OF_SENTENCES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut signs: &[u8] = b" .,:'\"-()_`";
    while let [sign, rest @ ..] = signs {
        table[*sign as usize] = true;
        signs = rest;
    }
    table
};

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
