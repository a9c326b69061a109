//! One generation of the index over the list files: made off to the side, and put in force as a whole.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use ipnet::IpNet;
use stopbank_common::{
    index::{
        FILTER_MAP_WORDS, FILTER_WORDS, Leaf, PIECE_WORDS, PIECES, Place, STATE_SUMMARY, SUMMARY_WORDS, Word,
        summary_length,
    },
    list::{LONGER_CAPACITY, ListEntry, ListKey},
};

use super::{
    dynamic::Range,
    sys::{self, ANY_SIZE, ARRAY, LPM_TRIE, MAPPED, Mapping, NO_PREALLOC},
};
use crate::{
    datapath::{DatapathError, health::number_of},
    lists::feeds::{Painted, PrefixSet, leaves, paint, word_at},
};

/// An index, its leaves, and what neither can tell; not in force yet.
pub struct Generation {
    /// The filter, the summaries behind it, and the map that holds both.
    bits: Box<[u64]>,
    pub(super) filter: OwnedFd,
    /// What of the filter is for addresses, without marks.
    addresses: Box<[u64]>,
    /// What the state says of the summaries: how long their prefixes are.
    pub(super) summaries: u64,
    /// The index as the kernel has it, so that its words can be written anew with other marks.
    words: Box<[u64]>,
    /// Its pieces; `None` for those in which there is nothing.
    pieces: Vec<Option<OwnedFd>>,
    /// Stands for all of those.
    blank: OwnedFd,
    pub(super) leaves: OwnedFd,
    pub(super) longer: OwnedFd,
    /// Entries that were put there; one that lies within two dynamic ones counts twice.
    pub(super) longer_len: usize,
    entries: Arc<PrefixSet>,
    /// Entries of files lie within dynamic ones.
    pub(super) inside: bool,
}

impl Generation {
    /// Makes the maps and fills them. Touches nothing that is in force, and may take a second for a million prefixes.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when the kernel has no memory for it, for instance.
    pub fn build(entries: Arc<PrefixSet>) -> Result<Self, DatapathError> {
        let count = entries.len();
        Self::make(entries)
            .map_err(|error| DatapathError::kernel(format!("make an index of {count} list entries"), &error))
    }

    fn make(entries: Arc<PrefixSet>) -> io::Result<Self> {
        let count = leaves(&entries).max(1);
        let leaf = (size_of::<u32>(), size_of::<Leaf>());
        let leaves = sys::create("lists_leaves", ARRAY, leaf, count as u32, MAPPED | ANY_SIZE)?;
        let entry = (size_of::<ListKey>(), size_of::<ListEntry>());
        let longer = sys::create("lists_longer", LPM_TRIE, entry, LONGER_CAPACITY, NO_PREALLOC)?;
        let Painted { index: words, longer: beyond, addresses } = {
            let lines = Mapping::new(&leaves, count * 8)?;
            paint(&entries, lines.words())
        };
        let longer_len = beyond.len();
        sys::insert_all(longer.as_fd(), beyond.into_iter())?;
        let pieces = (0..PIECES).map(|_| None).collect();
        let blank = new_piece()?;
        let word = (size_of::<u32>(), size_of::<u64>());
        let filter = sys::create("lists_filter", ARRAY, word, FILTER_MAP_WORDS as u32, 0)?;
        let bits = vec![0; FILTER_MAP_WORDS].into_boxed_slice();
        let mut generation = Self {
            bits,
            filter,
            addresses,
            summaries: 0,
            words,
            pieces,
            blank,
            leaves,
            longer,
            longer_len,
            entries,
            inside: false,
        };
        for number in 0..PIECES {
            if generation.piece(number).iter().any(|word| *word != 0) {
                generation.write_piece(number)?;
            }
        }
        for family in [0, 1] {
            let all = Range { family, first: 0, last: 0x00ff_ffff };
            generation.write_filter(&all)?;
            generation.summaries |= generation.best_summary(family) << (STATE_SUMMARY + 2 * family);
            generation.write_summary(&all)?;
        }
        Ok(generation)
    }

    /// What it was made of.
    pub fn entries(&self) -> &Arc<PrefixSet> {
        &self.entries
    }

    /// Bytes of its maps, as the kernel accounts them.
    pub(super) fn memory(&self) -> u64 {
        let pieces = self.pieces.iter().flatten().count() + 1;
        let others = [&self.filter, &self.leaves, &self.longer].map(|map| number_of(map.as_fd(), "memlock"));
        (pieces * PIECE_WORDS * size_of::<u64>()) as u64 + others.iter().sum::<u64>()
    }

    /// The pieces of the index in their order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pieces.iter().map(|piece| piece.as_ref().unwrap_or(&self.blank).as_fd())
    }

    /// Makes known what lies within a dynamic entry, so that the longer one can be told.
    pub(super) fn enter(&mut self, prefix: IpNet) -> io::Result<()> {
        let mut within = self.entries.within(prefix).peekable();
        if within.peek().is_some() {
            let mut count = 0;
            sys::insert_all(self.longer.as_fd(), within.inspect(|_| count += 1))?;
            self.longer_len += count;
            self.inside = true;
        }
        Ok(())
    }

    /// Writes the marks of a range of /24s, and gives the pieces that there are only now.
    ///
    /// The kernel may copy a word by bytes: a packet then meets some bytes of the old word and some of the new one. They
    /// differ in marks only, and each of those is right, before or after.
    pub(super) fn mark(&mut self, range: &Range, marks: &[u16]) -> io::Result<Vec<usize>> {
        let (mut fresh, mut changed, mut undo) = (Vec::new(), Vec::new(), Vec::new());
        let mut current = None;
        for (group, marks) in (range.first >> 4..).zip(marks) {
            let place = Place { top: group << 12, family: range.family };
            let (number, word) = (place.piece() as usize, &mut self.words[word_at(place)]);
            let after = Word(*word).with_marks(*marks).0;
            if *word == after && (after == 0 || self.pieces[number].is_some()) {
                continue;
            }
            undo.push((word_at(place), std::mem::replace(word, after)));
            if current.is_some_and(|current| current != number) {
                match self.write(current, &mut changed) {
                    Ok(made) => fresh.extend(made),
                    Err(error) => return Err(self.undo(&undo, error)),
                }
            }
            current = Some(number);
            changed.push((place.word(), after));
        }
        let written = self.write(current, &mut changed).and_then(|made| {
            fresh.extend(made);
            self.write_filter(range)?;
            self.write_summary(range)
        });
        match written {
            Ok(()) => Ok(fresh),
            Err(error) => Err(self.undo(&undo, error)),
        }
    }

    /// Takes back what the kernel may not have, so that the next attempt writes it again. (What it has of it are marks too many, which
    /// only cost a look-up.)
    fn undo(&mut self, words: &[(usize, u64)], error: io::Error) -> io::Error {
        for (at, word) in words.iter().rev() {
            self.words[*at] = *word;
        }
        error
    }

    /// Makes pieces anew when they are needed next.
    pub(super) fn forget(&mut self, pieces: &[usize]) {
        pieces.iter().for_each(|piece| self.pieces[*piece] = None);
    }

    /// Brings the filter in line with the index in a range.
    fn write_filter(&mut self, range: &Range) -> io::Result<()> {
        let mut changed = Vec::new();
        let groups =
            |word: u32| (0..4).map(move |i| (i, Place { top: (word << 2 | i) << 12, family: range.family }));
        for word in range.first >> 6..=range.last >> 6 {
            let at = Place { top: word << 14, family: range.family }.filter_word();
            let bits = groups(word)
                .map(|(i, place)| u64::from(Word(self.words[word_at(place)]).filter()) << (16 * i))
                .fold(0, |all, bits| all | bits);
            // Where a /24 is marked any of its addresses may be meant.
            let marked = groups(word).any(|(_, place)| Word(self.words[word_at(place)]).marks() != 0);
            let addresses = if marked { u64::MAX } else { self.addresses[at as usize / 2] };
            for (at, bits) in [(at, bits), (at + 1, addresses)] {
                if self.bits[at as usize] != bits {
                    changed.push((at, bits));
                }
            }
        }
        self.write_bits(&changed)
    }

    /// Writes words of the filter's map.
    fn write_bits(&mut self, changed: &[(u32, u64)]) -> io::Result<()> {
        sys::insert_all(self.filter.as_fd(), changed.iter().copied())?;
        changed.iter().for_each(|(at, bits)| self.bits[*at as usize] = *bits);
        Ok(())
    }

    /// The shortest prefixes of which a quarter at most have anything in them, or the longest there are: two bits of the
    /// state. Shorter ones take less of the cache, and send more sources on to the filter.
    fn best_summary(&self, family: u32) -> u64 {
        let fits = |code: &u64| {
            let length = summary_length(code << STATE_SUMMARY, 0);
            let used = (0..1 << length).filter(|prefix| self.any(family, *prefix, length)).count();
            used <= 1 << (length - 2)
        };
        (0..3).find(fits).unwrap_or(3)
    }

    /// Whether the filter has anything within a prefix of 16 to 24 bits.
    fn any(&self, family: u32, prefix: u32, length: u32) -> bool {
        let first = Place { top: prefix << (32 - length), family }.filter_word() as usize;
        match 24 - length {
            wide @ 6.. => self.bits[first..][..2 << (wide - 6)].iter().step_by(2).any(|word| *word != 0),
            narrow => {
                let within = u64::MAX >> (64 - (1 << narrow));
                self.bits[first] >> ((prefix << narrow) & 63) & within != 0
            }
        }
    }

    /// Brings the summary in line with the filter in a range.
    fn write_summary(&mut self, range: &Range) -> io::Result<()> {
        let (family, mut changed) = (range.family, Vec::new());
        let length = summary_length(self.summaries, family);
        let of = |slash24: u32| slash24 >> (24 - length) >> 6;
        for word in of(range.first)..=of(range.last) {
            let at = FILTER_WORDS + family as usize * SUMMARY_WORDS + word as usize;
            let bits = (0..64)
                .fold(0, |bits, bit| bits | u64::from(self.any(family, word << 6 | bit, length)) << bit);
            if self.bits[at] != bits {
                changed.push((at as u32, bits));
            }
        }
        self.write_bits(&changed)
    }

    /// Writes words of a piece; its number if it had to be made.
    fn write(&mut self, number: Option<usize>, words: &mut Vec<(u32, u64)>) -> io::Result<Option<usize>> {
        let (Some(number), words) = (number, std::mem::take(words)) else { return Ok(None) };
        if let Some(piece) = &self.pieces[number] {
            sys::insert_all(piece.as_fd(), words.into_iter())?;
            return Ok(None);
        }
        self.write_piece(number)?;
        Ok(Some(number))
    }

    fn piece(&self, number: usize) -> &[u64] {
        &self.words[number * PIECE_WORDS..][..PIECE_WORDS]
    }

    /// Makes a piece. It is all zeroes at first.
    fn write_piece(&mut self, number: usize) -> io::Result<()> {
        let piece = new_piece()?;
        let words = (0..).zip(self.piece(number)).filter(|(_, word)| **word != 0);
        sys::insert_all(piece.as_fd(), words.map(|(at, word)| (at, *word)))?;
        self.pieces[number] = Some(piece);
        Ok(())
    }
}

pub(super) fn new_piece() -> io::Result<OwnedFd> {
    sys::create("lists_index", ARRAY, (size_of::<u32>(), size_of::<u64>()), PIECE_WORDS as u32, 0)
}
