//! `cargo xtask run`: the agent from this tree.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::command::{self, say};
use crate::workspace;

/// Builds, then becomes the agent with `arguments`.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    command::require_root("the agent")?;
    build::run(Profile::Release)?;
    become_root("stopbank", arguments)
}

/// Becomes target/release/`name`, under sudo when we are not root.
pub(crate) fn become_root(name: &str, arguments: &[OsString]) -> Result<()> {
    let program = workspace::binaries("release")?.join(name);
    if !command::is_root() {
        say(&format!("{name} needs root, and this is not: running it under sudo"));
    }
    command::exec(command::as_root(&program)?.args(arguments))
}
