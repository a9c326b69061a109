//! What signatures match is counted under their names, through reloads and restarts.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream, UdpSocket},
    time::Duration,
};

use libtest_mimic::Trial;
use serde_json::json;
use stopbank_tests::{
    agent::Site,
    topology::{SERVER, Topology},
};

use crate::rig::{enforcing, eventually, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("what signatures match is counted by name, through reloads and restarts", by_name)]
}

/// Signatures of these names, in this order; `!` before one that only observes.
fn policy(names: &[&str]) -> String {
    let mut text = String::from("[default]\n");
    for name in names {
        let (name, observe) = (name.trim_start_matches('!'), name.starts_with('!'));
        text += &format!(
            "[[signature]]\nname = \"{name}\"\nobserve = {observe}\npayload = {{ text = \"{name}\" }}\n"
        );
    }
    let names: Vec<&str> = names.iter().map(|name| name.trim_start_matches('!')).collect();
    text + &format!(
        "[[class]]\nname = \"game\"\nprotocol = \"udp\"\nports = [27015]\nsignatures = {names:?}\n"
    )
}

/// Sends datagrams that say this, and waits until all have been judged.
fn send(topology: &Topology, site: &Site<'_>, payloads: &[&str]) {
    let judged = || site.counts().unwrap().total();
    let before = judged();
    topology
        .client
        .run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            for payload in payloads {
                // Nobody listens, which a socket that is connected would be told.
                socket.send_to(payload.as_bytes(), (SERVER.0, 27_015)).unwrap();
            }
        })
        .unwrap();
    let all = || judged() >= before + payloads.len() as u64;
    assert!(eventually(Duration::from_secs(5), all), "{} of {}", judged() - before, payloads.len());
}

/// Packets dropped and observed, by name, in the order of the configuration.
fn matched(site: &Site<'_>) -> Vec<(String, u64, u64)> {
    let report = site.ask(&["signatures"]).unwrap();
    let packets = |signature: &serde_json::Value, what: &str| signature[what]["packets"].as_u64().unwrap();
    report["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (one["name"].as_str().unwrap().to_owned(), packets(one, "dropped"), packets(one, "observed"))
        })
        .collect()
}

#[track_caller]
fn assert_matched(site: &Site<'_>, expected: &[(&str, u64, u64)]) {
    let expected: Vec<_> =
        expected.iter().map(|(name, dropped, observed)| ((*name).to_owned(), *dropped, *observed)).collect();
    assert_eq!(matched(site), expected);
}

fn metrics(topology: &Topology) -> String {
    topology
        .server
        .run(|| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 9117)).unwrap();
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        })
        .unwrap()
}

fn by_name(topology: &Topology) {
    let site = site(topology, &enforcing(&policy(&["alpha", "!beta"])));
    let agent = site.start().unwrap();
    send(topology, &site, &["alpha", "alpha one", "beta", "gamma", "alpha"]);
    assert_matched(&site, &[("alpha", 3, 0), ("beta", 0, 1)]);
    let report = site.ask(&["signatures"]).unwrap();
    let one = &report["signatures"][1];
    assert_eq!((&one["observe"], &one["classes"]), (&json!(true), &json!(["game"])), "{report}");
    // Ethernet, IPv4 and UDP headers, and 5 + 9 + 5 bytes.
    assert_eq!(report["signatures"][0]["dropped"]["bytes"], 3 * 42 + 19, "{report}");
    let exported = metrics(topology);
    for line in [
        "stopbank_signature_packets_total{signature=\"alpha\",verdict=\"drop\"} 3",
        "stopbank_signature_packets_total{signature=\"alpha\",verdict=\"observed\"} 0",
        "stopbank_signature_packets_total{signature=\"beta\",verdict=\"observed\"} 1",
        "stopbank_signature_bytes_total{signature=\"beta\",verdict=\"observed\"} 46",
    ] {
        assert!(exported.lines().any(|candidate| candidate == line), "{line}\n{exported}");
    }
    let shown = succeed(&site, &["signatures"]);
    assert!(shown.contains("alpha") && shown.contains("observed"), "{shown}");

    // Another order, and another one among them: each keeps its count, and each is asked by its own.
    site.configure(&enforcing(&policy(&["gamma", "beta", "alpha"]))).unwrap();
    succeed(&site, &["reload"]);
    assert_matched(&site, &[("gamma", 0, 0), ("beta", 0, 1), ("alpha", 3, 0)]);
    send(topology, &site, &["gamma", "beta", "alpha"]);
    assert_matched(&site, &[("gamma", 1, 0), ("beta", 1, 1), ("alpha", 4, 0)]);

    // Packets are counted while no agent runs, and the next one finds all of it, in whatever order.
    assert_eq!(agent.stop().unwrap(), 0);
    topology
        .client
        .run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            socket.send_to(b"alpha", (SERVER.0, 27_015)).unwrap();
        })
        .unwrap();
    site.configure(&enforcing(&policy(&["alpha", "delta"]))).unwrap();
    let agent = site.start().unwrap();
    assert_matched(&site, &[("alpha", 5, 0), ("delta", 0, 0)]);
    agent.kill().unwrap();
    site.configure(&enforcing(&policy(&["beta", "alpha", "gamma"]))).unwrap();
    let _agent = site.start().unwrap();
    assert_matched(&site, &[("beta", 1, 1), ("alpha", 5, 0), ("gamma", 1, 0)]);

    // A mode that drops nothing, and a class that does not.
    succeed(&site, &["mode", "set", "observe"]);
    send(topology, &site, &["alpha"]);
    assert_matched(&site, &[("beta", 1, 1), ("alpha", 5, 1), ("gamma", 1, 0)]);
    let observed = policy(&["beta", "alpha", "gamma"]) + "observe = true\n";
    site.configure(&enforcing(&observed)).unwrap();
    succeed(&site, &["reload"]);
    send(topology, &site, &["gamma"]);
    assert_matched(&site, &[("beta", 1, 1), ("alpha", 5, 1), ("gamma", 1, 1)]);
    site.configure(&enforcing(&format!("observe = [\"signature\"]\n{}", policy(&["beta"])))).unwrap();
    succeed(&site, &["reload"]);
    send(topology, &site, &["beta"]);
    assert_matched(&site, &[("beta", 1, 2)]);
    // So many others that the counter of one that is gone is needed: it begins anew.
    let many: Vec<String> = (0..32).map(|i| format!("other-{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    site.configure(&enforcing(&policy(&many))).unwrap();
    succeed(&site, &["reload"]);
    assert!(
        matched(&site).iter().all(|(_, dropped, observed)| dropped + observed == 0),
        "{:?}",
        matched(&site)
    );
}
