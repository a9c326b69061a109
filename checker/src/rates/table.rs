//! What is known of identities, in memory of a fixed size.
//!
//! A table is sets of eight slots. A keyed hash of the identity picks the set and is kept, in part, as its tag: nothing else of the identity is. Whoever does not know
//! the key cannot choose identities that meet in one set (SipHash: Aumasson and Bernstein, 2012).
//!
//! A slot that says nothing any more (an arrival time that has passed, a window that is over) is free. Where none is, the one that says
//! least is forgotten: see [`State::rank`].

use std::{
    hash::Hasher as _,
    mem::size_of,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// Slots of a set: 128 bytes of them where a state is a time.
const WAYS: usize = 8;
/// Most locks of a table.
const SHARDS: usize = 64;

/// The secret of the hash: drawn from the system's random source when a process begins, and shown nowhere.
#[derive(Clone, Copy)]
pub struct Key(pub [u8; 16]);

/// What is known of one identity.
pub(super) trait State: Clone + Default {
    /// How much would be lost with it; `None` if nothing. Of the states of a set, the one that would lose least is forgotten for a newcomer.
    ///
    /// The first part has to be what the identity has used of its allowance. Whoever wants to be forgotten then has to see to it that others have used as much, in
    /// every slot of a set that he does not know: that takes more requests than it gives back.
    fn rank(&self, now: u64) -> Option<(u64, u64)>;
}

#[derive(Clone, Default)]
struct Slot<S> {
    tag: u64,
    state: S,
}

/// Slots of the sets of one lock.
type Slots<S> = Box<[Slot<S>]>;

/// A table of states.
pub(super) struct Table<S> {
    /// Has the key and the salt already.
    hasher: SipHasher13,
    /// The sets, dealt out to the locks in turn.
    shards: Vec<Mutex<Slots<S>>>,
    sets: u64,
    /// Identities that were forgotten for others before their time.
    forgotten: AtomicU64,
}

/// A table, for metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableState {
    /// Bytes.
    pub(super) memory: usize,
    /// Identities that there is room for.
    pub(super) room: usize,
    /// Identities that were forgotten for others before their time.
    pub(super) forgotten: u64,
}

impl<S: State> Table<S> {
    /// A table for at least so many identities; at least one set. `salt` tells tables apart that have the same key.
    pub(super) fn new(key: Key, salt: &str, identities: usize) -> Self {
        let sets = identities.div_ceil(WAYS).max(1);
        let shards = sets.min(SHARDS);
        let shard = |number: usize| {
            let of_it = (sets - number).div_ceil(shards);
            Mutex::new(vec![Slot::default(); of_it * WAYS].into_boxed_slice())
        };
        let mut hasher = SipHasher13::new_with_key(&key.0);
        hasher.write_u64(salt.len() as u64);
        hasher.write(salt.as_bytes());
        Self {
            hasher,
            shards: (0..shards).map(shard).collect(),
            sets: sets as u64,
            forgotten: AtomicU64::new(0),
        }
    }

    /// Bytes that it holds, whatever is in it.
    pub(super) fn memory(&self) -> usize {
        self.sets as usize * WAYS * size_of::<Slot<S>>()
    }

    /// Bytes that one for so many identities holds.
    pub(super) fn memory_for(identities: usize) -> usize {
        identities.div_ceil(WAYS).max(1).saturating_mul(WAYS * size_of::<Slot<S>>())
    }

    /// How it is doing.
    pub(super) fn state(&self) -> TableState {
        let forgotten = self.forgotten.load(Ordering::Relaxed);
        TableState { memory: self.memory(), room: self.sets as usize * WAYS, forgotten }
    }

    /// Identities that something is known of. Looks at every slot.
    pub(super) fn occupied(&self, now: u64) -> usize {
        let of = |shard: &Mutex<Slots<S>>| {
            let slots = shard.lock().unwrap_or_else(PoisonError::into_inner);
            slots.iter().filter(|slot| slot.state.rank(now).is_some()).count()
        };
        self.shards.iter().map(of).sum()
    }

    /// Lets something be done with the state of an identity, a new one if nothing is known of it. What the state says afterwards is kept.
    pub(super) fn with<R>(&self, identity: &[u8], now: u64, act: impl FnOnce(&mut S) -> R) -> R {
        let mut hasher = self.hasher;
        hasher.write(identity);
        let hash = hasher.finish128();
        let set = ((u128::from(hash.h1) * u128::from(self.sets)) >> 64) as usize;
        let (shard, place) = (set % self.shards.len(), set / self.shards.len() * WAYS);
        let Some(shard) = self.shards.get(shard) else { return act(&mut S::default()) };
        // A thread that panicked in here has left a state that is whole: it is written in one go.
        let mut slots = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slots) = slots.get_mut(place..place + WAYS) else { return act(&mut S::default()) };
        if let Some(slot) = slots.iter_mut().find(|slot| slot.tag == hash.h2 && slot.state.rank(0).is_some())
        {
            return act(&mut slot.state);
        }
        let mut state = S::default();
        let result = act(&mut state);
        if state.rank(now).is_some()
            && let Some(slot) = slots.iter_mut().min_by_key(|slot| slot.state.rank(now))
        {
            if slot.state.rank(now).is_some() {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            *slot = Slot { tag: hash.h2, state };
        }
        result
    }

    /// What is known of an identity, without keeping anything.
    pub(super) fn peek(&self, identity: &[u8], now: u64) -> S {
        self.with(identity, now, |state| state.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Used, and until when.
    #[derive(Clone, Copy, Default, PartialEq, Debug)]
    struct Used(u64, u64);

    impl State for Used {
        fn rank(&self, now: u64) -> Option<(u64, u64)> {
            (self.1 > now).then_some((self.0, self.1))
        }
    }

    #[test]
    fn a_full_set_forgets_whoever_has_used_least() {
        let table = Table::<Used>::new(Key([7; 16]), "a", 8);
        for used in 1..=8_u64 {
            table.with(&used.to_le_bytes(), 0, |state| *state = Used(10 * used, 100));
        }
        table.with(b"newcomer", 0, |state| *state = Used(1, 100));
        assert_eq!(table.peek(&1_u64.to_le_bytes(), 0), Used(0, 0));
        assert_eq!(table.peek(&2_u64.to_le_bytes(), 0), Used(20, 100));
        // Another newcomer takes the place of the first, and so on: nobody who has used more is touched.
        for number in 0..1_000_u64 {
            table.with(format!("{number}").as_bytes(), 0, |state| *state = Used(1, 100));
        }
        for used in 2..=8_u64 {
            assert_eq!(table.peek(&used.to_le_bytes(), 0), Used(10 * used, 100));
        }
        // What is over is free, however much it was.
        table.with(b"later", 100, |state| *state = Used(1, 200));
        assert_eq!(table.peek(b"later", 100), Used(1, 200));
    }

    #[test]
    fn tables_of_other_salts_and_keys_put_identities_elsewhere() {
        let sets = |key, salt| {
            let table = Table::<Used>::new(Key([key; 16]), salt, 8 << 10);
            table.with(b"somebody", 0, |state| *state = Used(1, 1));
            let at = |shard: &Mutex<Slots<Used>>| shard.lock().unwrap().iter().position(|slot| slot.tag != 0);
            (table.shards.iter().position(|shard| at(shard).is_some()), table.shards.iter().find_map(at))
        };
        assert_eq!(sets(1, "a"), sets(1, "a"));
        assert_ne!(sets(1, "a"), sets(1, "b"));
        assert_ne!(sets(1, "a"), sets(2, "a"));
    }

    #[test]
    fn memory_is_what_was_asked_for_rounded_up() {
        for identities in [0, 1, 7, 8, 9, 1_000, 4_097] {
            let table = Table::<Used>::new(Key([0; 16]), "", identities);
            let slots: usize = table.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
            assert!(slots >= identities && slots < identities + 16, "{identities}: {slots}");
            assert_eq!(table.memory(), slots * 24);
        }
    }
}
