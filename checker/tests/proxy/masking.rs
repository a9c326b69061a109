//! Answers on their way to the client: what is masked in them, and which headers they get and lose.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
    time::Duration,
};

use crate::servers::{Certificates, Nginx, Proxy, Recorder, Setup, good, text, upstream, wait_until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("what is sensitive in an answer is masked, however it is framed, and lengths hold", masked),
    ("what is sensitive is masked over HTTP/1.0, of clients and of servers", old),
    (
        "an answer that is masked is asked for whole and uncompressed, and is not passed on otherwise",
        unreadable,
    ),
    (
        "answers of other types, routes and modes stay as they are, and are counted where that is wanted",
        modes,
    ),
    ("events do not wait for the next one", events),
    ("security headers come, banners go, as the policy has it", headers),
    ("answers are held against the specification, and passed on all the same", specification),
];

const ENFORCED: &str = "undeclared = \"allow\"\nmasking = \"enforce\"\n";

fn proxy(port: u16, policy: &str) -> Proxy {
    let mut setup = Setup::new(upstream("a", port, ""));
    setup.policy = Some(policy.to_owned());
    setup.start()
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{more}Connection: close\r\n\r\n")
}

/// Texts that are to be masked, and what becomes of them.
fn pair() -> (String, String) {
    let token = format!("{}.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl", "eyJhbGciOiJIUzI1NiJ9");
    let key = format!("sk_live_{}", "uvwxyz0123456789ABCD");
    let gap = "all is well, ".repeat(400);
    let of = |card: &str, iban: &str, token: &str, key: &str| {
        format!(
            "{{\"card\":\"{card}\",\"gap\":\"{gap}\",\"iban\":\"{iban}\",\"t\":\"{token}\",\"k\":\"{key}\"}}"
        )
    };
    let hidden = |text: &str| text.replace(|one: char| one.is_ascii_alphanumeric(), "X");
    let plain = of("4111111111111111", "DE89370400440532013000", &token, &key);
    let masked = of(
        "XXXXXXXXXXXX1111",
        "DEXXXXXXXXXXXXXXXX3000",
        &hidden(&token),
        &format!("sk_live_{}", hidden(&key[8..])),
    );
    (plain, masked)
}

/// An answer in pieces of so many bytes, each in a write of its own, framed in each way there is.
fn in_pieces(stream: &mut impl std::io::Write, framing: &str, body: &[u8], size: usize) {
    let kind =
        "Content-Type: application/json; charset=utf-8\r\nDigest: sha-256=x\r\nAccept-Ranges: bytes\r\n";
    let head = match framing {
        "length" => format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: {}\r\n\r\n", body.len()),
        "chunks" => format!("HTTP/1.1 200 OK\r\n{kind}Transfer-Encoding: chunked\r\n\r\n"),
        "old" => format!("HTTP/1.0 200 OK\r\n{kind}\r\n"),
        "old-length" => format!(
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n{kind}Content-Length: {}\r\n\r\n",
            body.len()
        ),
        "old-chunks" => format!("HTTP/1.0 200 OK\r\n{kind}Transfer-Encoding: chunked\r\n\r\n"),
        _ => format!("HTTP/1.1 200 OK\r\n{kind}\r\n"),
    };
    let _ = stream.write_all(head.as_bytes());
    for piece in body.chunks(size) {
        let framed = match framing {
            "chunks" => [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
            _ => piece.to_vec(),
        };
        let _ = stream.write_all(&framed);
    }
    if framing == "chunks" {
        let _ = stream.write_all(b"0\r\n\r\n");
    }
}

/// A server that answers `/FRAMING/SIZE` in pieces of that size.
fn cutting(body: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), body) = (stream, body.clone()) else { continue };
            thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let mut head = [0; 4096];
                let length = stream.read(&mut head).unwrap_or(0);
                let text = String::from_utf8_lossy(&head[..length]).into_owned();
                let mut parts = text.split(' ').nth(1).unwrap_or_default().split('/').skip(1);
                let (framing, size) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("1"));
                in_pieces(&mut stream, framing, body.as_bytes(), size.parse().unwrap_or(1));
            });
        }
    });
    port
}

fn masked() {
    let (plain, expected) = pair();
    let port = cutting(plain.clone());
    let certificates = Certificates::new();
    let authority = certificates.path("ca.pem");
    let mut setup = Setup::new(upstream("a", port, "idle_connections = 0"));
    let (certificate, key) = (certificates.path("server.pem"), certificates.path("server.key"));
    setup.listen = format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
    setup.policy = Some(ENFORCED.to_owned());
    let proxy = setup.start();
    let mut answers = 0;
    for version in ["--http1.0", "--http1.1", "--http2"] {
        for framing in ["length", "chunks", "close"] {
            for size in ["7", "1000", "100000"] {
                let path = format!("/{framing}/{size}");
                let said = text(&proxy.curl(&["--cacert", &authority, version, "-i"], &path));
                let (head, body) = said.split_once("\r\n\r\n").unwrap();
                assert_eq!(body, expected, "{version} {path}");
                let head = head.to_lowercase();
                assert!(!head.contains("digest:") && !head.contains("accept-ranges:"), "{head}");
                let length = format!("content-length: {}", expected.len());
                assert!(framing != "length" || head.contains(&length), "{head}");
                answers += 1;
            }
        }
    }
    // The length that GET would give, and no body.
    let head = text(&proxy.curl(&["--cacert", &authority, "-I"], "/length/100000"));
    assert!(head.to_lowercase().contains(&format!("content-length: {}", expected.len())), "{head}");
    let metrics = proxy.admin("/metrics");
    for kind in ["card", "iban", "jwt", "service-key"] {
        let counted = format!("stopbank_checker_masked_total{{kind=\"{kind}\"}} {answers}\n");
        assert!(metrics.contains(&counted), "{counted}: {metrics}");
    }
    let audit = proxy.directory.file("audit");
    wait_until("a line for each answer", || fs::read_to_string(&audit).unwrap().lines().count() == answers);
    let log = fs::read_to_string(&audit).unwrap();
    assert!(log.contains("\"masked\":{\"card\":1,\"iban\":1,\"jwt\":1,\"service-key\":1}"), "{log}");
}

fn old() {
    let (plain, expected) = pair();
    let mut setup = Setup::new(upstream("a", cutting(plain.clone()), "idle_connections = 0"));
    setup.policy = Some(ENFORCED.to_owned());
    let proxy = setup.start();
    let length = format!("content-length: {}\r\n", expected.len());
    for framing in ["length", "chunks", "close", "old", "old-length"] {
        let known = framing.ends_with("length");
        for size in ["7", "1000", "100000"] {
            let path = format!("/{framing}/{size}");
            let said = text(&proxy.curl(&["--http1.0", "-i"], &path));
            let (head, body) = said.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, expected, "{path}");
            let head = head.to_lowercase() + "\r\n";
            // Such a client knows no chunks: the end of the connection is that of the body.
            assert!(!head.contains("transfer-encoding") && head.contains("connection: close\r\n"), "{head}");
            assert_eq!(head.contains(&length), known, "{head}");
            let newer = text(&proxy.curl(&["--http1.1"], &path));
            assert_eq!(newer, expected, "{path}");
        }
    }
    // A connection that is to stay does where the answer's end is known, and ends with the answer where it is not.
    let mut stream = proxy.connect();
    for (path, stays) in [("/length/1000", true), ("/old-length/7", true), ("/chunks/1000", false)] {
        let head = format!("GET {path} HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let said = answer(&mut stream, expected.len());
        assert!(said.ends_with(&expected), "{path}: {said}");
        assert_eq!(said.contains("connection: keep-alive\r\n"), stays, "{path}: {said}");
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    // HTTP/1.0 has no chunks, whatever a server says.
    let refused = proxy.answers(get("/old-chunks/7", "").as_bytes());
    assert!(refused.starts_with("HTTP/1.1 502 ") && !refused.contains("4111"), "{refused}");
}

/// An answer with a body of so many bytes.
fn answer(stream: &mut impl std::io::Read, body: usize) -> String {
    let (mut said, mut step) = (Vec::new(), [0; 4096]);
    loop {
        let end = said.windows(4).position(|four| four == b"\r\n\r\n");
        if end.is_some_and(|end| said.len() >= end + 4 + body) {
            return String::from_utf8(said).unwrap();
        }
        let length = stream.read(&mut step).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&step[..length]);
    }
}

fn unreadable() {
    let answer: fn(&[u8]) -> (Vec<u8>, bool) = |request| {
        let request = String::from_utf8_lossy(request).to_lowercase();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let (status, headers, body) = match path.as_str() {
            "/asked" => ("200 OK", "Content-Type: text/plain\r\n", request.split_once("\r\n").unwrap().1),
            "/gzip" => ("200 OK", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", "not masked"),
            "/part" => (
                "206 Partial Content",
                "Content-Type: image/png\r\nContent-Range: bytes 0-9/20\r\n",
                "not masked",
            ),
            "/wide" => ("200 OK", "Content-Type: text/plain; charset=\"UTF-16LE\"\r\n", "not masked"),
            "/same" => {
                return (
                    b"HTTP/1.1 304 Not Modified\r\nContent-Encoding: gzip\r\nETag: \"a\"\r\n\r\n".to_vec(),
                    false,
                );
            }
            "/none" => {
                return (b"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n".to_vec(), false);
            }
            _ => ("200 OK", "Content-Type: image/png\r\nContent-Encoding: gzip\r\n", "4111111111111111"),
        };
        (
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
                .into_bytes(),
            false,
        )
    };
    let recorder = Recorder::start(answer);
    let closed = proxy(recorder.port, ENFORCED);
    let open =
        proxy(recorder.port, "undeclared = \"allow\"\nmasking = { mode = \"enforce\", fail = \"open\" }\n");
    let wish = "Accept-Encoding: gzip, br\r\nRange: bytes=0-9\r\nIf-Range: \"a\"\r\n";
    let asked = closed.answers(get("/asked", wish).as_bytes());
    assert!(asked.contains("accept-encoding: identity\r\n") && !asked.contains("gzip"), "{asked}");
    assert!(!asked.contains("range:"), "{asked}");
    for path in ["/gzip", "/part", "/wide"] {
        let refused = closed.answers(get(path, "").as_bytes());
        assert!(refused.starts_with("HTTP/1.1 502 ") && !refused.contains("not masked"), "{path}: {refused}");
        let passed = open.answers(get(path, "").as_bytes());
        assert!(passed.starts_with("HTTP/1.1 20") && passed.ends_with("not masked"), "{path}: {passed}");
        let old = format!("GET {path} HTTP/1.0\r\nHost: a.example\r\n\r\n");
        let refused = closed.answers(old.as_bytes());
        assert!(refused.starts_with("HTTP/1.1 502 ") && !refused.contains("not masked"), "{path}: {refused}");
    }
    for proxy in [&closed, &open] {
        assert!(proxy.answers(get("/same", "").as_bytes()).starts_with("HTTP/1.1 304 "));
        assert!(proxy.answers(get("/none", "").as_bytes()).starts_with("HTTP/1.1 204 "));
        assert!(proxy.answers(get("/image", "").as_bytes()).ends_with("4111111111111111"));
    }
    let (closed, noted) = (closed.admin("/metrics"), open.admin("/metrics"));
    assert!(
        closed.contains("upstream_errors_total{reason=\"response-unreadable\",upstream=\"a\"} 6"),
        "{closed}"
    );
    assert!(noted.contains("response_findings_total{reason=\"response-unreadable\"} 3"), "{noted}");
}

fn modes() {
    let answer: fn(&[u8]) -> (Vec<u8>, bool) = |request| {
        let path = String::from_utf8_lossy(request).split(' ').nth(1).unwrap().to_owned();
        let kind = if path.ends_with("csv") { "Content-Type: application/x-own\r\n" } else { "" };
        let body = "4111111111111111 a@example.org ORD-12345678";
        (format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes(), false)
    };
    let recorder = Recorder::start(answer);
    let policy = "undeclared = \"allow\"\n\
        [masking]\nmode = \"observe\"\nkinds = [\"email\", \"card\"]\npatterns = { order = 'ORD-[0-9]{8}' }\n\
        [[route]]\npath = \"/masked/{rest*}\"\nmethods = [\"GET\"]\nmasking = \"enforce\"\n\
        [[route]]\npath = \"/off\"\nmethods = [\"GET\"]\nmasking = \"off\"\n\
        [[route]]\npath = \"/own\"\nmethods = [\"GET\"]\nmasking = { mode = \"enforce\", kinds = [], patterns = {} }\n\
        [[route]]\npath = \"/csv\"\nmethods = [\"GET\"]\nmasking = { mode = \"enforce\", types = [\"application/x-*\"] }\n";
    // A type of one's own is the star and what it ends with.
    let policy = policy.replace("application/x-*", "application/x-own");
    let proxy = proxy(recorder.port, &policy);
    let plain = "4111111111111111 a@example.org ORD-12345678";
    let masked = "XXXXXXXXXXXX1111 X@example.org XXXXXXXXXXXX";
    for (path, expected) in [
        ("/seen", plain),
        ("/masked/a", masked),
        ("/masked/csv", plain),
        ("/off", plain),
        ("/own", plain),
        ("/csv", masked),
    ] {
        let said = proxy.answers(get(path, "").as_bytes());
        assert!(said.ends_with(expected), "{path}: {said}");
    }
    // Seen, and masked twice.
    let metrics = proxy.admin("/metrics");
    for kind in ["card", "email", "own"] {
        assert!(metrics.contains(&format!("masked_total{{kind=\"{kind}\"}} 3\n")), "{metrics}");
    }
    let audit = proxy.directory.file("audit");
    wait_until("three lines", || fs::read_to_string(&audit).unwrap().lines().count() == 3);
}

fn events() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = [0; 4096];
            if stream.read(&mut head).unwrap_or(0) == 0 {
                continue;
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: card 41111111");
            thread::sleep(Duration::from_millis(50));
            let _ = stream.write_all(b"11111111\n");
            thread::sleep(Duration::from_millis(50));
            let _ = stream.write_all(b"\n");
            // The next one comes when the first has been seen, or never.
            let _ = stream.read(&mut head);
        }
    });
    let proxy = proxy(port, ENFORCED);
    let mut stream = proxy.connect();
    stream.write_all(get("/", "").as_bytes()).unwrap();
    let (mut seen, mut step) = (String::new(), [0; 4096]);
    while !seen.contains("data: card XXXXXXXXXXXX1111\n") {
        let length = stream.read(&mut step).unwrap();
        assert!(length > 0, "{seen}");
        seen += &String::from_utf8_lossy(&step[..length]);
    }
}

fn headers() {
    let recorder = Recorder::start(|_| {
        let banners =
            "Server: x/1.2\r\nX-Powered-By: y\r\nVia: 1.1 z\r\nX-Inner: 1\r\nX-Frame-Options: SAMEORIGIN\r\n";
        let (good, last) = good("ok");
        ([&good[..17], banners.as_bytes(), &good[17..]].concat(), last)
    });
    let certificates = Certificates::new();
    let authority = certificates.path("ca.pem");
    let mut setup = Setup::new(upstream("a", recorder.port, ""));
    let (certificate, key) = (certificates.path("server.pem"), certificates.path("server.key"));
    setup.listen = format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
    setup.policy = Some(
        "undeclared = \"allow\"\nresponse = { remove = [\"X-Inner\"], keep = [\"via\"] }\n\
         [[route]]\npath = \"/api\"\nmethods = [\"GET\"]\nresponse = \"api\"\n\
         [[route]]\npath = \"/page\"\nmethods = [\"GET\"]\nresponse = { set = { X-Frame-Options = \"DENY\" }, default = { x-inner = \"2\" } }\n\
         [[route]]\npath = \"/raw\"\nmethods = [\"GET\"]\nresponse = \"none\"\n"
            .to_owned(),
    );
    let secure = setup.start();
    let hsts = "strict-transport-security: max-age=31536000\r\n";
    for version in ["--http1.1", "--http2"] {
        let ask = |path: &str| {
            text(&secure.curl(&["--cacert", &authority, version, "-i", "--path-as-is"], path)).to_lowercase()
        };
        let basic = ask("/");
        for part in [hsts, "x-content-type-options: nosniff", "via: 1.1 z", "x-frame-options: sameorigin"] {
            assert!(basic.contains(part), "{part}: {basic}");
        }
        for part in ["server:", "x-powered-by", "x-inner", "content-security-policy"] {
            assert!(!basic.contains(part), "{part}: {basic}");
        }
        let api = ask("/api");
        assert!(
            api.contains("content-security-policy: default-src 'none'") && !api.contains("via:"),
            "{api}"
        );
        assert!(api.contains("x-inner: 1") && api.contains("x-frame-options: sameorigin"), "{api}");
        let page = ask("/page");
        assert_eq!(page.matches("x-frame-options").count(), 1, "{page}");
        assert!(page.contains("x-frame-options: deny") && page.contains("x-inner: 1"), "{page}");
        let raw = ask("/raw");
        assert!(
            raw.contains("server: x/1.2") && raw.contains("x-powered-by") && !raw.contains("nosniff"),
            "{raw}"
        );
        // A refusal is an answer, too.
        let refused = ask("/a/../b");
        assert!(
            refused.contains(hsts) && refused.contains("nosniff") && refused.contains(" 400"),
            "{refused}"
        );
    }
    // Without TLS there is no promise of it.
    let nginx = Nginx::start(None);
    let plain = Proxy::in_front_of(nginx.port);
    let said = text(&plain.curl(&["-i"], "/a")).to_lowercase();
    assert!(
        said.contains("nosniff") && !said.contains("strict-transport") && !said.contains("server:"),
        "{said}"
    );
}

fn specification() {
    let answer: fn(&[u8]) -> (Vec<u8>, bool) = |request| {
        let path = String::from_utf8_lossy(request).split(' ').nth(1).unwrap().to_owned();
        let (status, body) = match path.as_str() {
            "/item?a=good" => (200, "{\"n\":1}".to_owned()),
            "/item?a=bad" => (200, "{\"n\":\"4111111111111111\"}".to_owned()),
            "/item?a=long" => (200, format!("{{\"n\":\"{}\"}}", "a".repeat(100_000))),
            "/item?a=other" => (500, "{}".to_owned()),
            _ => {
                return (
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
                        .to_vec(),
                    true,
                );
            }
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        ((head + &body).into_bytes(), false)
    };
    let recorder = Recorder::start(answer);
    let mut setup = Setup::new(upstream("a", recorder.port, ""));
    let document = serde_json::json!({
        "openapi": "3.1.0",
        "info": { "title": "a", "version": "1" },
        "paths": { "/item": { "get": {
            "parameters": [{ "name": "a", "in": "query", "schema": { "type": "string" } }],
            "responses": { "200": { "description": "ok", "content": { "application/json": { "schema": {
                "type": "object", "properties": { "n": { "type": "integer" } } } } } } }
        } } }
    });
    fs::write(setup.directory.file("api.json"), document.to_string()).unwrap();
    setup.policy = Some("openapi = \"api.json\"\n".to_owned());
    let proxy = setup.start();
    for (query, end) in [("good", "1}"), ("bad", "4111111111111111\"}"), ("long", "aaa\"}"), ("other", "{}")]
    {
        let said = proxy.answers(get(&format!("/item?a={query}"), "").as_bytes());
        assert!(said.ends_with(end), "{query}: {said}");
    }
    // One that is cut short is no answer of which anything could be said.
    let cut = proxy.answers(get("/item?a=cut", "").as_bytes());
    assert!(cut.ends_with("\r\n\r\n{"), "{cut}");
    let metrics = proxy.admin("/metrics");
    // That of the long one is not kept.
    let counted = "stopbank_checker_response_findings_total{reason=\"schema-response\"} 2\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("stopbank_checker_buffered_bytes 0\n"), "{metrics}");
    let audit = proxy.directory.file("audit");
    wait_until("the audit log", || {
        fs::read_to_string(&audit).unwrap().matches("schema-response").count() >= 2
    });
    let log = fs::read_to_string(&audit).unwrap();
    assert!(!log.contains("411111111111"), "{log}");
}
