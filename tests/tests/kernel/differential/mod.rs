//! The loaded program against a plain reference of the whole way of a packet: the same verdict and reason for each of a
//! million generated packets, and the same counts.
//!
//! `STOPBANK_SEED` (a number, as a failure prints it) runs one world again, `STOPBANK_WORLDS` more or fewer of them.

mod compare;
mod frames;
mod generate;
mod reference;
mod world;

use std::{env, time::Instant};

use libtest_mimic::Trial;
use stopbank_common::Reason;

use compare::{Programs, Tallies};

/// Worlds, and packets in each.
const WORLDS: u64 = 100;
const PACKETS: usize = 10_000;
/// Where it begins; each world has the next seed.
const SEED: u64 = 20_262_000;

/// Reasons that no generated packet can have: there is always a policy, and no socket to ask for a cookie; signatures and
/// cookies have tests of their own. (An Ethernet header is cut short in tunnels only.)
const NEVER: [Reason; 4] = [Reason::NoPolicy, Reason::Signature, Reason::BadCookie, Reason::SynCookie];

pub(crate) fn trials() -> Vec<Trial> {
    vec![crate::trial(
        "a million packets in a hundred worlds: the program says of each what a plain reference says",
        million,
    )]
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn million() {
    let chosen = number("STOPBANK_SEED");
    let worlds = number("STOPBANK_WORLDS").unwrap_or(if chosen.is_some() { 1 } else { WORLDS });
    let (begun, mut told) = (Instant::now(), Tallies::new());
    let mut programs = Programs::load();
    for number in 0..worlds {
        let seed = chosen.unwrap_or(SEED) + number;
        let generated = generate::world(seed, number, PACKETS);
        if let Err(difference) = programs.compare(&generated, &mut told) {
            panic!("world {number}, STOPBANK_SEED={seed}: {difference}");
        }
    }
    let packets: u64 = told.values().sum();
    println!("{packets} packets in {:.1} s: {told:?}", begun.elapsed().as_secs_f64());
    if chosen.is_some() || worlds < WORLDS {
        return;
    }
    assert_eq!(packets, WORLDS * PACKETS as u64);
    // What hardly occurs is hardly compared.
    for &reason in Reason::ALL.iter().filter(|reason| !NEVER.contains(reason)) {
        assert!(told.get(&reason).is_some_and(|&packets| packets >= 100), "{reason:?}: {told:?}");
    }
}
