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

use super::http2::CONNECTION_WINDOW;

/// How long nothing may come, and how long it may last in all.
const SILENCE: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(30);
/// How many bytes are thrown away at most: the bodies that were on their way, which the connection's window bounds, and updates of windows.
const MOST: usize = CONNECTION_WINDOW as usize + (64 << 10);

/// A connection that ends so.
pub(super) struct Lingering<S> {
    io: S,
    ending: Option<Ending>,
}

struct Ending {
    silence: Pin<Box<Sleep>>,
    at_last: Instant,
    /// How many bytes may still come.
    left: usize,
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
            left: MOST,
        });
        loop {
            if ending.silence.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let (mut bytes, before) = ([0; 4 << 10], ending.at_last);
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.io).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if (1..=ending.left).contains(&buffer.filled().len()) => {
                    ending.left -= buffer.filled().len();
                    let until = (Instant::now() + SILENCE).min(before);
                    ending.silence.as_mut().reset(until);
                }
                // Closed, or reset: it has all, or wants no more. Or it sends more than it may.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Sends blocks of 1 KiB until they are no longer taken. How many were.
    async fn taken(mut client: impl AsyncWrite + Unpin, most: usize) -> usize {
        for sent in 0..most {
            if client.write_all(&[0; 1024]).await.is_err() {
                return sent;
            }
        }
        most
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_end_is_thrown_away_up_to_a_bound() {
        let (client, server) = duplex(1024);
        let ended = tokio::spawn(async move { Lingering::new(server).shutdown().await });
        let blocks = taken(client, 10_000).await;
        ended.await.unwrap().unwrap();
        assert!((256..=MOST / 1024 + 1).contains(&blocks), "{blocks} KiB");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stays_silent_and_one_that_trickles_are_waited_for_so_long_alone() {
        let (client, server) = duplex(1024);
        let began = Instant::now();
        Lingering::new(server).shutdown().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), SILENCE.as_secs());
        drop(client);

        let (mut client, server) = duplex(1024);
        let began = Instant::now();
        let trickle = tokio::spawn(async move {
            while client.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Lingering::new(server).shutdown().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), LONGEST.as_secs());
        trickle.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_closes_is_not_waited_for() {
        let (mut client, server) = duplex(1024);
        let ended = tokio::spawn(async move { Lingering::new(server).shutdown().await });
        client.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        ended.await.unwrap().unwrap();
    }
}
