//! What the table of sources promises to bystanders (docs/packet-path.md): with R packets a second from random sources over L
//! lines, one with limit r loses at most the share R / (4 L r) of it.

use std::net::Ipv4Addr;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use libtest_mimic::Trial;
use stopbank::datapath::{Datapath, Options, Simulation};
use stopbank_common::{Reason, gcra::Dimension, policy::Region};
use stopbank_tests::frames::{Frame, FrameBuilder};

use crate::rig::{self, DROP, LINES, Rules, packets, per_second};

/// Changes the source of a frame at random, then calls the program under test.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench-xdp"));
const MUTATOR: &str = "mutate_v4_frags";

const CLASS: u8 = 2;
const SECOND: u64 = 1_000_000_000;
/// Packets from random sources.
const FLOOD: u64 = 10_000_000;
/// How many of them come in a second.
const FLOOD_PER_SECOND: u64 = 1_000_000;
/// How many of them come at once, before the bystanders send what is due.
const AT_ONCE: u32 = 100_000;
/// So many bystanders that none of them stands for all by luck.
const BYSTANDERS: u64 = 16;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial(
            "10 million packets from random sources: a bystander at half of 1000/s loses less than the bound",
            || bystanders(LINES, 1000),
        ),
        // A million a second over 1024 lines push each cell by 244/s.
        crate::trial(
            "10 million packets from random sources: the same where they take four fifths of each cell",
            || bystanders(1 << 10, 305),
        ),
    ]
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
    flood_per_second / (4.0 * f64::from(lines) * limit as f64)
}

/// Bystanders at half their limit lose less of what they send than the bound. All by the clock of a simulation, so that the rates are exact
/// whatever the machine.
fn bystanders(lines: u32, limit: u64) {
    let options = Options { simulation: Some(Simulation::default()), ..Options::default() };
    let mut datapath = Datapath::private(&options).unwrap();
    rig::install(&mut datapath, rules(lines, limit));
    let flood = RandomSources::against(&datapath.program_fd().unwrap());
    let honest: Vec<Frame> =
        (1..=BYSTANDERS).map(|host| frame(Ipv4Addr::new(192, 0, 2, host as u8))).collect();
    let (mut now, interval) = (3600 * SECOND, 2 * SECOND / limit);
    let (mut asked, mut lost) = (0, 0);
    for sent in (u64::from(AT_ONCE)..=FLOOD).step_by(AT_ONCE as usize) {
        // The flood goes by the time at which a bystander spoke last.
        flood.send(AT_ONCE);
        while now < 3600 * SECOND + sent * (SECOND / FLOOD_PER_SECOND) {
            now += interval;
            for frame in &honest {
                lost += u64::from(datapath.simulate(frame, now).unwrap().action == DROP);
                asked += 1;
            }
        }
    }
    let (share, most) = (lost as f64 / asked as f64, bound(FLOOD_PER_SECOND as f64, lines, limit));
    println!(
        "{lines} lines, limit {limit}/s: {BYSTANDERS} bystanders sent {asked} and lost {:.4} %, bound {:.4} %",
        share * 100.0,
        most * 100.0
    );
    assert!(asked > BYSTANDERS * limit, "the flood was over before they had said much: {asked}");
    let counted = packets(&datapath, Reason::Passed) + packets(&datapath, Reason::SourcePackets);
    assert_eq!(counted, FLOOD + asked, "everything went through the table of sources");
    assert!(share < most, "lost {share}, bound {most}");
}
