//! What the kernel at hand can do for `xdp(frags)` programs: one program a feature, each as small as the feature allows.
//!
//! The kernel matrix loads every one by itself on each kernel: what an old verifier refuses is known before the real
//! program relies on it. Each returns a value that shows that its feature did what it should, see `tests/tests/kernel/
//! features.rs`.
#![no_std]
#![no_main]
#![expect(clippy::needless_pass_by_value, reason = "the xdp macro hands the context over by value")]

#[path = "probe/calls.rs"]
mod calls;
#[path = "probe/cookies.rs"]
mod cookies;
#[path = "probe/frame.rs"]
mod frame;
#[path = "probe/maps.rs"]
mod maps;
#[path = "probe/sockets.rs"]
mod sockets;
#[path = "probe/time.rs"]
mod time;

/// What a feature's program returns when the feature worked: `XDP_PASS`.
const WORKED: u32 = aya_ebpf::bindings::xdp_action::XDP_PASS;

/// What it returns otherwise: `XDP_DROP`.
const FAILED: u32 = aya_ebpf::bindings::xdp_action::XDP_DROP;

/// The answer to whether something worked.
#[inline(always)]
const fn answer(worked: bool) -> u32 {
    if worked { WORKED } else { FAILED }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier accepts no program with an endless loop that it could reach.
    loop {}
}

/// The licence that the kernel is told.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
