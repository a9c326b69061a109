//! Reads a frame once, from Ethernet to the transport header, into [`Facts`].
//!
//! The only place that reads packet bytes. Lengths are taken from the headers themselves (the real IHL, the real
//! extension header lengths) and checked against what encloses them; what is cut short or contradicts itself has a
//! reason of its own. The cursor is a pair of addresses, compared before every read: the form in which the BPF
//! verifier follows packet pointers, and just as sound over a slice on the host, where this is fuzzed.

mod layout;
mod numbers;
mod tunnel;

use core::marker::PhantomData;

pub use layout::Layout;
use layout::{NoNotes, Notes, Span};
pub use numbers::{protocol, tcp_flags};
pub use tunnel::{Inner, Tunnel, parse_inner, parse_tunnel, tunnel_of};

use crate::{Address, Reason};

/// VLAN tags that are looked through (802.1ad outer and 802.1Q inner).
pub const MAX_VLAN_TAGS: u32 = 2;
/// IPv6 extension headers that are looked through. RFC 8200 section 4.1 names seven, destination options twice.
pub const MAX_EXTENSIONS: u32 = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_VLAN_SERVICE: u16 = 0x88a8;
const ETHERTYPE_VLAN_LEGACY: u16 = 0x9100;

const IPV4_MORE_FRAGMENTS: u16 = 0x2000;
const IPV4_OFFSET: u16 = 0x1fff;
const IPV6_MORE_FRAGMENTS: u16 = 0x0001;
const IPV6_OFFSET: u16 = 0xfff8;

/// What the frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Network {
    /// Something else: LLDP, spanning tree, EAPOL, MPLS, …
    #[default]
    Other,
    /// ARP.
    Arp,
    /// IPv4 or IPv6; [`Facts`] tells the rest.
    Ip,
}

/// Where in a fragmented datagram the packet stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Fragment {
    /// Not a fragment, or an atomic one (RFC 6946).
    #[default]
    Whole,
    /// The first, which carries the transport header.
    First,
    /// A later one, which carries no ports.
    Later,
}

/// What a packet says of itself. Fields that the packet does not have are zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
pub struct Facts {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// TCP or UDP source port.
    pub source_port: u16,
    /// TCP or UDP destination port.
    pub destination_port: u16,
    /// IP protocol after all extension headers.
    pub protocol: u8,
    /// TCP sequence number, as it stands in the packet.
    pub tcp_sequence: u32,
    /// TCP acknowledgement number, as it stands in the packet.
    pub tcp_acknowledgement: u32,
    /// TCP flags.
    pub tcp_flags: u8,
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// IPv4 time to live or IPv6 hop limit.
    pub hop_limit: u8,
    /// Fragment state.
    pub fragment: Fragment,
}

impl Facts {
    /// Whether this opens a TCP connection: SYN without ACK.
    #[inline(always)]
    pub const fn opens_connection(&self) -> bool {
        self.protocol == protocol::TCP && self.tcp_flags & (tcp_flags::SYN | tcp_flags::ACK) == tcp_flags::SYN
    }

    /// Whether ports were read.
    #[inline(always)]
    pub fn has_ports(&self) -> bool {
        (self.protocol == protocol::TCP || self.protocol == protocol::UDP) && self.fragment != Fragment::Later
    }
}

/// Reads addresses `at` up to `end`.
#[derive(Clone, Copy)]
pub struct Cursor<'p> {
    at: usize,
    end: usize,
    packet: PhantomData<&'p [u8]>,
}

/// `N` bytes of the packet that were found to be there.
#[derive(Clone, Copy)]
struct Header<'p, const N: usize> {
    at: usize,
    packet: PhantomData<&'p [u8]>,
}

impl<'p> Cursor<'p> {
    /// Over a slice.
    pub fn new(frame: &'p [u8]) -> Self {
        let range = frame.as_ptr_range();
        Self { at: range.start.expose_provenance(), end: range.end.expose_provenance(), packet: PhantomData }
    }

    /// Over the bytes between two addresses.
    ///
    /// # Safety
    ///
    /// The bytes from `start` up to `end` must be readable for `'p`.
    #[inline(always)]
    pub const unsafe fn from_range(start: usize, end: usize) -> Self {
        Self { at: start, end, packet: PhantomData }
    }

    /// The next `N` bytes, if they are all there.
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Option<Header<'p, N>> {
        let at = self.at;
        if at + N > self.end {
            return None;
        }
        self.at = at + N;
        Some(Header { at, packet: PhantomData })
    }

    /// Goes `bytes` forward, whether they are there or not: the next `take` will tell.
    #[inline(always)]
    const fn skip(&mut self, bytes: u32) {
        self.at += bytes as usize;
    }
}

impl<const N: usize> Header<'_, N> {
    #[inline(always)]
    fn byte<const OFFSET: usize>(&self) -> u8 {
        const { assert!(OFFSET < N) };
        // SAFETY: `take` found N readable bytes at `at`, and OFFSET is below N.
        unsafe { core::ptr::with_exposed_provenance::<u8>(self.at + OFFSET).read() }
    }

    /// Two bytes in network order, as a number.
    #[inline(always)]
    fn be16<const OFFSET: usize>(&self) -> u16 {
        const { assert!(OFFSET + 2 <= N) };
        // SAFETY: `take` found N readable bytes at `at`, and OFFSET + 2 is within N.
        u16::from_be(unsafe { read_packet(self.at + OFFSET) })
    }

    /// Four bytes in network order, as they stand in memory.
    #[inline(always)]
    fn word<const OFFSET: usize>(&self) -> u32 {
        const { assert!(OFFSET + 4 <= N) };
        // SAFETY: `take` found N readable bytes at `at`, and OFFSET + 4 is within N.
        unsafe { read_packet(self.at + OFFSET) }
    }
}

/// Reads an integer that may stand at any address.
///
/// # Safety
///
/// `size_of::<T>()` bytes at `at` must be readable, and `T` must be an integer.
#[inline(always)]
unsafe fn read_packet<T: Copy>(at: usize) -> T {
    let pointer = core::ptr::with_exposed_provenance::<T>(at);
    #[cfg(target_arch = "bpf")]
    // SAFETY: as the caller promises. BPF has one load of each width and no alignment of its own: where the machine
    // cannot read unaligned words the verifier refuses the program. A byte-wise read_unaligned would cost four
    // loads and three shifts a word; volatile keeps the compiler from assuming anything about the address.
    unsafe {
        pointer.read_volatile()
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as the caller promises.
    unsafe {
        pointer.read_unaligned()
    }
}

/// Parses a frame. `frame_length` is its whole length in bytes, of which the cursor may see only the first part
/// (`xdp_buff` with fragments; drivers keep the headers in it).
///
/// Fills `facts` as far as it gets, so that even a malformed packet can be told by its source.
///
/// # Errors
///
/// The `Malformed…` [`Reason`] for which the packet is to be dropped.
#[inline(always)]
pub fn parse(cursor: Cursor<'_>, frame_length: u32, facts: &mut Facts) -> Result<Network, Reason> {
    read(cursor, frame_length, facts, &mut NoNotes)
}

/// Like [`parse`], and tells the layout too.
///
/// # Errors
///
/// As [`parse`].
#[inline(always)]
pub fn parse_layout(
    cursor: Cursor<'_>,
    frame_length: u32,
    facts: &mut Facts,
    layout: &mut Layout,
) -> Result<Network, Reason> {
    read(cursor, frame_length, facts, layout)
}

#[inline(always)]
fn read(
    mut cursor: Cursor<'_>,
    frame_length: u32,
    facts: &mut Facts,
    notes: &mut impl Notes,
) -> Result<Network, Reason> {
    let ethernet = cursor.take::<14>().ok_or(Reason::MalformedEthernet)?;
    let mut ethertype = ethernet.be16::<12>();
    let mut remaining = frame_length.saturating_sub(14);
    let mut tags = 0;
    while is_vlan(ethertype) {
        if tags == MAX_VLAN_TAGS {
            return Err(Reason::MalformedVlan);
        }
        let tag = cursor.take::<4>().ok_or(Reason::MalformedVlan)?;
        ethertype = tag.be16::<2>();
        remaining = remaining.saturating_sub(4);
        tags += 1;
    }
    match ethertype {
        ETHERTYPE_IPV4 => parse_v4(&mut cursor, 14 + 4 * tags, remaining, facts, notes),
        ETHERTYPE_IPV6 => parse_v6(&mut cursor, 14 + 4 * tags, remaining, facts, notes),
        ETHERTYPE_ARP => Ok(Network::Arp),
        _ => Ok(Network::Other),
    }
}

/// Whether an Ethernet type says that a VLAN tag follows.
#[inline(always)]
pub const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_VLAN_SERVICE | ETHERTYPE_VLAN_LEGACY)
}

/// RFC 791 section 3.1. `at`: bytes of the frame before it; `remaining`: from here on.
#[inline(always)]
fn parse_v4(
    cursor: &mut Cursor<'_>,
    at: u32,
    remaining: u32,
    facts: &mut Facts,
    notes: &mut impl Notes,
) -> Result<Network, Reason> {
    let header = cursor.take::<20>().ok_or(Reason::MalformedIpv4)?;
    let version_and_length = header.byte::<0>();
    let header_length = u32::from(version_and_length & 0x0f) * 4;
    let total_length = u32::from(header.be16::<2>());
    facts.source = Address::from_v4_word(header.word::<12>());
    facts.destination = Address::from_v4_word(header.word::<16>());
    facts.protocol = header.byte::<9>();
    facts.hop_limit = header.byte::<8>();
    if version_and_length >> 4 != 4
        || header_length < 20
        || total_length < header_length
        || notes.exceeds(total_length, header_length, remaining)
    {
        return Err(Reason::MalformedIpv4);
    }
    cursor.skip(header_length - 20);
    let beyond = notes.beyond(total_length, remaining);
    let length = total_length - header_length - beyond;
    notes.ip_length(total_length);
    let field = header.be16::<6>();
    let offset = u32::from(field & IPV4_OFFSET) * 8;
    let more = field & IPV4_MORE_FRAGMENTS != 0;
    parse_payload(cursor, Span { at: at + header_length, length, beyond }, offset, more, facts, notes)
}

/// RFC 8200 sections 3 and 4. `at`: bytes of the frame before it; `remaining`: from here on.
#[inline(always)]
fn parse_v6(
    cursor: &mut Cursor<'_>,
    at: u32,
    remaining: u32,
    facts: &mut Facts,
    notes: &mut impl Notes,
) -> Result<Network, Reason> {
    let header = cursor.take::<40>().ok_or(Reason::MalformedIpv6)?;
    facts.source = Address {
        words: [header.word::<8>(), header.word::<12>(), header.word::<16>(), header.word::<20>()],
    };
    facts.destination = Address {
        words: [header.word::<24>(), header.word::<28>(), header.word::<32>(), header.word::<36>()],
    };
    facts.hop_limit = header.byte::<7>();
    let mut payload = u32::from(header.be16::<4>());
    // IPv4-mapped addresses never stand on the wire (RFC 4291 section 2.5.5.2): taken for IPv4 here, they would walk
    // past every IPv6 rule.
    if header.byte::<0>() >> 4 != 6
        || notes.exceeds(payload + 40, 40, remaining)
        || facts.source.is_v4()
        || facts.destination.is_v4()
    {
        return Err(Reason::MalformedIpv6);
    }
    notes.ip_length(payload + 40);
    let beyond = notes.beyond(payload + 40, remaining);
    payload -= beyond;
    let end = at + 40 + payload;
    let mut next = header.byte::<6>();
    let (mut offset, mut more, mut fragmented) = (0, false, false);
    let mut seen = 0;
    while is_extension(next) {
        if seen == MAX_EXTENSIONS || (next == protocol::HOP_BY_HOP && seen != 0) {
            return Err(Reason::MalformedExtension);
        }
        seen += 1;
        let extension = cursor.take::<8>().ok_or(Reason::MalformedExtension)?;
        let length = match next {
            protocol::FRAGMENT => {
                if fragmented {
                    return Err(Reason::MalformedExtension);
                }
                let field = extension.be16::<2>();
                offset = u32::from(field & IPV6_OFFSET);
                more = field & IPV6_MORE_FRAGMENTS != 0;
                fragmented = true;
                8
            }
            // In 4-byte units, less 2 (RFC 4302 section 2.2); the others in 8-byte units, less 1.
            protocol::AUTHENTICATION => (u32::from(extension.byte::<1>()) + 2) * 4,
            _ => (u32::from(extension.byte::<1>()) + 1) * 8,
        };
        next = extension.byte::<0>();
        if length < 8 || length > payload {
            return Err(Reason::MalformedExtension);
        }
        payload -= length;
        cursor.skip(length - 8);
        if offset != 0 {
            break; // What follows in a later fragment is payload, whatever `next` calls it.
        }
    }
    facts.protocol = next;
    parse_payload(cursor, Span { at: end - payload, length: payload, beyond }, offset, more, facts, notes)
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6
    )
}

/// Fragments, then the transport header. `offset`: in bytes.
#[inline(always)]
fn parse_payload(
    cursor: &mut Cursor<'_>,
    payload: Span,
    offset: u32,
    more: bool,
    facts: &mut Facts,
    notes: &mut impl Notes,
) -> Result<Network, Reason> {
    notes.transport(payload);
    let Span { length: payload, beyond, .. } = payload;
    let said = payload + beyond;
    if offset != 0 || more {
        // Beyond 64 KiB ("ping of death"), empty, or cut where no sender cuts (RFC 791: in units of eight bytes);
        // an offset of one unit overwrites the flags of the TCP header before it (RFC 1858 section 3).
        if said == 0
            || offset + said > 65_535
            || (more && !said.is_multiple_of(8))
            || (offset == 8 && facts.protocol == protocol::TCP)
        {
            return Err(Reason::MalformedFragment);
        }
        facts.fragment = if offset == 0 { Fragment::First } else { Fragment::Later };
        if offset != 0 {
            return Ok(Network::Ip);
        }
    }
    match facts.protocol {
        protocol::TCP => parse_tcp(cursor, payload, facts, notes),
        protocol::UDP => parse_udp(cursor, payload, said, facts, notes),
        protocol::ICMP if facts.source.is_v4() => parse_icmp::<8>(cursor, payload, facts, notes),
        protocol::ICMPV6 if !facts.source.is_v4() => parse_icmp::<4>(cursor, payload, facts, notes),
        _ => Ok(Network::Ip),
    }
}

/// RFC 9293 section 3.1. A first fragment must hold the whole header (RFC 7112, RFC 8200 section 5).
#[inline(always)]
fn parse_tcp(
    cursor: &mut Cursor<'_>,
    payload: u32,
    facts: &mut Facts,
    notes: &mut impl Notes,
) -> Result<Network, Reason> {
    let header = cursor.take::<20>().ok_or(Reason::MalformedTcp)?;
    let header_length = u32::from(header.byte::<12>() >> 4) * 4;
    if header_length < 20 || header_length > payload {
        return Err(Reason::MalformedTcp);
    }
    facts.source_port = header.be16::<0>();
    facts.destination_port = header.be16::<2>();
    facts.tcp_sequence = header.word::<4>();
    facts.tcp_acknowledgement = header.word::<8>();
    facts.tcp_flags = header.byte::<13>();
    notes.window(header.be16::<14>());
    notes.follows(header_length, payload);
    Ok(Network::Ip)
}

/// RFC 768. Only an unfragmented datagram can be held to its length. `said`: bytes of payload that IP speaks of, those
/// that are elsewhere included.
#[inline(always)]
fn parse_udp(
    cursor: &mut Cursor<'_>,
    payload: u32,
    said: u32,
    facts: &mut Facts,
    notes: &mut impl Notes,
) -> Result<Network, Reason> {
    let header = cursor.take::<8>().ok_or(Reason::MalformedUdp)?;
    let length = u32::from(header.be16::<4>());
    if payload < 8 || length < 8 || (facts.fragment == Fragment::Whole && length > said) {
        return Err(Reason::MalformedUdp);
    }
    facts.source_port = header.be16::<0>();
    facts.destination_port = header.be16::<2>();
    notes.follows(8, if length < payload { length } else { payload });
    Ok(Network::Ip)
}

/// RFC 792 (eight bytes at least) and RFC 4443 (four).
#[inline(always)]
fn parse_icmp<const LEAST: usize>(
    cursor: &mut Cursor<'_>,
    payload: u32,
    facts: &mut Facts,
    notes: &mut impl Notes,
) -> Result<Network, Reason> {
    let header = cursor.take::<4>().ok_or(Reason::MalformedIcmp)?;
    if payload < LEAST as u32 {
        return Err(Reason::MalformedIcmp);
    }
    facts.icmp_type = header.byte::<0>();
    facts.icmp_code = header.byte::<1>();
    // Type, code, checksum and four bytes that depend on the type; RFC 4443 knows shorter ones.
    notes.follows(if payload < 8 { payload } else { 8 }, payload);
    Ok(Network::Ip)
}
