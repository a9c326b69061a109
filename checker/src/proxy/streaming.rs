//! Bodies that no check needs: they go to the upstream as they come, up to their limit, and none of them is in memory as a whole.
//!
//! One that ends too early, or goes too far, ends too early for the upstream as well: its length is not reached, or its last chunk does not come.

use std::{pin::pin, rc::Rc, sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use stopbank_checker::{
    Check, Reason,
    http1::Framing,
    response::{Ending, Response},
    stream::Chunks,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout},
};

use super::{
    bounds::Turn,
    config::Limits,
    problem::Refusal,
    upstream::{self, Body, Connection, Head, Outgoing, Pool, Upstream},
};

/// Bytes that are read at once.
const STEP: usize = 64 << 10;

/// Why a body has not come to its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// Nobody is there to be answered.
    Gone,
    Refused(Refusal),
}

impl Stopped {
    fn refused(check: Check, reason: Reason) -> Self {
        Self::Refused(Refusal::new(check, reason))
    }
}

/// A body that comes. What waits for it may be dropped only when there is no more to be asked.
pub(crate) trait Coming {
    /// The next piece, which is not empty; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Stopped>;
}

/// How fast a body comes. Only the time counts in which its sender is waited for: a slow upstream is not the client's fault.
struct Pace {
    left: Duration,
    rate: u64,
}

impl Pace {
    const fn new(limits: &Limits) -> Self {
        Self { left: limits.body_grace, rate: limits.body_rate }
    }

    /// Waits for more, and no longer than the limits let it.
    async fn wait<T>(&mut self, coming: impl Future<Output = T>) -> Result<T, Stopped> {
        let began = Instant::now();
        let came = timeout(self.left, coming).await;
        self.left = self.left.saturating_sub(began.elapsed());
        came.map_err(|_| Stopped::refused(Check::Connection, Reason::BodySlow))
    }

    /// Bytes earn time.
    fn earn(&mut self, bytes: usize) {
        self.left += Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / self.rate);
    }
}

/// The body of an HTTP/1 request, out of its connection.
pub(crate) struct Pieces<'c, S> {
    io: &'c mut S,
    buffer: &'c mut BytesMut,
    framing: Framing,
    chunks: Chunks,
    passed: usize,
    most: usize,
    /// Whether the client waits for `100 Continue`.
    waits: bool,
    pace: Pace,
}

impl<'c, S> Pieces<'c, S> {
    /// Of at most so many bytes.
    pub(crate) const fn new(
        (io, buffer): (&'c mut S, &'c mut BytesMut),
        framing: Framing,
        most: usize,
        waits: bool,
        limits: &Limits,
    ) -> Self {
        let (chunks, pace) = (Chunks::of_request(), Pace::new(limits));
        Self { io, buffer, framing, chunks, passed: 0, most, waits, pace }
    }

    /// What is there already; `None` where more is needed.
    fn buffered(&mut self) -> Result<Option<Option<Bytes>>, Stopped> {
        let piece = match self.framing {
            Framing::Length(length) if self.passed == length => return Ok(Some(None)),
            Framing::Length(length) => {
                let here = self.buffer.len().min(length - self.passed);
                self.buffer.split_to(here).freeze()
            }
            Framing::Chunked => {
                let mut data = Vec::new();
                let left = self.most - self.passed;
                let fed = self.chunks.feed(self.buffer, &mut data, left);
                self.buffer.advance(fed.map_err(|reason| Stopped::refused(Check::Framing, reason))?);
                if data.is_empty() && self.chunks.is_done() {
                    return Ok(Some(None));
                }
                data.into()
            }
        };
        self.passed += piece.len();
        self.pace.earn(piece.len());
        Ok((!piece.is_empty()).then_some(Some(piece)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Coming for Pieces<'_, S> {
    async fn next(&mut self) -> Result<Option<Bytes>, Stopped> {
        loop {
            if let Some(known) = self.buffered()? {
                return Ok(known);
            }
            if std::mem::take(&mut self.waits) {
                let written = self.io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                written.and(self.io.flush().await).map_err(|_| Stopped::Gone)?;
            }
            self.buffer.reserve(STEP);
            let read = self.pace.wait(self.io.read_buf(self.buffer)).await?;
            if matches!(read, Ok(0) | Err(_)) {
                return Err(Stopped::Gone);
            }
        }
    }
}

/// The body of an HTTP/2 request.
pub(crate) struct Frames<'c> {
    incoming: &'c mut Incoming,
    /// As it was declared, if it was.
    length: Option<usize>,
    passed: usize,
    most: usize,
    pace: Pace,
}

impl<'c> Frames<'c> {
    /// Of at most so many bytes.
    pub(crate) const fn new(
        incoming: &'c mut Incoming,
        length: Option<usize>,
        most: usize,
        limits: &Limits,
    ) -> Self {
        Self { incoming, length, passed: 0, most, pace: Pace::new(limits) }
    }
}

impl Coming for Frames<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Stopped> {
        let framing = |reason| Stopped::refused(Check::Framing, reason);
        loop {
            let frame = match self.pace.wait(self.incoming.frame()).await? {
                None if self.length.is_none_or(|length| length == self.passed) => return Ok(None),
                None => return Err(framing(Reason::LengthInvalid)),
                Some(Err(_)) => return Err(Stopped::Gone),
                Some(Ok(frame)) => frame,
            };
            let data = frame.into_data().map_err(|_| framing(Reason::Trailer))?;
            self.passed += data.len();
            self.pace.earn(data.len());
            if self.passed > self.most {
                return Err(framing(Reason::BodyLength));
            }
            if self.length.is_some_and(|length| self.passed > length) {
                return Err(framing(Reason::LengthInvalid));
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }
}

/// Why there is no answer.
pub(crate) enum Failed {
    Upstream(Reason),
    Client(Stopped),
}

/// Sends a request, whose head says how its body is framed, with a body that comes; calls `accept` with the answer's head, and with whether
/// all of the body was sent by then. Where it was not, the rest is left where it is.
pub(crate) async fn send<T>(
    pool: &Rc<Pool>,
    upstream: &Arc<Upstream>,
    request: Outgoing<'_>,
    coming: &mut impl Coming,
    chunked: bool,
    accept: impl FnOnce(&Response<'_>, Ending, bool) -> T,
) -> Result<(T, Body), Failed> {
    let mut connection =
        upstream::deliver(pool, upstream, request.head, &[]).await.map_err(Failed::Upstream)?;
    let (head, complete) = both_ways(&mut connection, upstream, request, coming, chunked).await?;
    let keep = head.keep && complete;
    let head = Head { keep, ..head };
    let accept = |response: &Response<'_>, ending| accept(response, ending, complete);
    upstream::answered(connection, head, pool, upstream, accept).map_err(Failed::Upstream)
}

/// The answer may come before the body has gone: who knows enough of it says so.
async fn both_ways(
    connection: &mut Connection,
    upstream: &Upstream,
    request: Outgoing<'_>,
    coming: &mut impl Coming,
    chunked: bool,
) -> Result<(Head, bool), Failed> {
    let config = &upstream.config;
    let Connection { io, buffer, .. } = connection;
    let (mut reader, mut writer) = tokio::io::split(io);
    let mut answering = pin!(upstream::read_head(&mut reader, buffer, request));
    let mut sending = pin!(pass(&mut writer, coming, chunked, config.idle_timeout));
    let sent = tokio::select! {
        biased;
        early = answering.as_mut() => return early.map(|head| (head, false)).map_err(Failed::Upstream),
        sent = sending.as_mut() => sent,
    };
    let complete = match sent {
        Ok(()) => true,
        // Who takes no more of it may have said why.
        Err(Failed::Upstream(_)) => false,
        Err(stopped) => return Err(stopped),
    };
    let answer = timeout(config.first_byte_timeout, answering).await;
    let head = answer.unwrap_or(Err(Reason::UpstreamSlow)).map_err(Failed::Upstream)?;
    Ok((head, complete))
}

async fn pass(
    writer: &mut (impl AsyncWrite + Unpin),
    coming: &mut impl Coming,
    chunked: bool,
    within: Duration,
) -> Result<(), Failed> {
    let mut turn = Turn::default();
    loop {
        let piece = coming.next().await.map_err(Failed::Client)?;
        let last = piece.is_none();
        let framed = match (piece, chunked) {
            (Some(piece), false) => piece,
            (Some(piece), true) => {
                [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat().into()
            }
            (None, true) => Bytes::from_static(b"0\r\n\r\n"),
            (None, false) => Bytes::new(),
        };
        let writing = async {
            writer.write_all(&framed).await?;
            writer.flush().await
        };
        match timeout(within, writing).await {
            Ok(Ok(())) if last => return Ok(()),
            Ok(Ok(())) => turn.passes(framed.len()).await,
            Ok(Err(_)) => return Err(Failed::Upstream(Reason::UpstreamBroken)),
            Err(_) => return Err(Failed::Upstream(Reason::UpstreamSlow)),
        }
    }
}
