//! stopbank's XDP program: the way of a packet, top to bottom.
//!
//! Cheapest and most decisive first; every packet leaves by one exit, which counts it under one reason. The steps are
//! the modules below, a file each, with their maps and constants.
#![no_std]
#![no_main]
#![expect(internal_features, reason = "the BPF target has no AtomicU64::compare_exchange; the intrinsic has")]
#![feature(core_intrinsics)]
#![expect(clippy::needless_pass_by_value, reason = "the xdp macro hands the context over by value")]

mod cell;
mod clock;
mod counters;
mod essential;
mod events;
mod illegitimate;
mod limits;
mod lists;
mod policy;

use aya_ebpf::{
    bindings::xdp_action, helpers::generated::bpf_xdp_get_buff_len, macros::xdp, programs::XdpContext,
};
use aya_log_ebpf::debug;
use clock::Clock;
use stopbank_common::{
    Reason,
    parse::{Cursor, Facts, Network, parse},
    policy::{CLASS_NONE, MODE_ENFORCE, Policy},
    reason::Kind,
};

/// What is known of the packet at hand.
struct Packet {
    facts: Facts,
    /// Bytes of the whole frame, those that the program cannot see included.
    length: u32,
    interface: u32,
    class: u8,
    clock: Clock,
}

/// Entry point: judges, counts, and tells the driver.
#[xdp(frags)]
fn stopbank(ctx: XdpContext) -> u32 {
    // SAFETY: the kernel hands a valid context to the program; the verifier checks both uses.
    let (length, interface) = unsafe { (bpf_xdp_get_buff_len(ctx.ctx) as u32, (*ctx.ctx).ingress_ifindex) };
    let mut packet =
        Packet { facts: Facts::default(), length, interface, class: CLASS_NONE, clock: Clock::default() };
    let Some(policy) = policy::in_force() else {
        counters::count(0, CLASS_NONE, Reason::NoPolicy, true, length);
        return xdp_action::XDP_PASS;
    };

    let reason = judge(&ctx, &mut packet, policy);

    let enforced = policy.mode == MODE_ENFORCE;
    let slot = policy::interface_slot(policy, interface);
    match reason.kind() {
        Kind::Pass => {
            counters::count(slot, packet.class, reason, true, length);
            xdp_action::XDP_PASS
        }
        Kind::Drop => {
            counters::count(slot, packet.class, reason, enforced, length);
            events::sample(&mut packet, policy, reason, enforced);
            debug!(&ctx, "drop {} class {} length {}", reason as u8, packet.class, length);
            if enforced { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
        }
    }
}

/// Every step in its order; the first that decides is the reason.
#[inline(always)]
fn judge(ctx: &XdpContext, packet: &mut Packet, policy: &Policy) -> Reason {
    // SAFETY: data and data_end delimit the packet's bytes; the verifier holds every read to them.
    let cursor = unsafe { Cursor::from_range(ctx.data(), ctx.data_end()) };
    match parse(cursor, packet.length, &mut packet.facts) {
        Err(malformed) => return malformed,
        Ok(Network::Arp) => return Reason::Essential,
        Ok(Network::Other) => return Reason::NotIp,
        Ok(Network::Ip) => {}
    }
    if essential::keeps_host_alive(&packet.facts, &mut packet.clock) {
        return Reason::Essential;
    }
    if let Some(listed) = lists::look_up(&packet.facts.source, &mut packet.clock) {
        return listed;
    }
    if let Some(illegitimate) = illegitimate::reason(&packet.facts, policy.fragments) {
        return illegitimate;
    }
    packet.class = policy::class_of(policy, &packet.facts);
    limits::reason(packet, policy)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier accepts no program with an endless loop that it could reach.
    loop {}
}

/// The licence that the kernel is told; some helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
