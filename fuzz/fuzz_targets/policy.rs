//! Any text as a policy of the checker: reading it never panics, and what is good says the same when it is written out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::Policy;

fuzz_target!(|text: &str| {
    match Policy::parse("fuzz", text) {
        Ok(policy) => {
            let written = policy.render();
            assert_eq!(Policy::parse("written out", &written).map(|again| again.render()), Ok(written));
        }
        Err(errors) => drop(errors.to_string()),
    }
});
