//! The one place that counts.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use stopbank_common::{
    counters::{Counters, SLOTS, Tally, slot},
    reason::REASONS,
};

use crate::bound::masked;

// What masks an index.
const _: () = assert!(REASONS.is_power_of_two());

#[btf_map]
static COUNTERS: PerCpuArray<Counters, { SLOTS as usize }> = PerCpuArray::new();

/// Counts a packet. `acted`: what the reason says was done, and not only observed.
#[inline(always)]
pub(crate) fn count(interface_slot: u32, class: u8, reason: u32, acted: bool, length: u32) {
    let Some(counters) = COUNTERS.get_ptr_mut(slot(interface_slot, class)) else { return };
    // SAFETY: this CPU's own value; nothing else on this CPU touches it while an XDP program runs.
    let counters = unsafe { &mut *counters };
    let tallies = if acted { &mut counters.judged } else { &mut counters.observed };
    let Tally { packets, bytes } = &mut tallies[masked::<{ REASONS - 1 }>(reason as usize)];
    *packets += 1;
    *bytes += u64::from(length);
}
