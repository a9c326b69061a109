//! The real agent, real floods, a real nginx and a real client in network namespaces.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clients;
mod configuration;
mod cookies;
mod copies;
mod demo;
mod explain;
mod failures;
mod gaps;
mod gateway;
mod hostile;
mod interfaces;
mod kept;
mod lifecycle;
mod limits;
mod lists;
mod metrics;
mod prometheus;
mod returning;
mod rig;
mod screen;
mod selftest;
mod signatures;
mod swaps;
mod traffic;
mod upgrade;

use libtest_mimic::Arguments;

fn main() {
    let mut arguments = Arguments::from_args();
    // Each has both CPUs busy: side by side they would measure each other.
    arguments.test_threads = Some(1);
    stopbank_tests::scratch::sweep();
    let mut trials = traffic::trials();
    trials.extend(cookies::trials());
    trials.extend(clients::trials());
    trials.extend(gateway::trials());
    trials.extend(lists::trials());
    trials.extend(selftest::trials());
    trials.extend(limits::trials());
    trials.extend(explain::trials());
    trials.extend(copies::trials());
    trials.extend(kept::trials());
    trials.extend(swaps::trials());
    trials.extend(signatures::trials());
    trials.extend(configuration::trials());
    trials.extend(lifecycle::trials());
    trials.extend(interfaces::trials());
    trials.extend(returning::trials());
    trials.extend(failures::trials());
    trials.extend(metrics::trials());
    trials.extend(prometheus::trials());
    trials.extend(upgrade::trials());
    trials.extend(hostile::trials());
    trials.extend(gaps::trials());
    trials.extend(screen::trials());
    trials.extend(demo::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
