//! The index over the list files: what decides about nearly every source with one load.
//!
//! Both families are indexed by the top 32 bits of the address. A filter has a bit for each /24, set where there is anything. Where it is, a
//! [`Word`] covers a *group* of sixteen /24s and holds two bits, a [code](CODE_NONE), for each, and whether dynamic entries (an operator's or
//! the configuration's, which may change at any time) lie in it. A /24 that is not of one kind throughout has a [`Leaf`]
//! with a code for each of its 256 /32s; leaves stand in the order of their /24s, so a leaf is found by counting. Where
//! even a /32 is not of one kind, which happens in IPv6 only, a trie holds what is longer.
//!
//! The arithmetic is here so that the host's tests run what the kernel runs.

use crate::Address;

/// Nothing is listed.
pub const CODE_NONE: u64 = 0;
/// Denied.
pub const CODE_DENY: u64 = 1;
/// Allowed.
pub const CODE_ALLOW: u64 = 2;
/// Not of one kind: one level further down says more.
pub const CODE_MORE: u64 = 3;

/// Groups of a family: sixteen /24s each.
pub const GROUPS: usize = 1 << 20;
/// Groups that share a first leaf: a word counts from there, so that ten bits do.
const SHARING: usize = 64;
/// `u64`s of the filter: for each /18 of both families a bit for each /24, set where anything is listed or marked, and 64 bits
/// for its addresses by a hash, set where one of them is. A source that has neither bit is on no list; of those near a
/// listed address most are told by the second.
pub const FILTER_WORDS: usize = 2 * 2 * GROUPS * 16 / 64;
/// `u64`s of the summary of a family: a bit for each prefix of [`summary_length`], set where the filter has a bit in it. It stands
/// behind the filter, in the same map; at half a megabyte at most it stays in a core's own cache, and most sources need no
/// more than that.
pub const SUMMARY_WORDS: usize = 1 << 16;
/// `u64`s of the map that holds the filter and the summaries of both families.
pub const FILTER_MAP_WORDS: usize = FILTER_WORDS + 2 * SUMMARY_WORDS;
/// Groups of a piece. The index is cut into maps of just below 32 KiB, so that it costs memory only where something is
/// listed.
pub const PIECE_GROUPS: usize = 62 * SHARING;
/// `u64`s of a piece: the words of its groups, then the first leaf of every 64 groups.
pub const PIECE_WORDS: usize = PIECE_GROUPS + PIECE_GROUPS / SHARING;
const _: () = assert!(PIECE_WORDS * 8 + 512 <= 32 << 10, "with the map's own fields it stays below 32 KiB");
/// Pieces of a family.
const FAMILY_PIECES: usize = GROUPS.div_ceil(PIECE_GROUPS);
/// Pieces of an index.
pub const PIECES: usize = 2 * FAMILY_PIECES;

/// Codes of the 256 /32s of a /24, 32 in each `u64`: a cache line.
pub type Leaf = [u64; 8];

/// The lower bit of each of sixteen codes.
const LOWER: u64 = 0x5555_5555;

/// Where in the index an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The top 32 bits.
    pub top: u32,
    /// 0 for IPv4, 1 for IPv6.
    pub family: u32,
}

impl Place {
    /// Of an address.
    #[inline(always)]
    pub const fn of(address: &Address) -> Self {
        if address.is_v4() {
            Self { top: u32::from_be(address.words[3]), family: 0 }
        } else {
            Self { top: u32::from_be(address.words[0]), family: 1 }
        }
    }

    /// The word of the filter that its /24 is in. The one behind it is for the addresses.
    #[inline(always)]
    pub const fn filter_word(self) -> u32 {
        (self.family << 18 | self.top >> 14) << 1
    }

    /// Whether anything is listed or marked in its /24, by that word.
    #[inline(always)]
    pub const fn is_in(self, filter: u64) -> bool {
        filter >> (self.top >> 8 & 63) & 1 != 0
    }

    /// Its bit among the addresses of its /18. Neighbours have different ones.
    #[inline(always)]
    pub const fn address_bit(self) -> u32 {
        (self.top ^ self.top >> 6 ^ self.top >> 8) & 63
    }

    /// Whether its address, or another with the same bit, is listed or marked, by the word for addresses.
    #[inline(always)]
    pub const fn is_among(self, addresses: u64) -> bool {
        addresses >> self.address_bit() & 1 != 0
    }

    /// The word of the summary that it is in, in the filter's map. `state`: bits of `STATE_…`.
    #[inline(always)]
    pub const fn summary_word(self, state: u64) -> u32 {
        FILTER_WORDS as u32 + (self.family << 16 | self.top >> (32 - summary_length(state, self.family)) >> 6)
    }

    /// Whether anything is listed or marked near it, by that word.
    #[inline(always)]
    pub const fn is_in_summary(self, state: u64, summary: u64) -> bool {
        summary >> (self.top >> (32 - summary_length(state, self.family)) & 63) & 1 != 0
    }

    /// The piece of the index that its group is in.
    #[inline(always)]
    pub const fn piece(self) -> u32 {
        self.family * FAMILY_PIECES as u32 + divided(self.top >> 12)
    }

    /// Its group's word in that piece.
    #[inline(always)]
    pub const fn word(self) -> u32 {
        let group = self.top >> 12;
        group - divided(group) * PIECE_GROUPS as u32
    }

    /// Where its group's first leaf is counted from, in the same piece.
    #[inline(always)]
    pub const fn first_leaf(self) -> u32 {
        PIECE_GROUPS as u32 + self.word() / SHARING as u32
    }

    /// Which of the group's /24s it is.
    #[inline(always)]
    const fn slash24(self) -> u32 {
        self.top >> 8 & 15
    }
}

/// A group's number divided by [`PIECE_GROUPS`], without a division.
#[inline(always)]
const fn divided(group: u32) -> u32 {
    ((group >> 7) * 33_826) >> 20
}

/// A group of sixteen /24s. From the lowest bit: sixteen codes, sixteen marks, and the number of its first leaf among
/// those of 64 groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Word(pub u64);

impl Word {
    /// From its parts; `first` is below 1024.
    pub const fn new(codes: u32, marks: u16, first: u16) -> Self {
        Self(codes as u64 | (marks as u64) << 32 | (first as u64) << 48)
    }

    /// The same with other marks.
    #[must_use]
    pub const fn with_marks(self, marks: u16) -> Self {
        Self(self.0 & !(0xffff << 32) | (marks as u64) << 32)
    }

    /// Its marks, a bit for each /24.
    pub const fn marks(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// The sixteen bits of the filter that go with it.
    pub const fn filter(self) -> u16 {
        let codes = self.0 as u32;
        let (mut listed, mut bits) = ((codes | codes >> 1) & LOWER as u32, self.marks());
        while listed != 0 {
            bits |= 1 << (listed.trailing_zeros() / 2);
            listed &= listed - 1;
        }
        bits
    }

    /// Whether dynamic entries lie in, or contain, the place's /24.
    #[inline(always)]
    pub const fn is_marked(self, place: Place) -> bool {
        self.0 >> (32 + place.slash24()) & 1 != 0
    }

    /// The code of the place's /24.
    #[inline(always)]
    pub const fn code(self, place: Place) -> u64 {
        self.0 >> (2 * place.slash24()) & 3
    }

    /// For [`CODE_MORE`]: its leaf, counted from the first one of the 64 groups.
    #[inline(always)]
    pub const fn leaf(self, place: Place) -> u32 {
        let codes = self.0 & 0xffff_ffff;
        let more = codes & codes >> 1 & LOWER & !(u64::MAX << (2 * place.slash24()));
        (self.0 >> 48) as u32 + count(more)
    }
}

/// Bits that are set; of at most every second one of 32. (The BPF target has no instruction for it.)
#[inline(always)]
const fn count(bits: u64) -> u32 {
    let pairs = (bits & 0x3333_3333) + (bits >> 2 & 0x3333_3333);
    let nibbles = (pairs + (pairs >> 4)) & 0x0f0f_0f0f;
    (nibbles.wrapping_mul(0x0101_0101) >> 24) as u32 & 0xff
}

/// The code that a leaf has for a place.
#[inline(always)]
pub const fn leaf_code(leaf: &Leaf, place: Place) -> u64 {
    leaf[(place.top >> 5 & 7) as usize] >> (2 * (place.top & 31)) & 3
}

/// The bits that the addresses of a /24 have in the filter, by its leaf. `place`: any in it.
pub fn address_bits(leaf: &Leaf, place: Place) -> u64 {
    let mut bits = 0;
    for (number, word) in leaf.iter().enumerate() {
        let mut listed = (word | word >> 1) & 0x5555_5555_5555_5555;
        while listed != 0 {
            let last = number as u32 * 32 + listed.trailing_zeros() / 2;
            bits |= 1 << Place { top: place.top & !255 | last, ..place }.address_bit();
            listed &= listed - 1;
        }
    }
    bits
}

/// Bits of the coarse filter over a few dynamic entries.
pub const COARSE_BITS: usize = 512;

/// The coarse filter: a bit for each first byte of IPv4 addresses, then one for each fourth byte of IPv6 ones.
pub type Coarse = [u64; COARSE_BITS / 64];

/// The bit of an address in the coarse filter.
#[inline(always)]
pub fn coarse_bit(address: &Address) -> usize {
    if address.is_v4() {
        usize::from(address.words[3].to_ne_bytes()[0])
    } else {
        COARSE_BITS / 2 + usize::from(address.words[0].to_ne_bytes()[3])
    }
}

/// Nothing at all is listed.
pub const STATE_EMPTY: u64 = 0;
/// Which of the two generations of the index is in force.
pub const STATE_SLOT: u64 = 1;
/// There are dynamic entries.
pub const STATE_DYNAMIC: u64 = 2;
/// There is an index; without one, dynamic entries are looked up at once.
pub const STATE_INDEXED: u64 = 4;
/// Where in the state the summaries' lengths are, two bits for each family: see [`summary_length`].
pub const STATE_SUMMARY: u32 = 4;
/// Entries of files lie within dynamic ones: where one of those holds, they may be the longer ones.
pub const STATE_INSIDE: u64 = 8;

/// Of how many bits the prefixes of a family's summary are: 16, 18, 20 or 22, as the state says. (2^22 bits fill
/// [`SUMMARY_WORDS`].)
#[inline(always)]
pub const fn summary_length(state: u64, family: u32) -> u32 {
    16 + 2 * (state >> (STATE_SUMMARY + 2 * family) & 3) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    fn place(text: &str) -> Place {
        Place::of(&text.parse::<IpAddr>().unwrap().into())
    }

    #[test]
    fn both_families_have_their_place() {
        assert_eq!(place("10.1.2.3"), Place { top: 0x0a01_0203, family: 0 });
        assert_eq!(place("2001:db8::1"), Place { top: 0x2001_0db8, family: 1 });
    }

    #[test]
    fn every_group_has_a_word_of_its_own_in_its_piece() {
        for family in 0..2_u32 {
            for group in 0..GROUPS as u32 {
                let place = Place { top: group << 12 | 0xabc, family };
                let (piece, word) = (group / PIECE_GROUPS as u32, group % PIECE_GROUPS as u32);
                assert_eq!(place.piece(), family * (PIECES / 2) as u32 + piece, "{group}");
                assert_eq!(place.word(), word, "{group}");
                assert_eq!(place.first_leaf(), (PIECE_GROUPS + word as usize / SHARING) as u32);
            }
        }
        assert_eq!((PIECES, PIECE_WORDS), (530, 4030));
    }

    #[test]
    fn leaves_are_counted_as_a_reference_counts_them() {
        let mut random = 1_u64;
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let codes = (random >> 32) as u32 | (random >> 7) as u32;
            let word = Word::new(codes, random as u16, (random >> 20) as u16 & 1023);
            let mut rank = 0;
            for slash24 in 0..16 {
                let place = Place { top: 0x7000 | slash24 << 8, family: 0 };
                let code = u64::from(codes) >> (2 * slash24) & 3;
                assert_eq!(word.code(place), code);
                assert_eq!(word.is_marked(place), random >> slash24 & 1 == 1);
                assert_eq!(word.leaf(place), ((random >> 20) as u32 & 1023) + rank);
                rank += u32::from(code == CODE_MORE);
                let listed = code != CODE_NONE || word.is_marked(place);
                assert_eq!(place.is_in(u64::from(word.filter()) << (16 * (place.top >> 12 & 3))), listed);
            }
            assert_eq!(word.with_marks(7).marks(), 7);
            assert_eq!(word.with_marks(word.marks()), word);
        }
    }

    #[test]
    fn a_summary_of_each_length_has_a_bit_for_every_prefix() {
        for code in 0..4_u64 {
            for family in 0..2_u32 {
                let (state, length) = (code << (STATE_SUMMARY + 2 * family), 16 + 2 * code as u32);
                assert_eq!(summary_length(state, family), length);
                for prefix in [0, 1, 63, 64, 1 << (length - 1), (1 << length) - 1_u32] {
                    let first = prefix << (32 - length);
                    let last = first | u32::MAX >> length;
                    for top in [first, last, first / 2 + last / 2] {
                        let place = Place { top, family };
                        let word = FILTER_WORDS + family as usize * SUMMARY_WORDS + prefix as usize / 64;
                        assert_eq!(place.summary_word(state) as usize, word);
                        assert!(word < FILTER_MAP_WORDS);
                        assert!(place.is_in_summary(state, 1 << (prefix % 64)));
                        assert!(!place.is_in_summary(state, !(1 << (prefix % 64))));
                    }
                }
            }
        }
    }

    #[test]
    fn an_address_bit_is_set_for_every_listed_address() {
        let near = Place { top: 0xc000_02aa, family: 0 };
        assert_eq!(address_bits(&[0; 8], near), 0);
        assert_eq!(address_bits(&[0x5555_5555_5555_5555; 8], near), u64::MAX);
        for last in 0..=255_u32 {
            let mut leaf: Leaf = [0; 8];
            leaf[last as usize / 32] = CODE_MORE << (2 * (last % 32));
            let bits = address_bits(&leaf, near);
            assert_eq!(bits.count_ones(), 1);
            assert!(Place { top: near.top & !255 | last, ..near }.is_among(bits));
        }
    }

    #[test]
    fn a_leaf_has_a_code_for_each_address() {
        for last in 0..=255_u32 {
            let mut leaf: Leaf = [0; 8];
            leaf[last as usize / 32] = CODE_ALLOW << (2 * (last % 32));
            for other in 0..=255 {
                let expected = if other == last { CODE_ALLOW } else { CODE_NONE };
                assert_eq!(leaf_code(&leaf, Place { top: 0xc000_0200 | other, family: 0 }), expected);
            }
        }
    }
}
