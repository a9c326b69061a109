//! What floods do to the server and to its client, and what becomes of them.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use stopbank_tests::{
    agent::Settings,
    client::Client,
    demo::attack,
    frames::FrameBuilder,
    generator::Flood,
    nginx::Nginx,
    topology::{Topology, server_address},
};

use crate::rig::{datagrams, enforcing, flood, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a client is served through floods over IPv4", |topology| client_is_served(topology, false)),
        trial("a client is served through floods over IPv6", |topology| client_is_served(topology, true)),
        trial("one IPv4 source gets its rate and burst and no more", |topology| one_source(topology, false)),
        trial("one IPv6 source gets its rate and burst and no more", |topology| one_source(topology, true)),
        trial("many sources together get the total and no more", total),
        trial("observe mode passes everything and counts what it would drop", observe),
        trial("metrics and health are served on loopback", metrics),
    ]
}

/// Of the first flooding source; the others follow it.
fn frame(v6: bool) -> FrameBuilder {
    Topology::frame(if v6 { "fd98:0:1::1" } else { "11.0.0.1" })
}

fn client_is_served(topology: &Topology, v6: bool) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(&attack::policy()));
    let _agent = site.start().unwrap();
    let client =
        Client { server: (server_address(v6), 80).into(), rate: 60, timeout: Duration::from_secs(3) };
    for (name, frame, sources) in [
        ("UDP from random sources", frame(v6).udp(1, 443).payload(&[0; 18]), 0),
        ("ICMP from one source", frame(v6).echo_request(), 1),
        ("SYN from a hundred sources", frame(v6).tcp(1, 80), 100),
    ] {
        let before = site.counts().unwrap();
        let working = client.start(&topology.client).unwrap();
        let offered = flood(topology, frame, sources, 300_000, Duration::from_secs(4));
        let served = working.stop().unwrap();
        let dropped = site.counts().unwrap().since(&before).verdict("drop");
        assert!(served.attempted > 200, "{name}: {served:?}");
        assert!(served.success() >= 0.995, "{name}: {served:?}");
        // Their limits come to some thousands a second, of which a busy machine offers fewer.
        let within = 100 * (40 + 40 * 5);
        assert!(offered > 4 * within, "{name}: only {offered} packets came in");
        assert!(dropped >= (offered - within) * 99 / 100, "{name}: {dropped} of {offered} dropped");
    }
}

fn one_source(topology: &Topology, v6: bool) {
    let (rate, burst, pace) = (200, 400, 20_000);
    let site = site(
        topology,
        &enforcing(&format!(
            "[[class]]\nname = \"udp\"\nprotocol = \"udp\"\nper_source = {{ packets = {{ rate = \"{rate}/s\", burst = {burst} }} }}\n"
        )),
    );
    let _agent = site.start().unwrap();
    let (before, received) = (site.counts().unwrap(), datagrams(topology, v6));
    let begin = Instant::now();
    let offered = flood(topology, frame(v6).udp(1, 443), 1, pace, Duration::from_secs(4));
    let took = begin.elapsed().as_secs_f64();
    let counts = site.counts().unwrap().since(&before);
    let passed = datagrams(topology, v6) - received;
    // The flood began a little later and ended a little earlier than it took in all.
    let most = f64::from(burst) + f64::from(rate) * took;
    assert!(offered as f64 > 3.0 * most, "only {offered} packets came in");
    let least = f64::from(burst) + f64::from(rate) * 4.0;
    assert!(
        (least * 0.95..=most * 1.01 + 1.0).contains(&(passed as f64)),
        "{passed} passed: {least}..{most}"
    );
    assert_eq!(counts.reason("source-packets"), offered - passed, "what did not pass is counted: {counts:?}");
}

fn total(topology: &Topology) {
    let site = site(
        topology,
        &enforcing(
            "[[class]]\nname = \"udp\"\nprotocol = \"udp\"\ntotal = { packets = { rate = \"1000/s\", burst = 1000 } }\n",
        ),
    );
    let _agent = site.start().unwrap();
    let (before, received) = (site.counts().unwrap(), datagrams(topology, false));
    let begin = Instant::now();
    let offered = flood(topology, frame(false).udp(1, 443), 5000, 100_000, Duration::from_secs(3));
    let most = 1000.0 + 1000.0 * begin.elapsed().as_secs_f64();
    let passed = datagrams(topology, false) - received;
    assert!(
        (3500.0..=most * 1.01).contains(&(passed as f64)),
        "{passed} of {offered} passed, at most {most}"
    );
    assert_eq!(site.counts().unwrap().since(&before).reason("total-packets"), offered - passed);
}

fn observe(topology: &Topology) {
    let policy = "[lists]\ndeny = [\"11.0.0.0/8\"]\n";
    let site =
        site(topology, &Settings { mode: "observe", policy: policy.to_owned(), ..Settings::default() });
    let _agent = site.start().unwrap();
    let (before, received) = (site.counts().unwrap(), datagrams(topology, false));
    let offered = flood(topology, frame(false).udp(1, 443), 1, 5000, Duration::from_secs(1));
    let counts = site.counts().unwrap().since(&before);
    assert_eq!(datagrams(topology, false) - received, offered);
    assert_eq!((counts.verdict("drop"), counts.reason("deny-list")), (0, offered), "{counts:?}");

    succeed(&site, &["mode", "set", "enforce"]);
    let (before, received) = (site.counts().unwrap(), datagrams(topology, false));
    let offered = flood(topology, frame(false).udp(1, 443), 1, 5000, Duration::from_secs(1));
    assert_eq!(datagrams(topology, false) - received, 0);
    assert_eq!(site.counts().unwrap().since(&before).verdict("drop"), offered);
}

fn metrics(topology: &Topology) {
    let site = site(topology, &enforcing("[lists]\ndeny = [\"11.0.0.0/8\"]\n"));
    let _agent = site.start().unwrap();
    let running = Flood {
        frame: frame(false).udp(1, 443),
        sources: 1,
        pace: Some(1000),
        at_most: Duration::from_secs(5),
    }
    .start(&topology.switch, topology.to_server().unwrap())
    .unwrap();
    thread::sleep(Duration::from_millis(500));
    running.stop().unwrap();
    thread::sleep(Duration::from_millis(200));
    let dropped = site.counts().unwrap().verdict("drop");
    let get = |path: &str| {
        topology
            .server
            .run(|| {
                let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 9117)).unwrap();
                write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    .unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            })
            .unwrap()
    };
    let health = get("/healthz");
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    let metrics = get("/metrics");
    let row = format!(
        "stopbank_packets_total{{interface=\"eth0\",class=\"none\",reason=\"deny-list\",verdict=\"drop\"}} {dropped}"
    );
    assert!(dropped > 0 && metrics.lines().any(|line| line == row), "{row} is not in:\n{metrics}");
    assert!(
        metrics.contains("stopbank_interface_attached{interface=\"eth0\",mode=\"native\"} 1"),
        "{metrics}"
    );
}
