//! The kernel, its settings, and what this process may do.

use std::{fs, path::Path};

use rustix::thread::{CapabilitySet, capabilities};

use super::{Finding, kernel_version};
use crate::datapath::is_bpf_filesystem;

/// The oldest kernel that the program loads on.
const OLDEST: (u32, u32) = (6, 1);

/// What the agent needs, by name.
const NEEDED: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
];

/// Judges the value of a setting, with or without SYN cookies from XDP.
type Judge = fn(&str, bool) -> Finding;

/// Settings by their path below /proc/sys.
const SETTINGS: [(&str, Judge); 7] = [
    ("net/core/bpf_jit_enable", |value, _| jit(value)),
    ("net/core/bpf_jit_harden", |value, _| hardening(value)),
    ("kernel/unprivileged_bpf_disabled", |value, _| unprivileged(value)),
    ("net/core/netdev_max_backlog", |value, _| backlog(value)),
    ("net/ipv4/tcp_syncookies", cookies),
    ("net/ipv4/tcp_timestamps", timestamps),
    ("net/netfilter/nf_conntrack_tcp_loose", loose),
];

/// `answers`: some class is to answer with SYN cookies.
pub(super) fn findings(answers: bool) -> Vec<Finding> {
    let mut findings = vec![
        kernel(&read("/proc/sys/kernel/osrelease").unwrap_or_default()),
        btf(Path::new("/sys/kernel/btf/vmlinux").exists()),
        filesystem(is_bpf_filesystem(Path::new("/sys/fs/bpf"))),
        privileges(),
    ];
    for (name, check) in SETTINGS {
        // One that the kernel does not have, or this namespace does not show, is nothing to judge.
        if let Some(value) = read(&format!("/proc/sys/{name}")) {
            findings.push(check(&value, answers));
        }
    }
    findings
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn kernel(release: &str) -> Finding {
    match kernel_version(release) {
        Some(version) if version >= OLDEST => Finding::ok("kernel", format!("Linux {release}")),
        _ => Finding::fail("kernel", format!("Linux {release}"), "use Linux 6.1 or later"),
    }
}

fn btf(present: bool) -> Finding {
    if present {
        return Finding::ok("kernel BTF", "/sys/kernel/btf/vmlinux");
    }
    Finding::fail(
        "kernel BTF",
        "there is no /sys/kernel/btf/vmlinux",
        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all large distributions build theirs",
    )
}

fn filesystem(mounted: bool) -> Finding {
    if mounted {
        return Finding::ok("BPF filesystem", "mounted at /sys/fs/bpf");
    }
    Finding::warn(
        "BPF filesystem",
        "not mounted at /sys/fs/bpf; the agent mounts it if it has CAP_SYS_ADMIN",
        "mount -t bpf bpf /sys/fs/bpf",
    )
}

fn privileges() -> Finding {
    const CHECK: &str = "privileges";
    let Ok(sets) = capabilities(None) else { return Finding::ok(CHECK, "unknown") };
    if sets.effective.contains(CapabilitySet::SYS_ADMIN) {
        return Finding::ok(CHECK, "CAP_SYS_ADMIN, which includes what is needed");
    }
    let missing: Vec<&str> =
        NEEDED.into_iter().filter(|(one, _)| !sets.effective.contains(*one)).map(|(_, name)| name).collect();
    if missing.is_empty() {
        return Finding::ok(CHECK, "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
    }
    Finding::fail(
        CHECK,
        format!("this process lacks {}", missing.join(", ")),
        "run it as root; an agent that is not root needs these as AmbientCapabilities= of its unit",
    )
}

fn jit(value: &str) -> Finding {
    const CHECK: &str = "net.core.bpf_jit_enable";
    if value == "0" {
        let found = "0: programs are interpreted, at a tenth of the speed";
        return Finding::warn(CHECK, found, "sysctl -w net.core.bpf_jit_enable=1");
    }
    Finding::ok(CHECK, value)
}

fn hardening(value: &str) -> Finding {
    const CHECK: &str = "net.core.bpf_jit_harden";
    if value == "2" {
        let found = "2: constants are blinded in privileged programs too, which costs time with every packet";
        return Finding::warn(CHECK, found, "sysctl -w net.core.bpf_jit_harden=1, before the agent starts");
    }
    Finding::ok(CHECK, value)
}

fn unprivileged(value: &str) -> Finding {
    const CHECK: &str = "kernel.unprivileged_bpf_disabled";
    if value == "0" {
        let found = "0: every user may load programs into the kernel, which stopbank does not need";
        return Finding::warn(CHECK, found, "sysctl -w kernel.unprivileged_bpf_disabled=2");
    }
    Finding::ok(CHECK, value)
}

fn backlog(value: &str) -> Finding {
    const CHECK: &str = "net.core.netdev_max_backlog";
    if value.parse::<u32>().is_ok_and(|packets| packets < 1_000) {
        let found = format!(
            "{value}: short for bursts, where packets go through another CPU's queue (RPS, generic XDP)"
        );
        return Finding::warn(CHECK, found, "sysctl -w net.core.netdev_max_backlog=1000");
    }
    Finding::ok(CHECK, value)
}

fn cookies(value: &str, answers: bool) -> Finding {
    const CHECK: &str = "net.ipv4.tcp_syncookies";
    match value {
        "0" | "1" if answers => Finding::warn(
            CHECK,
            format!(
                "{value}: the kernel takes no cookies that it did not send, so that none are sent from XDP"
            ),
            "sysctl -w net.ipv4.tcp_syncookies=2, or manage_sysctls = true in the configuration",
        ),
        "0" => Finding::warn(
            CHECK,
            "0: the kernel answers a SYN flood below the limits with a full queue, and takes no cookies",
            "sysctl -w net.ipv4.tcp_syncookies=1",
        ),
        "1" => Finding::ok(CHECK, "1: the kernel sends and takes cookies while a listening queue overflows"),
        value => Finding::ok(CHECK, format!("{value}: the kernel sends and takes cookies always")),
    }
}

fn timestamps(value: &str, answers: bool) -> Finding {
    const CHECK: &str = "net.ipv4.tcp_timestamps";
    if answers && value != "2" {
        let found = format!(
            "{value}: connections made by SYN cookies from XDP lose window scaling and selective acknowledgements"
        );
        let fix = "sysctl -w net.ipv4.tcp_timestamps=2, or manage_sysctls = true in the configuration";
        return Finding::warn(CHECK, found, fix);
    }
    if value == "0" {
        let found = "0: connections made by SYN cookies lose window scaling and selective acknowledgements";
        return Finding::warn(CHECK, found, "sysctl -w net.ipv4.tcp_timestamps=1");
    }
    Finding::ok(CHECK, value)
}

/// With it off, a connection whose SYN conntrack has not seen is invalid to it.
fn loose(value: &str, answers: bool) -> Finding {
    const CHECK: &str = "net.netfilter.nf_conntrack_tcp_loose";
    if answers && value == "0" {
        let found =
            "0: a firewall that drops what is `invalid` drops connections made by SYN cookies from XDP";
        return Finding::warn(CHECK, found, "sysctl -w net.netfilter.nf_conntrack_tcp_loose=1");
    }
    Finding::ok(CHECK, value)
}

/// For the role `gateway`.
pub(super) fn forwarding() -> Finding {
    let on = |name: &str| read(&format!("/proc/sys/net/{name}")).is_some_and(|value| value != "0");
    forwards(on("ipv4/ip_forward"), on("ipv6/conf/all/forwarding"))
}

fn forwards(v4: bool, v6: bool) -> Finding {
    const CHECK: &str = "forwarding";
    match (v4, v6) {
        (true, true) => Finding::ok(CHECK, "IPv4 and IPv6"),
        (true, false) => Finding::ok(CHECK, "IPv4"),
        (false, true) => Finding::ok(CHECK, "IPv6"),
        (false, false) => Finding::warn(
            CHECK,
            "off, though the role is gateway: connections of this host itself are judged by the flow table",
            "role = \"host\", or sysctl -w net.ipv4.ip_forward=1",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn each_setting_is_judged_by_its_value() {
        for (finding, state) in [
            (kernel("6.1.0-9"), State::Ok),
            (kernel("5.10.0-30"), State::Fail),
            (kernel(""), State::Fail),
            (btf(true), State::Ok),
            (btf(false), State::Fail),
            (filesystem(false), State::Warn),
            (forwards(true, false), State::Ok),
            (forwards(false, false), State::Warn),
            (jit("0"), State::Warn),
            (jit("1"), State::Ok),
            (hardening("2"), State::Warn),
            (hardening("1"), State::Ok),
            (unprivileged("0"), State::Warn),
            (unprivileged("2"), State::Ok),
            (backlog("300"), State::Warn),
            (backlog("1000"), State::Ok),
            (cookies("0", false), State::Warn),
            (cookies("1", false), State::Ok),
            (cookies("1", true), State::Warn),
            (cookies("2", true), State::Ok),
            (timestamps("0", false), State::Warn),
            (timestamps("1", false), State::Ok),
            (timestamps("1", true), State::Warn),
            (timestamps("2", true), State::Ok),
            (loose("0", false), State::Ok),
            (loose("0", true), State::Warn),
            (loose("1", true), State::Ok),
        ] {
            assert_eq!(finding.state, state, "{finding:?}");
        }
    }
}
