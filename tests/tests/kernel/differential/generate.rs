//! Worlds drawn at random, and the packets that come in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use stopbank_common::{Reason, reason::Kind};

use super::{
    frames::{self, Mill},
    world::{self, Class, DEFAULT, Level, Lines, Listed, Rate, Rates, Tunnel, Verdict},
};
use crate::rig::{LINES, Random};

/// Between the beginnings of two worlds, in nanoseconds: more than any of their rates remembers.
const APART: u64 = 86_400_000_000_000;

/// A frame, and when it comes in.
pub(super) struct Arrival {
    pub(super) frame: Vec<u8>,
    pub(super) at_ns: u64,
}

/// What packets are judged by, and the packets.
pub(super) struct World {
    pub(super) world: world::World,
    pub(super) packets: Vec<Arrival>,
}

/// The world of a seed, `number` days after the clock began.
pub(super) fn world(seed: u64, number: u64, packets: usize) -> World {
    let mut random = Random(seed);
    let random = &mut random;
    let sources = sources(random);
    let (begin, gap) = ((number + 1) * APART, pick(random, &[500, 50_000, 1_000_000, 10_000_000]));
    let half = begin + gap * packets as u64 / 2;
    let world = policy(random, &sources, half);
    let mut mill = Mill::new(random, &world, sources);
    let mut at_ns = begin;
    let packets = (0..packets)
        .map(|_| {
            // Bursts at one instant, and pauses.
            at_ns += match random.below(64) {
                0..8 => 0,
                8 => gap * 20,
                _ => random.below(2 * gap as usize) as u64,
            };
            Arrival { frame: mill.frame(random), at_ns }
        })
        .collect();
    World { world, packets }
}

/// One of several.
pub(super) fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())]
}

pub(super) fn one_in(random: &mut Random, n: usize) -> bool {
    random.below(n) == 0
}

/// A few dozen sources, neighbours among them.
fn sources(random: &mut Random) -> Vec<IpAddr> {
    let nets = [0x0a01_0200, 0x0a01_0300, 0x0a01_8000, 0xc000_0200, 0xcb00_7100_u32];
    let v4 = |random: &mut Random| Ipv4Addr::from(pick(random, &nets) | random.below(32) as u32).into();
    let v6 = |random: &mut Random| {
        let (site, subnet) = (random.below(3) as u16, pick(random, &[0, 1, 0x100]));
        Ipv6Addr::new(0x2001, 0xdb8, site, subnet, 0, 0, 0, 1 + random.below(4) as u16).into()
    };
    (0..24).map(|_| v4(random)).collect::<Vec<_>>().into_iter().chain((0..16).map(|_| v6(random))).collect()
}

fn policy(random: &mut Random, sources: &[IpAddr], half: u64) -> world::World {
    let levels = levels(random);
    let classes: BTreeMap<u8, Class> = (DEFAULT..DEFAULT + 7).map(|n| (n, class(random, &levels))).collect();
    let any = |random: &mut Random| DEFAULT + random.below(7) as u8;
    let drops = Reason::ALL.iter().filter(|reason| reason.kind() == Kind::Drop && !reason.is_malformed());
    let drops: Vec<Reason> = drops.copied().collect();
    let observed = if one_in(random, 2) { 0 } else { random.below(8) };
    let udp_class = any(random);
    world::World {
        enforce: !one_in(random, 8),
        drop_fragments: one_in(random, 3),
        host: one_in(random, 2),
        sockets: !one_in(random, 4),
        udp_needs_socket: one_in(random, 2),
        tunnels: [Tunnel::Gre, Tunnel::Ipip, Tunnel::Vxlan]
            .into_iter()
            .filter(|_| !one_in(random, 3))
            .collect(),
        vxlan_ports: pick(random, &[&[4789][..], &[4789, 8080], &[443, 8472, 53, 8080]]).to_vec(),
        observed: (0..observed).map(|_| pick(random, &drops)).collect(),
        amplifiers: frames::AMPLIFIERS.into_iter().filter(|_| !one_in(random, 4)).collect(),
        key: std::array::from_fn(|_| random.next()),
        by_tcp_port: frames::PORTS.into_iter().map(|port| (port, any(random))).collect(),
        // A port of the class of all other ports is as good as unnamed.
        by_udp_port: frames::PORTS
            .into_iter()
            .map(|port| (port, any(random)))
            .filter(|(_, class)| *class != udp_class)
            .collect(),
        by_protocol: frames::PROTOCOLS.into_iter().map(|protocol| (protocol, any(random))).collect(),
        fragments_class: any(random),
        answers_class: any(random),
        udp_class,
        dynamic: dynamic(random, sources, half),
        filed: if one_in(random, 2) { filed(random, sources) } else { Vec::new() },
        proven: proven(random, sources, &levels, half),
        levels,
        classes,
    }
}

fn levels(random: &mut Random) -> Vec<Level> {
    let wider = [(Some(24), Some(48)), (Some(24), None), (None, Some(48)), (Some(16), Some(32))];
    let level = |(ipv4, ipv6)| Level { ipv4, ipv6 };
    let source = level((Some(pick(random, &[32, 32, 28])), Some(pick(random, &[64, 64, 128, 56]))));
    let count = random.below(4);
    std::iter::once(source).chain((0..count).map(|_| level(pick(random, &wider)))).collect()
}

fn class(random: &mut Random, levels: &[Level]) -> Class {
    let mut per_source = Vec::new();
    if !one_in(random, 5) {
        per_source = (0..=random.below(levels.len())).map(|level| rates(random, 10 << (2 * level))).collect();
    }
    let total = if one_in(random, 2) { rates(random, 500) } else { [None; 3] };
    // Only what is limited can be reserved.
    let share = one_in(random, 2);
    let reserve = total.map(|rate| rate.filter(|_| share));
    Class {
        salt: random.next() as u32,
        closed: one_in(random, 16),
        observe: one_in(random, 12),
        per_source,
        total,
        reserve,
        lines: [lines(random, 0, LINES), lines(random, LINES, LINES / 8)],
    }
}

/// All of a part of the table, or so little of it that everybody shares.
fn lines(random: &mut Random, first: u32, all: u32) -> Lines {
    let count = pick(random, &[all, all, 256, 8, 1]);
    Lines { first: first + random.below((all - count + 1) as usize) as u32, count }
}

/// Limits, usually not on everything; `scale` raises bursts.
fn rates(random: &mut Random, scale: u64) -> Rates {
    let units = |random: &mut Random| Rate {
        interval_ns: pick(random, &[1_000, 333_333, 1_000_000, 50_000_000, 5_000_000_000]),
        burst: 1 + random.below(scale as usize) as u64,
    };
    let bytes = |random: &mut Random| Rate {
        interval_ns: pick(random, &[8, 1_000, 12_345, 100_000]),
        burst: pick(random, &[1_514, 9_000, 65_535, 100 * scale * scale]).max(1_514),
    };
    [
        (!one_in(random, 3)).then(|| units(random)),
        one_in(random, 3).then(|| bytes(random)),
        one_in(random, 2).then(|| units(random)),
    ]
}

/// A prefix that a source is in, or one beside it.
fn prefix(random: &mut Random, sources: &[IpAddr]) -> IpNet {
    let source = pick(random, sources);
    let length = match source {
        IpAddr::V4(_) => pick(random, &[8, 16, 17, 23, 24, 25, 28, 30, 31, 32]),
        IpAddr::V6(_) => pick(random, &[16, 32, 40, 48, 55, 64, 112, 127, 128]),
    };
    IpNet::new(source, length).unwrap().trunc()
}

fn verdict(random: &mut Random) -> Verdict {
    pick(random, &[Verdict::Deny, Verdict::Ban, Verdict::Allow])
}

/// Entries of an operator: some end at `half`, or have ended; four do at most, since no more than four expired ones inside
/// each other are looked past.
fn dynamic(random: &mut Random, sources: &[IpAddr], half: u64) -> Vec<Listed> {
    let count = pick(random, &[0, 0, 1, 4, 12]);
    let mut entries = BTreeMap::new();
    for number in 0..count {
        let until_ns = (number < 4 && one_in(random, 2)).then(|| pick(random, &[1, half]));
        let listed = Listed { prefix: prefix(random, sources), verdict: verdict(random), until_ns };
        entries.insert(listed.prefix, listed);
    }
    // More than are looked up without an index.
    if one_in(random, 4) {
        for number in 0..80_u32 {
            let address = Ipv4Addr::from(0x0b00_0000 | number << 8).into();
            let prefix = IpNet::new(address, 24).unwrap();
            entries.insert(prefix, Listed { prefix, verdict: Verdict::Deny, until_ns: None });
        }
    }
    entries.into_values().collect()
}

/// Entries of files: none of them ends, and none is a ban.
fn filed(random: &mut Random, sources: &[IpAddr]) -> Vec<Listed> {
    (0..1 + random.below(12))
        .map(|_| {
            let verdict = pick(random, &[Verdict::Deny, Verdict::Allow]);
            Listed { prefix: prefix(random, sources), verdict, until_ns: None }
        })
        .collect()
}

fn proven(
    random: &mut Random,
    sources: &[IpAddr],
    levels: &[Level],
    half: u64,
) -> BTreeMap<IpAddr, Option<u64>> {
    let chosen: BTreeSet<IpAddr> = (0..random.below(12)).map(|_| pick(random, sources)).collect();
    let cut = |address| IpNet::new(address, levels[0].of(address).unwrap()).unwrap().network();
    chosen.into_iter().map(|source| (cut(source), one_in(random, 2).then_some(half))).collect()
}
