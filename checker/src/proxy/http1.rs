//! A client's HTTP/1 connection. Heads and bodies are read by the engine's own parser, on the very bytes that came: a second one, which
//! takes more for a request than the first, would be a way past it.

mod answer;
mod asked;

use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use stopbank_checker::{
    Check, Reason, Request,
    engine::Head,
    forward::{self, Wishes},
    http1::{self, Framing},
    stream::{Chunks, HeadScan},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep, timeout, timeout_at},
};

use self::answer::{Framed, Shape, write_head};
use super::{
    bounds::{Share, Turn},
    exchange::{Arrived, Exchange},
    passing::Passing,
    problem::{self, Refusal},
    shared::{Live, Peer, Worker},
    streaming::{Pieces, Stopped},
};

/// Bytes that are read at once of a head, and of a body.
const STEP: usize = 4 << 10;
const BODY_STEP: usize = 64 << 10;
/// What is read and thrown away of a request that was refused early, so that the client reads the answer before the connection is reset.
const LINGER: (usize, Duration) = (256 << 10, Duration::from_secs(1));
/// What is waited between two pieces beyond that: a client that is held back looks for the answer, one whose connection is reset may lose it.
const PAUSE: Duration = Duration::from_millis(25);

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Request,
    /// Closed, with nothing more to read.
    Close,
    /// Closed, while the client may still send.
    Linger,
}

struct Connection<S> {
    io: S,
    buffer: BytesMut,
    worker: Rc<Worker>,
    peer: Rc<Peer>,
}

/// Serves a connection to its end.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(io: S, worker: Rc<Worker>, peer: Rc<Peer>) {
    let mut connection = Connection { io, buffer: BytesMut::new(), worker, peer };
    loop {
        match connection.request().await {
            Next::Request => {}
            Next::Close => break,
            Next::Linger => {
                connection.linger().await;
                break;
            }
        }
    }
    let _ = timeout(LINGER.1, connection.io.shutdown()).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// One request, from the first byte of its head to the last one of its answer.
    async fn request(&mut self) -> Next {
        let live = self.worker.shared.live();
        if self.buffer.is_empty() && !self.begins(&live).await {
            return Next::Close;
        }
        let head = match self.head(&live).await {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Close,
            Err(reason) => {
                let exchange = Exchange::new(&self.worker, &self.peer, live);
                let check = if reason == Reason::HeadSlow { Check::Connection } else { Check::Framing };
                return self.unread(exchange, Refusal::new(check, reason)).await;
            }
        };
        let mut exchange = Exchange::new(&self.worker, &self.peer, Arc::clone(&live));
        let (request, framing) = match http1::head(&head, live.judge.limits()) {
            Ok(read) => read,
            Err(reason) => return self.unread(exchange, Refusal::new(Check::Framing, reason)).await,
        };
        exchange.is_about(&request);
        if let Some(by) = live.asked(self.peer.listener) {
            return self.asked(exchange, &request, framing, by).await;
        }
        self.answer(exchange, request, framing, &live).await
    }

    /// Waits for a first byte.
    async fn begins(&mut self, live: &Live) -> bool {
        self.buffer.reserve(STEP);
        let mut draining = self.worker.draining.clone();
        let idle = live.config.limits.idle_timeout;
        tokio::select! {
            biased;
            read = timeout(idle, self.io.read_buf(&mut self.buffer)) => matches!(read, Ok(Ok(1..))),
            _ = draining.wait_for(|draining| *draining) => false,
        }
    }

    /// The bytes of a head; `None` where the connection ends before one.
    async fn head(&mut self, live: &Live) -> Result<Option<Bytes>, Reason> {
        let limits = live.judge.limits();
        let most = limits.target + limits.head + limits.header;
        let mut scan = HeadScan::default();
        if let Some(length) = scan.end(&self.buffer) {
            return Ok(Some(self.buffer.split_to(length).freeze()));
        }
        let deadline = Instant::now() + live.config.limits.head_timeout;
        loop {
            if self.buffer.len() > most {
                // What is wrong with it the parser says best.
                return Err(http1::head(&self.buffer, limits).err().unwrap_or(Reason::HeaderLength));
            }
            self.buffer.reserve(STEP);
            match timeout_at(deadline, self.io.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(Reason::HeadSlow),
                Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(_)) => {}
            }
            if let Some(length) = scan.end(&self.buffer) {
                return Ok(Some(self.buffer.split_to(length).freeze()));
            }
        }
    }

    async fn answer(
        &mut self,
        mut exchange: Exchange,
        mut request: Request<'_>,
        framing: Framing,
        live: &Arc<Live>,
    ) -> Next {
        let shared = Arc::clone(&self.worker.shared);
        let before = async {
            let wishes =
                forward::wishes(&request).map_err(|reason| Refusal::new(Check::Connection, reason))?;
            let head = exchange.judge(live, &request).await?;
            exchange.choose(&request).map(|()| (wishes, head))
        };
        let before = before.await;
        let (wishes, head) = match before {
            Ok(both) => both,
            // With a body that nobody reads, the connection ends.
            Err(refusal) => {
                let keep = framing == Framing::Length(0)
                    && !matches!(refusal.check, Check::Framing | Check::Connection);
                return self.refuse(exchange, refusal, keep && self.keeps(&request)).await;
            }
        };
        if !head.needs_body() && framing != Framing::Length(0) && !wishes.websocket {
            return self.stream(exchange, &request, framing, wishes, head, live).await;
        }
        let mut share = shared.buffered.share(live.config.limits.buffered);
        let body = match self.body(framing, head.body_limit(), wishes, live, &mut share).await {
            Ok(Some(body)) => body,
            Ok(None) => return Next::Close,
            Err(refusal) => return self.refuse(exchange, refusal, false).await,
        };
        request.body = std::borrow::Cow::Borrowed(&body);
        let keep = self.keeps(&request);
        let mut out = Vec::with_capacity(1024);
        let old = request.version == stopbank_checker::Version::Http10;
        let id = exchange.id.clone();
        let write = |arrived: &Arrived<'_>| {
            let status = arrived.response.status;
            let shape = Shape::of(arrived.ending, old, keep, status == 101);
            write_head(&mut out, arrived, shape, &id);
            (shape, status)
        };
        match exchange.forward(head, &request, &body, wishes.websocket, write).await {
            Ok(((shape, status), answer)) => {
                drop(share);
                self.pass_on(exchange, out, shape, status, answer, live).await
            }
            Err(refusal) => self.refuse(exchange, refusal, keep).await,
        }
    }

    /// Passes a body on as it comes, since no check needs it.
    async fn stream(
        &mut self,
        mut exchange: Exchange,
        request: &Request<'_>,
        framing: Framing,
        wishes: Wishes,
        head: Head<'_>,
        live: &Arc<Live>,
    ) -> Next {
        let length = match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        let most = head.body_limit();
        if length.is_some_and(|length| length > most) {
            let refusal = Refusal::new(Check::Framing, Reason::BodyLength);
            return self.refuse(exchange, refusal, false).await;
        }
        let (mut out, id) = (Vec::with_capacity(1024), exchange.id.clone());
        let (keep, old) = (self.keeps(request), request.version == stopbank_checker::Version::Http10);
        let write = |arrived: &Arrived<'_>| {
            let shape = Shape::of(arrived.ending, old, keep && arrived.complete, false);
            write_head(&mut out, arrived, shape, &id);
            (shape, arrived.response.status, arrived.complete)
        };
        let connection = (&mut self.io, &mut self.buffer);
        let mut pieces = Pieces::new(connection, framing, most, wishes.waits, &live.config.limits);
        match exchange.stream(head, request, &mut pieces, length, write).await {
            Ok(((shape, status, complete), answer)) => {
                let next = self.pass_on(exchange, out, shape, status, answer, live).await;
                if complete { next } else { Next::Linger }
            }
            Err(Stopped::Refused(refusal)) => self.refuse(exchange, refusal, false).await,
            Err(Stopped::Gone) => {
                exchange.gone();
                Next::Close
            }
        }
    }

    /// Whether the connection stays when the request is over.
    fn keeps(&self, request: &Request<'_>) -> bool {
        forward::wishes(request).is_ok_and(|wishes| wishes.keep_alive) && !*self.worker.draining.borrow()
    }

    /// The whole body; `None` where the connection ends before.
    async fn body(
        &mut self,
        framing: Framing,
        most: usize,
        wishes: Wishes,
        live: &Live,
        share: &mut Share<'_>,
    ) -> Result<Option<Bytes>, Refusal> {
        let refused = |reason| Err(Refusal::new(Check::Framing, reason));
        match framing {
            Framing::Length(0) => return Ok(Some(Bytes::new())),
            Framing::Length(length) if length > most => return refused(Reason::BodyLength),
            _ => {}
        }
        if wishes.waits && self.buffer.is_empty() && !self.write(b"HTTP/1.1 100 Continue\r\n\r\n", live).await
        {
            return Ok(None);
        }
        let (mut body, mut chunks, started) = (Vec::new(), Chunks::of_request(), Instant::now());
        loop {
            let before = body.len();
            let done = match framing {
                Framing::Length(length) => {
                    if body.is_empty() && self.buffer.len() >= length {
                        return match share.grow(length) {
                            true => Ok(Some(self.buffer.split_to(length).freeze())),
                            false => Err(Refusal::new(Check::Connection, Reason::Overload)),
                        };
                    }
                    let taken = self.buffer.split_to(self.buffer.len().min(length - body.len()));
                    body.extend_from_slice(&taken);
                    body.len() == length
                }
                Framing::Chunked => match chunks.feed(&self.buffer, &mut body, most) {
                    Ok(taken) => {
                        let _ = self.buffer.split_to(taken);
                        chunks.is_done()
                    }
                    Err(reason) => return refused(reason),
                },
            };
            if !share.grow(body.len() - before) {
                return Err(Refusal::new(Check::Connection, Reason::Overload));
            }
            if done {
                return Ok(Some(Bytes::from(body)));
            }
            let limits = &live.config.limits;
            // Grace, and a second for each `body_rate` bytes that have come.
            let earned = Duration::from_millis(body.len() as u64 * 1000 / limits.body_rate);
            self.buffer.reserve(BODY_STEP);
            match timeout_at(started + limits.body_grace + earned, self.io.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(Refusal::new(Check::Connection, Reason::BodySlow)),
                Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(_)) => {}
            }
        }
    }

    async fn write(&mut self, bytes: &[u8], live: &Live) -> bool {
        let writing = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        matches!(timeout(live.config.limits.write_timeout, writing).await, Ok(Ok(())))
    }

    /// Writes the answer, as it comes.
    async fn pass_on(
        &mut self,
        exchange: Exchange,
        mut out: Vec<u8>,
        shape: Shape,
        status: u16,
        mut body: Passing,
        live: &Live,
    ) -> Next {
        if shape.framing == Framed::Switched {
            if self.write(&out, live).await {
                exchange.end(status, None);
                // It is large, and rare.
                Box::pin(self.tunnel(body, live)).await;
            }
            return Next::Close;
        }
        let mut turn = Turn::default();
        loop {
            let mut piece = body.buffered();
            if matches!(piece, Ok(None)) && !body.is_done() {
                if !out.is_empty() && !self.write(&out, live).await {
                    exchange.end(status, None);
                    return Next::Close;
                }
                turn.passes(out.len()).await;
                out.clear();
                piece = body.next().await;
            }
            match piece {
                Ok(piece) => shape.append(&mut out, &piece.unwrap_or_default()),
                // The status has gone already, so that the client sees an answer that is cut short.
                Err(reason) => {
                    let refusal = exchange.failed(reason);
                    exchange.end(status, Some(&refusal));
                    return Next::Close;
                }
            }
            if body.is_done() {
                break;
            }
        }
        shape.finish(&mut out);
        let written = self.write(&out, live).await;
        exchange.end(status, None);
        if written && shape.keep { Next::Request } else { Next::Close }
    }

    /// Passes bytes on in both directions until one side ends, or both are silent for too long.
    async fn tunnel(&mut self, body: Passing, live: &Live) {
        let Some((mut upstream, read)) = body.into_io() else { return };
        let early = self.buffer.split();
        if self.io.write_all(&read).await.is_err() || upstream.write_all(&early).await.is_err() {
            return;
        }
        let idle = live.config.limits.idle_timeout;
        let mut draining = self.worker.draining.clone();
        let (mut up, mut down) = (vec![0; 8 << 10], vec![0; 8 << 10]);
        let copying = async {
            loop {
                let done = tokio::select! {
                    read = self.io.read(&mut up) => match read {
                        Ok(read @ 1..) => upstream.write_all(&up[..read]).await.is_err() || upstream.flush().await.is_err(),
                        _ => true,
                    },
                    read = upstream.read(&mut down) => match read {
                        Ok(read @ 1..) => self.io.write_all(&down[..read]).await.is_err() || self.io.flush().await.is_err(),
                        _ => true,
                    },
                    () = sleep(idle) => true,
                };
                if done {
                    return;
                }
            }
        };
        tokio::select! {
            () = copying => {}
            _ = draining.wait_for(|draining| *draining) => {}
        }
        let _ = timeout(LINGER.1, upstream.shutdown()).await;
    }

    /// Answers with a problem. `keep`: the request is over, another may follow.
    async fn refuse(&mut self, exchange: Exchange, refusal: Refusal, keep: bool) -> Next {
        let live = Arc::clone(&exchange.live);
        let answered = exchange.is_answered();
        let body = problem::body(&refusal, &exchange.id, live.config.refusals.reason);
        // 204 has neither a body nor a length (RFC 9110, section 8.6).
        let length = if answered { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let close = if keep { "" } else { "connection: close\r\n" };
        let own = exchange.own_headers(&refusal);
        let own: String = own.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut out = format!(
            "HTTP/1.1 {} {}\r\n{own}{length}x-request-id: {}\r\n{close}\r\n",
            refusal.status,
            problem::phrase(refusal.status),
            exchange.id,
        )
        .into_bytes();
        if !exchange.is_head() && !answered {
            out.extend_from_slice(&body);
        }
        let written = self.write(&out, &live).await;
        exchange.end(refusal.status, Some(&refusal));
        match (written, keep) {
            (false, _) => Next::Close,
            (true, true) => Next::Request,
            (true, false) => Next::Linger,
        }
    }

    async fn linger(&mut self) {
        let lingering = async {
            let _ = self.io.shutdown().await;
            let mut left = LINGER.0;
            self.buffer.reserve(STEP);
            while let Ok(read @ 1..) = self.io.read_buf(&mut self.buffer).await {
                left = left.saturating_sub(read);
                self.buffer.clear();
                if left == 0 {
                    sleep(PAUSE).await;
                }
            }
        };
        let _ = timeout(LINGER.1, lingering).await;
    }
}
