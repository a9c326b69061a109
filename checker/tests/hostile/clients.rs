//! Clients of HTTP/1 that hold what they get. They come from an address of their own.

use std::{
    io::{ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use rustix::{
    net::{
        AddressFamily, SocketType, bind, connect, socket,
        sockopt::{Timeout, set_socket_linger, set_socket_timeout},
    },
    process::{Resource, getrlimit, setrlimit},
};

use crate::{CONNECTIONS, servers::Proxy};

/// Connections that the proxy has for others, beyond those that one address may have.
pub(crate) const BEYOND: usize = 100;
/// Longest that a client waits to send or to get something.
const PATIENCE: Duration = Duration::from_secs(20);
/// Descriptors that this process and the proxy need for anything else.
const OTHERS: u64 = 1_000;

pub(crate) fn none(_: &Proxy, stop: &dyn Fn() -> bool) {
    until(stop);
}

pub(crate) fn until(stop: &dyn Fn() -> bool) {
    while !stop() {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Connections that one address may have: 10,000, or what the hard limit of descriptors lets be. Raises the soft one.
pub(crate) fn most() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let descriptors = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most - OTHERS).unwrap());
    let most = descriptors.min(10_000);
    if most < 10_000 {
        println!("REDUCED to {most} connections: the hard limit of descriptors is low");
    }
    most
}

/// A connection from the attackers' address. Each proxy has others, so that ports of an earlier attack are not in the way of a later one.
pub(crate) fn attacker(proxy: &Proxy) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let [high, low] = proxy.port.to_be_bytes();
    bind(&socket, &SocketAddr::from(([127, 2, high, low], 0))).unwrap();
    // Nothing stays behind of it.
    set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE)).unwrap();
    connect(&socket, &SocketAddr::from(([127, 0, 0, 1], proxy.port))).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) fn connections(proxy: &Proxy, wanted: usize) -> Vec<TcpStream> {
    (0..wanted).map(|_| attacker(proxy)).collect()
}

/// Twice as many as are left for others are one too many.
pub(crate) fn idle(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    let all = connections(proxy, most() + 2 * BEYOND);
    until(stop);
    let open = all.iter().filter(|stream| {
        stream.set_nonblocking(true).unwrap();
        stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    });
    // None of those that it may have was closed to make room.
    assert_eq!(open.count(), most());
}

/// Each connection begins so, and then sends a byte four times a second.
fn drip(proxy: &Proxy, stop: &dyn Fn() -> bool, start: &str) {
    let mut all = connections(proxy, CONNECTIONS);
    for stream in &mut all {
        stream.write_all(start.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    while !stop() {
        for stream in &mut all {
            let _ = stream.write(b"a");
        }
        thread::sleep(Duration::from_millis(250));
    }
}

pub(crate) fn slow_heads(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    drip(proxy, stop, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
}

pub(crate) fn slow_bodies(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    drip(
        proxy,
        stop,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n[",
    );
}

pub(crate) fn slow_readers(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    let mut all = connections(proxy, 100);
    for stream in &mut all {
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    until(stop);
}

/// Bytes without a line end, as fast as they are taken, over one connection after the other.
pub(crate) fn endless_heads(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    let piece = [b'a'; 64 << 10];
    while !stop() {
        let mut stream = attacker(proxy);
        // More than the kernel holds for a connection.
        let taken = (0..1_024).take_while(|_| stream.write_all(&piece).is_ok()).count();
        assert!(taken < 1_024, "a head of 64 MiB was taken");
        thread::sleep(Duration::from_millis(2));
    }
}
