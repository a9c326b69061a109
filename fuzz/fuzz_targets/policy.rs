//! Any text as a policy of the checker: reading it never panics, and what is good says the same when it is written out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::Policy;

fuzz_target!(|text: &str| {
    let read = |name: &str, text: &str| {
        Policy::read(name, text, &mut |_| Ok(include_str!("../../checker/policies/openapi.yaml").to_owned()))
    };
    match read("fuzz", text) {
        Ok(policy) => {
            let written = policy.render();
            assert_eq!(read("written out", &written).map(|again| again.render()), Ok(written));
        }
        Err(errors) => drop(errors.to_string()),
    }
});
