//! A client's HTTP/2 connection: hyper reads it, and each stream becomes a request like any other. It goes on as HTTP/1.1, so what would be
//! framing there must be none here.

use std::{
    cell::Cell,
    convert::Infallible,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap,
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    header::{CONTENT_LENGTH, HeaderName, HeaderValue},
    http::request::Parts,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use stopbank_checker::{
    Check, Field, Reason, Request, Version, forward,
    http1::{self, Framing},
    response::Ending,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{timeout, timeout_at},
};

use super::{
    bounds::Share,
    exchange::{Arrived, Exchange},
    ext_authz,
    lingering::Lingering,
    passing::Passing,
    problem::{self, Refusal},
    shared::{Live, Peer, Worker},
    streaming::{Frames, Stopped},
};

/// Bytes that a stream may send before it is read.
const WINDOW: u32 = 64 << 10;
/// The same for a connection.
pub(super) const CONNECTION_WINDOW: u32 = 1 << 20;
/// What is read and thrown away of a body behind its answer, so that the client reads that before the stream is reset (RFC 9113, section 8.1).
const LINGER: (usize, Duration) = (256 << 10, Duration::from_secs(1));

/// Streams that a server that asks may reset before they are looked at.
const ASKED_RESETS: usize = 1_024;

/// Runs hyper's tasks in the thread that asks.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move { drop(task.await) });
    }
}

/// Streams of a connection, and since when there is none.
#[derive(Clone, Copy)]
struct Activity {
    streams: usize,
    since: Instant,
}

/// Serves a connection to its end.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    io: S,
    worker: Rc<Worker>,
    peer: Rc<Peer>,
) {
    let live = worker.shared.live();
    let limits = &live.config.http2;
    // Who asks for others resets whenever one of these leaves: none of them is to end a connection for all.
    let resets = if live.askers(peer.listener).is_some() { ASKED_RESETS } else { limits.resets };
    let mut builder = hyper::server::conn::http2::Builder::new(Here);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list)
        .max_pending_accept_reset_streams(resets)
        .max_local_error_reset_streams(resets)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(WINDOW as usize);
    let activity = Rc::new(Cell::new(Activity { streams: 0, since: Instant::now() }));
    let mut draining = worker.draining.clone();
    let counted = Rc::clone(&activity);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (worker, peer, counted) = (Rc::clone(&worker), Rc::clone(&peer), Counted::new(&counted));
        // Kilobytes, which hyper and the executor would move from hand to hand.
        Box::pin(async move { Ok::<_, Infallible>(stream(&worker, &peer, request, counted).await) })
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Lingering::new(io)), service));
    let idle = live.config.limits.idle_timeout;
    let mut closing = false;
    loop {
        let left = idle.saturating_sub(activity.get().since.elapsed()).max(Duration::from_millis(10));
        let wait = if closing || activity.get().streams > 0 { idle } else { left };
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = draining.wait_for(|draining| *draining), if !closing => {
                connection.as_mut().graceful_shutdown();
                closing = true;
            }
            () = tokio::time::sleep(wait) => {
                let now = activity.get();
                if now.streams == 0 && now.since.elapsed() >= idle {
                    if closing {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    closing = true;
                }
            }
        }
    }
}

/// A stream, which counts until it is dropped.
struct Counted(Rc<Cell<Activity>>);

impl Counted {
    fn new(activity: &Rc<Cell<Activity>>) -> Self {
        let before = activity.get();
        activity.set(Activity { streams: before.streams + 1, ..before });
        Self(Rc::clone(activity))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(Activity { streams: self.0.get().streams - 1, since: Instant::now() });
    }
}

/// One request, to the head of its answer; the body follows in a task of its own.
async fn stream(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    request: hyper::Request<Incoming>,
    counted: Counted,
) -> hyper::Response<Answer> {
    let live = worker.shared.live();
    let mut exchange = Exchange::new(worker, peer, Arc::clone(&live));
    let (parts, mut incoming) = request.into_parts();
    let (shared, limits) = (Arc::clone(&worker.shared), &live.config.limits);
    let by_envoy = live.asked_by_envoy(peer.listener);
    let all = limits.connections;
    // One server asks for all of its clients.
    let each = if by_envoy.is_some() { all } else { limits.connections_per_address };
    // It takes a connection to an upstream, as one of HTTP/1 does.
    let admitted = shared.streams.admit(peer.address.ip(), all, each);
    let mut share = shared.buffered.share(limits.buffered);
    if let Some(asked) = by_envoy {
        let answer =
            ext_authz::serve(exchange, asked, &parts, &mut incoming, admitted.is_ok(), &mut share).await;
        if !incoming.is_end_stream() {
            tokio::task::spawn_local(linger(incoming));
        }
        return answer;
    }
    let answer = match forward(&mut exchange, &parts, &mut incoming, admitted.is_ok(), &mut share).await {
        Ok(((response, status), mut body)) => match body.buffered() {
            Ok(first) if body.is_done() => {
                exchange.end(status, None);
                response.map(|()| Answer::Whole(first))
            }
            Ok(first) => {
                let (sender, pieces) = mpsc::channel(1);
                let whole = Rc::new(Cell::new(false));
                let answer = Answer::Pieces { pieces, whole: Rc::clone(&whole) };
                tokio::task::spawn_local(async move {
                    let _held = (counted, admitted);
                    whole.set(pump(exchange, status, first, body, &sender).await);
                    drop(sender);
                    linger(incoming).await;
                });
                return response.map(|()| answer);
            }
            Err(reason) => {
                let refusal = exchange.failed(reason);
                refuse(exchange, &refusal)
            }
        },
        Err(refusal) => refuse(exchange, &refusal),
    };
    if !incoming.is_end_stream() {
        tokio::task::spawn_local(linger(incoming));
    }
    answer
}

/// Holds on to what is left of a body. With it the stream is reset, and some clients then lose an answer that they have not read yet.
async fn linger(mut incoming: Incoming) {
    let lingering = async {
        let mut left = LINGER.0;
        while let Some(Ok(frame)) = incoming.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                // It has no window to send more in.
                return std::future::pending().await;
            }
        }
    };
    let _ = timeout(LINGER.1, lingering).await;
}

/// Passes an answer's body on; whether all of it was.
async fn pump(
    exchange: Exchange,
    status: u16,
    first: Option<Bytes>,
    mut body: Passing,
    sender: &mpsc::Sender<Bytes>,
) -> bool {
    let mut piece = Ok(first);
    loop {
        match piece {
            Ok(Some(bytes)) => {
                let limit = exchange.live.config.limits.write_timeout;
                let sent = timeout(limit, sender.send(bytes)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    exchange.end(status, None);
                    return false;
                }
            }
            Ok(None) if body.is_done() => {
                exchange.end(status, None);
                return true;
            }
            Ok(None) => {}
            Err(reason) => {
                let refusal = exchange.failed(reason);
                exchange.end(status, Some(&refusal));
                return false;
            }
        }
        piece = body.next().await;
    }
}

fn refuse(exchange: Exchange, refusal: &Refusal) -> hyper::Response<Answer> {
    let body = problem::body(refusal, &exchange.id, exchange.live.config.refusals.reason);
    let mut response = hyper::Response::new(Answer::Whole(None));
    *response.status_mut() = hyper::StatusCode::from_u16(refusal.status).unwrap_or_default();
    let headers = response.headers_mut();
    for (name, value) in exchange.own_headers(refusal) {
        add(headers, name.as_bytes(), value.as_bytes());
    }
    let answered = exchange.is_answered();
    if !answered {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    if let Ok(id) = HeaderValue::from_str(&exchange.id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    if !exchange.is_head() && !answered {
        *response.body_mut() = Answer::Whole(Some(body.into()));
    }
    exchange.end(refusal.status, Some(refusal));
    response
}

async fn forward(
    exchange: &mut Exchange,
    parts: &Parts,
    incoming: &mut Incoming,
    admitted: bool,
    share: &mut Share<'_>,
) -> Result<((hyper::Response<()>, u16), Passing), Refusal> {
    let framing = |reason| Refusal::new(Check::Framing, reason);
    let cookies = joined_cookies(&parts.headers);
    let mut request = request(parts, cookies.as_deref());
    exchange.is_about(&request);
    if !admitted {
        return Err(Refusal::new(Check::Connection, Reason::Overload));
    }
    let live = Arc::clone(&exchange.live);
    forward::wishes(&request).map_err(|reason| Refusal::new(Check::Connection, reason))?;
    let declared = http1::framing(Version::Http2, &request.headers).map_err(framing)?;
    let judged = exchange.judge(&live, &request).await?;
    exchange.choose(&request)?;
    let has_length = request.values("content-length").next().is_some();
    if has_length && matches!(declared, Framing::Length(length) if length > judged.body_limit()) {
        return Err(framing(Reason::BodyLength));
    }
    let id = exchange.id.clone();
    let accept = |arrived: &Arrived<'_>| (head(arrived, &id), arrived.response.status);
    if !judged.needs_body() && !incoming.is_end_stream() {
        let length = match declared {
            Framing::Length(length) if has_length => Some(length),
            _ => None,
        };
        let mut frames = Frames::new(incoming, length, judged.body_limit(), &live.config.limits);
        let streamed = exchange.stream(judged, &request, &mut frames, length, accept).await;
        return streamed.map_err(|stopped| match stopped {
            Stopped::Refused(refusal) => refusal,
            // Whoever has reset it reads no answer.
            Stopped::Gone => framing(Reason::CutShort),
        });
    }
    let body = collect(incoming, judged.body_limit(), &live, share).await?;
    if has_length && declared != Framing::Length(body.len()) {
        return Err(framing(Reason::LengthInvalid));
    }
    request.body = std::borrow::Cow::Borrowed(&body);
    exchange.forward(judged, &request, &body, false, accept).await
}

/// The cookies as one header (RFC 9113, section 8.2.3), where there are several.
fn joined_cookies(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut cookies = headers.get_all("cookie").iter();
    let first = cookies.next()?;
    let mut joined = first.as_bytes().to_vec();
    for cookie in cookies {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    Some(joined)
}

/// What the engine gets. A Host beside an `:authority` that says the same is left out; one that says another thing is refused there, being
/// one too many.
fn request<'r>(parts: &'r Parts, cookies: Option<&'r [u8]>) -> Request<'r> {
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut headers = Vec::with_capacity(parts.headers.len() + 1);
    headers.extend(authority.map(|value| Field { name: b"host", value }));
    for (name, value) in &parts.headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        let same = name == b"host" && authority.is_some_and(|one| one.eq_ignore_ascii_case(value));
        if !same && name != b"cookie" {
            headers.push(Field { name, value });
        }
    }
    headers.extend(cookies.map(|value| Field { name: b"cookie", value }));
    Request {
        method: parts.method.as_str().as_bytes(),
        target: parts.uri.path_and_query().map_or("", |target| target.as_str()).as_bytes(),
        version: Version::Http2,
        headers,
        body: (&[][..]).into(),
    }
}

/// The whole body.
pub(super) async fn collect(
    incoming: &mut Incoming,
    most: usize,
    live: &Live,
    share: &mut Share<'_>,
) -> Result<Bytes, Refusal> {
    let limits = &live.config.limits;
    let started = tokio::time::Instant::now();
    let mut body = Vec::new();
    loop {
        let earned = Duration::from_millis(body.len() as u64 * 1000 / limits.body_rate);
        let frame = match timeout_at(started + limits.body_grace + earned, incoming.frame()).await {
            Err(_) => return Err(Refusal::new(Check::Connection, Reason::BodySlow)),
            Ok(None) => return Ok(body.into()),
            // Whoever has reset it reads no answer.
            Ok(Some(Err(_))) => return Err(Refusal::new(Check::Framing, Reason::CutShort)),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { return Err(Refusal::new(Check::Framing, Reason::Trailer)) };
        if body.len() + data.len() > most {
            return Err(Refusal::new(Check::Framing, Reason::BodyLength));
        }
        if !share.grow(data.len()) {
            return Err(Refusal::new(Check::Connection, Reason::Overload));
        }
        body.extend_from_slice(&data);
    }
}

/// The answer's head. Headers that HTTP/2 cannot carry the engine has refused.
fn head(arrived: &Arrived<'_>, id: &str) -> hyper::Response<()> {
    let response = arrived.response;
    let mut made = hyper::Response::new(());
    *made.status_mut() = hyper::StatusCode::from_u16(response.status).unwrap_or_default();
    let headers = made.headers_mut();
    for field in &arrived.fields {
        add(headers, field.name, field.value);
    }
    match arrived.ending {
        Ending::Length(length) => add(headers, b"content-length", length.to_string().as_bytes()),
        Ending::Empty if response.status != 204 => {
            for field in response.headers.iter().filter(|field| field.is("content-length")) {
                add(headers, b"content-length", field.value);
            }
        }
        Ending::Empty | Ending::Chunked | Ending::Close => {}
    }
    add(headers, b"x-request-id", id.as_bytes());
    made
}

fn add(headers: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}

/// An answer's body: all of it, or as it comes.
pub(crate) enum Answer {
    Whole(Option<Bytes>),
    Pieces {
        pieces: mpsc::Receiver<Bytes>,
        /// Whether it has come to its end, where no more pieces come. Otherwise the stream is reset: who gets half an answer is to see that.
        whole: Rc<Cell<bool>>,
    },
    /// One message of gRPC, and behind it that the call was answered.
    Message {
        message: Option<Bytes>,
        ended: bool,
    },
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Message { message, ended } => Poll::Ready(match message.take() {
                Some(message) => Some(Ok(Frame::data(message))),
                None if std::mem::replace(ended, true) => None,
                None => {
                    let good = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
                    Some(Ok(Frame::trailers(HeaderMap::from_iter([good]))))
                }
            }),
            Self::Pieces { pieces, whole } => pieces.poll_recv(context).map(|piece| match piece {
                Some(piece) => Some(Ok(Frame::data(piece))),
                None if whole.get() => None,
                None => Some(Err(io::Error::other("cut short"))),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Message { message: None, ended: true })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces { .. } | Self::Message { .. } => SizeHint::default(),
        }
    }
}
