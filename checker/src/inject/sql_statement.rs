//! SQL wherever it stands: statements behind a `;`, values that are a statement, and what only attackers ask of a server.

use super::{
    Best,
    sql::add,
    sql_condition::{Strength, Tokens},
    sql_token::{Kind, Word},
};

/// What speaks for itself wherever it stands.
pub(super) fn anywhere(tokens: Tokens<'_>, statement: bool, best: &mut Best) {
    const BEGIN: u64 =
        Word::Union.bit() | Kind::Semicolon.bit() | Word::Waitfor.bit() | Word::Statement.bit();
    if !tokens.has(BEGIN) {
        return;
    }
    let mut selected = false;
    for at in 0..tokens.all.len() {
        match tokens.kind(at) {
            Some(Kind::Word(Word::Union)) => {
                let mut next = at + 1;
                while tokens.word(next, Word::All)
                    || tokens.is(next, Kind::Left)
                    || matches!(tokens.bytes(next), b"!" | b"-" | b"+" | b"~")
                {
                    next += 1;
                }
                let string = matches!(tokens.kind(next + 1), Some(Kind::String | Kind::Open));
                let query = tokens.word(next, Word::Select)
                    && (tokens.is_selection(next + 1)
                        || tokens.is_column(next + 1, true)
                        || string && tokens.is_or(next + 2));
                if query && !(selected && statement) {
                    add(best, "sql-union", 100);
                } else if query && selected && numbers(tokens, next + 1) {
                    add(best, "sql-union", 80);
                } else if at > 0
                    && !statement
                    && tokens.word(at + 1, Word::All)
                    && tokens.is(at + 2, Kind::Comment)
                    && at + 3 == tokens.all.len()
                {
                    add(best, "sql-union", 70);
                } else if tokens.word(next, Word::Select) && next + 1 >= tokens.all.len() && at > 0 {
                    add(best, "sql-union", 65);
                }
            }
            Some(Kind::Word(Word::Select)) => selected = true,
            Some(Kind::Semicolon) if !statement && stacked(tokens, at + 1) => {
                add(best, "sql-stacked", 90);
            }
            Some(Kind::Word(Word::Waitfor))
                if matches!(tokens.kind(at + 2), Some(Kind::String | Kind::Open)) =>
            {
                add(best, "sql-wait", 95);
            }
            Some(Kind::Word(Word::Statement))
                if command(tokens, at) && !(statement && at == 0 && describes(tokens)) =>
            {
                add(best, "sql-command", 85);
            }
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
pub(super) fn stacked(tokens: Tokens<'_>, at: usize) -> bool {
    let at = tokens.skip_left(at);
    let name = |at: usize| {
        matches!(
            tokens.kind(at),
            Some(Kind::Word(Word::Plain | Word::Inner | Word::Function) | Kind::Variable)
        )
    };
    match tokens.kind(at) {
        // Perl has a select(a) and a select(a, b, c) of its own.
        Some(Kind::Word(Word::Select)) => {
            let listed = tokens.is(at + 1, Kind::Left)
                && tokens.is(at + 2, Kind::Word(Word::Plain))
                && (tokens.is(at + 3, Kind::Comma)
                    || tokens.is(at + 3, Kind::Right) && !tokens.word(at + 4, Word::From));
            tokens.is_selection(at + 1) && !listed
        }
        Some(Kind::Word(Word::If)) => {
            let first = tokens.skip_left(at + 1);
            // Code of a program has an `if` behind a semicolon as well.
            let sure =
                || tokens.is(first, Kind::Number) || tokens.word(first, Word::Select) || !tokens.has_lines();
            tokens.is(at + 1, Kind::Left) && tokens.condition(at + 2) == Strength::Strong && sure()
                || tokens.word(at + 1, Word::Exists) && tokens.is(at + 2, Kind::Left)
        }
        // ;(load_file(…
        Some(Kind::Word(Word::Inner)) => tokens.is_call(at) && tokens.bytes(at) == b"load_file",
        Some(Kind::Word(Word::Waitfor)) => true,
        Some(Kind::Word(Word::Statement)) => match tokens.bytes(at) {
            b"drop" if name(at + 1) && tokens.bytes(at + 2).trim_ascii() == b"--" => true,
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
                    || tokens.word(at + 2, Word::From)
                    || tokens.kind(at + 2) == Some(Kind::Word(Word::If))
                    || tokens.word(at + 2, Word::Statement))
            }
            b"insert" => {
                tokens.word(at + 1, Word::Into) && name(at + 2)
                    || name(at + 1) && tokens.bytes(tokens.name(at + 1)) == b"values"
            }
            b"replace" => tokens.word(at + 1, Word::Into) && name(at + 2),
            b"handler" => name(at + 1) && matches!(tokens.bytes(at + 2), b"open" | b"read"),
            b"rename" => tokens.bytes(at + 1) == b"table" && name(at + 2),
            b"kill" => tokens.is(at + 1, Kind::Number) && tokens.ends(at + 2),
            b"use" => name(at + 1) && tokens.is(at + 2, Kind::Comment),
            b"with" => name(at + 1) && tokens.word(at + 2, Word::As) && tokens.is_subquery(at + 3),
            b"explain" => tokens.word(at + 1, Word::Select) && tokens.is_selection(at + 2),
            b"restore" => tokens.bytes(at + 1) == b"database" && name(at + 2),
            b"update" => name(at + 1) && tokens.bytes(tokens.name(at + 1)) == b"set",
            b"delete" => {
                let at =
                    at + usize::from(matches!(tokens.bytes(at + 1), b"low_priority" | b"ignore" | b"quick"));
                tokens.word(at + 1, Word::From) && name(at + 2)
            }
            b"exec" | b"execute" => {
                tokens.word(at + 1, Word::As) && matches!(tokens.bytes(at + 2), b"login" | b"user")
                    || name(at + 1) && !tokens.is(at + 2, Kind::Left)
                    || tokens.is(at + 1, Kind::String)
                    || tokens.is(at + 1, Kind::Left)
                        && matches!(tokens.kind(at + 2), Some(Kind::String | Kind::Variable))
            }
            b"declare" => {
                tokens.is(at + 1, Kind::Variable) || name(at + 1) && tokens.bytes(at + 2) == b"cursor"
            }
            b"shutdown" => {
                tokens.ends(at + 1) || tokens.is(at + 1, Kind::Semicolon) || tokens.bytes(at + 1) == b"with"
            }
            b"begin" => {
                tokens.word(at + 1, Word::Inner)
                    || tokens.is(at + 2, Kind::Dot)
                        && tokens.bytes(at + 3) == b"sleep"
                        && tokens.is_call(at + 3)
            }
            b"grant" | b"revoke" => {
                (name(at + 1) || tokens.word(at + 1, Word::All)) && tokens.bytes(at + 2) == b"on"
            }
            b"load" => tokens.bytes(at + 1) == b"data",
            b"copy" if tokens.is_subquery(at + 1) => true,
            b"copy" => name(at + 1) && (tokens.word(at + 2, Word::From) || tokens.bytes(at + 2) == b"to"),
            b"call" => name(at + 1) && tokens.is_call(at + 1),
            b"set" => tokens.is(at + 1, Kind::Variable),
            b"merge" => tokens.word(at + 1, Word::Into) && matches!(tokens.bytes(at + 3), b"using" | b"as"),
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
                && (matches!(tokens.bytes(at + 2), b"varchar" | b"nvarchar" | b"char" | b"int")
                    || matches!(tokens.kind(at + 2), Some(Kind::Word(_)))
                        && tokens.is(at + 3, Kind::Left)
                        && tokens.is(at + 4, Kind::Number)
                        && tokens.is(at + 5, Kind::Right))
        }
        _ => false,
    }
}

/// Whether a statement only declares something, or calls one of those procedures that say or change how tables are described: tools that
/// change schemas are full of both.
fn describes(tokens: Tokens<'_>) -> bool {
    if tokens.bytes(0) == b"declare" {
        return !(1..tokens.all.len().min(64))
            .any(|at| tokens.is(at, Kind::Compare) || matches!(tokens.bytes(at), b"exec" | b"execute"));
    }
    let name = (1..tokens.all.len().min(8)).map(|at| tokens.bytes(at)).find(|name| name.starts_with(b"sp_"));
    name.is_some_and(|name| {
        name.starts_with(b"sp_help")
            || name.ends_with(b"extendedproperty")
            || matches!(
                name,
                b"sp_rename"
                    | b"sp_columns"
                    | b"sp_databases"
                    | b"sp_tables"
                    | b"sp_pkeys"
                    | b"sp_fkeys"
                    | b"sp_statistics"
                    | b"sp_describe_first_result_set"
            )
    })
}

/// A value that is a statement as a whole: documentation and tools have many, but hardly any that wait, or ask the server of itself.
pub(super) fn whole(tokens: Tokens<'_>, best: &mut Best) {
    // All of it: a statement is looked through once.
    if wants_more_within(tokens, 0, tokens.all.len(), true) && !has_placeholder(tokens.text) {
        add(best, "sql-inner", 65);
    }
    let from = || tokens.all.iter().any(|token| token.kind == Kind::Word(Word::From));
    if tokens.word(0, Word::Select) && tokens.word(tokens.all.len() - 1, Word::Where) && from() {
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
pub(super) fn wants_more(tokens: Tokens<'_>, from: usize) -> bool {
    // So many tokens only: a text may be full of what asks for this.
    wants_more_within(tokens, from, from + 64, false)
}

/// Whether a statement has places that a program fills in (`?`, `$1`, `%s`, `${…}`): then it is that program's own.
pub(super) fn has_placeholder(text: &[u8]) -> bool {
    let places = [&b"$1"[..], b"${", b"%s", b"%(", b" ?", b"(?", b"{}"];
    places.iter().any(|place| super::contains(text, place))
}

/// Of a statement as a whole, the catalogues that SQL's standard and SQLite have are none of these: tools of every kind ask for them.
fn wants_more_within(tokens: Tokens<'_>, from: usize, to: usize, whole: bool) -> bool {
    let common = |at: usize| {
        whole
            && matches!(
                tokens.bytes(at),
                b"information_schema" | b"sqlite_master" | b"all_tab_columns" | b"schema_name"
            )
    };
    (from..to.min(tokens.all.len())).any(|at| {
        (tokens.bytes(at) == b"sleep"
            && tokens.is_call(at)
            && tokens.is(at + 2, Kind::Number)
            && !(at > 0 && tokens.is(at - 1, Kind::Dot)))
            || (tokens.word(at, Word::Inner)
                && !common(at)
                && (tokens.is_call(at) && !tokens.is_member(at)
                    || tokens.is(at + 1, Kind::Dot)
                    || at > 0 && tokens.word(at - 1, Word::From)))
            || (tokens.word(at, Word::Case)
                && tokens.word(at + 1, Word::When)
                && tokens.condition(at + 2) == Strength::Strong)
            || (at > 0
                && tokens.is(at, Kind::Variable)
                && tokens.bytes(at).starts_with(b"@@")
                && !is_of_session(tokens.bytes(at)))
    })
}

/// Variables that say what became of the last statement, and nothing of the server.
pub(super) fn is_of_session(variable: &[u8]) -> bool {
    matches!(variable, b"@@identity" | b"@@rowcount" | b"@@error" | b"@@trancount")
}

/// Conditions and calls in the midst of a value that begins with words.
pub(super) fn scattered(tokens: Tokens<'_>, statement: bool, best: &mut Best) {
    // Each has one of these words, or compares something.
    const WORDS: u64 = Word::Select.bit() | Word::Inner.bit() | Word::Into.bit();
    if !tokens.has(WORDS | Kind::Compare.bit()) {
        return;
    }
    for at in 0..tokens.all.len() {
        let open = tokens.is(at + 1, Kind::Left);
        match tokens.kind(at) {
            Some(Kind::Word(Word::And | Word::Or)) => {
                if tokens.is(at + 1, Kind::Number) && tautology(tokens, at) {
                    add(best, "sql-tautology", 65);
                }
                if open && !statement {
                    asks(tokens, at, best);
                }
            }
            Some(Kind::Comma | Kind::Bars | Kind::Ampersands) if open && !statement => asks(tokens, at, best),
            Some(Kind::Word(Word::Into))
                if matches!(tokens.bytes(at + 1), b"outfile" | b"dumpfile")
                    && matches!(tokens.kind(at + 2), Some(Kind::String | Kind::Open)) =>
            {
                add(best, "sql-file", 80);
            }
            Some(Kind::Word(_)) if open => called(tokens, at, statement, best),
            _ => {}
        }
    }
}

/// `or 1=1` and `and 1<@@version`, up to the end of the condition.
fn tautology(tokens: Tokens<'_>, at: usize) -> bool {
    let variable = tokens.bytes(at + 3).starts_with(b"@@");
    tokens.is(at + 2, Kind::Compare)
        && (tokens.is(at + 3, Kind::Number) || variable)
        && (tokens.bytes(at + 2).len() == 1 || variable)
        && tokens.is_end_of_condition(at + 4)
}

/// A subquery, behind what joins conditions or columns, that waits or asks the server about itself.
fn asks(tokens: Tokens<'_>, at: usize, best: &mut Best) {
    if tokens.is_subquery(at + 1) && wants_more(tokens, at) {
        add(best, "sql-subquery", 80);
    }
}

/// Calls that only SQL has.
fn called(tokens: Tokens<'_>, at: usize, statement: bool, best: &mut Best) {
    // make_set(1=1, …): a comparison of numbers as the first argument, as only SQL has it.
    if tokens.is_sql_call(at)
        && tokens.is(at + 2, Kind::Number)
        && !tokens.bytes(at + 2).ends_with(b".")
        && tokens.bytes(at + 3) == b"="
        && tokens.is(at + 4, Kind::Number)
    {
        add(best, "sql-call", 75);
    }
    if !tokens.is_call(at) {
        return;
    }
    // any(select 1)
    if !statement
        && tokens.word(at + 2, Word::Select)
        && matches!(tokens.kind(tokens.skip_left(at + 3)), Some(Kind::Number | Kind::Variable))
    {
        add(best, "sql-subquery", 70);
    }
    let benchmark = tokens.bytes(at) == b"benchmark"
        && tokens.operand(at + 2).is_some_and(|behind| tokens.is(behind, Kind::Comma));
    let sleeps = tokens.bytes(at) == b"pg_sleep" || benchmark && tokens.is(at + 2, Kind::Left);
    if sleeps && tokens.is(tokens.skip_left(at + 2), Kind::Number)
        || benchmark && tokens.is(at + 2, Kind::Number)
    {
        add(best, "sql-wait", 70);
    }
    if tokens.word(at, Word::Inner) && tokens.is_subquery(at + 2) {
        add(best, "sql-inner", 75);
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
