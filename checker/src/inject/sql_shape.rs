//! Short values whose shape tells all: an operator between quotes, a number and a comment, expressions that only SQL has.

use super::{
    Best,
    sql::add,
    sql_condition::Tokens,
    sql_operator, sql_piece, sql_rest,
    sql_statement::{has_placeholder, is_of_session, scattered, wants_more},
    sql_token::{Kind, Word, is_empty_comment},
    sql_word::is_type,
};

/// Longer values have other things in them.
const SHORT: usize = 128;

/// A value that stands in a statement without quotes around it.
pub(super) fn bare(tokens: Tokens<'_>, best: &mut Best) {
    sql_piece::bare(tokens, best);
    sql_operator::between_quotes(tokens, best);
    cut_off(tokens, best);
    everywhere(tokens, best);
    let first = tokens.kind(0);
    let or = tokens.is_or(0) && tokens.is(1, Kind::String);
    let operator = matches!(tokens.kind(2), Some(Kind::Arithmetic | Kind::Compare | Kind::Other));
    // or '{"a":1}'::jsonb @> …
    if or && operator && tokens.all.len() > 3 {
        add(best, "sql-condition", 75);
    }
    // 'x'!='y
    if first == Some(Kind::String)
        && tokens.is(1, Kind::Compare)
        && tokens.is(2, Kind::Open)
        && tokens.all.len() == 3
        && tokens.text.len() <= 32
        && tokens.bytes(0).first() == tokens.bytes(2).first()
    {
        add(best, "sql-compared", 70);
    }
    // 1 or true, 9 or {if …}
    if first == Some(Kind::Number)
        && tokens.is_or(1)
        && (tokens.bytes(2) == b"true" && tokens.ends(3)
            || tokens.bytes(2) == b"{" && tokens.word(3, Word::If))
    {
        add(best, "sql-condition", 70);
    }
    // 1 as "x" from y
    if first == Some(Kind::Number) && tokens.word(1, Word::As) && tokens.word(3, Word::From) {
        add(best, "sql-union", 70);
    }
    // 1 - ord('a')
    if first == Some(Kind::Number)
        && tokens.is(1, Kind::Arithmetic)
        && tokens.is_sql_call(2)
        && tokens.is(4, Kind::String)
    {
        add(best, "sql-expression", 65);
    }
    // 'a' > 'b' = 7
    if first == Some(Kind::String)
        && tokens.is(1, Kind::Compare)
        && tokens.is(2, Kind::String)
        && tokens.is(3, Kind::Compare)
    {
        add(best, "sql-compared", 70);
    }
    // 1 or 1, @@version
    if first == Some(Kind::Number) && tokens.is_or(1) && tokens.bytes(0) == tokens.bytes(2) && tokens.ends(3)
        || (tokens.all.len() == 1 || tokens.all.len() == 2 && tokens.is(1, Kind::Semicolon))
            && matches!(
                tokens.bytes(0),
                b"@@version" | b"@@hostname" | b"@@servername" | b"@@datadir" | b"@@basedir"
            )
    {
        add(best, "sql-variable", 65);
    }
    // @a select @a
    if first == Some(Kind::Variable)
        && tokens.word(1, Word::Select)
        && tokens.is_selection(2)
        && tokens.text.len() <= SHORT
    {
        add(best, "sql-variable", 70);
    }
    waits(tokens, best);
}

/// A value that closes the string it stands in: what a value without quotes may say as well.
pub(super) fn quoted(tokens: Tokens<'_>, best: &mut Best) {
    sql_piece::quoted(tokens, best);
    everywhere(tokens, best);
    scattered(tokens, false, best);
    // x' sleep(5) '
    if tokens.bytes(1) == b"sleep" && tokens.is_call(1) {
        add(best, "sql-wait", 75);
    }
    // ' select a from syscolumns …
    if tokens.word(1, Word::Select) && tokens.bytes(0).len() == 1 && wants_more(tokens, 1) {
        add(best, "sql-stacked", 75);
    }
    if tokens.bytes(0).len() == 1 && tokens.bytes(1) == b"create" && tokens.bytes(2) == b"user" {
        add(best, "sql-stacked", 70);
    }
    // x'; begin …, x'; while 1=1
    if tokens.is(1, Kind::Semicolon)
        && (tokens.bytes(2) == b"while" && tokens.is(3, Kind::Number)
            || tokens.bytes(2) == b"begin" && tokens.word(3, Word::Statement))
    {
        add(best, "sql-stacked", 80);
    }
    closed_again(tokens, best);
    joined(tokens, best);
}

/// An expression that enters the string again, or ends in a comment: `x' * 2 - '0`, `x' = !!'1`.
fn closed_again(tokens: Tokens<'_>, best: &mut Best) {
    let operator = |at: usize| tokens.is(at, Kind::Arithmetic) || tokens.is_compare(at);
    let Some(last) = tokens.all.len().checked_sub(1) else { return };
    let plain = |at: usize| tokens.is(at, Kind::Word(Word::Plain));
    let sentence = (1..last).any(|at| plain(at) && plain(at + 1));
    let inner = tokens.bytes(last);
    let reopened = tokens.is(last, Kind::Open)
        && inner.len() <= 8
        && inner.first() == tokens.bytes(0).last()
        && inner.iter().skip(1).all(|byte| super::is_word(*byte) || *byte <= b' ');
    let ended = tokens.is(last, Kind::Comment);
    let simple = (1..last)
        .all(|at| !matches!(tokens.kind(at), Some(Kind::Other | Kind::Comma | Kind::Dot | Kind::String)));
    if (3..=24).contains(&last)
        && entered(tokens.bytes(0))
        && tokens.text.len() <= 48
        && simple
        && !sentence
        && operator(1)
        // <value>, and a key with its value.
        && !(tokens.bytes(1) == b"<" && tokens.bytes(last - 1) == b">")
        && !super::contains(tokens.text, b"</")
        && !super::contains(tokens.text, b"><")
        && (1..last).all(|at| tokens.bytes(at) != b"=>")
        && (reopened && operator(last - 1) && joins(tokens, last) || ended && compares(tokens, last))
    {
        add(best, "sql-closed-again", 70);
    }
}

/// A condition with little behind it: `'or'1=1`, `x' or '`, `x' or 1 or '`.
fn joined(tokens: Tokens<'_>, best: &mut Best) {
    let Some(last) = tokens.all.len().checked_sub(1) else { return };
    // x' or current_date*0
    if tokens.is_or(1)
        && tokens.is(2, Kind::Word(Word::Function))
        && tokens.is(3, Kind::Arithmetic)
        && tokens.is(4, Kind::Number)
        && tokens.ends(5)
    {
        add(best, "sql-condition", 70);
    }
    // 'or'1=1, and x' or '
    let open = tokens.bytes(2);
    let numbers = open.len() <= 8
        && open.contains(&b'=')
        && open.iter().skip(1).all(|byte| byte.is_ascii_digit() || *byte == b'=');
    let named = tokens.bytes(0).len() > 1
        && tokens.bytes(0)[..tokens.bytes(0).len() - 1].iter().all(|byte| super::is_word(*byte));
    if tokens.is_or(1)
        && matches!(tokens.kind(1), Some(Kind::Word(_)))
        && tokens.is(2, Kind::Open)
        && last == 2
        && (numbers || open.len() == 1 && named)
    {
        add(best, "sql-condition", 70);
    }
    // x' or 1 or '
    if last == 4
        && tokens.is_or(1)
        && tokens.is(2, Kind::Number)
        && tokens.is_or(3)
        && tokens.is(4, Kind::Open)
        && tokens.bytes(4).len() == 1
    {
        add(best, "sql-condition", 70);
    }
}

/// Whether what stands before the quote is a value: short, and no attribute or call that the quote belongs to.
fn entered(before: &[u8]) -> bool {
    before.len() <= 6
        && !before.starts_with(b"like")
        && before[..before.len() - 1].iter().all(|byte| super::is_word(*byte) || *byte == b' ')
}

/// Whether an expression that enters the string again is SQL's, and no joining of strings as scripts have it (`'+name+'`).
fn joins(tokens: Tokens<'_>, last: usize) -> bool {
    (1..last).any(|at| match tokens.kind(at) {
        Some(
            Kind::Compare
            | Kind::Number
            | Kind::Variable
            | Kind::Word(Word::Literal | Word::Compare | Word::Not),
        ) => true,
        Some(Kind::Arithmetic) => tokens.bytes(at) != b"+",
        _ => false,
    })
}

/// Whether something is compared with a literal directly before a comment.
fn compares(tokens: Tokens<'_>, last: usize) -> bool {
    let literal =
        (1..last).rev().find(|&at| !tokens.is(at, Kind::Right)).is_some_and(|at| tokens.is_literal(at));
    literal && (1..last).any(|at| tokens.is_compare(at))
}

/// A number, a variable or a sum, and a comment that cuts off the rest: `1--`, `@version/*`, `1 * 1 --`.
fn cut_off(tokens: Tokens<'_>, best: &mut Best) {
    let Some(last) = tokens.all.len().checked_sub(1) else { return };
    if !tokens.is(last, Kind::Comment) || tokens.text.len() > SHORT {
        return;
    }
    let comment = tokens.bytes(last).trim_ascii();
    let empty = is_empty_comment(comment) && !comment.starts_with(b"#");
    let sum = (0..last).all(|at| {
        let literal =
            matches!(tokens.kind(at), Some(Kind::Number | Kind::Variable | Kind::Left | Kind::Right));
        if at % 2 == 0 || tokens.is(0, Kind::Left) {
            literal
        } else {
            literal || tokens.is(at, Kind::Arithmetic)
        }
    });
    // "@scope/*" is a pattern of packages.
    let scope = comment == b"/*" && tokens.is(0, Kind::Variable) && !tokens.bytes(0).starts_with(b"@@");
    if empty && last > 0 && sum && last < 8 && !scope {
        add(best, "sql-comment", 65);
    }
    // limit 0,1--
    if empty && tokens.word(0, Word::Limit) && tokens.is(1, Kind::Number) && last <= 4 {
        add(best, "sql-limit", 70);
    }
    // ( @a ) in ( … )--
    let compared = tokens.operand(0).is_some_and(|behind| tokens.is_compare(behind));
    if empty && tokens.is(0, Kind::Left) && compared {
        add(best, "sql-comment", 70);
    }
}

/// `sleep(5)` as a whole value, perhaps behind a semicolon.
fn waits(tokens: Tokens<'_>, best: &mut Best) {
    let at = usize::from(tokens.is(0, Kind::Semicolon));
    if matches!(tokens.bytes(at), b"sleep" | b"pg_sleep")
        && tokens.is_call(at)
        && tokens.is(tokens.signs(tokens.skip_left(at + 2)), Kind::Number)
        && tokens.all.len() <= at + 9
        && tokens.operand(at).is_some_and(|behind| tokens.ends(behind))
    {
        add(best, "sql-wait", 70);
    }
}

/// Expressions that no other language has, and no sentence.
fn everywhere(tokens: Tokens<'_>, best: &mut Best) {
    // Each has one of these words or casts something, compares within a condition, or calls what it names.
    const WORDS: u64 =
        Word::From.bit() | Word::Having.bit() | Word::Select.bit() | Word::Union.bit() | Word::Inner.bit();
    const CALLED: u64 = Word::Function.bit() | Word::If.bit() | Kind::Number.bit();
    let casts = || tokens.has(Kind::Arithmetic.bit()) && super::contains(tokens.text, b"::");
    let conditions = tokens.has(Kind::Compare.bit()) && tokens.has(Word::Or.bit() | Word::And.bit());
    let calls = tokens.has(Kind::Left.bit()) && tokens.has(CALLED);
    if !(tokens.has(WORDS) || conditions || calls || casts()) {
        return;
    }
    for at in 0..tokens.all.len() {
        match tokens.kind(at) {
            // having 1=1
            Some(Kind::Word(Word::Having)) => {
                let first = tokens.skip_left(at + 1);
                if tokens.is(first, Kind::Number)
                    && (tokens.is(first + 1, Kind::Compare) || tokens.is_or(first + 1))
                {
                    add(best, "sql-condition", 75);
                }
            }
            // or a=a
            Some(Kind::Word(Word::Or | Word::And)) => {
                let first = tokens.skip_left(at + 1);
                if !tokens.is(first + 1, Kind::Compare) {
                    continue;
                }
                let same = tokens.bytes(first) == tokens.bytes(first + 2) && !tokens.bytes(first).is_empty();
                let next = first + 3;
                if same
                    && tokens.bytes(first + 1) == b"="
                    && tokens.all[first].end + 1 == tokens.all[first + 2].start
                    && (tokens.ends(next) || tokens.is(next, Kind::Comment))
                {
                    add(best, "sql-tautology", 70);
                }
            }
            // … from (select concat(…
            Some(Kind::Word(Word::From)) => {
                let inner = tokens.skip_left(at + 1) + 1;
                let query = tokens.is_subquery(at + 1)
                    && tokens.bytes(inner).starts_with(b"concat")
                    && tokens.is_call(inner);
                // ,a from mysql.user
                let own = tokens.word(at + 1, Word::Inner)
                    || tokens.bytes(at + 1) == b"mysql" && tokens.bytes(at + 3) == b"user";
                let columns = |at| (0..at).any(|before| tokens.is(before, Kind::Comma));
                if query || own && tokens.text.len() <= SHORT && columns(at) {
                    add(best, "sql-inner", 70);
                }
            }
            // union(select a)
            Some(Kind::Word(Word::Union))
                if tokens.is(at + 1, Kind::Left)
                    && tokens.word(tokens.skip_left(at + 1), Word::Select)
                    && tokens.text.len() <= 512 =>
            {
                add(best, "sql-union", 85);
            }
            Some(Kind::Word(Word::Function | Word::If)) if tokens.is(at + 1, Kind::Left) => {
                called(tokens, at, best);
            }
            // 1.e(
            Some(Kind::Number) if tokens.is(at + 1, Kind::Left) && tokens.bytes(at).ends_with(b".e") => {
                add(best, "sql-number", 75);
            }
            // …)::int, and '…'::jsonb as a value begins: behind a comparison, or as an argument, every query has it.
            Some(Kind::Right | Kind::String | Kind::Number)
                if tokens.is(at + 1, Kind::Arithmetic)
                    && tokens.bytes(at + 1) == b"::"
                    && is_type(tokens.bytes(at + 2))
                    && (at == 0 || tokens.is(at, Kind::Right) && !has_placeholder(tokens.beginning())) =>
            {
                add(best, "sql-cast", 70);
            }
            _ => {}
        }
        if best.certain() {
            return;
        }
    }
}

/// Calls within calls, as those have them that read a value letter by letter.
fn called(tokens: Tokens<'_>, at: usize, best: &mut Best) {
    let inner = at + 2;
    let outer = tokens.bytes(at);
    let letters =
        matches!(outer, b"ascii" | b"ord" | b"unicode" | b"hex" | b"bin" | b"conv" | b"lower" | b"length")
            && matches!(tokens.bytes(inner), b"substring" | b"substr" | b"mid")
            && tokens.is_call(inner);
    let query = tokens.is_subquery(inner) && (tokens.is(inner, Kind::Left)) && wants_more(tokens, inner)
        || tokens.is_subquery(at + 1) && wants_more(tokens, at + 1);
    // Functions that tell who is asked, within any other.
    let tells = matches!(tokens.bytes(inner), b"user" | b"current_user" | b"version" | b"database")
        && tokens.is(inner + 1, Kind::Left)
        && tokens.is(inner + 2, Kind::Right)
        || tokens.is(inner, Kind::Variable) && tokens.bytes(inner).starts_with(b"@@");
    // ,version(),user(),3
    let asks = |at: usize| {
        matches!(tokens.bytes(at), b"user" | b"current_user" | b"version" | b"database")
            && tokens.is(at + 1, Kind::Left)
            && tokens.is(at + 2, Kind::Right)
    };
    let twice = tokens.text.len() <= SHORT
        && asks(at)
        && tokens.is(at + 3, Kind::Comma)
        && (at + 4..tokens.all.len()).any(asks);
    let letters = letters && !tokens.has_lines();
    // concat(char(97), …)
    let spelled = matches!(outer, b"concat" | b"concat_ws" | b"char")
        && matches!(tokens.bytes(inner), b"char" | b"chr")
        && tokens.is_call(inner)
        && tokens.is(inner + 2, Kind::Number);
    if spelled || letters || query || tells || twice {
        add(best, "sql-inner", 70);
    }
}

/// A value that is a statement as a whole.
pub(super) fn statement(tokens: Tokens<'_>, best: &mut Best) {
    sql_piece::statement(tokens, best);
    sql_rest::statement(tokens, best);
    // It keeps a statement out of a log.
    if tokens.bytes(0).starts_with(b"--sp_password")
        || tokens.bytes(0) == b"declare" && tokens.is(1, Kind::Variable) && tokens.ends(2)
    {
        add(best, "sql-comment", 65);
    }
    // iif(1=2, …)
    if tokens.word(0, Word::If)
        && tokens.is_call(0)
        && tokens.is(2, Kind::Number)
        && tokens.is_compare(3)
        && tokens.is(5, Kind::Comma)
        && tokens.text.len() <= SHORT
    {
        add(best, "sql-expression", 70);
    }
    if !tokens.word(0, Word::Select) || tokens.text.len() > SHORT {
        return;
    }
    // select session_user;
    let asked = matches!(tokens.bytes(1), b"session_user" | b"current_user" | b"system_user" | b"user");
    let asked = asked || tokens.word(1, Word::Inner);
    if asked && (tokens.ends(2) || tokens.is(2, Kind::Semicolon) && tokens.ends(3)) {
        add(best, "sql-inner", 65);
    }
    if tokens.bytes(1) == b"sleep" && tokens.is_call(1) {
        add(best, "sql-wait", 70);
    }
    // select @a b -- c: what was found out is not put anywhere.
    if tokens.is(1, Kind::Variable)
        && tokens.all.len() <= 4
        && !tokens.is(2, Kind::Comma)
        && !is_of_session(tokens.bytes(1))
    {
        add(best, "sql-variable", 62);
    }
    // select 1 union select 2, select char(0x41)
    if (1..tokens.all.len()).any(|at| {
        tokens.word(at, Word::Union)
            && tokens.word(at + 1, Word::Select)
            && tokens.is(at + 2, Kind::Number)
            && tokens.ends(at + 3)
    }) {
        add(best, "sql-union", 65);
    }
    let conditional = super::find(tokens.text, b"/*!");
    if conditional.is_some_and(|at| tokens.text.get(at + 3).is_some_and(u8::is_ascii_digit)) {
        add(best, "sql-comment", 65);
    }
    if matches!(tokens.bytes(1), b"char" | b"chr" | b"unhex")
        && tokens.is_call(1)
        && tokens.is(3, Kind::Number)
    {
        add(best, "sql-call", 65);
    }
}
