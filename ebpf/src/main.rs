//! stopbank's XDP program: the way of a packet, top to bottom.
//!
//! Cheapest and most decisive first; every packet leaves by one exit, which counts it under one reason. The steps are
//! the modules below, a file each, with their maps and constants.
#![no_std]
#![no_main]
#![expect(internal_features, reason = "the BPF target has no AtomicU64::compare_exchange; the intrinsic has")]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(clippy::needless_pass_by_value, reason = "the xdp macro hands the context over by value")]

mod bound;
mod cell;
mod clock;
mod cookies;
mod counters;
mod essential;
mod events;
mod flows;
mod illegitimate;
mod limits;
mod lists;
mod policy;
mod proven;
mod signatures;
mod simulation;
mod sockets;
mod tunnels;
mod verdict;

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::generated::bpf_xdp_get_buff_len,
    macros::xdp,
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use clock::Clock;
use stopbank_common::{
    Reason,
    parse::{Cursor, Facts, Network, parse},
    policy::{CLASS_NONE, CLASS_OBSERVE, MAX_CLASSES, MODE_ENFORCE, Policy, ROLE_GATEWAY, ROLE_HOST},
};
use verdict::Kind;

/// What is known of the packet at hand.
#[repr(C)]
struct Packet {
    facts: Facts,
    clock: Clock,
    /// Bytes of the whole frame, those that the program cannot see included.
    length: u32,
    interface: u32,
    /// Number of what a rule that is only observed would have dropped it for; [`verdict::NONE`].
    observed: u32,
    class: u8,
    /// 1: what it is for is a listening socket.
    listener: u8,
    /// Whether the facts are those of what a tunnel carries: [`tunnels::OUTER`], [`tunnels::IN_IP`], [`tunnels::IN_ETHERNET`].
    inner: u8,
    /// One more than the class that what is observed is counted in, where that was noted of the packet around a tunnel's; or 0.
    observed_class: u8,
}

const _: () = assert!(size_of::<Facts>().is_multiple_of(8));

/// Entry point: judges, counts, and tells the driver.
#[xdp(frags)]
fn stopbank(ctx: XdpContext) -> u32 {
    // SAFETY: the kernel hands a valid context to the program.
    let interface = unsafe { (*ctx.ctx).ingress_ifindex };
    // Of a frame in several buffers, the first one's.
    let length = (ctx.data_end() - ctx.data()) as u32;
    let Some(policy) = policy::in_force() else {
        counters::count(0, CLASS_NONE, Reason::NoPolicy as u32, true, length);
        simulation::trace(
            CLASS_NONE,
            tunnels::OUTER,
            Reason::NoPolicy as u32,
            verdict::NONE,
            xdp_action::XDP_PASS,
        );
        return xdp_action::XDP_PASS;
    };
    let mut packet = MaybeUninit::uninit();
    let packet = Packet::begin(&mut packet, Clock::of(policy), length, interface);

    let mut reason = judge(&ctx, packet, policy);
    if policy.tunnels != 0 && tunnels::may_be_opened(policy, packet, reason) {
        reason = tunnels::judge_within(ctx.ctx, packet, policy, reason);
    }

    let length = packet.length;
    let enforced = policy.mode == MODE_ENFORCE;
    let slot = policy::interface_slot(policy, interface);
    if packet.observed != verdict::NONE {
        let class = packet.observed_class.checked_sub(1).unwrap_or(packet.class);
        counters::count(slot, class, packet.observed, false, length);
    }
    let action = match verdict::kind(reason) {
        Kind::Pass => {
            counters::count(slot, packet.class, reason, true, length);
            xdp_action::XDP_PASS
        }
        Kind::Drop => {
            counters::count(slot, packet.class, reason, enforced, length);
            events::sample(packet, policy, reason, enforced);
            debug!(&ctx, "drop {} class {} length {}", reason, packet.class, length);
            if enforced { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
        }
        Kind::Reply => {
            counters::count(slot, packet.class, reason, true, length);
            xdp_action::XDP_TX
        }
    };
    simulation::trace(packet.class, packet.inner, reason, packet.observed, action);
    action
}

/// Every step in its order; the first that decides is the reason.
#[inline(always)]
fn judge(ctx: &XdpContext, packet: &mut Packet, policy: &Policy) -> u32 {
    // SAFETY: data and data_end delimit the packet's bytes; the verifier holds every read to them.
    let cursor = unsafe { Cursor::from_range(ctx.data(), ctx.data_end()) };
    let mut parsed = verdict_of(parse(cursor, packet.length, &mut packet.facts));
    if parsed == Reason::MalformedIpv4 as u32 || parsed == Reason::MalformedIpv6 as u32 {
        // Longer than the first of the driver's buffers, or not what it says.
        parsed = parse_whole(ctx.ctx, packet);
    } else if parsed != verdict::NONE {
        // Counted by all of its bytes, like the others.
        // SAFETY: the kernel's context.
        packet.length = unsafe { bpf_xdp_get_buff_len(ctx.ctx) } as u32;
    }
    if parsed != verdict::NONE {
        return parsed;
    }
    // From here on neither compiler nor verifier tells packets apart by the way that the parser took: each later step
    // would be multiplied by it.
    let packet = core::hint::black_box(packet);
    if essential::keeps_host_alive(&packet.facts, &mut packet.clock) {
        return Reason::Essential as u32;
    }
    if lists::may_know(&packet.facts.source) {
        let mut listed = lists::judge_by_address(packet);
        if listed == verdict::NONE {
            listed = lists::judge_by_lists(packet);
        }
        if listed != verdict::NONE && packet.stands(policy, listed) {
            return listed;
        }
    }
    let class = policy::class_of(policy, &packet.facts);
    let Some(place) = limits::read_ahead(packet, policy, class) else { return Reason::NoPolicy as u32 };
    let illegitimate = illegitimate::judge_legitimacy(packet, policy.fragments);
    if illegitimate != verdict::NONE && packet.stands(policy, illegitimate) {
        return illegitimate;
    }
    if policy.role == ROLE_HOST {
        let unwanted = sockets::judge_by_sockets(ctx.ctx, packet, policy);
        if unwanted != verdict::NONE && packet.stands(policy, unwanted) {
            return unwanted;
        }
    }
    if policy.role == ROLE_GATEWAY {
        let unwanted = flows::judge_by_flows(packet, policy);
        if unwanted != verdict::NONE && packet.stands(policy, unwanted) {
            return unwanted;
        }
    }
    packet.class = class;
    if policy.classes[usize::from(class) & (MAX_CLASSES - 1)].signatures != 0 {
        let known = signatures::judge_by_signatures(ctx.ctx, packet, policy);
        if known != verdict::NONE && packet.stands(policy, known) {
            return known;
        }
    }
    let over = limits::judge_by_limits(ctx.ctx, packet, policy, &place);
    if over != verdict::NONE {
        return over;
    }
    Reason::Passed as u32
}

/// Reads the headers of a frame that lies in several buffers, by its whole length.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn parse_whole(ctx: *mut xdp_md, packet: *mut Packet) -> u32 {
    // SAFETY: the verifier knows that it may be null, and how large it is.
    let Some(packet) = (unsafe { packet.as_mut() }) else { return verdict::NONE };
    // SAFETY: the kernel's context.
    packet.length = unsafe { bpf_xdp_get_buff_len(ctx) } as u32;
    packet.facts = Facts::default();
    let ctx = XdpContext::new(ctx);
    // SAFETY: data and data_end delimit the packet's bytes; the verifier holds every read to them.
    let cursor = unsafe { Cursor::from_range(ctx.data(), ctx.data_end()) };
    verdict_of(parse(cursor, packet.length, &mut packet.facts))
}

/// The reason, where what the frame carries decides.
#[inline(always)]
const fn verdict_of(parsed: Result<Network, Reason>) -> u32 {
    match parsed {
        Err(malformed) => malformed as u32,
        Ok(Network::Arp) => Reason::Essential as u32,
        Ok(Network::Other) => Reason::NotIp as u32,
        Ok(Network::Ip) => verdict::NONE,
    }
}

impl Packet {
    /// A packet of which nothing is known. Cleared word by word: the compiler would call a function that clears bytes.
    #[inline(always)]
    fn begin(place: &mut MaybeUninit<Self>, clock: Clock, length: u32, interface: u32) -> &mut Self {
        let words = place.as_mut_ptr().cast::<u64>();
        let mut i = 0;
        while i < size_of::<Facts>() / 8 {
            // SAFETY: within the place, whose first field are the facts.
            unsafe { words.add(i).write_volatile(0) };
            i += 1;
        }
        let packet = place.as_mut_ptr();
        // SAFETY: within the place.
        unsafe {
            (&raw mut (*packet).clock).write(clock);
            (&raw mut (*packet).length).write(length);
            (&raw mut (*packet).interface).write(interface);
            (&raw mut (*packet).observed).write(verdict::NONE);
            (&raw mut (*packet).class).write(CLASS_NONE);
            (&raw mut (*packet).listener).write(0);
            (&raw mut (*packet).inner).write(tunnels::OUTER);
            (&raw mut (*packet).observed_class).write(0);
        }
        // SAFETY: every field is written; of the facts, all zero is a valid value.
        unsafe { place.assume_init_mut() }
    }

    /// Whether an answer may be sent in its place. One that is only observed is noted.
    #[inline(always)]
    fn may_be_answered(&mut self, policy: &Policy) -> bool {
        let cookie = Reason::SynCookie as u32;
        if policy.mode == MODE_ENFORCE {
            return self.stands(policy, cookie);
        }
        self.note(cookie);
        false
    }

    /// Notes what a rule that is only observed would have done; of several, the first.
    #[inline(always)]
    const fn note(&mut self, reason: u32) {
        if self.observed == verdict::NONE {
            self.observed = reason;
        }
    }

    /// Whether a step's verdict stands. That of a rule which is only observed is noted, and the packet goes on.
    #[inline(always)]
    fn stands(&mut self, policy: &Policy, reason: u32) -> bool {
        let class = &policy.classes[usize::from(self.class) & (MAX_CLASSES - 1)];
        if policy.observed >> (reason & 63) & 1 == 0 && class.flags & CLASS_OBSERVE == 0 {
            return true;
        }
        self.note(reason);
        false
    }
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
