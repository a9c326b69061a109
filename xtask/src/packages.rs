//! The distribution's packages: what is missing, and installing only that.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Once;

use anyhow::{Result, bail};

use crate::command::{self, command, say};

/// A program that something here runs, and the Debian package that has it.
pub(crate) struct Package {
    /// The program; it is looked for, because it may well come from elsewhere than Debian.
    pub(crate) program: &'static str,
    /// The package's name.
    pub(crate) name: &'static str,
    /// The service that the package starts when it is installed. Nobody asked for that one: it is stopped again.
    pub(crate) service: Option<&'static str>,
}

/// What the tests and the demo run inside their namespaces.
pub(crate) const NAMESPACES: [Package; 3] = [
    Package { program: "curl", name: "curl", service: None },
    Package { program: "nginx", name: "nginx-light", service: Some("nginx") },
    Package { program: "ip", name: "iproute2", service: None },
];

/// What counts, independently of the program, what has passed it: in the tests and the benchmark, beside [`NAMESPACES`].
pub(crate) const WITNESS: [Package; 1] =
    [Package { program: "nft", name: "nftables", service: Some("nftables") }];

/// Clients of the tests alone, beside [`NAMESPACES`]: where apt has no say, the tests that want one are skipped.
pub(crate) const CLIENTS: [Package; 2] = [
    Package { program: "wrk", name: "wrk", service: None },
    Package { program: "chromium", name: "chromium", service: None },
];

/// What the checker's tests make certificates with, have ask it, start it as a service manager does and judge its unit with; skipped like [`CLIENTS`].
pub(crate) const CHECKER: [Package; 4] = [
    Package { program: "haproxy", name: "haproxy", service: Some("haproxy") },
    Package { program: "openssl", name: "openssl", service: None },
    Package { program: "systemd-socket-activate", name: "systemd", service: None },
    Package { program: "systemd-analyze", name: "systemd", service: None },
];

/// What watches an agent in the tests alone, and the tool that checks rules; skipped like [`CLIENTS`].
pub(crate) const MONITORS: [Package; 2] = [
    Package { program: "prometheus", name: "prometheus", service: Some("prometheus") },
    Package {
        program: "prometheus-alertmanager",
        name: "prometheus-alertmanager",
        service: Some("prometheus-alertmanager"),
    },
];

/// What the benchmark compares with, beside [`WITNESS`], and what makes its server's certificate; beside [`NAMESPACES`].
pub(crate) const BENCHMARK: [Package; 2] = [
    Package { program: "xdp-filter", name: "xdp-tools", service: None },
    Package { program: "openssl", name: "openssl", service: None },
];

/// What libFuzzer is compiled with.
pub(crate) const FUZZING: [Package; 1] = [Package { program: "c++", name: "g++", service: None }];

/// A front end of which it is measured what asking the checker adds.
pub(crate) const HAPROXY: [Package; 1] =
    [Package { program: "haproxy", name: "haproxy", service: Some("haproxy") }];

/// The server behind front ends, and one of them.
pub(crate) const UPSTREAM: [Package; 1] =
    [Package { program: "nginx", name: "nginx-light", service: Some("nginx") }];

/// What servers are started with that are measured: they end with their parent, on one processor.
pub(crate) const PINNED: [Package; 2] = [
    Package { program: "setpriv", name: "util-linux", service: None },
    Package { program: "taskset", name: "util-linux", service: None },
];

/// Installs those of `packages` whose program is missing.
pub(crate) fn require(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages.iter().filter(|one| command::find(one.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !available() {
        let programs: Vec<&str> = missing.iter().map(|one| one.program).collect();
        bail!("missing: {}; install them: there is no apt-get here to do it with", programs.join(", "));
    }
    install(&missing.iter().map(|one| one.name).collect::<Vec<_>>())?;
    for package in missing {
        if let Some(service) = package.service {
            stop(service);
        }
    }
    Ok(())
}

/// Installs those of `packages` whose program is missing and that apt has; without apt, says which are missing.
pub(crate) fn wish(packages: &[Package]) -> Result<()> {
    let missing = packages.iter().filter(|one| command::find(one.program).is_none());
    let (known, unknown): (Vec<&Package>, Vec<&Package>) =
        missing.partition(|one| available() && candidate(one.name).is_some());
    for one in unknown {
        say(&format!("{} is missing, and apt does not have it here: what wants it is skipped", one.program));
    }
    if known.is_empty() {
        return Ok(());
    }
    install(&known.iter().map(|one| one.name).collect::<Vec<_>>())?;
    known.iter().filter_map(|one| one.service).for_each(stop);
    Ok(())
}

/// Whether this is a system with apt.
pub(crate) fn available() -> bool {
    command::find("apt-get").is_some()
}

/// Installs the packages `names`, which are missing.
pub(crate) fn install(names: &[&str]) -> Result<()> {
    command::require_root(&format!("apt-get install --no-install-recommends {}", names.join(" ")))?;
    refresh();
    say(&format!("installing by apt: {}", names.join(" ")));
    apt_get(&[&["install", "--yes", "--no-install-recommends", "--"], names].concat())
}

/// The version of `name` that apt would install; `None` when it knows none.
pub(crate) fn candidate(name: &str) -> Option<String> {
    refresh();
    let policy =
        command::output(command("apt-cache").env("LC_ALL", "C").args(["policy", "--", name])).ok()?;
    parse_candidate(&policy)
}

fn parse_candidate(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// Brings apt's lists up to date, once: a fresh machine has none, an old one has versions that are gone.
fn refresh() {
    static ONCE: Once = Once::new();
    if command::require_root("apt-get update").is_err() {
        return;
    }
    ONCE.call_once(|| {
        say("apt-get update");
        if let Err(error) = apt_get(&["update", "--quiet"]) {
            say(&format!("{error:#}; going on with the lists that are here"));
        }
    });
}

/// Runs apt-get as root, asking nothing, waiting for another apt to end.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut apt = command::as_root(Path::new("env"))?;
    apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]);
    // Its stdout is dpkg unpacking, a line or three for each package; what goes wrong is on stderr.
    apt.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command::run(&mut apt)
}

/// Stops `service` and keeps it from starting at boot, best effort: we run the program ourselves, in a namespace.
fn stop(service: &str) {
    let (program, arguments): (&str, &[&str]) = if fs::exists("/run/systemd/system").unwrap_or(false) {
        ("systemctl", &["disable", "--now", "--quiet", service])
    } else {
        ("service", &[service, "stop"])
    };
    let Ok(mut stop) = command::as_root(Path::new(program)) else { return };
    if stop.args(arguments).stdin(Stdio::null()).output().is_ok_and(|done| done.status.success()) {
        say(&format!("the service {service}, which its package starts, is stopped and off"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_names_a_candidate_or_none() {
        let known = "llvm-22-dev:\n  Installed: (none)\n  Candidate: 1:22.1.8-1\n  Version table:\n";
        assert_eq!(parse_candidate(known).as_deref(), Some("1:22.1.8-1"));
        assert_eq!(parse_candidate("llvm-22-dev:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(parse_candidate(""), None);
    }
}
