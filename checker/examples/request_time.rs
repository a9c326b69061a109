//! How long the engine takes for each file of some folders, as a request judged by the policy `generic`: the dearest ones, by milliseconds for a KiB.
//! What fuzzing has found is a good folder: its targets allow sixteen times the bound, for the sanitizers.
//!
//! `cargo run --release -p stopbank-checker --example request_time -- fuzz/corpus/request target/fuzz/seeds/request`
#![expect(clippy::unwrap_used, reason = "figures that cannot be had are no figures")]

use std::{env, fs, hint::black_box, path::PathBuf, time::Instant};

use stopbank_checker::{
    Policy,
    engine::{Context, check_bytes},
};

/// Times that each is judged; the shortest counts, which nothing else has disturbed.
const ROUNDS: u32 = 5;

fn main() {
    let policy = Policy::shipped("generic").unwrap();
    let context = Context::default();
    let folders = env::args().skip(1).flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut times: Vec<(f64, usize, PathBuf)> = Vec::new();
    for path in folders.map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&path).unwrap();
        let took = (0..ROUNDS).map(|_| {
            let start = Instant::now();
            black_box(check_bytes(black_box(&bytes), &context, &policy));
            start.elapsed()
        });
        // What is shorter than a KiB counts as one.
        let kibibytes = (bytes.len() as f64 / 1024.0).max(1.0);
        times.push((took.min().unwrap().as_secs_f64() * 1e3 / kibibytes, bytes.len(), path));
    }
    times.sort_by(|one, other| other.0.total_cmp(&one.0));
    println!("{} requests; ms for a KiB, bytes, file:", times.len());
    for (time, length, path) in times.iter().take(10) {
        println!("{time:>8.4} {length:>8} {}", path.display());
    }
}
