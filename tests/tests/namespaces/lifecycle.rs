//! Protection outlives the agent, until somebody ends it.

use std::{fs, os::unix::fs::symlink};

use libtest_mimic::Trial;
use stopbank_common::ABI_VERSION;
use stopbank_tests::{
    earlier,
    nginx::Nginx,
    topology::{CLIENT, INTERFACE, Topology},
};

use crate::rig::{enforcing, has_program, said, served, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("protection and bans outlive kill -9, and a restart takes over", killed),
        trial("protection outlives a graceful stop", stopped),
        trial("detach ends protection where no agent runs", detach_without_agent),
        trial("detach follows no name to another's link", detach_beside_others),
        trial("a second agent is refused", second_agent),
    ]
}

fn killed(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(""));
    let agent = site.start().unwrap();
    let client = CLIENT.0.to_string();
    succeed(&site, &["ban", "add", &client, "--for", "10m"]);
    let before = site.counts().unwrap();
    agent.kill().unwrap();

    assert!(!served(topology, false), "banned while no agent runs");
    assert!(served(topology, true));
    let unreachable = site.cli(&["status"]).unwrap();
    assert_eq!(unreachable.status.code(), Some(4), "{}", said(&unreachable));

    let agent = site.start().unwrap();
    assert!(!served(topology, false), "banned after the restart");
    let counts = site.counts().unwrap();
    assert!(counts.reason("ban") > before.reason("ban"), "counting went on: {before:?}, {counts:?}");
    assert!(counts.total() > before.total());
    let status = site.ask(&["status"]).unwrap();
    assert_eq!(status["interfaces"][0]["taken_over"], true, "{status}");
    assert_eq!(status["lists"]["ban"], 1, "{status}");
    let bans = site.ask(&["ban", "ls"]).unwrap();
    assert!((1.0..=600.0).contains(&bans["entries"][0]["expires_in_seconds"].as_f64().unwrap()), "{bans}");
    succeed(&site, &["ban", "rm", &client]);
    assert!(served(topology, false));

    site.detach().unwrap();
    assert!(!site.pinned() && !has_program(&topology.server, INTERFACE));
    drop(agent);
}

fn stopped(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(""));
    let agent = site.start().unwrap();
    succeed(&site, &["ban", "add", &CLIENT.0.to_string()]);
    assert_eq!(agent.stop().unwrap(), 0);
    assert!(site.pinned() && has_program(&topology.server, INTERFACE));
    assert!(!served(topology, false), "banned while no agent runs");
    let agent = site.start().unwrap();
    assert_eq!(site.ask(&["status"]).unwrap()["lists"]["ban"], 1);
    assert_eq!(agent.stop().unwrap(), 0);
}

fn detach_without_agent(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing("[lists]\ndeny = [\"10.99.0.2\"]\n"));
    site.start().unwrap().kill().unwrap();
    assert!(!served(topology, false));
    site.detach().unwrap();
    assert!(!site.pinned() && !has_program(&topology.server, INTERFACE));
    assert!(served(topology, false));
    // Once more: there is nothing to end, and that is no error.
    site.detach().unwrap();
}

/// Pins lie where the agent's user may write, and root may be who detaches.
fn detach_beside_others(topology: &Topology) {
    let server = &topology.server;
    server
        .ip(&["link add other0 type veth peer name other1", "link set other0 up", "link set other1 up"])
        .unwrap();
    let site = site(topology, &enforcing(""));
    site.start().unwrap().kill().unwrap();
    // A pin is a file of its directory: gone with the site's, whatever happens here.
    let other = site.pins().join("other");
    earlier::attach(server, "other0", &other).unwrap();
    symlink(&other, site.pins().join(format!("v{ABI_VERSION}/link_other0"))).unwrap();
    site.detach().unwrap();
    assert!(!has_program(server, INTERFACE));
    assert!(has_program(server, "other0"), "another's program was taken off");
    fs::remove_file(other).unwrap();
}

fn second_agent(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    let agent = site.start().unwrap();
    let mut second = site.spawn().unwrap();
    assert_eq!(second.ended().unwrap(), 1, "{}", second.log());
    assert!(second.log().contains("another agent is running"), "{}", second.log());
    let status = site.ask(&["status"]).unwrap();
    assert_eq!(status["pid"], agent.id(), "the first goes on");
    assert!(has_program(&topology.server, INTERFACE));
}
