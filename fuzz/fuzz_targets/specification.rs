//! Any text as a specification, and any bytes as a request's body against it and against one that is full of everything: nothing panics, nor takes more than
//! its length allows. The first zero byte parts the two.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Field, json, multipart,
    schema::{Call, Options, Specification},
    target,
};
use stopbank_fuzz::bounded;

static PETS: LazyLock<Specification> = LazyLock::new(|| {
    Specification::read(include_str!("../../checker/src/schema/tests/pets.yaml"), &Options::default()).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let (text, body) = match bytes.iter().position(|&byte| byte == 0) {
        Some(place) => (&bytes[..place], &bytes[place + 1..]),
        None => (bytes, bytes),
    };
    if let Ok(text) = str::from_utf8(text) {
        match Specification::read(text, &Options::default()) {
            Ok(specification) => {
                assert!(!specification.operations().is_empty());
                // How long it takes is the specification's matter as well, and its author is no attacker.
                judge(&specification, "/a", "application/json", body);
            }
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
    for (path, kind) in [
        ("/v1/pets", "application/json"),
        ("/v1/forms", "application/x-www-form-urlencoded"),
        ("/v1/forms", "multipart/form-data; boundary=b"),
    ] {
        let pets = &*PETS;
        bounded(body.len(), 4 << 20, || judge(pets, path, kind, body));
    }
});

fn judge(specification: &Specification, path: &str, kind: &str, body: &[u8]) {
    let (limits, form, multipart) = <(json::Limits, target::Limits, multipart::Limits)>::default();
    let target = target::Target::read(b"POST", path.as_bytes(), &form).unwrap();
    let headers = [Field { name: b"content-type", value: kind.as_bytes() }];
    let call = Call {
        method: b"POST",
        segments: &target.segments,
        query: &target.query,
        headers: &headers,
        body,
        limits: &limits,
        form: &form,
        multipart: &multipart,
    };
    let _ = specification.check_request(&call);
}
