//! `cargo xtask bench`: the cost per packet, live frames and a service under attack, ours and others'.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::run::become_root;
use crate::{command, packages};

/// Sets up and builds, then becomes the benchmark with `arguments`.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    command::require_root("the benchmark")?;
    packages::require(&packages::NAMESPACES)?;
    packages::require(&packages::BENCHMARK)?;
    build::run(Profile::Release)?;
    become_root("bench", arguments)
}
