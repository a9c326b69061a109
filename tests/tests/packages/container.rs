//! A Debian that systemd has booted, in a container (systemd-nspawn) that shares one of the test's network namespaces.
//!
//! Its root is the cached one with a layer in memory over it: nothing that happens inside stays. It runs in a process namespace
//! whose first process the kernel kills with the test, and in control groups of its own, by which its processes are found.

use std::{
    fs::{self, OpenOptions},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use stopbank_tests::{
    netns::Namespace,
    process::{self, Background},
    scratch::Scratch,
};

/// How long a container may take to boot: three seconds on a machine that is idle.
const BOOTING: Duration = Duration::from_secs(60);
/// How long what is killed may take to be gone.
const ENDING: Duration = Duration::from_secs(10);
/// How containers, and their control groups, are named: `<prefix><process of the test>`.
const PREFIX: &str = "stopbank-test-";
/// Where nspawn keeps what mounts are handed in through.
const PROPAGATE: &str = "/run/systemd/nspawn/propagate";

/// A container under way; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Container {
    process: Background,
    groups: Groups,
    /// The container's first process, as numbered outside.
    first: u32,
    _files: Scratch,
}

impl Container {
    /// Boots one over `root`, in the network of `namespace`; `packages` is at /packages.
    pub(crate) fn boot(namespace: &Namespace, root: &Path, packages: &Path) -> Result<Self> {
        let name = format!("{PREFIX}{}", std::process::id());
        let files = Scratch::new()?;
        let groups = Groups::new(&name)?;
        let mut command = namespace.command("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--", "systemd-nspawn", "--boot"]);
        command.args(["--volatile=overlay", "--register=no", "--keep-unit", "--console=pipe", "--quiet"]);
        command.arg("--directory").arg(root).arg(format!("--machine={name}"));
        command.arg(format!("--bind-ro={}:/packages", packages.display()));
        command.args([
            "--network-namespace-path=/proc/self/ns/net",
            "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON,CAP_SYS_ADMIN",
            "--system-call-filter=bpf perf_event_open",
            "systemd.show_status=0",
        ]);
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        groups.enter(&mut command)?;
        let process = Background::start(command, &files.file("console.log"))?;
        let mut container = Self { process, groups, first: 0, _files: files };
        container.wait_for_boot()?;
        // What a host's systemd has mounted, a container's has not; and nspawn shows settings of the kernel read-only.
        container.succeed(&[
            "mount",
            "-t",
            "bpf",
            "-o",
            "mode=0700,nosuid,nodev,noexec",
            "bpf",
            "/sys/fs/bpf",
        ])?;
        container.succeed(&["mount", "-o", "remount,bind,rw", "/proc/sys"])?;
        Ok(container)
    }

    fn wait_for_boot(&mut self) -> Result<()> {
        let deadline = Instant::now() + BOOTING;
        loop {
            if let Some(first) = first_process(self.process.id()) {
                self.first = first;
                let state = self.run(&["systemctl", "is-system-running"])?;
                if state.stdout.starts_with(b"running") {
                    return Ok(());
                }
            }
            if self.process.ended()?.is_some() || Instant::now() > deadline {
                bail!("the container does not boot: {}", self.process.log());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs a command inside to its end, whatever that is.
    pub(crate) fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = process::command(Path::new("nsenter"), None);
        command.arg(format!("--target={}", self.first));
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--"]).args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("PAGER", "cat");
        process::output(&mut command, "")
    }

    /// Runs a command inside that must succeed, and returns what it wrote to stdout.
    pub(crate) fn succeed(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let journal = self.run(&["journalctl", "--no-pager", "--lines=40"])?;
            bail!(
                "{words:?}: {}: {}\nthe container's journal:\n{}",
                output.status,
                said.trim(),
                String::from_utf8_lossy(&journal.stdout)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A path inside, as it is reached from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.first))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.first != 0 {
            // nspawn sees its end, and clears up.
            // SAFETY: takes any numbers; the process is a grandchild that has not been waited for unless nspawn has ended too.
            unsafe { libc::kill(self.first.cast_signed(), libc::SIGKILL) };
            let _ended = self.process.wait(ENDING);
        }
        self.groups.remove();
        let name = self.groups.name.clone();
        let _gone = fs::remove_dir_all(Path::new(PROPAGATE).join(name));
    }
}

/// systemd, which nspawn (a child of `unshare`) has started.
fn first_process(unshare: u32) -> Option<u32> {
    let nspawn = children(unshare).into_iter().next()?;
    children(nspawn).into_iter().find(|child| {
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "systemd")
    })
}

fn children(process: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Control groups of the container's own, one in each hierarchy that systemd makes groups in.
#[derive(Debug)]
struct Groups {
    name: String,
    directories: Vec<PathBuf>,
}

impl Groups {
    fn new(name: &str) -> Result<Self> {
        let mut groups = Self { name: name.to_owned(), directories: Vec::new() };
        for hierarchy in hierarchies()? {
            let directory = hierarchy.join(name);
            fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
            groups.directories.push(directory);
        }
        Ok(groups)
    }

    /// Has `command` run in them.
    fn enter(&self, command: &mut Command) -> Result<()> {
        let mut members: Vec<OwnedFd> = Vec::new();
        for directory in &self.directories {
            let file = OpenOptions::new().write(true).open(directory.join("cgroup.procs"));
            members.push(file.with_context(|| format!("entering {}", directory.display()))?.into());
        }
        // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                for group in &members {
                    // 0 stands for whoever writes it.
                    if libc::write(group.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1 {
                        return Err(io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        Ok(())
    }

    /// Ends what is left in them, and removes them.
    fn remove(&self) {
        self.directories.iter().for_each(|directory| remove_group(directory));
    }
}

fn remove_group(directory: &Path) {
    // There is none in the older hierarchies.
    let _killed = fs::write(directory.join("cgroup.kill"), "1");
    let deadline = Instant::now() + ENDING;
    while directory.exists() && Instant::now() < deadline {
        remove_tree(directory);
        thread::sleep(Duration::from_millis(20));
    }
}

/// Groups are removed from the innermost on; what is in them goes with them.
fn remove_tree(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _busy = fs::remove_dir(directory);
}

/// Where this process is in the unified hierarchy, and in systemd's own where there is one.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let own = |prefix: &str| {
        own.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(prefix).map(str::to_owned))
    };
    let mut found = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, place, kind, options, ..] = fields[..] else { continue };
        let path = match kind {
            "cgroup2" => own(":"),
            "cgroup" if options.split(',').any(|option| option == "name=systemd") => own("name=systemd:"),
            _ => continue,
        };
        if let Some(path) = path {
            found.push(Path::new(place).join(path.trim_start_matches('/')));
        }
    }
    if found.is_empty() {
        bail!("no control groups are mounted");
    }
    Ok(found)
}

/// Removes what containers of processes that are no more have left.
pub(crate) fn sweep() {
    for hierarchy in hierarchies().unwrap_or_default() {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(owner) = name.strip_prefix(PREFIX) else { continue };
            if owner.parse::<u32>().is_ok() && !Path::new("/proc").join(owner).exists() {
                remove_group(&entry.path());
            }
        }
    }
}
