//! What the table of sources promises to bystanders (docs/packet-path.md): with R packets a second from random sources over L
//! lines, one with limit r loses at most the share 2R / (3 L r) of it.

use std::{net::Ipv4Addr, time::Instant};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use libtest_mimic::Trial;
use stopbank_common::{Reason, gcra::Dimension, policy::Region};
use stopbank_tests::frames::{Frame, FrameBuilder};

use crate::rig::{self, DROP, LINES, Rules, packets, per_second};

/// Changes the source of a frame at random, then calls the program under test.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench-xdp"));
const MUTATOR: &str = "mutate_v4_frags";

const CLASS: u8 = 2;
/// Packets from random sources.
const FLOOD: u64 = 10_000_000;
/// How many of them come at once, before the bystanders send what is due.
const AT_ONCE: u32 = 100_000;
/// So many bystanders that none of them stands for all by luck.
const BYSTANDERS: u64 = 16;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial(
            "10 million packets from random sources: a bystander at half of 1000/s loses less than the bound",
            || bystanders(LINES, Limit::PerSecond(1000)),
        ),
        crate::trial(
            "10 million packets from random sources: the same where they take two thirds of each cell",
            || bystanders(1 << 11, Limit::ByTheFlood(1.5)),
        ),
    ]
}

/// A bystander's limit.
enum Limit {
    PerSecond(u64),
    /// So many times what the flood takes of each cell.
    ByTheFlood(f64),
}

/// A flood that is made in the kernel.
struct RandomSources {
    object: Ebpf,
    // The program array holds the program only as long as somebody holds the array.
    _targets: ProgramArray<aya::maps::MapData>,
    frame: Frame,
}

impl RandomSources {
    fn against(program: &ProgramFd) -> Self {
        let mut loader = EbpfLoader::new();
        // What the benchmark's other programs need is not needed here.
        for map in ["LRU_V4", "LRU_V6"] {
            loader.map_max_entries(map, 1);
        }
        let mut object = loader.load(OBJECT).unwrap();
        let mutator: &mut Xdp = object.program_mut(MUTATOR).unwrap().try_into().unwrap();
        mutator.load().unwrap();
        let mut bits: Array<_, u32> = object.take_map("SOURCE_BITS").unwrap().try_into().unwrap();
        bits.set(0, u32::MAX, 0).unwrap();
        let mut targets = ProgramArray::try_from(object.take_map("TARGET_FRAGS").unwrap()).unwrap();
        targets.set(0, program, 0).unwrap();
        Self { object, _targets: targets, frame: frame(Ipv4Addr::new(11, 0, 0, 1)) }
    }

    fn send(&self, count: u32) {
        let mutator: &Xdp = self.object.program(MUTATOR).unwrap().try_into().unwrap();
        let mut options = TestRunOptions::new();
        options.data_in = Some(&self.frame);
        options.repeat = count;
        mutator.test_run(options).unwrap();
    }
}

fn frame(source: Ipv4Addr) -> Frame {
    FrameBuilder::new(source, rig::ip("198.51.100.1")).udp(40_000, 53).build()
}

/// The class's rules, over so many lines of the table.
fn rules(lines: u32, limit: u64) -> Rules {
    let mut rules =
        Rules::new().udp(53, CLASS).per_source(CLASS, Dimension::Packets, per_second(limit, limit));
    rules.policy.classes[usize::from(CLASS)].regions[0] = Region { base: 0, mask: lines - 1 };
    rules
}

/// The share of its limit that a bystander can lose.
fn bound(flood_per_second: f64, lines: u32, limit: u64) -> f64 {
    2.0 * flood_per_second / (3.0 * f64::from(lines) * limit as f64)
}

fn bystanders(lines: u32, limit: Limit) {
    // Nobody is over this limit: how fast the machine is.
    let mut datapath = rig::load(rules(lines, 1_000_000_000));
    let flood = RandomSources::against(&datapath.program_fd().unwrap());
    let limit = match limit {
        Limit::PerSecond(limit) => limit,
        Limit::ByTheFlood(times) => {
            let begin = Instant::now();
            (0..10).for_each(|_| flood.send(AT_ONCE));
            let pace = f64::from(10 * AT_ONCE) / begin.elapsed().as_secs_f64();
            (times * pace * 2.0 / 3.0 / f64::from(lines)) as u64
        }
    };
    rig::install(&mut datapath, rules(lines, limit));
    let honest: Vec<Frame> =
        (1..=BYSTANDERS).map(|host| frame(Ipv4Addr::new(192, 0, 2, host as u8))).collect();
    let (mut sent, mut asked, mut lost) = (0, 0_u64, 0_u64);
    let begin = Instant::now();
    while sent < FLOOD {
        flood.send(AT_ONCE);
        sent += u64::from(AT_ONCE);
        while asked < (begin.elapsed().as_secs_f64() * limit as f64 / 2.0) as u64 {
            for frame in &honest {
                lost += u64::from(datapath.run(frame, 1).unwrap().action == DROP);
            }
            asked += 1;
        }
    }
    let pace = sent as f64 / begin.elapsed().as_secs_f64();
    let (share, most) = (lost as f64 / (asked * BYSTANDERS) as f64, bound(pace, lines, limit));
    println!(
        "{pace:.0} packets/s over {lines} lines, limit {limit}/s: each bystander sent {asked}; lost {:.4} %, bound {:.4} %",
        share * 100.0,
        most * 100.0
    );
    assert!(asked > limit / 2, "the flood was over before a bystander had said much: {asked}");
    let counted = packets(&datapath, Reason::Passed) + packets(&datapath, Reason::SourcePackets);
    assert!(counted >= FLOOD + asked * BYSTANDERS, "the flood went through the table of sources: {counted}");
    assert!(share < most, "lost {share}, bound {most}");
}
