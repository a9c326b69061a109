//! Servers behind: their addresses, connections to them, and what they answer.
//!
//! A request is sent again only where nothing of it was sent. Answers are read by the engine's own parser, because one that ends in two
//! places would be another client's next answer.

use std::{
    cell::RefCell,
    collections::HashMap,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use stopbank_checker::{
    Reason, forward, http1,
    response::{self, Ending, Response},
    stream::{Chunks, HeadScan},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tokio_util::either::Either;

use super::{
    config::{self, Url},
    tls,
};

/// A connection to a server.
pub(crate) type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Bytes that are read at once.
const STEP: usize = 16 << 10;
/// Up to so many bytes, head and body go in one write.
const TOGETHER: usize = 64 << 10;
/// Most informational answers (1xx) before the answer.
const INFORMATIONAL: usize = 8;
/// How long an address that takes no connection is asked last.
const AVOIDED: Duration = Duration::from_secs(1);

/// Numbers that tell addresses apart in pools.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// One address of an upstream.
#[derive(Debug)]
pub(crate) struct Address {
    number: u64,
    pub(crate) url: Url,
    name: Option<ServerName<'static>>,
    /// What health checks say.
    pub(crate) up: AtomicBool,
    /// Until when it is avoided, in milliseconds since the start.
    avoided: AtomicU64,
}

/// An upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) config: config::Upstream,
    pub(crate) addresses: Vec<Arc<Address>>,
    tls: Option<Arc<ClientConfig>>,
    turn: AtomicUsize,
}

fn milliseconds() -> u64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Upstream {
    /// Of its configuration. Addresses of `earlier` go on as they are, with what is known of their health.
    pub(crate) fn new(config: config::Upstream, earlier: Option<&Self>) -> Result<Self> {
        let context = || format!("upstream `{}`", config.name);
        let secure = config.addresses.iter().any(|url| url.tls);
        let tls = secure.then(|| tls::client(&config.tls)).transpose().with_context(context)?;
        let mut addresses = Vec::new();
        for url in &config.addresses {
            let same = |one: &&Arc<Address>| one.url == *url;
            // With other certificates, old connections are not to be used again.
            let known = earlier.filter(|earlier| earlier.config.tls == config.tls && !url.tls);
            if let Some(known) = known.and_then(|earlier| earlier.addresses.iter().find(same)) {
                addresses.push(Arc::clone(known));
                continue;
            }
            let name = config.tls.name.as_ref().unwrap_or(&url.host).clone();
            let name = url.tls.then(|| ServerName::try_from(name)).transpose().with_context(context)?;
            addresses.push(Arc::new(Address {
                number: NEXT.fetch_add(1, Ordering::Relaxed),
                url: url.clone(),
                name,
                up: AtomicBool::new(true),
                avoided: AtomicU64::new(0),
            }));
        }
        Ok(Self { config, addresses, tls, turn: AtomicUsize::new(0) })
    }

    /// Whether one of its addresses gets requests.
    pub(crate) fn is_up(&self) -> bool {
        self.addresses.iter().any(|address| address.up.load(Ordering::Relaxed))
    }

    /// Addresses in the order in which they are asked: in turn, and those that took no connection just now last. Where health is
    /// checked, those that are down are left out.
    fn in_turn(&self) -> impl Iterator<Item = &Arc<Address>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.addresses.len().max(1);
        let now = milliseconds();
        let of_kind = move |wanted: bool| {
            let (before, from) = self.addresses.split_at(first);
            from.iter().chain(before).filter(move |address| {
                address.up.load(Ordering::Relaxed)
                    && (address.avoided.load(Ordering::Relaxed) > now) == wanted
            })
        };
        of_kind(false).chain(of_kind(true))
    }

    /// A new connection to one address.
    pub(crate) async fn connect(&self, address: &Address) -> std::io::Result<Io> {
        let connecting = async {
            let stream = TcpStream::connect((address.url.host.as_str(), address.url.port)).await?;
            stream.set_nodelay(true)?;
            match (&self.tls, &address.name) {
                (Some(config), Some(name)) => {
                    let connector = TlsConnector::from(Arc::clone(config));
                    Ok(Either::Right(Box::new(connector.connect(name.clone(), stream).await?)))
                }
                _ => Ok(Either::Left(stream)),
            }
        };
        timeout(self.config.connect_timeout, connecting).await.unwrap_or_else(|late| Err(late.into()))
    }
}

/// A connection and what was read of it beyond.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) io: Io,
    pub(crate) buffer: BytesMut,
    address: Arc<Address>,
}

impl Connection {
    /// Whether it can be used again: nothing has come that was not asked for, the end included.
    async fn is_idle(&mut self) -> bool {
        let mut byte = [0];
        std::future::poll_fn(|context| {
            let read = Pin::new(&mut self.io).poll_read(context, &mut ReadBuf::new(&mut byte));
            Poll::Ready(read.is_pending())
        })
        .await
    }

    /// Sends a request, or says why not, and whether nothing of it was sent.
    async fn write(&mut self, request: &[u8], body: &[u8]) -> Result<(), bool> {
        let mut sent = 0;
        while sent < request.len() {
            match self.io.write(&request[sent..]).await {
                Ok(0) | Err(_) => return Err(sent == 0),
                Ok(more) => sent += more,
            }
        }
        if !body.is_empty() {
            self.io.write_all(body).await.map_err(|_| false)?;
        }
        self.io.flush().await.map_err(|_| false)
    }
}

/// Connections of one thread that nothing is asked on.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<u64, Vec<(Connection, Instant)>>>,
}

impl Pool {
    async fn take(&self, address: &Address, keep_alive: Duration) -> Option<Connection> {
        loop {
            let taken = self.idle.borrow_mut().get_mut(&address.number)?.pop();
            let (mut connection, since) = taken?;
            if since.elapsed() < keep_alive && connection.is_idle().await {
                return Some(connection);
            }
        }
    }

    fn put(&self, connection: Connection, most: usize) {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(connection.address.number).or_default();
        if kept.len() < most {
            kept.push((connection, Instant::now()));
        }
    }

    /// Closes what has been idle for longer than `keep_alive`, whatever address it is of.
    pub(crate) fn sweep(&self, keep_alive: Duration) {
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(|(_, since)| since.elapsed() < keep_alive);
            !kept.is_empty()
        });
    }
}

/// A request as it is sent.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'r> {
    pub(crate) head: &'r [u8],
    pub(crate) body: &'r [u8],
    pub(crate) method: &'r [u8],
    pub(crate) websocket: bool,
}

/// Sends a request, and calls `accept` with the answer's head.
///
/// # Errors
///
/// The [`Reason`] for which there is no answer that could be passed on.
pub(crate) async fn send<T>(
    pool: &Rc<Pool>,
    upstream: &Arc<Upstream>,
    request: Outgoing<'_>,
    accept: impl FnOnce(&Response<'_>, Ending) -> T,
) -> Result<(T, Body), Reason> {
    let mut together = Vec::new();
    let (first, rest) = if request.body.is_empty() || request.head.len() + request.body.len() > TOGETHER {
        (request.head, request.body)
    } else {
        together.reserve_exact(request.head.len() + request.body.len());
        together.extend_from_slice(request.head);
        together.extend_from_slice(request.body);
        (&together[..], &[][..])
    };
    let mut connection = deliver(pool, upstream, first, rest).await?;
    let reading = read_head(&mut connection.io, &mut connection.buffer, request);
    let head =
        timeout(upstream.config.first_byte_timeout, reading).await.map_err(|_| Reason::UpstreamSlow)??;
    answered(connection, head, pool, upstream, accept)
}

/// An answer of which the head has come.
pub(crate) fn answered<T>(
    connection: Connection,
    head: Head,
    pool: &Rc<Pool>,
    upstream: &Arc<Upstream>,
    accept: impl FnOnce(&Response<'_>, Ending) -> T,
) -> Result<(T, Body), Reason> {
    let Head { bytes, ending, keep } = head;
    let response = response::head(&bytes, &http1::Limits::default())?;
    let left = match ending {
        Ending::Empty => Left::Length(0),
        Ending::Length(length) => Left::Length(length),
        Ending::Chunked => Left::Chunked(Chunks::of_response()),
        Ending::Close => Left::Close,
    };
    let accepted = accept(&response, ending);
    let (pool, upstream) = (Rc::clone(pool), Arc::clone(upstream));
    Ok((accepted, Body { connection: Some(connection), left, keep, pool, upstream }))
}

/// Sends it on the first connection that takes it.
pub(crate) async fn deliver(
    pool: &Pool,
    upstream: &Upstream,
    first: &[u8],
    rest: &[u8],
) -> Result<Connection, Reason> {
    let config = &upstream.config;
    for address in upstream.in_turn() {
        while let Some(mut connection) = pool.take(address, config.keep_alive).await {
            match write_in_time(&mut connection, first, rest, config.idle_timeout).await {
                Ok(()) => return Ok(connection),
                Err(true) => {}
                Err(false) => return Err(Reason::UpstreamBroken),
            }
        }
        let Ok(io) = upstream.connect(address).await else {
            let until = milliseconds() + u64::try_from(AVOIDED.as_millis()).unwrap_or(0);
            address.avoided.store(until, Ordering::Relaxed);
            continue;
        };
        let mut connection = Connection { io, buffer: BytesMut::new(), address: Arc::clone(address) };
        match write_in_time(&mut connection, first, rest, config.idle_timeout).await {
            Ok(()) => return Ok(connection),
            Err(true) => {}
            Err(false) => return Err(Reason::UpstreamBroken),
        }
    }
    Err(Reason::UpstreamUnreachable)
}

async fn write_in_time(
    connection: &mut Connection,
    first: &[u8],
    rest: &[u8],
    within: Duration,
) -> Result<(), bool> {
    timeout(within, connection.write(first, rest)).await.unwrap_or(Err(false))
}

/// An answer's head, where its body ends, and whether the connection can be kept.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) bytes: Bytes,
    pub(crate) ending: Ending,
    pub(crate) keep: bool,
}

/// Reads heads until one is no informational answer.
pub(crate) async fn read_head(
    io: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    request: Outgoing<'_>,
) -> Result<Head, Reason> {
    let limits = http1::Limits::default();
    for _ in 0..INFORMATIONAL {
        let mut scan = HeadScan::default();
        let length = loop {
            if let Some(length) = scan.end(buffer) {
                break length;
            }
            if buffer.len() > limits.head + limits.header {
                return Err(Reason::HeaderLength);
            }
            buffer.reserve(STEP);
            match io.read_buf(buffer).await {
                Ok(0) | Err(_) => return Err(Reason::UpstreamBroken),
                Ok(_) => {}
            }
        };
        let bytes = buffer.split_to(length).freeze();
        let response = response::head(&bytes, &limits)?;
        match response.status {
            101 if request.websocket => {
                return Ok(Head { bytes, ending: Ending::Close, keep: false });
            }
            101 => return Err(Reason::UpstreamSwitched),
            100..=199 => {}
            _ => {
                let ending = response::ending(request.method, &response)?;
                let keep = ending != Ending::Close && forward::is_kept_alive(&response);
                return Ok(Head { bytes, ending, keep });
            }
        }
    }
    Err(Reason::UpstreamBroken)
}

#[derive(Debug)]
enum Left {
    Length(usize),
    Chunked(Chunks),
    Close,
    Nothing,
}

/// An answer's body, as it comes.
#[derive(Debug)]
pub(crate) struct Body {
    connection: Option<Connection>,
    left: Left,
    keep: bool,
    pool: Rc<Pool>,
    upstream: Arc<Upstream>,
}

impl Body {
    /// The next piece, without its transfer coding; `None` at the end. The connection goes back to the pool there.
    ///
    /// # Errors
    ///
    /// Where it does not end as it is to.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Reason> {
        loop {
            if let Some(piece) = self.buffered()? {
                return Ok(Some(piece));
            }
            let Some(connection) = self.connection.as_mut() else { return Ok(None) };
            connection.buffer.reserve(STEP);
            let reading = connection.io.read_buf(&mut connection.buffer);
            let read = timeout(self.upstream.config.idle_timeout, reading).await;
            match (read.map_err(|_| Reason::UpstreamSlow)?, &self.left) {
                (Ok(0), Left::Close) => {
                    self.left = Left::Nothing;
                    self.connection = None;
                }
                (Ok(0) | Err(_), _) => return Err(Reason::UpstreamBroken),
                (Ok(_), _) => {}
            }
        }
    }

    /// The next piece, if it is there already.
    pub(crate) fn buffered(&mut self) -> Result<Option<Bytes>, Reason> {
        let Some(connection) = self.connection.as_mut() else { return Ok(None) };
        let buffer = &mut connection.buffer;
        let piece = match &mut self.left {
            Left::Length(left) => {
                let taken = buffer.split_to(buffer.len().min(*left)).freeze();
                *left -= taken.len();
                if *left == 0 {
                    self.left = Left::Nothing;
                }
                taken
            }
            Left::Chunked(chunks) => {
                let mut data = Vec::with_capacity(buffer.len());
                let taken = chunks.feed(buffer, &mut data, usize::MAX)?;
                let _ = buffer.split_to(taken);
                if chunks.is_done() {
                    self.left = Left::Nothing;
                }
                Bytes::from(data)
            }
            Left::Close => buffer.split().freeze(),
            Left::Nothing => Bytes::new(),
        };
        if matches!(self.left, Left::Nothing)
            && let Some(connection) = self.connection.take()
            // What stands behind the answer belongs to none.
            && self.keep
            && connection.buffer.is_empty()
        {
            self.pool.put(connection, self.upstream.config.idle_connections);
        }
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// Whether all of it has been taken.
    pub(crate) const fn is_done(&self) -> bool {
        self.connection.is_none()
    }

    /// The connection itself with what was read of it, where it has become a WebSocket.
    pub(crate) fn into_io(self) -> Option<(Io, Bytes)> {
        self.connection.map(|connection| (connection.io, connection.buffer.freeze()))
    }
}
