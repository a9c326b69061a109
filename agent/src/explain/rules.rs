//! The steps that need no state: what is never legitimate, sockets, classes.

use std::net::{IpAddr, SocketAddr};

use stopbank_common::{
    Reason,
    parse::protocol,
    policy::{CLASS_OBSERVE, Class, FRAGMENTS_DROP, MAX_CLASSES, Policy, ROLE_GATEWAY, ROLE_HOST},
};

use super::{Packet, sockets as tables, trail::Trail};
use crate::{config::Claim, control::explain::Transport};

/// Whether a rule's verdict stands, or only observes.
pub(super) fn stands(policy: &Policy, reason: Reason, class: Option<&Class>) -> bool {
    policy.observed >> (reason as u32 & 63) & 1 == 0
        && class.is_none_or(|class| class.flags & CLASS_OBSERVE == 0)
}

/// DHCP, and that neighbour discovery is not judged.
pub(super) fn essential(trail: &mut Trail, packet: &Packet) {
    let dhcp = |port| matches!(port, Some(67 | 68 | 546 | 547));
    if packet.is(Transport::Udp) && dhcp(packet.port) {
        trail.depends(
            "essential",
            "it may be DHCP, of which 100 messages a second pass unjudged",
            "from 67 and 68, or 546 and 547, it passes before the lists while that lasts",
            "whether it is DHCP",
        );
    } else if packet.is(Transport::Icmp) && packet.source.is_ipv6() {
        trail.next(
            "essential",
            "not neighbour discovery",
            "that, with hop limit 255, would pass before the lists; this is taken to be another message",
        );
    }
}

/// Sources that no packet from the network can have: as ebpf/src/illegitimate.rs has it.
pub(super) fn is_bogon(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(v4) => matches!(v4.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(v6) => v6.is_multicast() || u128::from(v6) <= 1,
    }
}

/// Source and destination, ports.
pub(super) fn legitimate(trail: &mut Trail, policy: &Policy, packet: &Packet) {
    const STEP: &str = "never legitimate";
    let mut decide = |reason: Reason, found: &str, because: String| {
        trail.decide(STEP, found, reason, stands(policy, reason, None), because);
    };
    // The first of these gives the step's one reason.
    if packet.to == Some(packet.source) {
        decide(
            Reason::Land,
            "its source is its destination",
            format!("nobody sends from {} to itself", packet.source),
        );
    } else if is_bogon(packet.source) {
        let because =
            format!("{} belongs to nobody: unspecified, loopback, multicast or reserved", packet.source);
        decide(Reason::BogonSource, "a bogon", because);
    } else if packet.port == Some(0) || packet.from_port == Some(0) {
        decide(Reason::PortZero, "port 0", "no service has port 0".to_owned());
    } else {
        let fragments = if policy.fragments == FRAGMENTS_DROP { "; fragments are dropped" } else { "" };
        trail.next(
            STEP,
            format!("nothing of it{fragments}"),
            "its source may exist, and is not its destination",
        );
    }
}

/// Whether the host has a socket for it.
pub(super) fn sockets(trail: &mut Trail, policy: &Policy, packet: &Packet) {
    match policy.role {
        ROLE_HOST => of_host(trail, policy, packet),
        ROLE_GATEWAY => trail.next(
            "flows",
            "role `gateway`",
            "a new connection needs no flow; other TCP, and UDP from amplifiers, must belong to one",
        ),
        _ => trail.next("sockets", "role `any`", "sockets are not asked"),
    }
}

fn of_host(trail: &mut Trail, policy: &Policy, packet: &Packet) {
    match (packet.protocol, packet.port) {
        (Some(Transport::Icmp), _) => trail.next("sockets", "ICMP has none", "they are not asked"),
        (Some(Transport::Tcp), Some(port)) => {
            let found = tables::listener(packet.source.is_ipv6(), packet.to, port);
            let because = format!("nothing listens to TCP port {port}");
            of_table(trail, policy, found, Reason::NoListener, because);
        }
        (Some(Transport::Udp), Some(port)) => of_udp(trail, policy, packet, port),
        _ => trail.depends(
            "sockets",
            "not known without protocol and port",
            "what belongs to no socket is dropped (role `host`)",
            "whether this host has a socket for it",
        ),
    }
}

fn of_udp(trail: &mut Trail, policy: &Policy, packet: &Packet, port: u16) {
    let amplifier = packet.from_port.is_some_and(|port| policy.is_amplifier(port));
    if !amplifier && policy.udp_needs_socket == 0 {
        let found = match packet.from_port {
            Some(from) => format!("port {from} is no amplifier's"),
            None => "taken to come from no amplifier's port (--from-port says it)".to_owned(),
        };
        trail.next("sockets", found, "only UDP from amplifiers (DNS, NTP, …) needs a socket");
        return;
    }
    let from = SocketAddr::new(packet.source, packet.from_port.unwrap_or(0));
    let found = tables::udp(packet.source.is_ipv6(), packet.to, port, from);
    let (reason, what) = if amplifier {
        (Reason::Amplification, "from an amplifier's port, which nobody here has asked: ")
    } else {
        (Reason::NoSocket, "")
    };
    of_table(trail, policy, found, reason, format!("{what}no socket takes it at UDP port {port}"));
}

fn of_table(
    trail: &mut Trail,
    policy: &Policy,
    found: std::io::Result<Option<SocketAddr>>,
    reason: Reason,
    because: String,
) {
    match found {
        Ok(Some(socket)) => trail.next("sockets", format!("{socket}"), "a socket of this host takes it"),
        Ok(None) => trail.decide("sockets", "none", reason, stands(policy, reason, None), because),
        Err(error) => trail.depends(
            "sockets",
            format!("the kernel's table cannot be read: {error}"),
            because,
            "whether this host has a socket for it",
        ),
    }
}

/// The class of the packet, where it is known: as `class_of` of ebpf/src/policy.rs.
pub(super) fn class_of(policy: &Policy, packet: &Packet) -> Option<u8> {
    let class = match (packet.protocol?, packet.port) {
        (Transport::Icmp, _) => {
            let number = if packet.source.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
            policy.by_protocol[usize::from(number)]
        }
        (Transport::Tcp, Some(port)) => policy.by_tcp_port[usize::from(port)],
        (Transport::Udp, Some(port)) => {
            let class = policy.by_udp_port[usize::from(port)];
            let amplifier = packet.from_port.is_some_and(|port| policy.is_amplifier(port));
            if amplifier && u32::from(class) == policy.udp_class { policy.answers_class as u8 } else { class }
        }
        (_, None) => return None,
    };
    Some(class & (MAX_CLASSES as u8 - 1))
}

/// Why it is of that class.
pub(super) fn class_because(policy: &Policy, packet: &Packet) -> String {
    let answers = policy.answers_class != policy.udp_class;
    match (packet.protocol, packet.port, packet.from_port) {
        (Some(Transport::Udp), Some(port), Some(from)) if answers && policy.is_amplifier(from) => {
            format!("UDP from port {from}, an amplifier's, to port {port}")
        }
        (Some(transport), Some(port), _) => format!("{} to port {port}", transport.name().to_uppercase()),
        _ => "by its protocol".to_owned(),
    }
}

/// Whether a class can be that of the packet, as far as that is known.
pub(super) fn may_claim(claim: &Claim, packet: &Packet) -> bool {
    match packet.protocol {
        None => true,
        Some(Transport::Tcp) => matches!(claim, Claim::Tcp(_) | Claim::Rest),
        Some(Transport::Udp) => matches!(claim, Claim::Udp(_) | Claim::Answers | Claim::Rest),
        Some(Transport::Icmp) => matches!(claim, Claim::Icmp | Claim::Rest),
    }
}

/// What a packet of the class is taken to be.
pub(super) fn protocol_of(claim: &Claim, packet: &Packet) -> Option<Transport> {
    packet.protocol.or(match claim {
        Claim::Tcp(_) => Some(Transport::Tcp),
        Claim::Udp(_) | Claim::Answers => Some(Transport::Udp),
        Claim::Icmp => Some(Transport::Icmp),
        Claim::Rest | Claim::Fragments | Claim::Protocol(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::is_bogon;

    #[test]
    fn bogons_are_those_of_the_program() {
        for (source, bogon) in [
            ("0.1.2.3", true),
            ("127.0.0.1", true),
            ("223.255.255.255", false),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("10.0.0.1", false),
            ("::", true),
            ("::1", true),
            ("::2", false),
            ("ff02::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(is_bogon(source.parse().unwrap()), bogon, "{source}");
        }
    }
}
