//! How a build script takes a BPF object in: shared by `agent/build.rs` and `tests/build.rs`.
//!
//! The objects need a toolchain of their own, so no build script compiles them: `cargo xtask build` does, and what is
//! here only copies the result. Where there is none (an editor, `cargo clippy`, `cargo doc` on a machine without a BPF
//! linker), an empty stub takes the object's place, and what embeds it refuses to run.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Overrides the directory the objects are taken from; relative to the workspace's root.
const DIRECTORY_VARIABLE: &str = "STOPBANK_EBPF_DIR";

/// Where `cargo xtask build` leaves the objects.
const DIRECTORY: &str = "target/ebpf/bpfel-unknown-none/bpf";

/// What the objects are made from.
const SOURCES: [&str; 2] = ["ebpf/src", "common/src"];

/// Copies each of `objects` into `OUT_DIR`, or writes an empty file there. Returns whether every one is real.
pub(crate) fn embed(objects: &[&str]) -> io::Result<bool> {
    let root = variable("CARGO_MANIFEST_DIR")?.join("..");
    let out = variable("OUT_DIR")?;
    let chosen = env::var_os(DIRECTORY_VARIABLE).filter(|value| !value.is_empty());
    let directory = root.join(chosen.unwrap_or_else(|| DIRECTORY.into()));

    println!("cargo::rerun-if-env-changed={DIRECTORY_VARIABLE}");
    for sources in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(sources).display());
    }
    let mut newest_source = SystemTime::UNIX_EPOCH;
    for sources in SOURCES {
        newest_source = newest_source.max(newest(&root.join(sources))?);
    }

    let mut real = true;
    for name in objects {
        let object = directory.join(name);
        // A missing file counts as changed, so a stub is looked at again at every build: the object may be there by then.
        println!("cargo::rerun-if-changed={}", object.display());
        let Some(modified) = modified(&object)? else {
            println!(
                "cargo::warning=no BPF object {name}: an empty stub takes its place; run `cargo xtask build`"
            );
            fs::write(out.join(name), [])?;
            real = false;
            continue;
        };
        if modified < newest_source {
            println!("cargo::warning={name}: object older than its sources: run `cargo xtask build`");
        }
        fs::copy(&object, out.join(name))?;
    }
    Ok(real)
}

/// A variable that cargo always gives to a build script.
fn variable(name: &str) -> io::Result<PathBuf> {
    let value =
        env::var_os(name).ok_or_else(|| io::Error::other(format!("{name} is not set: not run by cargo?")))?;
    Ok(value.into())
}

/// When `path` was last written, `None` when it does not exist.
fn modified(path: &Path) -> io::Result<Option<SystemTime>> {
    match fs::metadata(path) {
        Ok(metadata) => metadata.modified().map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// When the newest file under `directory` was last written.
fn newest(directory: &Path) -> io::Result<SystemTime> {
    let mut latest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let time = if entry.file_type()?.is_dir() {
            newest(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        };
        latest = latest.max(time);
    }
    Ok(latest)
}
