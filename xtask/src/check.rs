//! `cargo xtask check`: what is asked of the tree besides passing its tests.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::command::{self, cargo, command, say};
use crate::setup::{self, Bpf};
use crate::totals::{SKIPPED, Totals};
use crate::{build, packages, tools, workspace};

/// What the user asks of a run.
#[derive(Args)]
pub(crate) struct Options {
    /// Only checks whose name contains this: format, lints, lints-bpf, fuzz, docs, stub, dependencies, advisories
    filter: Option<String>,
}

/// What came of a check that did not fail.
enum Outcome {
    Passed,
    /// Why it cannot run here.
    Skipped(String),
}

/// One check.
type Check = fn() -> Result<Outcome>;

/// Every check, the quickest to fail first.
const CHECKS: [(&str, Check); 8] = [
    ("format", format),
    ("lints", lints),
    ("lints-bpf", lints_bpf),
    ("fuzz", fuzz),
    ("docs", docs),
    ("stub", stub),
    ("dependencies", dependencies),
    ("advisories", advisories),
];

/// How clippy is asked about this workspace. It looks again at whatever it was asked about otherwise.
const DENYING: [&str; 4] = ["--keep-going", "--", "-D", "warnings"];

/// The host that the database of advisories comes from.
const ADVISORY_HOST: &str = "github.com:443";

/// How long it is given to answer, milliseconds.
const ADVISORY_HOST_PATIENCE_MS: u64 = 3_000;

/// Runs the checks, all of them even when one fails, and closes with how many passed, alone on the last line.
pub(crate) fn run(options: &Options) -> Result<()> {
    // The documentation and the lints look at what a build makes: it has to be there, and its failure is not theirs.
    build::objects()?;
    let mut totals = Totals::default();
    let mut skipped = Vec::new();
    for (name, check) in CHECKS {
        if options.filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        say(&format!("check {name}"));
        let start = Instant::now();
        match check() {
            Ok(Outcome::Passed) => {
                totals.passed += 1;
                say(&format!("check {name} passed ({} s)", start.elapsed().as_secs()));
            }
            Ok(Outcome::Skipped(reason)) => {
                totals.skipped += 1;
                skipped.push(format!("{SKIPPED}check {name}: {reason}"));
            }
            Err(error) => {
                totals.failed += 1;
                say(&format!("check {name} FAILED: {error:#}"));
            }
        }
    }
    for line in skipped {
        println!("{line}");
    }
    println!("{totals}");
    let none = totals == Totals::default();
    if none {
        say("error: no check has such a name");
    }
    if totals.failed > 0 || none {
        // Said above already: the totals are the last line.
        std::process::exit(1);
    }
    Ok(())
}

fn format() -> Result<Outcome> {
    passed(cargo().args(["fmt", "--all", "--check"]))
}

fn lints() -> Result<Outcome> {
    passed(cargo().args(["clippy", "--all-targets"]).args(DENYING))
}

/// Whether the fuzz targets, which are a workspace of their own, still fit what they call.
fn fuzz() -> Result<Outcome> {
    packages::require(&packages::FUZZING)?;
    passed(
        cargo()
            .args(["clippy", "--manifest-path", "fuzz/Cargo.toml", "--locked", "--", "-D", "warnings"])
            .env("CARGO_TARGET_DIR", workspace::root().join("target")),
    )
}

/// Clippy for the BPF programs: only the one that belongs to their compiler can read what that compiler made.
fn lints_bpf() -> Result<Outcome> {
    let bpf = setup::bpf()?;
    let Some(clippy) = bpf_clippy(&bpf)? else {
        let compiler = bpf.toolchain.rustc.display();
        return Ok(Outcome::Skipped(format!(
            "{compiler} has no clippy beside it (rustup component add clippy)"
        )));
    };
    let mut lint = build::bpf_cargo(&bpf, &clippy);
    lint.arg("clippy");
    build::for_bpf(&mut lint);
    passed(lint.args(["--profile", "bpf", "--keep-going", "--", "-D", "warnings"]))
}

/// The cargo-clippy of the toolchain for the BPF programs, installed where it is a package of Debian's.
fn bpf_clippy(bpf: &Bpf) -> Result<Option<PathBuf>> {
    const DEBIAN_CLIPPY: &str = "rust-web-clippy";
    let directory = bpf.toolchain.rustc.parent().context("a compiler is in a directory")?;
    let clippy = directory.join("cargo-clippy");
    if !command::is_executable(&clippy)
        && directory == Path::new("/usr/bin")
        && packages::available()
        && packages::candidate(DEBIAN_CLIPPY).is_some()
    {
        packages::install(&[DEBIAN_CLIPPY])?;
    }
    Ok(command::is_executable(&clippy).then_some(clippy))
}

/// Documentation of what is private too: it is engineers who read it, so public items may refer to it.
fn docs() -> Result<Outcome> {
    passed(
        cargo()
            .args(["doc", "--no-deps", "--keep-going", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"),
    )
}

/// What embeds an object must compile without one, and say that it did. By clippy, of everything: what embeds none is then as [`lints`] has
/// left it, and what all depend on has the features with which it is compiled already.
fn stub() -> Result<Outcome> {
    let nowhere = workspace::tools().join("no-objects");
    fs::create_dir_all(&nowhere).with_context(|| format!("making {}", nowhere.display()))?;
    let mut check = cargo();
    check.arg("clippy").args(DENYING);
    let output = check
        .env("STOPBANK_EBPF_DIR", &nowhere)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", command::describe(&check)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("without BPF objects {} failed ({}):\n{said}", command::describe(&check), output.status);
    }
    for object in build::OBJECTS {
        if !said.contains(&format!("no BPF object {object}: an empty stub takes its place")) {
            bail!("without BPF objects the build did not say that {object} is a stub:\n{said}");
        }
    }
    Ok(Outcome::Passed)
}

/// Licences, duplicates and sources of what we depend on, on every platform: what only others need has not been fetched to
/// build here.
fn dependencies() -> Result<Outcome> {
    command::run(cargo().args(["fetch", "--locked"])).context("fetching what other platforms depend on")?;
    passed(command(tools::deny()?).args(["--offline", "check", "bans", "licenses", "sources"]))
}

/// Known vulnerabilities in what we depend on, where their database can be had.
fn advisories() -> Result<Outcome> {
    if !reachable(ADVISORY_HOST) {
        return Ok(Outcome::Skipped(format!("the database is at {ADVISORY_HOST}, which does not answer")));
    }
    passed(command(tools::deny()?).args(["check", "advisories"]))
}

fn reachable(host: &str) -> bool {
    let patience = Duration::from_millis(ADVISORY_HOST_PATIENCE_MS);
    host.to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.any(|one| TcpStream::connect_timeout(&one, patience).is_ok()))
}

/// Passed when `command` succeeds. What it prints is for the user: stdout ends with the totals.
fn passed(command: &mut std::process::Command) -> Result<Outcome> {
    command::run(command.stdin(Stdio::null()).stdout(std::io::stderr()))?;
    Ok(Outcome::Passed)
}
