//! What a machine runs: the test programs, the libraries they are linked with, and a shell to start them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Kernel;
use super::archive::Archive;
use super::fetch::program;
use crate::command::{self, cargo, command};
use crate::workspace;

/// The test programs that run in a machine, in this order.
const PROGRAMS: [&str; 3] = ["features", "kernel", "attach"];

/// Tests that do not run in a machine, by the beginning of their names, and why. They run on the host's kernel.
pub(super) const LEFT_OUT: [(&str, &str); 9] = [
    ("a million random frames", "twenty minutes of an emulated processor"),
    ("a flood of random sources", "two million frames in real time"),
    (
        "ten times the limit for 10 s",
        "its one per cent is of a clock that an emulated processor falls behind",
    ),
    ("two CPUs at full speed", "fifteen million frames on each of two processors"),
    ("10 million packets", "ten million frames"),
    ("a million packets in a hundred worlds", "a million frames, and a look at every counter"),
    ("the built-in configuration", "ten million frames"),
    (
        "lists: thousands of single addresses",
        "three thousand changes of maps, and a look at every counter for each of a thousand",
    ),
    ("tunnel: every truncation", "five thousand frames, and a look at every counter for each"),
];

/// The modules that the tests need. A kernel may have one built in.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_net", "veth", "sch_ingress", "cls_bpf"];

/// The machine's network cards, which are on one wire; the tests in `tests/tests/attach` take them.
const CARDS: &str = "eth0,eth1";

/// How lines begin that the machine's first process prints.
pub(super) const UP: &str = "MACHINE-UP ";
pub(super) const ENDED: &str = "MACHINE-ENDED ";
pub(super) const DONE: &str = "MACHINE-DONE";

/// The directories that the first process mounts to or that are expected.
const DIRECTORIES: [&str; 8] = ["bin", "dev", "proc", "run", "sys", "tmp", "t", "modules"];

/// Everything but the kernel's modules.
pub(super) struct Payload {
    /// By the path in the machine, without the slash it begins with.
    files: BTreeMap<String, PathBuf>,
    filter: Option<String>,
}

/// Builds the test programs and gathers what they need.
pub(super) fn build(filter: Option<&str>) -> Result<Payload> {
    let mut files = BTreeMap::from([
        ("bin/busybox".to_owned(), static_busybox()?),
        ("t/stopbank".to_owned(), workspace::binaries("release")?.join("stopbank")),
        ("bin/ip".to_owned(), command::find("ip").context("there is no ip here")?),
    ]);
    for (name, path) in test_programs()? {
        files.insert(format!("t/{name}"), path);
    }
    let programs: Vec<PathBuf> =
        files.iter().filter(|(name, _)| *name != "bin/busybox").map(|(_, path)| path.clone()).collect();
    for program in programs {
        for library in libraries(&program)? {
            files.insert(library.trim_start_matches('/').to_owned(), PathBuf::from(library));
        }
    }
    Ok(Payload { files, filter: filter.map(str::to_owned) })
}

/// busybox brings everything that a small system needs, itself included: it must need no library.
fn static_busybox() -> Result<PathBuf> {
    let path = command::find("busybox").context("there is no busybox here")?;
    if !libraries(&path)?.is_empty() {
        bail!("{} is not static: install busybox-static instead of it", path.display());
    }
    Ok(path)
}

/// Builds the test programs with the rest of the workspace's and returns where they are, in the order of [`PROGRAMS`].
fn test_programs() -> Result<Vec<(&'static str, PathBuf)>> {
    let mut build = cargo();
    build.args(["test", "--release", "--no-run", "--message-format=json"]);
    for name in PROGRAMS {
        build.args(["--test", name]);
    }
    let messages = command::output(&mut build)?;
    let mut found = Vec::new();
    for name in PROGRAMS {
        let executable = messages.lines().find_map(|line| executable(line, name));
        found.push((name, executable.with_context(|| format!("cargo built no test program {name}"))?));
    }
    Ok(found)
}

/// The executable that one of cargo's messages is about, if it is the test program `name`.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    (message["reason"] == "compiler-artifact" && message["target"]["name"] == name)
        .then(|| message["executable"].as_str().map(PathBuf::from))?
}

/// The shared libraries that a program is linked with, the loader included.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let mut ldd = command("ldd");
    ldd.arg(program).env("LC_ALL", "C");
    let said = ldd.output().with_context(|| format!("starting {}", command::describe(&ldd)))?;
    Ok(parse_libraries(&String::from_utf8_lossy(&said.stdout)))
}

/// Reads what ldd says: `name => /path (address)`, or `/path (address)` for the loader.
fn parse_libraries(said: &str) -> Vec<String> {
    let path = |line: &str| {
        let target = line.split_once("=>").map_or(line, |(_, target)| target).trim();
        let path = target.split(" (").next()?;
        path.starts_with('/').then(|| path.to_owned())
    };
    said.lines().filter_map(path).collect()
}

impl Payload {
    /// Writes the initial RAM disk for a kernel.
    pub(super) fn write(&self, kernel: &Kernel, to: &Path) -> Result<()> {
        let mut archive = Archive::new(BufWriter::new(File::create(to)?));
        let modules = modules(kernel)?;
        let mut directories: BTreeSet<String> = DIRECTORIES.map(str::to_owned).into();
        for name in self.files.keys() {
            directories.extend(parents(name));
        }
        // In order: a directory's name is before those of what it holds.
        for directory in &directories {
            archive.directory(directory)?;
        }
        for (name, path) in &self.files {
            let content = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            archive.file(name, &content)?;
        }
        for (number, (_, content)) in modules.iter().enumerate() {
            archive.file(&format!("modules/{number:02}.ko"), content)?;
        }
        archive.file("init", self.init().as_bytes())?;
        archive.finish()?;
        Ok(())
    }

    /// The machine's first process.
    fn init(&self) -> String {
        let mut script = String::from(
            "#!/bin/busybox sh\n\
             /bin/busybox mkdir -p /sbin /usr/bin /usr/sbin\n\
             # What was brought along stays: iproute2's ip can do more than busybox's.\n\
             for name in $(/bin/busybox --list); do\n\
             [ -e /bin/$name ] || /bin/busybox ln -s busybox /bin/$name\n\
             done\n\
             export PATH=/bin\n\
             mount -t proc proc /proc\n\
             mount -t sysfs sysfs /sys\n\
             mount -t devtmpfs devtmpfs /dev\n\
             mount -t bpf bpf /sys/fs/bpf\n\
             mount -t tmpfs tmpfs /tmp\n\
             for module in /modules/*.ko; do insmod $module || echo \"no $module\"; done\n\
             ip link set lo up\n",
        );
        script += &format!("echo \"{UP}$(uname -r)\"\n");
        let skips: String = LEFT_OUT.iter().map(|(test, _)| format!(" --skip \"{test}\"")).collect();
        let filter = self.filter.as_ref().map_or_else(String::new, |filter| format!(" {}", quoted(filter)));
        for name in PROGRAMS {
            script += &format!(
                "STOPBANK_TEST_CARDS={CARDS} /t/{name} --color never{skips}{filter}\n\
                 echo \"{ENDED}{name} $?\"\n"
            );
        }
        script + &format!("echo {DONE}\npoweroff -f\n")
    }
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The directories above a path, the outermost first.
fn parents(path: &str) -> Vec<String> {
    path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect()
}

/// The modules of [`MODULES`] and what they depend on, in the order in which they are to be inserted.
fn modules(kernel: &Kernel) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for name in MODULES {
        let mut modprobe = program("modprobe")?;
        modprobe.arg("-d").arg(&kernel.root).args(["-S", &kernel.release, "--show-depends", name]);
        let shown = command::output(&mut modprobe)
            .with_context(|| format!("Linux {} has no module {name}", kernel.release))?;
        // `builtin NAME` is there already.
        for path in shown.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let path = PathBuf::from(path.trim());
            if !found.iter().any(|(known, _)| *known == path) {
                let content = module(&path)?;
                found.push((path, content));
            }
        }
    }
    Ok(found)
}

/// A module's content, uncompressed: the kernel may not know how.
fn module(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(|| format!("reading {}", path.display()));
    }
    let mut xz: Command = program("xz")?;
    let unpacked =
        xz.arg("-dc").arg(path).output().with_context(|| format!("unpacking {}", path.display()))?;
    if !unpacked.status.success() {
        bail!("unpacking {}: {}", path.display(), String::from_utf8_lossy(&unpacked.stderr).trim());
    }
    Ok(unpacked.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_that_are_files() {
        let said = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(parse_libraries(said), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert!(parse_libraries("\tstatically linked\n").is_empty());
    }

    #[test]
    fn a_test_programs_executable_is_found_among_cargos_messages() {
        let message = |name: &str, executable: Value| {
            serde_json::json!({"reason": "compiler-artifact", "target": {"name": name}, "executable": executable})
                .to_string()
        };
        assert_eq!(
            executable(&message("kernel", "/x/kernel-1".into()), "kernel"),
            Some(PathBuf::from("/x/kernel-1"))
        );
        assert_eq!(executable(&message("kernel", Value::Null), "kernel"), None);
        assert_eq!(executable(&message("attach", "/x/attach-1".into()), "kernel"), None);
        assert_eq!(executable("no JSON", "kernel"), None);
    }

    #[test]
    fn directories_come_before_what_they_hold() {
        assert_eq!(parents("lib/x86_64-linux-gnu/libc.so.6"), ["lib", "lib/x86_64-linux-gnu"]);
        assert!(parents("init").is_empty());
    }

    #[test]
    fn the_first_process_leaves_out_what_is_named_and_says_how_each_program_ended() {
        let script = Payload { files: BTreeMap::new(), filter: Some("o'clock".to_owned()) }.init();
        for (test, _) in LEFT_OUT {
            assert!(script.contains(&format!("--skip \"{test}\"")), "{script}");
        }
        for name in PROGRAMS {
            assert!(script.contains(&format!("echo \"{ENDED}{name} $?\"")), "{script}");
        }
        assert!(script.contains(r"'o'\''clock'"), "{script}");
    }
}
