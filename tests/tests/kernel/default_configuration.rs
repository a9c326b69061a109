//! What the built-in configuration makes of floods, and of an ordinary day.

use libtest_mimic::Trial;
use stopbank::{
    capture::Capture,
    config::Config,
    simulate::{Pace, Report, Settings, Simulation},
};
use stopbank_tests::captures::{Scenario, benign, floods};

/// Downloads that are above the default limit of packets for one source; they are shown, and not asked to pass.
const ABOVE: [&str; 1] = ["download-1-gbit"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("the built-in configuration drops nothing of an ordinary day", ordinary_day),
        crate::trial("the built-in configuration stops floods that one limit can stop", flooded),
        crate::trial("the built-in configuration stops one source's SYNs to an open port", flooded_open_port),
    ]
}

/// `assume_sockets`: on an ordinary day what comes in is for sockets that there are; of floods, nothing is.
fn judged(scenario: &Scenario, assume_sockets: bool) -> Report {
    let pcap = (scenario.make)();
    let settings = Settings { config: Config::builtin(), pace: Pace::Original, assume_sockets };
    let mut capture = Capture::open(pcap.bytes()).unwrap();
    let report = Simulation::new(&settings).unwrap().run(&mut capture, |_| Ok(())).unwrap();
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

fn ordinary_day() {
    for scenario in benign() {
        let report = judged(&scenario, true);
        assert!(report.packets >= 80, "{}", scenario.name);
        assert!(
            report.dropped == 0 || ABOVE.contains(&scenario.name),
            "{}: {:?}",
            scenario.name,
            report.reasons
        );
    }
}

fn flooded() {
    for scenario in floods() {
        let report = judged(&scenario, false);
        let dropped = report.dropped as f64 / report.packets as f64;
        let least = match scenario.name {
            // Nothing of it is for anybody.
            "malformed" => 1.0,
            name if ["syn", "ack", "rst"].iter().any(|kind| name.starts_with(kind)) => 1.0,
            // First fragments; later ones belong to no port.
            "dns-reflection-fragments" => 0.33,
            name if name.ends_with("reflection") => 1.0,
            // A burst of a second's worth passes at first, and the flood lasts for a second.
            "udp-one" | "udp6-one" | "udp6-one-64" | "icmp-one" => 0.49,
            _ => 0.0,
        };
        assert!(
            dropped >= least,
            "{}: {dropped} of at least {least} dropped: {:?}",
            scenario.name,
            report.reasons
        );
    }
}

fn flooded_open_port() {
    for scenario in floods().into_iter().filter(|scenario| scenario.name.starts_with("syn")) {
        let report = judged(&scenario, true);
        // Of one source its burst of 200, and 100 in the second that the flood lasts.
        assert!(scenario.name != "syn-one" || report.passed <= 301, "{:?}", report.reasons);
    }
}
