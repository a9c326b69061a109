//! Any bytes as a request to the checker: it never panics or takes more than its length allows, what it allows is whole (no shorter beginning of it is a request, and nothing may
//! follow it), and its head alone is judged as the whole is.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Policy,
    engine::{Context, check_bytes, check_head},
    http1,
};
use stopbank_fuzz::bounded;

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::shipped("generic").expect("it is shipped"));

fuzz_target!(|bytes: &[u8]| {
    let context = Context::default();
    let allowed = |bytes: &[u8]| check_bytes(bytes, &context, &POLICY).is_allowed();
    let policy = &*POLICY;
    let verdict = bounded(bytes.len(), 48 << 20, || check_bytes(bytes, &context, policy));
    if let Ok(request) = http1::read(bytes, POLICY.request_limits()) {
        match check_head(&request, &context, &POLICY) {
            Ok(head) => assert_eq!(head.check_body(&request, &context), verdict),
            Err(refused) => assert_eq!(refused, verdict),
        }
    }
    if !verdict.is_allowed() {
        return;
    }
    let longer = [bytes, b"G"].concat();
    assert!(!allowed(&longer), "something follows it");
    assert!(!allowed(&bytes[..bytes.len() - 1]), "less of it is a request too");
});
