//! A plain reference of the packet's whole way, written from docs/packet-path.md and the RFCs: slices, maps and whole
//! numbers, clear before fast. It shares no code with the program but the names of reasons.

mod limiter;
pub(super) mod packet;

use std::net::IpAddr;

use stopbank_common::{Reason, policy::CLASS_NONE};

use super::world::{DEFAULT, Listed, Rate, Rates, Tunnel, Verdict, World};
use limiter::{Arrivals, BYTES, Budget, CONNECTIONS, PACKETS, Payer, Table, cut};
use packet::{Carried, ICMPV6, Packet, Part, TCP, Transport, UDP, Within};

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Judgement {
    pub(super) reason: Reason,
    /// What a rule that is only observed would have dropped it for.
    pub(super) observed: Option<Reason>,
    /// The class that this is counted in.
    pub(super) observed_class: u8,
    pub(super) class: u8,
    pub(super) dropped: bool,
    /// What was judged last, if it was not the frame's own packet.
    pub(super) within: Option<Place>,
}

/// Where a tunnel carries a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Ip = 1,
    Ethernet = 2,
}

/// The reference, with what it remembers of earlier packets of the same world.
#[derive(Default)]
pub(super) struct Reference {
    budgets: Arrivals<Budget>,
    sources: Table,
}

/// The budget of DHCP, which is no class's: 100 messages a second.
const DHCP: Budget = (CLASS_NONE, PACKETS, false);
const DHCP_RATE: Rate = Rate { interval_ns: 10_000_000, burst: 100 };

/// How a source or a prefix was found.
enum Charged {
    Within,
    /// Over its limit, which does not count, nor those of wider prefixes.
    Excused,
    Over(Reason),
}

/// What is known of a packet on its way.
struct Judged<'w> {
    world: &'w World,
    observed: Option<Reason>,
    /// Where that was noted of the packet around the one that is judged: the outer one's class.
    observed_outside: Option<u8>,
    class: u8,
    within: Option<Place>,
}

impl Judged<'_> {
    /// Whether a rule's verdict holds; that of one which is only observed is noted, the first one.
    fn holds(&mut self, reason: Reason) -> bool {
        let class = self.world.classes.get(&self.class);
        if !self.world.observed.contains(&reason) && !class.is_some_and(|class| class.observe) {
            return true;
        }
        self.observed = self.observed.or(Some(reason));
        false
    }
}

impl Reference {
    /// Judges a frame that comes in at `now`.
    pub(super) fn judge(&mut self, world: &World, frame: &[u8], now: u64) -> Judgement {
        let mut judged =
            Judged { world, observed: None, observed_outside: None, class: CLASS_NONE, within: None };
        let reason = self.reason(&mut judged, frame, now);
        let passes = passes(reason);
        Judgement {
            within: judged.within,
            reason,
            observed: judged.observed,
            observed_class: judged.observed_outside.unwrap_or(judged.class),
            class: judged.class,
            dropped: !passes && world.enforce,
        }
    }

    fn reason(&mut self, judged: &mut Judged<'_>, frame: &[u8], now: u64) -> Reason {
        let world = judged.world;
        let packet = match packet::read(frame) {
            Ok(Carried::Arp) => return Reason::Essential,
            Ok(Carried::Other) => return Reason::NotIp,
            Ok(Carried::Ip(packet)) => packet,
            Err(malformed) => return malformed,
        };
        if is_neighbour_discovery(&packet)
            || (is_dhcp(&packet) && self.budgets.charge(DHCP, now, DHCP_RATE, 2, 1))
        {
            return Reason::Essential;
        }
        let reason = self.steps(judged, &packet, frame, now);
        match packet::tunnel(world, &packet) {
            Some(kind) if passes(reason) => self.inside(judged, kind, &packet, frame, now).unwrap_or(reason),
            _ => reason,
        }
    }

    /// What a tunnel carries is judged once more, by all but what keeps a host alive; `None` if it is nothing that could be.
    fn inside(
        &mut self,
        judged: &mut Judged<'_>,
        kind: Tunnel,
        outer: &Packet,
        frame: &[u8],
        now: u64,
    ) -> Option<Reason> {
        judged.observed_outside = judged.observed.map(|_| judged.class);
        let (packet, place) = match packet::within(kind, outer) {
            Ok(Within::Nothing) => return None,
            Ok(Within::Ip(packet)) => (packet, Place::Ip),
            Ok(Within::Bridged(packet)) => (packet, Place::Ethernet),
            Err(malformed) => {
                judged.class = CLASS_NONE;
                return Some(malformed);
            }
        };
        (judged.class, judged.within) = (CLASS_NONE, Some(place));
        if packet::tunnel(judged.world, &packet).is_some() && judged.holds(Reason::NestedTunnel) {
            return Some(Reason::NestedTunnel);
        }
        Some(self.steps(judged, &packet, frame, now))
    }

    fn steps(&mut self, judged: &mut Judged<'_>, packet: &Packet, frame: &[u8], now: u64) -> Reason {
        let world = judged.world;
        for step in [lists, legitimacy, sockets] {
            // On a link of a tunnel's, who has no address may ask for one; and its sockets need not be this host's.
            let bridged = judged.within == Some(Place::Ethernet);
            if let Some(reason) = step(world, packet, now)
                && !(bridged
                    && (reason == Reason::BogonSource && asks_for_address(packet) || is_of_sockets(reason)))
                && judged.holds(reason)
            {
                return reason;
            }
        }
        judged.class = class_of(world, packet);
        let units = units(packet, frame);
        self.limits(judged, packet.source, units, now).unwrap_or(Reason::Passed)
    }

    /// Totals are asked first and charged last; in between the source pays, then its prefixes, the narrow ones first. A limit
    /// that is only observed is noted, and stands in nothing's way.
    fn limits(
        &mut self,
        judged: &mut Judged<'_>,
        source: IpAddr,
        units: [u64; 3],
        now: u64,
    ) -> Option<Reason> {
        let (world, number) = (judged.world, judged.class);
        let class = &world.classes[&number];
        if class.closed && judged.holds(Reason::ClassClosed) {
            return Some(Reason::ClassClosed);
        }
        let proven = is_proven(world, source, now);
        let totals = [Reason::TotalPackets, Reason::TotalBytes, Reason::TotalConnections];
        for (dimension, rate) in counted(&class.total, units) {
            let units = units[dimension];
            let has = self.budgets.has((number, dimension, false), now, rate, 2, units);
            if !has
                && !self.reserve_has(world, number, dimension, units, now, proven)
                && judged.holds(totals[dimension])
            {
                return Some(totals[dimension]);
            }
        }
        for level in 0..class.per_source.len() {
            let Some(prefix) = cut(source, world.levels[level]) else { continue };
            match self.charge(judged, Payer { class: number, level, prefix }, units, now, proven) {
                Charged::Within => {}
                Charged::Excused => break,
                Charged::Over(reason) => return Some(reason),
            }
        }
        for (dimension, rate) in counted(&class.total, units) {
            let units = units[dimension];
            if !self.budgets.charge((number, dimension, false), now, rate, 2, units)
                && !self.charge_reserve(world, number, dimension, units, now, proven)
                && judged.holds(totals[dimension])
            {
                return Some(totals[dimension]);
            }
        }
        None
    }

    fn charge(
        &mut self,
        judged: &mut Judged<'_>,
        payer: Payer,
        units: [u64; 3],
        now: u64,
        proven: bool,
    ) -> Charged {
        let reasons = match payer.level {
            0 => [Reason::SourcePackets, Reason::SourceBytes, Reason::SourceConnections],
            _ => [Reason::PrefixPackets, Reason::PrefixBytes, Reason::PrefixConnections],
        };
        let world = judged.world;
        for (dimension, rate) in counted(&world.classes[&payer.class].per_source[payer.level], units) {
            if !self.sources.charge(world, payer, dimension, rate, now, units[dimension]) {
                // Who has proved itself is not held to what its neighbours do.
                if payer.level > 0 && proven {
                    return Charged::Excused;
                }
                if judged.holds(reasons[dimension]) {
                    return Charged::Over(reasons[dimension]);
                }
            }
        }
        Charged::Within
    }

    /// Everybody may have of the reserve what lies above half of its burst, proven sources all of it.
    fn reserve_has(
        &self,
        world: &World,
        class: u8,
        dimension: usize,
        units: u64,
        now: u64,
        proven: bool,
    ) -> bool {
        let Some(rate) = world.classes[&class].reserve[dimension] else { return false };
        self.budgets.has((class, dimension, true), now, rate, if proven { 2 } else { 1 }, units)
    }

    fn charge_reserve(
        &mut self,
        world: &World,
        class: u8,
        dimension: usize,
        units: u64,
        now: u64,
        proven: bool,
    ) -> bool {
        let Some(rate) = world.classes[&class].reserve[dimension] else { return false };
        self.budgets.charge((class, dimension, true), now, rate, if proven { 2 } else { 1 }, units)
    }
}

/// The dimensions that have a limit and that the packet counts in.
fn counted(rates: &Rates, units: [u64; 3]) -> impl Iterator<Item = (usize, Rate)> + use<> {
    let rates = *rates;
    (0..3).filter(move |&dimension| units[dimension] > 0).filter_map(move |d| rates[d].map(|rate| (d, rate)))
}

/// What a packet costs.
fn units(packet: &Packet, frame: &[u8]) -> [u64; 3] {
    let mut units = [0; 3];
    units[PACKETS] = 1;
    units[BYTES] = frame.len().min(65_535) as u64;
    units[CONNECTIONS] = packet.opens_connection().into();
    units
}

fn is_proven(world: &World, source: IpAddr, now: u64) -> bool {
    let until = cut(source, world.levels[0]).and_then(|source| world.proven.get(&source));
    until.is_some_and(|until| until.is_none_or(|until| until > now))
}

fn passes(reason: Reason) -> bool {
    [Reason::Passed, Reason::Allowed, Reason::Essential, Reason::NotIp].contains(&reason)
}

fn asks_for_address(packet: &Packet) -> bool {
    packet.source.is_unspecified() && (is_neighbour_discovery(packet) || is_dhcp(packet))
}

fn is_of_sockets(reason: Reason) -> bool {
    [Reason::NoListener, Reason::NoConnection, Reason::Amplification, Reason::NoSocket].contains(&reason)
}

/// RFC 4861 section 11.2 and RFC 6980: from the link itself, and never in fragments.
fn is_neighbour_discovery(packet: &Packet) -> bool {
    packet.protocol == ICMPV6
        && packet.part == Part::Whole
        && packet.hop_limit == 255
        && matches!(packet.transport, Transport::Icmp { kind: 133..=137, code: 0 })
}

/// RFC 2131, and a relay's messages to a server; RFC 8415.
fn is_dhcp(packet: &Packet) -> bool {
    let Transport::Udp { from, to } = packet.transport else { return false };
    let pairs: &[(u16, u16)] =
        if packet.source.is_ipv4() { &[(67, 68), (68, 67), (67, 67)] } else { &[(546, 547), (547, 546)] };
    packet.part == Part::Whole && pairs.contains(&(from, to))
}

/// The longest prefix that has not expired; of the same one allow beats ban beats deny.
fn lists(world: &World, packet: &Packet, now: u64) -> Option<Reason> {
    let alive = |entry: &&Listed| entry.until_ns.is_none_or(|until| until > now);
    let entries = world.dynamic.iter().chain(&world.filed).filter(alive);
    let holds = entries
        .filter(|entry| entry.prefix.contains(&packet.source))
        .max_by_key(|entry| (entry.prefix.prefix_len(), entry.verdict))?;
    Some(match holds.verdict {
        Verdict::Allow => Reason::Allowed,
        Verdict::Ban => Reason::Banned,
        Verdict::Deny => Reason::Denied,
    })
}

/// What no honest sender sends, in the order in which the documentation has it.
fn legitimacy(world: &World, packet: &Packet, _: u64) -> Option<Reason> {
    if packet.source == packet.destination {
        return Some(Reason::Land);
    }
    if is_nobodys(packet.source) {
        return Some(Reason::BogonSource);
    }
    if packet.part != Part::Whole && world.drop_fragments {
        return Some(Reason::Fragment);
    }
    if packet.ports().is_some_and(|(from, to)| from == 0 || to == 0) {
        return Some(Reason::PortZero);
    }
    let Transport::Tcp { flags, .. } = packet.transport else { return None };
    let [fin, syn, rst, ack] = [0x01, 0x02, 0x04, 0x10].map(|bit| flags & bit != 0);
    let sent = match (syn, rst, fin) {
        (true, false, false) => true,
        (true, ..) => false,
        (false, true, false) => true,
        (false, ..) => ack,
    };
    (!sent).then_some(Reason::TcpFlags)
}

fn is_nobodys(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            first == 0 || address.is_loopback() || address.is_multicast() || first >= 240
        }
        IpAddr::V6(address) => address.is_unspecified() || address.is_loopback() || address.is_multicast(),
    }
}

/// Role `host`: nothing for which there is no socket. (All of them are there in a simulation, or none.)
fn sockets(world: &World, packet: &Packet, _: u64) -> Option<Reason> {
    if !world.host || world.sockets {
        return None;
    }
    match packet.transport {
        Transport::Tcp { .. } if packet.opens_connection() => Some(Reason::NoListener),
        Transport::Tcp { .. } => Some(Reason::NoConnection),
        Transport::Udp { from, .. } if world.amplifiers.contains(&from) => Some(Reason::Amplification),
        Transport::Udp { .. } if world.udp_needs_socket => Some(Reason::NoSocket),
        _ => None,
    }
}

/// By destination port, where there is one; UDP from amplifiers that no port claims has a class of its own.
fn class_of(world: &World, packet: &Packet) -> u8 {
    if packet.part == Part::Later {
        return world.fragments_class;
    }
    match (packet.protocol, packet.ports()) {
        (TCP, Some((_, to))) => world.by_tcp_port.get(&to).copied().unwrap_or(DEFAULT),
        (UDP, Some((from, to))) => match world.by_udp_port.get(&to) {
            Some(class) => *class,
            None if world.amplifiers.contains(&from) => world.answers_class,
            None => world.udp_class,
        },
        (protocol, _) => world.by_protocol.get(&protocol).copied().unwrap_or(DEFAULT),
    }
}
