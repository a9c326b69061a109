//! `cargo xtask demo`: a flood dropped at the NIC, live.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::packages;
use crate::run::become_root;

/// Sets up and builds, then becomes the demo with `arguments`.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    packages::require(&packages::NAMESPACES)?;
    build::run(Profile::Release)?;
    become_root("demo", arguments)
}
