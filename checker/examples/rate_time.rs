//! What a rate, a quota and a brake cost a request while their tables are full: asked by one of those that the table knows, and by one that it does not, for whom
//! somebody else is forgotten.
//!
//! `cargo run --release -p stopbank-checker --example rate_time`
#![expect(clippy::unwrap_used, reason = "figures that cannot be had are no figures")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use stopbank_checker::rates::{Ask, Attempt, Brake, BrakeRule, Health, Key, Rates, Rule, Time};

/// Time stands still, so that nobody's request is forgotten for its age.
const NOW: Duration = Duration::from_secs(1000);
const KEY: Key = Key(*b"not so random 16");
/// A round, of which the median counts, so that one in which the machine did something else says nothing.
const PER_ROUND: u64 = 20_000;
const ROUNDS: u64 = 51;
/// Apart from one another by this, identities come in an order that no cache foresees. It is odd: whatever power of two there are of them, each comes.
const APART: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(serde::Deserialize)]
struct File {
    rate: Vec<Rule>,
}

/// Nanoseconds that `act` takes with one of the identities from `first` on, of which there are `count`.
fn median(first: u64, count: u64, mut act: impl FnMut(u64)) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let begun = Instant::now();
            for number in 0..PER_ROUND {
                act(first + (round * PER_ROUND + number).wrapping_mul(APART) % count);
            }
            begun.elapsed().as_secs_f64() * 1e9 / PER_ROUND as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// How long it takes by those that are known, and by others, once so many are known that the table is full.
fn measure(name: &str, room: u64, mut act: impl FnMut(u64), health: impl Fn() -> Health) {
    // Those that meet in one place are forgotten for others; as many again fill the places that were left.
    (0..2 * room).for_each(&mut act);
    let before = health();
    let full = before.occupied as f64 / before.room as f64;
    assert!(full > 0.95 || name.starts_with("brake"), "{name}: {} of {}", before.occupied, before.room);
    let known = median(room + room / 2, room / 2, &mut act);
    let forgotten = health().forgotten;
    let new = median(2 * room, u64::MAX / 4, &mut act);
    // What is said of newcomers is true of newcomers.
    assert!(health().forgotten - forgotten > ROUNDS * PER_ROUND * 9 / 10, "{name}");
    println!(
        "| {name} | {} | {:.1} | {known:.0} | {new:.0} |",
        before.room,
        before.memory as f64 / f64::from(1 << 20)
    );
}

fn main() {
    println!("| rule | room for | MiB | known, ns | new, ns |\n| --- | ---: | ---: | ---: | ---: |");
    for (name, limit) in [
        ("rate", "spike = \"1000/m\"\nburst = 1000"),
        ("quota, calendar", "quota = \"1000000/d\""),
        ("quota, flexible", "quota = \"1000000/d\"\nwindow = \"flexible\""),
        ("quota, rolling", "quota = \"1000000/d\"\nwindow = \"rolling\""),
    ] {
        let file: File = toml::from_str(&format!("[[rate]]\nname = \"a\"\nby = \"token\"\n{limit}")).unwrap();
        let room = file.rate[0].tracked() as u64;
        let rates = Rates::new(file.rate, KEY).unwrap();
        let time = Time { monotonic: NOW, wall: NOW + Duration::from_secs(1_700_000_000) };
        let act = |number: u64| {
            let identity = &number.to_le_bytes();
            let ask = Ask { rule: 0, identity, class: None, weight: 1 };
            assert!(black_box(rates.judge(black_box(&[ask]), time))[0].admitted, "{name}: {number}");
        };
        measure(name, room, act, || rates.health(time).next().unwrap().1);
    }
    // Who fails at an account, from an origin, with a credential of its own: three tables, and a fourth that is looked into.
    let rule = BrakeRule { free: 1 << 20, shared_free: 1 << 20, ..BrakeRule::default() };
    let room = rule.identities as u64;
    let brake = Brake::new(rule, KEY);
    let act = |number: u64| {
        let bytes = number.to_le_bytes();
        let attempt = Attempt { account: &bytes, origin: Some(&bytes), credential: Some(&bytes) };
        black_box(brake.begin(black_box(&attempt), NOW)).unwrap();
    };
    measure("brake, a failed attempt", room, act, || brake.health(NOW));
}
