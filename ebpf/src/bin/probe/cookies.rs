//! SYN cookies made and checked without a socket, over headers on the stack.

use aya_ebpf::{
    bindings::tcphdr,
    helpers::generated::{
        bpf_tcp_raw_check_syncookie_ipv4, bpf_tcp_raw_check_syncookie_ipv6, bpf_tcp_raw_gen_syncookie_ipv4,
        bpf_tcp_raw_gen_syncookie_ipv6,
    },
    macros::xdp,
    programs::XdpContext,
};

use crate::{FAILED, answer};

/// Bytes of a TCP header without options.
const TCP_BYTES: u32 = 20;

/// An IP header of zeroes: the helpers read no more of it than its addresses.
#[repr(C, align(8))]
struct Header<const BYTES: usize>([u8; BYTES]);

/// A header without options: a SYN from port 1 to port 2 with a sequence number.
#[repr(C, align(8))]
struct Segment([u8; 24]);

impl Segment {
    #[inline(always)]
    const fn syn() -> Self {
        let mut bytes = [0; 24];
        bytes[1] = 1;
        bytes[3] = 2;
        bytes[7] = 9;
        bytes[12] = 5 << 4;
        bytes[13] = 0x02;
        Self(bytes)
    }

    /// The segment that acknowledges a SYN-ACK with this cookie.
    #[inline(always)]
    fn acknowledging(cookie: u32) -> Self {
        let mut segment = Self::syn();
        segment.0[7] = 10;
        segment.0[8..12].copy_from_slice(&cookie.wrapping_add(1).to_be_bytes());
        segment.0[13] = 0x10;
        segment
    }

    #[inline(always)]
    fn header(&mut self) -> *mut tcphdr {
        (&raw mut self.0).cast()
    }
}

/// `bpf_tcp_raw_gen_syncookie_ipv4` and `bpf_tcp_raw_check_syncookie_ipv4`: what one makes the other takes.
#[xdp(frags)]
fn cookie_v4(_ctx: XdpContext) -> u32 {
    let mut ip = Header([0_u8; 20]);
    let mut syn = Segment::syn();
    // SAFETY: both headers are as long as said.
    let made = unsafe { bpf_tcp_raw_gen_syncookie_ipv4((&raw mut ip).cast(), syn.header(), TCP_BYTES) };
    if made < 0 {
        return FAILED;
    }
    let mut ack = Segment::acknowledging(made as u32);
    // SAFETY: both headers are whole.
    answer(unsafe { bpf_tcp_raw_check_syncookie_ipv4((&raw mut ip).cast(), ack.header()) } == 0)
}

/// The same, IPv6.
#[xdp(frags)]
fn cookie_v6(_ctx: XdpContext) -> u32 {
    let mut ip = Header([0_u8; 40]);
    let mut syn = Segment::syn();
    // SAFETY: both headers are as long as said.
    let made = unsafe { bpf_tcp_raw_gen_syncookie_ipv6((&raw mut ip).cast(), syn.header(), TCP_BYTES) };
    if made < 0 {
        return FAILED;
    }
    let mut ack = Segment::acknowledging(made as u32);
    // SAFETY: both headers are whole.
    answer(unsafe { bpf_tcp_raw_check_syncookie_ipv6((&raw mut ip).cast(), ack.header()) } == 0)
}
