//! How full a gateway's table gets, held against the arithmetic of docs/decisions/0014-flow-table.md.
#![cfg(test)]

use std::{
    cell::Cell as StdCell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use stopbank_common::{
    Address,
    flow::{CELLS, FULL, KNOWN, Row, UNKNOWN, flow_hash, inbound, outbound, units},
    gcra::Cell,
    hash::HashKey,
    parse::{Facts, protocol, tcp_flags},
};

/// The default of `flows.lines`.
const LINES: usize = 1 << 16;
const KEY: HashKey = HashKey {
    words: [
        0x9e37_79b9_7f4a_7c15,
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
        0x2545_f491_4f6c_dd1d,
        0xd6e8_feb8_6659_fd93,
        0xa076_1d64_78bd_642f,
    ],
};
const NOW: u64 = 1 << 42;

struct Place<'a>(&'a StdCell<u64>);

impl Cell for Place<'_> {
    fn load(&self) -> u64 {
        self.0.get()
    }
    fn replace(&self, current: u64, new: u64) -> bool {
        let same = self.0.get() == current;
        if same {
            self.0.set(new);
        }
        same
    }
}

type Line = [StdCell<u64>; CELLS];

struct Places<'a>(&'a Line);

impl<'a> Row for Places<'a> {
    type Cell = Place<'a>;
    fn at(&self, index: usize) -> Place<'a> {
        Place(&self.0[index])
    }
}

/// A table as the kernel has it: the low bits of a flow's hash are its line.
struct Table(Vec<Line>);

impl Table {
    fn new() -> Self {
        Self((0..LINES).map(|_| Line::default()).collect())
    }

    /// What the table says of a packet from outside.
    fn comes_in(&self, facts: &Facts) -> u32 {
        let hash = flow_hash(&KEY, facts);
        inbound(&Places(&self.0[hash as usize & (LINES - 1)]), hash, facts, units(NOW))
    }

    /// The hosts inside connect to somebody outside, who answers. What the table says of the answer.
    fn establish(&self, from_outside: Facts) -> u32 {
        let mut syn = from_outside;
        core::mem::swap(&mut syn.source, &mut syn.destination);
        core::mem::swap(&mut syn.source_port, &mut syn.destination_port);
        syn.tcp_flags = tcp_flags::SYN;
        let hash = flow_hash(&KEY, &syn);
        outbound(&Places(&self.0[hash as usize & (LINES - 1)]), hash, &syn, units(NOW));
        self.comes_in(&from_outside)
    }

    fn full_lines(&self) -> usize {
        self.0.iter().filter(|line| line.iter().all(|cell| cell.get() != 0)).count()
    }
}

/// An answer from outside.
fn answer(outside: IpAddr, inside: IpAddr, ports: (u16, u16)) -> Facts {
    Facts {
        source: Address::from(outside),
        destination: Address::from(inside),
        source_port: ports.0,
        destination_port: ports.1,
        protocol: protocol::TCP,
        tcp_flags: tcp_flags::SYN | tcp_flags::ACK,
        ..Facts::default()
    }
}

/// Different flows for different numbers. Real ones are anything but random: few hosts inside that take their ports one after the
/// other, and few servers outside that all of them talk to.
fn flow(number: u32, v6: bool) -> Facts {
    let (host, port) = (number / 20_000, 32_768 + (number % 20_000) as u16);
    let server = (number % 50) as u16;
    let (outside, inside) = if v6 {
        (
            IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, server)),
            IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 2, host as u16, 0, 0, 0, 1)),
        )
    } else {
        (
            IpAddr::from(Ipv4Addr::from(0xc633_6400 + u32::from(server))),
            IpAddr::from(Ipv4Addr::from(0x0a00_0001 + host)),
        )
    };
    answer(outside, inside, (443, port))
}

/// Packets of nobody's flow, from everywhere.
fn stranger(number: u32) -> Facts {
    let source = number.wrapping_mul(0x9e37_79b1) & 0x3fff_ffff;
    let inside = IpAddr::from(Ipv4Addr::from(0x0a00_0001 + number % 7));
    answer(IpAddr::from(Ipv4Addr::from(0x4000_0000 + source)), inside, (number as u16 | 1, 33_000))
}

/// Of flows that fall on lines by chance, `mean` to a line: the part of the lines on which there are eight or more, and the part of the
/// flows for which there is no place (a Poisson distribution).
fn odds(mean: f64) -> (f64, f64) {
    let (mut full, mut late) = (0.0, 0.0);
    let mut exactly = (-mean).exp();
    for k in 0..200_u32 {
        if k as usize >= CELLS {
            full += exactly;
            late += f64::from(k - CELLS as u32) * exactly;
        }
        exactly *= mean / f64::from(k + 1);
    }
    (full, late / mean)
}

/// Five standard deviations of a count with this expectation, and a little for counts near zero.
fn near(counted: usize, expected: f64) -> bool {
    (counted as f64 - expected).abs() <= 5.0 * expected.sqrt() + 5.0
}

#[test]
fn lines_fill_as_a_poisson_distribution_says() {
    for v6 in [false, true] {
        for flows in [100_000_u32, 131_072, 262_144] {
            let table = Table::new();
            let late = (0..flows).filter(|&number| table.establish(flow(number, v6)) == FULL).count();
            let (full, without_place) = odds(f64::from(flows) / LINES as f64);
            let lines = table.full_lines();
            let expected = (full * LINES as f64, without_place * f64::from(flows));
            std::println!("{flows} flows: {lines} of {LINES} lines full (expected {:.0})", expected.0);
            std::println!("  {late} flows without a place (expected {:.0})", expected.1);
            assert!(near(lines, expected.0), "{flows} flows: {lines} full lines, not {}", expected.0);
            assert!(near(late, expected.1), "{flows} flows: {late} without a place, not {}", expected.1);

            // Those without a place are let pass as well; everybody else's flow is known.
            let known = (0..flows).filter(|&number| table.comes_in(&flow(number, v6)) == KNOWN).count();
            assert_eq!(known + late, flows as usize);

            // A packet of no flow passes where its line is full, and only there.
            let strangers = 1_000_000;
            let mut said = [0_usize; 3];
            (0..strangers).for_each(|number| said[table.comes_in(&stranger(number)) as usize] += 1);
            let passed = f64::from(strangers) * lines as f64 / LINES as f64;
            assert!(near(said[FULL as usize], passed), "{said:?}: not {passed} passed for want of room");
            assert!(said[KNOWN as usize] <= 1, "{said:?}: a tag of 32 bits was met by chance");
            assert_eq!(
                said[UNKNOWN as usize] + said[FULL as usize] + said[KNOWN as usize],
                strangers as usize
            );
        }
    }
}

#[test]
fn the_documents_odds_are_the_formulas() {
    let one_in = |flows: f64| 1.0 / odds(flows / LINES as f64).0;
    assert!((one_in(100_000.0) - 5_261.0).abs() < 1.0, "{}", one_in(100_000.0));
    assert!((one_in(131_072.0) - 912.0).abs() < 1.0, "{}", one_in(131_072.0));
    assert!((one_in(262_144.0) - 19.6).abs() < 0.05, "{}", one_in(262_144.0));
    let late = odds(262_144.0 / LINES as f64).1;
    assert!((late - 0.0084).abs() < 0.0001, "{late}");
}
