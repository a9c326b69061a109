//! The lists in the kernel: dynamic entries one at a time, and those of files a generation at a time.
//!
//! Whatever is changed, a packet at any moment is judged as before the change or as after it: what a mark points to is
//! there before the mark, a generation is complete before it is in force, and goes when no program that runs has it.

mod dynamic;
mod exact;
mod generation;
pub(super) mod sys;

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    sync::Arc,
};

use aya::{
    Ebpf,
    maps::{Array, Map, MapData, lpm_trie::LpmTrie},
};
use ipnet::IpNet;
use stopbank_common::{
    Address,
    index::{
        COARSE_BITS, Coarse, PIECES, STATE_DYNAMIC, STATE_EMPTY, STATE_INDEXED, STATE_INSIDE, STATE_SLOT,
        coarse_bit,
    },
    list::{ListEntry, ListKey},
    names,
};

use super::{
    DatapathError, Entry,
    error::errno,
    list_key,
    maps::{self, Shared},
    prefix_of,
};
use crate::lists::feeds::PrefixSet;
use dynamic::Dynamic;
use exact::Exact;
pub use generation::Generation;

/// Dynamic entries that are looked up without an index: as few as this cost less than its cache miss.
const DIRECT: usize = 64;

/// The maps of the lists.
pub(super) struct Lists {
    trie: LpmTrie<MapData, [u8; 16], Shared<ListEntry>>,
    exact: Exact,
    state_map: Array<MapData, u64>,
    coarse_map: Array<MapData, Coarse>,
    /// What that map holds.
    coarse: Coarse,
    filter: MapData,
    index: MapData,
    leaves: MapData,
    longer: MapData,
    dynamic: Dynamic,
    /// What the state map holds.
    state: u64,
    /// The generation in force, if this agent has made it.
    current: Option<Generation>,
    /// What was in force before the last [`Lists::install`], until that is settled.
    before: Option<(u64, Option<Generation>)>,
}

impl Lists {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DatapathError> {
        raise_descriptor_limit();
        let state_map: Array<MapData, u64> =
            maps::typed(maps::take(ebpf, names::LISTS_STATE)?, names::LISTS_STATE)?;
        let state =
            state_map.get(&0, 0).map_err(|error| DatapathError::kernel("read LISTS_STATE", &error))?;
        let exact = maps::take(ebpf, names::LISTS_EXACT)?;
        let Map::Array(exact) = exact else {
            return Err(DatapathError::Kernel {
                tried: format!("use map {}", names::LISTS_EXACT),
                why: "it is not an array".to_owned(),
            });
        };
        let mut lists = Self {
            exact: Exact::open(exact).map_err(|error| DatapathError::kernel("map LISTS_EXACT", &error))?,
            trie: maps::typed(maps::take(ebpf, names::LISTS)?, names::LISTS)?,
            state_map,
            coarse_map: maps::typed(maps::take(ebpf, names::LISTS_COARSE)?, names::LISTS_COARSE)?,
            coarse: Coarse::default(),
            filter: outer(ebpf, names::LISTS_FILTER)?,
            index: outer(ebpf, names::LISTS_INDEX)?,
            leaves: outer(ebpf, names::LISTS_LEAVES)?,
            longer: outer(ebpf, names::LISTS_LONGER)?,
            dynamic: Dynamic::default(),
            state,
            current: None,
            before: None,
        };
        let entries = lists.entries()?;
        lists.exact.keep_only(entries.iter().map(|(prefix, _)| *prefix));
        for (prefix, entry) in entries {
            lists.dynamic.insert(prefix);
            lists.exact.insert(prefix, entry);
        }
        lists.rebuild_coarse()?;
        Ok(lists)
    }

    pub(super) fn insert(&mut self, prefix: IpNet, entry: Entry) -> Result<(), DatapathError> {
        let prefix = prefix.trunc();
        let failed = |error: io::Error| DatapathError::kernel(format!("put {prefix} on the lists"), &error);
        self.own_index()?;
        if self.current.is_none() && self.before.is_none() && self.dynamic.len() >= DIRECT {
            self.install(Some(Generation::build(Arc::default())?))?;
            self.settle()?;
        }
        if let Some(generation) = &mut self.current {
            generation.enter(prefix).map_err(failed)?;
        }
        if self.current.is_none() {
            let mut coarse = self.coarse;
            cover(&mut coarse, prefix);
            self.set_coarse(coarse)?;
        }
        // What lies within is compared with before the entry is found.
        self.set_state(self.wanted(self.dynamic.len() + 1))?;
        let key = list_key(prefix);
        let value = ListEntry {
            expires_ns: entry.expires_ns,
            verdict: entry.verdict,
            prefix_bits: key.prefix_len() as u8,
            reserved: [0; 6],
        };
        let before = self.trie.get(&key, 0).ok();
        self.trie
            .insert(&key, Shared(value), 0)
            .map_err(|error| DatapathError::kernel(format!("put {prefix} on the lists"), &error))?;
        self.dynamic.insert(prefix);
        if let Err(error) = self.mark(prefix) {
            // An entry that is nowhere marked would be one that nobody is held against.
            match before {
                Some(before) => drop(self.trie.insert(&key, before, 0)),
                None => {
                    self.dynamic.remove(prefix);
                    drop(self.trie.remove(&key));
                }
            }
            return Err(failed(error));
        }
        self.exact.insert(prefix, entry);
        Ok(())
    }

    pub(super) fn remove(&mut self, prefix: IpNet) -> Result<bool, DatapathError> {
        let prefix = prefix.trunc();
        self.own_index()?;
        self.exact.remove(prefix);
        match self.trie.remove(&list_key(prefix)) {
            Ok(()) => {}
            Err(error) if errno(&error) == Some(libc::ENOENT) => return Ok(false),
            Err(error) => {
                return Err(DatapathError::kernel(format!("take {prefix} off the lists"), &error));
            }
        }
        self.dynamic.remove(prefix);
        // Marks too many only cost a look-up, and go with the next change here.
        drop(self.mark(prefix));
        self.set_state(self.wanted(self.dynamic.len()))?;
        if self.current.is_none() {
            self.rebuild_coarse()?;
        }
        Ok(true)
    }

    pub(super) fn entries(&self) -> Result<Vec<(IpNet, Entry)>, DatapathError> {
        let failed = |error| DatapathError::kernel("read the lists", &error);
        self.trie
            .iter()
            .map(|item| {
                let (key, Shared(value)) = item.map_err(failed)?;
                Ok((prefix_of(&key), Entry { verdict: value.verdict, expires_ns: value.expires_ns }))
            })
            .collect()
    }

    /// Dynamic entries.
    pub(super) fn dynamic_len(&self) -> u64 {
        self.dynamic.len() as u64
    }

    /// Places for single addresses in use, and all of them.
    pub(super) fn exact_use(&self) -> (u64, u64) {
        self.exact.places_in_use()
    }

    /// Entries of list files that the index cannot tell; at most.
    pub(super) fn longer_len(&self) -> u64 {
        self.current.as_ref().map_or(0, |generation| generation.longer_len as u64)
    }

    /// Bytes of the maps of list files in force, beside those that point to them.
    pub(super) fn memory(&self) -> u64 {
        self.current.as_ref().map_or(0, Generation::memory)
    }

    /// Puts the entries of files in force as a whole, in the place of those there were; `None`: there are none. Until
    /// [`Lists::settle`], [`Lists::revert`] goes back.
    pub(super) fn install(&mut self, generation: Option<Generation>) -> Result<(), DatapathError> {
        let failed = |error: io::Error| DatapathError::kernel("put the list files in force", &error);
        self.settle()?;
        let generation = match generation {
            None if self.dynamic.len() > DIRECT => Some(Generation::build(Arc::default())?),
            other => other.filter(|made| !made.entries().is_empty() || self.dynamic.len() >= DIRECT),
        };
        let slot = !self.state & STATE_SLOT;
        let generation = match generation {
            None => None,
            Some(mut made) => {
                let mut covered: Option<IpNet> = None;
                for prefix in self.dynamic.iter() {
                    // What contains others comes before them.
                    if covered.is_none_or(|outer| !outer.contains(&prefix)) {
                        made.enter(prefix).map_err(failed)?;
                        covered = Some(prefix);
                    }
                }
                for range in self.dynamic.families() {
                    made.mark(&range, &self.dynamic.marks(&range)).map_err(failed)?;
                }
                self.put_pieces(slot, made.pieces()).map_err(failed)?;
                sys::put(self.filter.fd().as_fd(), slot as u32, made.filter.as_fd()).map_err(failed)?;
                sys::put(self.leaves.fd().as_fd(), slot as u32, made.leaves.as_fd()).map_err(failed)?;
                sys::put(self.longer.fd().as_fd(), slot as u32, made.longer.as_fd()).map_err(failed)?;
                Some(made)
            }
        };
        if generation.is_none() {
            self.rebuild_coarse()?;
        }
        let before = (self.state, std::mem::replace(&mut self.current, generation));
        let state = slot | self.wanted(self.dynamic.len()) & !STATE_SLOT;
        if let Err(error) = self.set_state(state) {
            self.current = before.1;
            return Err(error);
        }
        self.before = Some(before);
        Ok(())
    }

    /// Gives up what was in force before the last install.
    pub(super) fn settle(&mut self) -> Result<(), DatapathError> {
        let failed = |error: io::Error| DatapathError::kernel("give up the list files of before", &error);
        let Some((before, generation)) = self.before.take() else { return Ok(()) };
        if before & STATE_INDEXED != 0 {
            self.wait_for_programs().map_err(failed)?;
            let slot = before & STATE_SLOT;
            // No call empties many slots at a time; one map of nothing in all of them takes no memory.
            let blank = generation::new_piece().map_err(failed)?;
            self.put_pieces(slot, (0..PIECES).map(|_| blank.as_fd())).map_err(failed)?;
            for outer in [&self.filter, &self.leaves, &self.longer] {
                sys::empty(outer.fd().as_fd(), slot as u32).map_err(failed)?;
            }
        }
        drop(generation);
        if self.current.is_none() && self.dynamic.len() > DIRECT {
            // They became too many while there was something to go back to.
            self.install(Some(Generation::build(Arc::default())?))?;
            return self.settle();
        }
        Ok(())
    }

    /// Goes back to what was in force before the last install. The dynamic entries must be those of then.
    pub(super) fn revert(&mut self) -> Result<(), DatapathError> {
        let Some((state, generation)) = self.before.take() else { return Ok(()) };
        if generation.is_none() {
            self.rebuild_coarse()?;
        }
        self.set_state(state)?;
        self.current = generation;
        // The next generation goes where the one that is given up here was. Without waiting it is as right as it is now.
        let _ = self.wait_for_programs();
        Ok(())
    }

    fn put_pieces<'f>(&self, slot: u64, pieces: impl Iterator<Item = BorrowedFd<'f>>) -> io::Result<()> {
        let first = slot as u32 * PIECES as u32;
        let descriptors = pieces.map(|piece| piece.as_raw_fd() as u32);
        sys::insert_all(self.index.fd().as_fd(), (first..).zip(descriptors))
    }

    /// Returns when no program runs that began before.
    fn wait_for_programs(&self) -> io::Result<()> {
        // The kernel waits whenever a slot is filled; this slot is the one in force now, or of no use to anybody.
        let slot = (self.state & STATE_SLOT) as u32;
        match &self.current {
            Some(generation) => sys::put(self.longer.fd().as_fd(), slot, generation.longer.as_fd()),
            None => {
                let entry = (size_of::<ListKey>(), size_of::<ListEntry>());
                let nothing = sys::create("lists_longer", sys::LPM_TRIE, entry, 1, sys::NO_PREALLOC)?;
                sys::put(self.longer.fd().as_fd(), slot, nothing.as_fd())
            }
        }
    }

    /// What the state map shall hold with so many dynamic entries.
    fn wanted(&self, dynamic: usize) -> u64 {
        let indexed = match &self.current {
            Some(generation) => {
                let inside = if generation.inside { STATE_INSIDE } else { STATE_EMPTY };
                STATE_INDEXED | inside | generation.summaries
            }
            None => STATE_EMPTY,
        };
        let dynamic = if dynamic > 0 { STATE_DYNAMIC } else { STATE_EMPTY };
        self.state & STATE_SLOT | indexed | dynamic
    }

    /// Tells the program where there are dynamic entries, while they are looked up without an index. Right for any number of
    /// them; the more there are, the more sources are looked up.
    fn rebuild_coarse(&mut self) -> Result<(), DatapathError> {
        let mut coarse = Coarse::default();
        self.dynamic.iter().for_each(|prefix| cover(&mut coarse, prefix));
        self.set_coarse(coarse)
    }

    fn set_coarse(&mut self, coarse: Coarse) -> Result<(), DatapathError> {
        self.coarse_map
            .set(0, coarse, 0)
            .map_err(|error| DatapathError::kernel("write LISTS_COARSE", &error))?;
        self.coarse = coarse;
        Ok(())
    }

    fn set_state(&mut self, state: u64) -> Result<(), DatapathError> {
        // "Empty" is one value, whichever slot was used last; that is remembered here.
        let kernel = if state & !STATE_SLOT == 0 { STATE_EMPTY } else { state };
        // All of it is in one byte: no packet reads half of it.
        self.state_map
            .set(0, kernel, 0)
            .map_err(|error| DatapathError::kernel("write LISTS_STATE", &error))?;
        self.state = state;
        Ok(())
    }

    fn mark(&mut self, prefix: IpNet) -> io::Result<()> {
        let Some(generation) = &mut self.current else { return Ok(()) };
        let range = Dynamic::groups(prefix);
        let fresh = generation.mark(&range, &self.dynamic.marks(&range))?;
        let first = (self.state & STATE_SLOT) as usize * PIECES;
        let fresh: Vec<_> =
            generation.pieces().enumerate().filter(|(number, _)| fresh.contains(number)).collect();
        let elements =
            fresh.iter().map(|(number, piece)| ((first + number) as u32, piece.as_raw_fd() as u32));
        let written = sys::insert_all(self.index.fd().as_fd(), elements);
        if written.is_err() {
            // Made anew when they are needed next: nobody reads them where they are.
            let fresh: Vec<usize> = fresh.iter().map(|(number, _)| *number).collect();
            if let Some(generation) = &mut self.current {
                generation.forget(&fresh);
            }
        }
        written
    }

    /// Entries are marked in an index that this agent has made; an earlier agent's only serves until then.
    fn own_index(&self) -> Result<(), DatapathError> {
        if self.state & STATE_INDEXED != 0 && self.current.is_none() {
            return Err(DatapathError::Kernel {
                tried: "change the lists".to_owned(),
                why: "the index is still an earlier agent's: list files come first".to_owned(),
            });
        }
        Ok(())
    }
}

impl super::Datapath {
    /// Puts the entries of list files in force as a whole, in the place of those there were. A packet is judged by the
    /// old ones or by the new ones. [`super::Datapath::revert_lists`] goes back, until [`super::Datapath::settle_lists`].
    ///
    /// # Errors
    ///
    /// [`DatapathError`]; what was in force stays so then.
    pub fn install_lists(&mut self, generation: Option<Generation>) -> Result<(), DatapathError> {
        self.lists.install(generation)
    }

    /// Gives up what was in force before the last [`super::Datapath::install_lists`], and its memory.
    ///
    /// # Errors
    ///
    /// [`DatapathError`]; the new ones are in force all the same.
    pub fn settle_lists(&mut self) -> Result<(), DatapathError> {
        self.lists.settle()
    }

    /// Goes back to what was in force before the last [`super::Datapath::install_lists`]. Dynamic entries must have been taken
    /// back before.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn revert_lists(&mut self) -> Result<(), DatapathError> {
        self.lists.revert()
    }

    /// The entries of list files in force.
    pub fn filed(&self) -> Option<&Arc<PrefixSet>> {
        self.lists.current.as_ref().map(Generation::entries)
    }
}

/// Sets the bits of all addresses of a prefix.
fn cover(coarse: &mut Coarse, prefix: IpNet) {
    let (first, last) = (Address::from(prefix.network()), Address::from(prefix.broadcast()));
    let bits = match prefix {
        // All that come before the byte may be any.
        IpNet::V6(v6) if v6.prefix_len() < 24 => COARSE_BITS / 2..=COARSE_BITS - 1,
        _ => coarse_bit(&first)..=coarse_bit(&last),
    };
    for bit in bits {
        coarse[bit / 64] |= 1 << (bit % 64);
    }
}

/// An outer map.
fn outer(ebpf: &mut Ebpf, name: &str) -> Result<MapData, DatapathError> {
    match maps::take(ebpf, name)? {
        Map::ArrayOfMaps(data) => Ok(data),
        _ => Err(DatapathError::Kernel {
            tried: format!("use map {name}"),
            why: "it is not an array of maps".to_owned(),
        }),
    }
}

/// Two generations may have more maps than the usual 1024 descriptors. Where this is refused, making an index says so.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
