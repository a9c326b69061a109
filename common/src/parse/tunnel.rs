//! What GRE, IP in IP and VXLAN carry.
//!
//! In two steps, since the BPF verifier would otherwise follow every way through the inner headers on every way through the
//! outer ones: [`parse_tunnel`] reads the tunnel's header and tells where the inner packet begins, [`parse_inner`] reads
//! that packet by the same code as any other.

use super::{
    Cursor, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Facts, Fragment, Layout, Network, Notes, is_vlan, parse_v4,
    parse_v6, protocol,
};
use crate::{
    Reason,
    parse::layout::Span,
    policy::{MAX_VXLAN_PORTS, TUNNEL_GRE, TUNNEL_IPIP, TUNNEL_VXLAN},
};

/// Ethernet in GRE (RFC 7637 section 3.2).
const ETHERTYPE_BRIDGING: u16 = 0x6558;
/// IP in GRE for the Web Cache Communication Protocol, which Linux takes (`gre_parse_header`, net/ipv4/gre_demux.c).
const ETHERTYPE_WCCP: u16 = 0x883e;

/// RFC 2784 section 2 and RFC 2890 section 2, in the first byte of the header.
const GRE_CHECKSUM: u8 = 0x80;
/// RFC 1701: source routes, which Linux takes from nobody.
const GRE_ROUTING: u8 = 0x40;
const GRE_KEY: u8 = 0x20;
const GRE_SEQUENCE: u8 = 0x10;
/// In the second byte.
const GRE_VERSION: u8 = 0x07;
/// Version 1 is PPTP's (RFC 2637): it carries PPP, and no IP header that could be read.
const GRE_PPTP: u8 = 1;

/// The network identifier is valid (RFC 7348 section 5): what has not set it is not VXLAN.
const VXLAN_VALID: u8 = 0x08;
/// What follows is told by the fourth byte (VXLAN-GPE, draft-ietf-nvo3-vxlan-gpe).
const VXLAN_NEXT_PROTOCOL: u8 = 0x04;
/// An Ethernet frame, there.
const VXLAN_ETHERNET: u8 = 3;

/// Furthest that a frame is looked into, in bytes: what comes before are at most two tags and an IPv6 header with eight of
/// the longest extension headers. A number of bits, for a mask.
const FURTHEST: u32 = 0x7fff;

/// More than any IP packet holds.
const ELSEWHERE: u32 = 1 << 17;

/// A kind of tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tunnel {
    /// RFC 2784.
    Gre,
    /// RFC 2003, RFC 2473, RFC 4213.
    Ipip,
    /// RFC 7348.
    Vxlan,
}

/// Where in a frame the IP packet stands that a tunnel carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inner {
    /// Bytes of the frame before it.
    pub at: u16,
    /// Bytes of it that the outer packet holds.
    pub held: u16,
    /// IPv6, and not IPv4.
    pub v6: bool,
    /// It is in an Ethernet frame.
    pub ethernet: bool,
    /// The outer packet is a first fragment: the rest comes in others.
    pub cut: bool,
}

impl Inner {
    /// As one number, above all numbers of 32 bits.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.at as u64
            | (self.held as u64) << 16
            | (self.v6 as u64) << 32
            | (self.ethernet as u64) << 33
            | (self.cut as u64) << 34
            | 1 << 63
    }

    /// Back from [`Self::to_word`].
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            at: word as u16,
            held: (word >> 16) as u16,
            v6: word >> 32 & 1 != 0,
            ethernet: word >> 33 & 1 != 0,
            cut: word >> 34 & 1 != 0,
        }
    }
}

/// The kind of tunnel that a packet is, of those that are looked into: `kinds` are bits, `TUNNEL_GRE` and so on, and `ports` the
/// destination ports of VXLAN. A later fragment has no header that could be read.
#[inline(always)]
pub fn tunnel_of(facts: &Facts, kinds: u32, ports: &[u16; MAX_VXLAN_PORTS]) -> Option<Tunnel> {
    if facts.fragment == Fragment::Later {
        return None;
    }
    match facts.protocol {
        protocol::GRE if kinds & TUNNEL_GRE != 0 => Some(Tunnel::Gre),
        protocol::IPV4 | protocol::IPV6 if kinds & TUNNEL_IPIP != 0 => Some(Tunnel::Ipip),
        protocol::UDP if kinds & TUNNEL_VXLAN != 0 && is_one_of(facts.destination_port, ports) => {
            Some(Tunnel::Vxlan)
        }
        _ => None,
    }
}

#[inline(always)]
const fn is_one_of(port: u16, ports: &[u16; MAX_VXLAN_PORTS]) -> bool {
    port != 0 && (port == ports[0] || port == ports[1] || port == ports[2] || port == ports[3])
}

/// Reads the header of a tunnel, and an Ethernet header with up to two VLAN tags where it carries one. `frame` begins where the
/// frame does; `outer` and `layout` are what [`super::parse_layout`] told of it. `None`: it does not carry IP.
///
/// # Errors
///
/// [`Reason::MalformedTunnel`], [`Reason::MalformedEthernet`] and [`Reason::MalformedVlan`].
#[inline(always)]
pub fn parse_tunnel(
    frame: Cursor<'_>,
    tunnel: Tunnel,
    outer: &Facts,
    layout: &Layout,
) -> Result<Option<Inner>, Reason> {
    let (at, held) = (u32::from(layout.payload_offset) & FURTHEST, u32::from(layout.payload_length));
    let mut cursor = frame;
    cursor.skip(at);
    let (mut header, mut ethertype) = match tunnel {
        Tunnel::Gre => match read_gre(&mut cursor, held, outer)? {
            Some(read) => read,
            None => return Ok(None),
        },
        Tunnel::Ipip if outer.protocol == protocol::IPV4 => (0, ETHERTYPE_IPV4),
        Tunnel::Ipip => (0, ETHERTYPE_IPV6),
        Tunnel::Vxlan => (read_vxlan(&mut cursor)?, ETHERTYPE_BRIDGING),
    };
    if held < header {
        return Err(Reason::MalformedTunnel);
    }
    let mut cursor = frame;
    cursor.skip(at + header);
    let ethernet = ethertype == ETHERTYPE_BRIDGING;
    if ethernet {
        header += 14;
        let read = cursor.take::<14>().ok_or(Reason::MalformedEthernet)?;
        if held < header {
            return Err(Reason::MalformedEthernet);
        }
        ethertype = read.be16::<12>();
    }
    // No loop: Linux 6.1 takes none whose last instruction falls through to its first.
    if is_vlan(ethertype) {
        ethertype = read_tag(&mut cursor, held, &mut header)?;
        if is_vlan(ethertype) {
            ethertype = read_tag(&mut cursor, held, &mut header)?;
            if is_vlan(ethertype) {
                return Err(Reason::MalformedVlan);
            }
        }
    }
    if ethertype != ETHERTYPE_IPV4 && ethertype != ETHERTYPE_IPV6 {
        return Ok(None);
    }
    Ok(Some(Inner {
        at: (at + header) as u16,
        held: (held - header) as u16,
        v6: ethertype == ETHERTYPE_IPV6,
        ethernet,
        cut: outer.fragment == Fragment::First,
    }))
}

/// The type behind a VLAN tag, which `header` then includes.
#[inline(always)]
fn read_tag(cursor: &mut Cursor<'_>, held: u32, header: &mut u32) -> Result<u16, Reason> {
    *header += 4;
    if held < *header {
        return Err(Reason::MalformedVlan);
    }
    Ok(cursor.take::<4>().ok_or(Reason::MalformedVlan)?.be16::<2>())
}

/// The length of a VXLAN header.
#[inline(always)]
fn read_vxlan(cursor: &mut Cursor<'_>) -> Result<u32, Reason> {
    let header = cursor.take::<8>().ok_or(Reason::MalformedTunnel)?;
    let flags = header.byte::<0>();
    // Of VXLAN-GPE only Ethernet is looked into, and nothing else passes: bare IP, read as Ethernet, would be anybody's.
    let unread = flags & VXLAN_NEXT_PROTOCOL != 0 && header.byte::<3>() != VXLAN_ETHERNET;
    if flags & VXLAN_VALID == 0 || unread { Err(Reason::MalformedTunnel) } else { Ok(8) }
}

/// The length of a GRE header, and the type of what follows; `None` for PPTP. Reserved bits are not looked at: a header that a
/// host may refuse is read all the same.
#[inline(always)]
fn read_gre(cursor: &mut Cursor<'_>, held: u32, outer: &Facts) -> Result<Option<(u32, u16)>, Reason> {
    let malformed = Reason::MalformedTunnel;
    let header = cursor.take::<4>().ok_or(malformed)?;
    if held < 4 {
        return Err(malformed);
    }
    let (flags, more, ethertype) = (header.byte::<0>(), header.byte::<1>(), header.be16::<2>());
    if more & GRE_VERSION == GRE_PPTP {
        return Ok(None);
    }
    if more & GRE_VERSION != 0 || flags & GRE_ROUTING != 0 {
        return Err(malformed);
    }
    // Each of the three adds four bytes.
    let optional = u32::from(flags & GRE_CHECKSUM != 0)
        + u32::from(flags & GRE_KEY != 0)
        + u32::from(flags & GRE_SEQUENCE != 0);
    let length = 4 + 4 * optional;
    if ethertype != ETHERTYPE_WCCP || flags | more != 0 {
        return Ok(Some((length, ethertype)));
    }
    // Of its second version there are four bytes more, which are told from an IPv4 header by the latter's version.
    let next = cursor.take::<1>().ok_or(malformed)?;
    if held <= length {
        return Err(malformed);
    }
    let more = if next.byte::<0>() & 0xf0 == 0x40 { 0 } else { 4 };
    let ethertype = if outer.source.is_v4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
    Ok(Some((length + more, ethertype)))
}

/// Reads the IP packet that a tunnel carries, as [`super::parse_layout`] reads a frame: `frame` begins where the frame does, and
/// `facts` and `layout` must be empty. Only what the outer packet holds counts. In a first fragment, all headers must be there
/// (as RFC 7112 has it for any), and lengths may go beyond it.
///
/// # Errors
///
/// The `Malformed…` [`Reason`] for which the packet is to be dropped.
#[inline(always)]
pub fn parse_inner(
    frame: Cursor<'_>,
    inner: Inner,
    facts: &mut Facts,
    layout: &mut Layout,
) -> Result<Network, Reason> {
    let mut cursor = frame;
    let (at, held) = (u32::from(inner.at) & FURTHEST, u32::from(inner.held));
    cursor.skip(at);
    let mut notes = Carried { layout, elsewhere: if inner.cut { ELSEWHERE } else { 0 } };
    if inner.v6 {
        parse_v6(&mut cursor, at, held, facts, &mut notes)
    } else {
        parse_v4(&mut cursor, at, held, facts, &mut notes)
    }
}

/// The layout of what a tunnel carries.
struct Carried<'l> {
    layout: &'l mut Layout,
    /// How many bytes may be in other fragments.
    elsewhere: u32,
}

impl Notes for Carried<'_> {
    #[inline(always)]
    fn exceeds(&self, total: u32, header: u32, remaining: u32) -> bool {
        remaining < header || total > remaining + self.elsewhere
    }

    #[inline(always)]
    fn beyond(&self, total: u32, remaining: u32) -> u32 {
        total.saturating_sub(remaining)
    }

    #[inline(always)]
    fn ip_length(&mut self, length: u32) {
        self.layout.ip_length(length);
    }

    #[inline(always)]
    fn transport(&mut self, payload: Span) {
        self.layout.transport(payload);
    }

    #[inline(always)]
    fn follows(&mut self, header_length: u32, payload: u32) {
        self.layout.follows(header_length, payload);
    }

    #[inline(always)]
    fn window(&mut self, window: u16) {
        self.layout.window(window);
    }
}
