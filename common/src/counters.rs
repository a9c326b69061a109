//! What the program counts.

use crate::{
    Plain, Reason,
    policy::{MAX_CLASSES, MAX_INTERFACES},
    reason::REASONS,
};

/// Packets and bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Tally {
    /// Packets.
    pub packets: u64,
    /// Bytes of the frames as they came in, Ethernet header included, FCS excluded.
    pub bytes: u64,
}

// SAFETY: repr(C), two u64.
unsafe impl Plain for Tally {}

/// One CPU's counters for one interface and class.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Counters {
    /// By [`Reason`]: what really happened (passed for a pass reason, dropped for a drop reason).
    pub judged: [Tally; REASONS],
    /// By [`Reason`]: what `observe` mode passed and `enforce` mode would have dropped.
    pub observed: [Tally; REASONS],
}

// SAFETY: repr(C), arrays of Plain.
unsafe impl Plain for Counters {}

const _: () = assert!(size_of::<Counters>() == 2 * 16 * REASONS);

/// Entries of the counter map.
pub const SLOTS: u32 = (MAX_INTERFACES * MAX_CLASSES) as u32;

/// Where an interface and a class are counted.
#[inline(always)]
pub const fn slot(interface: u32, class: u8) -> u32 {
    interface * MAX_CLASSES as u32 + class as u32
}

impl core::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self { judged: [Tally::default(); REASONS], observed: [Tally::default(); REASONS] }
    }
}

impl Counters {
    /// Adds another CPU's counters.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in
            self.judged.iter_mut().zip(other.judged).chain(self.observed.iter_mut().zip(other.observed))
        {
            *mine += theirs;
        }
    }

    /// What was counted under `reason`: really judged so, and merely observed.
    pub fn of(&self, reason: Reason) -> (Tally, Tally) {
        (self.judged[reason as usize], self.observed[reason as usize])
    }
}
