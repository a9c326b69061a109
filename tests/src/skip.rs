//! Tests that cannot run on a machine say so and count as skipped; none passes by returning early.

use libtest_mimic::{Completion, Failed, Trial};

/// A test that is skipped, loudly, where `obstacle` says why it cannot run.
pub fn trial(
    name: impl Into<String>,
    obstacle: impl FnOnce() -> Option<String> + Send + 'static,
    test: impl FnOnce() + Send + 'static,
) -> Trial {
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

/// Why nothing that loads a program into the kernel can run here, if nothing can.
pub fn no_kernel() -> Option<String> {
    if stopbank::object::is_stub() {
        return Some("built without the BPF object: run `cargo xtask build`".to_owned());
    }
    if !is_root() {
        return Some("needs root".to_owned());
    }
    None
}

/// Whether this process is root.
pub fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and always succeeds.
    unsafe { libc::geteuid() == 0 }
}
