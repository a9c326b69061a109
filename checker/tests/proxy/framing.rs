//! What was inspected is what is forwarded, and nothing else: smuggling, both ways.

use std::{
    io::{Read as _, Write as _},
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

use crate::servers::{Proxy, Recorder, Setup, good, upstream};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("what servers could take for two requests reaches none", smuggled),
    ("requests in one go are answered in their order", pipelined),
    ("what is forwarded is what was inspected, however it came", forwarded),
    ("an answer that could end in two places is not passed on, and its connection not used again", answers),
    ("what stands behind an answer reaches nobody", excess),
    ("a connection becomes a WebSocket only where that is allowed", websocket),
    ("nothing is sent a second time", once),
];

const HOST: &str = "Host: a.example\r\n";

fn smuggled() {
    let recorder = Recorder::start(|_| good("reached"));
    let proxy = Setup::new(upstream("a", recorder.port, "") + "[limits]\nidle_timeout = \"300ms\"\n").start();
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk = format!("0\r\n\r\n{inner}");
    for (headers, body, status) in [
        (format!("Content-Length: 4\r\nContent-Length: {}\r\n", inner.len()), inner, 400),
        (format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", chunk.len()), chunk.as_str(), 400),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", chunk.len()), &chunk, 400),
        ("Transfer-Encoding: xchunked\r\n".to_owned(), &chunk, 400),
        ("Transfer-Encoding : chunked\r\n".to_owned(), &chunk, 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(), &chunk, 400),
        ("Transfer-Encoding:\x0bchunked\r\n".to_owned(), &chunk, 400),
        ("Transfer-Encoding: gzip, chunked\r\n".to_owned(), &chunk, 400),
        ("X: a\r\n Transfer-Encoding: chunked\r\n".to_owned(), &chunk, 400),
        ("X: a\nTransfer-Encoding: chunked\r\n".to_owned(), &chunk, 400),
        ("X: a\rTransfer-Encoding: chunked\r\n".to_owned(), &chunk, 400),
        ("Transfer_Encoding: chunked\r\n".to_owned(), "", 400),
        (format!("Content-Length: +{}\r\n", inner.len()), inner, 400),
        ("Content-Length: 0x0\r\n".to_owned(), inner, 400),
        ("Content-Length: 5, 5\r\n".to_owned(), "aaaaa", 400),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "1;x=\n\r\na\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "1\na\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "1\r\naX0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "0\r\nHost: b\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "100000001\r\na", 400),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "ffffffff\r\na", 413),
        ("Content-Length: 99999999\r\n".to_owned(), "", 413),
        ("Connection: Content-Length\r\nContent-Length: 5\r\n".to_owned(), "aaaaa", 400),
        ("Connection: Authorization\r\nAuthorization: a\r\n".to_owned(), "", 400),
        ("Host: b.example\r\n".to_owned(), "", 400),
        ("Expect: everything\r\n".to_owned(), "", 417),
    ] {
        let text = format!("POST /outer HTTP/1.1\r\n{HOST}{headers}\r\n{body}");
        let answer = proxy.answers(text.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{text:?}: {answer}");
    }
    for text in [
        format!("GET http://b.example/ HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET / HTTP/1.1\n{HOST}\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}\n"),
        format!("\r\nGET / HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET  / HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET / HTTP/1.2\r\n{HOST}\r\n"),
        format!("CONNECT a.example:80 HTTP/1.1\r\n{HOST}\r\n"),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let answer = proxy.answers(text.as_bytes());
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 505 "),
            "{text:?}: {answer}"
        );
    }
    assert_eq!(recorder.another(), None, "one reached the server");
    // The proof that one could have.
    let answer = proxy.answers(format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").as_bytes());
    assert!(answer.ends_with("reached") && recorder.request().is_some(), "{answer}");
}

fn pipelined() {
    let recorder =
        Recorder::start(|request| good(String::from_utf8_lossy(request).split(' ').nth(1).unwrap()));
    let proxy = Proxy::in_front_of(recorder.port);
    let mut text = String::new();
    for number in 0..20 {
        text += &format!(
            "POST /{number} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n0\r\n\r\n"
        );
    }
    text += &format!("GET /last HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
    let answer = proxy.answers(text.as_bytes());
    let bodies: Vec<&str> =
        answer.split("\r\n\r\n").skip(1).map(|part| part.split("HTTP/1.1").next().unwrap()).collect();
    let expected: Vec<String> =
        (0..20).map(|number| format!("/{number}")).chain(["/last".to_owned()]).collect();
    assert_eq!(bodies, expected, "{answer}");
    // One after the other on one connection.
    assert_eq!(recorder.connections.load(Ordering::Relaxed), 1);
}

/// A generator of numbers that are the same in each run (xorshift, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }
}

fn forwarded() {
    let recorder = Recorder::start(|_| good("ok"));
    let proxy = Proxy::in_front_of(recorder.port);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut stream = proxy.connect();
    for round in 0..400 {
        let method = numbers.one(&["POST", "PUT", "PATCH", "DELETE"]);
        let target = numbers.one(&["/", "/a%20b?c=%26&d=e+f", "/x/y/?q[]=1", "/~a,b/..c"]);
        let mut headers = String::new();
        for _ in 0..numbers.below(4) {
            headers += numbers.one(&[
                "X-A:  padded \r\n",
                "x-b: \u{e9}\r\n",
                "Accept: */*, a;q=0.1\r\n",
                "X-Empty:\r\n",
            ]);
        }
        let body: Vec<u8> = (0..numbers.below(5000)).map(|_| b'a' + numbers.below(26) as u8).collect();
        let mut bytes = format!("{method} {target} HTTP/1.1\r\n{HOST}{headers}").into_bytes();
        if numbers.below(2) == 0 {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            bytes.extend(&body);
        } else {
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(1 + numbers.below(900)) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
        let cut = numbers.below(bytes.len());
        stream.write_all(&bytes[..cut]).unwrap();
        if numbers.below(8) == 0 {
            thread::sleep(Duration::from_millis(2));
        }
        stream.write_all(&bytes[cut..]).unwrap();
        let mut answer = vec![0; 4096];
        let mut read = 0;
        while !answer[..read].ends_with(b"\r\n\r\nok") {
            let more = stream.read(&mut answer[read..]).unwrap();
            assert!(more > 0, "round {round}: {}", String::from_utf8_lossy(&answer[..read]));
            read += more;
        }
        let seen = recorder.request().unwrap();
        let end = seen.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(&seen[end..], &body[..], "round {round}");
        let head = String::from_utf8(seen[..end].to_vec()).unwrap();
        let mut expected: Vec<String> =
            vec![format!("{method} {target} HTTP/1.1"), "Host: a.example".to_owned()];
        for line in headers.lines() {
            let (name, value) = line.split_once(':').unwrap();
            expected.push(format!("{name}: {}", value.trim()));
        }
        let lines: Vec<&str> = head.lines().collect();
        assert_eq!(lines[..expected.len()], expected[..], "round {round}");
        // Then come the proxy's own, and the length of what was inspected.
        for line in &lines[expected.len()..lines.len() - 1] {
            let name = line.split(':').next().unwrap();
            let ours = ["content-length", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "via"];
            assert!(ours.contains(&name), "round {round}: {line}");
        }
    }
}

fn answers() {
    let next: fn(&[u8]) -> (Vec<u8>, bool) = |request| {
        let target = String::from_utf8_lossy(request);
        let headers = match target.split(' ').nth(1).unwrap() {
            "/two-lengths" => "Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello",
            "/both" => "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "/gzip" => "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "/space" => "Content-Length : 5\r\n\r\nhello",
            "/bare" => "Content-Length: 5\nX: y\r\n\r\nhello",
            "/nul" => "X: a\0b\r\nContent-Length: 5\r\n\r\nhello",
            "/folded" => "X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
            "/sign" => "Content-Length: +5\r\n\r\nhello",
            "/switched" => return (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_vec(), false),
            "/early" => return (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(), false),
            "/gone" => return (Vec::new(), true),
            _ => "Content-Length: 2\r\n\r\nok",
        };
        (format!("HTTP/1.1 200 OK\r\n{headers}").into_bytes(), false)
    };
    let recorder = Recorder::start(next);
    let proxy = Proxy::in_front_of(recorder.port);
    for path in ["two-lengths", "both", "gzip", "space", "bare", "nul", "folded", "sign", "switched", "gone"]
    {
        let before = recorder.connections.load(Ordering::Relaxed);
        let text = format!(
            "GET /{path} HTTP/1.1\r\n{HOST}\r\nGET /good HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
        );
        let answer = proxy.answers(text.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 502 ") && !answer.contains("hello"), "{path}: {answer}");
        assert!(answer.contains("HTTP/1.1 200 OK") && answer.ends_with("ok"), "{path}: {answer}");
        let new = recorder.connections.load(Ordering::Relaxed) - before;
        assert!(new >= 1, "{path}: the connection was used again");
    }
    let early = proxy.answers(format!("GET /early HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").as_bytes());
    assert!(early.starts_with("HTTP/1.1 200 OK\r\n") && early.ends_with("ok"), "{early}");
    let metrics = proxy.admin("/metrics");
    assert!(
        metrics.contains("upstream_errors_total{reason=\"length-and-chunked\",upstream=\"a\"} 1"),
        "{metrics}"
    );
}

fn excess() {
    let recorder = Recorder::start(|_| {
        let (mut bytes, last) = good("ok");
        bytes.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        (bytes, last)
    });
    let proxy = Proxy::in_front_of(recorder.port);
    for _ in 0..20 {
        let answer = proxy.answers(format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").as_bytes());
        assert!(answer.ends_with("ok") && !answer.contains("poison"), "{answer}");
    }
}

fn websocket() {
    let recorder = Recorder::start(|request| {
        let text = String::from_utf8_lossy(request).to_lowercase();
        if !text.contains("\r\nupgrade: websocket\r\n") || !text.contains("\r\nconnection: upgrade\r\n") {
            return good("no upgrade asked");
        }
        assert!(text.contains("sec-websocket-key: dgvzda==\r\n"), "{text}");
        let accept = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
        (accept.as_bytes().to_vec(), false)
    });
    let mut setup = Setup::new(upstream("a", recorder.port, ""));
    setup.policy = Some(
        "undeclared = \"allow\"\n[[route]]\npath = \"/live\"\nmethods = [\"GET\"]\n\
         websocket = { origins = [\"https://app.example\"] }\n[masking]\nmode = \"enforce\"\n"
            .to_owned(),
    );
    let proxy = setup.start();
    let ask = |path: &str, protocol: &str| {
        format!(
            "GET {path} HTTP/1.1\r\n{HOST}Origin: https://app.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGVzdA==\r\n\r\n"
        )
    };
    let refused = proxy.answers((ask("/other", "websocket") + "GET / HTTP/1.1\r\n\r\n").as_bytes());
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let other_site = ask("/live", "websocket").replace("https://app.example", "https://evil.example");
    let refused = proxy.answers((other_site + "GET / HTTP/1.1\r\n\r\n").as_bytes());
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let metrics = proxy.admin("/metrics");
    for reason in ["upgrade", "websocket-origin"] {
        let counted = format!("action=\"refuse\",check=\"connection\",reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&counted), "{metrics}");
    }
    // An upgrade to something else is none, and the request an ordinary one.
    let mut other = proxy.connect();
    other.write_all(ask("/live", "h2c").as_bytes()).unwrap();
    let mut read = [0; 4096];
    let length = other.read(&mut read).unwrap();
    assert!(read[..length].ends_with(b"no upgrade asked"));
    let mut stream = proxy.connect();
    stream.write_all(ask("/live", "websocket").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut read).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&read[..length]);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("Sec-WebSocket-Accept: x"), "{answer}");
    // The recorder takes what follows for a request, and answers with the head of an upgrade or of a refusal: bytes pass both ways.
    stream.write_all(b"GET /echo HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Key: dGVzdA==\r\n\r\n").unwrap();
    let length = stream.read(&mut read).unwrap();
    assert!(read[..length].starts_with(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket"));
    assert!(recorder.requests.lock().unwrap().iter_any(b"GET /echo HTTP/1.1\r\nconnection: upgrade\r\n"));
}

/// Whether one of the requests so far begins so.
trait Any {
    fn iter_any(&self, beginning: &[u8]) -> bool;
}

impl Any for std::sync::mpsc::Receiver<Vec<u8>> {
    fn iter_any(&self, beginning: &[u8]) -> bool {
        while let Ok(request) = self.recv_timeout(Duration::from_secs(2)) {
            if request.starts_with(beginning) {
                return true;
            }
        }
        false
    }
}

fn once() {
    let recorder = Recorder::start(|_| (Vec::new(), true));
    let proxy = Proxy::in_front_of(recorder.port);
    for method in ["GET", "POST"] {
        let answer = proxy.answers(
            format!("{method} / HTTP/1.1\r\n{HOST}Content-Length: 1\r\nConnection: close\r\n\r\na")
                .as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(recorder.request().is_some() && recorder.another().is_none(), "{method} was sent twice");
    }
}
