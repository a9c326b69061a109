//! A `u64` in a map, changed by several CPUs at once.

use core::intrinsics::{AtomicOrdering::Relaxed, atomic_cxchg};

use stopbank_common::gcra::Cell;

/// Points into a map value, which lives as long as the program runs.
pub(crate) struct MapCell(*mut u64);

impl MapCell {
    /// # Safety
    ///
    /// `pointer` must point to an aligned `u64` in a map value.
    #[inline(always)]
    pub(crate) const unsafe fn new(pointer: *mut u64) -> Self {
        Self(pointer)
    }
}

impl Cell for MapCell {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: valid by construction; the BPF backend has no relaxed atomic load, and a volatile one of an aligned
        // u64 is a single instruction.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn replace(&self, current: u64, new: u64) -> bool {
        // SAFETY: valid and aligned by construction. Relaxed: the cell guards nothing but itself.
        unsafe { atomic_cxchg::<u64, { Relaxed }, { Relaxed }>(self.0, current, new).1 }
    }
}
