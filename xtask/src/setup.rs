//! `cargo xtask setup`: a toolchain that compiles Rust to BPF, found or installed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::command::say;
use crate::toolchain::{self, Toolchain};
use crate::{llvm, packages, tools, workspace};

/// Debian's packages of a recent rustc: it has rust-src, which rustup needs a network for.
const DEBIAN_RUST: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What Debian's newer rustc-web loads its LLVM by; older versions have no such package.
const DEBIAN_RUST_LLVM: &str = "rust-web-llvm";

/// What compiles and links the BPF programs.
pub(crate) struct Bpf {
    /// The compiler, its cargo and sources.
    pub(crate) toolchain: Toolchain,
    /// bpf-linker, of the same LLVM.
    pub(crate) linker: PathBuf,
}

/// `cargo xtask setup`.
pub(crate) fn run() -> Result<()> {
    let bpf = bpf()?;
    let Toolchain { name, release, llvm, rustc, sources, .. } = &bpf.toolchain;
    say(&format!("BPF programs: {name}, rustc {release}, LLVM {llvm}"));
    say(&format!("  compiler {}", rustc.display()));
    say(&format!("  sources  {}", sources.display()));
    say(&format!("  linker   {}", bpf.linker.display()));
    Ok(())
}

/// The toolchain for the BPF programs: the one picked before, when it is unchanged; otherwise picked, and installed when
/// there is none.
pub(crate) fn bpf() -> Result<Bpf> {
    if let Some(bpf) = recorded() {
        return Ok(bpf);
    }
    let bpf = pick()?;
    record(&bpf)?;
    let Toolchain { name, release, llvm, .. } = &bpf.toolchain;
    say(&format!(
        "picked for the BPF programs: {name} (rustc {release}, LLVM {llvm}), {}",
        bpf.linker.display()
    ));
    Ok(bpf)
}

fn pick() -> Result<Bpf> {
    let found = toolchain::with_sources();
    let (unfit, fit): (Vec<_>, Vec<_>) = found.iter().partition(|one| one.unfit().is_some());
    if let Some(bpf) = without_packages(&fit)? {
        return Ok(bpf);
    }
    if packages::available() {
        for one in fit {
            let development = format!("llvm-{}-dev", one.llvm);
            if packages::candidate(&development).is_some() {
                packages::install(&[&development])?;
                return without_packages(&[one])?.context("LLVM was installed, and is not found");
            }
        }
        if let Some(bpf) = from_debian()? {
            return Ok(bpf);
        }
    }
    bail!("{}", advice(&unfit, packages::available()))
}

/// The first of `toolchains` that there is a linker for, or that one can be compiled for with what is here.
fn without_packages(toolchains: &[&Toolchain]) -> Result<Option<Bpf>> {
    for &one in toolchains {
        if let Some(linker) = tools::linker_at_hand(one.llvm) {
            return Ok(Some(Bpf { toolchain: one.clone(), linker }));
        }
    }
    for &one in toolchains {
        if let Some(prefix) = llvm::development(one.llvm) {
            let linker = tools::install_linker(one.llvm, &prefix)?;
            return Ok(Some(Bpf { toolchain: one.clone(), linker }));
        }
    }
    Ok(None)
}

/// Debian's compiler and LLVM, installed by apt; `None` when this is a system without them, or with older ones.
fn from_debian() -> Result<Option<Bpf>> {
    for name in DEBIAN_RUST {
        // The versions before Debian's security archive has its say are too old: not worth their half gigabyte.
        if !packages::candidate(name).is_some_and(|version| toolchain::recent(&version)) {
            return Ok(None);
        }
    }
    let llvm = packages::candidate(DEBIAN_RUST_LLVM).map(|_| DEBIAN_RUST_LLVM);
    packages::install(&DEBIAN_RUST.into_iter().chain(llvm).collect::<Vec<_>>())?;
    let found = toolchain::with_sources();
    for one in found.iter().filter(|one| one.unfit().is_none()) {
        if tools::linker_at_hand(one.llvm).is_none() && llvm::development(one.llvm).is_none() {
            let development = format!("llvm-{}-dev", one.llvm);
            if packages::candidate(&development).is_none() {
                continue;
            }
            packages::install(&[&development])?;
        }
        return without_packages(&[one]);
    }
    Ok(None)
}

/// What to install, when nothing here can be used.
fn advice(unfit: &[&Toolchain], apt: bool) -> String {
    let mut text = String::from("no toolchain here compiles Rust to BPF.\n");
    for one in unfit {
        text += &format!("  {} is no use: {}\n", one.name, one.unfit().unwrap_or_default());
    }
    text += "Any one of these is enough; then run `cargo xtask setup` again:\n\
             \n  with rustup (rustc 1.95 or newer):\n    \
             rustup component add rust-src\n    \
             and the development files of the LLVM that `rustc -vV` names: on Debian and Ubuntu the package\n    \
             llvm-N-dev, N being 21, 22 or 23 (also at apt.llvm.org); elsewhere set LLVM_PREFIX to where they are\n\
             \n  with rustup and no LLVM: a bpf-linker 0.13 or newer of the same LLVM, on PATH\n\
             \n  with Debian 12 or newer, its security archive included, as root:\n    \
             apt-get update\n    \
             apt-get install --no-install-recommends rustc-web cargo-web rust-web-src rust-web-llvm llvm-22-dev";
    if apt {
        text += "\n    (apt was asked, and has no such packages in a version that serves)";
    }
    text
}

/// Where the choice is kept, with what tells whether it still stands.
fn record_file() -> PathBuf {
    workspace::tools().join("toolchain.json")
}

fn record(bpf: &Bpf) -> Result<()> {
    let file = record_file();
    fs::create_dir_all(workspace::tools())
        .with_context(|| format!("making {}", workspace::tools().display()))?;
    let record = json!({
        "toolchain": bpf.toolchain.to_json(),
        "linker": bpf.linker,
        "linker_version": tools::LINKER_VERSION,
        "files": stamps(&bpf.toolchain, &bpf.linker),
    });
    fs::write(&file, format!("{record:#}\n")).with_context(|| format!("writing {}", file.display()))
}

/// The choice made before; `None` when there is none, or when one of its files is gone or another one now.
fn recorded() -> Option<Bpf> {
    let record: Value = serde_json::from_slice(&fs::read(record_file()).ok()?).ok()?;
    let toolchain = Toolchain::from_json(&record["toolchain"])?;
    let linker = PathBuf::from(record["linker"].as_str()?);
    let same =
        record["linker_version"] == tools::LINKER_VERSION && record["files"] == stamps(&toolchain, &linker);
    (same && toolchain.unfit().is_none()).then_some(Bpf { toolchain, linker })
}

/// Size and time of every file that the choice rests on.
fn stamps(toolchain: &Toolchain, linker: &Path) -> Value {
    let core = toolchain.sources.join("core/src/lib.rs");
    let stamps = [&toolchain.rustc, &toolchain.cargo, &core, linker].map(|file: &Path| {
        fs::metadata(file)
            .map_or(Value::Null, |found| json!([found.len(), found.mtime(), found.mtime_nsec()]))
    });
    Value::from(stamps.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_every_way_and_what_was_found_unfit() {
        let old = Toolchain {
            name: "rustup's old".into(),
            rustc: "/x/rustc".into(),
            cargo: "/x/cargo".into(),
            sources: "/x".into(),
            release: "1.80.0".into(),
            llvm: 18,
        };
        let text = advice(&[&old], true);
        for part in [
            "rustup's old",
            "1.80.0",
            "rust-src",
            "bpf-linker",
            "llvm-22-dev",
            "rust-web-src",
            "apt was asked",
        ] {
            assert!(text.contains(part), "no {part} in: {text}");
        }
    }

    #[test]
    fn a_missing_file_is_no_stamp_of_a_present_one() {
        let gone = Path::new("/nonexistent/linker");
        let here = Path::new("/proc/self/exe");
        let toolchain = Toolchain {
            name: String::new(),
            rustc: here.into(),
            cargo: here.into(),
            sources: here.into(),
            release: String::new(),
            llvm: 22,
        };
        assert_ne!(stamps(&toolchain, gone), stamps(&toolchain, here));
    }
}
