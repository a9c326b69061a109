//! Floods for tests: sends a template frame from ever other source addresses.
//!
//! Run by BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES (Documentation/bpf/bpf_prog_run.rst), which makes real
//! frames and follows the redirect: one core sends millions a second, where sockets send some hundred thousand.
#![no_std]
#![no_main]
#![expect(clippy::needless_pass_by_value, reason = "the xdp macro hands the context over by value")]

#[path = "traffic/settings.rs"]
mod settings;
#[path = "traffic/tags.rs"]
mod tags;

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, PerCpuArray},
    helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_ns, bpf_redirect, bpf_xdp_store_bytes},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use settings::{MOST_RESTORED, SOURCE_AT, Settings};

#[btf_map]
static FLOOD: Array<Settings, 1> = Array::new();

/// The template's first bytes.
#[btf_map]
static TEMPLATE: Array<[u8; MOST_RESTORED], 1> = Array::new();

/// Frames handed to the interface: exact even where a run was cut short.
#[btf_map]
static SENT: PerCpuArray<u64, 1> = PerCpuArray::new();

/// When the next frame is due, in nanoseconds of the monotonic clock.
#[btf_map]
static DUE: PerCpuArray<u64, 1> = PerCpuArray::new();

/// How many frames a flood may be behind its schedule before it gives up what it has not sent. To catch up is to send a
/// burst, and a receiving queue holds 256.
const BEHIND: u64 = 64;

/// Bound of the offsets that user space sets, so that the verifier sees one.
const OFFSET_MASK: u32 = 127;

/// Gives the frame its source and sends it.
#[xdp]
fn flood(ctx: XdpContext) -> u32 {
    send(&ctx).unwrap_or(xdp_action::XDP_ABORTED)
}

/// Passes everything: a veth takes what its peer's program sends back only where it has a program itself
/// (`veth_xdp_flush`, drivers/net/veth.c).
#[xdp]
fn take_replies(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[inline(always)]
fn send(ctx: &XdpContext) -> Option<u32> {
    let settings = FLOOD.get(0)?;
    if settings.spacing_ns != 0 && !due(u64::from(settings.spacing_ns))? {
        // Nothing is sent. User space asks for more runs than it wants frames; the spare ones pass the time.
        return Some(xdp_action::XDP_DROP);
    }
    let restored = settings.restored & OFFSET_MASK;
    if restored != 0 {
        let template = TEMPLATE.get_ptr_mut(0)?;
        // SAFETY: no more bytes than the map's value has.
        let failed = unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, template.cast(), restored) };
        if failed != 0 {
            return None;
        }
    }
    // SAFETY: the helper takes no arguments.
    let random = unsafe { bpf_get_prandom_u32() };
    let offset = match settings.sources {
        0 => random,
        // As good as random % sources for sources far below 2^32, and without a division.
        sources => ((u64::from(random) * u64::from(sources)) >> 32) as u32,
    };
    let source = settings.first_source.wrapping_add(offset);
    write(ctx, SOURCE_AT, source.to_be())?;
    let source_sum = (source >> 16) + (source & 0xffff);
    let mut transport_sum = settings.transport_sum + source_sum;
    if settings.port_at != 0 {
        // The low bits: which source it is has come from the high ones.
        let port = random as u16 | 0x8000;
        write(ctx, offset_of(settings.port_at), port.to_be())?;
        transport_sum += u32::from(port);
    }
    if settings.header_checksum_at != 0 {
        let checksum = folded(settings.header_sum + source_sum);
        write(ctx, offset_of(settings.header_checksum_at), checksum.to_be())?;
    }
    if settings.transport_checksum_at != 0 {
        let checksum = folded(transport_sum);
        write(ctx, offset_of(settings.transport_checksum_at), checksum.to_be())?;
    }
    // SAFETY: this CPU's own value; nothing else on this CPU touches it while the program runs.
    unsafe { *SENT.get_ptr_mut(0)? += 1 };
    // SAFETY: the helper only notes where the frame goes.
    Some(unsafe { bpf_redirect(settings.interface, 0) } as u32)
}

/// Whether it is time for the next frame. Evenly spaced frames are what a wire delivers: bursts would overrun the
/// receiving queue at rates that it can well serve.
#[inline(always)]
fn due(spacing_ns: u64) -> Option<bool> {
    // SAFETY: this CPU's own value; nothing else on this CPU touches it while the program runs.
    let next = unsafe { &mut *DUE.get_ptr_mut(0)? };
    // SAFETY: the helper takes no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if now < *next {
        return Some(false);
    }
    let begin = if *next + BEHIND * spacing_ns < now { now } else { *next };
    *next = begin + spacing_ns;
    Some(true)
}

#[inline(always)]
const fn offset_of(at: u32) -> usize {
    (at & OFFSET_MASK) as usize
}

/// The checksum of a sum. Two folds do: the sum is of far fewer than 2^16 words.
#[inline(always)]
const fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

/// Writes an integer into the frame, if it is that long.
#[inline(always)]
fn write<T: Copy>(ctx: &XdpContext, offset: usize, value: T) -> Option<()> {
    let at = ctx.data() + offset;
    if at + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: the bytes are within the frame, and BPF stores need no alignment. Volatile, for the compiler must
    // assume nothing about the address.
    unsafe { core::ptr::with_exposed_provenance_mut::<T>(at).write_volatile(value) };
    Some(())
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
