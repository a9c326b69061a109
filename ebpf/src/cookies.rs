//! SYN cookies: in a flood of SYNs, every SYN is answered from here and forgotten.
//!
//! The cookie is the kernel's own (net/ipv4/syncookies.c): whoever sends it back has received our answer, and the kernel
//! makes a connection of it without having kept anything. What the client offered travels in the cookie (its largest
//! segment) and in our timestamp (window scale, selective acknowledgements), as in the kernel's own answers.
//!
//! The kernel looks at cookies only on a listener that has given one out in the last two minutes. So that it does, one SYN
//! a second for each listener goes on to it, which must answer with a cookie (net.ipv4.tcp_syncookies=2).

use aya_ebpf::{
    bindings::{iphdr, ipv6hdr, tcphdr, xdp_md},
    btf_maps::{Array, PerCpuArray},
    helpers::generated::{
        bpf_tcp_raw_gen_syncookie_ipv4, bpf_tcp_raw_gen_syncookie_ipv6, bpf_xdp_adjust_tail,
        bpf_xdp_load_bytes, bpf_xdp_store_bytes,
    },
    macros::btf_map,
    programs::XdpContext,
};
use stopbank_common::{
    Reason,
    gcra::{Cell as _, GUARD_RATE_CELL, GUARD_UNTIL_CELL, Limit, Line, TICKS_PER_NS, admit},
    hash::source_hash,
    parse::{Facts, Fragment, is_vlan, protocol, tcp_flags},
    policy::{
        CLASS_PRECISE, Class, GUARD_ALWAYS, HANDSHAKE_SACK, HANDSHAKE_SCALING, HANDSHAKE_TIMESTAMPS,
        Handshake, Policy,
    },
};

use crate::{Packet, bound::masked, cell::MapCell, verdict};

/// Cells in which listeners are told apart.
const LISTENERS: u32 = 4096;
/// SYNs that go on to the kernel, for each listener.
const TO_KERNEL: Limit = match Limit::new(1, 1_000_000_000, 1, 1) {
    Ok(limit) => limit,
    Err(_) => panic!("1/s is a limit"),
};
const TICKS_PER_MS: u64 = TICKS_PER_NS * 1_000_000;

/// When each listener last had a SYN.
#[btf_map]
static COOKIE_LISTENERS: Array<u64, { LISTENERS as usize }> = Array::new();

/// Words of a frame from its IP header on: an IPv6 header, a TCP header with all options, and room beyond, where
/// the verifier thinks that one might end. An IPv4 header stands at the end of the first part.
type Segment = [u32; IP + TCP];
const IP: usize = 10;
const TCP: usize = 22;
/// The headers at hand. On the stack there is no room for them.
#[btf_map]
static SEGMENT: PerCpuArray<Segment, 1> = PerCpuArray::new();
/// Word at which an IPv4 header begins.
const IPV4: usize = 5;

/// Whether SYNs of the class are answered with cookies now; 1 if so. `line`: the class's totals.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn guards(packet: *mut Packet, class: *const Class, line: *mut Line) -> u32 {
    // SAFETY: the verifier knows that each may be null, and how large it is.
    let (Some(packet), Some(class)) = (unsafe { packet.as_mut() }, unsafe { class.as_ref() }) else {
        return 0;
    };
    if line.is_null() {
        return 0;
    }
    if class.guard.mode == GUARD_ALWAYS {
        return 1;
    }
    let now = packet.clock.ticks(class.flags & CLASS_PRECISE != 0);
    // SAFETY: a map value of eight cells.
    let cells = unsafe { (&raw mut (*line).cells).cast::<u64>() };
    // SAFETY: both are below eight.
    let (rate, until) = unsafe { (MapCell::new(cells.add(GUARD_RATE_CELL)), cells.add(GUARD_UNTIL_CELL)) };
    // SAFETY: an aligned u64; a race between two CPUs is about who writes the same a little later.
    let guarded_until = unsafe { until.read_volatile() };
    if admit(&rate, now, &class.guard.rate, 1) {
        return u32::from(guarded_until > now);
    }
    let hold = u64::from(class.guard.hold_ms) * TICKS_PER_MS;
    // Written an eighth of the time early, and not by every SYN of a flood.
    if guarded_until < now + hold {
        // SAFETY: as above.
        unsafe { until.write_volatile(now + hold + hold / 8) };
    }
    1
}

/// Turns a SYN for a listener of this host into the answer to it. [`Reason::SynCookie`] when that is done,
/// [`Reason::Passed`] for one that the kernel is to have; [`verdict::NONE`] for what cannot be answered from here: that has
/// options in front of TCP, lies in several buffers, or meets a connection that is there.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn answer(ctx: *mut xdp_md, packet: *mut Packet, policy: *const Policy) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return verdict::NONE;
    };
    if packet.listener == 0 || packet.facts.fragment != Fragment::Whole || to_nobody_alone(&packet.facts) {
        return verdict::NONE;
    }
    if is_for_kernel(packet, policy) {
        return Reason::Passed as u32;
    }
    let Some(segment) = SEGMENT.get_ptr_mut(0) else { return verdict::NONE };
    // SAFETY: this CPU's own, and a CPU judges one packet at a time.
    let segment = unsafe { &mut *segment };
    match reply(&XdpContext::new(ctx), packet, &policy.handshake, segment) {
        Some(()) => Reason::SynCookie as u32,
        None => verdict::NONE,
    }
}

/// A multicast address, which no connection has.
#[inline(always)]
fn to_nobody_alone(facts: &Facts) -> bool {
    let to = &facts.destination;
    if to.is_v4() { to.words[3].to_ne_bytes()[0] >= 224 } else { to.words[0].to_ne_bytes()[0] == 0xff }
}

/// One SYN a second for each listener, told apart by address and port.
#[inline(always)]
fn is_for_kernel(packet: &mut Packet, policy: &Policy) -> bool {
    let hash = source_hash(&policy.key, &packet.facts.destination, packet.facts.destination_port.into());
    let Some(cell) = COOKIE_LISTENERS.get_ptr_mut(hash as u32 & (LISTENERS - 1)) else { return false };
    // SAFETY: a map value.
    let cell = unsafe { MapCell::new(cell) };
    let now = packet.clock.ticks(false);
    // Asked first without changing anything: in a flood the answer is nearly always no.
    TO_KERNEL.after(cell.load(), now, 1).is_some() && admit(&cell, now, &TO_KERNEL, 1)
}

/// Writes the SYN-ACK in the place of the SYN; `None` if that cannot be, and then the frame is as it was.
#[inline(always)]
fn reply(ctx: &XdpContext, packet: &mut Packet, handshake: &Handshake, segment: &mut Segment) -> Option<()> {
    let v4 = packet.facts.source.is_v4();
    let length = packet.length;
    if (ctx.data_end() - ctx.data()) as u32 != length {
        return None;
    }
    let network = network_offset(ctx, segment)?;
    let visible = length.wrapping_sub(network);
    let header = if v4 { 20 } else { 40 };
    if visible < header + 20 || visible > 9_216 {
        return None;
    }
    let (first, most) = if v4 { (IPV4, 80) } else { (0, 100) };
    // At least both headers without options; written so that every verifier sees it.
    let options = if visible > most { most } else { visible }.wrapping_sub(header + 20);
    let options = masked::<63>(options as usize) as u32;
    let loaded = if v4 {
        load(ctx, network, &mut segment[IPV4], 40 + options)
    } else {
        load(ctx, network, &mut segment[0], 60 + options)
    };
    // No options in front of TCP: the answer has none, and the kernel reads what stands behind them elsewhere.
    let plain = if v4 {
        segment[IPV4].to_ne_bytes()[0] == 0x45
    } else {
        segment[1].to_ne_bytes()[2] == protocol::TCP
    };
    if !loaded || !plain {
        return None;
    }
    let tcp_length = u32::from(segment[IP + 3].to_ne_bytes()[0] >> 4) * 4;
    if tcp_length < 20 || header + tcp_length > visible {
        return None;
    }
    let cookie = cookie(segment, v4, tcp_length)?;
    let offered = Offered(read_options(segment, tcp_length.into()));
    let tcp_length = write_tcp(packet, handshake, segment, cookie, offered);
    write_ip(packet, handshake, segment, tcp_length);
    let total = header + tcp_length;
    let grown = (network + total) as i32 - length as i32;
    // SAFETY: the kernel's context.
    if grown != 0 && unsafe { bpf_xdp_adjust_tail(ctx.ctx, grown) } != 0 {
        return None;
    }
    // Neither fails: the frame is as long as it must be, and lies in one buffer.
    store(ctx, network, segment, first, tcp_length)?;
    turn_round(ctx)
}

/// Where the IP header begins, behind VLAN tags, which stay as they are. They are read into the segment, which is filled later: the
/// stack has no room for them.
#[inline(always)]
fn network_offset(ctx: &XdpContext, segment: &mut Segment) -> Option<u32> {
    if !load(ctx, 12, &mut segment[0], 12) {
        return None;
    }
    // Ethertypes stand in every other half of a word.
    let is_tag = |word: u32| {
        let [high, low, ..] = word.to_ne_bytes();
        is_vlan(u16::from_be_bytes([high, low]))
    };
    Some(if !is_tag(segment[0]) {
        14
    } else if !is_tag(segment[1]) {
        18
    } else {
        22
    })
}

#[inline(always)]
fn load(ctx: &XdpContext, offset: u32, to: &mut u32, size: u32) -> bool {
    // SAFETY: the caller's size is within the segment, which the verifier checks.
    unsafe { bpf_xdp_load_bytes(ctx.ctx, offset, (&raw mut *to).cast(), size) == 0 }
}

/// The kernel's cookie for this SYN.
#[inline(always)]
fn cookie(segment: &mut Segment, v4: bool, tcp_length: u32) -> Option<u32> {
    // At least 20, as Linux 6.1 must see: it takes no length that might be zero.
    let tcp_length = 20 + masked::<63>(tcp_length.wrapping_sub(20) as usize) as u32;
    let base = segment.as_mut_ptr();
    // SAFETY: within the segment.
    let tcp = unsafe { base.add(IP) }.cast::<tcphdr>();
    let made = if v4 {
        // SAFETY: within the segment, which holds both headers at their lengths.
        unsafe { bpf_tcp_raw_gen_syncookie_ipv4(base.add(IPV4).cast::<iphdr>(), tcp, tcp_length) }
    } else {
        // SAFETY: as above.
        unsafe { bpf_tcp_raw_gen_syncookie_ipv6(base.cast::<ipv6hdr>(), tcp, tcp_length) }
    };
    // The segment size that the cookie stands for is in the upper half.
    if made < 0 { None } else { Some(made as u32) }
}

/// What the client offered in its options: its timestamp in the low half, `OFFERED_` bits and its window scale above.
#[derive(Clone, Copy)]
struct Offered(u64);

const OFFERED_TIMESTAMP: u64 = 1 << 32;
const OFFERED_SACK: u64 = 1 << 33;
const OFFERED_SCALE: u64 = 1 << 34;
const SCALE_SHIFT: u32 = 40;

impl Offered {
    #[inline(always)]
    const fn has(self, what: u64) -> bool {
        self.0 & what != 0
    }

    #[inline(always)]
    const fn scale(self) -> u8 {
        (self.0 >> SCALE_SHIFT) as u8
    }
}

/// Reads [`Offered`]. RFC 9293 section 3.1, RFC 7323, RFC 2018; as `tcp_parse_options` (net/ipv4/tcp_input.c) does.
///
/// The place in the options is kept in the segment's last word, of which the verifier does not know what it holds: of one
/// that it knew, it would follow every way through the options.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_options(segment: *mut Segment, tcp_length: u64) -> u64 {
    if segment.is_null() {
        return 0;
    }
    // SAFETY: not null, and the verifier holds it to its size.
    let bytes = unsafe { (&raw mut (*segment)[IP]).cast::<u8>() };
    // SAFETY: below 64 bytes, by the mask.
    let byte = |i: u64| u64::from(unsafe { bytes.add(masked::<63>(i as usize)).read_volatile() });
    // SAFETY: the last word of the segment.
    let place = unsafe { (&raw mut (*segment)[IP + TCP - 1]) };
    let (mut offered, mut seen) = (0, 0);
    // SAFETY: as above.
    unsafe { place.write_volatile(20) };
    while seen < 40 {
        seen += 1;
        // SAFETY: as above.
        let at = u64::from(unsafe { place.read_volatile() });
        if at + 1 >= tcp_length {
            break;
        }
        let kind = byte(at);
        let length = if kind == 1 { 1 } else { byte(at + 1) };
        if kind == 0 || (kind != 1 && length < 2) || at + length > tcp_length {
            break;
        }
        if kind == 3 && length == 3 {
            offered = offered & !(0xff << SCALE_SHIFT) | OFFERED_SCALE | byte(at + 2) << SCALE_SHIFT;
        } else if kind == 4 && length == 2 {
            offered |= OFFERED_SACK;
        } else if kind == 8 && length == 10 {
            let timestamp = byte(at + 2) << 24 | byte(at + 3) << 16 | byte(at + 4) << 8 | byte(at + 5);
            offered = offered & !0xffff_ffff | OFFERED_TIMESTAMP | timestamp;
        }
        // SAFETY: as above.
        unsafe { place.write_volatile((at + length) as u32) };
    }
    offered
}

/// The SYN-ACK's TCP header; its length.
#[inline(always)]
fn write_tcp(
    packet: &mut Packet,
    handshake: &Handshake,
    segment: &mut Segment,
    cookie: u32,
    offered: Offered,
) -> u32 {
    let v4 = packet.facts.source.is_v4();
    let timestamps = offered.has(OFFERED_TIMESTAMP) && handshake.flags & HANDSHAKE_TIMESTAMPS != 0;
    // Without a timestamp to keep them in, the kernel forgets the rest.
    let length = if timestamps { 40 } else { 24 };
    let [window, also_window] = handshake.window.to_be_bytes();
    let [mss, also_mss] = (if v4 { handshake.mss_v4 } else { handshake.mss_v6 }).to_be_bytes();
    segment[IP] = segment[IP].rotate_left(16);
    segment[IP + 2] = u32::from_be(packet.facts.tcp_sequence).wrapping_add(1).to_be();
    segment[IP + 1] = cookie.to_be();
    segment[IP + 3] =
        u32::from_ne_bytes([(length << 2) as u8, tcp_flags::SYN | tcp_flags::ACK, window, also_window]);
    segment[IP + 4] = 0;
    segment[IP + 5] = u32::from_ne_bytes([2, 4, mss, also_mss]);
    if timestamps {
        let sack = offered.has(OFFERED_SACK) && handshake.flags & HANDSHAKE_SACK != 0;
        let scale = offered.has(OFFERED_SCALE) && handshake.flags & HANDSHAKE_SCALING != 0;
        let now = (packet.clock.rough_ns() / 1_000_000) as u32;
        segment[IP + 6] = u32::from_ne_bytes(if sack { [4, 2, 8, 10] } else { [1, 1, 8, 10] });
        segment[IP + 7] = timestamp(now, sack, if scale { offered.scale() } else { 15 }).to_be();
        segment[IP + 8] = (offered.0 as u32).to_be();
        segment[IP + 9] = u32::from_ne_bytes(if scale { [1, 3, 3, handshake.scale] } else { [1, 1, 1, 1] });
    }
    let (from, to) = (&packet.facts.source.words, &packet.facts.destination.words);
    let mut sum = u64::from((u32::from(protocol::TCP) << 16 | length).to_be());
    let mut i = if v4 { 3 } else { 0 };
    while i < 4 {
        sum += u64::from(from[i]) + u64::from(to[i]);
        i += 1;
    }
    let mut word = 0;
    while word < 6 {
        sum += u64::from(segment[IP + word]);
        word += 1;
    }
    if timestamps {
        while word < 10 {
            sum += u64::from(segment[IP + word]);
            word += 1;
        }
    }
    segment[IP + 4] = u32::from_ne_bytes(checksum_first(sum));
    length
}

/// `cookie_init_timestamp` (net/ipv4/syncookies.c): the lowest six bits hold what the client offered, and the time is
/// never later than now. In milliseconds, as the kernel counts.
#[inline(always)]
const fn timestamp(now: u32, sack: bool, scale: u8) -> u32 {
    let scale = if scale == 15 || scale <= 14 { scale } else { 14 };
    let timestamp = now & !63 | (sack as u32) << 4 | scale as u32;
    if timestamp > now { timestamp.wrapping_sub(64) } else { timestamp }
}

/// The SYN-ACK's IP header.
#[inline(always)]
fn write_ip(packet: &Packet, handshake: &Handshake, segment: &mut Segment, tcp_length: u32) {
    let (from, to) = (&packet.facts.source.words, &packet.facts.destination.words);
    if packet.facts.source.is_v4() {
        segment[IPV4] = (0x4500_0000 | (20 + tcp_length)).to_be();
        // No identification, and not to be fragmented (RFC 6864).
        segment[IPV4 + 1] = 0x0000_4000_u32.to_be();
        segment[IPV4 + 2] = u32::from_ne_bytes([handshake.hop_limit, protocol::TCP, 0, 0]);
        segment[IPV4 + 3] = to[3];
        segment[IPV4 + 4] = from[3];
        let (mut sum, mut i) = (0, 0);
        while i < 5 {
            sum += u64::from(segment[IPV4 + i]);
            i += 1;
        }
        let [high, low, ..] = checksum_first(sum);
        segment[IPV4 + 2] = u32::from_ne_bytes([handshake.hop_limit, protocol::TCP, high, low]);
    } else {
        segment[0] = 0x6000_0000_u32.to_be();
        let [high, low] = (tcp_length as u16).to_be_bytes();
        segment[1] = u32::from_ne_bytes([high, low, protocol::TCP, handshake.hop_limit]);
        let mut i = 0;
        while i < 4 {
            (segment[2 + i], segment[6 + i]) = (to[i], from[i]);
            i += 1;
        }
    }
}

/// RFC 1071, of a sum of 32-bit words as they stand in memory: the two bytes of the checksum, then two of zero.
#[inline(always)]
const fn checksum_first(sum: u64) -> [u8; 4] {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let [a, b] = (!(sum as u16)).to_ne_bytes();
    [a, b, 0, 0]
}

/// Writes both headers over those of the SYN.
#[inline(always)]
fn store(ctx: &XdpContext, offset: u32, segment: &mut Segment, first: usize, tcp_length: u32) -> Option<()> {
    let base = segment.as_mut_ptr();
    let with_timestamps = tcp_length == 40;
    macro_rules! store {
        ($first:expr, $size:expr) => {
            // SAFETY: within the segment, which the verifier checks.
            unsafe { bpf_xdp_store_bytes(ctx.ctx, offset, base.add($first).cast(), $size) }
        };
    }
    let failed = match (first == 0, with_timestamps) {
        (false, false) => store!(IPV4, 44),
        (false, true) => store!(IPV4, 60),
        (true, false) => store!(0, 64),
        (true, true) => store!(0, 80),
    };
    if failed == 0 { Some(()) } else { None }
}

/// Back to the station that it came from.
#[inline(always)]
fn turn_round(ctx: &XdpContext) -> Option<()> {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + 12 > end {
        return None;
    }
    let stations = start as *mut [u16; 6];
    // SAFETY: twelve bytes of the frame, just held against its end.
    let [a, b, c, d, e, f] = unsafe { stations.read_unaligned() };
    // SAFETY: as above.
    unsafe { stations.write_unaligned([d, e, f, a, b, c]) };
    Some(())
}
