//! What else on this host deals with the same packets, the unit that runs the agent, and the clock that limits go by.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Finding;

/// Programs that put XDP or tc programs of their own on interfaces, by the name of their process, and what that means.
const OTHERS: [(&str, &str); 6] = [
    ("cilium-agent", "Cilium attaches XDP and tc programs to the devices that it manages"),
    ("katran_server", "katran is an XDP load balancer"),
    ("suricata", "Suricata's XDP bypass attaches a program to its capture interface"),
    ("Suricata-Main", "Suricata's XDP bypass attaches a program to its capture interface"),
    ("xdp_fw_daemon", "it is an XDP firewall"),
    ("crowdsec-xdp", "it is an XDP bouncer"),
];

/// What the unit must give the agent where it is not root.
const CAPABILITIES: [&str; 3] = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"];
/// Where a unit may be, the one that counts first.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/stopbank.service",
    "/usr/lib/systemd/system/stopbank.service",
    "/lib/systemd/system/stopbank.service",
];
/// Clocks that are read without leaving the processor: some tens of nanoseconds.
const FAST_CLOCKS: [&str; 5] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "xen"];

/// `answers`: some class is to answer with SYN cookies.
pub(super) fn findings(answers: bool) -> Vec<Finding> {
    let mut findings: Vec<Finding> = others(&processes()).collect();
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    findings.extend(synproxy(&modules, answers));
    let number =
        |name: &str| fs::read_to_string(format!("/proc/sys/net/netfilter/{name}")).ok()?.trim().parse().ok();
    if let (Some(count), Some(most)) = (number("nf_conntrack_count"), number("nf_conntrack_max")) {
        findings.push(conntrack(count, most));
    }
    if let Ok(clock) = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    {
        findings.push(clock_source(clock.trim()));
    }
    if let Some(path) = UNITS.into_iter().map(PathBuf::from).find(|path| path.exists()) {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        findings.extend(fs::read_to_string(&path).ok().map(|text| unit(&path, &text, &users)));
    }
    findings
}

/// Names of the processes that can be seen.
fn processes() -> Vec<String> {
    let name = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.bytes().all(|byte| byte.is_ascii_digit());
        if number { fs::read_to_string(entry.path().join("comm")).ok() } else { None }
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(name).map(|name| name.trim().to_owned()).collect()
}

/// Other XDP programs are looked for on each interface; these are processes that may bring one at any time.
fn others(processes: &[String]) -> impl Iterator<Item = Finding> {
    OTHERS.into_iter().filter(|(name, _)| processes.iter().any(|process| process == name)).map(|(name, what)| {
        Finding::warn(
            format!("conflict: {name}"),
            format!("it is running: {what}"),
            "let it and stopbank have interfaces of their own; stopbank refuses those that have another's program",
        )
    })
}

/// A SYN proxy of the firewall's answers SYNs as well, with cookies of its own.
fn synproxy(modules: &str, answers: bool) -> Option<Finding> {
    let loaded = modules.lines().filter_map(|line| line.split_whitespace().next());
    let proxy = loaded
        .into_iter()
        .find(|name| matches!(*name, "nf_synproxy_core" | "nft_synproxy" | "ipt_SYNPROXY"))?;
    const CHECK: &str = "conflict: SYNPROXY";
    let found = format!("the module {proxy} is loaded: a firewall's SYNPROXY may answer SYNs");
    Some(if answers {
        let fix = "take SYNPROXY out of the firewall's rules: of two that answer, stopbank is first, and costs less";
        Finding::warn(CHECK, format!("{found}, and so does stopbank"), fix)
    } else {
        Finding::ok(CHECK, format!("{found}; stopbank answers none"))
    })
}

/// What stopbank lets pass, conntrack remembers.
fn conntrack(count: u64, most: u64) -> Finding {
    const CHECK: &str = "net.netfilter.nf_conntrack_max";
    let found = format!("{count} of {most} connections are tracked");
    if count * 10 > most * 8 {
        let fix = format!(
            "sysctl -w net.netfilter.nf_conntrack_max={}; when it is full, the firewall drops new connections",
            most * 2
        );
        return Finding::warn(CHECK, found, fix);
    }
    Finding::ok(CHECK, found)
}

fn clock_source(clock: &str) -> Finding {
    const CHECK: &str = "clock source";
    if FAST_CLOCKS.contains(&clock) {
        return Finding::ok(CHECK, clock);
    }
    Finding::warn(
        CHECK,
        format!(
            "{clock}: reading it takes a microsecond or more, which limits that are too fine for the kernel's tick do for each packet"
        ),
        "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource where available_clocksource has it, or larger bursts (400 ms of the rate and more)",
    )
}

/// A unit that runs the agent as a user of its own must give it what it needs.
fn unit(path: &Path, text: &str, users: &str) -> Finding {
    const CHECK: &str = "unit";
    let values = |key: &str| -> Vec<&str> {
        text.lines()
            .filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))
            .map(str::trim)
            .collect()
    };
    let shown = path.display();
    let user = values("User").last().copied().unwrap_or("root");
    if matches!(user, "root" | "0" | "") {
        return Finding::ok(CHECK, format!("{shown} runs the agent as root"));
    }
    let dynamic = values("DynamicUser").last().is_some_and(|value| matches!(*value, "yes" | "true" | "1"));
    let known = users.lines().any(|line| line.split(':').next() == Some(user));
    if !known && !dynamic {
        let found = format!("{shown} runs the agent as {user}, whom /etc/passwd does not know");
        return Finding::fail(CHECK, found, "systemd-sysusers, or install the package again");
    }
    let ambient = values("AmbientCapabilities").join(" ");
    let missing: Vec<&str> =
        CAPABILITIES.into_iter().filter(|one| !ambient.split_whitespace().any(|has| has == *one)).collect();
    if missing.is_empty() {
        return Finding::ok(
            CHECK,
            format!("{shown} runs the agent as {user} with {}", CAPABILITIES.join(", ")),
        );
    }
    Finding::fail(
        CHECK,
        format!("{shown} runs the agent as {user} without {}", missing.join(", ")),
        format!(
            "AmbientCapabilities={} in the unit (systemctl edit stopbank), then systemctl restart stopbank",
            CAPABILITIES.join(" ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_deals_with_the_same_packets_is_named() {
        let running = ["sshd", "cilium-agent"].map(str::to_owned);
        let found: Vec<Finding> = others(&running).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].check.contains("cilium-agent"));
        assert_eq!(synproxy("nf_tables 1 0 - Live\n", true), None);
        let modules = "nft_synproxy 16384 1 - Live 0x0\nnf_tables 1 0 - Live\n";
        assert!(synproxy(modules, true).unwrap().found.contains("and so does stopbank"));
        assert_eq!(synproxy(modules, false).unwrap().state, State::Ok);
        assert_eq!(conntrack(100, 65_536).state, State::Ok);
        assert_eq!(conntrack(60_000, 65_536).state, State::Warn);
        assert_eq!(clock_source("tsc").state, State::Ok);
        assert_eq!(clock_source("hpet").state, State::Warn);
    }

    #[test]
    fn a_unit_must_know_its_user_and_give_it_what_it_needs() {
        let path = Path::new("/etc/systemd/system/stopbank.service");
        let users = "root:x:0:0::/root:/bin/sh\nstopbank:x:990:990::/:/usr/sbin/nologin\n";
        let all = "AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON\n";
        let state = |text: &str, users: &str| unit(path, text, users).state;
        assert_eq!(state("[Service]\nExecStart=x\n", users), State::Ok, "root");
        assert_eq!(state(&format!("User=stopbank\n{all}"), users), State::Ok);
        assert_eq!(state(&format!("User=stopbank\n{all}"), "root:x:0:0\n"), State::Fail);
        assert_eq!(state(&format!("User=stopbank\nDynamicUser=yes\n{all}"), ""), State::Ok);
        let less = unit(path, "User=stopbank\nAmbientCapabilities=CAP_NET_ADMIN\n", users);
        assert_eq!(less.state, State::Fail);
        assert!(less.found.contains("without CAP_BPF, CAP_PERFMON"), "{less:?}");
    }
}
