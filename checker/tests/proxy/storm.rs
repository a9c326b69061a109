//! Tokens of which each names a key that its issuer has not: what they make the proxy fetch, and what memory they take.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use stopbank_checker::tokens::Algorithm;

use crate::{
    identity::{bearer, by_url, get, setup},
    issuer::{Issuer, token},
    servers::{Certificates, Proxy, Recorder, good, wait_until},
    sign::Signer,
};

pub(crate) const TESTS: &[(&str, fn())] =
    &[("a storm of unknown keys makes one fetch in a cool-down", storm)];

fn storm() {
    let files = Certificates::new();
    let (issuer, recorder) = (Issuer::start(&files), Recorder::start(|_| good("ok")));
    let known = Signer::new(Algorithm::Es256, "k-1");
    issuer.publishes(&[&known]);
    let proxy = setup(
        by_url(&issuer, &files, "").replace("refresh = \"10s\"", "refresh = \"10m\""),
        recorder.port,
        &[],
    )
    .start();
    wait_until("the keys", || get(&proxy, &bearer(&token(&known, &json!({})))).0 == 200);
    let most: Option<u64> = std::env::var(STORM).ok().map(|most| most.parse().unwrap());
    let (began, before, memory) = (Instant::now(), issuer.count(), resident(&proxy));
    let good_one = token(&known, &json!({}));
    let (_, rest) = good_one.split_once('.').unwrap();
    let next = AtomicU64::new(0);
    let goes_on = |number| most.map_or(began.elapsed() < Duration::from_secs(7), |most| number < most);
    let connections = if most.is_some() { 16 } else { 1 };
    let refused: u64 = std::thread::scope(|scope| {
        let pouring: Vec<_> =
            (0..connections).map(|_| scope.spawn(|| pour(&proxy, rest, &next, goes_on))).collect();
        pouring.into_iter().map(|one| one.join().unwrap()).sum()
    });
    let (took, fetches) = (began.elapsed(), u64::from(issuer.count() - before));
    println!(
        "{refused} distinct tokens with unknown keys in {:.1} s: {fetches} fetches with a cool-down of 3 s, {} KiB more memory",
        took.as_secs_f64(),
        resident(&proxy).saturating_sub(memory)
    );
    // One for each cool-down that has begun.
    let cool_downs = took.as_secs() / 3 + 1;
    assert!((1..=cool_downs).contains(&fetches) && refused > 20, "{fetches} fetches for {refused} tokens");
    assert_eq!(get(&proxy, &bearer(&good_one)).0, 200);
}

/// So many tokens, in place of those of seven seconds.
const STORM: &str = "STOPBANK_STORM_TOKENS";
/// Requests in one go.
const AT_ONCE: u64 = 8;

/// Tokens of which each names another key that is unknown, over one connection: how many were refused.
fn pour(proxy: &Proxy, rest: &str, next: &AtomicU64, goes_on: impl Fn(u64) -> bool) -> u64 {
    let mut stream = BufReader::new(proxy.connect());
    let mut refused = 0;
    loop {
        let first = next.fetch_add(AT_ONCE, Ordering::Relaxed);
        if !goes_on(first) {
            return refused;
        }
        let mut requests = String::new();
        for number in first..first + AT_ONCE {
            let header =
                json!({ "alg": "ES256", "typ": "at+jwt", "kid": format!("storm-{number}") }).to_string();
            let bad = format!("{}.{rest}", crate::sign::encode(header));
            requests += &format!("GET /7 HTTP/1.1\r\nHost: a\r\n{}\r\n", bearer(&bad));
        }
        stream.get_mut().write_all(requests.as_bytes()).unwrap();
        for _ in 0..AT_ONCE {
            let (mut line, mut length) = (String::new(), 0);
            stream.read_line(&mut line).unwrap();
            assert!(line.starts_with("HTTP/1.1 401 "), "{line}");
            while line != "\r\n" {
                line.clear();
                stream.read_line(&mut line).unwrap();
                length =
                    line.strip_prefix("content-length: ").map_or(length, |one| one.trim().parse().unwrap());
            }
            stream.read_exact(&mut vec![0; length]).unwrap();
        }
        refused += AT_ONCE;
    }
}

/// Memory of the proxy, in KiB.
fn resident(proxy: &Proxy) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.process.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
