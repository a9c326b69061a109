//! Spike arrest and budgets in the kernel, against the arithmetic's promise: burst + rate × time.

use std::{
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use stopbank::datapath::Datapath;
use stopbank_common::{
    Address,
    Reason::*,
    gcra::{Dimension, Limit},
    policy::Level,
};
use stopbank_tests::frames::{Frame, FrameBuilder};

use crate::rig::{self, DROP, PASS, Rules, all_counters, judge, packets, per_second};

const CLASS: u8 = 2;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (family, frame) in [("IPv4", v4(1)), ("IPv6", v6(1))] {
        for (what, dimension) in [("packets", Dimension::Packets), ("bytes", Dimension::Bytes)] {
            for cpus in [1, 2] {
                let frame = frame.clone();
                let name =
                    format!("ten times the limit for 10 s: {what}, {family}, {cpus} CPU(s): within 1 %");
                trials.push(crate::trial(name, move || ten_times(&frame, dimension, cpus)));
            }
        }
    }
    trials.push(crate::trial("two CPUs at full speed never admit on the same token", full_speed));
    trials.push(crate::trial("12/m with burst 1 admits one every 5 s", twelve_a_minute));
    trials.push(crate::trial("connections: SYNs are limited, established segments are not", connections));
    trials.push(crate::trial(
        "a total budget stops random sources, and leaves their sources' state alone",
        total,
    ));
    trials.push(crate::trial("classes and sources have budgets of their own", apart));
    trials.push(crate::trial("IPv6 sources of one /64 share a budget", prefix));
    trials.push(crate::trial(
        "a total's reserve: half of its burst for anybody, the rest for proven sources",
        reserve,
    ));
    trials.push(crate::trial("a prefix's limit holds its sources, but for proven ones", levels));
    trials.push(crate::trial("a limit that is only observed leaves the others in force", observed));
    trials.push(crate::trial("a new policy loses no rate state", swap));
    trials
}

fn v4(host: u8) -> Frame {
    FrameBuilder::new(rig::ip(&format!("192.0.2.{host}")), rig::ip("198.51.100.1"))
        .udp(40_000, 53)
        .payload(&[0; 458])
        .build()
}

fn v6(host: u16) -> Frame {
    let source = rig::ip(&format!("2001:db8:0:{host:x}::1"));
    FrameBuilder::new(source, rig::ip("2001:db8:ffff::1")).udp(40_000, 53).payload(&[0; 438]).build()
}

/// Sends `per_millisecond` frames from each CPU for `time`; how long it really took.
fn flood(datapath: &Datapath, frame: &[u8], per_millisecond: u32, time: Duration, cpus: usize) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for cpu in 0..cpus {
            scope.spawn(move || {
                pin(cpu);
                let mut next = start;
                while start.elapsed() < time {
                    for _ in 0..per_millisecond {
                        // One at a time: for a repeated run the kernel first waits for a grace period.
                        datapath.run(frame, 1).unwrap();
                    }
                    next += Duration::from_millis(1);
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            });
        }
    });
    start.elapsed()
}

fn pin(cpu: usize) {
    // SAFETY: an all-zero cpu_set_t is empty, and the call reads no more than its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &raw const set), 0);
    }
}

fn ten_times(frame: &[u8], dimension: Dimension, cpus: usize) {
    const RATE: u64 = 5_000; // packets a second
    // A second's worth, so that a busy machine which lets the flood wait for a moment costs no token.
    const BURST: u64 = 5_000;
    let unit = if dimension == Dimension::Bytes { frame.len() as u64 } else { 1 };
    let limit = per_second(RATE * unit, BURST * unit);
    let datapath = rig::load(Rules::new().udp(53, CLASS).per_source(CLASS, dimension, limit));
    let took = flood(&datapath, frame, 50 / cpus as u32, Duration::from_secs(10), cpus);
    let passed = packets(&datapath, Passed) as f64;
    let offered = rig::everything(&datapath) as f64;
    let expected = BURST as f64 + RATE as f64 * took.as_secs_f64();
    println!("{offered} offered, {passed} passed, {expected:.1} expected");
    assert!(offered > 8.0 * expected, "a flood of {offered} is none");
    assert!(
        (passed - expected).abs() <= (expected * 0.01).max(1.0),
        "{passed} passed, {expected:.1} expected"
    );
}

fn full_speed() {
    // Slow beside what two CPUs send, so that both are always waiting for the next token.
    const RATE: u64 = 50_000;
    let datapath =
        rig::load(Rules::new().udp(53, CLASS).per_source(CLASS, Dimension::Packets, per_second(RATE, 1)));
    let frame = v4(1);
    let start = Instant::now();
    thread::scope(|scope| {
        for cpu in 0..2 {
            let (datapath, frame) = (&datapath, &frame);
            scope.spawn(move || {
                pin(cpu);
                datapath.run(frame, 15_000_000).unwrap();
            });
        }
    });
    let expected = 1.0 + RATE as f64 * start.elapsed().as_secs_f64();
    let passed = packets(&datapath, Passed) as f64;
    println!("{} offered, {passed} passed, at most {expected:.1}", rig::everything(&datapath));
    // No lower bound: other work on the machine may keep both CPUs from asking in time, and with a burst of 1 a token
    // that nobody asks for is gone.
    assert!(passed <= expected.ceil(), "{passed} passed, {expected:.1} are allowed");
}

fn twelve_a_minute() {
    let limit = Limit::new(12, 60_000_000_000, 1, 1).unwrap();
    let datapath = rig::load(Rules::new().udp(53, CLASS).per_source(CLASS, Dimension::Packets, limit));
    let start = Instant::now();
    let mut admitted = Vec::new();
    while start.elapsed() < Duration::from_millis(10_500) {
        let at = start.elapsed();
        if datapath.run(&v4(1), 1).unwrap().action == PASS {
            admitted.push(at);
        }
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(admitted.len(), 3, "packets admitted in 10.5 s");
    for pair in admitted.windows(2) {
        let gap = (pair[1] - pair[0]).as_secs_f64();
        assert!((4.99..5.5).contains(&gap), "{admitted:?}");
    }
}

fn connections() {
    let limit = per_second(1, 10);
    let datapath = rig::load(Rules::new().tcp(80, CLASS).per_source(CLASS, Dimension::Connections, limit));
    let segment = |flags| FrameBuilder::new("192.0.2.1", "198.51.100.1").tcp(40_000, 80).flags(flags).build();
    datapath.run(&segment(0x02), 1_000).unwrap();
    assert_eq!(packets(&datapath, SourceConnections), 990);
    datapath.run(&segment(0x10), 1_000).unwrap();
    assert_eq!(packets(&datapath, Passed), 1_010, "established segments do not count as connections");
}

fn total() {
    let rules = Rules::new().udp(53, CLASS).per_source(CLASS, Dimension::Packets, per_second(1, 1)).total(
        CLASS,
        Dimension::Packets,
        per_second(1, 50),
    );
    let datapath = rig::load(rules);
    for host in 0..=255 {
        datapath.run(&v4(host), 1).unwrap();
    }
    assert_eq!(packets(&datapath, Passed), 50);
    assert_eq!(packets(&datapath, TotalPackets), 206);
    thread::sleep(Duration::from_millis(1_050));
    // Whom the total turned away has his own budget still.
    assert_eq!(judge(&datapath, &v4(200)).1.reason, Passed);
}

fn apart() {
    let one = per_second(1, 1);
    let rules = Rules::new()
        .udp(53, CLASS)
        .udp(123, CLASS + 1)
        .per_source(CLASS, Dimension::Packets, one)
        .per_source(CLASS + 1, Dimension::Packets, one);
    let datapath = rig::load(rules);
    assert_eq!(judge(&datapath, &v4(1)).1.reason, Passed);
    let (action, counted) = judge(&datapath, &v4(1));
    assert_eq!((action, counted.reason, counted.class), (DROP, SourcePackets, CLASS));
    assert_eq!(judge(&datapath, &v4(2)).1.reason, Passed, "another source");
    let ntp = FrameBuilder::new("192.0.2.1", "198.51.100.1").udp(40_000, 123).build();
    let (_, counted) = judge(&datapath, &ntp);
    assert_eq!((counted.reason, counted.class), (Passed, CLASS + 1), "another class");
}

fn prefix() {
    let rules = Rules::new().udp(53, CLASS).per_source(CLASS, Dimension::Packets, per_second(1, 1));
    let datapath = rig::load(rules);
    let from = |source: &str| FrameBuilder::new(source, "2001:db8:ffff::1").udp(40_000, 53).build();
    assert_eq!(judge(&datapath, &from("2001:db8:0:1::1")).1.reason, Passed);
    assert_eq!(judge(&datapath, &from("2001:db8:0:1:ffff:ffff:ffff:ffff")).1.reason, SourcePackets);
    assert_eq!(judge(&datapath, &from("2001:db8:0:2::1")).1.reason, Passed);
}

fn reserve() {
    let mut rules = Rules::new().udp(53, CLASS).total(CLASS, Dimension::Packets, per_second(1, 10));
    rules.policy.classes[usize::from(CLASS)].reserve[Dimension::Packets as usize] = per_second(1, 10);
    let mut datapath = rig::load(rules);
    let passed = |datapath: &Datapath, host: u8| {
        (0..40).filter(|_| datapath.run(&v4(host), 1).unwrap().action == PASS).count()
    };
    // A second may begin on the way: one more of each part.
    assert!((15..=17).contains(&passed(&datapath, 1)), "ten, and half of the reserve");
    assert_eq!(
        judge(&datapath, &v4(2)).1.reason,
        TotalPackets,
        "another unknown source finds nothing either"
    );
    datapath.prove(rig::ip("192.0.2.2").into(), 0).unwrap();
    assert!((5..=7).contains(&passed(&datapath, 2)), "the other half");
    assert!(datapath.unprove(rig::ip("192.0.2.2").into()).unwrap());
    datapath.prove(rig::ip("192.0.2.3").into(), 1).unwrap();
    thread::sleep(Duration::from_millis(2_050));
    // Two seconds' worth of either part: a source whose proof has ended has the first part's only.
    assert!((2..=3).contains(&passed(&datapath, 3)), "a proof that has ended");
    datapath.prove(rig::ip("192.0.2.3").into(), u64::MAX).unwrap();
    assert!((2..=4).contains(&passed(&datapath, 3)), "and one that has not");
}

fn levels() {
    for (sources, neighbour, to) in [
        (["192.0.2.1", "192.0.2.200", "192.0.2.9"], "192.0.3.1", "198.51.100.1"),
        (["2001:db8::1", "2001:db8:0:0:8::1", "2001:db8::9"], "2001:db8:0:1::1", "2001:db8:ffff::1"),
    ] {
        let mut rules = Rules::new().udp(53, CLASS).per_source(CLASS, Dimension::Packets, per_second(1, 3));
        rules.policy.levels[0].mask_v6 = Address::mask(128);
        rules.policy.levels[1] = Level { mask_v4: Address::mask(96 + 24), mask_v6: Address::mask(64) };
        let class = &mut rules.policy.classes[usize::from(CLASS)];
        class.per_source[1][Dimension::Packets as usize] = per_second(1, 4);
        class.levels |= 0x202;
        let mut datapath = rig::load(rules);
        let from = |source: &str| FrameBuilder::new(source, to).udp(40_000, 53).build();
        let reasons =
            |datapath: &Datapath, source: &str| [0; 4].map(|_| judge(datapath, &from(source)).1.reason);
        assert_eq!(reasons(&datapath, sources[0]), [Passed, Passed, Passed, SourcePackets]);
        assert_eq!(reasons(&datapath, sources[1]), [Passed, PrefixPackets, PrefixPackets, SourcePackets]);
        assert_eq!(reasons(&datapath, neighbour)[0], Passed, "another prefix");
        datapath.prove(rig::ip(sources[2]).into(), 0).unwrap();
        assert_eq!(
            reasons(&datapath, sources[2]),
            [Passed, Passed, Passed, SourcePackets],
            "a proven source"
        );
    }
}

fn observed() {
    let bytes = per_second(1, 1_000);
    let rules = Rules::new()
        .udp(53, CLASS)
        .per_source(CLASS, Dimension::Packets, per_second(1, 1))
        .per_source(CLASS, Dimension::Bytes, bytes)
        .observe(SourcePackets);
    let datapath = rig::load(rules);
    let actions = [0; 3].map(|_| datapath.run(&v4(1), 1).unwrap().action);
    assert_eq!(actions, [PASS, PASS, DROP], "500 bytes each: the third is over its limit on bytes");
    assert_eq!((packets(&datapath, Passed), packets(&datapath, SourceBytes)), (2, 1));

    let rules = Rules::new()
        .udp(53, CLASS)
        .per_source(CLASS, Dimension::Packets, per_second(1, 1))
        .total(CLASS, Dimension::Packets, per_second(1, 2))
        .observe(SourcePackets);
    let datapath = rig::load(rules);
    let actions = [0; 3].map(|_| datapath.run(&v4(1), 1).unwrap().action);
    assert_eq!(actions, [PASS, PASS, DROP], "what a source is let pass is charged to the total");
    assert_eq!(packets(&datapath, TotalPackets), 1);

    let rules = Rules::new()
        .udp(53, CLASS)
        .per_source(CLASS, Dimension::Packets, per_second(1, 2))
        .total(CLASS, Dimension::Packets, per_second(1, 1))
        .observe(TotalPackets);
    let datapath = rig::load(rules);
    let actions = [0; 3].map(|_| datapath.run(&v4(1), 1).unwrap().action);
    assert_eq!(
        actions,
        [PASS, PASS, DROP],
        "a spent total that is only observed leaves the source its limit"
    );
    assert_eq!(packets(&datapath, SourcePackets), 1);
}

fn swap() {
    let rules = || Rules::new().udp(53, CLASS).per_source(CLASS, Dimension::Packets, per_second(1, 3));
    let mut datapath = rig::load(rules());
    datapath.run(&v4(1), 3).unwrap();
    let before = all_counters(&datapath);
    rig::install(&mut datapath, rules());
    assert!(rig::difference(&before, &all_counters(&datapath)).is_empty());
    assert_eq!(judge(&datapath, &v4(1)).1.reason, SourcePackets);
}
