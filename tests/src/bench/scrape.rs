//! How long a scrape of everything takes, with all that a configuration can have, and how long the control API takes beside it.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::json;
use stopbank_tests::{
    agent::{Settings, Site},
    cpu::{self, Role},
    frames::FrameBuilder,
    generator::Flood,
    http, interrupt,
    netns::Namespace,
    scratch::Scratch,
    topology::{INTERFACE, poll_for_receiving},
};

use crate::{
    features::{Config, Rates},
    feed::{self, ONE_SOURCE},
    load::{block, wait_for},
    measure::median,
    rows::{Section, rounded, row},
};

/// Where metrics are served if nothing is configured.
pub(crate) const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9117);
/// As many interfaces as are counted apart.
const INTERFACES: usize = 7;
/// The most that a scrape may take, in milliseconds.
const MOST: f64 = 20.0;

/// `rounds` scrapes and more.
pub(crate) fn run(rounds: usize) -> Result<Section> {
    // The floods are over before anything is measured: the agent may have every CPU.
    cpu::assign(0, Role::Any)?;
    let (switch, server) = (Namespace::new()?, Namespace::new()?);
    let files = Scratch::new()?;
    fs::write(files.file("feed.txt"), feed::file(usize::MAX))?;
    let mut policy = Config::Full.features().text(Rates::SOURCES) + &block(&files.file("feed.txt"));
    for i in 0..INTERFACES {
        let name = if i == 0 { INTERFACE.to_owned() } else { format!("eth{i}") };
        switch.ip(&[
            &format!("link add to-{i} type veth peer name {name} netns {}", server.path()),
            &format!("link set to-{i} up"),
        ])?;
        server.ip(&[&format!("link set {name} up")])?;
        poll_for_receiving(&server, &name)?;
        if i > 0 {
            let _ = write!(policy, "[[interface]]\nname = {name:?}\n");
        }
    }
    let site = Site::new(&server)?;
    site.configure(&Settings { policy, ..Settings::default() })?;
    let agent = site.start()?;
    wait_for(&site, 1_000_000)?;
    // To all ports, so that every class has counted something on every interface.
    for i in 0..INTERFACES {
        let flood = Flood {
            frame: FrameBuilder::new(ONE_SOURCE, "198.18.0.1").tcp(40_000, 443),
            sources: 0,
            pace: None,
            at_most: Duration::from_secs(10),
        }
        .start_reflected(&switch, switch.interface_index(&format!("to-{i}"))?)?;
        interrupt::sleep_until(Instant::now() + Duration::from_secs(1))?;
        flood.stop()?;
    }
    let mut times = Vec::new();
    let mut text = String::new();
    for round in 0..=rounds.max(20) {
        let begin = Instant::now();
        let (status, body) = http::get(&server, METRICS, "/metrics")?;
        ensure!(status == 200, "metrics are not served: {status}");
        if round > 0 {
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        text = body;
    }
    let [alone, beside] = waits(&site, &server)?;
    site.detach()?;
    drop(agent);
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    Ok(report(times, series, text.len(), alone, beside))
}

/// Milliseconds that a request to the control API takes (the 95th of a hundred), alone, and while one scrape follows the other.
fn waits(site: &Site<'_>, server: &Namespace) -> Result<[f64; 2]> {
    let stop = AtomicBool::new(false);
    let requests = || -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..100 {
            let begin = Instant::now();
            let mut stream = UnixStream::connect(site.socket())?;
            stream.write_all(b"GET /v1/mode HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            ensure!(answer.contains(" 200 "), "the control API answers: {answer}");
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            thread::sleep(Duration::from_millis(3));
        }
        times.sort_by(f64::total_cmp);
        Ok(times[94])
    };
    let alone = requests()?;
    let beside = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if http::get(server, METRICS, "/metrics").is_err() {
                    break;
                }
            }
        });
        let beside = requests();
        stop.store(true, Ordering::Relaxed);
        beside
    })?;
    Ok([alone, beside])
}

fn report(times: Vec<f64>, series: usize, bytes: usize, alone: f64, beside: f64) -> Section {
    let worst = times.iter().copied().fold(0.0, f64::max);
    let middle = median(times);
    let mut section = Section { markdown: "\n## Scrape\n\n".to_owned(), rows: Vec::new() };
    let verdict = if middle <= MOST { "pass" } else { "MISS" };
    let _ = write!(
        section.markdown,
        "{series} series in {} KiB, of {INTERFACES} interfaces, 63 classes and 1.2 M prefixes; from connection to last byte:\n\n\
         - milliseconds: at most {MOST:.0}, median {middle:.1}, worst {worst:.1}: **{verdict}**\n\
         - a request to the control API (95 of 100): {alone:.1} ms alone, {beside:.1} ms while one scrape follows the other\n",
        bytes / 1024
    );
    let fields = json!({
        "case": "everything", "value": rounded(middle), "worst": rounded(worst), "at_most": MOST, "series": series as u64,
        "request_ms": rounded(alone), "request_beside_ms": rounded(beside),
    });
    section.rows.push(row("scrape", Config::Full, fields));
    section
}
