//! Sources that have proved themselves: whom a class serves first when its total budget is spent.

use aya_ebpf::{btf_maps::HashMap, macros::btf_map};
use stopbank_common::{
    Address,
    policy::{MAX_PROVEN, Policy},
};

use crate::Packet;

/// `BPF_F_NO_PREALLOC`: memory is taken as sources prove themselves, up to the table's size.
const NO_PREALLOC: usize = 1;

/// Proven sources, cut to the first level's prefix, and when the proof ends (nanoseconds of the monotonic clock; 0:
/// never). Written by user space only: nothing that a packet brings can add to it.
#[btf_map]
static PROVEN: HashMap<Address, u64, { MAX_PROVEN as usize }, NO_PREALLOC> = HashMap::new();

/// Whether the packet's source is proven: 1 if so. Asked only where a budget is spent.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn is_proven(packet: *mut Packet, policy: *const Policy) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return 0;
    };
    let source = &packet.facts.source;
    let level = &policy.levels[0];
    let key = source.masked(if source.is_v4() { &level.mask_v4 } else { &level.mask_v6 });
    let Some(until) = PROVEN.get_ptr(key) else { return 0 };
    // SAFETY: a map value; user space may change it, and an aligned u64 is read whole.
    let until = unsafe { until.read_volatile() };
    u32::from(until == 0 || until > packet.clock.rough_ns())
}
