//! The program as `stopbank simulate` loads it: by a clock of its own, telling each verdict.

use libtest_mimic::Trial;
use stopbank::datapath::{Datapath, LONGEST, Options, SHORTEST, Simulation};
use stopbank_common::{
    Reason,
    gcra::Dimension,
    policy::{MODE_OBSERVE, ROLE_HOST},
    simulation::Trace,
};
use stopbank_tests::frames::FrameBuilder;

use crate::rig::{self, DROP, PASS, Rules, per_second};

const DNS: u8 = 2;
const SECOND: u64 = 1_000_000_000;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("a simulation's limits go by its own clock, to the nanosecond", clock),
        crate::trial("a simulation tells what the counters count", told),
        crate::trial("a simulation runs frames of every length that the kernel takes", lengths),
        crate::trial("a simulation's sockets exist, or do not, whatever this host has", sockets),
        crate::trial("a program for a network takes neither clock nor verdict from user space", live),
    ]
}

fn load(rules: Rules) -> Datapath {
    let options = Options { simulation: Some(Simulation::default()), ..Options::default() };
    let mut datapath = Datapath::private(&options).unwrap_or_else(|error| panic!("{error}"));
    rig::install(&mut datapath, rules);
    datapath
}

fn frame() -> Vec<u8> {
    FrameBuilder::new("192.0.2.1", "198.51.100.1").udp(40_000, 53).payload(&[0; 86]).build().bytes
}

fn clock() {
    let rules = Rules::new().udp(53, DNS).per_source(DNS, Dimension::Packets, per_second(10, 3));
    let mut datapath = load(rules);
    let start = 3_600 * SECOND;
    let mut passed = Vec::new();
    // 100 packets a second for three seconds.
    for number in 0..300 {
        let trace = datapath.simulate(&frame(), start + number * SECOND / 100).unwrap();
        if trace.action == PASS {
            passed.push(number);
        }
    }
    // A burst of three, then one for every tenth of a second.
    let expected: Vec<u64> = (0..3).chain((1..30).map(|tenth| tenth * 10)).collect();
    assert_eq!(passed, expected);
    let late = start + 1_000 * SECOND;
    for (after, action) in
        [(0, PASS), (0, PASS), (0, PASS), (0, DROP), (SECOND / 10 - 1, DROP), (SECOND / 10, PASS)]
    {
        let trace = datapath.simulate(&frame(), late + after).unwrap();
        assert_eq!(trace.action, action, "{after} ns after the burst");
    }
}

fn told() {
    let rules = || Rules::new().udp(53, DNS).per_source(DNS, Dimension::Packets, per_second(1, 1));
    let mut datapath = load(rules());
    let expect = |datapath: &mut Datapath, reason: Reason, observed: u32, action: u32| {
        let trace = datapath.simulate(&frame(), SECOND).unwrap();
        assert_eq!(trace, Trace { reason: reason as u32, observed, action, class: u32::from(DNS), inner: 0 });
    };
    expect(&mut datapath, Reason::Passed, Trace::NOTHING, PASS);
    expect(&mut datapath, Reason::SourcePackets, Trace::NOTHING, DROP);
    rig::install(&mut datapath, rules().mode(MODE_OBSERVE));
    expect(&mut datapath, Reason::SourcePackets, Trace::NOTHING, PASS);
    assert_eq!(rig::everything(&datapath), 3);
    let mut one_rule = rules();
    one_rule.policy.observed = 1 << Reason::SourcePackets as u64;
    rig::install(&mut datapath, one_rule);
    expect(&mut datapath, Reason::Passed, Reason::SourcePackets as u32, PASS);

    let options = Options { simulation: Some(Simulation::default()), ..Options::default() };
    let mut datapath = Datapath::private(&options).unwrap();
    let trace = datapath.simulate(&frame(), SECOND).unwrap();
    assert_eq!((trace.reason, trace.action), (Reason::NoPolicy as u32, PASS));
}

fn sockets() {
    for (assume_sockets, syn, segment) in
        [(false, Reason::NoListener, Reason::NoConnection), (true, Reason::Passed, Reason::Passed)]
    {
        let options = Options { simulation: Some(Simulation { assume_sockets }), ..Options::default() };
        let mut datapath = Datapath::private(&options).unwrap();
        let mut rules = Rules::new();
        rules.policy.role = ROLE_HOST;
        rules.policy.udp_needs_socket = 1;
        rig::install(&mut datapath, rules);
        let tcp = || FrameBuilder::new("192.0.2.1", "198.51.100.1").tcp(40_000, 443);
        let udp = if assume_sockets { Reason::Passed } else { Reason::NoSocket };
        for (frame, reason) in
            [(tcp().build().bytes, syn), (tcp().flags(0x10).build().bytes, segment), (frame(), udp)]
        {
            assert_eq!(datapath.simulate(&frame, SECOND).unwrap().reason, reason as u32, "{assume_sockets}");
        }
    }
}

fn lengths() {
    let mut datapath = load(Rules::new());
    let mut longest = vec![0; LONGEST];
    longest[12..14].copy_from_slice(&[0x88, 0xcc]);
    for length in [SHORTEST, 15, 60, 1_514, 3_519, 3_520, 3_521, 4_096, 9_014, 65_549, LONGEST] {
        let trace = datapath.simulate(&longest[..length], SECOND).unwrap();
        assert_eq!(trace.reason, Reason::NotIp as u32, "{length} bytes");
    }
    for length in [0, SHORTEST - 1, LONGEST + 1] {
        let error = datapath.simulate(&vec![0; length], SECOND).unwrap_err().to_string();
        assert!(error.contains(&format!("a frame of {length} bytes")), "{error}");
    }
}

fn live() {
    let mut datapath = rig::load(Rules::new());
    let error = datapath.simulate(&frame(), SECOND).unwrap_err().to_string();
    assert!(error.contains("TRACE"), "{error}");
    assert_eq!(rig::everything(&datapath), 0);
}
