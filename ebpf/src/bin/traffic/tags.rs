//! A VLAN tag on all that goes over a link, for kernels that have no VLAN devices: both ends push and pop it on their way out
//! and in. XDP comes before popping, and sees the tag.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::{bpf_skb_vlan_pop, bpf_skb_vlan_push},
    macros::classifier,
    programs::TcContext,
};

/// The tag's type, 802.1Q, and its number.
const PROTOCOL: u16 = 0x8100_u16.to_be();
const NUMBER: u16 = 7;
const NUMBER_MASK: u32 = 0x0fff;

/// On the way out.
#[classifier]
fn push_tag(ctx: TcContext) -> i32 {
    // SAFETY: the kernel's context.
    let failed = unsafe { bpf_skb_vlan_push(ctx.skb.skb, PROTOCOL, NUMBER) };
    if failed == 0 { TC_ACT_UNSPEC } else { TC_ACT_SHOT }
}

/// On the way in, where floods come in as well, which have none.
#[classifier]
fn pop_tag(ctx: TcContext) -> i32 {
    if is_tagged(&ctx) { pop(&ctx) } else { TC_ACT_UNSPEC }
}

/// On the way in, where nothing without the tag is wanted.
#[classifier]
fn pop_tag_or_drop(ctx: TcContext) -> i32 {
    if is_tagged(&ctx) { pop(&ctx) } else { TC_ACT_SHOT }
}

#[inline(always)]
fn is_tagged(ctx: &TcContext) -> bool {
    // SAFETY: the kernel's context.
    let (present, number) = unsafe { ((*ctx.skb.skb).vlan_present, (*ctx.skb.skb).vlan_tci) };
    present != 0 && number & NUMBER_MASK == u32::from(NUMBER)
}

#[inline(always)]
fn pop(ctx: &TcContext) -> i32 {
    // SAFETY: the kernel's context.
    let failed = unsafe { bpf_skb_vlan_pop(ctx.skb.skb) };
    if failed == 0 { TC_ACT_UNSPEC } else { TC_ACT_SHOT }
}
