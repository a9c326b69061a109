//! The tokens of SQL, in the union of the dialects that are in use: what one server reads as SQL is read here, even where others would not.

pub(super) use super::sql_word::Word;
use super::sql_word::classify;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Number,
    /// A string that is closed.
    String,
    /// A string that nothing closes.
    Open,
    Word(Word),
    Variable,
    /// `=`, `<`, `>`, `<=`, `!=`, …
    Compare,
    /// `+`, `-`, `*`, `/`, `%`, `^`, `~`, `!`, `&`, `|`, `:=`, `::`
    Arithmetic,
    /// `||`: to some servers "or", to others it joins strings.
    Bars,
    /// `&&`
    Ampersands,
    Comma,
    Dot,
    /// `(`
    Left,
    /// `)`
    Right,
    Semicolon,
    /// A comment up to the end of its line or text.
    Comment,
    Other,
}

impl Kind {
    /// A bit of its own, for sets of kinds.
    pub(super) const fn bit(self) -> u64 {
        1 << match self {
            Self::Number => 0,
            Self::String => 1,
            Self::Open => 2,
            Self::Variable => 3,
            Self::Compare => 4,
            Self::Arithmetic => 5,
            Self::Bars => 6,
            Self::Ampersands => 7,
            Self::Comma => 8,
            Self::Dot => 9,
            Self::Left => 10,
            Self::Right => 11,
            Self::Semicolon => 12,
            Self::Comment => 13,
            Self::Other => 14,
            Self::Word(word) => 15 + word as u32,
        }
    }
}

impl Word {
    /// That of a token that is this word.
    pub(super) const fn bit(self) -> u64 {
        Kind::Word(self).bit()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
    /// For `(`: the token behind its `)`, or the number of tokens.
    pub(super) behind: u32,
}

/// Whether a text is read from outside a string, or from within one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Context {
    Bare,
    /// Within a string that this quote closes.
    Quoted(u8),
}

/// Reads all of `text`, in lower case, and writes its tokens. Read from within a string, the first token is what is left of it; there are none
/// if nothing closes it.
pub(super) fn read(text: &[u8], context: Context, tokens: &mut Vec<Token>) {
    tokens.clear();
    let mut at = 0;
    if let Context::Quoted(quote) = context {
        let Some(end) = memchr::memchr(quote, text) else { return };
        at = end + 1;
        tokens.push(token(Kind::String, 0, at));
    }
    while let Some(&byte) = text.get(at) {
        // Most bytes are of words and the spaces between.
        if byte == b' ' {
            at += 1;
            continue;
        }
        let (kind, length) = if byte.is_ascii_lowercase() { word(&text[at..]) } else { one(&text[at..]) };
        if let Some(kind) = kind {
            tokens.push(token(kind, at, at + length));
        }
        at += length.max(1);
    }
    ended(text, tokens);
    pair(tokens);
}

/// Makes one of a semicolon and what cuts off the rest behind it, a comment or a NUL.
fn ended(text: &[u8], tokens: &mut Vec<Token>) {
    let count = tokens.len();
    let Some(last) = tokens.last().copied() else { return };
    let end = text.trim_ascii_end();
    let nul = last.kind == Kind::Semicolon && (end.ends_with(b";\0") || end.ends_with(b";%00"));
    if nul && let Some(last) = tokens.last_mut() {
        last.kind = Kind::Comment;
        last.end = text.len() as u32;
    }
    if count < 2 || last.kind != Kind::Comment || tokens[count - 2].kind != Kind::Semicolon {
        return;
    }
    if is_empty_comment(&text[last.start as usize..]) {
        tokens.pop();
        if let Some(comment) = tokens.last_mut() {
            comment.kind = Kind::Comment;
            comment.end = text.len() as u32;
        }
    }
}

/// Whether a comment says nothing: it only cuts off what follows the value.
pub(super) fn is_empty_comment(comment: &[u8]) -> bool {
    let comment = comment.strip_prefix(b";").map_or(comment, super::trim_start).trim_ascii_end();
    let comment = comment
        .strip_suffix(b"\0")
        .or_else(|| comment.strip_suffix(b"+"))
        .or_else(|| comment.strip_suffix(b" -"))
        .or_else(|| comment.strip_suffix(b"sp_password"))
        .unwrap_or(comment);
    let comment = comment.trim_ascii_end();
    // Whoever is not sure which sign cuts off writes more than one: `-- -`, `--#`, `-- /*`.
    let signs = comment.iter().all(|byte| matches!(byte, b'-' | b'#' | b'/' | b'*' | b';' | b' '));
    matches!(comment, b"" | b"--" | b"#" | b"/*" | b"%00") || signs && comment.len() <= 8
}

const fn token(kind: Kind, start: usize, end: usize) -> Token {
    Token { kind, start: start as u32, end: end as u32, behind: 0 }
}

/// How many parentheses may be open at once and still find their partners.
const DEPTH: usize = 64;

fn pair(tokens: &mut [Token]) {
    let count = tokens.len() as u32;
    let Some(first) = tokens.iter().position(|token| token.kind == Kind::Left) else { return };
    let (mut open, mut depth) = ([0_usize; DEPTH], 0);
    for number in first..tokens.len() {
        match tokens[number].kind {
            Kind::Left => {
                tokens[number].behind = count;
                if depth < DEPTH {
                    open[depth] = number;
                }
                depth += 1;
            }
            Kind::Right if depth > 0 => {
                depth -= 1;
                if depth < DEPTH {
                    tokens[open[depth]].behind = number as u32 + 1;
                }
            }
            _ => {}
        }
    }
}

/// The token that a text begins with, if any, and how many bytes are read.
fn one(text: &[u8]) -> (Option<Kind>, usize) {
    let second = text.get(1).copied().unwrap_or(0);
    match text[0] {
        b'0'..=b'9' => (Some(Kind::Number), number(text)),
        b'.' if second.is_ascii_digit() => (Some(Kind::Number), number(text)),
        quote @ (b'\'' | b'"') => {
            let (length, closed) = string(text, quote);
            (Some(if closed { Kind::String } else { Kind::Open }), length)
        }
        b'`' => match memchr::memchr(b'`', &text[1..]) {
            Some(length) => (Some(Kind::Word(Word::Plain)), length + 2),
            None => (Some(Kind::Other), 1),
        },
        // Latin-1's hard space, which is white space to MySQL. Where it is part of a character, that one's first byte stands before it.
        0xa0 => (None, 1),
        b'a'..=b'z' | b'_' | 0x80.. => word(text),
        b'@' => (Some(Kind::Variable), variable(text)),
        // Two signs of a number, to MySQL.
        b'-' if second == b'-' && text.get(2).is_some_and(u8::is_ascii_digit) => (Some(Kind::Arithmetic), 2),
        b'-' if second == b'-' => comment(text, 2),
        b'#' => comment(text, 1),
        b'/' if second == b'*' => block(text),
        // The end of a comment that is read as what it holds.
        b'*' if second == b'/' => (None, 2),
        b'<' if text.starts_with(b"<=>") => (Some(Kind::Compare), 3),
        b'=' | b'<' | b'>' => (Some(Kind::Compare), if matches!(second, b'=' | b'<' | b'>') { 2 } else { 1 }),
        b'!' | b'^' | b'~' if second == b'=' => (Some(Kind::Compare), 2),
        b'|' if second == b'|' => (Some(Kind::Bars), 2),
        b'&' if second == b'&' => (Some(Kind::Ampersands), 2),
        b':' if matches!(second, b'=' | b':') => (Some(Kind::Arithmetic), 2),
        b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'~' | b'!' | b'&' | b'|' => (Some(Kind::Arithmetic), 1),
        b',' => (Some(Kind::Comma), 1),
        b'.' => (Some(Kind::Dot), 1),
        b'(' => (Some(Kind::Left), 1),
        b')' => (Some(Kind::Right), 1),
        b';' => (Some(Kind::Semicolon), 1),
        0..=b' ' | 0x7f => (None, 1),
        // MySQL's NULL.
        b'\\' if second == b'n' && !text.get(2).is_some_and(|byte| super::is_word(*byte)) => {
            (Some(Kind::Word(Word::Literal)), 2)
        }
        _ => (Some(Kind::Other), 1),
    }
}

fn number(text: &[u8]) -> usize {
    let digits = |from: usize, is: fn(&u8) -> bool| text[from..].iter().take_while(|byte| is(byte)).count();
    if let [b'0', b'x' | b'b', rest, ..] = text
        && rest.is_ascii_hexdigit()
    {
        return 2 + digits(2, u8::is_ascii_hexdigit);
    }
    let mut length = digits(0, |byte| byte.is_ascii_digit() || *byte == b'.');
    if text.get(length) == Some(&b'e') {
        let sign = usize::from(matches!(text.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits((length + 1 + sign).min(text.len()), u8::is_ascii_digit);
        // MySQL reads 1.e( as 1 and (.
        let cut = text.get(length - 1) == Some(&b'.')
            && !text.get(length + 1).is_some_and(|byte| super::is_word(*byte));
        if exponent > 0 {
            length += 1 + sign + exponent;
        } else if cut {
            length += 1;
        }
    }
    length
}

fn string(text: &[u8], quote: u8) -> (usize, bool) {
    let mut at = 1;
    while let Some(step) = text.get(at..).and_then(|rest| memchr::memchr2(quote, b'\\', rest)) {
        at += step;
        let doubled = text.get(at + 1) == Some(&quote) && at > 1;
        if text[at] == b'\\' || doubled {
            at += 2;
        } else {
            return (at + 1, true);
        }
    }
    (text.len(), false)
}

fn variable(text: &[u8]) -> usize {
    let at = if text.get(1) == Some(&b'@') { 2 } else { 1 };
    match text.get(at) {
        Some(&quote @ (b'`' | b'\'' | b'"')) => {
            memchr::memchr(quote, &text[at + 1..]).map_or(text.len(), |length| at + 2 + length)
        }
        _ => at + text[at..].iter().take_while(|byte| super::is_word(**byte) || **byte == b'$').count(),
    }
}

fn comment(text: &[u8], start: usize) -> (Option<Kind>, usize) {
    match memchr::memchr(b'\n', &text[start..]) {
        // What stands in the next line goes on where this one left off.
        Some(length) => (None, start + length),
        None => (Some(Kind::Comment), text.len()),
    }
}

/// A comment in the midst is white space; one that `!` begins is read as what it holds; one that nothing closes goes to the end.
fn block(text: &[u8]) -> (Option<Kind>, usize) {
    if text.get(2) == Some(&b'!') {
        return (None, 3 + text[3..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count());
    }
    match memchr::memmem::find(&text[2..], b"*/") {
        Some(length) => (None, length + 4),
        None => (Some(Kind::Comment), text.len()),
    }
}

/// What ends a word: all but bytes of other languages' words, `$`, and whatever is no ASCII. A hard space is asked about.
const ENDS_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = !(super::is_word(byte as u8) || byte as u8 == b'$' || byte >= 0x80) || byte == 0xa0;
        byte += 1;
    }
    table
};

fn word(text: &[u8]) -> (Option<Kind>, usize) {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        length += rest.iter().position(|byte| ENDS_WORD[usize::from(*byte)]).unwrap_or(rest.len());
        // A hard space ends the word unless it is a part of a character.
        if length == 0 || text.get(length) != Some(&0xa0) || text[length - 1] < 0x80 {
            break;
        }
        length += 1;
    }
    let kind = match &text[..length] {
        b"div" | b"mod" => Kind::Arithmetic,
        other => Kind::Word(classify(other)),
    };
    (Some(kind), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str, context: Context) -> Vec<Kind> {
        let mut tokens = Vec::new();
        read(text.as_bytes(), context, &mut tokens);
        tokens.iter().map(|token| token.kind).collect()
    }

    #[test]
    fn a_text_is_read_as_sql_from_outside_and_from_within_a_string() {
        use Kind::{Comment, Compare, Left, Number, Open, String, Word as W};
        assert_eq!(
            kinds("1or/**/0x1f=1e5-- x", Context::Bare),
            [Number, W(Word::Or), Number, Compare, Number, Comment]
        );
        assert_eq!(
            kinds("1' or 'a'='a", Context::Quoted(b'\'')),
            [String, W(Word::Or), String, Compare, Open]
        );
        assert_eq!(kinds("/*!50000union*/ select(", Context::Bare), [W(Word::Union), W(Word::Select), Left]);
        assert_eq!(kinds("no quote", Context::Quoted(b'"')), []);
        assert_eq!(kinds("'a''b\\'c' @@x `y`", Context::Bare), [String, Kind::Variable, W(Word::Plain)]);
    }

    #[test]
    fn any_bytes_are_read_to_their_end() {
        for text in [
            "'", "\\", "'\\", "@", "@`", "/*", "/*!", "`", "0x", "1e", "1e+", ".", "@@'", "\u{e9}", "--",
            "#", "(((((",
        ] {
            for context in [Context::Bare, Context::Quoted(b'\''), Context::Quoted(b'"')] {
                kinds(text, context);
            }
        }
    }
}
