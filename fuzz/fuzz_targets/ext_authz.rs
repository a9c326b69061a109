//! Any bytes as the message by which Envoy asks: what is read of it is one request, without what Envoy says of itself, and a body is all of it.
#![no_main]

use std::{borrow::Cow, sync::LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Policy,
    engine::{Context, check},
    http1::{self, Framing},
};
use stopbank_fuzz::bounded;

#[path = "../../checker/src/proxy/ext_authz/messages.rs"]
#[allow(dead_code)]
mod messages;
#[path = "../../checker/src/proxy/ext_authz/question.rs"]
#[allow(dead_code)]
mod question;

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::shipped("generic").expect("it is shipped"));

fuzz_target!(|input: &[u8]| {
    let Some((first, message)) = input.split_first() else { return };
    let text = first & 1 == 1;
    let length = u32::try_from(message.len()).expect("inputs are short").to_be_bytes();
    let call = Bytes::from([&[0][..], &length, message].concat());
    let policy = &*POLICY;
    bounded(input.len(), 48 << 20, || {
        let Ok(question) = question::Question::read(&call, text) else { return };
        let mut request = question.request();
        let own = |name: &[u8]| name.starts_with(b":") || name == b"x-envoy-auth-partial-body";
        assert!(!request.headers.iter().any(|field| own(field.name)));
        let announces = question.announces_body();
        if let Ok(body) = question.body() {
            let body = body.map_or(&b""[..], |body| body);
            let framing = http1::framing(request.version, &request.headers);
            let declared = request.values("content-length").next().is_some();
            if let (true, true, Ok(Framing::Length(length))) = (declared, !body.is_empty(), framing) {
                assert_eq!(length, body.len());
            }
            assert!(body.is_empty() || !declared || announces);
            request.body = Cow::Borrowed(body);
            check(&request, &Context::default(), policy);
        }
    });
});
