//! The packages: what is in them, and what becomes of a host that one is installed on, under a systemd that has really booted.
//!
//! `cargo xtask test` makes the packages and the root that the container boots from; without them, the tests are skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attack;
mod checker;
mod container;
mod contents;
mod life;
mod rpm;

use std::{
    env,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Arguments;
use stopbank_tests::skip;

/// How long what systemd does by itself may take on a machine that others keep busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is packaged.
const PROGRAMS: [&str; 2] = ["stopbank", "stopbank-checker"];

fn main() {
    let mut arguments = Arguments::from_args();
    // The container is named by this process, and its tests measure time.
    arguments.test_threads = Some(1);
    stopbank_tests::scratch::sweep();
    container::sweep();
    let mut trials = contents::trials();
    trials.extend(life::trials());
    trials.extend(checker::trials());
    trials.extend(rpm::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// Something that has to become true by itself.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Why no host can be booted to install packages on, if none can.
fn no_host() -> Option<String> {
    skip::no_kernel()
        .or_else(|| no_program("systemd-nspawn", "systemd-container"))
        .or_else(|| no_program("nsenter", "util-linux"))
        .or_else(no_packages)
        .or_else(|| {
            let root = root();
            (!root.is_dir()).then(|| {
                format!("no Debian to boot at {}: `cargo xtask test packages` makes it", root.display())
            })
        })
}

/// The root that `cargo xtask test` keeps for containers.
fn root() -> PathBuf {
    if let Some(root) = env::var_os("STOPBANK_ROOTFS") {
        return root.into();
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|cache| cache.is_absolute());
    let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache"))).unwrap_or_default();
    cache.join("stopbank/rootfs/bookworm-1")
}

/// Where `cargo xtask test` leaves the packages, a directory for each program: target/package/tests.
fn packages() -> PathBuf {
    let own = env::current_exe().unwrap();
    // target/release/deps/packages-…
    let target = own.ancestors().nth(3).unwrap();
    target.join("package/tests")
}

/// Why the packages cannot be tested, if they cannot.
fn no_packages() -> Option<String> {
    let agent = stopbank_tests::agent::binary().ok()?;
    for program in PROGRAMS {
        let built = agent.with_file_name(program).metadata().and_then(|file| file.modified()).ok()?;
        for name in ["old.deb", "new.deb", "new.rpm"] {
            let package = packages().join(program).join(name);
            match package.metadata().and_then(|file| file.modified()) {
                Err(_) => {
                    return Some(format!("no {}: `cargo xtask test packages` makes it", package.display()));
                }
                // Just made, although cargo may have linked the program once more since, for the tests.
                Ok(made) if made < built && env::var_os("STOPBANK_PACKAGES_MADE").is_none() => {
                    return Some(format!(
                        "{} is older than what it packs: `cargo xtask test packages` makes it anew",
                        package.display()
                    ));
                }
                Ok(_) => {}
            }
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
