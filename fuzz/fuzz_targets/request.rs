//! Any bytes as a request to the checker: it never panics or takes more than its length allows, what it allows is whole (no shorter beginning of it is a request, and nothing may
//! follow it), and its head alone is judged as the whole is: by the policy `generic`, and by one that has everything.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Policy,
    engine::{Context, check_bytes, check_head},
    http1,
};
use stopbank_fuzz::bounded;

static GENERIC: LazyLock<Policy> = LazyLock::new(|| Policy::shipped("generic").expect("it is shipped"));
static EVERYTHING: LazyLock<Policy> = LazyLock::new(|| {
    let pets = include_str!("../../checker/src/schema/tests/pets.yaml");
    Policy::read("everything", include_str!("../everything.toml"), &mut |_| Ok(pets.to_owned())).expect("it is good")
});

fuzz_target!(init: { LazyLock::force(&GENERIC); LazyLock::force(&EVERYTHING); }, |bytes: &[u8]| {
    judged(bytes, &GENERIC);
    judged(bytes, &EVERYTHING);
});

fn judged(bytes: &[u8], policy: &Policy) {
    let context = Context::default();
    let allowed = |bytes: &[u8]| check_bytes(bytes, &context, policy).is_allowed();
    let verdict = bounded(bytes.len(), 48 << 20, || check_bytes(bytes, &context, policy));
    if let Ok(request) = http1::read(bytes, policy.request_limits()) {
        match check_head(&request, &context, policy) {
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
}
