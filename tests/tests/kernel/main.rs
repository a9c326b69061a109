//! Packets through the loaded program (BPF_PROG_TEST_RUN): no network, the real verifier, the real maps.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bound;
mod captures;
mod cookies;
mod default_configuration;
mod differential;
mod explain;
mod files;
mod fixtures;
mod flows;
mod limits;
mod lists;
mod random;
mod rig;
mod signatures;
mod simulation;
mod tunnels;

use libtest_mimic::{Arguments, Trial};
use stopbank_tests::skip;

/// A test that is skipped, loudly, where no program can be loaded.
fn trial(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    skip::trial(name, skip::no_kernel, test)
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = fixtures::trials();
    trials.extend(lists::trials());
    trials.extend(files::trials());
    trials.extend(explain::trials());
    trials.extend(limits::trials());
    trials.extend(signatures::trials());
    trials.extend(random::trials());
    trials.extend(bound::trials());
    trials.extend(simulation::trials());
    trials.extend(cookies::trials());
    trials.extend(flows::trials());
    trials.extend(tunnels::trials());
    trials.extend(captures::trials());
    trials.extend(default_configuration::trials());
    trials.extend(differential::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
