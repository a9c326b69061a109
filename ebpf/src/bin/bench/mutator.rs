//! Gives the frame another source address, then calls the program under test.
//!
//! BPF_PROG_TEST_RUN runs a program over the same frame again and again; with one of these before it, any XDP program
//! can be timed under one source, under N, or under all there are.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, xdp_action},
    btf_maps::{Array, ProgramArray},
    helpers::generated::{bpf_get_prandom_u32, bpf_xdp_store_bytes},
    macros::{btf_map, classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// Which bits of the source are random.
#[btf_map]
static SOURCE_BITS: Array<u32, 1> = Array::new();

/// The program under test. A program array takes either programs that can do with frames in several buffers or programs
/// that cannot, and the caller must be of the same kind: hence two of each.
#[btf_map]
static TARGET: ProgramArray<1> = ProgramArray::new();
#[btf_map]
static TARGET_FRAGS: ProgramArray<1> = ProgramArray::new();

/// 11.0.0.0: the first source in IPv4.
const FIRST_V4: u32 = 0x0b00_0000;
/// Where the source stands in the frame, without VLAN tags.
const SOURCE_V4: usize = 26;
const SOURCE_V6: usize = 22;
const DESTINATION_V4: usize = 30;
const DESTINATION_V6: usize = 38;

#[xdp]
fn mutate_v4(ctx: XdpContext) -> u32 {
    v4(&ctx, &TARGET)
}

#[xdp]
fn mutate_v6(ctx: XdpContext) -> u32 {
    v6(&ctx, &TARGET)
}

#[xdp(frags)]
fn mutate_v4_frags(ctx: XdpContext) -> u32 {
    v4(&ctx, &TARGET_FRAGS)
}

#[xdp(frags)]
fn mutate_v6_frags(ctx: XdpContext) -> u32 {
    v6(&ctx, &TARGET_FRAGS)
}

/// The tc program under test, on what goes out: those have an array of their own.
#[btf_map]
static TARGET_EGRESS: ProgramArray<1> = ProgramArray::new();

/// Gives what goes out another destination, out of those that the others have for sources.
#[classifier]
fn mutate_egress_v4(ctx: TcContext) -> i32 {
    let Some(random) = random() else { return TC_ACT_SHOT };
    if write(ctx.data(), ctx.data_end(), DESTINATION_V4, address_v4(random)).is_none() {
        return TC_ACT_SHOT;
    }
    call_egress(&ctx)
}

#[classifier]
fn mutate_egress_v6(ctx: TcContext) -> i32 {
    let Some(random) = random() else { return TC_ACT_SHOT };
    if write(ctx.data(), ctx.data_end(), DESTINATION_V6, address_v6(random)).is_none() {
        return TC_ACT_SHOT;
    }
    call_egress(&ctx)
}

/// Drops if there is nobody to call: the programs under test do not.
#[inline(always)]
fn call_egress(ctx: &TcContext) -> i32 {
    // SAFETY: nothing here has a destructor that the call would skip.
    unsafe { TARGET_EGRESS.tail_call(ctx, 0) };
    TC_ACT_SHOT
}

/// A SYN, to be written anew each time: the program under test turns it into the answer.
#[btf_map]
static SYN_TEMPLATE: Array<[u8; 128], 1> = Array::new();

#[xdp(frags)]
fn renew_syn_v4(ctx: XdpContext) -> u32 {
    if renew(&ctx, 74).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    v4(&ctx, &TARGET_FRAGS)
}

#[xdp(frags)]
fn renew_syn_v6(ctx: XdpContext) -> u32 {
    if renew(&ctx, 94).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    v6(&ctx, &TARGET_FRAGS)
}

/// The first so many bytes of the template.
#[inline(always)]
fn renew(ctx: &XdpContext, bytes: u32) -> Option<()> {
    let template = SYN_TEMPLATE.get_ptr_mut(0)?;
    // SAFETY: no more bytes than the map's value has.
    (unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, template.cast(), bytes) } == 0).then_some(())
}

#[inline(always)]
fn v4(ctx: &XdpContext, target: &ProgramArray<1>) -> u32 {
    let Some(random) = random() else { return xdp_action::XDP_ABORTED };
    if write(ctx.data(), ctx.data_end(), SOURCE_V4, address_v4(random)).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    call(ctx, target)
}

#[inline(always)]
fn v6(ctx: &XdpContext, target: &ProgramArray<1>) -> u32 {
    let Some(random) = random() else { return xdp_action::XDP_ABORTED };
    if write(ctx.data(), ctx.data_end(), SOURCE_V6, address_v6(random)).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    call(ctx, target)
}

#[inline(always)]
const fn address_v4(random: u32) -> [u32; 1] {
    [usable(FIRST_V4.wrapping_add(random)).to_be()]
}

/// Each source has a /64 of its own below 2001:db8::/32.
#[inline(always)]
const fn address_v6(random: u32) -> [u32; 4] {
    [0x2001_0db8_u32.to_be(), random.to_be(), 0, 1_u32.to_be()]
}

#[inline(always)]
fn random() -> Option<u32> {
    let bits = SOURCE_BITS.get(0)?;
    // SAFETY: the helper takes no arguments.
    Some(unsafe { bpf_get_prandom_u32() } & bits)
}

/// Moves what can be nobody's source (0/8, 127/8, 224/3) to where sources are: such packets would leave the programs that
/// know bogons early, and make them look cheaper than they are.
#[inline(always)]
const fn usable(source: u32) -> u32 {
    let first = source >> 24;
    if first == 0 || first == 127 || first >= 224 { source ^ 0xa000_0000 } else { source }
}

/// Aborts if there is nobody to call, so that nothing is timed by mistake.
#[inline(always)]
fn call(ctx: &XdpContext, target: &ProgramArray<1>) -> u32 {
    // SAFETY: nothing here has a destructor that the call would skip.
    unsafe { target.tail_call(ctx, 0) };
    xdp_action::XDP_ABORTED
}

/// Writes words into the frame, if it is that long.
#[inline(always)]
fn write<const N: usize>(start: usize, end: usize, offset: usize, words: [u32; N]) -> Option<()> {
    let at = start + offset;
    if at + 4 * N > end {
        return None;
    }
    for (i, word) in words.into_iter().enumerate() {
        // SAFETY: the bytes are within the frame, and BPF stores need no alignment. Volatile, for the compiler must
        // assume nothing about the address.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(at + 4 * i).write_volatile(word) };
    }
    Some(())
}
