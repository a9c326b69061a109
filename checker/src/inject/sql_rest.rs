//! Short values that are whole attacks in few signs: comparisons of numbers, conditions that break off, statements with nothing behind them but
//! a comment that says nothing.

use super::{
    Best, is_word,
    sql::add,
    sql_clause,
    sql_condition::{Strength, Tokens},
    sql_token::{Kind, Word, is_empty_comment},
};

/// Longer values have other things in them.
const SHORT: usize = 96;
/// Words that compare by a pattern; the last one is a word of sentences as well, and counts behind `not`.
const PATTERNS: [&[u8]; 5] = [b"rlike", b"regexp", b"glob", b"ilike", b"like"];

/// A short value of more than two tokens that stands in a statement without quotes around it.
#[inline(never)]
pub(super) fn bare(tokens: Tokens<'_>, best: &mut Best) {
    let last = tokens.all.len() - 1;
    match tokens.all[0].kind {
        Kind::Number => number(tokens, last, best),
        // 'a' not regexp 'b'
        Kind::String => {
            let not = usize::from(tokens.word(1, Word::Not));
            let compared = PATTERNS[..4 + not].contains(&tokens.bytes(1 + not));
            if compared && tokens.is_literal(2 + not) && tokens.ends(3 + not) {
                add(best, "sql-pattern", 70);
            }
        }
        Kind::Word(Word::Or | Word::And) => {
            // xor 5-, or 'a' <
            let compare = tokens.is(2, Kind::Compare);
            let number = tokens.bytes(0) == b"xor" && tokens.is(1, Kind::Number);
            let sign = tokens.is(2, Kind::Arithmetic) && number;
            // and a = ', and (a = ": what a program would put behind it is the value
            let name = tokens.skip_left(1);
            let opened = tokens.is(last, Kind::Open) && tokens.bytes(last).len() == 1;
            if opened
                && tokens.bytes(last - 1) == b"="
                && tokens.is(name, Kind::Word(Word::Plain))
                && tokens.name(name) + 1 == last
            {
                add(best, "sql-open", 62);
            }
            if last == 2 && (sign || compare && (number || tokens.is(1, Kind::String))) {
                add(best, "sql-open", 65);
            }
        }
        // + sleep(5), <> sleep(5)
        Kind::Arithmetic | Kind::Compare
            if matches!(tokens.bytes(1), b"sleep" | b"pg_sleep" | b"benchmark")
                && tokens.is(2, Kind::Left)
                && tokens.is(3, Kind::Number)
                && !matches!(tokens.kind(4), Some(Kind::Word(_)))
                && tokens.bytes(0) != b"=" =>
        {
            add(best, "sql-wait", 70);
        }
        // -1 --
        Kind::Arithmetic
            if last == 2
                && tokens.is(1, Kind::Number)
                && tokens.is(2, Kind::Comment)
                && tokens.all[0].end == tokens.all[1].start
                && matches!(tokens.bytes(0), b"-" | b"+" | b"~" | b"!")
                && !tokens.bytes(2).starts_with(b"#")
                && is_empty_comment(tokens.bytes(2)) =>
        {
            add(best, "sql-comment", 65);
        }
        // order by 1,sleep(5)
        Kind::Word(Word::Order)
            if (3..last.min(9)).any(|at| tokens.bytes(at) == b"sleep" && tokens.is(at + 1, Kind::Left)) =>
        {
            add(best, "sql-wait", 70);
        }
        // (||6)
        Kind::Left
            if last == 3
                && matches!(tokens.all[1].kind, Kind::Bars | Kind::Ampersands)
                && tokens.is(2, Kind::Number)
                && tokens.is(3, Kind::Right) =>
        {
            add(best, "sql-open", 65);
        }
        // except values(1,2)
        Kind::Word(Word::Union) if tokens.is_literal(3) && sql_clause::rows(tokens, 1) => {
            add(best, "sql-union", 70);
        }
        // from a where b = 1 limit
        Kind::Word(Word::From)
            if tokens.word(last, Word::Limit)
                && (1..last)
                    .any(|at| tokens.word(at, Word::Where) && tokens.condition(at + 1) >= Strength::Some) =>
        {
            add(best, "sql-open", 65);
        }
        _ => {}
    }
}

/// A number, and what only SQL compares it by, or cuts off the rest with.
fn number(tokens: Tokens<'_>, last: usize, best: &mut Best) {
    // 1 is not 2
    if tokens.bytes(1) == b"is" {
        let not = usize::from(tokens.word(2, Word::Not));
        if tokens.is(2 + not, Kind::Number) && last == 2 + not {
            add(best, "sql-constant", 65);
        }
    }
    if !tokens.is(1, Kind::Compare) {
        return;
    }
    let right = tokens.signs(2);
    if !tokens.is_literal(right) {
        return;
    }
    // 1!=11: with spaces it is of sentences and of tests.
    let joined = tokens.all[0].end == tokens.all[1].start && tokens.all[1].end == tokens.all[2].start;
    if joined && last == 2 && tokens.is(2, Kind::Number) && matches!(tokens.bytes(1), b"!=" | b"<>" | b"<=>")
    {
        add(best, "sql-constant", 65);
    }
    let comment = tokens.bytes(last);
    if !tokens.is(last, Kind::Comment) || comment.starts_with(b"#") {
        return;
    }
    // 1=2--, 1='1' or-- -
    let cut = is_empty_comment(comment) || comment.starts_with(b"--+");
    if cut && (right + 1 == last || tokens.is_or(right + 1) && right + 2 == last) {
        add(best, "sql-condition", 70);
    }
}

/// A short value that closes the string it stands in with `quote`, behind `lead`.
#[inline(never)]
pub(super) fn quoted(tokens: Tokens<'_>, quote: u8, lead: &[u8], best: &mut Best) {
    if !lead.iter().all(|byte| is_word(*byte) || b"@.+-%\\".contains(byte)) {
        return;
    }
    let last = tokens.all.len() - 1;
    let at = tokens.skip_right(1);
    let or = tokens.is_or(at) && matches!(tokens.kind(at), Some(Kind::Word(_)));
    if tokens.is(last, Kind::Comment) {
        cut(tokens, at, lead, best);
    }
    // ' notnull
    if at == last && matches!(tokens.bytes(at), b"notnull" | b"isnull") {
        add(best, "sql-condition", 65);
    }
    // ' or a<, ' xor a!
    if or && last >= at + 2 {
        let sign = matches!(tokens.bytes(last), b"!" | b"-" | b"+" | b"*" | b"/" | b"%" | b"^" | b"|" | b"&");
        let operand = || tokens.operand(at + 1) == Some(last);
        let compare = tokens.is(last, Kind::Compare) && !matches!(tokens.bytes(last), b"==" | b"=>");
        if (compare || sign && lead.is_empty() && quote == b'\'') && operand() {
            add(best, "sql-open", 65);
        }
    }
    // ' or a 9
    if or
        && lead.is_empty()
        && quote == b'\''
        && last == 3
        && tokens.is(2, Kind::Word(Word::Plain))
        && tokens.is(3, Kind::Number)
    {
        add(best, "sql-condition", 65);
    }
    // ' or 3,4
    if or
        && lead.is_empty()
        && quote == b'\''
        && tokens.is(2, Kind::Number)
        && tokens.is(3, Kind::Comma)
        && tokens.is(4, Kind::Number)
    {
        add(best, "sql-condition", 62);
    }
    // 3' ' 1
    if last == 1
        && !lead.is_empty()
        && lead.iter().all(u8::is_ascii_digit)
        && tokens.is(1, Kind::Open)
        && tokens.bytes(1).first() == Some(&quote)
    {
        let inner = &tokens.bytes(1)[1..];
        if inner.starts_with(b" ") && inner[1..].iter().all(u8::is_ascii_digit) && inner.len() > 1 {
            add(best, "sql-joined", 65);
        }
    }
}

/// An operator, and whatever is no sentence, up to a comment that cuts off the rest: `a' collate b--`, `a'and b is not?--`.
fn cut(tokens: Tokens<'_>, at: usize, lead: &[u8], best: &mut Best) {
    let last = tokens.all.len() - 1;
    let comment = tokens.bytes(last);
    if comment.starts_with(b"#") || !is_empty_comment(comment) || at >= last {
        return;
    }
    let operator = match tokens.kind(at) {
        Some(Kind::Arithmetic) => !lead.is_empty() && !matches!(tokens.bytes(at), b"!" | b"~"),
        Some(Kind::Word(Word::Plain)) => {
            matches!(tokens.bytes(at), b"collate" | b"notnull" | b"isnull" | b"escape")
        }
        _ => tokens.is_or(at) || tokens.is_compare(at),
    };
    let plain = |at: usize| tokens.is(at, Kind::Word(Word::Plain));
    let sentence = (at + 1..last).any(|at| plain(at) && plain(at + 1));
    // f().a: other stores' languages have members of calls.
    let member = (at + 1..last).any(|at| tokens.is(at, Kind::Right) && tokens.is(at + 1, Kind::Dot));
    if operator && !sentence && !member {
        add(best, "sql-cut", 70);
    }
}

/// A value that begins as a statement does.
pub(super) fn statement(tokens: Tokens<'_>, best: &mut Best) {
    let last = tokens.all.len() - 1;
    if last < 1 || tokens.text.len() > SHORT || tokens.text.contains(&b'\n') {
        return;
    }
    let comment = tokens.bytes(last);
    let ended = tokens.is(last, Kind::Comment) && !comment.starts_with(b"#") && is_empty_comment(comment);
    // drop a;--
    if ended && last >= 2 && tokens.all[0].kind != Kind::Comment {
        let object = |at: usize| {
            matches!(
                tokens.bytes(at),
                b"table"
                    | b"database"
                    | b"user"
                    | b"view"
                    | b"index"
                    | b"function"
                    | b"procedure"
                    | b"trigger"
            )
        };
        let changes = match tokens.bytes(0) {
            b"drop" => tokens.is(1, Kind::Word(Word::Plain)) && last == 2 || object(1),
            b"truncate" | b"alter" | b"create" => object(1),
            b"delete" => tokens.word(1, Word::From),
            b"insert" => tokens.word(1, Word::Into),
            b"update" => tokens.bytes(tokens.name(1)) == b"set",
            b"exec" | b"execute" => comment.starts_with(b";"),
            b"select" => comment.starts_with(b";") && tokens.is_selection(1),
            _ => false,
        };
        if changes {
            add(best, "sql-cut", 65);
        }
    }
    if tokens.all[0].kind != Kind::Word(Word::Select) {
        return;
    }
    // select 0x616263
    if last == 1 && tokens.bytes(1).starts_with(b"0x") && tokens.bytes(1).len() >= 6 {
        add(best, "sql-literal", 65);
    }
    let from = tokens.has(Word::From.bit());
    // select a where 1=1, select a group by b having c > 1: nothing that it is taken from
    if !from
        && tokens.has(Kind::Compare.bit())
        && (1..last).any(|at| {
            tokens.word(at, Word::Having)
                || tokens.word(at, Word::Where)
                    && tokens.is(at + 1, Kind::Number)
                    && tokens.is(at + 3, Kind::Number)
        })
    {
        add(best, "sql-condition", 65);
    }
    // select 1; update a set b = 1
    if tokens.is_literal(1)
        && tokens.is(2, Kind::Semicolon)
        && matches!(tokens.kind(tokens.skip_left(3)), Some(Kind::Word(Word::Select | Word::Statement)))
    {
        add(best, "sql-stacked", 65);
    }
    // select 1.e.a: MySQL reads a name there.
    if (1..last).any(|at| {
        tokens.bytes(at).ends_with(b".e") && tokens.is(at, Kind::Number) && tokens.is(at + 1, Kind::Dot)
    }) {
        add(best, "sql-number", 75);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Class, neighbours::told_apart};

    #[test]
    fn whole_attacks_of_few_signs_are_told_from_sentences_and_code() {
        told_apart(
            Class::Sql,
            &[
                "a@b.example' and c glob c;",
                "a@b.example\\' or glob (c,c);",
                "a@b.example' and( likelihood (c,.0));'",
                "a.b-c@d.example' and e ! all (select e)--",
                "' notnull --",
                "a' isnull",
                "a'collate U&\"$1#B\"--",
                "a'+b--",
                "a'and b is not?--",
                "a' or 1=",
                "a'    or   123<",
                "'  xor  bcd!",
                "' or ab 9",
                "' or 3,4,2@!",
                "' glob 1;",
                "3' ' 1",
                "` < 0) and `",
                "'1' not regexp '2'",
                "1!=11",
                "1='1' or-- -",
                "1!=0--+",
                "(||6)",
                "or 'a' <",
                "xor 2 <",
                "and (name = \"",
                "from a where b.c = 25 limit",
                "except values(1,2)",
                "drop a;--",
                "delete from a;--",
                "update a set b=1 --",
                "select 0x616263",
                "select a where 96=96;select (case",
                "select a group by b having count(c) >= 9",
                "select 1; (select 1); update a set b = 9",
                "';select*@@version#--(){}",
                "<> sleep(5)",
                "-1 --",
                "order by 'a',sleep(5)#",
                "@@version;",
                "id and 1--",
                "and 73=`a` and ('p'='p",
                "| '{\"b\":2}'::jsonb > '{\"a\":1}'::jsonb",
            ],
            &[
                "it is your parents' and yours",
                "the parents' or kids' rooms",
                "the boys' or girls' side; both",
                "boys' or girls like candy",
                "O'Brien and sons",
                "a' + b",
                "rock 'n' roll",
                "'a', 'b', or 'c'",
                "expected 'a' and got 'b';",
                "let x = 'a' and b;",
                "don't; won't",
                "' or later is required",
                "6' or 7'",
                "5' - 6'",
                "1 != 2",
                "(a || 6)",
                "or 'a' is less",
                "and (name = \"x\")",
                "from there to where = limit",
                "except values (of any kind)",
                "use strict; --",
                "create a file --",
                "drop by; --help",
                "select a color",
                "select 0x",
                "- sleep (5 hours)",
                "-1 -- or less",
                "in order by sleep(5)",
                "b'31' and x",
                "one and 2 -- more",
            ],
        );
    }
}
