//! The kernel's monotonic clock, read at most once a packet; the exact one only by those who need it.
//!
//! `bpf_ktime_get_ns` reads a hardware counter, which on a virtual machine costs as much as half of everything else. The
//! number of timer ticks stands in memory; the agent measures how long a tick is and where it counts from (see
//! [`Policy::tick_ns`]), so that both clocks tell the same time, the rough one up to a tick (1 to 10 ms) late.
//!
//! In a simulation the agent tells the time, and that of the policy's ticks is 0, so that there is no rough clock.

use aya_ebpf::{
    btf_maps::Array,
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use stopbank_common::{
    gcra::{TICKS_PER_NS, Ticks},
    policy::Policy,
};

use crate::simulation;

/// Nanoseconds.
#[repr(C)]
pub(crate) struct Clock {
    /// 0 until somebody asks.
    exact: u64,
    rough: u64,
}

impl Clock {
    /// Reads the rough clock: two loads and a multiplication, which nearly every packet needs sooner or later, and which take less room
    /// than what it is made of.
    #[inline(always)]
    pub(crate) fn of(policy: &Policy) -> Self {
        if policy.tick_ns == 0 {
            let now = read_exact();
            return Self { exact: now, rough: now };
        }
        // SAFETY: a helper without arguments; the verifier replaces it by a load.
        let ticks = unsafe { bpf_jiffies64() };
        Self { exact: 0, rough: ticks * policy.tick_ns + policy.tick_offset_ns }
    }

    /// In the limiter's ticks: to the nanosecond, or to the kernel's tick where that is good enough.
    #[inline(always)]
    pub(crate) fn ticks(&mut self, precise: bool) -> Ticks {
        (if precise { self.exact_ns() } else { self.rough }) * TICKS_PER_NS
    }

    /// To the kernel's tick: for what lasts many of them.
    #[inline(always)]
    pub(crate) const fn rough_ns(&self) -> u64 {
        self.rough
    }

    #[inline(always)]
    fn exact_ns(&mut self) -> u64 {
        if self.exact == 0 {
            self.exact = read_exact();
        }
        self.exact
    }
}

#[inline(always)]
fn read_exact() -> u64 {
    match simulation::now() {
        Some(now) => now,
        // SAFETY: a helper without arguments.
        None => unsafe { bpf_ktime_get_ns() },
    }
}

/// Both clocks at once: ticks since they were first counted, nanoseconds since the system started.
#[btf_map]
static CLOCKS: Array<[u64; 2], 1> = Array::new();

/// Reads both clocks, for the agent.
#[xdp]
fn read_clocks(_: XdpContext) -> u32 {
    let Some(clocks) = CLOCKS.get_ptr_mut(0) else { return 0 };
    // SAFETY: helpers without arguments.
    let now = unsafe { [bpf_jiffies64(), bpf_ktime_get_ns()] };
    // SAFETY: a map value that nobody else writes.
    unsafe { *clocks = now };
    1
}
