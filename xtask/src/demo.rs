//! `cargo xtask demo`: a flood dropped at the NIC, live.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::run::become_root;
use crate::{command, packages};

/// Sets up and builds, then becomes the demo with `arguments`.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    command::require_root("the demo")?;
    packages::require(&packages::NAMESPACES)?;
    build::run(Profile::Release)?;
    become_root("demo", arguments)
}
