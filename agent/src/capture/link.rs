//! What packets of a capture begin with, and Ethernet frames made of them.

use super::{CaptureError, Record};

/// An Ethernet header.
const ETHERNET: usize = 14;
/// Of frames that had none: locally administered addresses (RFC 9542), which nobody else has.
const MADE_UP: [u8; 12] = [0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// The EtherType of what is no network protocol: below 0x600, so that it is told from all that are.
const NONE: u16 = 0;
/// `PACKET_OUTGOING` (include/uapi/linux/if_packet.h).
const PACKET_OUTGOING: u16 = 4;

/// What packets begin with: `LINKTYPE_` of <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// IPv4 or IPv6, as the version says.
    Raw,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// BSD loopback: the address family, in the byte order of the host that captured.
    Null,
    /// OpenBSD loopback: the address family, in network byte order.
    Loop,
    /// Linux cooked capture: `tcpdump -i any` before 2020.
    Sll,
    /// Linux cooked capture, version 2.
    Sll2,
}

/// A frame that was made of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// How long the whole frame was, with the header that was made for it.
    pub length: u64,
    /// How much of it was captured.
    pub captured: usize,
    /// Whether the host itself sent it.
    pub outgoing: bool,
}

impl Link {
    /// What [`Link::numbered`] knows.
    pub const SUPPORTED: &str = "Ethernet (1), raw IP (12, 14, 101), IPv4 (228), IPv6 (229), BSD loopback (0, 108), Linux cooked (113) \
        and Linux cooked v2 (276)";

    /// The link type with this number.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Link`] for one whose packets cannot be judged.
    pub const fn numbered(number: u32) -> Result<Self, CaptureError> {
        Ok(match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            // DLT_RAW where a writer put its own system's number into the file.
            12 | 14 | 101 => Self::Raw,
            108 => Self::Loop,
            113 => Self::Sll,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            276 => Self::Sll2,
            number => return Err(CaptureError::Link { number }),
        })
    }

    /// Bytes before the network header that are replaced by an Ethernet header.
    const fn header(self) -> usize {
        match self {
            Self::Ethernet | Self::Raw | Self::Ipv4 | Self::Ipv6 => 0,
            Self::Null | Self::Loop => 4,
            Self::Sll => 16,
            Self::Sll2 => 20,
        }
    }
}

impl Record<'_> {
    /// Puts the packet into `frame` with an Ethernet header, its own or a made-up one; nothing if what it begins with is
    /// itself cut short.
    pub fn ethernet(&self, frame: &mut Vec<u8>) -> Option<Shape> {
        frame.clear();
        if self.link == Link::Ethernet {
            frame.extend_from_slice(self.data);
            return (self.original as usize >= ETHERNET).then_some(Shape {
                length: u64::from(self.original),
                captured: self.data.len(),
                outgoing: self.outgoing,
            });
        }
        let (header, payload) = self.data.split_at_checked(self.link.header())?;
        let word =
            |at: usize| header.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        let by_version = || match payload.first().map(|byte| byte >> 4) {
            Some(6) => IPV6,
            // What is neither is judged as IPv4, and found to be malformed.
            _ => IPV4,
        };
        let (protocol, direction) = match self.link {
            Link::Ethernet => return None,
            Link::Raw => (by_version(), 0),
            Link::Ipv4 => (IPV4, 0),
            Link::Ipv6 => (IPV6, 0),
            Link::Null | Link::Loop => (of_family(header), 0),
            // Values below 0x600 (802.3, CAN and the like) are told from EtherTypes in the frame as well.
            Link::Sll => (word(14), word(0)),
            Link::Sll2 => (word(0), word(10) >> 8),
        };
        frame.extend_from_slice(&MADE_UP);
        frame.extend_from_slice(&protocol.to_be_bytes());
        frame.extend_from_slice(payload);
        Some(Shape {
            length: u64::from(self.original).saturating_sub(header.len() as u64) + ETHERNET as u64,
            captured: frame.len(),
            outgoing: self.outgoing || direction == PACKET_OUTGOING,
        })
    }
}

/// The EtherType of an address family, in either byte order: no family's number needs more than the lowest byte.
fn of_family(header: &[u8]) -> u16 {
    match header {
        [family, 0, 0, 0] | [0, 0, 0, family] => match family {
            2 => IPV4,
            // Linux; NetBSD and OpenBSD; FreeBSD; Darwin.
            10 | 24 | 28 | 30 => IPV6,
            _ => NONE,
        },
        _ => NONE,
    }
}
