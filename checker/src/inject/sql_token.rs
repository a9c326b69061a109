//! The tokens of SQL, in the union of the dialects that are in use: what one server reads as SQL is read here, even where others would not.

/// A word, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    And,
    Or,
    Not,
    Union,
    /// `all`, `distinct`.
    All,
    Select,
    From,
    Where,
    Having,
    Order,
    Group,
    By,
    Limit,
    As,
    Case,
    When,
    Exists,
    Procedure,
    Waitfor,
    Into,
    If,
    Between,
    /// A comparison that is a word: `like`, `regexp`, `in`, `is`, …
    Compare,
    /// `null`, `true`, `false`.
    Literal,
    /// What a statement begins with, other than `select`.
    Statement,
    /// A name of a server's own that programs hardly ever ask for: its catalogue, functions that wait, read files or run commands.
    Inner,
    /// A function that is common in SQL.
    Function,
    Plain,
}

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
    while at < text.len() {
        let (kind, length) = one(&text[at..]);
        if let Some(kind) = kind {
            tokens.push(token(kind, at, at + length));
        }
        at += length.max(1);
    }
    pair(tokens);
}

const fn token(kind: Kind, start: usize, end: usize) -> Token {
    Token { kind, start: start as u32, end: end as u32, behind: 0 }
}

/// How many parentheses may be open at once and still find their partners.
const DEPTH: usize = 64;

fn pair(tokens: &mut [Token]) {
    let count = tokens.len() as u32;
    let (mut open, mut depth) = ([0_usize; DEPTH], 0);
    for number in 0..tokens.len() {
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
        b'a'..=b'z' | b'_' | 0x80.. => word(text),
        b'@' => (Some(Kind::Variable), variable(text)),
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
        if exponent > 0 {
            length += 1 + sign + exponent;
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

fn word(text: &[u8]) -> (Option<Kind>, usize) {
    let length =
        text.iter().take_while(|byte| super::is_word(**byte) || **byte == b'$' || **byte >= 0x80).count();
    let kind = match &text[..length] {
        b"div" | b"mod" => Kind::Arithmetic,
        other => Kind::Word(classify(other)),
    };
    (Some(kind), length)
}

fn classify(word: &[u8]) -> Word {
    if word.len() > 2 && word[0] == b'x' && (word.starts_with(b"xp_") || word.starts_with(b"xmltype")) {
        return Word::Inner;
    }
    match word {
        b"and" => Word::And,
        b"or" | b"xor" => Word::Or,
        b"not" => Word::Not,
        b"union" | b"funion" | b"dunion" | b"intersect" | b"except" | b"minus" => Word::Union,
        b"all" | b"distinct" | b"distinctrow" => Word::All,
        b"select" => Word::Select,
        b"from" => Word::From,
        b"where" => Word::Where,
        b"having" => Word::Having,
        b"order" => Word::Order,
        b"group" => Word::Group,
        b"by" => Word::By,
        b"limit" => Word::Limit,
        b"as" => Word::As,
        b"case" => Word::Case,
        b"when" => Word::When,
        b"exists" => Word::Exists,
        b"procedure" => Word::Procedure,
        b"waitfor" => Word::Waitfor,
        b"into" => Word::Into,
        b"if" | b"iif" => Word::If,
        b"between" => Word::Between,
        b"like" | b"rlike" | b"regexp" | b"in" | b"is" | b"glob" | b"sounds" | b"ilike" | b"similar" => {
            Word::Compare
        }
        b"null" | b"true" | b"false" => Word::Literal,
        b"insert" | b"update" | b"delete" | b"drop" | b"create" | b"alter" | b"exec" | b"execute"
        | b"declare" | b"truncate" | b"grant" | b"revoke" | b"shutdown" | b"merge" | b"replace" | b"call"
        | b"begin" | b"show" | b"set" | b"load" | b"rename" | b"handler" | b"copy" | b"with" | b"explain"
        | b"use" | b"backup" | b"restore" | b"kill" | b"dump" => Word::Statement,
        b"pg_sleep"
        | b"benchmark"
        | b"extractvalue"
        | b"updatexml"
        | b"load_file"
        | b"make_set"
        | b"randomblob"
        | b"ctxsys"
        | b"sysobjects"
        | b"syscolumns"
        | b"sysusers"
        | b"sysdatabases"
        | b"sysibm"
        | b"syscat"
        | b"sysprocesses"
        | b"syslogins"
        | b"information_schema"
        | b"msysaccessobjects"
        | b"msysaces"
        | b"sqlite_master"
        | b"sqlite_version"
        | b"openrowset"
        | b"opendatasource"
        | b"crypt_key"
        | b"regexp_substring"
        | b"all_tables"
        | b"user_tables"
        | b"user_tab_columns"
        | b"pg_user"
        | b"pg_shadow"
        | b"pg_database"
        | b"pg_read_file"
        | b"pg_ls_dir"
        | b"pg_catalog"
        | b"all_users"
        | b"sp_executesql"
        | b"sp_password"
        | b"sp_makewebtask"
        | b"sp_oacreate"
        | b"sp_addextendedproc"
        | b"sp_configure"
        | b"sys_eval"
        | b"sys_exec"
        | b"name_const"
        | b"gtid_subset"
        | b"st_latfromgeohash"
        | b"user_lock"
        | b"sys_context"
        | b"get_host_address"
        | b"drithsx"
        | b"concat_ws"
        | b"group_concat"
        | b"system_user"
        | b"session_user"
        | b"is_srvrolemember"
        | b"is_member"
        | b"db_name"
        | b"host_name"
        | b"all_tab_columns"
        | b"mb_users"
        | b"lo_import"
        | b"query_to_xml"
        | b"database_to_xml"
        | b"load_extension"
        | b"schema_name" => Word::Inner,
        b"sleep"
        | b"elt"
        | b"char"
        | b"chr"
        | b"ascii"
        | b"ord"
        | b"substring"
        | b"substr"
        | b"mid"
        | b"concat"
        | b"hex"
        | b"unhex"
        | b"version"
        | b"user"
        | b"database"
        | b"current_user"
        | b"cast"
        | b"convert"
        | b"count"
        | b"md5"
        | b"sha1"
        | b"sha"
        | b"length"
        | b"len"
        | b"exp"
        | b"floor"
        | b"rand"
        | b"nvl"
        | b"ifnull"
        | b"isnull"
        | b"coalesce"
        | b"pi"
        | b"upper"
        | b"lower"
        | b"repeat"
        | b"row"
        | b"bin"
        | b"conv"
        | b"quote"
        | b"left"
        | b"right"
        | b"greatest"
        | b"least"
        | b"generate_series"
        | b"current_database"
        | b"schema"
        | b"uuid"
        | b"strcmp"
        | b"position"
        | b"locate"
        | b"instr"
        | b"polygon"
        | b"multipoint"
        | b"geometrycollection"
        | b"linestring"
        | b"json_keys"
        | b"aes_encrypt"
        | b"aes_decrypt"
        | b"to_char"
        | b"string_agg"
        | b"listagg"
        | b"unicode"
        | b"nullif"
        | b"if_null"
        | b"reverse"
        | b"compress"
        | b"encode"
        | b"decode"
        | b"password"
        | b"cos"
        | b"sin"
        | b"abs"
        | b"ceil"
        | b"sum"
        | b"min"
        | b"max" => Word::Function,
        other if other.starts_with(b"dbms_") || other.starts_with(b"utl_") || other.starts_with(b"rdb$") => {
            Word::Inner
        }
        _ => Word::Plain,
    }
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
