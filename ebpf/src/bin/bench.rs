//! What the benchmark loads beside the program under test: a source of random senders, nothing at all, and the limiter
//! and the list that others write. And the limiter's arithmetic alone, for a test.
#![no_std]
#![no_main]
#![expect(clippy::needless_pass_by_value, reason = "the xdp macro hands the context over by value")]
#![expect(internal_features, reason = "the BPF target has no AtomicU64::compare_exchange; the intrinsic has")]
#![feature(core_intrinsics)]

#[path = "../cell.rs"]
mod cell;
#[path = "bench/lpm.rs"]
mod lpm;
#[path = "bench/lru_limiter.rs"]
mod lru_limiter;
#[path = "bench/mutator.rs"]
mod mutator;
#[path = "bench/vectors.rs"]
mod vectors;

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// What every XDP program costs, be it ever so short; subtracted from the others.
#[xdp]
fn empty(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// The same for the mutators that call programs made for frames in several buffers.
#[xdp(frags)]
fn empty_frags(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// What every program on the way out costs.
#[classifier]
fn empty_egress(_ctx: TcContext) -> i32 {
    TC_ACT_UNSPEC
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
