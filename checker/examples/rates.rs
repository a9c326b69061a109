//! Ten million identities through a limiter, beside one that keeps to its rate and one that does not: memory, time, and whether the two got what they
//! would have got alone.
//!
//! `cargo run --release -p stopbank-checker --example rates [-- IDENTITIES]`
#![expect(clippy::unwrap_used, reason = "figures that cannot be had are no figures")]

use std::{
    fs,
    time::{Duration, Instant},
};

use stopbank_checker::rates::{Ask, Key, Rates, Rule, Ruling, Time};

/// New identities in a second of the simulated time.
const PER_SECOND: u64 = 100_000;

#[derive(serde::Deserialize)]
struct File {
    rate: Vec<Rule>,
}

fn rates(limit: &str) -> Rates {
    let file: File = toml::from_str(&format!("[[rate]]\nname = \"a\"\nby = \"token\"\n{limit}")).unwrap();
    Rates::new(file.rate, Key(*b"not so random 16")).unwrap()
}

fn judge(rates: &Rates, identity: &[u8], now: u64) -> Ruling {
    let monotonic = Duration::from_nanos(now);
    let time = Time { monotonic, wall: monotonic + Duration::from_secs(1_700_000_000) };
    rates.judge(&[Ask { rule: 0, identity, class: None, weight: 1 }], time)[0]
}

/// What the process holds, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    let identities: u64 = std::env::args().nth(1).map_or(10_000_000, |argument| argument.parse().unwrap());
    println!("{identities} identities, {PER_SECOND} a second, one request each; and one at 4/s, one at 20/s");
    // Each with what it grants in the long run, per second; nothing else is refused in this time but by the first and third.
    for (limit, per_second) in [
        ("spike = \"5/s\"", Some(5.0)),
        ("spike = \"5/s\"\nburst = 10", Some(5.0)),
        ("quota = \"300/m\"\nwindow = \"rolling\"\nidentities = 131072", Some(5.0)),
        ("quota = \"300/m\"\nwindow = \"flexible\"", Some(5.0)),
        ("quota = \"300/m\"", None),
    ] {
        let before = resident();
        let (flooded, alone) = (rates(limit), rates(limit));
        let gap = 1_000_000_000 / PER_SECOND;
        let (mut changed, mut asked, mut passed) = ([0_u64; 2], [0_u64; 2], [0_u64; 2]);
        let mut spent = Duration::ZERO;
        let mut refused_newcomers = 0_u64;
        for number in 0..identities {
            let now = number * gap;
            let begun = Instant::now();
            refused_newcomers += u64::from(!judge(&flooded, &number.to_le_bytes(), now).admitted);
            spent += begun.elapsed();
            for (who, every) in [(0, PER_SECOND / 4), (1, PER_SECOND / 20)] {
                if number.is_multiple_of(every) {
                    let identity = [who as u8];
                    let (expected, found) = (judge(&alone, &identity, now), judge(&flooded, &identity, now));
                    asked[who] += 1;
                    passed[who] += u64::from(found.admitted);
                    changed[who] += u64::from(expected.admitted != found.admitted);
                }
            }
        }
        let resident = resident() - before.min(resident());
        println!(
            "\n{}\n  tables {:.1} MiB each (two: {:.1} MiB more resident), {:.0} ns a request",
            limit.replace('\n', ", "),
            flooded.memory() as f64 / 1048576.0,
            resident as f64 / 1024.0,
            spent.as_nanos() as f64 / identities as f64,
        );
        println!("  newcomers refused: {refused_newcomers}");
        for (who, name) in ["steady", "greedy"].iter().enumerate() {
            println!("  {name}: {} of {} passed, {} verdicts changed", passed[who], asked[who], changed[who]);
        }
        if let Some(rate) = per_second {
            let long = accuracy(limit);
            println!("  in the long run: {long:.4}/s of {rate}/s, {:+.2} %", (long / rate - 1.0) * 100.0);
        }
    }
}

/// What passes in a second of one that asks 50 times a second for two hours, the first minute left out.
fn accuracy(limit: &str) -> f64 {
    let rates = rates(limit);
    let mut passed = 0_u32;
    for number in 0..(50 * 7_260_u64) {
        // Not quite in step with any rate.
        let now = number * 20_000_003;
        let admitted = judge(&rates, b"one", now).admitted;
        if (60_000_000_000..7_260_000_000_000).contains(&now) {
            passed += u32::from(admitted);
        }
    }
    f64::from(passed) / 7_200.0
}
