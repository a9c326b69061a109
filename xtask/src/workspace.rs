//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The target triple of the BPF objects. Little-endian, as every host we build for.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    // Cargo sets it for what it runs; what is compiled in serves a binary that is started by hand.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where cargo leaves the binaries of the profile `profile` ("debug", "release"): beside this one, wherever the user's
/// configuration puts the target directory.
pub(crate) fn binaries(profile: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("finding this program's own file")?;
    let target =
        own.parent().and_then(Path::parent).context("this program is not in a cargo target directory")?;
    Ok(target.join(profile))
}

/// The target directory of the BPF build: its own, because another compiler fills it.
pub(crate) fn bpf_target() -> PathBuf {
    root().join("target/ebpf")
}

/// Where the BPF objects are; the build scripts look there.
pub(crate) fn bpf_objects() -> PathBuf {
    bpf_target().join(BPF_TARGET).join("bpf")
}

/// The root of the tools installed for this tree: programs in its `bin`.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// Where tools are kept for the next clone; `None` when this user has no home.
pub(crate) fn cache() -> Option<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(cache) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
        _ => env::home_dir()?.join(".cache"),
    };
    Some(base.join("stopbank/tools"))
}
