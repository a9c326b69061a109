//! How front ends ask: frames of HAProxy's, as its version 2.6 writes them, without their lengths; messages of Envoy's, as its version 1.40 does.

use prost::Message as _;

use crate::{
    messages::{
        Address, Asked, Attributes, CheckRequest, Entry, HeaderMap, HttpRequest, RawHeader, SocketAddress,
        Source,
    },
    ordinary::Post,
    question::Question,
};

/// Strings here are shorter than 240 bytes, whose lengths are one byte.
fn string(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()][..], text].concat()
}

fn item(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    [&string(name.as_bytes())[..], &[kind], value].concat()
}

fn text(name: &str, value: &str) -> Vec<u8> {
    item(name, 8, &string(value.as_bytes()))
}

/// A connection's first frame.
pub(crate) fn hello() -> Vec<u8> {
    let items = [
        text("supported-versions", "2.0"),
        item("max-frame-size", 3, &[0xfc, 0xf0, 0x06]),
        text("capabilities", "pipelining,async"),
        item("healthcheck", 0x11, b""),
        text("engine-id", "1234"),
    ];
    [&[1, 0, 0, 0, 1, 0, 0][..], &items.concat()].concat()
}

/// Two questions: with all of a body, and with a beginning.
pub(crate) fn questions() -> [Vec<u8>; 2] {
    let headers = [&b"host"[..], b"h", b"transfer-encoding", b"chunked", b"", b""].map(string).concat();
    let question = |whole: u8, last: &str, size: u8| {
        let arguments = [
            item("src", 6, &[192, 0, 2, 1]),
            item("secure", 1, b""),
            text("method", "POST"),
            text("version", "1.1"),
            text("target", "/c"),
            item("headers", 9, &string(&headers)),
            item("whole", whole, b""),
            text("last", last),
            item("held", 4, &[68]),
            item("length", 4, &[3]),
            item("size", 4, &[size]),
            item("body", 9, &string(b"abc")),
            item("certificate", 0, b""),
            item("verified", 0, b""),
        ];
        let count = u8::try_from(arguments.len()).unwrap();
        let head = [3, 0, 0, 0, 1, 7, 1];
        [&head[..], &string(b"stopbank-request"), &[count], &arguments.concat()].concat()
    };
    [question(0x11, "HTX_BLK_EOT", 3), question(1, "HTX_BLK_DATA", 200)]
}

/// A request that Envoy asks about. A name that begins with a colon is HTTP/2's.
struct Shown<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

const fn get<'a>(protocol: &'a str, headers: &'a [(&'a str, &'a str)]) -> Shown<'a> {
    Shown { method: "GET", path: "/items?q=1&r=%27", protocol, headers, body: b"" }
}

const fn post<'a>(headers: &'a [(&'a str, &'a str)], body: &'a [u8]) -> Shown<'a> {
    Shown { method: "POST", path: "/items", protocol: "HTTP/1.1", headers, body }
}

impl Shown<'_> {
    /// As the target has it: a byte that says whether headers and body may come as text, and the message.
    fn message(&self, as_text: bool, certificate: &str) -> Vec<u8> {
        let own = [
            (":authority", "a.example"),
            (":path", self.path),
            (":method", self.method),
            (":scheme", "https"),
        ];
        let headers = own.iter().chain(self.headers);
        let bytes = |text: &str| text.as_bytes().to_vec().into();
        let mut http = HttpRequest {
            method: bytes(self.method),
            path: bytes(self.path),
            host: bytes("a.example"),
            scheme: bytes("https"),
            size: i64::try_from(self.body.len()).unwrap(),
            protocol: bytes(self.protocol),
            ..HttpRequest::default()
        };
        if as_text {
            http.headers =
                headers.map(|(key, value)| Entry { key: bytes(key), value: bytes(value) }).collect();
            http.body = self.body.to_vec().into();
        } else {
            let raw = |(key, value): &(&str, &str)| RawHeader {
                key: bytes(key),
                raw_value: bytes(value),
                ..RawHeader::default()
            };
            http.header_map = Some(HeaderMap { headers: headers.map(raw).collect() });
            http.raw_body = self.body.to_vec().into();
        }
        let socket_address = Some(SocketAddress { address: bytes("192.0.2.7"), port: 1234 });
        let source = Source { address: Some(Address { socket_address }), certificate: bytes(certificate) };
        let request = Some(Asked { http: Some(http) });
        let message = CheckRequest { attributes: Some(Attributes { source: Some(source), request }) };
        let message = message.encode_to_vec();
        // What is refused unread leads nowhere.
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let call = [&[0][..], &length, &message].concat().into();
        assert!(Question::read(&call, as_text).is_ok(), "{} {:?}", self.path, self.headers);
        [&[u8::from(as_text)][..], &message].concat()
    }
}

/// Questions of Envoy's: a GET, bodies that are whole, partial and announced only, an upgrade, a second `host`; each as bytes and as text.
pub(crate) fn of_envoy(posts: &[Post]) -> Vec<Vec<u8>> {
    let (whole, partial) = (("x-envoy-auth-partial-body", "false"), ("x-envoy-auth-partial-body", "true"));
    let mut all = Vec::new();
    for shown in [
        get("HTTP/1.1", &[("user-agent", "curl/8"), ("accept", "*/*"), ("cookie", "a=b; c=d")]),
        get("HTTP/2", &[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https"), whole]),
        get("HTTP/1.0", &[("host", "b.example"), ("authorization", "Bearer a.b.c")]),
        get(
            "HTTP/2",
            &[("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13")],
        ),
        post(&[("content-length", "3"), whole], b"abc"),
        post(&[("content-length", "9"), partial], b"abc"),
        post(&[("content-length", "3, 3"), whole], b"abc"),
        post(&[("content-length", "3")], b""),
        post(&[("transfer-encoding", "chunked"), whole], b"abc"),
        post(&[("content-type", "text/plain"), whole], b"\xff\xfe\0"),
    ] {
        all.extend([false, true].map(|as_text| shown.message(as_text, "")));
    }
    for one in posts {
        let length = one.body.len().to_string();
        let headers = [("content-type", one.kind), ("content-length", &*length), whole];
        let (method, protocol, body) = ("POST", "HTTP/2", one.body.as_bytes());
        let shown = Shown { method, path: one.path, protocol, headers: &headers, body };
        all.extend([false, true].map(|as_text| shown.message(as_text, "")));
    }
    // Who has shown a certificate, which is PEM with the percent signs of a URL.
    let certificate = "-----BEGIN%20CERTIFICATE-----%0AMAA%3D%0A-----END%20CERTIFICATE-----%0A";
    all.push(get("HTTP/2", &[("accept", "*/*")]).message(false, certificate));
    all
}
