//! `cargo xtask bench`: the cost per packet, ours and others'.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::run::become_root;
use crate::{command, packages};

/// Sets up and builds, then becomes the benchmark with `arguments`.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    command::require_root("the benchmark")?;
    packages::require(&packages::BENCHMARK)?;
    build::run(Profile::Release)?;
    become_root("bench", arguments)
}
