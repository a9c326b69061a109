//! Any fields as a request of HTTP/2: what is allowed becomes one request of HTTP/1.1, which two parsers read as what was judged.
#![no_main]

use std::{borrow::Cow, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Field, Policy, Request, Version,
    engine::{Context, check},
};
use stopbank_fuzz::{bounded, forwarded};

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::shipped("generic").expect("it is shipped"));

fuzz_target!(|input: (&[u8], &[u8], Vec<(&[u8], &[u8])>, &[u8], bool)| {
    let (method, target, fields, body, plain) = input;
    let mut headers: Vec<Field<'_>> = fields.iter().map(|&(name, value)| Field { name, value }).collect();
    // Few inputs guess both.
    if plain {
        headers.insert(0, Field { name: b"host", value: b"a.example" });
    }
    let length = method.len() + target.len() + body.len() + fields.iter().map(|(a, b)| a.len() + b.len() + 8).sum::<usize>();
    let method = if plain { b"POST" } else { method };
    let request = Request { method, target, version: Version::Http2, headers, body: Cow::Borrowed(body) };
    let policy = &*POLICY;
    let verdict = bounded(length, 48 << 20, || check(&request, &Context::default(), policy));
    if verdict.is_allowed() {
        forwarded(&request, false);
    }
});
