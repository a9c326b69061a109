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
pub(super) struct Lingering<S, C = Timer> {
    io: S,
    clock: C,
    ending: Option<Ending>,
}

struct Ending {
    /// When it is over, unless something comes.
    silent: Instant,
    at_last: Instant,
    /// How many bytes may still come.
    left: usize,
}

/// What time is told by. Tests have a clock of their own: with tokio's, everything that stands on tokio would be compiled once more for tests.
trait Clock: Unpin {
    fn now(&self) -> Instant;
    /// Whether it is `until`; if not, the task is woken then.
    fn poll_until(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()>;
}

/// Time as it passes.
#[derive(Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Clock for Timer {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn poll_until(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(context)
    }
}

impl<S> Lingering<S> {
    pub(super) const fn new(io: S) -> Self {
        Self { io, clock: Timer(None), ending: None }
    }
}

impl<S: AsyncRead + Unpin, C: Clock> AsyncRead for Lingering<S, C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Clock> AsyncWrite for Lingering<S, C> {
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
        let now = this.clock.now();
        let ending = this.ending.get_or_insert_with(|| Ending {
            silent: now + SILENCE,
            at_last: now + LONGEST,
            left: MOST,
        });
        loop {
            if this.clock.poll_until(ending.silent, context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; 4 << 10];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.io).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if (1..=ending.left).contains(&buffer.filled().len()) => {
                    ending.left -= buffer.filled().len();
                    ending.silent = (this.clock.now() + SILENCE).min(ending.at_last);
                }
                // Closed, or reset: it has all, or wants no more. Or it sends more than it may.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::poll_fn, rc::Rc, task::Waker};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A clock that is set.
    struct Set(Rc<Cell<Instant>>);

    impl Clock for Set {
        fn now(&self) -> Instant {
            self.0.get()
        }

        fn poll_until(&mut self, until: Instant, _: &mut Context<'_>) -> Poll<()> {
            if self.now() < until { Poll::Pending } else { Poll::Ready(()) }
        }
    }

    /// After how many seconds a connection has ended whose client does something in each; 100 if it has not.
    fn waited(mut client_does: impl FnMut(Pin<&mut DuplexStream>, &mut Context<'_>)) -> u64 {
        let (mut client, server) = duplex(1024);
        let time = Rc::new(Cell::new(Instant::now()));
        let mut server = Lingering { io: server, clock: Set(time.clone()), ending: None };
        let context = &mut Context::from_waker(Waker::noop());
        for seconds in 0..100 {
            if let Poll::Ready(ended) = Pin::new(&mut server).poll_shutdown(context) {
                ended.unwrap();
                return seconds;
            }
            client_does(Pin::new(&mut client), context);
            time.set(time.get() + Duration::from_secs(1));
        }
        100
    }

    /// Sends blocks of 1 KiB until they are no longer taken. How many were.
    async fn taken(mut client: impl AsyncWrite + Unpin, most: usize) -> usize {
        for sent in 0..most {
            if client.write_all(&[0; 1024]).await.is_err() {
                return sent;
            }
        }
        most
    }

    #[tokio::test]
    async fn what_comes_after_the_end_is_thrown_away_up_to_a_bound() {
        let (client, server) = duplex(1024);
        let ended = tokio::spawn(async move { Lingering::new(server).shutdown().await });
        let blocks = taken(client, 10_000).await;
        ended.await.unwrap().unwrap();
        assert!((256..=MOST / 1024 + 1).contains(&blocks), "{blocks} KiB");
    }

    #[test]
    fn a_client_that_stays_silent_and_one_that_trickles_are_waited_for_so_long_alone() {
        assert_eq!(waited(|_, _| {}), SILENCE.as_secs());
        let trickle = |client: Pin<&mut DuplexStream>, context: &mut Context<'_>| {
            assert!(matches!(client.poll_write(context, &[0]), Poll::Ready(Ok(1))));
        };
        assert_eq!(waited(trickle), LONGEST.as_secs());
    }

    #[tokio::test]
    async fn the_timer_wakes_when_it_was_last_told_to() {
        let (mut timer, began) = (Timer::default(), Instant::now());
        let (soon, later) = (began + Duration::from_millis(20), began + Duration::from_millis(60));
        let told = async {
            assert!(
                poll_fn(|context| Poll::Ready(timer.poll_until(began + LONGEST, context))).await.is_pending()
            );
            poll_fn(|context| timer.poll_until(soon, context)).await;
            assert!(timer.now() >= soon);
            poll_fn(|context| timer.poll_until(later, context)).await;
            assert!(timer.now() >= later);
        };
        tokio::time::timeout(SILENCE, told).await.unwrap();
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
