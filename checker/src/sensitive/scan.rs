//! The one pass: where something may begin, what it is, and how far it goes.

use super::{
    Counts, Kind, Sensitive, WINDOW, card, iban,
    tokens::{self, Run},
};

/// What of a text is replaced by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The byte that stands there then.
    pub(super) with: u8,
    /// All bytes, or letters and digits only.
    pub(super) whole: bool,
}

impl Span {
    /// Replaces it in the text.
    pub(super) fn paint(&self, text: &mut [u8]) {
        for byte in text.get_mut(self.start..self.end).unwrap_or_default() {
            if self.whole || byte.is_ascii_alphanumeric() {
                *byte = self.with;
            }
        }
    }
}

/// A match that begins at a place, of lengths counted from there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub(super) kind: Kind,
    /// What is replaced of it.
    pub(super) hide: (usize, usize),
    pub(super) with: u8,
    pub(super) whole: bool,
    /// Where the search goes on.
    pub(super) end: usize,
    /// What goes on behind `end`.
    pub(super) run: Option<Run>,
}

/// What stands around a place where something may begin.
#[derive(Clone, Copy)]
pub(super) struct Around<'t> {
    /// The text from there.
    pub(super) text: &'t [u8],
    /// The byte before, 0 at the start.
    pub(super) before: u8,
    /// The byte before that one.
    pub(super) before_that: u8,
}

impl Around<'_> {
    /// Whether a word may begin here: nothing of one stands before. `\n` and its like in a string of JSON are no letters.
    fn is_start(self) -> bool {
        !self.before.is_ascii_alphanumeric() || self.follows_escape()
    }

    fn follows_escape(self) -> bool {
        self.before_that == b'\\' && matches!(self.before, b'n' | b'r' | b't' | b'b' | b'f')
    }
}

/// Searches `text` from `from` on; what stands before is context. Returns where to go on with more text: all of it is decided where `last` says
/// that no more comes. `run` is what went on where the text before ended.
pub(super) fn scan(
    sensitive: &Sensitive,
    text: &[u8],
    from: usize,
    last: bool,
    run: &mut Option<Run>,
    spans: &mut Vec<Span>,
    counts: &mut Counts,
) -> usize {
    // What begins before is decided by what is there.
    let stop = if last { text.len() } else { text.len().saturating_sub(WINDOW) };
    let mut own = sensitive.own.search();
    let mut at = from;
    loop {
        if let Some(going) = run {
            at = going.go_on(text, at, spans);
            if at == text.len() {
                return at;
            }
            *run = None;
        }
        let pattern = own.next(text, at).filter(|(start, _)| *start < stop);
        let until = pattern.map_or(stop, |(start, _)| (start + 1).min(stop));
        if let Some((start, found)) = next(sensitive, text, at, until) {
            counts.add(found.kind);
            spans.push(Span {
                start: start + found.hide.0,
                end: start + found.hide.1,
                with: found.with,
                whole: found.whole,
            });
            at = start + found.end;
            *run = found.run;
        } else if let Some((start, end)) = pattern {
            counts.add(Kind::Own);
            spans.push(Span { start, end, with: b'X', whole: true });
            at = end;
        } else {
            return at.max(stop);
        }
    }
}

/// The first match of what is built in that begins in `at..until`.
fn next(sensitive: &Sensitive, text: &[u8], at: usize, until: usize) -> Option<(usize, Match)> {
    let behind = |place: usize, by: usize| {
        place.checked_sub(by).and_then(|place| text.get(place)).copied().unwrap_or_default()
    };
    let (mut before_that, mut before) = (behind(at, 2), behind(at, 1));
    for (offset, &byte) in text.get(at..until)?.iter().enumerate() {
        if BEGINS[usize::from(byte)] {
            let around = Around { text: text.get(at + offset..)?, before, before_that };
            if around.is_start()
                && let Some(found) = at_start(sensitive, around, byte)
            {
                return Some((at + offset, found));
            }
        }
        (before_that, before) = (before, byte);
    }
    None
}

/// Bytes with which something may begin.
const BEGINS: [bool; 256] = {
    let mut begins = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        begins[byte] = (byte as u8).is_ascii_alphanumeric() || byte == b'-' as usize || byte == b'+' as usize;
        byte += 1;
    }
    begins
};

/// What begins here, if anything does. Looks at [`WINDOW`] bytes at most.
fn at_start(sensitive: &Sensitive, around: Around<'_>, first: u8) -> Option<Match> {
    let text = around.text.get(..WINDOW).unwrap_or(around.text);
    let around = Around { text, ..around };
    // What stands before an at sign is part of an address, whatever else it looks like.
    if sensitive.looks_for(Kind::Email)
        && let Some(found) = tokens::email(around)
    {
        return Some(found);
    }
    let found = match first {
        b'0'..=b'9' => card::find(around),
        b'-' => tokens::private_key(around),
        b'+' => tokens::phone(around),
        b'A'..=b'Z' => iban::find(text).or_else(|| tokens::find(text)),
        _ => tokens::find(text),
    };
    found.filter(|found| sensitive.looks_for(found.kind))
}
