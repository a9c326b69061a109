//! Any fields as a request of HTTP/2: what is allowed becomes one request of HTTP/1.1, which two parsers read as what was judged. Pieces end with
//! the byte 0xFF: method, target, names and values of fields by turns; two of these stand before the body.
#![no_main]

use std::{borrow::Cow, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Field, Policy, Request, Version,
    engine::{Context, check},
};
use stopbank_fuzz::{bounded, forwarded};

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::shipped("generic").expect("it is shipped"));

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|two| two == [0xff; 2]);
    let (head, body) = end.map_or((input, &b""[..]), |end| (&input[..end], &input[end + 2..]));
    let mut pieces = head.split(|&byte| byte == 0xff);
    let (method, target) = (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
    let mut headers = Vec::new();
    while let Some(name) = pieces.next() {
        headers.push(Field { name, value: pieces.next().unwrap_or_default() });
    }
    let request = Request { method, target, version: Version::Http2, headers, body: Cow::Borrowed(body) };
    let policy = &*POLICY;
    let verdict = bounded(input.len(), 48 << 20, || check(&request, &Context::default(), policy));
    if verdict.is_allowed() {
        forwarded(&request, false);
    }
});
