//! How long it takes to verify a token for the first time, by algorithm, and one that was verified before; and what a storm of bad ones does.
//!
//! `cargo run --release -p stopbank-checker --example token_time`, or `cargo xtask bench tokens`. Beside them stands what one signature takes OpenSSL, by `openssl speed`
//! of the same minute.
#![expect(clippy::unwrap_used, reason = "an example that cannot set itself up has failed")]
#![expect(dead_code, reason = "the tests need more of it")]

#[path = "../tests/tokens/sign.rs"]
mod sign;

use std::{hint::black_box, process::Command, time::Instant};

use serde_json::json;
use sign::{NOW, Signer, random, set};
use stopbank_checker::tokens::{Algorithm, Cache, Expected, Guard, Profile, Revocations, Times, verify};

fn expected() -> Expected {
    Expected {
        issuer: "https://issuer.example".to_owned(),
        audiences: vec!["https://api.example".to_owned()],
        profile: Profile::AccessToken,
        leeway: 60,
        longest_life: None,
    }
}

fn main() {
    let claims = json!({
        "iss": "https://issuer.example", "aud": "https://api.example", "sub": "0c8f7e5a-6a9f-4f0e-9d0c-000000000001",
        "client_id": "application", "iat": NOW, "exp": NOW + 300, "jti": "b1b1b1b1-0000-4000-8000-000000000001",
        "scope": "orders:read orders:write profile", "roles": ["buyer", "reviewer"],
    });
    let peer = peer();
    println!(
        "{:<10} {:>8} {:>12} {:>12} {:>12}",
        "algorithm", "bytes", "first, us", "OpenSSL, us", "again, us"
    );
    let mut slowest: f64 = 0.0;
    for algorithm in Algorithm::ALL {
        let signer = Signer::new(algorithm, "key-2026-01");
        let token = signer.token(&json!({ "typ": "at+jwt" }), &claims);
        let keys = set(&[&signer]);
        let first = median(|| {
            black_box(verify(black_box(&token), &keys, &expected(), NOW)).unwrap();
        });
        let cache = Cache::new(&random(32).try_into().unwrap(), 4_096, 16 << 20);
        let guard = Guard::new(expected(), Times::default(), cache, Revocations::new(1_000));
        let fetch = guard.judge("", NOW).fetch.unwrap();
        guard.refresh().succeeded(fetch, keys, NOW);
        guard.judge(&token, NOW).answer.unwrap();
        let again = median(|| {
            black_box(guard.judge(black_box(&token), NOW)).answer.unwrap();
        });
        slowest = slowest.max(again);
        let theirs = peer.iter().find(|(name, _)| *name == algorithm.name());
        let theirs = theirs.map_or("-".to_owned(), |(_, theirs)| format!("{theirs:.2}"));
        println!("{:<10} {:>8} {first:>12.2} {theirs:>12} {again:>12.3}", algorithm.name(), token.len());
    }
    let kept = if slowest <= 2.0 { "kept" } else { "NOT kept" };
    println!("promised: a token that was verified before takes at most 2 us ({slowest:.2}: {kept})");
    storm();
}

/// Microseconds that OpenSSL takes to verify one signature, by algorithm: nothing where there is no OpenSSL.
fn peer() -> Vec<(&'static str, f64)> {
    let speed = Command::new("openssl")
        .args(["speed", "-mr", "-seconds", "1", "rsa2048", "ecdsap256", "ecdsap384", "ed25519"])
        .output();
    let Ok(speed) = speed else { return Vec::new() };
    let text = String::from_utf8_lossy(&speed.stdout).into_owned();
    // The last two are signatures a second, made and verified.
    let of = |kind: &str, name: &'static str| {
        let line = text.lines().find(|line| line.starts_with("+F") && line.contains(kind))?;
        let verified: f64 = line.rsplit(':').next()?.parse().ok()?;
        Some((name, 1e6 / verified))
    };
    let found = [of(":2048:", "RS256"), of(":256:", "ES256"), of(":384:", "ES384"), of("Ed25519", "EdDSA")];
    found.into_iter().flatten().collect()
}

/// A million distinct tokens in a minute, each with another unknown key: how many fetches, how long, and what memory they leave behind.
fn storm() {
    let signer = Signer::new(Algorithm::Ed25519, "key");
    let cache = Cache::new(&random(32).try_into().unwrap(), 4_096, 16 << 20);
    let guard = Guard::new(expected(), Times::default(), cache, Revocations::new(1_000));
    let fetch = guard.judge("", NOW).fetch.unwrap();
    guard.refresh().succeeded(fetch, set(&[&signer]), NOW);
    let token = signer.token(&json!({ "typ": "at+jwt" }), &json!({ "iss": "https://issuer.example" }));
    let (_, rest) = token.split_once('.').unwrap();
    let (before, start, mut fetches) = (resident(), Instant::now(), 0);
    for number in 0..1_000_000_u64 {
        let now = NOW + number * 60 / 1_000_000;
        let header = format!("{{\"alg\":\"EdDSA\",\"kid\":\"{number}\",\"typ\":\"at+jwt\"}}");
        let judged = guard.judge(&format!("{}.{rest}", sign::encode(header)), now);
        assert!(judged.answer.is_err());
        if let Some(fetch) = judged.fetch {
            fetches += 1;
            guard.refresh().succeeded(fetch, set(&[&signer]), now);
        }
    }
    println!(
        "1,000,000 tokens with unknown keys in a minute: {fetches} fetches, {:.2} us each, {} KiB more memory",
        start.elapsed().as_secs_f64(),
        resident().saturating_sub(before)
    );
}

/// Memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
}

/// Of 101 rounds of about half a millisecond, in microseconds: so short that on a busy machine most are not interrupted.
fn median(mut run: impl FnMut()) -> f64 {
    let mut round = |times: u32| {
        let start = Instant::now();
        (0..times).for_each(|_| run());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(times)
    };
    let once = round(1).min(round(1)).min(round(1));
    let times = (500.0 / once).clamp(1.0, 1_000.0) as u32;
    let mut rounds: Vec<f64> = (0..101).map(|_| round(times)).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
