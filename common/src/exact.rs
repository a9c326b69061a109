//! Dynamic entries for single addresses, where the program finds them without a call.
//!
//! What an operator or the checker bans is nearly always one address. Beside the trie, which has every dynamic entry, those for
//! single addresses are in an array of small buckets, so that a banned source costs one line of memory. An address that finds
//! its bucket full is in the trie only, which costs time and nothing else.
//!
//! User space alone writes, a word at a time and the deadline last; an entry that was taken away leaves its place empty for
//! longer than any program runs. So a program that reads the deadline before and after the address, and finds both the same,
//! has read one entry and not two halves.

use crate::Address;

/// Buckets. 64 KiB in all: they are read only for sources that the lists may know.
pub const BUCKETS: usize = 1 << 10;
/// Entries of a bucket.
pub const WAYS: usize = 2;
/// `u64`s of a bucket, a cache line: for each entry two of address and one of deadline; the last two are empty.
pub const BUCKET_WORDS: usize = 8;
/// `u64`s of an entry.
const ENTRY_WORDS: usize = 3;

/// A bucket.
pub type Bucket = [u64; BUCKET_WORDS];

/// What of a deadline is a `VERDICT_`, and not time.
const VERDICT: u64 = 3;

/// The words of an address as an entry has them.
#[inline(always)]
pub const fn key(address: &Address) -> [u64; 2] {
    let words = &address.words;
    [words[0] as u64 | (words[1] as u64) << 32, words[2] as u64 | (words[3] as u64) << 32]
}

/// The bucket of an address. Whoever chooses addresses can fill one; what then finds no room is in the trie.
#[inline(always)]
pub const fn bucket(key: [u64; 2]) -> usize {
    // Odd constants of splitmix64; the high bits of a product depend on all of its factors' bits.
    let mixed = key[0].wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ key[1].wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BUCKETS.trailing_zeros())) as usize
}

/// Where in a bucket an entry begins: its address, then its deadline.
pub const fn entry(way: usize) -> usize {
    way * ENTRY_WORDS
}

/// A deadline: until when (nanoseconds of the monotonic clock, 0: for ever) which of the `VERDICT_`s holds. Up to four
/// nanoseconds early. An empty place has 0.
pub const fn deadline(expires_ns: u64, verdict: u8) -> u64 {
    let until = if expires_ns == 0 { u64::MAX } else { expires_ns };
    until & !VERDICT | verdict as u64 & VERDICT
}

/// The verdict of a deadline, if it is not over.
#[inline(always)]
pub const fn verdict(deadline: u64, now_ns: u64) -> Option<u8> {
    if deadline & !VERDICT > now_ns { Some((deadline & VERDICT) as u8) } else { None }
}

/// The deadline that a bucket has for an address; 0 if it has none. `load`: reads a word of the bucket, anew each time.
#[inline(always)]
pub fn find(key: [u64; 2], load: impl Fn(usize) -> u64) -> u64 {
    let mut way = 0;
    while way < WAYS {
        let at = entry(way);
        let deadline = load(at + 2);
        if load(at + 1) == key[1] && load(at) == key[0] && load(at + 2) == deadline {
            return deadline;
        }
        way += 1;
    }
    0
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY};

    fn of(text: &str) -> [u64; 2] {
        key(&text.parse::<IpAddr>().unwrap().into())
    }

    #[test]
    fn a_deadline_holds_until_it_is_over_and_keeps_its_verdict() {
        for verdict_of in [VERDICT_ALLOW, VERDICT_DENY, VERDICT_BAN] {
            let timed = deadline(1_000, verdict_of);
            assert_eq!(verdict(timed, 999), Some(verdict_of));
            assert_eq!(verdict(timed, 1_000), None);
            assert_eq!(verdict(deadline(0, verdict_of), u64::MAX >> 1), Some(verdict_of));
        }
        assert_eq!(verdict(0, 0), None, "an empty place says nothing");
    }

    #[test]
    fn only_the_address_itself_is_found() {
        let (one, other) = (of("192.0.2.1"), of("2001:db8::1"));
        let mut bucket: Bucket = [0; BUCKET_WORDS];
        for (way, key) in [one, other].into_iter().enumerate() {
            bucket[entry(way)..][..2].copy_from_slice(&key);
            bucket[entry(way) + 2] = deadline(0, VERDICT_BAN) - 4 * way as u64;
        }
        let find = |key| find(key, |at| bucket[at]);
        assert_eq!(find(one), deadline(0, VERDICT_BAN));
        assert_eq!(find(other), deadline(0, VERDICT_BAN) - 4);
        for text in ["192.0.2.2", "192.0.3.1", "2001:db8::2", "2001:db8:1::1", "::ffff:0:0", "::"] {
            assert_eq!(find(of(text)), 0, "{text}");
        }
    }

    /// The words change under the reader's eyes: it must not take half of each entry for one.
    #[test]
    fn an_entry_that_is_replaced_meanwhile_is_not_found() {
        let reads = core::cell::Cell::new(0);
        let found = find(of("192.0.2.1"), |at| {
            reads.set(reads.get() + 1);
            match at {
                2 => reads.get(),
                0 | 1 => of("192.0.2.1")[at],
                _ => 0,
            }
        });
        assert_eq!(found, 0);
    }

    #[test]
    fn neighbours_spread_over_all_buckets() {
        let mut load = [0_u32; BUCKETS];
        for last in 0..4 * BUCKETS as u32 {
            load[bucket(key(&IpAddr::from((0x0a00_0000 + last).to_be_bytes()).into()))] += 1;
        }
        assert!(load.iter().all(|&load| load < 24), "{:?}", load.iter().max());
        assert!(load.iter().filter(|&&load| load > 0).count() > BUCKETS * 9 / 10);
    }
}
