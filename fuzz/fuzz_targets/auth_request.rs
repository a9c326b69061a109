//! Any question of a server that asks whether a request may pass: what is judged has method, target, host and address from the headers that the asking server sets, each of which
//! stands once, and nothing of the question's own connection.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Policy,
    engine::{Context, check},
    forward::{self, Source},
    http1::{self, Limits},
};

#[path = "../../checker/src/proxy/auth_request.rs"]
#[allow(dead_code)]
mod auth_request;

fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| Policy::shipped("generic").unwrap())
}

fuzz_target!(|bytes: &[u8]| {
    let asked: auth_request::AuthRequest = toml::from_str("trusted = [\"127.0.0.1/32\"]").unwrap();
    // As nginx asks, with whatever the client has sent behind; and as whoever could ask.
    let framed = [
        b"GET /_auth HTTP/1.1\r\nHost: checker\r\nConnection: close\r\nX-Original-Method: POST\r\nX-Original-URI: /a?b=1\r\n\
          X-Original-Host: h\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n",
        bytes,
        b"\r\n\r\n",
    ]
    .concat();
    for bytes in [&framed[..], bytes] {
        let Ok(question) = http1::read(bytes, &Limits::default()) else { continue };
        let count = |name: &str| question.values(name).count();
        let Ok(request) = asked.original(&question) else { continue };
        for name in ["x-original-method", "x-original-uri", "x-original-host", "x-forwarded-for", "x-forwarded-proto"] {
            assert_eq!(count(name), 1, "{name}");
        }
        let value = |name: &str| question.values(name).next().unwrap().to_vec();
        assert_eq!(
            (request.method.to_vec(), request.target.to_vec()),
            (value("x-original-method"), value("x-original-uri"))
        );
        assert_eq!(request.values("host").collect::<Vec<_>>(), [&value("x-original-host")[..]]);
        for name in ["x-original-method", "x-original-uri", "x-original-host", "content-length", "transfer-encoding"] {
            assert_eq!(request.values(name).count(), 0, "{name}");
        }
        assert!(request.body.is_empty() && request.headers.len() <= question.headers.len() + 1);
        if bytes == framed {
            // A client says nothing of who asks for what.
            assert_eq!((request.method, request.target), (&b"POST"[..], &b"/a?b=1"[..]));
        }
        let trusted = ["127.0.0.1/32".parse().unwrap()];
        let source = Source { peer: "127.0.0.1".parse().unwrap(), tls: false, trusted: &trusted };
        let context = Context {
            client: Some(source.client(&request.headers)),
            secure: source.is_secure(&request.headers),
            ..Context::default()
        };
        let verdict = check(&request, &context, policy());
        assert!(asked.status(verdict.status) >= 400 || verdict.is_allowed());
        let _ = forward::wishes(&request);
    }
});
