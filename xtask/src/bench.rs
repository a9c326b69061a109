//! `cargo xtask bench`: the cost per packet, ours and others'.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::packages;
use crate::run::become_root;

/// Sets up and builds, then becomes the benchmark with `arguments`.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    packages::require(&packages::BENCHMARK)?;
    build::run(Profile::Release)?;
    become_root("bench", arguments)
}
