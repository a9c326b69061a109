//! Allow, deny and ban: the longest prefix wins.
//!
//! Entries of list files are in an index, two generations of which take turns; dynamic ones, which may come, go and
//! expire at any time, are in a trie, and the index says where there are any. User space writes all of it, the program
//! none.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, LpmTrie, lpm_trie::Key},
    macros::btf_map,
};
use stopbank_common::{
    Address, Reason,
    exact::{self, BUCKETS, Bucket},
    index::{
        COARSE_BITS, CODE_ALLOW, CODE_DENY, CODE_MORE, CODE_NONE, Coarse, FILTER_MAP_WORDS, Leaf,
        PIECE_WORDS, PIECES, Place, STATE_EMPTY, STATE_INDEXED, STATE_INSIDE, STATE_SLOT, Word, coarse_bit,
        leaf_code,
    },
    list::{LIST_CAPACITY, LONGER_CAPACITY, ListEntry, VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY, beats},
};

use crate::{Packet, bound::masked, clock::Clock, verdict};

/// `BPF_F_MMAPABLE`: user space writes through a mapping.
const MAPPED: usize = 1 << 10;
/// `BPF_F_INNER_MAP`: generations differ in size.
const ANY_SIZE: usize = 1 << 12;

/// Dynamic entries for single addresses.
#[btf_map]
static LISTS_EXACT: Array<Bucket, BUCKETS, MAPPED> = Array::new();

/// What of the lists is in use. Each step reads it once, so that it goes by one generation.
#[btf_map]
static LISTS_STATE: Array<u64, 1> = Array::new();

/// Where there are dynamic entries, while they are too few for an index.
#[btf_map]
static LISTS_COARSE: Array<Coarse, 1> = Array::new();

/// Dynamic entries.
#[btf_map]
static LISTS: LpmTrie<Address, ListEntry, { LIST_CAPACITY as usize }> = LpmTrie::new();

/// Where the index has anything, and a summary of that: what nearly every source is decided by.
#[btf_map]
static LISTS_FILTER: ArrayOfMaps<Array<u64, FILTER_MAP_WORDS>, 2> = ArrayOfMaps::new();

#[btf_map]
static LISTS_INDEX: ArrayOfMaps<Array<u64, PIECE_WORDS>, { 2 * PIECES }> = ArrayOfMaps::new();

#[btf_map]
static LISTS_LEAVES: ArrayOfMaps<Array<Leaf, 1, { MAPPED | ANY_SIZE }>, 2> = ArrayOfMaps::new();

/// Entries of files that the index cannot tell: IPv6 beyond /32, and those within dynamic entries, whose length counts. An
/// array of one each, for Linux 6.1: see `POLICY`.
#[btf_map]
static LISTS_LONGER: ArrayOfMaps<LpmTrie<Address, [ListEntry; 1], { LONGER_CAPACITY as usize }>, 2> =
    ArrayOfMaps::new();

/// How many expired entries, one inside the other, are looked past before the agent has swept them.
const NESTED_EXPIRED: u32 = 4;

/// Whether the lists may know the packet's source: asked in place, so that nearly every packet is spared the step itself.
#[inline(always)]
pub(crate) fn may_know(source: &Address) -> bool {
    let Some(&state) = LISTS_STATE.get(0) else { return true };
    if state == STATE_EMPTY {
        return false;
    }
    if state & STATE_INDEXED == 0 {
        let Some(coarse) = LISTS_COARSE.get(0) else { return true };
        let bit = masked::<{ COARSE_BITS - 1 }>(coarse_bit(source));
        return coarse[bit >> 6] >> (bit & 63) & 1 != 0;
    }
    let (place, slot) = (Place::of(source), (state & STATE_SLOT) as u32);
    let Some(&summary) = LISTS_FILTER.get_value(slot, &place.summary_word(state)) else { return true };
    if !place.is_in_summary(state, summary) {
        return false;
    }
    let at = place.filter_word();
    let Some(&slash24s) = LISTS_FILTER.get_value(slot, &at) else { return true };
    let Some(&addresses) = LISTS_FILTER.get_value(slot, &(at + 1)) else { return true };
    place.is_in(slash24s) && place.is_among(addresses)
}

/// The reason that a dynamic entry for the source itself gives, if there is one. See [`verdict`].
///
/// Nothing is longer than such an entry; only where entries of files may be of the same length the longer way must be gone.
#[inline(always)]
pub(crate) fn judge_by_address(packet: &Packet) -> u32 {
    match LISTS_STATE.get(0) {
        Some(&state) if state & STATE_INSIDE == 0 => {}
        _ => return verdict::NONE,
    }
    let key = exact::key(&packet.facts.source);
    let Some(bucket) = LISTS_EXACT.get_ptr(masked::<{ BUCKETS - 1 }>(exact::bucket(key)) as u32) else {
        return verdict::NONE;
    };
    // SAFETY: within the bucket; user space writes whole aligned words.
    let deadline = exact::find(key, |at| unsafe { bucket.cast::<u64>().add(at).read_volatile() });
    verdict::of(exact::verdict(deadline, packet.clock.rough_ns()).and_then(reason))
}

/// The reason that the lists give for the packet's source, if they know it. See [`verdict`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_by_lists(packet: *mut Packet) -> u32 {
    // SAFETY: the verifier knows that it may be null, and how large it is.
    let Some(packet) = (unsafe { packet.as_mut() }) else { return verdict::NONE };
    verdict::of(look_up(&packet.facts.source, &mut packet.clock))
}

#[inline(always)]
fn look_up(source: &Address, clock: &mut Clock) -> Option<Reason> {
    let state = *LISTS_STATE.get(0)?;
    if state == STATE_EMPTY {
        return None;
    }
    if state & STATE_INDEXED == 0 {
        return reason(dynamic(source, clock)?.verdict);
    }
    let slot = (state & STATE_SLOT) as u32;
    let place = Place::of(source);
    let piece = slot * PIECES as u32 + place.piece();
    let word = Word(*LISTS_INDEX.get_value(piece, &place.word())?);
    if word.is_marked(place)
        && let Some(entry) = dynamic(source, clock)
    {
        if state & STATE_INSIDE != 0
            && let Some(filed) = longer(slot, source)
            && beats(filed, entry)
        {
            return reason(filed.verdict);
        }
        return reason(entry.verdict);
    }
    match word.code(place) {
        CODE_NONE => None,
        CODE_DENY => Some(Reason::Denied),
        CODE_ALLOW => Some(Reason::Allowed),
        _ => {
            let first = *LISTS_INDEX.get_value(piece, &place.first_leaf())? as u32;
            in_leaf(source, slot, place, first + word.leaf(place))
        }
    }
}

/// For a /24 that is not of one kind.
#[inline(always)]
fn in_leaf(source: &Address, slot: u32, place: Place, leaf: u32) -> Option<Reason> {
    match leaf_code(LISTS_LEAVES.get_value(slot, &leaf)?, place) {
        CODE_DENY => Some(Reason::Denied),
        CODE_ALLOW => Some(Reason::Allowed),
        CODE_MORE => reason(longer(slot, source)?.verdict),
        _ => None,
    }
}

/// The longest dynamic entry that has not expired.
#[inline(always)]
fn dynamic(source: &Address, clock: &mut Clock) -> Option<&'static ListEntry> {
    let mut prefix_bits = 128;
    for _ in 0..NESTED_EXPIRED {
        let entry = LISTS.get(&Key::new(prefix_bits, *source))?;
        if entry.expires_ns == 0 || entry.expires_ns > clock.rough_ns() {
            return Some(entry);
        }
        // What has expired must not hide a shorter prefix that has not.
        prefix_bits = u32::from(entry.prefix_bits).checked_sub(1)?;
    }
    None
}

/// The longest entry of a file, where the index cannot tell.
#[inline(always)]
fn longer(slot: u32, source: &Address) -> Option<&'static ListEntry> {
    let trie = LISTS_LONGER.get(slot)?;
    let [entry] = trie.get(&Key::new(128, *source))?;
    Some(entry)
}

#[inline(always)]
const fn reason(verdict: u8) -> Option<Reason> {
    match verdict {
        VERDICT_ALLOW => Some(Reason::Allowed),
        VERDICT_DENY => Some(Reason::Denied),
        VERDICT_BAN => Some(Reason::Banned),
        _ => None,
    }
}
