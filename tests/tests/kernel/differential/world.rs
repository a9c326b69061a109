//! What packets are judged by, in plain terms: what the reference reads, and what becomes a policy for the program.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use stopbank_common::Reason;

/// Number of the class of what no other claims.
pub(super) const DEFAULT: u8 = 1;

/// One unit every `interval_ns`, and `burst` at once. Whole nanoseconds, so that nothing is ever rounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) interval_ns: u64,
    pub(super) burst: u64,
}

/// Packets, bytes, connections.
pub(super) type Rates = [Option<Rate>; 3];

/// A part of the table of sources: its first line, and how many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) first: u32,
    pub(super) count: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) salt: u32,
    pub(super) closed: bool,
    pub(super) observe: bool,
    /// By level. The first is the source itself.
    pub(super) per_source: Vec<Rates>,
    pub(super) total: Rates,
    pub(super) reserve: Rates,
    /// Of sources, and of the prefixes that they are in.
    pub(super) lines: [Lines; 2],
}

/// A length of prefixes, for each family that it has one for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) ipv4: Option<u8>,
    pub(super) ipv6: Option<u8>,
}

impl Level {
    pub(super) fn of(self, address: IpAddr) -> Option<u8> {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// What a list says of a prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Verdict {
    Deny,
    Ban,
    Allow,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub(super) prefix: IpNet,
    pub(super) verdict: Verdict,
    /// By the clock of the simulation.
    pub(super) until_ns: Option<u64>,
}

/// A kind of tunnel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Tunnel {
    Gre,
    Ipip,
    Vxlan,
}

/// Everything that a packet is judged by.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) enforce: bool,
    pub(super) drop_fragments: bool,
    /// Role `host`, and whether every look-up of a socket finds one or none does.
    pub(super) host: bool,
    pub(super) sockets: bool,
    pub(super) udp_needs_socket: bool,
    /// Those that are looked into.
    pub(super) tunnels: BTreeSet<Tunnel>,
    pub(super) vxlan_ports: Vec<u16>,
    pub(super) observed: BTreeSet<Reason>,
    pub(super) amplifiers: BTreeSet<u16>,
    pub(super) levels: Vec<Level>,
    /// The secret of the hash.
    pub(super) key: [u64; 6],
    /// By number; 0 is nobody's, and [`DEFAULT`] is always there.
    pub(super) classes: BTreeMap<u8, Class>,
    pub(super) by_tcp_port: BTreeMap<u16, u8>,
    pub(super) by_udp_port: BTreeMap<u16, u8>,
    pub(super) by_protocol: BTreeMap<u8, u8>,
    pub(super) fragments_class: u8,
    pub(super) answers_class: u8,
    /// Of UDP that no port claims.
    pub(super) udp_class: u8,
    /// Entries that come and go, and those of files.
    pub(super) dynamic: Vec<Listed>,
    pub(super) filed: Vec<Listed>,
    /// Proven sources and until when.
    pub(super) proven: BTreeMap<IpAddr, Option<u64>>,
}
