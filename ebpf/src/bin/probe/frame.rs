//! The frame: bytes beyond the first page, and another length.

use aya_ebpf::{
    helpers::generated::{
        bpf_csum_diff, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes,
        bpf_xdp_store_bytes,
    },
    macros::xdp,
    programs::XdpContext,
};

use crate::{FAILED, answer};

/// `bpf_xdp_load_bytes`, at an offset that only the run knows: the last bytes of the frame.
#[xdp(frags)]
fn load_bytes(ctx: XdpContext) -> u32 {
    let mut bytes = [0_u8; 16];
    // SAFETY: the context is valid, and the buffer is as long as said.
    let result = unsafe {
        let length = bpf_xdp_get_buff_len(ctx.ctx) as u32;
        bpf_xdp_load_bytes(ctx.ctx, length.wrapping_sub(16), bytes.as_mut_ptr().cast(), 16)
    };
    answer(result == 0)
}

/// `bpf_xdp_store_bytes`.
#[xdp(frags)]
fn store_bytes(ctx: XdpContext) -> u32 {
    let mut bytes = [7_u8; 6];
    // SAFETY: the context is valid, and the buffer is as long as said.
    answer(unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, bytes.as_mut_ptr().cast(), 6) } == 0)
}

/// `bpf_xdp_adjust_tail`: a longer frame, as an answer with options needs it.
#[xdp(frags)]
fn adjust_tail(ctx: XdpContext) -> u32 {
    // SAFETY: the context is valid; no pointer into the frame is used afterwards.
    answer(unsafe { bpf_xdp_adjust_tail(ctx.ctx, 8) } == 0)
}

/// `bpf_xdp_adjust_head`.
#[xdp(frags)]
fn adjust_head(ctx: XdpContext) -> u32 {
    // SAFETY: the context is valid; no pointer into the frame is used afterwards.
    answer(unsafe { bpf_xdp_adjust_head(ctx.ctx, -8) } == 0)
}

/// `bpf_csum_diff` over bytes of the frame.
#[xdp(frags)]
fn checksum(ctx: XdpContext) -> u32 {
    let data = ctx.data();
    if data + 40 > ctx.data_end() {
        return FAILED;
    }
    let from = core::ptr::with_exposed_provenance_mut(data + 20);
    // SAFETY: the twenty bytes are within the frame.
    answer(unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, from, 20, 0) } >= 0)
}
