//! Reads a frame with slices: what it says, or why it cannot be read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stopbank_common::Reason;

use super::super::world::{Tunnel, World};

pub(in super::super) const TCP: u8 = 6;
pub(in super::super) const UDP: u8 = 17;
pub(in super::super) const ICMPV6: u8 = 58;
const ICMP: u8 = 1;
const IPV4: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;

/// What a frame carries.
pub(super) enum Carried {
    Arp,
    /// Neither IP nor ARP.
    Other,
    Ip(Packet),
}

/// Where in a datagram a packet stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Whole,
    First,
    Later,
}

/// What the transport header says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Transport {
    Tcp {
        from: u16,
        to: u16,
        flags: u8,
    },
    Udp {
        from: u16,
        to: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
    /// A later fragment's, or one that is not looked into.
    Unread,
}

#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) hop_limit: u8,
    pub(super) protocol: u8,
    pub(super) part: Part,
    pub(super) transport: Transport,
    /// What a tunnel would begin with: what follows a UDP header, or else the IP header.
    content: Vec<u8>,
}

impl Packet {
    /// SYN without ACK.
    pub(super) fn opens_connection(&self) -> bool {
        matches!(self.transport, Transport::Tcp { flags, .. } if flags & 0x12 == 0x02)
    }

    pub(super) fn ports(&self) -> Option<(u16, u16)> {
        match self.transport {
            Transport::Tcp { from, to, .. } | Transport::Udp { from, to } => Some((from, to)),
            Transport::Icmp { .. } | Transport::Unread => None,
        }
    }
}

/// What IP says of its payload.
struct Datagram<'f> {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    protocol: u8,
    /// In bytes.
    offset: usize,
    more: bool,
    /// As far as it is here, and how long the header says it is.
    payload: &'f [u8],
    said: usize,
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// IEEE 802.3.
pub(super) fn read(frame: &[u8]) -> Result<Carried, Reason> {
    ethernet(frame, false)
}

/// `cut`: of IP packets, only the beginning is here.
fn ethernet(frame: &[u8], cut: bool) -> Result<Carried, Reason> {
    if frame.len() < 14 {
        return Err(Reason::MalformedEthernet);
    }
    network(be16(frame, 12), &frame[14..], cut)
}

/// 802.1Q: at most two tags.
fn network(mut ethertype: u16, mut rest: &[u8], cut: bool) -> Result<Carried, Reason> {
    let mut tags = 0;
    while [0x8100, 0x88a8, 0x9100].contains(&ethertype) {
        tags += 1;
        if tags > 2 || rest.len() < 4 {
            return Err(Reason::MalformedVlan);
        }
        (ethertype, rest) = (be16(rest, 2), &rest[4..]);
    }
    match ethertype {
        0x0800 => packet(&ipv4(rest, cut)?).map(Carried::Ip),
        0x86dd => packet(&ipv6(rest, cut)?).map(Carried::Ip),
        0x0806 => Ok(Carried::Arp),
        _ => Ok(Carried::Other),
    }
}

/// RFC 791 section 3.1.
fn ipv4(bytes: &[u8], cut: bool) -> Result<Datagram<'_>, Reason> {
    let malformed = Reason::MalformedIpv4;
    let header = bytes.first_chunk::<20>().ok_or(malformed)?;
    let header_length = usize::from(header[0] % 16) * 4;
    let total_length = usize::from(be16(header, 2));
    if header[0] / 16 != 4 || header_length < 20 {
        return Err(malformed);
    }
    let said = total_length.checked_sub(header_length).ok_or(malformed)?;
    let payload = held(bytes.get(header_length..).ok_or(malformed)?, said, cut).ok_or(malformed)?;
    let address = |at| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let field = be16(header, 6);
    Ok(Datagram {
        source: address(12).into(),
        destination: address(16).into(),
        hop_limit: header[8],
        protocol: header[9],
        offset: usize::from(field % 0x2000) * 8,
        more: field & 0x2000 != 0,
        payload,
        said,
    })
}

/// RFC 8200 sections 3 and 4.
fn ipv6(bytes: &[u8], cut: bool) -> Result<Datagram<'_>, Reason> {
    let malformed = Reason::MalformedIpv6;
    let header = bytes.first_chunk::<40>().ok_or(malformed)?;
    let said = usize::from(be16(header, 4));
    let payload = held(&bytes[40..], said, cut).ok_or(malformed)?;
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        Ipv6Addr::from(octets)
    };
    let (source, destination) = (address(8), address(24));
    let mapped = [source, destination].iter().any(|address| address.to_ipv4_mapped().is_some());
    if header[0] / 16 != 6 || mapped {
        return Err(malformed);
    }
    let mut datagram = Datagram {
        source: source.into(),
        destination: destination.into(),
        hop_limit: header[7],
        protocol: header[6],
        offset: 0,
        more: false,
        payload,
        said,
    };
    extensions(&mut datagram)?;
    Ok(datagram)
}

/// Goes past the extension headers: at most eight, one of them a fragment's, hop-by-hop options first or not at all.
fn extensions(datagram: &mut Datagram<'_>) -> Result<(), Reason> {
    const HOP_BY_HOP: u8 = 0;
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    let malformed = Reason::MalformedExtension;
    let mut before = Vec::new();
    while [HOP_BY_HOP, 43, FRAGMENT, AUTHENTICATION, 60, 135, 139, 140].contains(&datagram.protocol) {
        let kind = datagram.protocol;
        let again = kind == FRAGMENT && before.contains(&FRAGMENT);
        if before.len() == 8 || again || (kind == HOP_BY_HOP && !before.is_empty()) {
            return Err(malformed);
        }
        before.push(kind);
        let header = datagram.payload.first_chunk::<8>().ok_or(malformed)?;
        let length = match kind {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(header[1]) + 2) * 4,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        datagram.protocol = header[0];
        datagram.payload = datagram.payload.get(length..).ok_or(malformed)?;
        datagram.said -= length;
        if kind == FRAGMENT {
            let field = be16(header, 2);
            (datagram.offset, datagram.more) = (usize::from(field / 8) * 8, field % 2 == 1);
            if datagram.offset > 0 {
                return Ok(()); // The rest is the middle of something.
            }
        }
    }
    Ok(())
}

/// Fragments: RFC 791, RFC 1858, RFC 6946 (one that is all of its datagram is none), RFC 7112.
fn packet(datagram: &Datagram<'_>) -> Result<Packet, Reason> {
    let length = datagram.said;
    let part = match (datagram.offset, datagram.more) {
        (0, false) => Part::Whole,
        (0, true) => Part::First,
        _ => Part::Later,
    };
    if part != Part::Whole {
        let over_flags = datagram.protocol == TCP && datagram.offset == 8;
        let uneven = datagram.more && !length.is_multiple_of(8);
        if length == 0 || datagram.offset + length > 65_535 || uneven || over_flags {
            return Err(Reason::MalformedFragment);
        }
    }
    let transport =
        if part == Part::Later { Transport::Unread } else { transport(datagram, part == Part::Whole)? };
    Ok(Packet {
        source: datagram.source,
        destination: datagram.destination,
        hop_limit: datagram.hop_limit,
        protocol: datagram.protocol,
        part,
        transport,
        content: content(datagram, transport),
    })
}

/// What a receiver is given of a UDP datagram is as long as its own header says.
fn content(datagram: &Datagram<'_>, transport: Transport) -> Vec<u8> {
    let payload = datagram.payload;
    match transport {
        Transport::Udp { .. } => payload[8..payload.len().min(be16(payload, 4).into())].to_vec(),
        _ => payload.to_vec(),
    }
}

/// The payload that a header speaks of, which only one that is cut may be short of.
fn held(rest: &[u8], said: usize, cut: bool) -> Option<&[u8]> {
    match rest.get(..said) {
        None if cut => Some(rest),
        whole => whole,
    }
}

/// What a packet carries, if it is a tunnel of a kind that is looked into, and whether an Ethernet header comes first.
pub(super) enum Within {
    /// The packet is none, or what it carries cannot be judged.
    Nothing,
    Ip(Packet),
    Bridged(Packet),
}

/// The kind of tunnel that a packet is.
pub(super) fn tunnel(world: &World, packet: &Packet) -> Option<Tunnel> {
    let kind = match (packet.part, packet.protocol, packet.transport) {
        (Part::Later, ..) => return None,
        (_, GRE, _) => Tunnel::Gre,
        (_, IPV4 | IPV6, _) => Tunnel::Ipip,
        (_, UDP, Transport::Udp { to, .. }) if world.vxlan_ports.contains(&to) => Tunnel::Vxlan,
        _ => return None,
    };
    world.tunnels.contains(&kind).then_some(kind)
}

/// Looks into it. RFC 2784, RFC 2890, RFC 2003, RFC 4213, RFC 2473, RFC 7348.
pub(super) fn within(kind: Tunnel, packet: &Packet) -> Result<Within, Reason> {
    let malformed = Reason::MalformedTunnel;
    let (content, cut) = (&packet.content[..], packet.part == Part::First);
    let bridged = |frame| ethernet(frame, cut).map(|carried| (carried, true));
    let routed = |ethertype, bytes| network(ethertype, bytes, cut).map(|carried| (carried, false));
    let (carried, bridges) = match kind {
        Tunnel::Ipip => routed(if packet.protocol == IPV4 { 0x0800 } else { 0x86dd }, content),
        Tunnel::Vxlan => {
            let header = content.first_chunk::<8>().ok_or(malformed)?;
            // VXLAN-GPE names what follows: only Ethernet, which is 3, is read.
            if header[0] & 8 == 0 || (header[0] & 4 != 0 && header[3] != 3) {
                return Err(malformed);
            }
            bridged(&content[8..])
        }
        Tunnel::Gre => match gre(content, packet.source.is_ipv4())? {
            Some((0x6558, frame)) => bridged(frame),
            Some((ethertype, bytes)) => routed(ethertype, bytes),
            None => return Ok(Within::Nothing),
        },
    }?;
    Ok(match carried {
        Carried::Ip(packet) if bridges => Within::Bridged(packet),
        Carried::Ip(packet) => Within::Ip(packet),
        Carried::Arp | Carried::Other => Within::Nothing,
    })
}

/// The type of what GRE carries, and that; nothing of version 1, which is PPTP's.
fn gre(bytes: &[u8], ipv4: bool) -> Result<Option<(u16, &[u8])>, Reason> {
    let malformed = Reason::MalformedTunnel;
    let header = bytes.first_chunk::<4>().ok_or(malformed)?;
    match header[1] % 8 {
        0 => {}
        1 => return Ok(None),
        _ => return Err(malformed),
    }
    if header[0] & 0x40 != 0 {
        return Err(malformed);
    }
    let optional = [0x80, 0x20, 0x10].iter().filter(|&&bit| header[0] & bit != 0).count();
    let rest = bytes.get(4 + 4 * optional..).ok_or(malformed)?;
    let ethertype = be16(header, 2);
    if ethertype == 0x883e && header[..2] == [0, 0] {
        // WCCP: its second version has a header of four bytes.
        let more = if rest.first().ok_or(malformed)? / 16 == 4 { 0 } else { 4 };
        let rest = rest.get(more..).ok_or(malformed)?;
        return Ok(Some((if ipv4 { 0x0800 } else { 0x86dd }, rest)));
    }
    Ok(Some((ethertype, rest)))
}

/// RFC 9293 section 3.1, RFC 768, RFC 792, RFC 4443.
fn transport(datagram: &Datagram<'_>, whole: bool) -> Result<Transport, Reason> {
    let bytes = datagram.payload;
    match (datagram.protocol, datagram.source.is_ipv4()) {
        (TCP, _) => {
            let header = bytes.first_chunk::<20>().ok_or(Reason::MalformedTcp)?;
            let length = usize::from(header[12] / 16) * 4;
            if length < 20 || length > bytes.len() {
                return Err(Reason::MalformedTcp);
            }
            Ok(Transport::Tcp { from: be16(header, 0), to: be16(header, 2), flags: header[13] })
        }
        (UDP, _) => {
            let header = bytes.first_chunk::<8>().ok_or(Reason::MalformedUdp)?;
            let length = usize::from(be16(header, 4));
            // Of a first fragment the rest is elsewhere.
            if length < 8 || (whole && length > datagram.said) {
                return Err(Reason::MalformedUdp);
            }
            Ok(Transport::Udp { from: be16(header, 0), to: be16(header, 2) })
        }
        (ICMP, true) => icmp(bytes, 8),
        (ICMPV6, false) => icmp(bytes, 4),
        _ => Ok(Transport::Unread),
    }
}

fn icmp(bytes: &[u8], least: usize) -> Result<Transport, Reason> {
    if bytes.len() < least {
        return Err(Reason::MalformedIcmp);
    }
    Ok(Transport::Icmp { kind: bytes[0], code: bytes[1] })
}
