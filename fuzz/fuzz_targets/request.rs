//! Any bytes as a request to the checker: it never panics, and what it allows is whole: no shorter beginning of it is a request, and nothing
//! may follow it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Verdict,
    engine::{Limits, check_bytes},
};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    if check_bytes(bytes, &limits) != Verdict::ALLOWED {
        return;
    }
    let longer = [bytes, b"G"].concat();
    assert_ne!(check_bytes(&longer, &limits), Verdict::ALLOWED, "something follows it");
    assert_ne!(check_bytes(&bytes[..bytes.len() - 1], &limits), Verdict::ALLOWED, "less of it is a request too");
});
