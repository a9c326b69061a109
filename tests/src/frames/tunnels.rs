//! Packets that carry packets.

use stopbank_common::parse::protocol;

use super::{Frame, FrameBuilder, ethertype};

/// Ethernet in GRE (RFC 7637 section 3.2).
const BRIDGING: u16 = 0x6558;

/// A GRE header (RFC 2784, RFC 2890), but for the type of what it carries.
#[derive(Clone, Copy, Default, Debug)]
pub struct Gre {
    /// With a checksum, which is 0.
    pub checksum: bool,
    /// With this key.
    pub key: Option<u32>,
    /// With this sequence number.
    pub sequence: Option<u32>,
    /// Carries frames, and not the packets in them.
    pub bridges: bool,
}

impl Gre {
    /// The header.
    fn bytes(self, protocol_type: u16) -> Vec<u8> {
        let flags = u8::from(self.checksum) << 7
            | u8::from(self.key.is_some()) << 5
            | u8::from(self.sequence.is_some()) << 4;
        let mut header = vec![flags, 0];
        header.extend(protocol_type.to_be_bytes());
        if self.checksum {
            header.extend([0; 4]);
        }
        for number in [self.key, self.sequence].into_iter().flatten() {
            header.extend(number.to_be_bytes());
        }
        header
    }
}

impl Frame {
    /// What it carries behind its Ethernet header and tags.
    fn packet(&self) -> &[u8] {
        &self.bytes[self.network..]
    }

    /// The EtherType of that.
    fn packet_type(&self) -> u16 {
        u16::from_be_bytes([self.bytes[self.network - 2], self.bytes[self.network - 1]])
    }
}

impl FrameBuilder {
    /// Carries the packet of a frame in IP (RFC 2003, RFC 2473, RFC 4213).
    #[must_use]
    pub fn ip_in_ip(self, inner: &Frame) -> Self {
        let v4 = inner.packet_type() == ethertype::IPV4;
        self.protocol(if v4 { protocol::IPV4 } else { protocol::IPV6 }).payload(inner.packet())
    }

    /// Carries a frame, or the packet in it, in GRE.
    #[must_use]
    pub fn gre(self, gre: Gre, inner: &Frame) -> Self {
        let (protocol_type, content) =
            if gre.bridges { (BRIDGING, &inner.bytes[..]) } else { (inner.packet_type(), inner.packet()) };
        self.gre_with(&gre.bytes(protocol_type), content)
    }

    /// Carries anything behind any GRE header.
    #[must_use]
    pub fn gre_with(self, header: &[u8], content: &[u8]) -> Self {
        self.protocol(protocol::GRE).payload(&[header, content].concat())
    }

    /// Carries a frame in VXLAN (RFC 7348) of network 7.
    #[must_use]
    pub fn vxlan(self, source_port: u16, destination_port: u16, inner: &[u8]) -> Self {
        let header = [0x08, 0, 0, 0, 0, 0, 7, 0];
        self.udp(source_port, destination_port).payload(&[&header[..], inner].concat())
    }
}
