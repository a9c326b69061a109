//! Any bytes as an answer of OCSP and as a certificate: nothing panics, and what is called good has a beginning and an end in four digits of years.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::ocsp::{Problem, read};

/// The end of the year 9999.
const LAST: u64 = 253_402_300_800;

fuzz_target!(|input: &[u8]| {
    let Some((length, rest)) = input.split_at_checked(2) else { return };
    let at = usize::from(u16::from_be_bytes([length[0], length[1]])).min(rest.len());
    let (answer, certificate) = rest.split_at(at);
    match read(answer, certificate) {
        Ok(good) => {
            assert!(good.begins <= LAST && good.ends <= LAST);
            // What is behind it is noticed.
            assert_eq!(read(&[answer, &[0]].concat(), certificate), Err(Problem::Unreadable));
        }
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
});
