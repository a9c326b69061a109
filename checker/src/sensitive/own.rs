//! The operator's own patterns: regular expressions over bytes, by an engine whose time is linear.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::{ParserBuilder, hir::Look};

/// Bytes that a pattern may match.
pub const LONGEST_PATTERN: usize = 512;
/// Patterns.
pub const MOST_PATTERNS: usize = 64;
/// Bytes of a pattern as it is compiled.
const SIZE: usize = 1 << 20;

/// A pattern that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("pattern {name:?}: {why}")]
pub struct PatternError {
    /// The pattern's name.
    pub name: String,
    /// Why it cannot be used.
    pub why: String,
}

/// The patterns, compiled.
#[derive(Clone, Default, Debug)]
pub(super) struct Patterns(Vec<Regex>);

impl Patterns {
    pub(super) fn new(patterns: &[(String, String)]) -> Result<Self, PatternError> {
        let compiled = patterns.iter().enumerate().map(|(number, (name, pattern))| {
            let error = |why: String| PatternError { name: name.clone(), why };
            if number == MOST_PATTERNS {
                return Err(error(format!("more than {MOST_PATTERNS} patterns")));
            }
            check(pattern).map_err(error)?;
            // Bytes, not characters: a Unicode word boundary over bytes of any kind takes the slow way.
            let mut builder = RegexBuilder::new(pattern);
            builder.unicode(false).size_limit(SIZE).dfa_size_limit(SIZE);
            builder.build().map_err(|source| error(source.to_string()))
        });
        Ok(Self(compiled.collect::<Result<_, _>>()?))
    }

    pub(super) fn search(&self) -> Search<'_> {
        Search { patterns: self, next: vec![Next::Unknown; self.0.len()] }
    }
}

/// What a pattern matches must be decided within a window.
fn check(pattern: &str) -> Result<(), String> {
    let hir = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(pattern)
        .map_err(|error| error.to_string())?;
    let properties = hir.properties();
    if properties.minimum_len() == Some(0) {
        return Err("it matches nothing, that is everywhere".to_owned());
    }
    if properties.maximum_len().is_none_or(|length| length > LONGEST_PATTERN) {
        return Err(format!(
            "it may match more than {LONGEST_PATTERN} bytes: give its repetitions an upper bound"
        ));
    }
    if properties.look_set().contains(Look::Start) || properties.look_set().contains(Look::End) {
        return Err("it looks at where the text begins or ends, which may come in pieces".to_owned());
    }
    Ok(())
}

/// A pattern's next match, as far as it is known.
#[derive(Clone, Copy)]
enum Next {
    Unknown,
    At(usize, usize),
    None,
}

/// A search for all patterns in one text, onwards only.
pub(super) struct Search<'s> {
    patterns: &'s Patterns,
    next: Vec<Next>,
}

impl Search<'_> {
    /// The first match from `at` on; of several that begin together, that of the first pattern.
    pub(super) fn next(&mut self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let mut first: Option<(usize, usize)> = None;
        for (pattern, next) in self.patterns.0.iter().zip(&mut self.next) {
            // What was found ahead is still the first one that begins there.
            if matches!(next, Next::Unknown) || matches!(next, Next::At(start, _) if *start < at) {
                *next = pattern
                    .find_at(text, at)
                    .map_or(Next::None, |found| Next::At(found.start(), found.end()));
            }
            if let Next::At(start, end) = *next
                && first.is_none_or(|(other, _)| start < other)
            {
                first = Some((start, end));
            }
        }
        first
    }
}
