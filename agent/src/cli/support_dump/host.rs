//! The host, as far as it matters: read from /proc, /sys and the journal.

use std::{
    fmt::Write as _,
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::word;

/// Lines of the journal that are taken.
const LINES: &str = "500";
/// How long the journal may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Versions, processors, memory, and the settings that matter.
pub(super) fn host() -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}: {value}");
    };
    line("stopbank", env!("CARGO_PKG_VERSION"));
    line("kernel", &word("/proc/version"));
    let release = word("/etc/os-release");
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line("system", pretty.unwrap_or("-").trim_matches('"'));
    line("up, seconds", word("/proc/uptime").split(' ').next().unwrap_or("-"));
    line("load", &word("/proc/loadavg"));
    line("processors", &thread::available_parallelism().map_or("-".to_owned(), |number| number.to_string()));
    for wanted in ["MemTotal", "MemAvailable"] {
        let memory = word("/proc/meminfo");
        let found = memory.lines().find_map(|line| line.strip_prefix(wanted)?.strip_prefix(':'));
        line(wanted, found.unwrap_or("-").trim());
    }
    for setting in [
        "kernel/unprivileged_bpf_disabled",
        "net/core/bpf_jit_enable",
        "net/core/bpf_jit_harden",
        "net/core/netdev_max_backlog",
        "net/ipv4/ip_forward",
        "net/ipv4/tcp_syncookies",
        "net/ipv4/tcp_timestamps",
        "net/ipv6/conf/all/forwarding",
    ] {
        line(setting, &word(format!("/proc/sys/{setting}")));
    }
    text
}

/// The interfaces of this network namespace: what is counted of each, and what /sys says of those that it shows.
pub(super) fn interfaces() -> String {
    let table = word("/proc/thread-self/net/dev");
    let mut text = format!("{table}\n\n");
    for name in table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())) {
        let attribute = |attribute: &str| word(format!("/sys/class/net/{name}/{attribute}"));
        let driver = fs::read_link(format!("/sys/class/net/{name}/device/driver"));
        let driver = driver.ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let queues = fs::read_dir(format!("/sys/class/net/{name}/queues")).map_or(0, Iterator::count);
        let _ = writeln!(
            text,
            "{name}: state {}, MTU {}, speed {}, driver {}, {queues} queues",
            attribute("operstate"),
            attribute("mtu"),
            attribute("speed"),
            driver.as_deref().unwrap_or("-"),
        );
    }
    text
}

/// The latest lines that stopbank has logged, where systemd keeps them.
pub(super) fn journal() -> Result<String, String> {
    let arguments =
        ["--unit", "stopbank", "--lines", LINES, "--no-pager", "--output", "short-iso", "--quiet"];
    let child = Command::new("journalctl")
        .args(arguments)
        .env_remove("PAGER")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.map_err(|error| format!("journalctl: {error}"))?;
    // Read on a thread of its own: a pipe that nobody reads would keep it from ending.
    let out = child.stdout.take();
    let reader = thread::spawn(move || out.map(|out| std::io::read_to_string(out).unwrap_or_default()));
    let deadline = Instant::now() + PATIENCE;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = child.kill();
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.wait();
    let text = reader.join().ok().flatten().unwrap_or_default();
    if text.trim().is_empty() {
        Err("the journal has nothing of the unit stopbank".to_owned())
    } else {
        Ok(text)
    }
}
