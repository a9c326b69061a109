//! An operator between two quotes: all that is needed to leave a string and to enter it again.

use super::{Best, sql::add, sql_condition::Tokens, sql_token::is_empty_comment};

/// Nothing but an operator between two quotes, with a word before and behind at most: `' or '`, `A '||' B`. Double quotes are left out: sentences
/// have them around signs and words.
pub(super) fn between_quotes(tokens: Tokens<'_>, best: &mut Best) {
    let text = tokens.text.trim_ascii();
    // Most values have no quotes at all.
    if text.len() > 64 || memchr::memchr_iter(b'\'', text).nth(1).is_none() {
        return;
    }
    let bare: Vec<u8>;
    let text = if super::contains(text, b"/*") {
        bare = without_comments(text);
        bare.trim_ascii()
    } else {
        text
    };
    if text.len() > 32 {
        return;
    }
    let quotes = memchr::memchr_iter(b'\'', text).take(3);
    let mut places = [0; 3];
    let mut count = 0;
    for at in quotes {
        places[count] = at;
        count += 1;
    }
    let [start, end, _] = places;
    if count != 2 {
        return;
    }
    let word = |part: &[u8]| part.len() <= 8 && part.iter().all(|byte| super::is_word(*byte));
    // What cuts off the rest: A '-' B -- -
    let behind = &text[end + 1..];
    let cut = super::find(behind, b"--").or_else(|| memchr::memchr(b'#', behind));
    let behind = match cut {
        Some(at) if is_empty_comment(&behind[at..]) => &behind[..at],
        _ => behind.strip_suffix(b";").unwrap_or(behind),
    };
    let lead = text[..start].trim_ascii();
    let around = word(lead.strip_prefix(b"-").unwrap_or(lead)) && word(behind.trim_ascii());
    let inner = text[start + 1..end].trim_ascii();
    let operator = matches!(
        inner,
        b"||"
            | b"&&"
            | b"<<"
            | b">>"
            | b"!="
            | b"<="
            | b">="
            | b"<>"
            | b"+"
            | b"-"
            | b"*"
            | b"/"
            | b"%"
            | b"^"
            | b"|"
            | b"&"
            | b"<"
            | b">"
            | b"="
            | b"=+"
            | b"=-"
            | b"or"
            | b"and"
            | b"xor"
            | b"div"
            | b"mod"
            | b"like"
            | b"not like"
            | b"rlike"
            | b"not rlike"
            | b"regexp"
            | b"not regexp"
            | b"sounds like"
            | b"in"
            | b"not in"
            | b"is"
            | b"is not"
            | b"between"
            | b"not between"
    );
    if around && operator {
        add(best, "sql-operator", 65);
    }
}

/// With a space in place of each comment.
fn without_comments(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = super::find(rest, b"/*") {
        plain.extend_from_slice(&rest[..start]);
        plain.push(b' ');
        let end = super::find(&rest[start + 2..], b"*/").map_or(rest.len(), |end| start + end + 4);
        rest = &rest[end..];
    }
    plain.extend_from_slice(rest);
    plain
}
