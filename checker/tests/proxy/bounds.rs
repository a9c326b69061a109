//! Slow and many clients, dead and slow upstreams: others are served.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    frames::{Client, Ended, WINDOW_UPDATE, frame},
    servers::{Proxy, Recorder, Setup, good, text, upstream, wait_until},
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("clients that send a head or a body too slowly are told so, and others are served", slow_clients),
    ("a client that reads no answer is given up", slow_reader),
    ("an answer over HTTP/2 that its client takes too slowly ends as one that is cut short", slow_stream),
    ("one address has no more connections than it may", one_address),
    ("a dead and a slow upstream leave it serving others", upstreams),
    ("an address that fails its checks gets no requests until it is back", health),
    ("bodies that are held in memory are bounded", buffered),
];

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn serves(proxy: &Proxy) {
    let began = Instant::now();
    assert_eq!(text(&proxy.curl(&[], "/")), "ok");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

fn slow_clients() {
    let recorder = Recorder::start(|_| good("ok"));
    let limits =
        "[limits]\nhead_timeout = \"1s\"\nbody_grace = \"1s\"\nbody_rate = 1000\nidle_timeout = \"1s\"\n";
    let proxy = Setup::new(upstream("a", recorder.port, "") + limits).start();
    let proxy = &proxy;
    let body = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 100_000);
    // One byte at a time, for as long as it is let.
    let drip = move |start: String| {
        let mut stream = proxy.connect();
        stream.write_all(start.as_bytes()).unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) && stream.write_all(b"a").is_ok() {
            thread::sleep(Duration::from_millis(50));
            stream.set_nonblocking(true).unwrap();
            let gone = !matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
            stream.set_nonblocking(false).unwrap();
            if gone {
                break;
            }
        }
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        (answer, began.elapsed())
    };
    thread::scope(|scope| {
        let heads: Vec<_> =
            (0..50).map(|_| scope.spawn(|| drip("GET / HTTP/1.1\r\nX: ".to_owned()))).collect();
        let bodies: Vec<_> = (0..50).map(|_| scope.spawn(|| drip(body.clone()))).collect();
        thread::sleep(Duration::from_millis(300));
        serves(proxy);
        for slow in heads.into_iter().chain(bodies) {
            let (answer, took) = slow.join().unwrap();
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    });
    // Idle connections end without a word.
    let mut silent = proxy.connect();
    let mut nothing = Vec::new();
    silent.read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty());
    let metrics = proxy.admin("/metrics");
    for reason in ["head-slow", "body-slow"] {
        let counted = format!("action=\"refuse\",check=\"connection\",reason=\"{reason}\"}} 50");
        assert!(metrics.contains(&counted), "{metrics}");
    }
}

fn slow_reader() {
    let recorder = Recorder::start(|_| good(&"x".repeat(64 << 20)));
    let proxy = Setup::new(upstream("a", recorder.port, "") + "[limits]\nwrite_timeout = \"1s\"\n").start();
    let mut stream = proxy.connect();
    stream.write_all(GET).unwrap();
    wait_until("the connection to be given up", || {
        proxy.admin("/metrics").contains("stopbank_checker_connections 0\n")
    });
}

fn slow_stream() {
    let chunk = [b"100000\r\n", &[b'x'; 1 << 20][..], b"\r\n0\r\n\r\n"].concat();
    let answer = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunk[..]].concat();
    let recorder = Recorder::start(move |_| (answer.clone(), false));
    let mut setup = Setup::new(upstream("a", recorder.port, "") + "[limits]\nwrite_timeout = \"1s\"\n");
    setup.listen = "h2c = true".to_owned();
    let proxy = setup.start();
    let mut client = Client::connect(proxy.connect());
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    client.request(&fields.map(|(name, value)| (name.to_owned(), value.to_owned())), &[], &[]);
    // Longer than a piece may wait for the client's window, which is 64 KiB.
    thread::sleep(Duration::from_secs(3));
    for stream in [0, 1] {
        client.send(&frame(WINDOW_UPDATE, 0, stream, &(1_u32 << 24).to_be_bytes()));
    }
    assert_eq!(client.ended(1), Ended::Reset);
}

fn one_address() {
    let recorder = Recorder::start(|_| good("ok"));
    let proxy =
        Setup::new(upstream("a", recorder.port, "") + "[limits]\nconnections_per_address = 5\n").start();
    wait_until("the first connections to end", || {
        proxy.admin("/metrics").contains("stopbank_checker_connections 0\n")
    });
    let mut held: Vec<TcpStream> = (0..5).map(|_| proxy.connect()).collect();
    wait_until("five", || proxy.admin("/metrics").contains("stopbank_checker_connections 5\n"));
    assert_eq!(proxy.answers(GET), "");
    held.pop();
    wait_until("four", || proxy.admin("/metrics").contains("stopbank_checker_connections 4\n"));
    assert!(proxy.answers(GET).ends_with("ok"));
}

fn upstreams() {
    let recorder = Recorder::start(|_| good("ok"));
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let dead = crate::servers::free_port();
    let rest = upstream("slow", silent_port, "paths = [\"/slow\"]\nfirst_byte_timeout = \"1s\"")
        + &upstream("dead", dead, "paths = [\"/dead\"]")
        + &format!(
            "[[upstream]]\nname = \"pair\"\naddresses = [\"http://127.0.0.1:{dead}\", \"http://127.0.0.1:{}\"]\n\
             paths = [\"/pair\"]\n",
            recorder.port
        )
        + &upstream("good", recorder.port, "");
    let proxy = &Setup::new(rest).start();
    let ask = |path: &str| {
        proxy.answers(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
    };
    thread::scope(|scope| {
        let slow: Vec<_> = (0..100).map(|_| scope.spawn(|| ask("/slow"))).collect();
        thread::sleep(Duration::from_millis(200));
        for _ in 0..20 {
            serves(proxy);
            assert!(ask("/dead").starts_with("HTTP/1.1 503 "));
            // One of its two addresses is dead, and nobody notices.
            assert!(ask("/pair").ends_with("ok"));
        }
        for one in slow {
            assert!(one.join().unwrap().starts_with("HTTP/1.1 504 "));
        }
    });
}

fn health() {
    let port = crate::servers::free_port();
    let check = "health = { path = \"/health\", interval = \"50ms\", rise = 2, fall = 2 }";
    let proxy = Setup::new(upstream("a", port, check)).start();
    wait_until("down", || proxy.admin("/healthz").ends_with("503"));
    assert!(proxy.answers(GET).starts_with("HTTP/1.1 503 "));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            });
        }
    });
    wait_until("up", || proxy.admin("/healthz").ends_with("200"));
    assert!(proxy.admin("/metrics").contains("stopbank_checker_upstream_up{address="));
    serves(&proxy);
}

fn buffered() {
    let recorder = Recorder::start(|_| good("ok"));
    let proxy = Setup::new(upstream("a", recorder.port, "") + "[limits]\nbuffered = 100000\n").start();
    let body = |length: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let mut held = proxy.connect();
    held.write_all(body(90_000).as_bytes()).unwrap();
    held.write_all(&[b'a'; 80_000]).unwrap();
    wait_until("the first body", || {
        proxy.admin("/metrics").contains("stopbank_checker_buffered_bytes 80000\n")
    });
    let answer = proxy.answers(&[body(50_000).as_bytes(), &[b'a'; 50_000]].concat());
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(held);
    wait_until("no body", || proxy.admin("/metrics").contains("stopbank_checker_buffered_bytes 0\n"));
    serves(&proxy);
}
