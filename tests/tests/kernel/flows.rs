//! A gateway's flow table, by the clock of a simulation: what goes out is run through the tc program.

use std::time::Duration;

use libtest_mimic::Trial;
use stopbank::{
    config::Flows,
    datapath::{Datapath, Options, Simulation},
};
use stopbank_common::{
    Reason,
    policy::{MODE_OBSERVE, ROLE_GATEWAY, ROLE_HOST},
    simulation::Trace,
};
use stopbank_tests::frames::{Frame, FrameBuilder};

use crate::rig::{self, DROP, PASS, Rules};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 3_600 * SECOND;
const INSIDE: [&str; 2] = ["198.51.100.1", "2001:db8:1::1"];
const OUTSIDE: [&str; 2] = ["192.0.2.7", "2001:db8:7::7"];
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial(
            "flows: connections from inside and from outside are known, and nothing else",
            connections,
        ),
        crate::trial("flows: answers of amplifiers pass to whoever has asked", queries),
        crate::trial("flows: an established flow outlives a flood of SYNs, and ends in time", floods),
        crate::trial("flows: other roles, observe mode and later fragments are left alone", left_alone),
    ]
}

fn rules(role: u32) -> Rules {
    let mut rules = Rules::new();
    rules.policy.role = role;
    rules.policy.amplifiers[0] = 1 << 53;
    rules
}

fn load(lines: u32, rules: Rules) -> Datapath {
    let options = Options {
        flows: Some(Flows { lines, learn: Duration::ZERO }),
        simulation: Some(Simulation::default()),
        ..Options::default()
    };
    let mut datapath = Datapath::private(&options).unwrap_or_else(|error| panic!("{error}"));
    rig::install(&mut datapath, rules);
    datapath
}

/// A segment from outside, or the other way, with a VLAN tag or without.
fn segment(v6: bool, inbound: bool, port: u16, flags: u8, numbers: (u32, u32)) -> Frame {
    let (inside, outside) = (INSIDE[usize::from(v6)], OUTSIDE[usize::from(v6)]);
    let builder = if inbound {
        FrameBuilder::new(outside, inside).tcp(port, 443)
    } else {
        FrameBuilder::new(inside, outside).tcp(443, port)
    };
    let builder = if port % 2 == 1 { builder.vlan(7) } else { builder };
    let mut frame = builder.flags(flags).build();
    let at = frame.transport;
    frame.bytes[at + 4..at + 8].copy_from_slice(&numbers.0.to_be_bytes());
    frame.bytes[at + 8..at + 12].copy_from_slice(&numbers.1.to_be_bytes());
    frame
}

fn reason(datapath: &mut Datapath, frame: &Frame, now: u64) -> (u32, Reason) {
    let trace = datapath.simulate(frame, now).unwrap();
    (trace.action, Reason::from_number(trace.reason as u8).unwrap())
}

const PASSED: (u32, Reason) = (PASS, Reason::Passed);
const NOBODY: (u32, Reason) = (DROP, Reason::NoConnection);

fn connections() {
    let mut datapath = load(1 << 10, rules(ROLE_GATEWAY));
    for v6 in [false, true] {
        for port in [40_000, 40_001] {
            // From outside: only who has seen the SYN-ACK can acknowledge it.
            let syn = segment(v6, true, port, SYN, (7, 0));
            assert_eq!(reason(&mut datapath, &syn, NOW), PASSED);
            for flags in [ACK, SYN | ACK, RST, RST | ACK] {
                assert_eq!(reason(&mut datapath, &segment(v6, true, port, flags, (8, 1_001)), NOW), NOBODY);
            }
            datapath.simulate_send(&segment(v6, false, port, SYN | ACK, (1_000, 8)), NOW).unwrap();
            for wrong in [0, 1_000, 1_002] {
                assert_eq!(reason(&mut datapath, &segment(v6, true, port, ACK, (8, wrong)), NOW), NOBODY);
            }
            assert_eq!(reason(&mut datapath, &segment(v6, true, port, ACK, (8, 1_001)), NOW), PASSED);
            assert_eq!(reason(&mut datapath, &segment(v6, true, port, ACK, (8, 55_555)), NOW), PASSED);
            let neighbour = segment(v6, true, port + 2, ACK, (8, 1_001));
            assert_eq!(reason(&mut datapath, &neighbour, NOW), NOBODY);

            // From inside.
            let answer = segment(v6, true, port + 100, SYN | ACK, (5, 1_001));
            assert_eq!(reason(&mut datapath, &answer, NOW), NOBODY);
            datapath.simulate_send(&segment(v6, false, port + 100, SYN, (1_000, 0)), NOW).unwrap();
            assert_eq!(reason(&mut datapath, &answer, NOW), PASSED);
        }
    }
}

fn queries() {
    let mut datapath = load(1 << 10, rules(ROLE_GATEWAY));
    for v6 in [false, true] {
        let (inside, outside) = (INSIDE[usize::from(v6)], OUTSIDE[usize::from(v6)]);
        let query = FrameBuilder::new(inside, outside).udp(50_000, 53).payload(b"query").build();
        let answer = FrameBuilder::new(outside, inside).udp(53, 50_000).payload(b"answer").build();
        let reflected = FrameBuilder::new(outside, inside).udp(53, 50_001).payload(b"answer").build();
        let other = FrameBuilder::new(outside, inside).udp(54, 50_001).build();
        let dropped = (DROP, Reason::Amplification);
        assert_eq!(reason(&mut datapath, &answer, NOW), dropped);
        datapath.simulate_send(&query, NOW).unwrap();
        assert_eq!(reason(&mut datapath, &answer, NOW), PASSED);
        assert_eq!(reason(&mut datapath, &answer, NOW + 59 * SECOND), PASSED);
        assert_eq!(reason(&mut datapath, &answer, NOW + 121 * SECOND), dropped, "the flow has expired");
        assert_eq!(reason(&mut datapath, &reflected, NOW), dropped);
        assert_eq!(reason(&mut datapath, &other, NOW), PASSED);
        // What a server inside answers is no query, though it goes to an amplifier's port by the look of it.
        datapath.simulate_send(&FrameBuilder::new(inside, outside).udp(50_001, 54).build(), NOW).unwrap();
        assert_eq!(reason(&mut datapath, &reflected, NOW), dropped);
    }
}

fn floods() {
    // Eight flows to a line, and sixteen lines: all of them are asked for a hundred times over.
    let mut datapath = load(16, rules(ROLE_GATEWAY));
    let known = |port| segment(false, true, port, ACK, (8, 1_001));
    for port in 1..=20 {
        datapath.simulate_send(&segment(false, false, port, SYN, (1_000, 0)), NOW).unwrap();
        assert_eq!(reason(&mut datapath, &known(port), NOW), PASSED);
    }
    for port in 1_000..12_800 {
        datapath.simulate_send(&segment(false, false, port, SYN | ACK, (1_000, 1)), NOW + SECOND).unwrap();
    }
    for port in 1..=20 {
        assert_eq!(reason(&mut datapath, &known(port), NOW + 7_000 * SECOND), PASSED, "{port}");
    }
    assert_eq!(reason(&mut datapath, &known(12_799), NOW + 2 * SECOND), PASSED, "the latest can connect");
    assert_eq!(reason(&mut datapath, &known(1_000), NOW + 2 * SECOND), NOBODY, "the first ones have gone");
    for port in 1..=20 {
        assert_eq!(reason(&mut datapath, &known(port), NOW + 14_442 * SECOND), NOBODY, "{port}");
    }
}

fn left_alone() {
    let ack = segment(false, true, 40_000, ACK, (8, 1_001));
    // A role that asks sockets says of its own what it asks; one that asks nobody, nothing.
    let mut datapath = load(1 << 10, rules(0));
    assert_eq!(reason(&mut datapath, &ack, NOW), PASSED);
    let mut datapath = load(1 << 10, rules(ROLE_HOST));
    datapath.simulate_send(&segment(false, false, 40_000, SYN, (1_000, 0)), NOW).unwrap();
    rig::install(&mut datapath, rules(ROLE_GATEWAY));
    assert_eq!(reason(&mut datapath, &ack, NOW), NOBODY, "only a gateway notes what goes out");
    rig::install(&mut datapath, rules(ROLE_GATEWAY).mode(MODE_OBSERVE));
    assert_eq!(reason(&mut datapath, &ack, NOW), (PASS, Reason::NoConnection));
    let mut observed = rules(ROLE_GATEWAY);
    observed.policy.observed = 1 << Reason::NoConnection as u64;
    rig::install(&mut datapath, observed);
    let trace = datapath.simulate(&ack, NOW).unwrap();
    assert_eq!((trace.action, trace.observed), (PASS, Reason::NoConnection as u32));
    assert_ne!(trace.observed, Trace::NOTHING);
    rig::install(&mut datapath, rules(ROLE_GATEWAY));
    let later = FrameBuilder::new(OUTSIDE[0], INSIDE[0]).udp(53, 40_000).fragment(100, false);
    assert_eq!(reason(&mut datapath, &later.payload(&[0; 64]).build(), NOW), PASSED);
}
