//! The proxy under hostile load: whatever some clients and servers do, others are served, and its memory stays bounded. One attack after the
//! other, so that each has its own figures; `cargo test --release -p stopbank-checker --test hostile` prints them.
//!
//! What is asserted holds on a busy machine, too: that everybody else is answered, not how soon.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod clients;
#[path = "../proxy/frames.rs"]
#[expect(dead_code, reason = "the other test reads answers as well")]
mod frames;
mod http2;
mod others;
#[path = "../proxy/servers.rs"]
#[expect(dead_code, reason = "the other test starts more servers")]
mod servers;
mod upstreams;

use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use crate::{
    others::watch,
    servers::{Proxy, Setup, upstream},
};

/// How long each attack lasts, from when it is under way.
const LASTS: Duration = Duration::from_secs(2);
/// Fewest requests of others for which there is anything to say: one of each.
const FEWEST: usize = 4;

/// An attack.
struct Attack {
    name: &'static str,
    /// What it does until it is told to stop.
    does: fn(&Proxy, &dyn Fn() -> bool),
    /// MiB that the proxy may have in memory meanwhile.
    mebibytes: usize,
}

const fn attack(name: &'static str, does: fn(&Proxy, &dyn Fn() -> bool), mebibytes: usize) -> Attack {
    Attack { name, does, mebibytes }
}

const ATTACKS: &[Attack] = &[
    attack("no attack", clients::none, 48),
    attack(IDLE, clients::idle, 160),
    attack("1,000 heads, a byte at a time", clients::slow_heads, 64),
    attack("1,000 bodies, a byte at a time", clients::slow_bodies, 64),
    attack("100 answers of 8 MiB that nobody reads", clients::slow_readers, 64),
    attack("heads without end", clients::endless_heads, 48),
    attack("an upstream that is dead", upstreams::dead, 48),
    attack("an upstream that says nothing, 500 times", upstreams::silent_answers, 64),
    attack("an upstream that answers garbage", upstreams::garbage, 48),
    attack("an upstream whose answer does not end", upstreams::endless, 48),
    attack("HTTP/2: rapid reset", http2::rapid_reset, 48),
    attack("HTTP/2: CONTINUATION without end", http2::continuation, 48),
    attack("HTTP/2: SETTINGS and PING", http2::control_frames, 48),
    attack("HTTP/2: HPACK bombs", http2::hpack_bomb, 48),
    attack("HTTP/2: 10,000 streams whose window stays shut", http2::shut_windows, 256),
];

/// The attack that is about how many connections an address may have. For the others they are as many as by default.
const IDLE: &str = "more idle connections than an address may have";
const CONNECTIONS: usize = 1_000;

fn main() {
    let mut arguments = Arguments::from_args();
    // Each attack is alone.
    arguments.test_threads = Some(1);
    let trials = ATTACKS.iter().map(|attack| {
        Trial::test(format!("others are served: {}", attack.name), || {
            held(attack);
            Ok(())
        })
    });
    println!("| attack | others' requests | served | p50 ms | p99 ms | proxy's MiB | its descriptors | |");
    println!("|---|--:|--:|--:|--:|--:|--:|---|");
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn held(attack: &Attack) {
    let servers = upstreams::Servers::start();
    let most = if attack.name == IDLE { clients::most() } else { CONNECTIONS };
    let rest = upstream("dead", servers.dead, "paths = [\"/dead\"]")
        + &upstream("silent", servers.silent, "paths = [\"/silent\"]")
        + &upstream("garbage", servers.garbage, "paths = [\"/garbage\"]")
        + &upstream("endless", servers.endless, "paths = [\"/endless\"]")
        + &upstream("good", servers.good, "")
        + &format!("[limits]\nconnections = {}\nconnections_per_address = {most}\n", most + clients::BEYOND);
    let mut setup = Setup::new(rest);
    setup.listen = "h2c = true".to_owned();
    let proxy = setup.start();
    let seen = watch(&proxy, |stop| (attack.does)(&proxy, stop));
    let mebibytes = seen.resident >> 10;
    let wrong = match &seen.first {
        Some(failure) => Some(format!("{} requests of others were not served: {failure}", seen.failed)),
        None if seen.served() < FEWEST => Some(format!("others made {} requests only", seen.served())),
        None if mebibytes >= attack.mebibytes => Some(format!("{mebibytes} MiB in memory")),
        // One in front and one behind for each connection, as the proxy asks the system for them.
        None if seen.descriptors > 2 * (most + clients::BEYOND) + 64 => {
            Some(format!("{} descriptors", seen.descriptors))
        }
        None => None,
    };
    let verdict = if wrong.is_none() { "held" } else { "FAILED" };
    println!("\n| {} | {} | {verdict} |", attack.name, seen.row());
    assert_eq!(wrong, None, "{}", attack.name);
}
