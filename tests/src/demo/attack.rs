//! What the demo floods with, and the policy that stands against it.

use crate::{frames::FrameBuilder, topology::Topology};

/// What the flood consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet {
    /// UDP to a port where nothing listens.
    Udp,
    /// ICMP echo requests.
    Icmp,
    /// TCP segments that open connections to the web server, and never go on.
    TcpSyn,
}

/// A flood from one source, from some, or from random ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attack {
    /// What is sent.
    pub packet: Packet,
    /// How many sources send it; 0: random ones out of all of IPv4.
    pub sources: u32,
}

/// The floods, in the order in which they are shown. SYN floods from random sources need SYN cookies, which are not there
/// yet.
pub const ATTACKS: [Attack; 8] = [
    Attack { packet: Packet::Udp, sources: 1 },
    Attack { packet: Packet::Udp, sources: 1000 },
    Attack { packet: Packet::Udp, sources: 0 },
    Attack { packet: Packet::Icmp, sources: 1 },
    Attack { packet: Packet::Icmp, sources: 1000 },
    Attack { packet: Packet::Icmp, sources: 0 },
    Attack { packet: Packet::TcpSyn, sources: 1 },
    Attack { packet: Packet::TcpSyn, sources: 1000 },
];

/// A rate in packets a second, and as many again at once where no burst is given.
#[derive(Clone, Copy)]
struct Rate {
    per_second: u64,
    burst: u64,
}

/// What the policy allows of one kind of packet.
#[derive(Clone, Copy)]
struct Budget {
    per_source: Rate,
    total: Rate,
}

const fn rate(per_second: u64) -> Rate {
    Rate { per_second, burst: per_second }
}

/// Nothing is served over UDP: room for answers to the host's own questions (DNS, NTP), and what random sources can take of
/// it does no harm.
const UDP: Budget = Budget { per_source: rate(100), total: rate(1000) };
/// Enough for those who look after the network.
const ICMP: Budget = Budget { per_source: rate(20), total: rate(200) };
/// New connections to the web server. The client opens thirty a second. The total bounds what many sources together cost
/// while they keep to their limits: 1,000 of them stay below it, their bursts included, so that the client is served.
const CONNECTIONS: Budget =
    Budget { per_source: rate(40), total: Rate { per_second: 80_000, burst: 160_000 } };

impl Attack {
    /// Its name in the report.
    pub fn name(self) -> String {
        let packet = match self.packet {
            Packet::Udp => "udp",
            Packet::Icmp => "icmp",
            Packet::TcpSyn => "tcp-syn",
        };
        match self.sources {
            0 => format!("{packet}-random"),
            1 => format!("{packet}-one"),
            sources => format!("{packet}-{sources}"),
        }
    }

    /// What it is called on the screen.
    pub fn title(self) -> String {
        let packet = match self.packet {
            Packet::Udp => "UDP",
            Packet::Icmp => "ICMP",
            Packet::TcpSyn => "TCP SYN",
        };
        match self.sources {
            0 => format!("{packet} from random sources"),
            1 => format!("{packet} from one source"),
            sources => format!("{packet} from {sources} sources"),
        }
    }

    /// The frame that it repeats.
    pub fn frame(self) -> FrameBuilder {
        let frame = Topology::frame("11.0.0.1");
        match self.packet {
            Packet::Udp => frame.udp(32_768, 443).payload(&[0x5b; 18]),
            Packet::Icmp => frame.echo_request().payload(&[0x5b; 18]),
            Packet::TcpSyn => frame.tcp(32_768, 80).tcp_options(&[2, 4, 5, 180]),
        }
    }

    /// Packets that [`policy`] lets through in this time, at most.
    pub fn within_limits(self, seconds: f64) -> u64 {
        let Budget { per_source, total } = match self.packet {
            Packet::Udp => UDP,
            Packet::Icmp => ICMP,
            Packet::TcpSyn => CONNECTIONS,
        };
        let allowed = |rate: Rate| rate.burst as f64 + rate.per_second as f64 * seconds;
        let sources = if self.sources == 0 { f64::INFINITY } else { f64::from(self.sources) };
        (allowed(per_source) * sources).min(allowed(total)).ceil() as u64
    }
}

/// The demo's policy: a web server, and little else that is wanted.
pub fn policy() -> String {
    let limits = |kind: &str, Budget { per_source, total }: Budget| {
        let limit =
            |Rate { per_second, burst }: Rate| format!("{{ rate = \"{per_second}/s\", burst = {burst} }}");
        format!(
            "per_source = {{ {kind} = {} }}\ntotal = {{ {kind} = {} }}\n",
            limit(per_source),
            limit(total)
        )
    };
    format!(
        "[source]
# 64 MiB: one in a thousand that the client shares its line with one of a thousand flooding sources.
lines = 1048576

[default]
per_source = {{ packets = \"1000/s\" }}

[[class]]
name = \"web\"
protocol = \"tcp\"
ports = [80]
[class.per_source]
packets = \"2000/s\"
connections = {{ rate = \"{}/s\", burst = {} }}
[class.total]
connections = {{ rate = \"{}/s\", burst = {} }}

[[class]]
name = \"udp\"
protocol = \"udp\"
{}
[[class]]
name = \"icmp\"
protocol = \"icmp\"
{}",
        CONNECTIONS.per_source.per_second,
        CONNECTIONS.per_source.burst,
        CONNECTIONS.total.per_second,
        CONNECTIONS.total.burst,
        limits("packets", UDP),
        limits("packets", ICMP),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_budget_bounds_what_passes() {
        let within = |packet, sources| Attack { packet, sources }.within_limits(2.0);
        assert_eq!(within(Packet::Udp, 1), 300);
        assert_eq!(within(Packet::Udp, 1000), 3000);
        assert_eq!(within(Packet::Icmp, 0), 600);
        assert_eq!(within(Packet::TcpSyn, 1000), 120_000);
    }

    #[test]
    fn the_policy_is_one_that_the_agent_takes() {
        let text = format!("mode = \"enforce\"\n[[interface]]\nname = \"eth0\"\n{}", policy());
        stopbank::config::parse("demo.toml", &text).unwrap();
    }

    #[test]
    fn no_two_attacks_share_a_name() {
        let names: std::collections::HashSet<String> = ATTACKS.iter().map(|attack| attack.name()).collect();
        assert_eq!(names.len(), ATTACKS.len());
    }
}
