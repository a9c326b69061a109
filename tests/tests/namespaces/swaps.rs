//! List files that are swapped under a running flood: every frame is accounted for.
//!
//! One flood comes from sources that both files deny, each by other prefixes; one from sources that neither names. What
//! the program has counted of each is held against what was sent, and against what a table of nftables behind it has seen.

use std::{fs, net::Ipv4Addr, path::Path, time::Duration};

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    agent::Site,
    cpu::{self, Role},
    generator::{Flood, Running},
    process,
    scratch::Scratch,
    topology::{Receiving, Topology},
};

use crate::rig::{bare_trial, enforcing, eventually, site, succeed};

pub(crate) fn trials() -> Vec<Trial> {
    vec![bare_trial(
        "list files swapped under a flood: no frame is lost, or judged by half a list",
        swapped_under_a_flood,
    )]
}

/// First of 65,536 sources that both files deny, and of as many that neither names.
const DENIED: u32 = 11 << 24;
const FREE: u32 = 12 << 24;
const SOURCES: u32 = 1 << 16;
/// Prefixes of each file that say nothing of either flood, and cover most of the index.
const OTHERS: u32 = 220_000;
/// Frames a second, of each flood: every swap meets thousands, and no queue overruns.
const PACE: u64 = 10_000;
const SWAPS: usize = 6;
/// A second is usual; this is for a machine that others keep busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// The text of one version of the list. Both deny the same sources: where one has a /24, the other has 256 addresses or two
/// halves; what else they name is different in each.
fn list(version: u32) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut line = |address: u32, bits: u8| {
        writeln!(text, "{}/{bits}", Ipv4Addr::from(address)).unwrap();
    };
    for third in 0..SOURCES >> 8 {
        let network = DENIED + (third << 8);
        match (third + version) % 4 {
            0 => line(network, 24),
            1 => (0..256).for_each(|host| line(network + host, 32)),
            2 => [0, 128].into_iter().for_each(|half| line(network + half, 25)),
            // The addresses stand under a prefix that says the same.
            _ => {
                line(network, 24);
                (0..256).step_by(3).for_each(|host| line(network + host, 32));
            }
        }
    }
    // 32.0.0.0 to 95.255.255.255, each network a few times at most; some of its own for each version.
    for i in 0..OTHERS + version {
        let mixed = (i * 2 + version).wrapping_mul(0x9e37_79b1);
        let address = (32 << 24) + (mixed >> 2);
        let bits = [24, 28, 32, 32][(mixed & 3) as usize];
        line(address & (u32::MAX << (32 - bits)), bits as u8);
    }
    text
}

/// Counts what the program has let pass, by source, and keeps it from whoever would answer.
const WITNESS: &str = "\
table inet witness {
  counter denied { }
  counter free { }
  chain seen {
    type filter hook prerouting priority -300;
    ip saddr 11.0.0.0/16 counter name denied drop
    ip saddr 12.0.0.0/16 counter name free drop
  }
}
";

fn seen(topology: &Topology, counter: &str) -> u64 {
    let mut nft = topology.server.command("nft");
    let text = process::run(nft.args(["-j", "list", "counter", "inet", "witness", counter])).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let objects = report["nftables"].as_array().unwrap();
    objects.iter().find_map(|object| object["counter"]["packets"].as_u64()).unwrap()
}

fn start(topology: &Topology, first: u32, port: u16) -> Running {
    let frame = Topology::frame(Ipv4Addr::from(first)).udp(40_000, port);
    let flood = Flood { frame, sources: SOURCES, pace: Some(PACE), at_most: Duration::from_secs(240) };
    flood.start(&topology.switch, topology.to_server().unwrap()).unwrap()
}

/// Packets by class, reason and verdict.
fn counted(site: &Site<'_>, class: &str, reason: &str, verdict: &str) -> u64 {
    let report = site.ask(&["drops", "--all", "--by", "class"]).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let row =
        rows.iter().find(|row| row["class"] == class && row["reason"] == reason && row["verdict"] == verdict);
    row.map_or(0, |row| row["packets"].as_u64().unwrap())
}

fn swapped_under_a_flood() {
    cpu::assign(0, Role::Other).unwrap();
    // The program runs on the CPU of the flood, and the agent writes its maps on the other one.
    let topology = &Topology::with(Receiving::Queues).unwrap();
    let directory = Scratch::new().unwrap();
    let path = directory.file("drop");
    let versions = [list(0), list(1)];
    let put = |version: usize| replace(&directory, &path, &versions[version]);
    put(0);
    let policy = format!(
        "[[list]]\nname = \"drop\"\npath = {path:?}\naction = \"deny\"\n[default]\n\
         [[class]]\nname = \"denied\"\nprotocol = \"udp\"\nports = [9]\n\
         [[class]]\nname = \"free\"\nprotocol = \"udp\"\nports = [10]\n"
    );
    let site = site(topology, &enforcing(&policy));
    let _agent = site.start().unwrap();
    let prefixes = || site.ask(&["list", "ls"]).unwrap()["lists"][0]["ipv4"].as_u64().unwrap();
    let sizes = [prefixes(), {
        put(1);
        succeed(&site, &["reload"]);
        prefixes()
    }];
    assert!(sizes.iter().all(|size| *size > 200_000) && sizes[0] != sizes[1], "{sizes:?}");
    process::run_with_input(topology.server.command("nft").args(["-f", "-"]), WITNESS).unwrap();

    let before = topology.server.statistics("eth0").unwrap().receive_dropped;
    let floods = [start(topology, DENIED, 9), start(topology, FREE, 10)];
    for swap in 0..SWAPS {
        put(swap % 2);
        // The agent sees by itself that the file has changed, or is told.
        if swap % 2 == 0 {
            succeed(&site, &["reload"]);
        }
        let swapped = || prefixes() == sizes[swap % 2];
        assert!(eventually(PATIENCE, swapped), "swap {swap}: {}", prefixes());
    }
    let [denied, free] = floods.map(|flood| flood.stop().unwrap());
    // What is on its way still.
    let arrived = || seen(topology, "free") >= free;
    eventually(Duration::from_secs(2), arrived);
    let lost = topology.server.statistics("eth0").unwrap().receive_dropped - before;
    println!(
        "{denied} denied and {free} free frames, {SWAPS} swaps of {sizes:?} prefixes, {lost} lost before XDP"
    );
    assert_eq!(lost, 0, "the receive queue overran: nothing can be said of the frames that it lost");
    assert!(denied > 10_000 && free > 10_000, "hardly a flood: {denied} and {free}");

    // Sent and dropped, sent and passed, to the frame.
    assert_eq!(counted(&site, "none", "deny-list", "drop"), denied, "dropped by the lists");
    assert_eq!(counted(&site, "free", "passed", "pass"), free, "passed");
    assert_eq!(seen(topology, "denied"), 0, "frames of denied sources came through");
    assert_eq!(seen(topology, "free"), free, "frames that the program has passed");
    assert_eq!(site.counts().unwrap().verdict("drop"), denied, "nothing else was dropped");
}

/// As updaters do it: written beside, then renamed.
fn replace(directory: &Scratch, path: &Path, text: &str) {
    fs::write(directory.file("new"), text).unwrap();
    fs::rename(directory.file("new"), path).unwrap();
}
