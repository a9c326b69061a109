//! Builds Ethernet frames: correct by default, with a knob to break each field.
//!
//! ```
//! use stopbank_tests::frames::FrameBuilder;
//!
//! let query = FrameBuilder::new("192.0.2.7", "198.51.100.1").udp(40_000, 53).payload(b"query").build();
//! let truncated = query.truncated(query.transport + 7);
//! let lying = FrameBuilder::new("2001:db8::7", "2001:db8::1").vlan(7).tcp(40_000, 80).data_offset(4).build();
//! # assert_eq!((truncated.len(), lying.transport), (41, 58));
//! ```
//!
//! Lengths and checksums follow from what is in the frame unless a knob sets them; a checksum covers what the other
//! knobs have written, so that a frame is wrong in one field at a time.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::{Deref, DerefMut},
};

use stopbank_common::parse::{protocol, tcp_flags};

mod encode;
mod tunnels;

use encode::ethernet;
pub use encode::internet_checksum;
pub use tunnels::Gre;

/// EtherTypes (IEEE 802 numbers).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// 802.1ad (service) tag.
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// Link layer discovery: neither IP nor ARP.
    pub const LLDP: u16 = 0x88cc;
}

/// A MAC address.
pub type Mac = [u8; 6];

/// The shortest frame that goes over a wire, without its FCS (IEEE 802.3: 64 bytes with it).
pub const SHORTEST: usize = 60;

const ETHERNET_HEADER: usize = 14;

/// What can be written as an address: addresses, and their text.
pub trait IntoIp {
    /// The address.
    ///
    /// # Panics
    ///
    /// If a text is none.
    fn into_ip(self) -> IpAddr;
}

impl IntoIp for &str {
    fn into_ip(self) -> IpAddr {
        self.parse().unwrap_or_else(|_| panic!("{self:?} is no IP address"))
    }
}
impl IntoIp for IpAddr {
    fn into_ip(self) -> IpAddr {
        self
    }
}
impl IntoIp for Ipv4Addr {
    fn into_ip(self) -> IpAddr {
        self.into()
    }
}
impl IntoIp for Ipv6Addr {
    fn into_ip(self) -> IpAddr {
        self.into()
    }
}

/// A built frame: its bytes (it dereferences to them), and where its headers begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Everything from the destination MAC address to the last byte of payload or padding.
    pub bytes: Vec<u8>,
    /// Offset of the IP header (of what follows the Ethernet header and tags).
    pub network: usize,
    /// Offset of the transport header: what follows the IP header, its options or extension headers.
    pub transport: usize,
    /// Offset of what follows the transport header.
    pub payload: usize,
}

impl Frame {
    /// The first `length` bytes of it.
    ///
    /// # Panics
    ///
    /// If it is shorter than that.
    #[must_use]
    pub fn truncated(&self, length: usize) -> Self {
        Self { bytes: self.bytes[..length].to_vec(), ..*self }
    }

    /// The frame with the bytes at `offset` overwritten; checksums are not mended.
    ///
    /// # Panics
    ///
    /// If they do not fit.
    #[must_use]
    pub fn with(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The frame with zeroes behind it up to `length` bytes.
    #[must_use]
    pub fn padded(mut self, length: usize) -> Self {
        self.bytes.resize(self.bytes.len().max(length), 0);
        self
    }
}

impl Deref for Frame {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Frame {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

#[derive(Clone)]
struct Extension {
    kind: u8,
    /// Everything after the header's first byte, which names the next header.
    rest: Vec<u8>,
}

#[derive(Clone)]
enum Transport {
    Tcp,
    Udp,
    Icmp { kind: u8, code: u8, rest: [u8; 4] },
    None { protocol: u8 },
}

/// A frame in the making. The addresses decide between IPv4 and IPv6.
#[derive(Clone)]
pub struct FrameBuilder {
    macs: (Mac, Mac),
    tags: Vec<(u16, u16)>,
    ethertype: Option<u16>,
    source: IpAddr,
    destination: IpAddr,
    version: Option<u8>,
    header_words: Option<u8>,
    length: Option<u16>,
    hops: u8,
    identification: u16,
    fragment: Option<(u16, bool)>,
    next_header: Option<u8>,
    header_checksum: Option<u16>,
    options: Vec<u8>,
    extensions: Vec<Extension>,
    transport: Transport,
    ports: (u16, u16),
    flags: u8,
    sequence: u32,
    data_offset: Option<u8>,
    tcp_options: Vec<u8>,
    udp_length: Option<u16>,
    checksum: Option<u16>,
    payload: Vec<u8>,
}

impl FrameBuilder {
    /// A frame from `source` to `destination`: no tags, TTL 64, no transport header (protocol 253, for experiments)
    /// and no payload yet.
    ///
    /// # Panics
    ///
    /// If one is IPv4 and the other IPv6, or a text is no address.
    pub fn new(source: impl IntoIp, destination: impl IntoIp) -> Self {
        let (source, destination) = (source.into_ip(), destination.into_ip());
        assert_eq!(
            source.is_ipv4(),
            destination.is_ipv4(),
            "{source} and {destination} are of different families"
        );
        Self {
            macs: ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]),
            tags: Vec::new(),
            ethertype: None,
            source,
            destination,
            version: None,
            header_words: None,
            length: None,
            hops: 64,
            identification: 0,
            fragment: None,
            next_header: None,
            header_checksum: None,
            options: Vec::new(),
            extensions: Vec::new(),
            transport: Transport::None { protocol: 253 },
            ports: (0, 0),
            flags: tcp_flags::SYN,
            sequence: 1,
            data_offset: None,
            tcp_options: Vec::new(),
            udp_length: None,
            checksum: None,
            payload: Vec::new(),
        }
    }

    /// The MAC addresses.
    #[must_use]
    pub const fn macs(mut self, source: Mac, destination: Mac) -> Self {
        self.macs = (source, destination);
        self
    }

    /// Adds an 802.1Q tag inside the tags there are.
    #[must_use]
    pub fn vlan(self, id: u16) -> Self {
        self.tag(ethertype::VLAN, id)
    }

    /// Adds an 802.1ad (service) tag inside the tags there are.
    #[must_use]
    pub fn service_vlan(self, id: u16) -> Self {
        self.tag(ethertype::SERVICE_VLAN, id)
    }

    /// Adds a tag with any tag protocol identifier and control information.
    #[must_use]
    pub fn tag(mut self, protocol: u16, control: u16) -> Self {
        self.tags.push((protocol, control));
        self
    }

    /// The EtherType after the tags, whatever follows.
    #[must_use]
    pub const fn ethertype(mut self, ethertype: u16) -> Self {
        self.ethertype = Some(ethertype);
        self
    }

    /// The IP version field.
    #[must_use]
    pub const fn version(mut self, version: u8) -> Self {
        self.version = Some(version);
        self
    }

    /// The IPv4 header length field (IHL), in units of four bytes.
    #[must_use]
    pub const fn header_words(mut self, words: u8) -> Self {
        self.header_words = Some(words);
        self
    }

    /// The IPv4 total length or IPv6 payload length field, in bytes.
    #[must_use]
    pub const fn length(mut self, bytes: u16) -> Self {
        self.length = Some(bytes);
        self
    }

    /// The IPv4 time to live or IPv6 hop limit.
    #[must_use]
    pub const fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// The IPv4 or fragment header's identification.
    #[must_use]
    pub const fn identification(mut self, identification: u16) -> Self {
        self.identification = identification;
        self
    }

    /// A fragment at `offset` bytes (only multiples of eight can be told) with more to come or not. IPv6: adds a
    /// fragment header after the extension headers there are. A later fragment usually has no transport header: use
    /// [`Self::protocol`] and [`Self::payload`].
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        if self.source.is_ipv4() {
            self.fragment = Some((offset / 8, more));
            return self;
        }
        let [high, low] = ((offset & !7) | u16::from(more)).to_be_bytes();
        let id = u32::from(self.identification).to_be_bytes();
        self.extension(protocol::FRAGMENT, &[0, high, low, id[0], id[1], id[2], id[3]])
    }

    /// IPv4 options, padded with zeroes (end of options) to four bytes.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = padded_to(options, 4);
        self
    }

    /// Adds an IPv6 extension header: everything after its first byte, which names the next header.
    #[must_use]
    pub fn extension(mut self, kind: u8, rest: &[u8]) -> Self {
        self.extensions.push(Extension { kind, rest: rest.to_vec() });
        self
    }

    /// Adds a hop-by-hop options header of `units` times eight bytes, filled with Pad1.
    #[must_use]
    pub fn hop_by_hop(self, units: u8) -> Self {
        self.sized_extension(protocol::HOP_BY_HOP, units)
    }

    /// Adds a destination options header of `units` times eight bytes, filled with Pad1.
    #[must_use]
    pub fn destination_options(self, units: u8) -> Self {
        self.sized_extension(protocol::DESTINATION_OPTIONS, units)
    }

    /// Adds a routing header of `units` times eight bytes: type 0, no segments left.
    #[must_use]
    pub fn routing(self, units: u8) -> Self {
        self.sized_extension(protocol::ROUTING, units)
    }

    /// Adds an authentication header of `words` times four bytes (RFC 4302 counts these less two).
    #[must_use]
    pub fn authentication(self, words: u8) -> Self {
        let mut rest = vec![0; usize::from(words) * 4 - 1];
        rest[0] = words - 2;
        self.extension(protocol::AUTHENTICATION, &rest)
    }

    fn sized_extension(self, kind: u8, units: u8) -> Self {
        let mut rest = vec![0; usize::from(units) * 8 - 1];
        rest[0] = units - 1;
        self.extension(kind, &rest)
    }

    /// The IPv4 protocol field, or the next header field of the last IPv6 header, whatever follows.
    #[must_use]
    pub const fn next_header(mut self, protocol: u8) -> Self {
        self.next_header = Some(protocol);
        self
    }

    /// The IPv4 header checksum.
    #[must_use]
    pub const fn header_checksum(mut self, checksum: u16) -> Self {
        self.header_checksum = Some(checksum);
        self
    }

    /// No transport header: the payload follows at once.
    #[must_use]
    pub const fn protocol(mut self, protocol: u8) -> Self {
        self.transport = Transport::None { protocol };
        self
    }

    /// A TCP segment: a SYN, unless [`Self::flags`] says otherwise.
    #[must_use]
    pub const fn tcp(mut self, source_port: u16, destination_port: u16) -> Self {
        self.transport = Transport::Tcp;
        self.ports = (source_port, destination_port);
        self
    }

    /// The TCP flags, see [`tcp_flags`].
    #[must_use]
    pub const fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// The TCP sequence number.
    #[must_use]
    pub const fn sequence(mut self, sequence: u32) -> Self {
        self.sequence = sequence;
        self
    }

    /// The TCP data offset field, in units of four bytes.
    #[must_use]
    pub const fn data_offset(mut self, words: u8) -> Self {
        self.data_offset = Some(words);
        self
    }

    /// TCP options, padded with zeroes (end of options) to four bytes.
    #[must_use]
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        self.tcp_options = padded_to(options, 4);
        self
    }

    /// A UDP datagram.
    #[must_use]
    pub const fn udp(mut self, source_port: u16, destination_port: u16) -> Self {
        self.transport = Transport::Udp;
        self.ports = (source_port, destination_port);
        self
    }

    /// The UDP length field, in bytes.
    #[must_use]
    pub const fn udp_length(mut self, bytes: u16) -> Self {
        self.udp_length = Some(bytes);
        self
    }

    /// An ICMP (over IPv4) or ICMPv6 (over IPv6) message, with zeroes in the second half of its header.
    #[must_use]
    pub const fn icmp(mut self, kind: u8, code: u8) -> Self {
        self.transport = Transport::Icmp { kind, code, rest: [0; 4] };
        self
    }

    /// An echo request ("ping"), ICMP or ICMPv6.
    #[must_use]
    pub const fn echo_request(mut self) -> Self {
        let kind = if self.source.is_ipv4() { 8 } else { 128 };
        self.transport = Transport::Icmp { kind, code: 0, rest: [0, 1, 0, 1] };
        self
    }

    /// A neighbour solicitation (type 135) or advertisement (136) for the destination, with the hop limit of 255 that
    /// RFC 4861 asks for.
    #[must_use]
    pub fn neighbour(mut self, kind: u8) -> Self {
        self.transport = Transport::Icmp { kind, code: 0, rest: [0; 4] };
        self.hops = 255;
        self.payload = match self.destination {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        self
    }

    /// The transport checksum. 0 means none in UDP over IPv4.
    #[must_use]
    pub const fn checksum(mut self, checksum: u16) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// What follows the transport header.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }
}

/// A frame of any EtherType and content.
pub fn other(ethertype: u16, content: &[u8]) -> Frame {
    let mut bytes = ethernet(&([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]), &[], ethertype);
    bytes.extend(content);
    Frame { bytes, network: ETHERNET_HEADER, transport: ETHERNET_HEADER, payload: ETHERNET_HEADER }
}

/// An ARP request of `sender` for `target` (RFC 826).
pub fn arp(sender: Ipv4Addr, target: Ipv4Addr) -> Frame {
    let mut content = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1];
    content.extend(sender.octets());
    content.extend([0; 6]);
    content.extend(target.octets());
    other(ethertype::ARP, &content)
}

fn padded_to(bytes: &[u8], unit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(unit), 0);
    bytes
}

#[cfg(test)]
mod tests;
