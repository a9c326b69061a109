//! Listeners, and connections from there to the version of HTTP that they speak.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    rc::Rc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use listenfd::ListenFd;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    bounds::{Admitted, Full},
    config::Config,
    holding::Held,
    http1, http2,
    shared::{Peer, Worker},
    spoe::{self, is_among},
};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;
/// What HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket, and which listener of the configuration it is.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) socket: StdListener,
    pub(crate) listener: usize,
}

impl Socket {
    /// The same socket for another thread.
    pub(crate) fn another(&self) -> Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, listener: self.listener })
    }
}

/// Opens all listeners of a configuration. To be called within a reactor.
pub(crate) fn bind(config: &Config) -> Result<Vec<Socket>> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for (listener, listen) in config.listen.iter().enumerate() {
        if listen.address == "systemd" {
            let before = sockets.len();
            for number in 0..passed.len() {
                if let Ok(Some(socket)) = passed.take_tcp_listener(number) {
                    socket.set_nonblocking(true)?;
                    sockets.push(Socket { socket, listener });
                }
            }
            ensure!(
                sockets.len() > before,
                "the service manager passes no TCP socket on: is there a socket unit?"
            );
            continue;
        }
        let address: SocketAddr = listen.address.parse()?;
        let context = || format!("cannot listen on {address}");
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address).with_context(context)?;
        let socket = socket.listen(BACKLOG).with_context(context)?.into_std()?;
        sockets.push(Socket { socket, listener });
    }
    Ok(sockets)
}

/// Takes connections until the proxy is on its way out.
pub(crate) async fn accept(socket: Socket, worker: Rc<Worker>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(socket.socket)?;
    let mut draining = worker.draining.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => return Ok(()),
        };
        let metrics = &worker.shared.metrics.accepted;
        let Ok((stream, address)) = accepted else {
            // No descriptors or no memory: it gets no better by asking at once.
            metrics.with_label_values(&["failed"]).inc();
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let live = worker.shared.live();
        let limits = &live.config.limits;
        let all = limits.connections;
        let each = match live.askers(socket.listener) {
            // Anyone else could have something judged that nobody has asked for.
            Some(trusted) if !is_among(trusted, address.ip()) => {
                metrics.with_label_values(&["untrusted"]).inc();
                continue;
            }
            // One server asks for all of its clients.
            Some(_) => all,
            None => limits.connections_per_address,
        };
        let outcome = match worker.shared.connections.admit(address.ip(), all, each) {
            Ok(admitted) => {
                worker.open.set(worker.open.get() + 1);
                let worker = Rc::clone(&worker);
                tokio::task::spawn_local(async move {
                    serve(stream, address, socket.listener, &worker, admitted).await;
                    worker.open.set(worker.open.get() - 1);
                });
                "accepted"
            }
            Err(Full::All) => "full",
            Err(Full::Address) => "address-full",
        };
        metrics.with_label_values(&[outcome]).inc();
    }
}

async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    listener: usize,
    worker: &Rc<Worker>,
    _admitted: Admitted,
) {
    let live = worker.shared.live();
    let _ = stream.set_nodelay(true);
    let within = live.config.limits.head_timeout;
    let worker = Rc::clone(worker);
    let Some(tls) = live.tls.get(listener).cloned().flatten() else {
        let peer = Rc::new(Peer { address, tls: false, listener, chain: None, held: None });
        let by_haproxy = live.spoe(listener).is_some();
        let by_envoy = live.asked_by_envoy(listener).is_some();
        let h2c = by_envoy || live.config.listen.get(listener).is_some_and(|listen| listen.h2c);
        drop(live);
        if by_haproxy {
            Box::pin(spoe::serve(stream, worker, peer)).await;
        } else if h2c && matches!(timeout(within, begins_as_http2(&stream)).await, Ok(true)) {
            Box::pin(http2::serve(stream, worker, peer)).await;
        } else if !by_envoy {
            http1::serve(stream, worker, peer).await;
        }
        return;
    };
    let by_haproxy = live.spoe(listener).is_some();
    let (by_nginx, by_envoy) = (live.asked(listener).is_some(), live.asked_by_envoy(listener).is_some());
    let Ok(Ok(stream)) = Box::pin(timeout(within, TlsAcceptor::from(tls).accept(stream))).await else {
        worker.shared.metrics.accepted.with_label_values(&["handshake-failed"]).inc();
        return;
    };
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    let chain =
        session.peer_certificates().map(|chain| chain.iter().map(|one| one.clone().into_owned()).collect());
    let held = Held::begin(session, &live, listener);
    drop(live);
    let peer = Rc::new(Peer { address, tls: true, listener, chain, held });
    if (http2 && by_nginx) || (!http2 && by_envoy) {
        // Questions come over HTTP/1 there, and over HTTP/2 here.
        return;
    }
    if by_haproxy {
        Box::pin(spoe::serve(stream, worker, peer)).await;
    } else if http2 {
        Box::pin(http2::serve(stream, worker, peer)).await;
    } else {
        Box::pin(http1::serve(stream, worker, peer)).await;
    }
}

/// Whether a connection begins with HTTP/2's preface. What has come stays to be read.
async fn begins_as_http2(stream: &TcpStream) -> bool {
    let mut seen = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut seen).await {
            Ok(length @ 1..) if length < PREFACE.len() && PREFACE.starts_with(&seen[..length]) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(length) => return &seen[..length] == PREFACE,
            Err(_) => return false,
        }
    }
}
