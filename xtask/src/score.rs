//! `cargo xtask score`: what the checker detects, and what it lets pass.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;

use crate::command::{self, cargo, command};
use crate::{packages, workspace};

/// The peer's module for nginx, and the packages that have it and its rules.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so";
const RULES: &str = "/usr/share/modsecurity-crs/rules";
const PEER: [&str; 2] = ["libnginx-mod-http-modsecurity", "modsecurity-crs"];

/// What fetches the packages that must pass.
const CLIENTS: [packages::Package; 2] = [
    packages::Package { program: "npm", name: "npm", service: None },
    packages::Package { program: "pip3", name: "python3-pip", service: None },
];

/// Builds, then becomes the measurement with `arguments`. Neither root nor the BPF tools are needed, but to install the peer.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--peer") {
        require_peer()?;
    }
    packages::require(&CLIENTS)?;
    command::run(cargo().args(["build", "--release", "-p", "stopbank-checker", "-p", "stopbank-score"]))?;
    command::exec(command(workspace::binaries("release")?.join("stopbank-score")).args(arguments))
}

/// Installs nginx and the peer where they are missing.
pub(crate) fn require_peer() -> Result<()> {
    packages::require(&packages::NAMESPACES[1..2])?;
    packages::require(&packages::PINNED)?;
    if Path::new(MODULE).exists() && Path::new(RULES).exists() { Ok(()) } else { packages::install(&PEER) }
}
