//! Bodies that no check needs are passed on as they come, and none of them is kept.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use crate::servers::{Certificates, Proxy, Setup, text, upstream};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a body that no check needs is larger than what may be kept, however it is framed", large),
    ("a body is passed on before it has come to its end, and another request follows it", onwards),
    ("a body that goes too far, comes too slowly or ends too early ends too early for the upstream", stopped),
    ("an upstream that answers before the body has come is heard", early),
    ("a slow upstream is not the client's fault", slow),
];

const SIZE: usize = 6 << 20;

/// Nothing of `/up` is judged beyond its head.
const POLICY: &str = "undeclared = \"allow\"\n[[route]]\npath = \"/up/{how}\"\nmethods = [\"POST\", \"PUT\"]\n\
    limits.request.body = \"8 MiB\"\n\
    checks = { coding = \"off\", content = \"off\", json = \"off\", xml = \"off\", graphql = \"off\", form = \"off\", multipart = \"off\", injection = \"off\" }\n";

/// What an upstream has seen of a request.
#[derive(Debug)]
enum Seen {
    Head(String),
    Bytes(usize),
    /// All of it, and what its bytes add up to.
    Whole(usize, u64),
    Cut,
}

/// A server that reads bodies in both framings and says how far it is. `/up/early` it answers without reading, and `/up/slow` it reads late.
fn sink() -> (u16, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), sender) = (stream, sender.clone()) else { continue };
            thread::spawn(move || while read_one(&stream, &|seen| drop(sender.send(seen))) {});
        }
    });
    (port, receiver)
}

/// A byte; `None` at the end.
fn byte(mut stream: &TcpStream) -> Option<u8> {
    let mut byte = [0];
    matches!(stream.read(&mut byte), Ok(1)).then(|| byte[0])
}

fn line(stream: &TcpStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(byte(stream)?);
    }
    String::from_utf8(line).ok().map(|line| line.trim_end().to_owned())
}

/// Whether another one may follow.
fn read_one(mut stream: &TcpStream, tell: &dyn Fn(Seen)) -> bool {
    let mut head = String::new();
    loop {
        match line(stream) {
            Some(line) if line.is_empty() => break,
            Some(line) => head += &(line.to_lowercase() + "\n"),
            None => return false,
        }
    }
    tell(Seen::Head(head.clone()));
    if head.contains(" /up/early ") {
        let _ = stream.write_all(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nstop",
        );
        thread::sleep(Duration::from_secs(1));
        return false;
    }
    if head.contains(" /up/slow ") {
        thread::sleep(Duration::from_secs(3));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let chunked = head.contains("transfer-encoding: chunked");
    let (mut seen, mut sum) = (0, 0);
    let source: &TcpStream = stream;
    let mut take = |wanted: usize| {
        let mut reader = source;
        let mut left = wanted;
        let mut step = vec![0; 64 << 10];
        while left > 0 {
            let most = left.min(step.len());
            let Ok(more @ 1..) = reader.read(&mut step[..most]) else { return false };
            sum += step[..more].iter().map(|&byte| u64::from(byte)).sum::<u64>();
            (left, seen) = (left - more, seen + more);
            tell(Seen::Bytes(seen));
        }
        true
    };
    let whole = match length {
        Some(length) => !chunked && take(length),
        None if chunked => loop {
            let Some(size) = line(source).and_then(|size| usize::from_str_radix(&size, 16).ok()) else {
                break false;
            };
            if !take(size) || line(source).as_deref() != Some("") {
                break false;
            }
            if size == 0 {
                break true;
            }
        },
        None => true,
    };
    if !whole {
        tell(Seen::Cut);
        return false;
    }
    tell(Seen::Whole(seen, sum));
    let body = format!("{seen} bytes");
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
        .is_ok()
}

fn proxy(port: u16, limits: &str) -> Proxy {
    let mut setup = Setup::new(upstream("a", port, "") + "[limits]\n" + limits);
    setup.policy = Some(POLICY.to_owned());
    setup.start()
}

/// What has been seen of the next request when nothing more comes of it, and its head.
fn end(seen: &Receiver<Seen>) -> (String, Seen) {
    let mut head = String::new();
    loop {
        match seen.recv_timeout(Duration::from_secs(20)).unwrap() {
            Seen::Head(one) => head = one,
            Seen::Bytes(_) => {}
            end => return (head, end),
        }
    }
}

fn large() {
    let (port, seen) = sink();
    let certificates = Certificates::new();
    let authority = certificates.path("ca.pem");
    let mut setup = Setup::new(upstream("a", port, "") + "[limits]\nbuffered = 100000\n");
    let (certificate, key) = (certificates.path("server.pem"), certificates.path("server.key"));
    setup.listen = format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
    setup.policy = Some(POLICY.to_owned());
    let proxy = setup.start();
    let body: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let sum: u64 = body.iter().map(|&byte| u64::from(byte)).sum();
    let file = proxy.directory.file("body");
    std::fs::write(&file, &body).unwrap();
    let file = file.display().to_string();
    let data = format!("@{file}");
    let of_any_length =
        ["-H", "Transfer-Encoding: chunked", "-H", "Content-Length:", "-X", "POST", "-T", &file];
    let uploads = [(&["--data-binary", data.as_str()][..], true), (&of_any_length, false)];
    for version in ["--http1.1", "--http2"] {
        for (arguments, length) in uploads {
            let said = text(&proxy.curl(&[arguments, &["--cacert", &authority, version]].concat(), "/up/a"));
            assert_eq!(said, format!("{SIZE} bytes"), "{version}");
            let (head, end) = end(&seen);
            assert!(matches!(end, Seen::Whole(SIZE, same) if same == sum), "{end:?}");
            assert_eq!(head.contains("content-length: "), length, "{version} {head}");
            assert_eq!(head.contains("transfer-encoding: chunked"), !length, "{version} {head}");
        }
    }
    // Where a check needs it, it is too much, by its length or for the memory that there is: a client reads so while it still sends.
    for version in ["--http1.1", "--http2"] {
        for (arguments, length) in [uploads[0], uploads[1], uploads[1], uploads[1]] {
            let asks = ["--cacert", &authority, version, "-o", "/dev/null", "-w", "%{http_code}"];
            let refused = proxy.curl(&[&asks, arguments].concat(), "/other");
            let status = if length { "413" } else { "503" };
            assert_eq!(String::from_utf8_lossy(&refused.stdout), status, "{version} {refused:?}");
        }
    }
}

fn onwards() {
    let (port, seen) = sink();
    let proxy = proxy(port, "");
    let mut stream = proxy.connect();
    let ask = |framing: &str| {
        format!("POST /up/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n")
    };
    let mut answer = [0; 4096];
    for framing in ["Content-Length: 8", "Transfer-Encoding: chunked"] {
        stream.write_all(ask(framing).as_bytes()).unwrap();
        let length = stream.read(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"HTTP/1.1 100 Continue\r\n\r\n");
        let chunked = framing.contains("chunked");
        stream.write_all(if chunked { b"4\r\nhalf\r\n" } else { b"half" }).unwrap();
        while !matches!(seen.recv_timeout(Duration::from_secs(20)).unwrap(), Seen::Bytes(4)) {}
        stream.write_all(if chunked { b"4\r\nrest\r\n0\r\n\r\n" } else { b"rest" }).unwrap();
        assert!(matches!(end(&seen).1, Seen::Whole(8, _)));
        let length = stream.read(&mut answer).unwrap();
        let said = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(said.starts_with("HTTP/1.1 200 ") && said.ends_with("8 bytes"), "{said}");
    }
}

fn stopped() {
    let (port, seen) = sink();
    let proxy = proxy(port, "body_grace = \"1s\"\nbody_rate = 1000\n");
    let chunked = "POST /up/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cut = |what: &str| assert!(matches!(end(&seen).1, Seen::Cut), "{what}");
    // Too far: what is beyond does not reach it.
    let mut far = chunked.as_bytes().to_vec();
    for _ in 0..9 {
        far.extend(b"100000\r\n");
        far.extend(vec![b'a'; 1 << 20]);
        far.extend(b"\r\n");
    }
    let mut stream = proxy.connect();
    let _ = stream.write_all(&far);
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    cut("too far");
    // Not a chunk.
    let answer = proxy.answers((chunked.to_owned() + "4\r\nhalf\r\nX\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    cut("no chunk");
    // Too slowly.
    let began = Instant::now();
    let answer = proxy.answers((chunked.to_owned() + "4\r\nhalf\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408 ") && began.elapsed() < Duration::from_secs(10), "{answer}");
    cut("too slow");
    // Gone, in both framings.
    for (head, part) in
        [(chunked, "4\r\nhalf\r\n"), ("POST /up/a HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n", "half")]
    {
        let mut stream = proxy.connect();
        stream.write_all((head.to_owned() + part).as_bytes()).unwrap();
        while !matches!(seen.recv_timeout(Duration::from_secs(20)).unwrap(), Seen::Bytes(4)) {}
        drop(stream);
        cut("gone");
    }
    // A length that is too much is refused before anyone is asked.
    let answer = proxy.answers(b"POST /up/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(seen.recv_timeout(Duration::from_millis(200)).is_err());
    let metrics = proxy.admin("/metrics");
    for (check, reason, count) in [
        ("framing", "body-length", 2),
        ("framing", "chunk", 1),
        ("connection", "body-slow", 1),
        ("framing", "cut-short", 2),
    ] {
        let counted = format!("action=\"refuse\",check=\"{check}\",reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&counted), "{counted}: {metrics}");
    }
}

fn early() {
    let (port, _seen) = sink();
    let proxy = proxy(port, "");
    let mut stream = proxy.connect();
    stream.write_all(b"POST /up/early HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\nsome").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("stop"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    // The same while it is still being sent.
    let mut stream = proxy.connect();
    let mut sender = stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let _ = sender.write_all(b"POST /up/early HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
        for _ in 0..8_000 {
            if sender.write_all(&[b'a'; 1_000]).is_err() {
                return;
            }
        }
    });
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 403 "));
    drop(stream);
    sending.join().unwrap();
}

fn slow() {
    let (port, seen) = sink();
    let proxy = proxy(port, "body_grace = \"1s\"\nbody_rate = 100000000\n");
    let mut request =
        format!("PUT /up/slow HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n")
            .into_bytes();
    request.extend(vec![b'a'; SIZE]);
    let answer = proxy.answers(&request);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(matches!(end(&seen).1, Seen::Whole(SIZE, _)));
}
