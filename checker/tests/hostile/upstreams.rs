//! Servers behind the proxy that are dead, silent or hostile, and one that is good. One thread has all their connections, however many they
//! are, and a large answer is in memory once.

use std::{
    io::Write as _,
    net::{TcpListener as StdListener, TcpStream as StdStream},
    thread,
    time::Duration,
};

use rustix::net::{listen, sockopt::set_socket_send_buffer_size};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    task::LocalSet,
    time::sleep,
};

use crate::{
    clients::{attacker, connections, until},
    servers::{Proxy, free_port},
};

/// The ports of all.
pub(crate) struct Servers {
    pub(crate) good: u16,
    pub(crate) dead: u16,
    pub(crate) silent: u16,
    pub(crate) garbage: u16,
    pub(crate) endless: u16,
}

#[derive(Clone, Copy)]
enum Kind {
    Good,
    Silent,
    Garbage,
    Endless,
}

impl Servers {
    pub(crate) fn start() -> Self {
        let kinds = [Kind::Good, Kind::Silent, Kind::Garbage, Kind::Endless];
        let listeners = kinds.map(|_| StdListener::bind("127.0.0.1:0").unwrap());
        for listener in &listeners {
            // A burst of connections is not what is tested here, nor what the kernel holds for a server.
            listen(listener, 4_096).unwrap();
            set_socket_send_buffer_size(listener, 64 << 10).unwrap();
        }
        let [good, silent, garbage, endless] =
            listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        thread::spawn(move || serve(kinds.into_iter().zip(listeners)));
        Self { good, dead: free_port(), silent, garbage, endless }
    }
}

/// Never ends.
fn serve(all: impl Iterator<Item = (Kind, StdListener)>) {
    let tasks = LocalSet::new();
    for (kind, listener) in all {
        listener.set_nonblocking(true).unwrap();
        tasks.spawn_local(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                tokio::task::spawn_local(async move {
                    let _ = match kind {
                        Kind::Good => good(stream).await,
                        Kind::Silent => silent(stream).await,
                        Kind::Garbage => garbled(stream).await,
                        Kind::Endless => unending(stream).await,
                    };
                });
            }
        });
    }
    Builder::new_current_thread().enable_all().build().unwrap().block_on(tasks);
}

/// Answers all, with 8 MiB where that is what is asked for. It reads no more of a request than its head and what comes with that.
async fn good(mut stream: TcpStream) -> std::io::Result<()> {
    static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
    let mut read = vec![0; 4096];
    loop {
        let length = stream.read(&mut read).await?;
        if length == 0 {
            return Ok(());
        }
        if read[..length].starts_with(b"GET /large ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n").await?;
            for _ in 0..128 {
                stream.write_all(&PIECE).await?;
                tokio::task::yield_now().await;
            }
        } else {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
        }
    }
}

async fn silent(mut stream: TcpStream) -> std::io::Result<()> {
    while stream.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

/// Answers with what its request's target asks for.
async fn garbled(mut stream: TcpStream) -> std::io::Result<()> {
    let mut read = [0; 4096];
    let length = stream.read(&mut read).await?;
    let answer: Vec<u8> = match &read[..length.min(14)] {
        b"GET /garbage/0" => {
            (0..20_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
        }
        b"GET /garbage/1" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n".to_vec(),
        b"GET /garbage/2" => "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000).into_bytes(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\n".to_vec(),
    };
    stream.write_all(&answer).await
}

/// A head, or a body in chunks, for as long as it is read.
async fn unending(mut stream: TcpStream) -> std::io::Result<()> {
    let mut read = [0; 4096];
    let length = stream.read(&mut read).await?;
    let (start, piece): (&[u8], &[u8]) = if read[..length].starts_with(b"GET /endless/0") {
        (b"HTTP/1.1 200 OK\r\n", b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")
    } else {
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"8\r\naaaaaaaa\r\n")
    };
    let piece = piece.repeat(500);
    stream.write_all(start).await?;
    loop {
        stream.write_all(&piece).await?;
        sleep(Duration::from_millis(2)).await;
    }
}

/// Asks for something again and again over some connections.
fn hammer(proxy: &Proxy, stop: &dyn Fn() -> bool, path: &str) {
    let mut turn = 0;
    while !stop() {
        let mut all: Vec<StdStream> = (0..20).map(|_| attacker(proxy)).collect();
        for stream in &mut all {
            turn += 1;
            let text = format!("GET {path}/{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", turn % 4);
            let _ = stream.write_all(text.as_bytes());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn dead(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    hammer(proxy, stop, "/dead");
}

pub(crate) fn garbage(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    hammer(proxy, stop, "/garbage");
}

fn ask_and_wait(proxy: &Proxy, stop: &dyn Fn() -> bool, wanted: usize, path: &str) {
    let mut all = connections(proxy, wanted);
    for (number, stream) in all.iter_mut().enumerate() {
        let text = format!("GET {path}/{} HTTP/1.1\r\nHost: a\r\n\r\n", number % 2);
        stream.write_all(text.as_bytes()).unwrap();
    }
    until(stop);
}

pub(crate) fn silent_answers(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    ask_and_wait(proxy, stop, 500, "/silent");
}

pub(crate) fn endless(proxy: &Proxy, stop: &dyn Fn() -> bool) {
    ask_and_wait(proxy, stop, 40, "/endless");
}
