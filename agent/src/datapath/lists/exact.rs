//! Dynamic entries for single addresses, where the program finds them without a call ([`stopbank_common::exact`]).

use std::{
    collections::HashSet,
    io,
    sync::atomic::Ordering::{Relaxed, Release},
    time::{Duration, Instant},
};

use aya::maps::MapData;
use ipnet::IpNet;
use stopbank_common::exact::{self, BUCKET_WORDS, BUCKETS, WAYS};

use super::sys::Mapping;
use crate::datapath::Entry;

/// Longer than any program runs: so long a place stays empty, lest a program reads half of the old entry and half of the new.
const REST: Duration = Duration::from_millis(50);

/// The table, written through a mapping.
pub(super) struct Exact {
    table: Mapping,
    // The program is loaded with its descriptor.
    _map: MapData,
    /// When each place was emptied last.
    emptied: Box<[Option<Instant>]>,
}

impl Exact {
    pub(super) fn open(map: MapData) -> io::Result<Self> {
        let table = Mapping::new(map.fd(), BUCKETS * BUCKET_WORDS)?;
        Ok(Self { table, _map: map, emptied: vec![None; BUCKETS * WAYS].into_boxed_slice() })
    }

    /// Puts an entry in place, or changes the one that is there. One that finds no room, or that is for more than one
    /// address, is in the trie only.
    pub(super) fn insert(&mut self, prefix: IpNet, entry: Entry) {
        let Some(key) = key(prefix) else { return };
        let deadline = exact::deadline(entry.expires_ns, entry.verdict);
        if let Some(place) = self.find(key) {
            self.word(place, 2).store(deadline, Release);
        } else if let Some(place) = self.free(key) {
            self.word(place, 0).store(key[0], Relaxed);
            self.word(place, 1).store(key[1], Relaxed);
            self.word(place, 2).store(deadline, Release);
        }
    }

    /// Takes an entry away, if it is there.
    pub(super) fn remove(&mut self, prefix: IpNet) {
        if let Some(place) = key(prefix).and_then(|key| self.find(key)) {
            self.word(place, 2).store(0, Release);
            self.emptied[place] = Some(Instant::now());
        }
    }

    /// Takes away what an earlier agent left and nobody wants any more.
    pub(super) fn keep_only(&mut self, prefixes: impl Iterator<Item = IpNet>) {
        let keys: HashSet<[u64; 2]> = prefixes.filter_map(key).collect();
        for place in 0..BUCKETS * WAYS {
            let address = [0, 1].map(|word| self.word(place, word).load(Relaxed));
            if self.word(place, 2).load(Relaxed) != 0 && !keys.contains(&address) {
                self.word(place, 2).store(0, Release);
                self.emptied[place] = Some(Instant::now());
            }
        }
    }

    /// Places in use, and all.
    pub(super) fn places_in_use(&self) -> (u64, u64) {
        let all = BUCKETS * WAYS;
        let used = (0..all).filter(|place| self.word(*place, 2).load(Relaxed) != 0).count();
        (used as u64, all as u64)
    }

    fn word(&self, place: usize, word: usize) -> &std::sync::atomic::AtomicU64 {
        &self.table.words()[place / WAYS * BUCKET_WORDS + exact::entry(place % WAYS) + word]
    }

    fn places(key: [u64; 2]) -> std::ops::Range<usize> {
        let first = exact::bucket(key) * WAYS;
        first..first + WAYS
    }

    fn find(&self, key: [u64; 2]) -> Option<usize> {
        let is = |place: &usize| {
            self.word(*place, 2).load(Relaxed) != 0
                && [0, 1].iter().all(|&word| self.word(*place, word).load(Relaxed) == key[word])
        };
        Self::places(key).find(is)
    }

    fn free(&self, key: [u64; 2]) -> Option<usize> {
        let is = |place: &usize| {
            self.word(*place, 2).load(Relaxed) == 0
                && self.emptied[*place].is_none_or(|when| when.elapsed() > REST)
        };
        Self::places(key).find(is)
    }
}

/// The address of a prefix that has no other.
fn key(prefix: IpNet) -> Option<[u64; 2]> {
    (prefix.prefix_len() == prefix.max_prefix_len()).then(|| exact::key(&prefix.addr().into()))
}
