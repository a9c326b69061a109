//! Writes what a [`FrameBuilder`] describes.

use std::net::IpAddr;

use stopbank_common::parse::protocol;

use super::{Frame, FrameBuilder, Mac, Transport, ethertype};

const IPV4_MORE_FRAGMENTS: u16 = 0x2000;
const IPV4_DO_NOT_FRAGMENT: u16 = 0x4000;

impl FrameBuilder {
    /// The frame. It is not padded: see [`Frame::padded`] and `SHORTEST`.
    pub fn build(&self) -> Frame {
        let v4 = self.source.is_ipv4();
        let mut bytes = ethernet(
            &self.macs,
            &self.tags,
            self.ethertype.unwrap_or(if v4 { ethertype::IPV4 } else { ethertype::IPV6 }),
        );
        let segment = self.segment();
        let network = bytes.len();
        if v4 {
            bytes.extend(self.ipv4(segment.len()));
        } else {
            bytes.extend(self.ipv6(segment.len()));
        }
        let transport = bytes.len();
        bytes.extend(&segment);
        Frame { payload: bytes.len() - self.payload.len(), bytes, network, transport }
    }

    fn protocol_number(&self) -> u8 {
        match self.transport {
            Transport::Tcp => protocol::TCP,
            Transport::Udp => protocol::UDP,
            Transport::Icmp { .. } if self.source.is_ipv4() => protocol::ICMP,
            Transport::Icmp { .. } => protocol::ICMPV6,
            Transport::None { protocol } => protocol,
        }
    }

    fn ipv4(&self, segment: usize) -> Vec<u8> {
        let length = 20 + self.options.len();
        let words = self.header_words.unwrap_or((length / 4) as u8);
        let fragment = match self.fragment {
            Some((units, more)) => units | if more { IPV4_MORE_FRAGMENTS } else { 0 },
            None => IPV4_DO_NOT_FRAGMENT,
        };
        let mut header = vec![self.version.unwrap_or(4) << 4 | words & 15, 0];
        header.extend(self.length.unwrap_or((length + segment) as u16).to_be_bytes());
        header.extend(self.identification.to_be_bytes());
        header.extend(fragment.to_be_bytes());
        header.extend([self.hops, self.next_header.unwrap_or(self.protocol_number()), 0, 0]);
        for address in [self.source, self.destination] {
            if let IpAddr::V4(address) = address {
                header.extend(address.octets());
            }
        }
        header.extend(&self.options);
        let checksum = self.header_checksum.unwrap_or_else(|| internet_checksum(&[&header]));
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn ipv6(&self, segment: usize) -> Vec<u8> {
        let extensions: usize = self.extensions.iter().map(|extension| extension.rest.len() + 1).sum();
        let mut kinds: Vec<u8> = self.extensions.iter().map(|extension| extension.kind).collect();
        kinds.push(self.next_header.unwrap_or(self.protocol_number()));
        let mut header = vec![self.version.unwrap_or(6) << 4, 0, 0, 0];
        header.extend(self.length.unwrap_or((extensions + segment) as u16).to_be_bytes());
        header.extend([kinds[0], self.hops]);
        for address in [self.source, self.destination] {
            if let IpAddr::V6(address) = address {
                header.extend(address.octets());
            }
        }
        for (extension, next) in self.extensions.iter().zip(&kinds[1..]) {
            header.push(*next);
            header.extend(&extension.rest);
        }
        header
    }

    /// The transport header and the payload.
    fn segment(&self) -> Vec<u8> {
        let length = self.payload.len();
        let mut segment = Vec::with_capacity(20 + length);
        let checksum_at = match self.transport {
            Transport::Tcp => {
                let words = self.data_offset.unwrap_or((5 + self.tcp_options.len() / 4) as u8);
                segment.extend(self.ports.0.to_be_bytes());
                segment.extend(self.ports.1.to_be_bytes());
                segment.extend(self.sequence.to_be_bytes());
                segment.extend([0; 4]);
                segment.extend([words << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
                segment.extend(&self.tcp_options);
                Some(16)
            }
            Transport::Udp => {
                segment.extend(self.ports.0.to_be_bytes());
                segment.extend(self.ports.1.to_be_bytes());
                segment.extend(self.udp_length.unwrap_or((8 + length) as u16).to_be_bytes());
                segment.extend([0, 0]);
                Some(6)
            }
            Transport::Icmp { kind, code, rest } => {
                segment.extend([kind, code, 0, 0]);
                segment.extend(rest);
                Some(2)
            }
            Transport::None { .. } => None,
        };
        segment.extend(&self.payload);
        if let Some(at) = checksum_at {
            let checksum = self.checksum.unwrap_or_else(|| self.transport_checksum(&segment));
            segment[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        }
        segment
    }

    /// Over the pseudo header too, except for ICMP (RFC 792, RFC 4443 section 2.3, RFC 9293 section 3.1, RFC 768).
    fn transport_checksum(&self, segment: &[u8]) -> u16 {
        let number = self.protocol_number();
        let mut pseudo = Vec::with_capacity(40);
        if number != protocol::ICMP {
            for address in [self.source, self.destination] {
                match address {
                    IpAddr::V4(address) => pseudo.extend(address.octets()),
                    IpAddr::V6(address) => pseudo.extend(address.octets()),
                }
            }
            pseudo.extend((segment.len() as u32).to_be_bytes());
            pseudo.extend([0, 0, 0, number]);
        }
        match internet_checksum(&[&pseudo, segment]) {
            0 if number == protocol::UDP => 0xffff,
            checksum => checksum,
        }
    }
}

pub(super) fn ethernet(macs: &(Mac, Mac), tags: &[(u16, u16)], ethertype: u16) -> Vec<u8> {
    let mut bytes = [macs.1, macs.0].concat();
    for (protocol, control) in tags {
        bytes.extend(protocol.to_be_bytes());
        bytes.extend(control.to_be_bytes());
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes
}

/// The internet checksum (RFC 1071) over parts that each begin at an even offset.
pub fn internet_checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
