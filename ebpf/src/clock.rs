//! The kernel's monotonic clock, read at most once a packet, and only by those who need it.

use aya_ebpf::helpers::generated::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use stopbank_common::gcra::{TICKS_PER_NS, Ticks};

/// Nanoseconds; 0 until somebody asks.
#[derive(Default)]
pub(crate) struct Clock {
    exact: u64,
    coarse: u64,
}

impl Clock {
    /// To the nanosecond, in the limiter's ticks.
    #[inline(always)]
    pub(crate) fn ticks(&mut self) -> Ticks {
        if self.exact == 0 {
            // SAFETY: a helper without arguments.
            self.exact = unsafe { bpf_ktime_get_ns() };
        }
        self.exact * TICKS_PER_NS
    }

    /// To the kernel's tick (1 to 10 ms), at half the cost: for what lasts for seconds.
    #[inline(always)]
    pub(crate) fn roughly_ns(&mut self) -> u64 {
        if self.exact != 0 {
            return self.exact;
        }
        if self.coarse == 0 {
            // SAFETY: a helper without arguments.
            self.coarse = unsafe { bpf_ktime_get_coarse_ns() };
        }
        self.coarse
    }
}
