//! What these tests have in common.

use std::{
    fs,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use stopbank_tests::{
    agent::{Settings, Site},
    client::Client,
    cpu::{self, Role},
    frames::FrameBuilder,
    generator::Flood,
    netns::Namespace,
    process, skip,
    topology::{Topology, server_address},
};

/// A test of its own network, after which nothing may be left.
pub(crate) fn trial(name: &str, test: fn(&Topology)) -> Trial {
    trial_if(skip::no_kernel, name, test)
}

/// The same, where `obstacle` does not say why it cannot run.
pub(crate) fn trial_if(obstacle: fn() -> Option<String>, name: &str, test: fn(&Topology)) -> Trial {
    leaving_nothing(obstacle, name, move || {
        cpu::assign(0, Role::Other).unwrap();
        test(&Topology::new().unwrap());
    })
}

/// A test after which nothing may be left.
pub(crate) fn bare_trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    leaving_nothing(skip::no_kernel, name, test)
}

fn leaving_nothing(
    obstacle: fn() -> Option<String>,
    name: &str,
    test: impl FnOnce() + Send + 'static,
) -> Trial {
    skip::trial(name, obstacle, move || {
        // What it starts is not bound by the CPUs that the test before kept to.
        cpu::assign(0, Role::Any).unwrap();
        let before = traces();
        test();
        // The kernel takes links and namespaces down a little after their last user has gone.
        let left = || traces().into_iter().filter(|trace| !before.contains(trace)).collect::<Vec<_>>();
        assert!(eventually(Duration::from_secs(5), || left().is_empty()), "left behind: {:?}", left());
    })
}

/// What this process has in file systems, in the kernel, and as children.
fn traces() -> Vec<String> {
    let own = format!("stopbank-test-{}-", std::process::id());
    let mut traces = Vec::new();
    for directory in ["/sys/fs/bpf".to_owned(), std::env::temp_dir().display().to_string()] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&own) {
                traces.push(entry.path().display().to_string());
            }
        }
    }
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default().display().to_string();
        if target.starts_with("net:") {
            traces.push(target);
        }
    }
    let this = std::process::id().to_string();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(status) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // "id (name) state parent …", and a name may hold anything.
        if status.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(&this) {
            traces.push(format!("process {status}"));
        }
    }
    traces
}

/// Whether it becomes true in time.
pub(crate) fn eventually(at_most: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + at_most;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Settings with this policy, for an agent that enforces it.
pub(crate) fn enforcing(policy: &str) -> Settings {
    Settings { policy: policy.to_owned(), ..Settings::default() }
}

/// A site with these settings.
pub(crate) fn site<'n>(topology: &'n Topology, settings: &Settings) -> Site<'n> {
    let site = Site::new(&topology.server).unwrap();
    site.configure(settings).unwrap();
    site
}

/// Runs a command of the CLI, which must succeed, and returns what it wrote to stdout.
pub(crate) fn succeed(site: &Site<'_>, arguments: &[&str]) -> String {
    let output = site.cli(arguments).unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command wrote to stderr.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the server's web server answers the client.
pub(crate) fn served(topology: &Topology, v6: bool) -> bool {
    let client =
        Client { server: (server_address(v6), 80).into(), rate: 50, timeout: Duration::from_millis(700) };
    let working = client.start(&topology.client).unwrap();
    thread::sleep(Duration::from_millis(100));
    let served = working.stop().unwrap();
    assert!(served.attempted >= 2, "a client that asks nothing");
    assert!(
        served.succeeded == 0 || served.succeeded == served.attempted,
        "neither served nor not: {served:?}"
    );
    served.succeeded > 0
}

/// Whether the kernel says that an XDP program sits on the interface.
pub(crate) fn has_program(namespace: &Namespace, interface: &str) -> bool {
    let shown = process::run(namespace.command("ip").args(["-d", "link", "show", "dev", interface])).unwrap();
    shown.contains("xdp")
}

/// Floods the server for a time, and returns how many frames have come in: sent, less what found the receive queue full.
pub(crate) fn flood(
    topology: &Topology,
    frame: FrameBuilder,
    sources: u32,
    pace: u64,
    time: Duration,
) -> u64 {
    let lost = || topology.server.statistics("eth0").unwrap().receive_dropped;
    let before = lost();
    let flood = Flood { frame, sources, pace: Some(pace), at_most: time + Duration::from_secs(10) };
    let running = flood.start(&topology.switch, topology.to_server().unwrap()).unwrap();
    thread::sleep(time);
    let sent = running.stop().unwrap();
    // What is in the receive queue still.
    thread::sleep(Duration::from_millis(200));
    sent - (lost() - before)
}

/// UDP datagrams that came through to the server's own stack, where nobody waits for them.
pub(crate) fn datagrams(topology: &Topology, v6: bool) -> u64 {
    topology.unheard_datagrams(v6).unwrap()
}
