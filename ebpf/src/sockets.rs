//! What belongs to no socket of this host. The host's own socket table is the connection tracker: it holds what the host
//! itself has agreed to, and nothing that a packet brings can fill it.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_tuple, iphdr, ipv6hdr, tcphdr, xdp_md},
    helpers::generated::{
        bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_raw_check_syncookie_ipv4,
        bpf_tcp_raw_check_syncookie_ipv6,
    },
    programs::XdpContext,
};
use stopbank_common::{
    Reason,
    parse::{Facts, Fragment, protocol, tcp_flags},
    policy::Policy,
};

use crate::{Packet, simulation, verdict};

/// `BPF_F_CURRENT_NETNS` (include/uapi/linux/bpf.h): the network namespace of the interface.
const CURRENT_NETNS: u64 = u64::MAX;
/// `TCP_LISTEN` (include/net/tcp_states.h).
const TCP_LISTEN: u32 = 10;

/// Words of a `struct bpf_sock_tuple`: addresses, then both ports in one.
type Tuple = [u32; 9];

/// The reason for which the packet can be for nobody on this host, if there is one. See [`verdict`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_by_sockets(
    ctx: *mut xdp_md,
    packet: *mut Packet,
    policy: *const Policy,
) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return verdict::NONE;
    };
    verdict::of(reason(&XdpContext::new(ctx), packet, policy))
}

#[inline(always)]
fn reason(ctx: &XdpContext, packet: &mut Packet, policy: &Policy) -> Option<Reason> {
    let facts = &packet.facts;
    if facts.fragment == Fragment::Later {
        return None;
    }
    match facts.protocol {
        protocol::TCP => tcp(ctx, packet),
        protocol::UDP => udp(ctx, facts, policy),
        _ => None,
    }
}

/// A segment of a connection that the host has, or a SYN to a port on which it listens.
#[inline(always)]
fn tcp(ctx: &XdpContext, packet: &mut Packet) -> Option<Reason> {
    let facts = &packet.facts;
    let nobody = if facts.opens_connection() { Reason::NoListener } else { Reason::NoConnection };
    if let Some(found) = simulation::socket() {
        packet.listener = found.into();
        return if found { None } else { Some(nobody) };
    }
    let (tuple, size) = tuple(facts);
    // SAFETY: the tuple is as long as the size says, and the verifier holds us to giving the socket back.
    let socket = unsafe {
        bpf_skc_lookup_tcp(ctx.ctx.cast(), (&raw const tuple).cast_mut().cast(), size, CURRENT_NETNS, 0)
    };
    if socket.is_null() {
        return Some(nobody);
    }
    if state_of(socket) != TCP_LISTEN {
        return None;
    }
    packet.listener = 1;
    if facts.opens_connection() {
        return None;
    }
    // Nothing but a listener: the last segment of a handshake that the kernel (or this program) keeps in a cookie, or
    // nothing.
    if facts.tcp_flags & (tcp_flags::SYN | tcp_flags::RST | tcp_flags::ACK) != tcp_flags::ACK {
        return Some(nobody);
    }
    if cookie_is_right(facts) { None } else { Some(Reason::BadCookie) }
}

/// The state of a socket, which is given back.
#[inline(always)]
fn state_of(socket: *mut bpf_sock) -> u32 {
    // SAFETY: not null, and held until the release below; the verifier checks both.
    let state = unsafe { (&raw const (*socket).state).read_volatile() };
    // SAFETY: the look-up's reference.
    unsafe { bpf_sk_release(socket.cast::<c_void>()) };
    state
}

/// Amplifiers answer whoever a forger says has asked; an answer that the host did ask for goes to a socket.
#[inline(always)]
fn udp(ctx: &XdpContext, facts: &Facts, policy: &Policy) -> Option<Reason> {
    let amplifier = policy.is_amplifier(facts.source_port);
    if !amplifier && policy.udp_needs_socket == 0 {
        return None;
    }
    let nobody = if amplifier { Reason::Amplification } else { Reason::NoSocket };
    if let Some(found) = simulation::socket() {
        return if found { None } else { Some(nobody) };
    }
    let (tuple, size) = tuple(facts);
    // SAFETY: as in `tcp`.
    let socket = unsafe {
        bpf_sk_lookup_udp(ctx.ctx.cast(), (&raw const tuple).cast_mut().cast(), size, CURRENT_NETNS, 0)
    };
    if socket.is_null() {
        return Some(nobody);
    }
    // SAFETY: the look-up's reference.
    unsafe { bpf_sk_release(socket.cast::<c_void>()) };
    None
}

#[inline(always)]
fn tuple(facts: &Facts) -> (Tuple, u32) {
    let (from, to) = (&facts.source.words, &facts.destination.words);
    let [a, b] = facts.source_port.to_be_bytes();
    let [c, d] = facts.destination_port.to_be_bytes();
    let ports = u32::from_ne_bytes([a, b, c, d]);
    if facts.source.is_v4() {
        ([from[3], to[3], ports, 0, 0, 0, 0, 0, 0], 12)
    } else {
        ([from[0], from[1], from[2], from[3], to[0], to[1], to[2], to[3], ports], 36)
    }
}

/// Whether the acknowledgement is a SYN cookie that was given out in the last two minutes (net/ipv4/syncookies.c).
#[inline(always)]
fn cookie_is_right(facts: &Facts) -> bool {
    let (from, to) = (&facts.source.words, &facts.destination.words);
    let [a, b] = facts.source_port.to_be_bytes();
    let [c, d] = facts.destination_port.to_be_bytes();
    // Of the headers, the check reads addresses, ports and both numbers.
    let mut segment = [u32::from_ne_bytes([a, b, c, d]), facts.tcp_sequence, facts.tcp_acknowledgement, 0, 0];
    let segment = (&raw mut segment).cast::<tcphdr>();
    let wrong = if facts.source.is_v4() {
        let mut header = [0, 0, 0, from[3], to[3]];
        // SAFETY: as long as the two headers.
        unsafe { bpf_tcp_raw_check_syncookie_ipv4((&raw mut header).cast::<iphdr>(), segment) }
    } else {
        let mut header = [0, 0, from[0], from[1], from[2], from[3], to[0], to[1], to[2], to[3]];
        // SAFETY: as long as the two headers.
        unsafe { bpf_tcp_raw_check_syncookie_ipv6((&raw mut header).cast::<ipv6hdr>(), segment) }
    };
    wrong == 0
}

const _: () = assert!(size_of::<Tuple>() == size_of::<bpf_sock_tuple>());
