//! The .rpms, as rpm installs, upgrades and removes them: in a root of their own, which has the files of a Debian below and what is written
//! in memory, in a mount namespace that ends with the test.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use libtest_mimic::Trial;
use stopbank_tests::{
    process::{self, Background},
    scratch::Scratch,
    skip,
};

use crate::{PROGRAMS, no_host, no_program, packages, root};

/// Mounts the root at `$1/root` over the one at `$2`, with what a host has mounted in it, and holds the namespace.
const HOLD: &str = "set -e; mount -t tmpfs tmpfs \"$1\"; cd \"$1\"; mkdir up work root
    mount -t overlay -o lowerdir=\"$2\",upperdir=up,workdir=work overlay root
    mount --rbind /proc root/proc; mkdir -p root/sys/fs/bpf; mount -t bpf bpf root/sys/fs/bpf
    echo ready; exec sleep infinity";

pub(crate) fn trials() -> Vec<Trial> {
    vec![skip::trial(
        "packages: rpm installs both, keeps what was configured in an upgrade, and leaves nothing else behind",
        || no_host().or_else(|| no_program("rpm", "rpm")),
        life,
    )]
}

struct Host {
    holder: Background,
    scratch: Scratch,
}

impl Host {
    fn new() -> Self {
        let scratch = Scratch::new().unwrap();
        let mut command = process::command(Path::new("unshare"), None);
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c", HOLD, "sh"]);
        command.arg(scratch.path()).arg(root());
        // Not where a mount will hide it.
        let log = scratch.path().with_extension("log");
        let mut holder = Background::start(command, &log).unwrap();
        holder
            .wait_until(Duration::from_secs(30), || fs::read_to_string(&log).unwrap().contains("ready"))
            .unwrap();
        fs::remove_file(log).unwrap();
        Self { holder, scratch }
    }

    /// A path below the root, as it is reached from outside.
    fn path(&self, inside: &str) -> PathBuf {
        let root = self.scratch.file("root");
        PathBuf::from(format!("/proc/{}/root{}{inside}", self.holder.id(), root.display()))
    }

    /// Runs rpm, which must succeed; what it and the scripts said that is worth a look.
    fn rpm(&self, words: &[&str]) -> Vec<String> {
        let mut rpm = process::command(Path::new("nsenter"), None);
        rpm.arg(format!("--target={}", self.holder.id())).args(["--mount", "--", "rpm", "--root"]);
        rpm.arg(self.scratch.file("root")).args(["--dbpath=/var/lib/rpm", "--nosignature", "--nodeps"]);
        let output = process::output(rpm.args(words), "").unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        // Debian's rpm says that it is not Debian's way, systemd-sysusers what it makes, and `stopbank detach` that there is nothing to do.
        let usual = |line: &&str| {
            line.starts_with("rpm: ") || line.starts_with("Creating ") || *line == "nothing was protected"
        };
        said.lines().filter(|line| !usual(line)).map(str::to_owned).collect()
    }
}

fn life() {
    let host = Host::new();
    let rpms = PROGRAMS.map(|program| packages().join(program).join("new.rpm").display().to_string());
    assert!(host.rpm(&["--install", &rpms[0], &rpms[1]]).is_empty());
    // As the packages say it is: contents, modes, owners.
    assert!(host.rpm(&["--verify", PROGRAMS[0], PROGRAMS[1]]).is_empty());
    for (file, mode) in [
        ("/usr/bin/stopbank", 0o755),
        ("/usr/bin/stopbank-checker", 0o755),
        ("/etc/stopbank/stopbank.toml", 0o644),
        ("/etc/stopbank-checker/proxy.toml", 0o644),
        ("/usr/lib/systemd/system/stopbank-checker.socket", 0o644),
    ] {
        let found = fs::metadata(host.path(file)).unwrap();
        assert_eq!((found.permissions().mode() & 0o7777, found.uid(), found.gid()), (mode, 0, 0), "{file}");
    }
    let users = fs::read_to_string(host.path("/etc/passwd")).unwrap();
    let ours: Vec<&str> = users.lines().filter(|line| line.starts_with("stopbank")).collect();
    assert!(
        matches!(ours[..], [one] if one.starts_with("stopbank:")),
        "the agent's user, and no other: {ours:?}"
    );

    let configured = host.path("/etc/stopbank-checker/proxy.toml");
    let text = fs::read_to_string(&configured).unwrap() + "# mine\n";
    fs::write(&configured, &text).unwrap();
    // The same again, as an upgrade: there is one version.
    assert!(host.rpm(&["--upgrade", "--force", &rpms[0], &rpms[1]]).is_empty());
    assert_eq!(fs::read_to_string(&configured).unwrap(), text);

    // Each goes by itself.
    let saved = host.rpm(&["--erase", PROGRAMS[1]]);
    assert!(matches!(&saved[..], [one] if one.contains("proxy.toml.rpmsave")), "{saved:?}");
    assert!(host.path("/usr/bin/stopbank").exists() && !host.path("/usr/bin/stopbank-checker").exists());
    let said = host.rpm(&["--erase", PROGRAMS[0]]);
    assert!(said.is_empty(), "{said:?}");
    let root = host.path("").display().to_string();
    let mut find = process::command(Path::new("find"), None);
    find.arg(format!("{root}/")).arg(format!("{root}/sys/fs/bpf"));
    let left = process::run(find.args(["-xdev", "-name", "*stopbank*"])).unwrap();
    let left: Vec<&str> = left.lines().filter_map(|path| path.strip_prefix(&*root)).collect();
    assert_eq!(left, ["/etc/stopbank-checker"], "where what was configured is kept");
}
