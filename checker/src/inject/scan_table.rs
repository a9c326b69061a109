//! The automaton of all words that the scan looks for, as a table.

use std::collections::BTreeSet;

use aho_corasick::{
    Anchored, StartKind,
    automaton::{Automaton as _, StateID},
    dfa::DFA,
};

use super::scan::all_words;

/// The library builds the automaton; its states are laid out anew for texts. Every byte of every value is looked up here, and what has to be
/// fetched from memory is most of the time that takes: a row has 16 bits for a state, the bytes that texts have most of stand first in it, and the
/// states that are few bytes from the beginning come first.
pub(super) struct Table {
    /// The class of each byte, with letters in either case.
    classes: [u8; 256],
    /// By a state's row and a class: the row of the state that follows. A row is named by its place in the table divided by [`UNIT`].
    next: Vec<u16>,
    /// From this row on, a word ends in the state.
    ends: u16,
    /// The groups of the words that end, by the number of rows from there.
    groups: Vec<u32>,
}

/// Entries of a row: there are fewer classes.
const ROW: usize = 80;
/// What places of rows are divided by, so that 16 bits name 6,553 of them.
const UNIT: usize = 8;
const STEP: usize = ROW / UNIT;
/// Bytes of words in the order of how often texts have them.
const FREQUENT: &[u8] = b" etaoinsrhldcumfpgwybvkxjqz.,-0123456789";

impl Table {
    /// The row at the beginning of a text.
    pub(super) const START: u16 = 0;

    /// `None` where there are too many words for it: a test holds that there are not.
    pub(super) fn new() -> Option<Self> {
        let words = DFA::builder()
            .ascii_case_insensitive(true)
            .start_kind(StartKind::Unanchored)
            .prefilter(false)
            .build(all_words().map(|(word, _)| word))
            .ok()?;
        let (classes, bytes) = classes();
        if bytes.len() >= ROW {
            return None;
        }
        // All states, those of few bytes first, and then those that a word ends in.
        let mut states = vec![words.start_state(Anchored::No).ok()?];
        let mut rows = Rows::default();
        rows.set(states[0], 0);
        let mut at = 0;
        while let Some(&state) = states.get(at) {
            at += 1;
            for byte in &bytes {
                let next = words.next_state(Anchored::No, state, *byte);
                if rows.of(next).is_none() {
                    rows.set(next, 0);
                    states.push(next);
                }
            }
        }
        states.sort_by_key(|state| words.is_match(*state));
        let row = |number: usize| u16::try_from(number * STEP).ok();
        for (number, state) in states.iter().enumerate() {
            rows.set(*state, row(number)?);
        }
        // No word has a byte of class 0.
        let none = (0..=u8::MAX).find(|byte| classes[usize::from(*byte)] == 0)?;
        let mut next = vec![0; states.len() * ROW];
        for (number, state) in states.iter().enumerate() {
            for (class, byte) in std::iter::once(&none).chain(&bytes).enumerate() {
                next[number * ROW + class] = rows.of(words.next_state(Anchored::No, *state, *byte))?;
            }
        }
        let groups: Vec<u32> = all_words().map(|(_, groups)| *groups).collect();
        let ending = states.iter().filter(|state| words.is_match(**state)).map(|state| {
            let ended = (0..words.match_len(*state)).map(|index| words.match_pattern(*state, index));
            ended.fold(0, |all, word| all | groups[word.as_usize()])
        });
        let ending: Vec<u32> = ending.collect();
        Some(Self { classes, next, ends: row(states.len() - ending.len())?, groups: ending })
    }

    /// The row that follows behind `byte`.
    #[inline]
    pub(super) fn next(&self, row: u16, byte: u8) -> u16 {
        self.next[usize::from(row) * UNIT + usize::from(self.classes[usize::from(byte)])]
    }

    /// The groups of the words that end here.
    #[inline]
    pub(super) fn groups(&self, row: u16) -> u32 {
        if row < self.ends { 0 } else { self.groups[usize::from(row - self.ends) / STEP] }
    }
}

/// Rows by the library's states, which are numbers with gaps.
#[derive(Default)]
struct Rows(Vec<Option<u16>>);

impl Rows {
    fn of(&self, state: StateID) -> Option<u16> {
        self.0.get(state.as_usize()).copied().flatten()
    }

    fn set(&mut self, state: StateID, row: u16) {
        let at = state.as_usize();
        self.0.resize(self.0.len().max(at + 1), None);
        self.0[at] = Some(row);
    }
}

/// The class of each byte, from 1 on in the order of the bytes given, for those that a word has; 0 for all others.
fn classes() -> ([u8; 256], Vec<u8>) {
    let of_words: BTreeSet<u8> = all_words().flat_map(|(word, _)| word.bytes()).collect();
    let frequent = FREQUENT.iter().filter(|byte| of_words.contains(byte));
    let mut bytes: Vec<u8> = Vec::new();
    for byte in frequent.chain(&of_words) {
        if !bytes.contains(byte) {
            bytes.push(*byte);
        }
    }
    let mut classes = [0; 256];
    for (number, byte) in bytes.iter().enumerate() {
        let class = u8::try_from(number + 1).unwrap_or_default();
        classes[usize::from(*byte)] = class;
        classes[usize::from(byte.to_ascii_uppercase())] = class;
    }
    (classes, bytes)
}

#[cfg(test)]
mod tests {
    use aho_corasick::AhoCorasick;

    use super::*;

    fn groups(table: &Table, text: &[u8]) -> u32 {
        let rows = text.iter().scan(Table::START, |row, byte| {
            *row = table.next(*row, *byte);
            Some(*row)
        });
        rows.fold(0, |all, row| all | table.groups(row))
    }

    /// What the library finds by itself.
    fn found(words: &AhoCorasick, text: &[u8]) -> u32 {
        let groups: Vec<u32> = all_words().map(|(_, groups)| *groups).collect();
        words.find_overlapping_iter(text).fold(0, |all, found| all | groups[found.pattern().as_usize()])
    }

    #[test]
    fn the_table_finds_every_word_that_the_library_finds_and_no_other() {
        let library = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(all_words().map(|(word, _)| word))
            .unwrap();
        let table = Table::new().unwrap();
        let words: Vec<&[u8]> = all_words().map(|(word, _)| word.as_bytes()).collect();
        for (number, word) in words.iter().enumerate() {
            let (next, last) = (words[(number * 7 + 3) % words.len()], &word[..word.len() - 1]);
            for text in [
                word.to_vec(),
                word.to_ascii_uppercase(),
                [b"x\xff ", *word, b"y"].concat(),
                [word, next].concat(),
                [last, next].concat(),
                [last, word].concat(),
                last.to_vec(),
            ] {
                assert_eq!(groups(&table, &text), found(&library, &text), "{}", text.escape_ascii());
            }
        }
        let every: Vec<u8> =
            (0..=u8::MAX).flat_map(|first| (0..=u8::MAX).flat_map(move |second| [first, second])).collect();
        assert_eq!(groups(&table, &every), found(&library, &every));
    }
}
