//! Injection: whether a value says something in a language that a program behind might read: SQL, HTML, a shell's, and others.
//!
//! A value is looked at as it is and, layer by layer, as it decodes ([`decode`]). A scan over its bytes says which languages it can be at all;
//! only their tokenizers run then, and each judges by structure (a string that is left and followed by a condition, a tag with a handler, a
//! separator and then a command), not by a list of attacks that were seen. Why it is built this way, and what it measured at:
//! docs/decisions/0032-injection.md.
//!
//! It reads nothing but the value, does no I/O and does not recurse. Each layer is at most as long as the one before, there are at most
//! [`LAYERS`] of them, and each is gone through a fixed number of times.

mod code;
mod css;
mod decode;
mod header;
mod header_line;
mod header_name;
mod html;
mod html_attribute;
mod html_element;
mod html_fragment;
mod lookup;
mod markup;
mod object;
mod object_class;
mod object_php;
mod object_pickle;
mod object_stream;
mod object_tag;
mod object_term;
mod object_word;
mod path;
mod prototype;
mod query;
mod remote;
mod remote_host;
mod scan;
mod scan_table;
mod script;
mod script_string;
mod script_value;
mod shell;
mod shell_glob;
mod shell_line;
mod shell_word;
mod sql;
mod sql_clause;
mod sql_condition;
mod sql_expression;
mod sql_function;
mod sql_literal;
mod sql_operator;
mod sql_piece;
mod sql_rest;
mod sql_shape;
mod sql_statement;
mod sql_tail;
mod sql_token;
mod sql_word;
mod store;
mod store_code;
mod store_line;
mod store_path;
mod store_query;
mod store_word;
mod template;
mod template_expression;
mod template_name;
mod template_token;
mod xpath;

use std::sync::LazyLock;

use scan::{Scan, Scanner};

use crate::Reason;

/// How often a value is decoded, at most, plus one.
pub const LAYERS: usize = 5;
/// The score from which on a value is an attack.
pub const THRESHOLD: u16 = 60;
/// What the first value has room for: growing step by step costs more than judging.
const LEAST: usize = 512;
/// Bytes of decoded text that a finding shows, at most.
const SHOWN: usize = 128;

/// What an attack is written in, or aims at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// SQL.
    Sql,
    /// Operators and code of document stores.
    NoSql,
    /// HTML and script.
    Xss,
    /// A shell's commands.
    Command,
    /// Paths out of a folder, and files that every system has.
    Traversal,
    /// Templates that are evaluated on the server.
    Template,
    /// LDAP filters.
    Ldap,
    /// XPath.
    XPath,
    /// Line ends that begin another header, of mail or of HTTP.
    Header,
    /// Addresses that only the server itself reaches.
    Ssrf,
    /// XML entities.
    Xxe,
    /// Serialised objects.
    Deserialisation,
    /// Look-ups in log messages and expression languages (Log4Shell).
    Lookup,
    /// Names that reach a prototype or a class.
    Prototype,
    /// Server-side includes.
    Include,
    /// Source code that a server's interpreter runs.
    Code,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 16] = [
        Self::Sql,
        Self::NoSql,
        Self::Xss,
        Self::Command,
        Self::Traversal,
        Self::Template,
        Self::Ldap,
        Self::XPath,
        Self::Header,
        Self::Ssrf,
        Self::Xxe,
        Self::Deserialisation,
        Self::Lookup,
        Self::Prototype,
        Self::Include,
        Self::Code,
    ];

    /// Why a request with such a value is refused.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Sql => Reason::InjectionSql,
            Self::NoSql => Reason::InjectionNoSql,
            Self::Xss => Reason::InjectionXss,
            Self::Command => Reason::InjectionCommand,
            Self::Traversal => Reason::InjectionTraversal,
            Self::Template => Reason::InjectionTemplate,
            Self::Ldap => Reason::InjectionLdap,
            Self::XPath => Reason::InjectionXPath,
            Self::Header => Reason::InjectionHeader,
            Self::Ssrf => Reason::InjectionSsrf,
            Self::Xxe => Reason::InjectionXxe,
            Self::Deserialisation => Reason::InjectionDeserialisation,
            Self::Lookup => Reason::InjectionLookup,
            Self::Prototype => Reason::InjectionPrototype,
            Self::Include => Reason::InjectionInclude,
            Self::Code => Reason::InjectionCode,
        }
    }

    /// As reports have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::NoSql => "nosql",
            Self::Xss => "xss",
            Self::Command => "command",
            Self::Traversal => "traversal",
            Self::Template => "template",
            Self::Ldap => "ldap",
            Self::XPath => "xpath",
            Self::Header => "header",
            Self::Ssrf => "ssrf",
            Self::Xxe => "xxe",
            Self::Deserialisation => "deserialisation",
            Self::Lookup => "lookup",
            Self::Prototype => "prototype",
            Self::Include => "include",
            Self::Code => "code",
        }
    }
}

/// Where a value stands, as far as it matters to what it may mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A value of a form, of JSON, of XML, of a query.
    Value,
    /// A segment of the path.
    Path,
    /// A header's value, which has parentheses and semicolons of its own.
    Header,
    /// The name of a parameter, an entry or a property.
    Name,
    /// The name of a file.
    FileName,
}

/// What was found in a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What kind of attack it is.
    pub class: Class,
    /// The rule that found it.
    pub rule: &'static str,
    /// From [`THRESHOLD`] to 100.
    pub score: u16,
    /// How often the value was decoded to find it.
    pub layer: usize,
    /// The decoded value's beginning, at most 128 bytes. Not masked.
    pub decoded: String,
}

/// What one rule says of one layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Hit {
    class: Class,
    rule: &'static str,
    score: u16,
}

/// The strongest of the hits so far.
#[derive(Default)]
struct Best(Option<Hit>);

impl Best {
    fn add(&mut self, class: Class, rule: &'static str, score: u16) {
        if self.0.is_none_or(|best| score > best.score) {
            self.0 = Some(Hit { class, rule, score });
        }
    }

    /// Whether there is no need to look on.
    fn certain(&self) -> bool {
        self.0.is_some_and(|best| best.score >= THRESHOLD)
    }
}

/// A layer of a value, as the judges have it.
struct Text<'t> {
    /// As it is.
    raw: &'t [u8],
    /// With ASCII letters in lower case.
    lower: &'t [u8],
    scan: Scan,
    kind: Kind,
    /// How often it was decoded.
    layer: usize,
}

/// Memory that is used again for each value.
#[derive(Default, Debug)]
pub struct Scratch {
    layer: Vec<u8>,
    next: Vec<u8>,
    lower: Vec<u8>,
    tokens: Vec<sql_token::Token>,
}

/// Judges values. Made once: it compiles its list of marks.
pub struct Detector {
    scanner: Scanner,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// With all rules.
    pub fn new() -> Self {
        Self { scanner: Scanner::new() }
    }

    /// The one that all share.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Detector> = LazyLock::new(Detector::new);
        &SHARED
    }

    /// What speaks against a value, if anything does.
    pub fn judge(&self, value: &str, kind: Kind, scratch: &mut Scratch) -> Option<Finding> {
        self.judge_bytes(value.as_bytes(), kind, scratch)
    }

    /// As [`Detector::judge`]; the bytes need not be UTF-8.
    pub fn judge_bytes(&self, value: &[u8], kind: Kind, scratch: &mut Scratch) -> Option<Finding> {
        let mut scan = self.scanner.scan(value);
        let found = layer(value, scan, kind, 0, &mut scratch.lower, &mut scratch.tokens);
        if found.is_some() || !decode::next(value, scan, &mut scratch.layer) {
            return found;
        }
        for number in 1..LAYERS {
            scan = self.scanner.scan(&scratch.layer);
            let found = layer(&scratch.layer, scan, kind, number, &mut scratch.lower, &mut scratch.tokens);
            if found.is_some() || !decode::next(&scratch.layer, scan, &mut scratch.next) {
                return found;
            }
            std::mem::swap(&mut scratch.layer, &mut scratch.next);
        }
        None
    }
}

/// One layer of a value.
fn layer(
    raw: &[u8],
    scan: Scan,
    kind: Kind,
    layer: usize,
    lower: &mut Vec<u8>,
    tokens: &mut Vec<sql_token::Token>,
) -> Option<Finding> {
    // A stream may have nothing but letters and digits in it.
    let stream = object_stream::whole(raw, scan);
    let stream = stream.map(|rule| Hit { class: Class::Deserialisation, rule, score: 85 });
    if stream.is_none() && scan.plain() {
        return None;
    }
    let hit = if let Some(hit) = stream {
        hit
    } else {
        lower.clear();
        lower.reserve(raw.len().max(LEAST));
        lower.extend(raw.iter().map(u8::to_ascii_lowercase));
        judge(&Text { raw, lower, scan, kind, layer }, tokens)?
    };
    let decoded = String::from_utf8_lossy(&raw[..raw.len().min(SHOWN)]);
    let end = decoded.floor_char_boundary(SHOWN);
    Some(Finding {
        class: hit.class,
        rule: hit.rule,
        score: hit.score,
        layer,
        decoded: decoded[..end].to_owned(),
    })
}

/// One language's judge.
type Judge = fn(&Text<'_>, &mut Best);
/// Those before SQL: their marks are rare elsewhere.
const FIRST: [Judge; 9] = [
    code::judge,
    template::judge,
    markup::judge,
    query::judge,
    path::judge,
    remote::judge,
    header::judge,
    html::judge,
    script::judge,
];
/// Those behind it, which would take some SQL for theirs.
const LAST: [Judge; 3] = [store_query::judge, shell::judge, query::judge_filters];

/// Each judge in turn, until one is certain.
fn judge(text: &Text<'_>, tokens: &mut Vec<sql_token::Token>) -> Option<Hit> {
    let mut best = Best::default();
    for judge in FIRST {
        judge(text, &mut best);
        if best.certain() {
            return best.0;
        }
    }
    tokens.clear();
    tokens.reserve(LEAST / 8);
    sql::judge(text, tokens, &mut best);
    for judge in LAST {
        if best.certain() {
            break;
        }
        judge(text, &mut best);
    }
    best.0.filter(|hit| hit.score >= THRESHOLD)
}

/// Whether a byte can be part of a word: a letter, a digit or `_`.
const fn is_word(byte: u8) -> bool {
    // All tokenizers ask this of each byte: a table answers faster than comparisons.
    WORD_BYTES[byte as usize]
}

const WORD_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
};

/// Where `needle` stands first. Values are short, and so are needles: one that is prepared for costs more than it saves.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, rest) = needle.split_first()?;
    let starts = text.get(..=text.len().checked_sub(needle.len())?)?;
    memchr::memchr_iter(first, starts).find(|at| text[at + 1..].starts_with(rest))
}

/// The places where `needle` stands, those that overlap as one.
fn places<'t>(text: &'t [u8], needle: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + find(text.get(from..)?, needle)?;
        from = at + needle.len();
        Some(at)
    })
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    find(text, needle).is_some()
}

/// The text without white space and control characters at its beginning.
fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| byte > b' ' && byte != 0x7f).unwrap_or(text.len());
    &text[start..]
}

#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod neighbours_store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod work;
