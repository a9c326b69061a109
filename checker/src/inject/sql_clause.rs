//! Clauses of SQL behind a closed string or a column, by their grammar, and what cuts off the rest of the statement behind them.

use super::{
    Best,
    sql::add,
    sql_condition::Tokens,
    sql_token::{Kind, Word, is_empty_comment},
};

/// Longer values have other things in them.
const SHORT: usize = 128;

/// A value that stands in a statement without quotes around it.
pub(super) fn bare(tokens: Tokens<'_>, best: &mut Best) {
    if tokens.text.len() > SHORT || tokens.text.contains(&b'\n') {
        return;
    }
    let Some(last) = tokens.all.len().checked_sub(1) else { return };
    let cut = tokens.is(last, Kind::Comment) && cuts_off(tokens.bytes(last));
    let column = matches!(tokens.kind(0), Some(Kind::Word(Word::Plain) | Kind::Number));
    let ordered = usize::from(matches!(tokens.bytes(1), b"asc" | b"desc"));
    // id limit 1--, id desc--
    let limited = tokens.word(1, Word::Limit) && tokens.is(2, Kind::Number) && last <= 5;
    if column && cut && (limited || ordered == 1 && last == 2) {
        add(best, "sql-limit", 70);
    }
    // id desc,(select 1)
    let chosen = |inner| tokens.word(inner, Word::Case) && tokens.word(inner + 1, Word::When);
    if column
        && tokens.is(1 + ordered, Kind::Comma)
        && tokens.is(2 + ordered, Kind::Left)
        && (chosen(tokens.skip_left(2 + ordered)) || tokens.is_subquery(2 + ordered))
    {
        add(best, "sql-subquery", 75);
    }
    // 1 union values(1), 1 union table a
    if tokens.is(0, Kind::Number) && tokens.word(1, Word::Union) && rows(tokens, 2) {
        add(best, "sql-union", 75);
    }
    // 0 or @a, 0 or ~1, 0 or 1 between 0 and 2
    if tokens.is(0, Kind::Number) && tokens.is_or(1) && matches!(tokens.kind(1), Some(Kind::Word(_))) {
        let sign = matches!(tokens.bytes(2), b"~" | b"!") && tokens.is(3, Kind::Number) && last == 3;
        let variable = tokens.is(2, Kind::Variable) && last == 2;
        let compared = tokens.is(2, Kind::Number)
            && matches!(tokens.kind(3), Some(Kind::Word(Word::Compare | Word::Between)))
            && tokens.bytes(3) != b"in"
            && tokens.is(4, Kind::Number);
        if sign || variable || compared {
            add(best, "sql-condition", 70);
        }
    }
    // dbms_pipe.receive_message('a',5): Oracle's own packages
    let package = || [&b"dbms_"[..], b"utl_"].iter().any(|start| tokens.bytes(0).starts_with(start));
    if tokens.is(1, Kind::Dot) && tokens.is(3, Kind::Left) && package() {
        add(best, "sql-package", 70);
    }
}

/// A value that closes the string it stands in.
pub(super) fn quoted(tokens: Tokens<'_>, best: &mut Best) {
    let Some(last) = tokens.all.len().checked_sub(1) else { return };
    let before = tokens.bytes(0);
    if tokens.text.len() > SHORT
        || before.len() > 24
        || tokens.text.contains(&b'\n')
        || !before.ends_with(b"'")
    {
        return;
    }
    let value = before[..before.len() - 1].iter().all(|byte| super::is_word(*byte) || b"%@.-".contains(byte));
    if !value {
        return;
    }
    let cut = tokens.is(last, Kind::Comment) && cuts_off(tokens.bytes(last));
    // x' union values (1) --
    if tokens.word(1, Word::Union) && rows(tokens, 2) {
        add(best, "sql-union", 80);
    }
    if cut && ends_query(tokens, last) {
        add(best, "sql-clause", 75);
    }
    // x' not between 1 and 2 --
    if cut
        && tokens.word(1, Word::Not)
        && matches!(tokens.kind(2), Some(Kind::Word(Word::Between | Word::Compare)))
    {
        add(best, "sql-condition", 70);
    }
    // x'; vacuum --
    let spaced = tokens.all[last].start > 0 && tokens.text[tokens.all[last].start as usize - 1] <= b' ';
    if cut
        && spaced
        && tokens.is(1, Kind::Semicolon)
        && matches!(tokens.kind(2), Some(Kind::Word(_)))
        && last >= 3
    {
        add(best, "sql-stacked", 75);
    }
    // ', password='x' where id=1
    if tokens.is(1, Kind::Comma)
        && matches!(tokens.kind(2), Some(Kind::Word(_)))
        && tokens.bytes(3) == b"="
        && tokens.is_literal(4)
        && tokens.word(5, Word::Where)
    {
        add(best, "sql-set", 75);
    }
    // ' or 1=, ' or (: what is put behind it goes on.
    let open = before.len() == 1 && tokens.is_or(1) && matches!(tokens.kind(1), Some(Kind::Word(_)));
    let compared = last == 3 && tokens.is_literal(2) && tokens.is(3, Kind::Compare);
    if open && (compared || last == 2 && tokens.is(2, Kind::Left)) {
        add(best, "sql-open", 65);
    }
}

/// What ends a query of MySQL's or of the standard's, up to the comment at `last`: `for update`, `collate a`, `against('a')`.
fn ends_query(tokens: Tokens<'_>, last: usize) -> bool {
    let at = tokens.skip_right(1);
    match tokens.bytes(at) {
        b"for" => matches!(tokens.bytes(at + 1), b"update" | b"share") && last == at + 2,
        b"lock" => tokens.word(at + 1, Word::Compare) && tokens.bytes(at + 2) == b"share",
        b"collate" => last == at + 2,
        b"against" => tokens.is(at + 1, Kind::Left),
        _ => tokens.is_or(at) && tokens.bytes(at + 1) == b"match" && tokens.is(at + 2, Kind::Left),
    }
}

/// Rows that a query is joined with and that no `select` fetches: `values (1)`, `table a`.
pub(super) fn rows(tokens: Tokens<'_>, at: usize) -> bool {
    let at = if tokens.word(at, Word::All) { at + 1 } else { at };
    tokens.bytes(at) == b"values" && tokens.is(at + 1, Kind::Left)
        || tokens.bytes(at) == b"table"
            && matches!(tokens.kind(at + 1), Some(Kind::Word(_)))
            && tokens.ends(at + 2)
}

/// Whether a comment says nothing, and is written as only SQL's are.
fn cuts_off(comment: &[u8]) -> bool {
    comment.starts_with(b"--") && is_empty_comment(comment)
}

#[cfg(test)]
mod tests {
    use super::super::{Class, Detector, Kind as Place, Scratch};

    fn found(value: &str) -> Option<Class> {
        Detector::shared().judge(value, Place::Value, &mut Scratch::default()).map(|finding| finding.class)
    }

    #[test]
    fn clauses_that_cut_off_the_rest_are_told_from_sentences_and_code() {
        for attack in [
            "id limit 1--",
            "id desc--",
            "id,(select 1)",
            "id desc,(select 1)",
            "1 union values(1)",
            "1 union table users",
            "0 or ~1",
            "0 or @a",
            "0 or 1 between 0 and 2",
            "dbms_pipe.receive_message('a',5)",
            "abc' for update --",
            "abc' lock in share mode --",
            "abc' union values (1,2) --",
            "abc' union table users --",
            "') against('a' in boolean mode) --",
            "abc' not between 1 and 2 --",
            "abc'; vacuum --",
            "abc'; grant dba to x --",
            "', name='x' where id=1--",
            "' or 1=",
            "' or (",
        ] {
            assert_eq!(found(attack), Some(Class::Sql), "{attack}");
        }
        for benign in [
            "0 or 1",
            "returns 0 or -1",
            "-1 or 1",
            "x--",
            "i desc",
            "name, (selected)",
            "a'; i--",
            "it's for update",
            "the lock' in share mode",
            "utl_file",
            "1 union of states",
            "credit union table reservations",
        ] {
            assert_eq!(found(benign), None, "{benign}");
        }
    }
}
