//! What the built-in configuration makes of floods, and of an ordinary day.

use libtest_mimic::Trial;
use stopbank::{
    capture::Capture,
    config::Config,
    simulate::{Pace, Report, Settings, Simulation},
};
use stopbank_tests::{
    captures::{Scenario, benign, floods},
    frames::FrameBuilder,
    pcap::Pcap,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("the built-in configuration drops nothing of an ordinary day", ordinary_day),
        crate::trial("the built-in configuration stops the usual floods of what nobody listens to", || {
            flooded(false);
        }),
        crate::trial("the built-in configuration stops the usual floods of open ports", || flooded(true)),
        crate::trial("the built-in configuration stops one source's 50,000 packets a second", slower),
    ]
}

/// `assume_sockets`: on an ordinary day what comes in is for sockets that there are; of floods, nothing is.
fn judged(scenario: &Scenario, assume_sockets: bool) -> Report {
    let report = run((scenario.make)().bytes(), assume_sockets);
    assert!(report.warnings.is_empty(), "{}: {:?}", scenario.name, report.warnings);
    let share = report.dropped as f64 * 100.0 / report.packets as f64;
    let why =
        report.reasons.iter().map(|(reason, packets)| format!("{reason} {packets}")).collect::<Vec<_>>();
    println!(
        "{:<26} {:>7} packets  {share:>6.2} % dropped  {}",
        scenario.name,
        report.packets,
        why.join(", ")
    );
    report
}

fn run(pcap: &[u8], assume_sockets: bool) -> Report {
    let settings = Settings { config: Config::builtin(), pace: Pace::Original, assume_sockets };
    let mut capture = Capture::open(pcap).unwrap();
    Simulation::new(&settings).unwrap().run(&mut capture, |_| Ok(())).unwrap()
}

fn ordinary_day() {
    for scenario in benign() {
        let report = judged(&scenario, true);
        assert!(report.packets >= 80, "{}", scenario.name);
        assert_eq!(report.dropped, 0, "{}: {:?}", scenario.name, report.reasons);
    }
}

/// How much of a flood is dropped at least, a burst at its beginning included. Each is of 200,000 packets, within a second.
fn least(name: &str, assume_sockets: bool) -> f64 {
    match name {
        // Nothing of it is for anybody.
        "malformed" => 1.0,
        // 6,000 packets of one source pass, 25,000 of all.
        "udp-one" | "udp6-one" | "udp6-one-64" => 0.969,
        name if name.starts_with("udp") => 0.875,
        "icmp-one" => 0.999,
        name if name.starts_with("icmp") => 0.992,
        "gre-65536" => 0.875,
        "fragments-random" => 0.967,
        // What belongs to no socket.
        name if name.starts_with("syn") && !assume_sockets => 1.0,
        name if (name.starts_with("ack") || name.starts_with("rst")) && !assume_sockets => 1.0,
        // First fragments all, later ones for their class.
        "dns-reflection-fragments" => {
            if assume_sockets {
                0.90
            } else {
                0.95
            }
        }
        name if name.ends_with("reflection") && !assume_sockets => 1.0,
        // 1,200 connections of one source, 75,000 of all.
        "syn-one" => 0.99,
        // Taken for segments of connections that there are, as a download's; only one source of so many is limited.
        "ack-one" => 0.37,
        "ack-random" | "ack6-random" | "rst-random" | "syn-ack-reflection" => 0.0,
        name if name.starts_with("syn") => 0.6,
        name if name.ends_with("reflection") => 0.93,
        name => panic!("nobody says what is to become of {name}"),
    }
}

fn flooded(assume_sockets: bool) {
    for scenario in floods() {
        let report = judged(&scenario, assume_sockets);
        let dropped = report.dropped as f64 / report.packets as f64;
        let (name, least) = (scenario.name, least(scenario.name, assume_sockets));
        assert!(dropped >= least, "{name}: {dropped} of at least {least} dropped: {:?}", report.reasons);
    }
}

/// A slower flood, for longer: 50,000 packets a second of one source, for three seconds.
fn slower() {
    for (name, frame, passed) in [
        ("udp", FrameBuilder::new("11.0.0.1", "198.51.100.1").udp(40_000, 27_015), 16_001),
        ("udp6", FrameBuilder::new("2001:db8::1", "2001:db8:ffff::1").udp(40_000, 27_015), 16_001),
        ("quic", FrameBuilder::new("11.0.0.1", "198.51.100.1").udp(40_000, 443), 32_501),
        ("icmp", FrameBuilder::new("11.0.0.1", "198.51.100.1").echo_request(), 401),
        ("gre", FrameBuilder::new("11.0.0.1", "198.51.100.1").protocol(47).payload(&[0; 64]), 32_501),
        ("syn", FrameBuilder::new("11.0.0.1", "198.51.100.1").tcp(40_000, 443), 1_601),
    ] {
        let frame = frame.build();
        let mut pcap = Pcap::default();
        for number in 0..150_000 {
            pcap.packet(number * 20_000, &frame);
        }
        let report = run(pcap.bytes(), true);
        assert!(report.passed <= passed, "{name}: {} passed: {:?}", report.passed, report.reasons);
        assert!(report.passed >= passed * 9 / 10, "{name}: only {} passed", report.passed);
    }
}
