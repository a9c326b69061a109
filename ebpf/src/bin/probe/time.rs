//! Clocks.

use aya_ebpf::{
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
    macros::xdp,
    programs::XdpContext,
};

use crate::answer;

/// `bpf_jiffies64`.
#[xdp(frags)]
fn jiffies(_ctx: XdpContext) -> u32 {
    // SAFETY: the helper takes no arguments.
    answer(unsafe { bpf_jiffies64() } != 0)
}

/// `bpf_ktime_get_coarse_ns`: not ahead of the precise clock.
#[xdp(frags)]
fn coarse_clock(_ctx: XdpContext) -> u32 {
    // SAFETY: the helpers take no arguments.
    let (coarse, precise) = unsafe { (bpf_ktime_get_coarse_ns(), bpf_ktime_get_ns()) };
    answer(coarse != 0 && coarse <= precise)
}
