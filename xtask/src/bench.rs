//! `cargo xtask bench`: the cost per packet, live frames and a service under attack, ours and others'; `cargo xtask bench checker`: the checker's.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::command::{cargo, command};
use crate::run::become_root;
use crate::{command, packages, score, workspace};

/// Sets up and builds, then becomes the benchmark with `arguments`.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    if let Some((first, rest)) = arguments.split_first()
        && first == "checker"
    {
        return checker(rest);
    }
    command::require_root("the benchmark")?;
    packages::require(&packages::NAMESPACES)?;
    packages::require(&packages::BENCHMARK)?;
    build::run(Profile::Release)?;
    become_root("bench", arguments)
}

/// The same for the checker. Neither root nor the BPF tools are needed, but to install the peer.
fn checker(arguments: &[OsString]) -> Result<()> {
    score::require_peer()?;
    let packages = ["-p", "stopbank-checker", "-p", "stopbank-checker-bench"];
    command::run(cargo().args(["build", "--release"]).args(packages))?;
    let arguments = arguments.iter().filter(|argument| *argument != "--");
    command::exec(command(workspace::binaries("release")?.join("stopbank-checker-bench")).args(arguments))
}
