//! The load: one thread that keeps connections busy, as fast as answers come or at a constant rate.
//!
//! At a constant rate a request has a time at which it is due, whether or not earlier ones are answered, and its latency counts from then: a
//! server that stalls is not asked less for it.

use std::{
    cell::Cell,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Requests beside one another.
pub(crate) const CONNECTIONS: usize = 16;
/// How long no answer may come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer, head and body.
const LONGEST: usize = 4 << 10;

/// How requests follow one another.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Pace {
    /// The next one as soon as one is answered.
    Saturating,
    /// So many a second.
    Rate(f64),
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// From when each request was due to the end of its answer.
    pub(crate) latencies: Vec<Duration>,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

/// Requests that come in turn, whomever they are sent to.
pub(crate) struct Requests {
    all: Vec<Vec<u8>>,
    next: Cell<usize>,
}

/// Connections to one server.
pub(crate) struct Load<'a> {
    streams: Vec<TcpStream>,
    requests: &'a Requests,
}

/// What one connection is at.
struct Busy {
    since: Option<Instant>,
    answer: Vec<u8>,
}

impl Requests {
    pub(crate) fn new(all: Vec<Vec<u8>>) -> Result<Self> {
        ensure!(!all.is_empty(), "there is nothing to ask");
        Ok(Self { all, next: Cell::new(0) })
    }

    fn next(&self) -> &[u8] {
        let place = self.next.get();
        self.next.set((place + 1) % self.all.len());
        &self.all[place]
    }
}

/// The status of the answer to one request.
pub(crate) fn status(server: SocketAddr, request: &[u8]) -> Result<u16> {
    let mut stream = TcpStream::connect(server).with_context(|| format!("connecting to {server}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut answer).context("reading an answer")?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|status| status.parse().ok());
    status.with_context(|| format!("no answer of HTTP/1.1: {text}"))
}

impl<'a> Load<'a> {
    /// Connects.
    pub(crate) fn new(server: SocketAddr, requests: &'a Requests) -> Result<Self> {
        let mut streams = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(server).with_context(|| format!("connecting to {server}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            streams.push(stream);
        }
        Ok(Self { streams, requests })
    }

    /// Asks for so long, and waits for the last answer.
    ///
    /// # Errors
    ///
    /// An answer is not 200, or none comes.
    pub(crate) fn run(&self, pace: Pace, during: Duration) -> Result<Outcome> {
        let mut polled: Vec<PollFd<'_>> =
            self.streams.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
        let idle = || Busy { since: None, answer: Vec::with_capacity(LONGEST) };
        let mut busy: Vec<Busy> = self.streams.iter().map(|_| idle()).collect();
        let mut outcome = Outcome::default();
        let (started, mut asked) = (Instant::now(), 0_u32);
        let due = |asked: u32, now: Instant| match pace {
            Pace::Saturating => now,
            Pace::Rate(rate) => started + Duration::from_secs_f64(f64::from(asked) / rate),
        };
        loop {
            let now = Instant::now();
            let over = now - started >= during;
            let mut free = busy.iter_mut().zip(&self.streams).filter(|(one, _)| one.since.is_none());
            while !over && due(asked, now) <= now {
                let Some((one, mut stream)) = free.next() else { break };
                one.since = Some(due(asked, now));
                asked += 1;
                // It is smaller than what a connection takes without waiting.
                let request = self.requests.next();
                let written = stream.write(request).context("asking")?;
                ensure!(written == request.len(), "a connection takes only part of a request");
            }
            let wait = if free.next().is_some() && !over {
                due(asked, now).saturating_duration_since(Instant::now())
            } else {
                PATIENCE
            };
            if busy.iter().all(|one| one.since.is_none()) && over {
                outcome.took = started.elapsed();
                return Ok(outcome);
            }
            let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            let ready = poll(&mut polled, Some(&wait))?;
            ensure!(ready > 0 || wait.tv_sec < PATIENCE.as_secs() as i64, "no answer within {PATIENCE:?}");
            let came = polled.iter().map(|one| !one.revents().is_empty());
            for ((one, stream), came) in busy.iter_mut().zip(&self.streams).zip(came) {
                if came && one.read(stream)? {
                    let since = one.since.take().context("an answer that nobody has asked for")?;
                    outcome.latencies.push(since.elapsed());
                }
            }
        }
    }
}

impl Busy {
    /// Takes what has come. Whether that is the end of an answer.
    fn read(&mut self, mut stream: &TcpStream) -> Result<bool> {
        let mut piece = [0; LONGEST];
        match stream.read(&mut piece) {
            Ok(0) => bail!("a connection was closed: {:?}", String::from_utf8_lossy(&self.answer)),
            Ok(length) => self.answer.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("reading an answer"),
        }
        let Some(head) = memchr::memmem::find(&self.answer, b"\r\n\r\n") else { return Ok(false) };
        let text = String::from_utf8_lossy(&self.answer[..head]);
        ensure!(text.starts_with("HTTP/1.1 200 "), "not answered: {text}");
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let length = head + 4 + length.with_context(|| format!("an answer without length: {text}"))?;
        ensure!(self.answer.len() <= length, "more than an answer came");
        let ended = self.answer.len() == length;
        if ended {
            self.answer.clear();
        }
        Ok(ended)
    }
}
