//! `stopbank selftest` and `stopbank doctor`, beside a real agent.

use std::process::Output;

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{agent::binary, process, topology::Topology};

use crate::rig::{enforcing, said, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("selftest: what protects this host drops what it should, and is left alone", armed),
        trial("selftest: what is not protected is not armed", not_armed),
        trial(
            "selftest: what a configuration leaves open is told, and other configurations pass",
            configurations,
        ),
        trial("selftest: without the right to make namespaces it says so", not_permitted),
        trial("doctor: the agent, its memory and its pins are looked at", doctor),
    ]
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn outcome<'r>(report: &'r Value, step: &str) -> &'r str {
    let steps = report["steps"].as_array().unwrap();
    let found =
        steps.iter().find(|one| one["step"] == step).unwrap_or_else(|| panic!("no {step}: {report:#}"));
    found["outcome"].as_str().unwrap()
}

/// Each of these, in both families.
const STEPS: [&str; 6] = [
    "a client's SYN comes through",
    "a banned source is dropped",
    "an allowed source passes",
    "a malformed packet is dropped",
    "a source that nobody has is dropped",
    "a flood beyond a limit is dropped",
];

fn armed(topology: &Topology) {
    let policy = "[lists]\ndeny = [\"198.18.0.0/15\"]\n";
    let site = site(topology, &enforcing(policy));
    let _agent = site.start().unwrap();
    succeed(&site, &["ban", "add", "203.0.113.7"]);
    let interfaces =
        || process::run(topology.server.command("ip").args(["-o", "link"])).unwrap().lines().count();
    let (before, links) = (site.counts().unwrap(), interfaces());
    let output = site.cli(&["selftest", "-o", "json"]).unwrap();
    let told = report(&output);
    assert!(output.status.success() && told["passed"] == true, "{told:#}");
    for step in STEPS {
        for family in ["IPv4", "IPv6"] {
            assert_eq!(outcome(&told, &format!("{step} ({family})")), "ok", "{told:#}");
        }
    }
    assert_eq!(outcome(&told, "agent"), "ok");
    assert_eq!(outcome(&told, "interface eth0"), "ok");
    assert_eq!(
        site.counts().unwrap().since(&before).verdict("drop"),
        0,
        "nothing went through the live program"
    );
    assert_eq!(interfaces(), links, "no interface is left");
    assert_eq!(site.ask(&["ban", "ls"]).unwrap()["entries"].as_array().unwrap().len(), 1);
    let shown = succeed(&site, &["selftest"]);
    assert!(shown.contains("\narmed: ") && shown.contains("a banned source is dropped (IPv6)"), "{shown}");

    succeed(&site, &["mode", "set", "observe"]);
    let told = report(&site.cli(&["selftest", "-o", "json"]).unwrap());
    assert_eq!((outcome(&told, "agent"), &told["passed"]), ("warn", &true.into()), "{told:#}");
}

fn not_armed(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    let agent = site.start().unwrap();
    // The pin is what holds the link: without it no program is on the interface, while the agent says that all is well.
    let version = std::fs::read_dir(site.pins()).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(version.join("link_eth0")).unwrap();
    assert!(site.ask(&["status"]).unwrap()["interfaces"][0]["name"] == "eth0");
    let output = site.cli(&["selftest", "-o", "json"]).unwrap();
    let told = report(&output);
    assert_eq!((output.status.code(), &told["passed"]), (Some(1), &false.into()), "{told:#}");
    assert_eq!(
        (outcome(&told, "interfaces"), outcome(&told, "interface eth0")),
        ("fail", "fail"),
        "{told:#}"
    );
    assert_eq!(
        outcome(&told, "a banned source is dropped (IPv4)"),
        "ok",
        "the program itself is as it should be"
    );
    agent.stop().unwrap();
}

fn configurations(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    let file = site.configuration();
    let test = |text: &str| {
        site.write_configuration(text).unwrap();
        let output = site.cli(&["selftest", "-o", "json", "--config", file.to_str().unwrap()]).unwrap();
        let told = report(&output);
        assert_eq!(output.status.success(), told["passed"] == true, "{told:#}");
        told
    };
    // Nothing is limited, a rule only observes.
    let told = test("observe = [\"ban\"]\n[default]\n");
    assert_eq!(outcome(&told, "a banned source is dropped (IPv4)"), "warn", "{told:#}");
    assert_eq!(outcome(&told, "a flood beyond a limit is dropped (IPv6)"), "skip", "{told:#}");
    assert_eq!(told["passed"], true, "{told:#}");
    assert!(told["steps"].as_array().unwrap().iter().all(|step| step["step"] != "agent"));
    // Every kind of limit is one that is exceeded.
    for limits in [
        "per_source = { packets = { rate = \"10/s\", burst = 50 } }",
        "total = { packets = { rate = \"10/s\", burst = 60 }, proven = \"50%\" }",
        "per_source = { connections = { rate = \"10/s\", burst = 50 } }",
        "[[default.per_prefix]]\nipv4 = 24\nipv6 = 48\npackets = { rate = \"10/s\", burst = 50 }",
    ] {
        let role = if limits.contains("total") { "host" } else { "any" };
        let told = test(&format!("role = \"{role}\"\n[default]\n{limits}\n"));
        for family in ["IPv4", "IPv6"] {
            let flood = outcome(&told, &format!("a flood beyond a limit is dropped ({family})"));
            // A total that one family's flood has spent leaves nothing that the other could be seen to pass by.
            let shared = limits.contains("total") && family == "IPv6";
            assert!(flood == "ok" || shared, "{limits}: {told:#}");
        }
    }
    // All addresses are denied: there is none to send from.
    let told = test("[lists]\ndeny = [\"0.0.0.0/0\"]\n");
    assert_eq!(outcome(&told, "packets (IPv4)"), "skip", "{told:#}");
    let told = test("mode = \"observe\"\nrole = \"gateway\"\n[source]\nipv6_prefix = 56\n");
    assert_eq!(told["passed"], true, "{told:#}");
}

fn not_permitted(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    let mut command = topology.server.command("setpriv");
    command.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", "--"]).arg(binary().unwrap());
    command.args(["selftest", "--config"]).arg(site.configuration());
    let output = process::output(&mut command, "").unwrap();
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    assert!(said(&output).contains("CAP_SYS_ADMIN"), "{}", said(&output));
}

fn doctor(topology: &Topology) {
    let site = site(topology, &enforcing("[source]\nlines = 65536\n"));
    let _agent = site.start().unwrap();
    let file = site.configuration();
    let output = site.cli(&["doctor", "-o", "json", "--config", file.to_str().unwrap()]).unwrap();
    let told = report(&output);
    let finding = |check: &str| {
        let findings = told["findings"].as_array().unwrap();
        let one = findings.iter().find(|one| one["check"] == check);
        one.unwrap_or_else(|| panic!("no {check}: {told:#}")).clone()
    };
    let agent = finding("agent");
    assert!(agent["found"].as_str().unwrap().contains("protected: eth0"), "{agent}");
    assert_eq!(finding("pin directory")["state"], "ok");
    let memory = finding("memory")["found"].as_str().unwrap().to_owned();
    let (_, rest) = memory.split_once("the maps take ").unwrap();
    let mebibytes: f64 = rest.split(' ').next().unwrap().parse().unwrap();
    // 65,536 lines and a quarter are 5 MiB; with counters, policy and lists some more.
    assert!((5.0..100.0).contains(&mebibytes), "{memory}");
    assert!(finding("clock source")["found"].is_string());
}
