//! What GRE, IP in IP and VXLAN carry, where the policy has it looked into.
//!
//! The packet around it is judged first, as any other. What is in it is then read into the same facts, and judged by the same
//! steps, one level deep.

use aya_ebpf::{bindings::xdp_md, btf_maps::PerCpuArray, macros::btf_map, programs::XdpContext};
use stopbank_common::{
    Reason,
    parse::{Cursor, Facts, Inner, Layout, Network, parse_inner, parse_layout, parse_tunnel, tunnel_of},
    policy::{CLASS_NONE, MAX_CLASSES, Policy, ROLE_HOST},
};

use crate::{
    Packet, bound::masked, essential, illegitimate, limits, lists, policy, signatures, sockets, verdict,
};

/// The facts are the frame's own.
pub(crate) const OUTER: u8 = 0;
/// They are those of an IP packet that stands right behind a tunnel's header.
pub(crate) const IN_IP: u8 = 1;
/// They are those of one in an Ethernet frame that a tunnel carries.
pub(crate) const IN_ETHERNET: u8 = 2;

/// Nothing was found that could be judged: the frame is what its own headers say.
const NOTHING_WITHIN: u32 = verdict::NONE - 1;

/// Where in the frame at hand the inner packet begins: [`Inner::to_word`]. On the stack there is no room for it.
#[btf_map]
static INNER: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Whether a packet that was judged is a tunnel that is looked into. An allowed source may send tunnels; what these carry is not
/// the allowed source's.
#[inline(always)]
pub(crate) fn may_be_opened(policy: &Policy, packet: &Packet, reason: u32) -> bool {
    (reason == Reason::Passed as u32 || reason == Reason::Allowed as u32)
        && tunnel_of(&packet.facts, policy.tunnels, &policy.vxlan_ports).is_some()
}

/// Judges what a tunnel carries, by the steps that a packet takes but for what keeps a host alive, flows and SYN cookies. `outer`: the
/// reason for which the packet around it passes, which stands if there is nothing in it that could be judged.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_within(
    ctx: *mut xdp_md,
    packet: *mut Packet,
    policy: *const Policy,
    outer: u32,
) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return outer;
    };
    let opened = open(ctx, packet, policy);
    if opened != verdict::NONE {
        return if opened == NOTHING_WITHIN { outer } else { opened };
    }
    let listed = lists::judge_by_lists(packet);
    if listed != verdict::NONE && packet.stands(policy, listed) {
        return listed;
    }
    let illegitimate = illegitimate::judge_legitimacy(packet, policy.fragments);
    if illegitimate != verdict::NONE && !excuses(packet, illegitimate) && packet.stands(policy, illegitimate)
    {
        return illegitimate;
    }
    // An Ethernet frame may be bridged to a guest, without this host forwarding anything.
    if policy.role == ROLE_HOST && packet.inner == IN_IP {
        let unwanted = sockets::judge_by_sockets(ctx, packet, policy);
        if unwanted != verdict::NONE && packet.stands(policy, unwanted) {
            return unwanted;
        }
    }
    packet.class = policy::class_of(policy, &packet.facts);
    if policy.classes[masked::<{ MAX_CLASSES - 1 }>(packet.class.into())].signatures != 0 {
        let known = signatures::judge_by_signatures(ctx, packet, policy);
        if known != verdict::NONE && packet.stands(policy, known) {
            return known;
        }
    }
    let over = limits::judge_apart(packet, policy);
    if over != verdict::NONE { over } else { Reason::Passed as u32 }
}

/// Whether something illegitimate is to be expected in a tunnel: who has no address yet asks for one from none. On a link
/// of its own that passes as essential, and is not asked.
#[inline(always)]
fn excuses(packet: &Packet, reason: u32) -> bool {
    packet.inner == IN_ETHERNET
        && reason == Reason::BogonSource as u32
        && essential::asks_for_address(&packet.facts)
}

/// Puts what a tunnel carries in the place of the packet around it, whose class is forgotten. [`verdict::NONE`] if it is
/// to be judged now, [`NOTHING_WITHIN`], or the reason to drop it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn open(ctx: *mut xdp_md, packet: *mut Packet, policy: *const Policy) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return NOTHING_WITHIN;
    };
    let Some(place) = INNER.get_ptr_mut(0) else { return NOTHING_WITHIN };
    if packet.observed != verdict::NONE {
        packet.observed_class = packet.class + 1;
    }
    let found = find(ctx, packet, policy);
    if found <= u64::from(NOTHING_WITHIN) {
        if found != u64::from(NOTHING_WITHIN) {
            packet.class = CLASS_NONE;
        }
        return found as u32;
    }
    // SAFETY: this CPU's own, and a CPU judges one packet at a time.
    unsafe { *place = found };
    let mut layout = Layout::default();
    let read = read_inner(ctx, packet, &mut layout);
    if read != verdict::NONE {
        // Told by who sent the frame: what it carries may have no source.
        let _ = read_outer(ctx, packet, &mut layout);
        if read != NOTHING_WITHIN {
            packet.class = CLASS_NONE;
        }
        return read;
    }
    packet.class = CLASS_NONE;
    packet.inner = if Inner::from_word(found).ethernet { IN_ETHERNET } else { IN_IP };
    if tunnel_of(&packet.facts, policy.tunnels, &policy.vxlan_ports).is_some()
        && packet.stands(policy, Reason::NestedTunnel as u32)
    {
        return Reason::NestedTunnel as u32;
    }
    verdict::NONE
}

/// Where the inner packet is, as [`Inner::to_word`] has it; a reason's number or [`NOTHING_WITHIN`], which are less than any of
/// these, where there is none.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find(ctx: *mut xdp_md, packet: *mut Packet, policy: *const Policy) -> u64 {
    let nothing = u64::from(NOTHING_WITHIN);
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return nothing;
    };
    let mut layout = Layout::default();
    if read_outer(ctx, packet, &mut layout) == 0 {
        return nothing; // Never: it was read before.
    }
    let Some(tunnel) = tunnel_of(&packet.facts, policy.tunnels, &policy.vxlan_ports) else { return nothing };
    match parse_tunnel(cursor(ctx), tunnel, &packet.facts, &layout) {
        Ok(Some(inner)) => inner.to_word(),
        Ok(None) => nothing,
        Err(malformed) => malformed as u64,
    }
}

/// Reads the frame's own headers once more; 0 if that cannot be.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_outer(ctx: *mut xdp_md, packet: *mut Packet, layout: *mut Layout) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(layout)) = (unsafe { packet.as_mut() }, unsafe { layout.as_mut() }) else {
        return 0;
    };
    clear(&mut packet.facts);
    u32::from(parse_layout(cursor(ctx), packet.length, &mut packet.facts, layout) == Ok(Network::Ip))
}

/// Reads the headers of what the tunnel carries that was opened last; `layout` must be empty. [`verdict::NONE`] if it is an IP packet,
/// [`NOTHING_WITHIN`] if it is something else, or the reason to drop it.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn read_inner(ctx: *mut xdp_md, packet: *mut Packet, layout: *mut Layout) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(layout)) = (unsafe { packet.as_mut() }, unsafe { layout.as_mut() }) else {
        return NOTHING_WITHIN;
    };
    let Some(place) = INNER.get_ptr(0) else { return NOTHING_WITHIN };
    clear(&mut packet.facts);
    // SAFETY: a map value.
    let inner = Inner::from_word(unsafe { *place });
    match parse_inner(cursor(ctx), inner, &mut packet.facts, layout) {
        Ok(Network::Ip) => verdict::NONE,
        Ok(_) => NOTHING_WITHIN,
        Err(malformed) => malformed as u32,
    }
}

/// Word by word: the compiler would call a function that clears bytes, whose frame is one too many for the stack.
#[inline(always)]
fn clear(facts: &mut Facts) {
    let words = (&raw mut *facts).cast::<u64>();
    let mut i = 0;
    while i < size_of::<Facts>() / 8 {
        // SAFETY: within the facts, of which all zero is a valid value.
        unsafe { words.add(i).write_volatile(0) };
        i += 1;
    }
}

#[inline(always)]
fn cursor<'p>(ctx: *mut xdp_md) -> Cursor<'p> {
    let ctx = XdpContext::new(ctx);
    // SAFETY: data and data_end delimit the packet's bytes; the verifier holds every read to them.
    unsafe { Cursor::from_range(ctx.data(), ctx.data_end()) }
}
