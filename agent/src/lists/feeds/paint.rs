//! From prefixes to the index that the kernel reads ([`stopbank_common::index`]).
//!
//! Prefixes come in the order of their addresses, what contains another before it, so that painting one after the other
//! leaves at each place what the longest says. Everything is written once, in order, and the
//! large part, the leaves, straight into the kernel's memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stopbank_common::{
    index::{
        CODE_ALLOW, CODE_DENY, CODE_MORE, CODE_NONE, FILTER_WORDS, GROUPS, Leaf, PIECE_WORDS, PIECES, Place,
        Word, address_bits,
    },
    list::{ListEntry, ListKey, VERDICT_ALLOW},
};

use super::set::{Bits, Filed, PrefixSet};

/// Every code once.
const EACH: u64 = 0x5555_5555_5555_5555;

/// Leaves that an index of these prefixes may need, at most.
pub fn leaves(set: &PrefixSet) -> usize {
    slash24s(set.v4()) + slash24s(set.v6())
}

/// /24s with something longer in them.
fn slash24s<A: Bits>(sorted: &[Filed<A>]) -> usize {
    let mut tops = sorted.iter().filter(|filed| filed.bits > 24).map(|filed| filed.address.top() >> 8);
    let Some(mut before) = tops.next() else { return 0 };
    1 + tops.filter(|&top| std::mem::replace(&mut before, top) != top).count()
}

/// An index, as it is in the kernel.
pub struct Painted {
    /// All its pieces, one after the other.
    pub index: Box<[u64]>,
    /// What the index cannot tell.
    pub longer: Vec<(ListKey, ListEntry)>,
    /// The words of the filter that are for addresses.
    pub addresses: Box<[u64]>,
}

/// Paints an index; its leaves, as many as [`leaves`] says, straight into the kernel's memory.
pub fn paint(set: &PrefixSet, leaves: &[AtomicU64]) -> Painted {
    let index = vec![0; PIECES * PIECE_WORDS].into_boxed_slice();
    let addresses = vec![0; FILTER_WORDS / 2].into_boxed_slice();
    let mut painter = Painter { index, leaves, used: 0, open: None, longer: Vec::new(), addresses };
    painter.family(set.v4());
    painter.family(set.v6());
    Painted { index: painter.index, longer: painter.longer, addresses: painter.addresses }
}

/// Where in [`Painted::index`] a place's word is.
pub fn word_at(place: Place) -> usize {
    place.piece() as usize * PIECE_WORDS + place.word() as usize
}

fn first_leaf_at(place: Place) -> usize {
    place.piece() as usize * PIECE_WORDS + place.first_leaf() as usize
}

struct Painter<'m> {
    index: Box<[u64]>,
    leaves: &'m [AtomicU64],
    /// Leaves written.
    used: u32,
    /// The /24 that is being painted at /32s.
    open: Option<(Place, Leaf)>,
    longer: Vec<(ListKey, ListEntry)>,
    addresses: Box<[u64]>,
}

impl Painter<'_> {
    fn family<A: Bits>(&mut self, sorted: &[Filed<A>]) {
        let before = self.used;
        // Prefixes around the one at hand, the shortest first.
        let mut around: Vec<Filed<A>> = Vec::new();
        for filed in sorted {
            while around.last().is_some_and(|outer| !outer.contains(filed)) {
                around.pop();
            }
            let place = Place { top: filed.address.top(), family: A::FAMILY };
            if self.open.is_some_and(|(open, _)| open.top >> 8 != place.top >> 8) {
                self.close();
            }
            let code = if filed.verdict == VERDICT_ALLOW { CODE_ALLOW } else { CODE_DENY };
            match filed.bits {
                0..=24 => self.slash24s(place, filed.last().top(), code),
                25..=32 => self.slash32s(place, filed.last().top(), code),
                _ => {
                    self.slash32s(place, place.top, CODE_MORE);
                    // Where the longer ones end, this holds.
                    let cover = around.last().filter(|outer| outer.bits <= 32);
                    self.longer.extend(cover.map(Filed::element));
                    self.longer.push(filed.element());
                }
            }
            around.push(*filed);
        }
        self.close();
        self.first_leaves(A::FAMILY, before);
    }

    /// Paints whole /24s, none of which has a leaf yet.
    fn slash24s(&mut self, place: Place, last: u32, code: u64) {
        let (mut at, last) = (place.top >> 8, last >> 8);
        while at <= last {
            let here = Place { top: at << 8, ..place };
            let word = &mut self.index[word_at(here)];
            let (begin, end) = (at % 16, (last - at + at % 16).min(15));
            let mask = (u64::MAX >> (64 - 2 * (end - begin + 1))) << (2 * begin);
            *word = (*word & !mask) | ((EACH * code) & mask);
            if code == CODE_DENY || code == CODE_ALLOW {
                self.addresses[here.filter_word() as usize / 2] = u64::MAX;
            }
            at += end - begin + 1;
        }
    }

    /// Paints /32s of one /24.
    fn slash32s(&mut self, place: Place, last: u32, code: u64) {
        let code_around = Word(self.index[word_at(place)]).code(place);
        let (_, leaf) = self.open.get_or_insert((place, [EACH * code_around; 8]));
        for address in place.top & 255..=last & 255 {
            let (word, shift) = (&mut leaf[address as usize / 32], 2 * (address % 32));
            *word = *word & !(3 << shift) | code << shift;
        }
    }

    /// Writes the leaf of the /24 that is done, if it needs one.
    fn close(&mut self) {
        let Some((place, leaf)) = self.open.take() else { return };
        let first = leaf[0] & 3;
        let code = if first != CODE_MORE && leaf == [EACH * first; 8] {
            first
        } else {
            let begin = self.used as usize * leaf.len();
            for (to, word) in self.leaves[begin..].iter().zip(leaf) {
                to.store(word, Relaxed);
            }
            self.used += 1;
            self.addresses[place.filter_word() as usize / 2] |= address_bits(&leaf, place);
            CODE_MORE
        };
        self.slash24s(place, place.top, code);
    }

    /// Numbers the leaves: they were written in the order of their /24s.
    fn first_leaves(&mut self, family: u32, mut next: u32) {
        let (mut shared, mut first) = (None, 0);
        for group in 0..GROUPS as u32 {
            let place = Place { top: group << 12, family };
            let at = first_leaf_at(place);
            if shared != Some(at) {
                (shared, first) = (Some(at), next);
                self.index[at] = u64::from(first);
            }
            let word = &mut self.index[word_at(place)];
            let more = (*word & *word >> 1 & EACH) as u32;
            if more > 0 {
                *word = Word::new(*word as u32, 0, (next - first) as u16).0;
                next += more.count_ones();
            }
        }
        debug_assert_eq!(next, self.used, "every leaf is counted");
    }
}

const _: () = assert!(CODE_NONE == 0, "a fresh index says nothing");

#[cfg(test)]
#[path = "paint_tests.rs"]
mod tests;
