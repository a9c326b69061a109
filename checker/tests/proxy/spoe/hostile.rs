//! Peers that speak SPOP to the checker themselves: as HAProxy would, and wrongly.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::front::{ASKED, setup};
use crate::servers::{Proxy, curl, text, wait_until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a hello is answered with what both sides can do, and one of a health check is the last", hellos),
    ("what is no SPOP ends the connection with its code, and nothing else", wrong),
    ("what is slow, endless or never read ends, and takes no memory", slow),
    ("a question without what it must have is answered with a refusal", incomplete),
    ("nobody else may ask", strangers),
    ("at the end the other side is told", ends),
];

fn proxy() -> Proxy {
    let mut setup = setup(None);
    setup.listen = ASKED.replace(" }", ", frame_size = 8192 }");
    setup.rest.push_str(
        "[limits]\nhead_timeout = \"1s\"\nidle_timeout = \"2s\"\nwrite_timeout = \"1s\"\ndrain = \"2s\"\n",
    );
    setup.start()
}

/// A frame with its length in front.
fn frame(kind: u8, flags: u32, ids: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let body = [&[kind][..], &flags.to_be_bytes(), &ids, payload].concat();
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
}

fn item(name: &str, value: &[u8]) -> Vec<u8> {
    [&string(name)[..], value].concat()
}

fn text_item(name: &str, value: &str) -> Vec<u8> {
    item(name, &[&[8][..], &string(value)].concat())
}

/// HAProxy 2.6's, whose frames have 16380 bytes.
fn hello(more: &[u8]) -> Vec<u8> {
    let size = item("max-frame-size", &[3, 0xfc, 0xf0, 0x06]);
    let all = [
        text_item("supported-versions", "2.0"),
        size,
        text_item("capabilities", "pipelining,async"),
        text_item("engine-id", "1234"),
        more.to_vec(),
    ];
    frame(1, 1, [0, 0], &all.concat())
}

fn asked(stream: u8, payload: &[u8]) -> Vec<u8> {
    frame(3, 1, [stream, 1], payload)
}

/// The next frame, without its length; `None` where the connection has ended.
fn next(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// The code of the frame that ends a connection.
fn code(frame: &[u8]) -> u8 {
    assert_eq!(frame[0], 102, "{frame:?}");
    let name = b"status-code\x03";
    let at = frame.windows(name.len()).position(|window| window == name).unwrap();
    frame[at + name.len()]
}

fn greeted(proxy: &Proxy) -> TcpStream {
    let mut stream = proxy.connect();
    stream.write_all(&hello(b"")).unwrap();
    assert_eq!(next(&mut stream).unwrap()[0], 101);
    stream
}

fn has(frame: &[u8], part: &[u8]) -> bool {
    frame.windows(part.len()).any(|window| window == part)
}

fn hellos() {
    let proxy = proxy();
    let mut stream = proxy.connect();
    stream.write_all(&hello(b"")).unwrap();
    let said = next(&mut stream).unwrap();
    assert!(
        has(&said, b"\x07version\x08\x032.0") && has(&said, b"\x0acapabilities"[1..].as_ref()),
        "{said:?}"
    );
    // The smaller of both sizes: 8192.
    assert!(has(&said, b"max-frame-size\x03\xf0\xf1\x02") && has(&said, b"\x08\x0apipelining"), "{said:?}");
    stream.write_all(&frame(2, 1, [0, 0], b"")).unwrap();
    assert_eq!(code(&next(&mut stream).unwrap()), 0);
    assert_eq!(next(&mut stream), None);
    let mut stream = proxy.connect();
    stream.write_all(&hello(&item("healthcheck", &[0x11]))).unwrap();
    assert_eq!(next(&mut stream).unwrap()[0], 101);
    assert_eq!(next(&mut stream), None);
}

fn wrong() {
    let proxy = proxy();
    let long = 8_193_u32.to_be_bytes();
    for (name, before, bytes, expected) in [
        ("a question before the hello", false, asked(1, b""), 4),
        ("an answer before the hello", false, frame(103, 1, [1, 1], b""), 4),
        ("HTTP", false, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 3),
        ("no length", false, vec![0; 4], 4),
        ("a hello without anything", false, frame(1, 1, [0, 0], b""), 5),
        (
            "a hello of another version",
            false,
            frame(
                1,
                1,
                [0, 0],
                &[
                    text_item("supported-versions", "1.0"),
                    item("max-frame-size", &[3, 0xfc, 0xf0, 0x06]),
                    text_item("capabilities", ""),
                ]
                .concat(),
            ),
            8,
        ),
        ("a second hello", true, hello(b""), 4),
        ("a frame that is too long", true, long.to_vec(), 3),
        ("a frame of four gigabytes", true, vec![0xff; 4], 3),
        ("a frame without a head", true, vec![0, 0, 0, 1, 3], 4),
        ("a fragment", true, frame(3, 0, [1, 1], b""), 10),
        ("the rest of a fragment", true, frame(0, 1, [1, 1], b""), 10),
        ("a number without an end", true, [&[0, 0, 0, 20, 3, 0, 0, 0, 1][..], &[0xff; 15]].concat(), 4),
        ("a message whose length is a lie", true, asked(1, b"\xff\xff\xff\xff\xff\x0fx"), 4),
        ("arguments that are missing", true, asked(1, b"\x01a\xff"), 4),
        ("messages without an end", true, asked(1, &[0; 64]), 4),
    ] {
        let mut stream = if before { greeted(&proxy) } else { proxy.connect() };
        stream.write_all(&bytes).unwrap();
        let said = next(&mut stream).unwrap_or_else(|| panic!("{name}: no last frame"));
        assert_eq!(code(&said), expected, "{name}");
        assert_eq!(next(&mut stream), None, "{name}");
    }
    // What is of a type that nobody knows is left out.
    let mut stream = greeted(&proxy);
    stream.write_all(&[frame(77, 1, [1, 1], b"x"), asked(9, b"")].concat()).unwrap();
    let said = next(&mut stream).unwrap();
    assert!(said[0] == 103 && has(&said, b"deny"), "{said:?}");
    let metrics = proxy.admin("/metrics");
    assert!(metrics.contains("spoe_disconnects_total{why=\"frame-invalid\"}"), "{metrics}");
}

fn slow() {
    let proxy = proxy();
    // A byte now and then does not keep a frame alive, nor a hello.
    for before in [false, true] {
        let mut stream = if before { greeted(&proxy) } else { proxy.connect() };
        let (began, mut sent) = (Instant::now(), stream.try_clone().unwrap());
        let sending = thread::spawn(move || {
            for byte in [&1_000_u32.to_be_bytes()[..], &[3; 40]].concat() {
                if sent.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        assert_eq!(code(&next(&mut stream).unwrap()), 2);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        drop(stream);
        sending.join().unwrap();
    }
    // Nothing is asked.
    let mut stream = greeted(&proxy);
    assert_eq!(code(&next(&mut stream).unwrap()), 2);
    // Questions without an end, whose answers are never read.
    let mut stream = greeted(&proxy);
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let many = asked(1, b"").repeat(1_000);
    let (began, mut sent) = (Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_secs(10) && stream.write_all(&many).is_ok() {
        sent += 1_000;
    }
    println!("{sent} questions in {:?}", began.elapsed());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "it takes everything, and {sent} questions have no answer"
    );
    wait_until("what was held", || proxy.admin("/metrics").contains("buffered_bytes 0\n"));
    assert!(proxy.admin("/healthz").ends_with("200"));
}

fn incomplete() {
    let proxy = proxy();
    let mut stream = greeted(&proxy);
    let message = [string("stopbank-request"), vec![1], text_item("method", "GET")].concat();
    for (number, payload) in
        [&b""[..], &message, &[string("other"), vec![0]].concat()].into_iter().enumerate()
    {
        stream.write_all(&asked(u8::try_from(number).unwrap(), payload)).unwrap();
        let said = next(&mut stream).unwrap();
        assert_eq!(said[..7], [103, 0, 0, 0, 1, u8::try_from(number).unwrap(), 1]);
        // 500, in two bytes.
        assert!(
            has(&said, b"\x04deny") && has(&said, b"front-end") && has(&said, b"\x06status\x03\xf4\x10"),
            "{said:?}"
        );
        assert!(!has(&said, b"allow"));
    }
}

fn strangers() {
    let proxy = proxy();
    let url = format!("telnet://127.0.0.1:{}", proxy.port);
    let said = curl(&["--interface", "127.0.0.3", &url]);
    assert!(text(&said).is_empty());
    assert!(proxy.admin("/metrics").contains("outcome=\"untrusted\"} 1\n"));
}

fn ends() {
    let mut proxy = proxy();
    let mut stream = greeted(&proxy);
    stream.write_all(&asked(5, b"")).unwrap();
    assert_eq!(next(&mut stream).unwrap()[0], 103);
    proxy.process.signal("TERM");
    assert_eq!(code(&next(&mut stream).unwrap()), 0);
    assert_eq!(next(&mut stream), None);
    drop(stream);
    assert_eq!(proxy.process.ends(), Some(0));
}
