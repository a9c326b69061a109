//! Frames that the self-test sends, whole and broken.

use std::net::IpAddr;

use stopbank_common::parse::protocol;

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// A SYN to a port.
    Syn(u16),
    /// UDP to a port, from one that is no amplifier's.
    Udp(u16),
    /// An echo request.
    Echo,
}

/// Source port of everything: nobody's.
const FROM: u16 = 40_009;

/// A whole frame. Checksums are right, so that a kernel that looks at it has nothing against it.
pub(super) fn frame(source: IpAddr, destination: IpAddr, content: Content) -> Vec<u8> {
    let (number, mut payload) = match content {
        Content::Syn(port) => (protocol::TCP, tcp(port)),
        Content::Udp(port) => (protocol::UDP, udp(port)),
        Content::Echo if source.is_ipv4() => (protocol::ICMP, vec![8, 0, 0, 0, 0, 1, 0, 1]),
        Content::Echo => (protocol::ICMPV6, vec![128, 0, 0, 0, 0, 1, 0, 1]),
    };
    let at = match content {
        Content::Syn(_) => 16,
        Content::Udp(_) => 6,
        Content::Echo => 2,
    };
    // ICMP over IPv4 has no pseudo header (RFC 792).
    let pseudo = if number == protocol::ICMP {
        Vec::new()
    } else {
        pseudo(source, destination, number, payload.len())
    };
    let sum = checksum(&[pseudo.as_slice(), &payload].concat());
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ip(source, destination, number, payload.len() as u16));
    frame.extend(payload);
    frame
}

/// The same, cut in the middle of its transport header: what IP says is there is not.
pub(super) fn broken(source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut frame = frame(source, destination, Content::Syn(443));
    frame.truncate(frame.len() - 12);
    frame
}

fn tcp(port: u16) -> Vec<u8> {
    let mut segment = [FROM.to_be_bytes(), port.to_be_bytes()].concat();
    // Sequence, acknowledgement; five words; SYN; window; checksum, urgent pointer.
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, 2, 0xff, 0xff, 0, 0, 0, 0]);
    segment
}

fn udp(port: u16) -> Vec<u8> {
    let content = b"stopbank selftest";
    let length = (8 + content.len()) as u16;
    let mut datagram = [FROM.to_be_bytes(), port.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    datagram.extend(content);
    datagram
}

fn ip(source: IpAddr, destination: IpAddr, number: u8, length: u16) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0];
            header.extend((20 + length).to_be_bytes());
            header.extend([0, 1, 0x40, 0, 64, number, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = checksum(&header).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            [vec![0x08, 0x00], header].concat()
        }
        (source, destination) => {
            let mut header = vec![0x86, 0xdd, 0x60, 0, 0, 0];
            header.extend(length.to_be_bytes());
            header.extend([number, 64]);
            header.extend(octets(source));
            header.extend(octets(destination));
            header
        }
    }
}

fn pseudo(source: IpAddr, destination: IpAddr, number: u8, length: usize) -> Vec<u8> {
    // The same sum for both families (RFC 9293 section 3.1, RFC 8200 section 8.1).
    let mut header = [octets(source), octets(destination)].concat();
    header.extend((length as u32).to_be_bytes());
    header.extend([0, 0, 0, number]);
    header
}

/// An address's bytes.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stopbank_common::parse::{Cursor, Facts, Network, parse};

    #[test]
    fn frames_are_what_the_programs_own_parser_takes_them_for() {
        for (source, to) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            let (source, to): (IpAddr, IpAddr) = (source.parse().unwrap(), to.parse().unwrap());
            for content in [Content::Syn(443), Content::Udp(53), Content::Echo] {
                let frame = frame(source, to, content);
                let mut facts = Facts::default();
                assert_eq!(parse(Cursor::new(&frame), frame.len() as u32, &mut facts), Ok(Network::Ip));
                assert_eq!(IpAddr::from(facts.source), source);
                assert_eq!(facts.opens_connection(), content == Content::Syn(443));
                if let Content::Syn(port) | Content::Udp(port) = content {
                    assert_eq!((facts.source_port, facts.destination_port), (FROM, port));
                }
            }
            let broken = broken(source, to);
            let parsed = parse(Cursor::new(&broken), broken.len() as u32, &mut Facts::default());
            assert!(parsed.is_err_and(stopbank_common::Reason::is_malformed));
        }
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
