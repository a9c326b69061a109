//! Packets through the loaded program (BPF_PROG_TEST_RUN): no network, the real verifier, the real maps.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fixtures;
mod limits;
mod lists;
mod random;
mod rig;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Why the tests of this file cannot run here, if they cannot.
fn obstacle() -> Option<String> {
    if stopbank::object::is_stub() {
        return Some("built without the BPF object: run `cargo xtask build`".to_owned());
    }
    // SAFETY: a call without arguments that cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Some("needs root".to_owned());
    }
    None
}

/// A test that is skipped, loudly, where it cannot run.
fn trial(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.into();
    let shown = name.clone();
    Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
        if let Some(why) = obstacle() {
            println!("SKIPPED {shown}: {why}");
            return Ok(Completion::ignored_with(why));
        }
        test();
        Ok(Completion::Completed)
    })
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = fixtures::trials();
    trials.extend(lists::trials());
    trials.extend(limits::trials());
    trials.extend(random::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
