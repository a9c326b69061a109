//! Ten million identities that ask for one object each, beside one that reads what it always reads, one that walks and one that picks at random: memory, time, and
//! what each was given.
//!
//! `cargo run --release -p stopbank-checker --example enumeration [-- IDENTITIES]`
#![expect(clippy::unwrap_used, reason = "figures that cannot be had are no figures")]

use std::{
    fs,
    time::{Duration, Instant},
};

use stopbank_checker::rates::{Enumeration, EnumerationRule, Key};

/// New identities in a second of the simulated time, and requests of each of the three.
const PER_SECOND: u64 = 100_000;
const OWN: u64 = 50;

/// What the process holds, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    let identities: u64 = std::env::args().nth(1).map_or(10_000_000, |argument| argument.parse().unwrap());
    let rule = EnumerationRule { distinct: Some(200), walk: Some(50), ..EnumerationRule::default() };
    let stated = rule.memory();
    let before = resident();
    let known = Enumeration::new(rule, Key(*b"not so random 16"));
    let (mut spent, mut refused) = (Duration::ZERO, 0_u64);
    // Asked, and given.
    let mut own = [("reads 30 again and again", 0_u64, 0_u64), ("walks", 0, 0), ("picks at random", 0, 0)];
    for number in 0..identities {
        let now = Duration::from_nanos(number * (1_000_000_000 / PER_SECOND));
        let begun = Instant::now();
        refused += u64::from(known.ask(&number.to_le_bytes(), "4711", now).is_err());
        spent += begun.elapsed();
        if number % (PER_SECOND / OWN) != 0 {
            continue;
        }
        let turn = number / (PER_SECOND / OWN);
        let picked = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for ((who, asked, given), id) in own.iter_mut().zip([turn * 7 % 30 * 1_000, turn, picked]) {
            *asked += 1;
            *given += u64::from(known.ask(who.as_bytes(), &id.to_string(), now).is_ok());
        }
    }
    let simulated = identities / PER_SECOND;
    println!("{identities} identities in {simulated} s, one request each: {refused} refused");
    println!(
        "memory: {stated} bytes stated, {} held; resident {} KiB more",
        known.memory(),
        resident() - before
    );
    println!("a newcomer: {} ns", spent.as_nanos() / u128::from(identities));
    for (who, asked, given) in own {
        println!("one that {who}: {given} of {asked}");
    }
    println!("{:?}", known.health(Duration::from_secs(simulated)));
}
