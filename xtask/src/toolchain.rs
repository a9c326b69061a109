//! Rust toolchains that can compile the `core` of another target: those that come with the standard library's sources.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::command::{self, command};

/// The oldest compiler that the BPF programs build with: the minor version of Rust 1.
const OLDEST_MINOR: u32 = 95;

/// LLVM's major versions that the bpf-linker we install can be built with.
pub(crate) const LLVM_VERSIONS: std::ops::RangeInclusive<u32> = 21..=23;

/// A Rust toolchain with the sources of the standard library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// What the user knows it as.
    pub(crate) name: String,
    /// Its compiler; the real one, no rustup proxy.
    pub(crate) rustc: PathBuf,
    /// Its cargo.
    pub(crate) cargo: PathBuf,
    /// The standard library's sources.
    pub(crate) sources: PathBuf,
    /// Its version, as in `1.96.0`.
    pub(crate) release: String,
    /// The major version of its LLVM.
    pub(crate) llvm: u32,
}

impl Toolchain {
    /// Why it cannot compile the BPF programs; `None` when it can.
    pub(crate) fn unfit(&self) -> Option<String> {
        if !recent(&self.release) {
            return Some(format!("its rustc is {}, older than 1.{OLDEST_MINOR}", self.release));
        }
        if !LLVM_VERSIONS.contains(&self.llvm) {
            let (from, to) = (LLVM_VERSIONS.start(), LLVM_VERSIONS.end());
            return Some(format!("its LLVM is {}, and bpf-linker is built with {from} to {to}", self.llvm));
        }
        None
    }

    /// As kept in the record.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "name": self.name, "rustc": self.rustc, "cargo": self.cargo, "sources": self.sources,
                "release": self.release, "llvm": self.llvm })
    }

    /// As read from the record; `None` when that was written by another version of this program.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let text = |field: &str| value[field].as_str().map(str::to_owned);
        Some(Self {
            name: text("name")?,
            rustc: text("rustc")?.into(),
            cargo: text("cargo")?.into(),
            sources: text("sources")?.into(),
            release: text("release")?,
            llvm: value["llvm"].as_u64()?.try_into().ok()?,
        })
    }
}

/// Whether a rustc of this version compiles the BPF programs; a distribution may have added to the version.
pub(crate) fn recent(release: &str) -> bool {
    let minor = release.strip_prefix("1.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    minor.is_some_and(|minor| minor >= OLDEST_MINOR)
}

/// Every toolchain here that has the standard library's sources, the preferred one first: rustup's (the active one, stable,
/// versions, nightly), then the system's.
pub(crate) fn with_sources() -> Vec<Toolchain> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (name, sysroot) in rustup_toolchains().into_iter().chain(system_toolchains()) {
        // Rustup's toolchains may be links to one another.
        let sysroot = fs::canonicalize(&sysroot).unwrap_or(sysroot);
        if !seen.insert(sysroot.clone()) {
            continue;
        }
        if let Some(toolchain) = inspect(name, &sysroot) {
            found.push(toolchain);
        }
    }
    found
}

/// The toolchain under `sysroot`, when it has all that is needed.
fn inspect(name: String, sysroot: &Path) -> Option<Toolchain> {
    let sources = sysroot.join("lib/rustlib/src/rust/library");
    let rustc = sysroot.join("bin/rustc");
    let cargo = sysroot.join("bin/cargo");
    let complete = sources.join("core/src/lib.rs").exists()
        && command::is_executable(&rustc)
        && command::is_executable(&cargo);
    if !complete {
        return None;
    }
    let (release, llvm) = version(&rustc).ok()?;
    Some(Toolchain { name, rustc, cargo, sources, release, llvm })
}

/// Rustup's toolchains, by name and directory, in the order of preference.
fn rustup_toolchains() -> Vec<(String, PathBuf)> {
    let home =
        env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".rustup")));
    let Some(Ok(entries)) = home.map(|home| fs::read_dir(home.join("toolchains"))) else {
        return Vec::new();
    };
    let active = env::var("RUSTUP_TOOLCHAIN").unwrap_or_default();
    let mut names: Vec<(String, PathBuf)> = entries
        .filter_map(Result::ok)
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect();
    names.sort_by_key(|(name, _)| (rank(name, &active), name.clone()));
    names.into_iter().map(|(name, path)| (format!("rustup's {name}"), path)).collect()
}

/// Smaller is better. A nightly comes last even when it is active: what it takes as `core` changes every day.
fn rank(name: &str, active: &str) -> u8 {
    match name {
        _ if name.starts_with("nightly") => 3,
        _ if name == active => 0,
        _ if name.starts_with("stable") => 1,
        _ => 2,
    }
}

/// The sysroots of compilers that the system's package manager installs.
fn system_toolchains() -> Vec<(String, PathBuf)> {
    ["/usr", "/usr/local"].map(|prefix| (format!("{prefix}/bin/rustc"), PathBuf::from(prefix))).into()
}

/// The version of `rustc`, and the major version of its LLVM.
fn version(rustc: &Path) -> Result<(String, u32)> {
    let text = command::output(command(rustc).env_remove("RUSTC_BOOTSTRAP").arg("-vV"))?;
    parse_version(&text).with_context(|| format!("{} tells no version", rustc.display()))
}

fn parse_version(text: &str) -> Option<(String, u32)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let llvm = field("LLVM version")?.split('.').next()?.parse().ok()?;
    Some((field("release")?.to_owned(), llvm))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(release: &str, llvm: u32) -> Toolchain {
        let path = PathBuf::from("/x");
        Toolchain {
            name: "x".into(),
            rustc: path.clone(),
            cargo: path.clone(),
            sources: path,
            release: release.into(),
            llvm,
        }
    }

    #[test]
    fn a_compiler_tells_its_version_and_its_llvm() {
        let text = "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\n\
                    LLVM version: 22.1.8\n";
        assert_eq!(parse_version(text), Some(("1.96.0".into(), 22)));
        assert_eq!(parse_version("release: 1.96.0\n"), None);
    }

    #[test]
    fn too_old_a_compiler_or_another_llvm_is_unfit_and_says_why() {
        assert_eq!(toolchain("1.95.0", 22).unfit(), None);
        assert_eq!(toolchain("1.98.0-nightly", 23).unfit(), None);
        assert!(toolchain("1.85.0", 22).unfit().is_some_and(|why| why.contains("1.85.0")));
        assert!(toolchain("1.96.0", 20).unfit().is_some_and(|why| why.contains("LLVM is 20")));
        assert!(toolchain("unknown", 22).unfit().is_some());
        assert!(recent("1.96.0+dfsg1-1~deb12u2") && !recent("1.85.0+dfsg3-1~deb12u3"));
    }

    #[test]
    fn the_active_toolchain_comes_first_and_nightly_last() {
        let mut names = ["nightly-x", "1.95.0-x", "stable-x", "1.96.0-x"];
        names.sort_by_key(|name| rank(name, "1.96.0-x"));
        assert_eq!(names, ["1.96.0-x", "stable-x", "1.95.0-x", "nightly-x"]);
        assert_eq!(rank("nightly-x", "nightly-x"), 3);
    }

    #[test]
    fn the_record_gives_back_what_was_written() {
        let one = toolchain("1.96.0", 22);
        assert_eq!(Toolchain::from_json(&one.to_json()), Some(one));
        assert_eq!(Toolchain::from_json(&Value::Null), None);
    }
}
