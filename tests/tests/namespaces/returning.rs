//! How long an interface that comes back under a flood is there without protection, to the packet.
//!
//! The flood comes over a bridge, as from a switch that goes on sending while a machine's interface is away. Its sources are
//! denied: not one of its packets may reach the stack. A table of nftables counts those that do.
//!
//! ```text
//!   flood -> feed0 <- veth -> feed1 ─ br0 ─ port0 <- veth -> shield0 -> program, or the stack
//!                                      └─── shield1 (macvlan)
//! ```

use std::{
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    cpu::{self, Role},
    generator::{Flood, Running},
    netns::Namespace,
    process,
    topology::{Topology, poll_for_receiving},
};

use crate::{
    interfaces::site,
    rig::{bare_trial, eventually, has_program},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![bare_trial("an interface that comes back under a flood is protected within milliseconds", returns)]
}

/// Frames a second.
const PACE: u64 = 100_000;
const ROUNDS: usize = 15;
/// Of the median, and of the worst time that the agent may wait for a CPU: this machine has the flood on one of its two, and
/// whatever else it does on the other. docs/operator.md has what was measured.
const BOUND: Duration = Duration::from_millis(50);
const WORST: Duration = Duration::from_secs(1);

const WITNESS: &str = "\
table inet witness {
  counter flood { }
  chain seen {
    type filter hook prerouting priority -300;
    iifname \"shield*\" ip saddr 11.0.0.0/8 counter name flood drop
  }
}
";

/// Packets of the flood that came through to the stack.
fn seen(host: &Namespace) -> u64 {
    let mut nft = host.command("nft");
    let text = process::run(nft.args(["-j", "list", "counter", "inet", "witness", "flood"])).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let objects = report["nftables"].as_array().unwrap();
    objects.iter().find_map(|object| object["counter"]["packets"].as_u64()).unwrap()
}

/// How an interface comes back.
struct Way {
    what: &'static str,
    interface: &'static str,
    remove: &'static str,
    /// Each is one `ip -batch`, whose requests follow one another at once.
    commands: &'static [&'static [&'static str]],
}

/// With the address that floods are sent to (`Topology::frame`).
const PAIR: &str = "link add port0 type veth peer name shield0 address 02:5b:00:00:00:01";
const WAYS: [Way; 3] = [
    Way {
        what: "made, and set up by the next command",
        interface: "shield0",
        remove: "link del port0",
        commands: &[&[PAIR, "link set port0 master br0 up"], &["link set shield0 up"]],
    },
    Way {
        what: "made, and set up by the next request",
        interface: "shield0",
        remove: "link del port0",
        commands: &[&[PAIR, "link set port0 master br0 up", "link set shield0 up"]],
    },
    Way {
        what: "made and set up by one request (generic)",
        interface: "shield1",
        remove: "link del shield1",
        commands: &[&["link add shield1 link br0 address 02:5b:00:00:00:01 up type macvlan mode bridge"]],
    },
];

/// Takes an interface away and brings it back; packets that came through meanwhile.
fn round(host: &Namespace, way: &Way) -> u64 {
    if has_interface(host, way.interface) {
        host.ip(&[way.remove]).unwrap();
    }
    let before = seen(host);
    for commands in way.commands {
        host.ip(commands).unwrap();
    }
    assert!(
        eventually(Duration::from_secs(5), || has_program(host, way.interface)),
        "{}: not protected",
        way.what
    );
    thread::sleep(Duration::from_millis(50));
    let through = seen(host) - before;
    // The flood does come in, and is dropped.
    let received = || host.statistics(way.interface).unwrap().received;
    let since = received();
    thread::sleep(Duration::from_millis(50));
    assert!(received() > since, "{}: no flood comes in", way.what);
    assert_eq!(seen(host) - before, through, "{}: protected, and something comes through", way.what);
    through
}

fn has_interface(host: &Namespace, name: &str) -> bool {
    host.interface_index(name).is_ok()
}

fn flood(host: &Namespace) -> Running {
    let frame = Topology::frame("11.0.0.1").udp(40_000, 9);
    let flood = Flood { frame, sources: 1 << 16, pace: Some(PACE), at_most: Duration::from_secs(240) };
    flood.start(host, host.interface_index("feed0").unwrap()).unwrap()
}

fn returns() {
    cpu::assign(0, Role::Other).unwrap();
    let host = &Namespace::new().unwrap();
    host.ip(&[
        "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        "link set br0 up",
        "addr add 10.99.0.1/16 dev br0",
        "link add feed0 type veth peer name feed1",
        "link set feed0 up",
        "link set feed1 master br0 up",
    ])
    .unwrap();
    poll_for_receiving(host, "feed1").unwrap();
    let blocks = [
        "name = \"shield0\"\nrequired = false",
        "name = \"shield1\"\nattach = \"generic\"\nrequired = false",
    ];
    let site = site(host, &blocks, "[lists]\ndeny = [\"11.0.0.0/8\"]\n");
    let _agent = site.start().unwrap();
    process::run_with_input(host.command("nft").args(["-f", "-"]), WITNESS).unwrap();
    let running = flood(host);
    thread::sleep(Duration::from_millis(200));
    for way in &WAYS {
        let (began, sent) = (Instant::now(), running.sent().unwrap());
        let mut through: Vec<u64> = (0..ROUNDS).map(|_| round(host, way)).collect();
        through.sort_unstable();
        let rate = (running.sent().unwrap() - sent) as f64 / began.elapsed().as_secs_f64();
        let milliseconds = |packets: u64| packets as f64 * 1_000.0 / rate;
        let (median, most) = (through[ROUNDS / 2], through[ROUNDS - 1]);
        println!(
            "{}: at {rate:.0} packets/s, {} of {ROUNDS} times not one packet; median {median} ({:.2} ms), most {most} ({:.2} ms)",
            way.what,
            through.iter().filter(|packets| **packets == 0).count(),
            milliseconds(median),
            milliseconds(most),
        );
        let within = |packets, bound: Duration| milliseconds(packets) <= bound.as_secs_f64() * 1_000.0;
        assert!(within(median, BOUND) && within(most, WORST), "{}: {through:?} packets", way.what);
        host.ip(&[way.remove]).unwrap();
    }
    running.stop().unwrap();
}
