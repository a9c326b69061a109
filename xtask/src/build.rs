//! `cargo xtask build`: the BPF objects, then what embeds them.

use std::env::consts::ARCH;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use crate::command::{self, cargo, command};
use crate::setup::{self, Bpf};
use crate::workspace::{self, BPF_TARGET};

/// What the objects are made from; `agent/embed.rs` compares with the same.
const SOURCES: [&str; 2] = ["ebpf/src", "common/src"];

/// The objects.
pub(crate) const OBJECTS: [&str; 4] = ["stopbank-xdp", "traffic-xdp", "bench-xdp", "probe-xdp"];

/// How host programs are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// `cargo xtask build`.
pub(crate) fn run(profile: Profile) -> Result<()> {
    objects()?;
    let mut build = cargo();
    build.arg("build");
    if profile == Profile::Release {
        build.arg("--release");
    }
    command::run(&mut build)
}

/// Builds the BPF objects into target/ebpf, setting the toolchain up when needed.
pub(crate) fn objects() -> Result<()> {
    let bpf = setup::bpf()?;
    let mut build = bpf_cargo(&bpf, &bpf.toolchain.cargo);
    build.args(["build", "--profile", "bpf"]);
    for_bpf(&mut build);
    command::run(&mut build).context("building the BPF programs")?;
    freshen().context("dating the BPF objects")
}

/// `program`, a cargo or one of its subcommands, in the environment of the toolchain for the BPF programs.
pub(crate) fn bpf_cargo(bpf: &Bpf, program: &Path) -> Command {
    let mut command = command(program);
    // What is meant for the host's build is not meant for this one.
    for variable in [
        "RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTUP_TOOLCHAIN",
        "RUSTDOC",
    ] {
        command.env_remove(variable);
    }
    let arch = format!("--cfg=bpf_target_arch=\"{ARCH}\"");
    // The third instruction set has 32-bit operations and atomics that return a value; every kernel we serve has it.
    let flags = ["-C", "link-arg=--btf", "-C", "target-cpu=v3", &arch];
    command
        .env("CARGO", &bpf.toolchain.cargo)
        .env("RUSTC", &bpf.toolchain.rustc)
        // The target has no prebuilt `core`, and building one is a nightly feature, of a stable compiler too.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &bpf.linker)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    command
}

/// The arguments that make a cargo command about the BPF programs.
pub(crate) fn for_bpf(command: &mut Command) {
    command.args(["--package", "stopbank-ebpf", "-Zbuild-std=core", "--target", BPF_TARGET, "--target-dir"]);
    command.arg(workspace::bpf_target());
}

/// Dates objects that cargo found up to date, as it does when only a test module changed: the build scripts that embed
/// them compare times, and would warn for ever.
fn freshen() -> Result<()> {
    let root = workspace::root();
    let mut newest = SystemTime::UNIX_EPOCH;
    for sources in SOURCES {
        newest = newest.max(newest_in(&root.join(sources))?);
    }
    for name in OBJECTS {
        let path = workspace::bpf_objects().join(name);
        let object = File::options().append(true).open(&path).with_context(|| path.display().to_string())?;
        if object.metadata()?.modified()? < newest {
            object.set_modified(SystemTime::now())?;
        }
    }
    Ok(())
}

/// When the newest file under `directory` was last written.
fn newest_in(directory: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let time = if entry.file_type()?.is_dir() {
            newest_in(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        };
        newest = newest.max(time);
    }
    Ok(newest)
}
