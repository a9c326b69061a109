//! The corpus of bypasses through the real proxy, in front of a real nginx and of a hostile server. What is refused reaches nobody; of what
//! passes, nginx has understood the very request that was judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::Shutdown,
};

use stopbank_checker::{Reason, Request, http1};

use crate::{
    corpus::{self, Case, Http2Case},
    frames::{Client, Ended},
    reader::{Asked, Reader},
    servers::{Proxy, Recorder, Setup, good, upstream, wait_until},
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("bypasses of HTTP/1: nginx understands what was judged, and nothing else reaches it", http1),
    ("bypasses of HTTP/2: nginx understands what was judged, and nothing else reaches it", http2),
];

/// What a hostile server needs no program for.
pub(crate) const ANSWERS: &[(&str, fn())] =
    &[("answers that end in two places reach no client, and none gets another's", answers)];

/// Of the proxies: reasons are told, so that they can be compared.
const TOLD: &str = "[refusals]\nreason = true\n[limits]\nidle_timeout = \"10s\"\n";

fn proxy(policy: &str, port: u16) -> Proxy {
    let mut setup = Setup::new(upstream("a", port, "") + TOLD);
    setup.policy = Some(corpus::policy_text(policy));
    setup.listen = "h2c = true".to_owned();
    setup.start()
}

/// An answer of the proxy: its status, its request's id and its body.
struct Answer {
    status: u16,
    id: String,
    body: Vec<u8>,
}

/// Answers on a connection that has ended.
fn split(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
            panic!("no answer: {}", String::from_utf8_lossy(bytes))
        };
        let status = head.code.unwrap();
        let value = |name: &str| {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| str::from_utf8(header.value).unwrap())
        };
        let rest = &bytes[length..];
        let size = value("content-length").map_or(0, |text| text.parse().unwrap());
        if status == 100 {
            bytes = rest;
            continue;
        }
        let id = value("x-request-id").unwrap().to_owned();
        answers.push(Answer { status, id, body: rest[..size].to_vec() });
        bytes = &rest[size..];
    }
    answers
}

/// The requests in a case's bytes, one behind the other, as the engine's parser finds them.
fn requests(bytes: &[u8]) -> Vec<Request<'_>> {
    let limits = http1::Limits::default();
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(end) = (1..=rest.len()).find(|&end| http1::read(&rest[..end], &limits).is_ok()) {
        found.extend(http1::read(&rest[..end], &limits));
        rest = &rest[end..];
    }
    found
}

fn reason(name: &str) -> Reason {
    *Reason::ALL.iter().find(|reason| reason.name() == name).unwrap_or_else(|| panic!("no reason {name}"))
}

/// What a refusal must look like.
fn refused(name: &str, expected: &str, status: u16, body: &[u8]) {
    let problem: serde_json::Value = serde_json::from_slice(body)
        .unwrap_or_else(|_| panic!("{name}: {status} {}", String::from_utf8_lossy(body)));
    assert_eq!(problem["reason"], expected, "{name}: {problem}");
    assert_eq!((status, &problem["status"]), (reason(expected).status(), &status.into()), "{name}");
}

/// What nginx must have read: method, target, body and each header that goes on, byte for byte.
fn understood(name: &str, asked: &Asked, request: &Request<'_>, target: &[u8]) {
    let value = |header: &str| request.values(header).collect::<Vec<_>>().join(&b", "[..]);
    assert_eq!(asked.method, request.method, "{name}: the method");
    assert_eq!(asked.target, target, "{name}: the target");
    assert_eq!(asked.host, value("host"), "{name}: the host");
    assert_eq!(asked.content_type, value("content-type"), "{name}: the type");
    assert_eq!(asked.content_encoding, value("content-encoding"), "{name}: the coding");
    assert_eq!(asked.authorization, value("authorization"), "{name}: the authorization");
    assert_eq!(asked.body, *request.body, "{name}: the body");
    let length: usize = str::from_utf8(&asked.content_length).unwrap().parse().unwrap_or(0);
    assert_eq!(length, request.body.len(), "{name}: the length");
    for (header, seen) in [
        ("transfer-encoding", &asked.transfer_encoding),
        ("upgrade", &asked.upgrade),
        ("te", &asked.te),
        ("expect", &asked.expect),
        ("http2-settings", &asked.http2_settings),
        ("x-real-ip", &asked.x_real_ip),
        ("forwarded", &asked.forwarded),
    ] {
        assert_eq!(seen, b"", "{name}: {header} was passed on");
    }
    assert_eq!(asked.forwarded_for, b"127.0.0.1", "{name}: the client's address");
    // Names come back as they are sorted, values as they were.
    let cookies = |bytes: &[u8]| {
        bytes.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).map(<[u8]>::to_vec).collect::<BTreeSet<_>>()
    };
    let sent = request.values("cookie").collect::<Vec<_>>().join(&b"; "[..]);
    assert_eq!(cookies(&asked.cookie), cookies(&sent), "{name}: the cookies");
}

/// What the proxy has answered, held against what it was to say.
struct Held<'r> {
    reader: &'r Reader,
    seen: BTreeMap<String, Asked>,
    allowed: BTreeSet<String>,
}

impl<'r> Held<'r> {
    fn new(reader: &'r Reader) -> Self {
        Self { reader, seen: BTreeMap::new(), allowed: BTreeSet::new() }
    }

    /// What nginx has logged of a request.
    fn asked(&mut self, name: &str, id: &str) -> Asked {
        wait_until(name, || {
            self.seen = self.reader.log();
            self.seen.contains_key(id)
        });
        self.allowed.insert(id.to_owned());
        self.seen[id].clone()
    }

    /// Nothing else has reached nginx.
    fn end(self) {
        let all = self.reader.log();
        for (id, asked) in &all {
            assert!(self.allowed.contains(id), "{asked:?} has reached nginx");
        }
        assert_eq!(all.len(), self.reader.lines(), "one has reached it twice");
    }
}

fn http1() {
    let reader = Reader::start();
    let (generic, api) = (proxy("generic", reader.port), proxy("api", reader.port));
    let mut held = Held::new(&reader);
    for case in corpus::requests() {
        one(if case.policy == "api" { &api } else { &generic }, &case, &mut held);
    }
    held.end();
}

fn one(proxy: &Proxy, case: &Case, held: &mut Held<'_>) {
    let (name, bytes) = (case.name.as_str(), case.bytes());
    let mut stream = proxy.connect();
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    let answers = split(&said);
    let expected = case.proxy();
    let shown = String::from_utf8_lossy(&said);
    assert_eq!(answers.len(), expected.len(), "{name}: {shown}");
    let judged = requests(&bytes);
    for (number, (answer, expected)) in answers.iter().zip(expected).enumerate() {
        if expected != "allow" {
            refused(name, expected, answer.status, &answer.body);
            continue;
        }
        assert_eq!(answer.status, case.nginx.unwrap_or(200), "{name}: {shown}");
        held.allowed.insert(answer.id.clone());
        if answer.status == 200 {
            let asked = held.asked(name, &answer.id);
            understood(name, &asked, &judged[number], judged[number].target);
            assert_eq!(answer.body, answer.id.as_bytes(), "{name}: the answer of another request");
        }
    }
}

fn http2() {
    let reader = Reader::start();
    let proxy = proxy("generic", reader.port);
    let mut held = Held::new(&reader);
    for case in corpus::http2() {
        two(&proxy, &case, &mut held);
    }
    held.end();
}

fn two(proxy: &Proxy, case: &Http2Case, held: &mut Held<'_>) {
    let name = case.name.as_str();
    let mut client = Client::connect(proxy.connect());
    client.request(&case.fields, case.body.as_bytes(), &case.trailers);
    let ended = client.ended(1);
    match (case.proxy(), &ended) {
        ("reset", Ended::Reset | Ended::Closed) => {}
        ("reset", Ended::Answered(body)) => panic!("{name}: {}", String::from_utf8_lossy(body)),
        ("allow", Ended::Answered(body)) => {
            let id = String::from_utf8_lossy(body).into_owned();
            assert!(id.len() == 32 && !id.contains(' '), "{name}: {id}");
            let asked = held.asked(name, &id);
            let request = case.request();
            let target = case.asked.as_deref().map_or(request.target, str::as_bytes);
            understood(name, &asked, &request, target);
        }
        (expected, Ended::Answered(body)) => refused(name, expected, reason(expected).status(), body),
        (expected, _) => panic!("{name}: {ended:?} in place of {expected}"),
    }
    // The connection of a stream that was reset or refused serves the next one, or has ended as a whole.
    client.request(&fields(), b"", &[]);
    match client.ended(3) {
        Ended::Answered(body) => {
            held.asked(name, &String::from_utf8_lossy(&body));
        }
        Ended::Closed => assert_eq!(case.proxy(), "reset", "{name}"),
        Ended::Reset => panic!("{name}: the next request is reset"),
    }
}

fn fields() -> Vec<(String, String)> {
    [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/next")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

fn answers() {
    let cases = corpus::answers();
    let numbered = cases.iter().enumerate();
    let all: BTreeMap<String, (Vec<u8>, bool)> =
        numbered.map(|(number, case)| (format!("/{number}"), (case.bytes(), case.closes()))).collect();
    let recorder = Recorder::start(move |request| {
        let target = String::from_utf8_lossy(request).split(' ').nth(1).unwrap().to_owned();
        all.get(&target).cloned().unwrap_or_else(|| good("next"))
    });
    let proxy = proxy("generic", recorder.port);
    for (number, case) in cases.iter().enumerate() {
        let head =
            |target: &str, more: &str| format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{more}\r\n");
        let both = head(&format!("/{number}"), "") + &head("/next", "Connection: close\r\n");
        let said = proxy.answers(both.as_bytes());
        let name = &case.name;
        assert!(
            !said.contains("poison") && !said.contains("\x1b") && !said.contains("junk"),
            "{name}: {said}"
        );
        match case.verdict.as_str() {
            // No length fits, no last chunk comes, and the connection ends there.
            "cut" => {
                let end = said.ends_with("0\r\n\r\n") || said.contains("content-length: 2\r\n");
                assert!(!end && !said.contains("next"), "{name}: {said}");
                continue;
            }
            "allow" => assert!(said.starts_with("HTTP/1.1 200 ") || case.body.is_empty(), "{name}: {said}"),
            expected => {
                assert!(said.starts_with("HTTP/1.1 50"), "{name}: {said}");
                assert!(said.contains(&format!("\"reason\":\"{expected}\"")), "{name}: {said}");
            }
        }
        assert!(said.contains(&case.body) && said.ends_with("next"), "{name}: {said}");
        assert_eq!(said.matches("x-request-id: ").count(), 2, "{name}: {said}");
        by_http2(&proxy, case, number);
    }
}

/// The same over HTTP/2, whose clients see an end that is missing by a reset.
fn by_http2(proxy: &Proxy, case: &corpus::Answer, number: usize) {
    let name = &case.name;
    let mut client = Client::connect(proxy.connect());
    let mut asked = fields();
    asked[3].1 = format!("/{number}");
    client.request(&asked, b"", &[]);
    match (case.verdict.as_str(), client.ended(1)) {
        ("cut", Ended::Reset) => {}
        ("allow", Ended::Answered(body)) => assert_eq!(body, case.body.as_bytes(), "{name}"),
        (expected, Ended::Answered(body)) => {
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["reason"], expected, "{name}: {problem}");
        }
        (expected, ended) => panic!("{name}: {ended:?} in place of {expected}"),
    }
    client.request(&fields(), b"", &[]);
    assert_eq!(client.ended(3), Ended::Answered(b"next".to_vec()), "{name}");
}
