//! Whatever happens to the agent, a flood gets nothing through beyond its limits, and the client is served. `cargo xtask bench --
//! --section gaps` does the same at greater length.

use std::time::Duration;

use libtest_mimic::Trial;
use stopbank_tests::gaps::{Case, Load, notice};

use crate::rig::bare_trial;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = Case::ALL
        .into_iter()
        .map(|case| bare_trial(&format!("no gap under a flood: {}", case.name()), move || no_gap(case)))
        .collect();
    trials.push(bare_trial("a gap under a flood would be seen: detach and start", a_gap_is_seen));
    trials
}

fn load() -> Load {
    Load { pace: 20_000, times: 2, prefixes: 100_000, timeout: Duration::from_secs(5), earlier: None }
}

fn no_gap(case: Case) {
    let noticed = notice(case, &load()).unwrap();
    println!("{noticed:?}");
    // A machine that others keep busy makes less of a flood.
    assert!(noticed.arrived > 3 * noticed.allowed, "hardly a flood: {noticed:?}");
    assert!(noticed.passed * 2 > noticed.allowed, "less than the limits allow: {noticed:?}");
    assert_eq!(noticed.beyond, 0, "{noticed:?}");
    assert!(noticed.requests > 50 && noticed.failed == 0, "{noticed:?}");
}

fn a_gap_is_seen() {
    let noticed = notice(Case::Detach, &load()).unwrap();
    assert!(noticed.beyond > 1_000, "{noticed:?}");
}
