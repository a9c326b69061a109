//! `cargo xtask bench`: the cost per packet, live frames and a service under attack, ours and others'; `cargo xtask bench checker`: the checker's;
//! `cargo xtask bench tokens`: its tokens.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::command::{cargo, command};
use crate::run::become_root;
use crate::{command, envoy, packages, provider, score, workspace};

/// Sets up and builds, then becomes the benchmark with `arguments`.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    if let Some((first, rest)) = arguments.split_first()
        && first == "checker"
    {
        return checker(rest);
    }
    if arguments.first().is_some_and(|first| first == "tokens") {
        return tokens();
    }
    command::require_root("the benchmark")?;
    packages::require(&packages::NAMESPACES)?;
    packages::require(&packages::WITNESS)?;
    packages::require(&packages::BENCHMARK)?;
    build::run(Profile::Release)?;
    become_root("bench", arguments)
}

/// The same for the checker. Neither root nor the BPF tools are needed, but to install peers and front ends.
fn checker(arguments: &[OsString]) -> Result<()> {
    let asked = |option: &str| arguments.iter().any(|argument| argument == option);
    if asked("--haproxy") {
        packages::require(&packages::HAPROXY)?;
    }
    if ["--haproxy", "--envoy", "--nginx-auth"].into_iter().any(asked) {
        packages::require(&packages::UPSTREAM)?;
        packages::require(&packages::PINNED)?;
    } else {
        score::require_peer()?;
    }
    let packages = ["-p", "stopbank-checker", "-p", "stopbank-checker-bench"];
    command::run(cargo().args(["build", "--release"]).args(packages))?;
    let mut bench = command(workspace::binaries("release")?.join("stopbank-checker-bench"));
    bench.args(arguments.iter().filter(|argument| *argument != "--"));
    if asked("--envoy") && std::env::var_os(envoy::VARIABLE).is_none() {
        bench.env(envoy::VARIABLE, envoy::program()?);
    }
    command::exec(&mut bench)
}

/// Tokens: what verifying one costs beside OpenSSL; what a certified provider's rotation, failure, clock and revocation come to; a storm of a million bad ones
/// through the proxy, of which none may leave anything behind. Each prints its figures.
fn tokens() -> Result<()> {
    let checker = ["--release", "-p", "stopbank-checker"];
    command::run(cargo().arg("run").args(checker).args(["--example", "token_time"]))?;
    let mut provider = cargo();
    provider.arg("test").args(checker).args(["--test", "oidc", "--", "--nocapture"]);
    command::run(provider.env(provider::VARIABLE, provider::folder()?))?;
    let mut storm = cargo();
    storm.arg("test").args(checker).args(["--test", "proxy", "--", "--nocapture", "a storm of unknown keys"]);
    command::run(storm.env("STOPBANK_STORM_TOKENS", "1000000"))
}
