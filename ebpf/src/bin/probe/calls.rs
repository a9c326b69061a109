//! Calls between functions and programs, and loops.

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_md,
    btf_maps::ProgramArray,
    helpers::generated::{bpf_loop, bpf_xdp_get_buff_len},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::{FAILED, WORKED, answer};

/// Programs to go on with. Its owner is the first program it is used by, which has frags: so must every other.
#[btf_map]
static NEXT: ProgramArray<4> = ProgramArray::new();

/// A function of its own that takes the context and a pointer to the stack.
#[inline(never)]
fn measure(ctx: *mut xdp_md, out: &mut u32) -> u32 {
    // SAFETY: the context is the caller's.
    *out = unsafe { bpf_xdp_get_buff_len(ctx) } as u32;
    *out & 0xff
}

/// A function of its own that takes five numbers.
#[inline(never)]
fn mix(a: u64, b: u64, c: u64, d: u64, e: u64) -> u64 {
    core::hint::black_box(a.wrapping_mul(b).rotate_left(7) ^ c.wrapping_add(d)) ^ e
}

/// BPF-to-BPF calls, with the context and a pointer to the caller's stack.
#[xdp(frags)]
fn call(ctx: XdpContext) -> u32 {
    let mut length = 0;
    let low = measure(ctx.ctx, &mut length);
    let length = u64::from(core::hint::black_box(length));
    answer(u64::from(low) == length & 0xff && mix(length, length, length, 1, 2) != 0)
}

/// A tail call; the slot is empty, so it comes back.
#[xdp(frags)]
fn tail_call(ctx: XdpContext) -> u32 {
    // SAFETY: what is in the map is an XDP program.
    unsafe { NEXT.tail_call(&ctx, 0) };
    WORKED
}

/// A tail call from a program that has functions of its own.
#[xdp(frags)]
fn tail_call_beside_call(ctx: XdpContext) -> u32 {
    let mut length = 0;
    if measure(ctx.ctx, &mut length) == 0 {
        return FAILED;
    }
    // SAFETY: what is in the map is an XDP program.
    unsafe { NEXT.tail_call(&ctx, 1) };
    WORKED
}

extern "C" fn count(_index: u32, counter: *mut u32) -> i64 {
    // SAFETY: bpf_loop hands over what it was given, which is on the caller's stack.
    unsafe { *counter += 1 };
    0
}

/// `bpf_loop`.
#[xdp(frags)]
fn bounded_loop(_ctx: XdpContext) -> u32 {
    let mut counter = 0_u32;
    let callback: extern "C" fn(u32, *mut u32) -> i64 = count;
    // SAFETY: the callback takes what is handed over with it.
    unsafe { bpf_loop(9, callback as *mut _, (&raw mut counter).cast(), 0) };
    answer(counter == 9)
}

/// A loop in the program whose bound only the run knows, up to 64.
#[xdp(frags)]
fn plain_loop(ctx: XdpContext) -> u32 {
    let data = ctx.data();
    if data + 15 > ctx.data_end() {
        return FAILED;
    }
    // SAFETY: the byte is within the frame.
    let bound =
        u32::from(unsafe { core::ptr::with_exposed_provenance::<u8>(data + 14).read_volatile() }) & 63;
    let mut sum = 0_u32;
    let mut round = 0;
    while round < bound {
        sum = core::hint::black_box(sum.wrapping_add(round));
        round += 1;
    }
    answer(sum < 64 * 64 && !ctx.as_ptr().is_null())
}
