//! Patterns that values are held against: shipped categories, and the operator's own.
//!
//! Every pattern is compiled in full beforehand, many to one table of states (a deterministic automaton), so that a value costs one look-up
//! a byte for each table, whatever is in it: nothing is built, and nothing backtracks, while a value is searched. Bytes are matched, not
//! characters: a word boundary is one of ASCII, because what decides on one of Unicode makes every engine slow where a byte is beyond ASCII.

mod place;
mod shipped;

use std::{collections::BTreeMap, fmt};

use regex_automata::{
    Input, MatchKind, PatternSet,
    dfa::{Automaton as _, StartKind, dense},
    nfa::thompson,
};
use regex_syntax::hir::Hir;

pub use place::{At, JsonStep, JsonTest, PlaceError, Where, XmlStep, XmlTest};
pub use shipped::{Category, categories, shipped};

/// How large compiled patterns may become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a pattern, as it is written.
    pub expression: usize,
    /// Bytes of a table of states; what is larger is divided into several.
    pub table: usize,
    /// Tables: a value is searched at most so many times, twice where it is found.
    pub tables: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { expression: 4 << 10, table: 512 << 10, tables: 64 }
    }
}

/// A pattern.
#[derive(Clone, PartialEq, Debug)]
pub struct Pattern {
    /// What it is called in verdicts.
    pub name: String,
    /// The category that it is switched on and off with.
    pub category: String,
    /// A regular expression in the syntax of the `regex` crate, over bytes: `(?i)` is for ASCII, and `.` any byte but a line feed.
    pub expression: String,
    /// Where it is looked for; everywhere in a request if there is none.
    pub places: Vec<Where>,
}

impl Pattern {
    fn covers(&self, at: &At<'_>) -> bool {
        self.places.is_empty() || self.places.iter().any(|place| place.covers(at))
    }

    fn kinds(&self) -> u16 {
        if self.places.is_empty() {
            return place::REQUEST;
        }
        self.places.iter().fold(0, |kinds, place| kinds | place.kind())
    }
}

/// Why patterns cannot be compiled.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It is no regular expression.
    #[error("pattern `{name}`, line {line}, column {column}: {what}")]
    Syntax {
        /// The pattern's name.
        name: String,
        /// Line of the expression, from 1.
        line: usize,
        /// Column of the expression, in characters, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// It has a word boundary of Unicode.
    #[error(
        "pattern `{name}`: `(?u)` makes a word boundary one of Unicode, which is slow on bytes beyond ASCII; write `(?-u:\\b)`"
    )]
    UnicodeBoundary {
        /// The pattern's name.
        name: String,
    },
    /// It is found in everything.
    #[error(
        "pattern `{name}`: it matches the empty text, and so is found everywhere; say what has to be there"
    )]
    Empty {
        /// The pattern's name.
        name: String,
    },
    /// It is too long, or its table is too large.
    #[error("pattern `{name}`: it needs more than {limit} bytes{}; use fewer counted repetitions", if *.compiled { " compiled" } else { "" })]
    TooLarge {
        /// The pattern's name.
        name: String,
        /// The limit, in bytes.
        limit: usize,
        /// Whether it is the limit of the table.
        compiled: bool,
    },
    /// All of them together need too many tables.
    #[error("the patterns need more than {limit} tables of states; leave some out, or make them simpler")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// The pattern that it is about.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Syntax { name, .. }
            | Self::UnicodeBoundary { name }
            | Self::Empty { name }
            | Self::TooLarge { name, .. } => Some(name),
            Self::TooMany { .. } => None,
        }
    }
}

/// Patterns with the same places in one table of states.
struct Table {
    kinds: u16,
    states: dense::DFA<Vec<u32>>,
    /// The pattern of each number that the table has.
    members: Vec<usize>,
}

impl fmt::Debug for Patterns {
    /// The tables of states are no reading.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patterns").field("patterns", &self.patterns).finish_non_exhaustive()
    }
}

/// Compiled patterns.
pub struct Patterns {
    patterns: Vec<Pattern>,
    tables: Vec<Table>,
}

impl Patterns {
    /// Compiles patterns. It takes milliseconds for each, and is for when a policy is read.
    ///
    /// # Errors
    ///
    /// The [`Error`] of the first pattern that cannot be compiled, by its name.
    pub fn compile(patterns: Vec<Pattern>, limits: &Limits) -> Result<Self, Error> {
        let mut parsed = Vec::with_capacity(patterns.len());
        // What is of one category and place has much in common, and makes a smaller table than what has not.
        let mut alike: BTreeMap<(u16, &str), Vec<usize>> = BTreeMap::new();
        for (number, pattern) in patterns.iter().enumerate() {
            parsed.push(parse(pattern, limits)?);
            alike.entry((pattern.kinds(), &pattern.category)).or_default().push(number);
        }
        let mut tables = Vec::new();
        for ((kinds, _), members) in alike {
            // What makes too large a table is halved, until it does not.
            let mut left = vec![members];
            while let Some(mut members) = left.pop() {
                let expressions: Vec<&Hir> =
                    members.iter().filter_map(|&number| parsed.get(number)).collect();
                match (states(&expressions, limits), &*members) {
                    (Some(states), _) => tables.push(Table { kinds, states, members }),
                    (None, &[single]) => return Err(too_large(patterns.get(single), limits.table, true)),
                    (None, _) => {
                        left.push(members.split_off(members.len() / 2));
                        left.push(members);
                    }
                }
                if tables.len() > limits.tables {
                    return Err(Error::TooMany { limit: limits.tables });
                }
            }
        }
        Ok(Self { patterns, tables })
    }

    /// Whether a pattern alone can be read; how large it becomes is not looked at.
    ///
    /// # Errors
    ///
    /// Its [`Error`].
    pub fn check(pattern: &Pattern, limits: &Limits) -> Result<(), Error> {
        parse(pattern, limits).map(drop)
    }

    /// Shows `found` each pattern that is in a value and looked for where it stands, with the byte behind the first match of those that are in
    /// the same table.
    pub fn search<'p>(&'p self, at: &At<'_>, value: &[u8], found: &mut dyn FnMut(&'p Pattern, usize)) {
        let kind = at.kind();
        for table in self.tables.iter().filter(|table| table.kinds & kind != 0) {
            let first = table.states.try_search_fwd(&Input::new(value).earliest(true));
            let end = match first {
                Ok(None) => continue,
                Ok(Some(first)) => first.offset(),
                // Never, as below: then all of it is looked at.
                Err(_) => value.len(),
            };
            let mut numbers = PatternSet::new(table.states.pattern_len());
            // It fails where bytes are to be given up on, and none are.
            let _ = table.states.try_which_overlapping_matches(&Input::new(value), &mut numbers);
            let members = numbers.iter().filter_map(|number| table.members.get(number.as_usize()));
            members
                .filter_map(|&member| self.patterns.get(member))
                .filter(|pattern| pattern.covers(at))
                .for_each(|pattern| found(pattern, end));
        }
    }

    /// How many tables of states there are, and their size in bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.tables.len(), self.tables.iter().map(|table| table.states.memory_usage()).sum())
    }
}

fn too_large(pattern: Option<&Pattern>, limit: usize, compiled: bool) -> Error {
    let name = pattern.map_or_else(String::new, |pattern| pattern.name.clone());
    Error::TooLarge { name, limit, compiled }
}

fn parse(pattern: &Pattern, limits: &Limits) -> Result<Hir, Error> {
    if pattern.expression.len() > limits.expression {
        return Err(too_large(Some(pattern), limits.expression, false));
    }
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).nest_limit(64).build();
    let expression =
        parser.parse(&pattern.expression).map_err(|error| syntax_error(&pattern.name, &error))?;
    let name = || pattern.name.clone();
    let looks = expression.properties().look_set();
    if looks.contains_word_unicode() {
        return Err(Error::UnicodeBoundary { name: name() });
    }
    if expression.properties().minimum_len() == Some(0) {
        return Err(Error::Empty { name: name() });
    }
    Ok(expression)
}

fn syntax_error(name: &str, error: &regex_syntax::Error) -> Error {
    let (start, what) = match error {
        regex_syntax::Error::Parse(error) => (error.span().start, error.kind().to_string()),
        regex_syntax::Error::Translate(error) => (error.span().start, error.kind().to_string()),
        other => (regex_syntax::ast::Position::new(0, 1, 1), other.to_string()),
    };
    Error::Syntax { name: name.to_owned(), line: start.line, column: start.column, what }
}

/// One table for all of them; `None` if it would be too large.
fn states(expressions: &[&Hir], limits: &Limits) -> Option<dense::DFA<Vec<u32>>> {
    let config = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(limits.table))
        .which_captures(thompson::WhichCaptures::None);
    let automaton = thompson::Compiler::new().configure(config).build_many_from_hir(expressions).ok()?;
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(limits.table))
        .determinize_size_limit(Some(limits.table.saturating_mul(4)));
    dense::Builder::new().configure(config).build_from_nfa(&automaton).ok()
}

#[cfg(test)]
mod tests;
