//! `stopbank explain`, against what becomes of packets on a real interface.

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    agent::Site,
    nginx::Nginx,
    scratch::Scratch,
    topology::{CLIENT, SERVER, Topology},
};

use crate::rig::{enforcing, flood, said, served, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("explain: what it says becomes of a packet is what becomes of it", verdicts),
        trial("explain: what is left of a limit is what a flood has left", limits),
        trial("explain: a list of a million prefixes is answered for at once, with its line", million),
        trial("explain: what makes no sense is refused and says why", refused),
    ]
}

const POLICY: &str = "[lists]\ndeny = [\"11.0.0.0/8\"]\nallow = [\"11.0.1.0/24\"]\n\
[default]\n\
[[class]]\nname = \"shut\"\nprotocol = \"udp\"\nports = [9]\nclosed = true\n\
[[class]]\nname = \"watched\"\nprotocol = \"udp\"\nports = [8]\nobserve = true\nper_source = { packets = \"1/m\" }\n\
[[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80]\nper_source = { connections = { rate = \"50/s\", burst = 100 } }\n";

fn step<'e>(explanation: &'e Value, name: &str) -> &'e Value {
    let steps = explanation["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {explanation:#}"))
}

/// Whether what is told is what becomes of a UDP datagram from there.
fn holds(topology: &Topology, site: &Site<'_>, source: &str, port: u16, expected: &str) {
    let told = site
        .ask(&["explain", source, "--port", &port.to_string(), "--protocol", "udp", "--from-port", "1000"])
        .unwrap();
    assert_eq!(told["reason"], expected, "{told:#}");
    let before = site.counts().unwrap();
    let offered =
        flood(topology, Topology::frame(source).udp(1000, port), 1, 100, Duration::from_millis(300));
    let counts = site.counts().unwrap().since(&before);
    assert!(offered > 3 && counts.reason(expected) >= offered.min(counts.total()), "{source}: {counts:?}");
    let dropped = told["verdict"] == "drop";
    assert_eq!(counts.verdict("drop") >= offered, dropped, "{source}: {counts:?}, {told:#}");
}

fn verdicts(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(POLICY));
    let _agent = site.start().unwrap();
    succeed(&site, &["ban", "add", "12.0.0.0/16", "--for", "1h", "--reason", "test"]);
    succeed(&site, &["ban", "add", "2001:db8:bad::/48"]);
    holds(topology, &site, "11.0.0.1", 7, "deny-list");
    holds(topology, &site, "11.0.1.1", 7, "allow-list");
    holds(topology, &site, "12.0.0.1", 7, "ban");
    holds(topology, &site, "2001:db8:bad::7", 7, "ban");
    holds(topology, &site, "2001:db8:900d::7", 7, "passed");
    holds(topology, &site, "127.0.0.9", 7, "bogon-source");
    holds(topology, &site, "13.0.0.1", 9, "class-closed");
    holds(topology, &site, "13.0.0.1", 7, "passed");

    let told = site.ask(&["explain", "12.0.0.1", "--port", "9", "--protocol", "udp"]).unwrap();
    let ban = step(&told, "lists");
    assert!(ban["found"].as_str().unwrap().contains("\"test\""), "{told:#}");
    assert!(
        told["conclusion"].as_str().unwrap().starts_with("Its next packet is dropped (`ban`)"),
        "{told:#}"
    );
    assert_eq!((&step(&told, "closed")["reached"], &ban["reached"]), (&false.into(), &true.into()));
    assert!(step(&told, "recent drops")["found"].as_str().unwrap().contains("`ban`"), "{told:#}");
    let told = site.ask(&["explain", "11.0.1.1"]).unwrap();
    let lists: Vec<&Value> =
        told["steps"].as_array().unwrap().iter().filter(|step| step["step"] == "lists").collect();
    assert_eq!(lists.len(), 2, "the winner and what it beats: {told:#}");
    assert!(lists[1]["because"].as_str().unwrap().contains("longer"), "{told:#}");

    // For a prefix: around and inside.
    let told = site.ask(&["explain", "11.0.0.0/8"]).unwrap();
    assert!(step(&told, "lists inside")["found"].as_str().unwrap().contains("11.0.1.0/24"), "{told:#}");
    assert!(told["conclusion"].as_str().unwrap().contains("1 entry inside"), "{told:#}");

    // For people, and without a port: every class.
    let shown = succeed(&site, &["explain", &CLIENT.0.to_string()]);
    assert!(shown.contains("class web") && shown.contains("100 connections left"), "{shown}");
    // In observe mode, what enforce would do.
    succeed(&site, &["mode", "set", "observe"]);
    let told = site.ask(&["explain", "12.0.0.1", "--port", "80"]).unwrap();
    assert_eq!((&told["verdict"], &told["reason"]), (&"observed".into(), &"ban".into()), "{told:#}");
    assert!(served(topology, false));
}

fn limits(topology: &Topology) {
    let policy = "[default]\nper_source = { packets = { rate = \"10/m\", burst = 300 } }\n\
                  [[default.per_prefix]]\nipv4 = 24\nipv6 = 48\npackets = { rate = \"10/m\", burst = 350 }\n";
    let site = site(topology, &enforcing(policy));
    let _agent = site.start().unwrap();
    for (source, neighbour) in [("13.0.0.1", "13.0.0.2"), ("2001:db8:1::1", "2001:db8:1:2::1")] {
        let ask = |source: &str| site.ask(&["explain", source, "--port", "7", "--protocol", "udp"]).unwrap();
        let left = |told: &Value, step_name: &str| {
            let found = step(told, step_name)["found"].as_str().unwrap().to_owned();
            let (_, rest) = found.split_once("at least ").unwrap();
            rest.split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        let fresh = ask(source);
        assert_eq!((left(&fresh, "per-source packets"), left(&fresh, "per-prefix packets")), (300, 350));
        let sent = flood(topology, Topology::frame(source).udp(1000, 7), 1, 100, Duration::from_secs(1));
        assert!((50..250).contains(&sent), "{sent}");
        let told = ask(source);
        assert!(left(&told, "per-source packets").abs_diff(300 - sent) <= 2, "{sent} sent: {told:#}");
        assert_eq!(told["verdict"], "pass", "{told:#}");
        flood(topology, Topology::frame(source).udp(1000, 7), 1, 1_000, Duration::from_secs(1));
        let told = ask(source);
        assert_eq!(
            (&told["verdict"], &told["reason"]),
            (&"drop".into(), &"source-packets".into()),
            "{told:#}"
        );
        let told = ask(neighbour);
        assert_eq!(left(&told, "per-source packets"), 300, "a neighbour has its own: {told:#}");
        assert!(left(&told, "per-prefix packets").abs_diff(50) <= 2, "of its prefix: {told:#}");
        // A total that is spent, and what a proven source has of its reserve.
    }
}

fn million(topology: &Topology) {
    let directory = Scratch::new().unwrap();
    let path = directory.file("drop");
    let mut text = String::from("# a million\n");
    for i in 0..1_000_000_u32 {
        let [_, b, c, d] = i.to_be_bytes();
        writeln!(text, "{}.{b}.{c}.{d}", 20 + i % 3).unwrap();
    }
    fs::write(&path, &text).unwrap();
    let block = format!("[[list]]\nname = \"drop\"\npath = {path:?}\naction = \"deny\"\n");
    let site = site(topology, &enforcing(&block));
    let _agent = site.start().unwrap();
    let timed = |arguments: &[&str]| {
        let begin = Instant::now();
        let told = site.ask(arguments).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(2), "{arguments:?} took {:?}", begin.elapsed());
        told
    };
    // 999,998 is 15.66.62 in three bytes, and leaves 2: in 22/8. The comment is line 1.
    let last = timed(&["explain", "22.15.66.62", "--port", "80"]);
    let found = step(&last, "lists")["found"].as_str().unwrap().to_owned();
    assert!(found.contains("`drop`") && found.ends_with("line 1000000"), "{found}");
    assert_eq!(last["reason"], "deny-list");
    let beside = timed(&["explain", "23.15.66.62"]);
    assert!(
        step(&beside, "lists")["found"].as_str().unwrap().contains("1000000 in 1 list files"),
        "{beside:#}"
    );
    let inside = timed(&["explain", "20.0.0.0/7"]);
    assert!(inside["conclusion"].as_str().unwrap().starts_with("666667 entries inside"), "{inside:#}");
    let inside: Vec<&Value> =
        inside["steps"].as_array().unwrap().iter().filter(|step| step["step"] == "lists inside").collect();
    assert_eq!((inside.len(), &inside[20]["found"]), (21, &"666647 more".into()));
}

fn refused(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    let _agent = site.start().unwrap();
    let server = SERVER.1.to_string();
    for (arguments, why) in [
        (vec!["explain", "192.0.2.1/24"], "bits set beyond"),
        (vec!["explain", "example.org"], "neither an IP address"),
        (vec!["explain", "192.0.2.0/24", "--port", "80"], "is a prefix"),
        (vec!["explain", "192.0.2.1", "--port", "80", "--protocol", "icmp"], "ICMP has no ports"),
        (vec!["explain", "192.0.2.1", "--to", &server], "other family"),
        (vec!["explain", "192.0.2.1", "--from-port", "53"], "without a protocol"),
    ] {
        let output = site.cli(&arguments).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(why), "{arguments:?}: {}", said(&output));
    }
}
