//! The packages: what is in them, and what becomes of a host that one is installed on, under a systemd that has really booted.
//!
//! `cargo xtask test` makes the packages and the root that the container boots from; without them, the tests are skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attack;
mod container;
mod contents;
mod life;

use std::{env, path::PathBuf};

use libtest_mimic::Arguments;

fn main() {
    let mut arguments = Arguments::from_args();
    // The container is named by this process, and its tests measure time.
    arguments.test_threads = Some(1);
    stopbank_tests::scratch::sweep();
    container::sweep();
    let mut trials = contents::trials();
    trials.extend(life::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// Where `cargo xtask test` leaves the packages: target/package/tests.
fn packages() -> PathBuf {
    let own = env::current_exe().unwrap();
    // target/release/deps/packages-…
    let target = own.ancestors().nth(3).unwrap();
    target.join("package/tests")
}

/// Why the packages cannot be tested, if they cannot.
fn no_packages() -> Option<String> {
    let agent = stopbank_tests::agent::binary().ok()?;
    let built = agent.metadata().and_then(|file| file.modified()).ok()?;
    for name in ["old.deb", "new.deb", "stopbank.rpm"] {
        let package = packages().join(name);
        match package.metadata().and_then(|file| file.modified()) {
            Err(_) => return Some(format!("no {}: `cargo xtask test packages` makes it", package.display())),
            // Just made, although cargo may have linked the agent once more since, for the tests.
            Ok(made) if made < built && env::var_os("STOPBANK_PACKAGES_MADE").is_none() => {
                return Some(format!(
                    "{} is older than the agent: `cargo xtask test packages` makes it anew",
                    package.display()
                ));
            }
            Ok(_) => {}
        }
    }
    None
}

/// Why `program` cannot be asked, if it cannot.
fn no_program(program: &str, package: &str) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(program).is_file());
    (!found).then(|| format!("there is no {program} here (Debian: {package})"))
}
