//! Socket look-ups. No test has a socket at these addresses: what counts is that the verifier knows the reference.

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_tuple},
    helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
    macros::xdp,
    programs::XdpContext,
};

use crate::{FAILED, WORKED};

/// `BPF_F_CURRENT_NETNS`.
const OWN_NAMESPACE: u64 = u64::MAX;

/// Lengths by which the kernel tells the families apart.
const TUPLE_V4: u32 = 12;
const TUPLE_V6: u32 = 36;

/// 192.0.2.1:1 to 192.0.2.2:2 or the like; nobody's.
#[inline(always)]
fn tuple() -> bpf_sock_tuple {
    // SAFETY: a tuple of zeroes is one of two unspecified addresses.
    unsafe { core::mem::zeroed() }
}

/// Gives a socket back that was found.
#[inline(always)]
fn release(socket: *mut bpf_sock) -> u32 {
    if socket.is_null() {
        return WORKED;
    }
    // SAFETY: the look-up returned it, and nothing uses it afterwards.
    unsafe { bpf_sk_release(socket.cast()) };
    FAILED
}

/// `bpf_skc_lookup_tcp`, `bpf_sk_release`: IPv4.
#[xdp(frags)]
fn lookup_tcp_v4(ctx: XdpContext) -> u32 {
    let mut tuple = tuple();
    // SAFETY: the context is valid, the tuple is as long as said.
    release(unsafe { bpf_skc_lookup_tcp(ctx.ctx.cast(), &raw mut tuple, TUPLE_V4, OWN_NAMESPACE, 0) })
}

/// The same, IPv6.
#[xdp(frags)]
fn lookup_tcp_v6(ctx: XdpContext) -> u32 {
    let mut tuple = tuple();
    // SAFETY: the context is valid, the tuple is as long as said.
    release(unsafe { bpf_skc_lookup_tcp(ctx.ctx.cast(), &raw mut tuple, TUPLE_V6, OWN_NAMESPACE, 0) })
}

/// The state of what was found, read before it is given back.
#[xdp(frags)]
fn lookup_tcp_state(ctx: XdpContext) -> u32 {
    let mut tuple = tuple();
    // SAFETY: the context is valid, the tuple is as long as said; the socket is read before it is given back.
    unsafe {
        let socket = bpf_skc_lookup_tcp(ctx.ctx.cast(), &raw mut tuple, TUPLE_V4, OWN_NAMESPACE, 0);
        if socket.is_null() {
            return WORKED;
        }
        let state = (&raw const (*socket).state).read_volatile();
        bpf_sk_release(socket.cast());
        if state == 10 { WORKED } else { FAILED }
    }
}

/// `bpf_sk_lookup_udp`: IPv4.
#[xdp(frags)]
fn lookup_udp_v4(ctx: XdpContext) -> u32 {
    let mut tuple = tuple();
    // SAFETY: the context is valid, the tuple is as long as said.
    release(unsafe { bpf_sk_lookup_udp(ctx.ctx.cast(), &raw mut tuple, TUPLE_V4, OWN_NAMESPACE, 0) })
}

/// The same, IPv6.
#[xdp(frags)]
fn lookup_udp_v6(ctx: XdpContext) -> u32 {
    let mut tuple = tuple();
    // SAFETY: the context is valid, the tuple is as long as said.
    release(unsafe { bpf_sk_lookup_udp(ctx.ctx.cast(), &raw mut tuple, TUPLE_V6, OWN_NAMESPACE, 0) })
}
