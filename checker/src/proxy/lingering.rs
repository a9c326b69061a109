//! The end of a connection over HTTP/2.
//!
//! Who closes a socket while its peer still sends resets the connection, and what the peer has not yet received of the answer is lost (RFC 9112, section
//! 9.6). Clients of HTTP/2 do send while they read: updates of windows. So nothing more is written, and what comes is thrown away, until they close.

use std::{
    io::Result,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// How long nothing may come, and how long it may last in all.
const SILENCE: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(30);

/// A connection that ends so.
pub(super) struct Lingering<S> {
    io: S,
    ending: Option<Ending>,
}

struct Ending {
    silence: Pin<Box<Sleep>>,
    at_last: Instant,
}

impl<S> Lingering<S> {
    pub(super) const fn new(io: S) -> Self {
        Self { io, ending: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if this.ending.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
        }
        let now = Instant::now();
        let ending = this.ending.get_or_insert_with(|| Ending {
            silence: Box::pin(sleep_until(now + SILENCE)),
            at_last: now + LONGEST,
        });
        loop {
            if ending.silence.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let (mut bytes, before) = ([0; 4 << 10], ending.at_last);
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.io).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let until = (Instant::now() + SILENCE).min(before);
                    ending.silence.as_mut().reset(until);
                }
                // Closed, or reset: it has all, or wants no more.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
