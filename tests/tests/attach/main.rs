//! The real agent, attached natively to real drivers: packets pass and are dropped at MTU 1500 and 9000, and it leaves
//! nothing behind.
//!
//! On any machine between veths; in the machines of `cargo xtask kernels` between two virtio_net cards on one wire as
//! well, which it names in `STOPBANK_TEST_CARDS` (two names and a comma).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod pair;

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};
use pair::{INTERFACE, Pair};
use serde_json::Value;
use stopbank_tests::{
    agent::{Settings, Site},
    skip,
};

/// The protected host, a peer that may speak to it, and an address of the peer's that is denied.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 1);
const ALLOWED: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 2);
const DENIED: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 3);

/// How long a datagram that passes may take; one that is dropped is waited for as long.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The largest UDP payload that goes into one packet of an MTU.
const fn payload(mtu: u32) -> usize {
    mtu as usize - 28
}

fn main() {
    let mut arguments = Arguments::from_args();
    // There is one pair of cards, and agents log beside each other otherwise.
    arguments.test_threads = Some(1);
    stopbank_tests::scratch::sweep();
    let mut trials: Vec<Trial> = [1_500, 9_000]
        .into_iter()
        .map(|mtu| {
            let test = move || protects(&Pair::veth(mtu).unwrap(), mtu);
            skip::trial(
                format!("veth, native, MTU {mtu}: packets pass, are dropped, and detach ends it"),
                skip::no_kernel,
                test,
            )
        })
        .collect();
    trials.push(skip::trial(
        "a gateway's tc program notes what goes out, outlives the agent beside others', and detach ends it",
        skip::no_kernel,
        || gateway(&Pair::veth(1_500).unwrap()),
    ));
    if let Some((one, other)) = cards() {
        trials.push(skip::trial(
            "virtio_net, native, MTU 1500: packets pass, are dropped, and detach ends it",
            skip::no_kernel,
            {
                let (one, other) = (one.clone(), other.clone());
                move || protects(&Pair::cards(&one, &other, 1_500).unwrap(), 1_500)
            },
        ));
        trials.push(skip::trial(
            "virtio_net, native, MTU 9000: protects from Linux 6.3 on, and before it says what to do",
            skip::no_kernel,
            move || jumbo(&Pair::cards(&one, &other, 9_000).unwrap()),
        ));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// The two cards, where this machine has them.
fn cards() -> Option<(String, String)> {
    let names = std::env::var("STOPBANK_TEST_CARDS").ok()?;
    let (one, other) = names.split_once(',')?;
    Some((one.to_owned(), other.to_owned()))
}

/// Settings that deny one of the peer's addresses.
fn settings() -> Settings {
    Settings {
        interface: INTERFACE.to_owned(),
        policy: format!("[lists]\ndeny = [\"{DENIED}\"]\n"),
        ..Settings::default()
    }
}

/// Whether a datagram of this size from this address of the peer's reaches a socket of the server's.
fn arrives(pair: &Pair, from: Ipv4Addr, bytes: usize) -> bool {
    let receiver = pair.server.run(|| UdpSocket::bind((SERVER, 0))).unwrap().unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = receiver.local_addr().unwrap();
    let sender = pair.peer.run(|| UdpSocket::bind((from, 0))).unwrap().unwrap();
    let sent = vec![0x5b; bytes];
    assert_eq!(sender.send_to(&sent, to).unwrap(), bytes);
    let mut buffer = vec![0; 65_536];
    match receiver.recv_from(&mut buffer) {
        Ok((length, source)) => {
            assert_eq!((&buffer[..length], source.ip()), (sent.as_slice(), IpAddr::from(from)));
            true
        }
        Err(_) => false,
    }
}

fn protects(pair: &Pair, mtu: u32) {
    let sizes = [18, payload(mtu)];
    for size in sizes {
        assert!(arrives(pair, DENIED, size), "{size} bytes arrive before anything is attached");
    }
    let site = Site::new(&pair.server).unwrap();
    site.configure(&settings()).unwrap();
    let agent = site.start().unwrap();
    let program = format!("interface {INTERFACE}: program");
    let seen = finding(&site, &program);
    assert!(seen["state"] == "ok" && seen["found"].as_str().unwrap().contains("native"), "{seen}");
    let status = site.ask(&["status"]).unwrap();
    assert_eq!(status["interfaces"][0]["attach"], "native", "{status}");
    for size in sizes {
        assert!(arrives(pair, ALLOWED, size), "{size} bytes of an allowed source");
        assert!(!arrives(pair, DENIED, size), "{size} bytes of a denied source");
    }
    let counts = site.counts().unwrap();
    assert!(counts.verdict("drop") >= 2 && counts.verdict("pass") >= 2, "{counts:?}");
    assert_eq!(agent.stop().unwrap(), 0);
    assert!(!arrives(pair, DENIED, 18), "protection outlives the agent");

    site.detach().unwrap();
    for size in sizes {
        assert!(arrives(pair, DENIED, size), "{size} bytes arrive when protection has ended");
    }
}

/// Whether a datagram from port 53 of the peer's reaches a socket of the server's, which may have asked for it.
fn answered(pair: &Pair, asked: bool) -> bool {
    let asker = pair.server.run(|| UdpSocket::bind((SERVER, 0))).unwrap().unwrap();
    asker.set_read_timeout(Some(PATIENCE)).unwrap();
    let resolver = pair.peer.run(|| UdpSocket::bind((ALLOWED, 53))).unwrap().unwrap();
    if asked {
        assert_eq!(asker.send_to(b"query", resolver.local_addr().unwrap()).unwrap(), 5);
    }
    assert_eq!(resolver.send_to(b"answer", asker.local_addr().unwrap()).unwrap(), 6);
    asker.recv_from(&mut [0; 16]).is_ok()
}

/// From Linux 6.6 on by TCX, before by a clsact qdisc.
fn gateway(pair: &Pair) {
    let tc = |arguments: &[&str]| {
        let mut command = pair.server.command("tc");
        stopbank_tests::process::output(command.args(arguments), "")
    };
    // Somebody else's qdisc and filter, which stay.
    let has_tc = tc(&["qdisc", "add", "dev", INTERFACE, "clsact"]).is_ok_and(|done| done.status.success());
    if has_tc {
        // It matches nothing that is sent here: what another accepts goes no further, and ours would see nothing.
        let filter = format!(
            "filter add dev {INTERFACE} egress pref 7 protocol all u32 match u8 255 0xff at 9 flowid 1:1"
        );
        assert!(tc(&filter.split(' ').collect::<Vec<_>>()).unwrap().status.success());
    }
    let site = Site::new(&pair.server).unwrap();
    let policy = "[flows]\nlines = 1024\nlearn = \"0s\"\n".to_owned();
    let settings =
        Settings { interface: INTERFACE.to_owned(), role: "gateway", policy, ..Settings::default() };
    site.configure(&settings).unwrap();
    for round in ["first agent", "second agent"] {
        let agent = site.start().unwrap();
        assert!(answered(pair, true), "{round}: an answer that was asked for");
        assert!(!answered(pair, false), "{round}: one that nobody asked for");
        let flows = finding(&site, &format!("interface {INTERFACE}: flows"));
        assert_eq!(flows["state"], "ok", "{flows}");
        let status = site.ask(&["status"]).unwrap();
        assert_eq!(status["flows"]["capacity"], 8_192, "{status}");
        assert!(status["flows"]["flows"].as_u64().unwrap() > 0, "{status}");
        assert_eq!(agent.stop().unwrap(), 0);
        assert!(answered(pair, true) && !answered(pair, false), "{round} has ended");
    }
    site.detach().unwrap();
    // A veth whose program has just gone may lose what comes in meanwhile.
    assert!((0..3).any(|_| answered(pair, false)), "protection has ended");
    if has_tc {
        let listed = tc(&["filter", "show", "dev", INTERFACE, "egress"]).unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("pref 7 ") && !listed.contains("pref 23311 "), "{listed}");
    }
}

/// What `stopbank doctor` finds of one thing.
fn finding(site: &Site<'_>, check: &str) -> Value {
    let configuration = site.configuration().display().to_string();
    let output = site.cli(&["doctor", "--config", &configuration, "-o", "json"]).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.success(), report["state"] != "fail", "{report}");
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["check"] == check).unwrap().clone()
}

/// virtio_net takes frames of several buffers with XDP from 6.3 on.
fn jumbo(pair: &Pair) {
    if kernel() >= (6, 3) {
        return protects(pair, 9_000);
    }
    let site = Site::new(&pair.server).unwrap();
    site.configure(&settings()).unwrap();
    let mtu = finding(&site, &format!("interface {INTERFACE}: MTU"));
    assert_eq!(mtu["state"], "fail", "{mtu}");
    let mut agent = site.spawn().unwrap();
    assert_ne!(agent.ended().unwrap(), 0, "{}", agent.log());
    let said = agent.log();
    for part in ["MTU", "9000", "ip link set", "virtio_net"] {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    assert!(arrives(pair, DENIED, payload(9_000)), "nothing is attached, and packets arrive as before");
}

/// The kernel's version, as far as it says what drivers can do.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.trim().parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}
