//! Connections to the control socket: so many at once, and none that keeps its place without saying anything.
//!
//! Only root and the agent's user may connect at all; what this is against is a script that has gone wrong, and whatever else
//! leaves connections open until nobody can ask the agent anything.

use std::{io, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

use super::lists::Who;

/// Connections at once; those beyond wait in the kernel's queue.
pub const MOST: usize = 64;
/// How long a request's head may take, and how long a connection may wait for the next request.
pub const HEAD: Duration = Duration::from_secs(10);
/// How long a request's body may take.
pub const BODY: Duration = Duration::from_secs(30);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// User of the process that connected, as the kernel says; `None` if it did not.
    pub(super) uid: Option<u32>,
}

impl Peer {
    pub(super) fn who(self) -> Who {
        Who { uid: self.uid }
    }

    fn of(stream: &UnixStream) -> Self {
        Self { uid: stream.peer_cred().ok().map(|credentials| credentials.uid()) }
    }
}

/// Serves until `stop` is ready; requests under way are finished.
pub(super) async fn serve(listener: UnixListener, router: Router, stop: impl Future<Output = ()> + Send) {
    let (room, graceful) = (Arc::new(Semaphore::new(MOST)), GracefulShutdown::new());
    let mut stop = std::pin::pin!(stop);
    loop {
        // The semaphore is never closed; without a permit the connection would only go uncounted.
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit.ok(),
            () = &mut stop => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    wait_after(&error).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let service = router.clone().layer(Extension(ConnectInfo(Peer::of(&stream))));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Who has said all that there is to say may still want the answer.
            .half_close(true)
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a control connection: {error}");
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// A connection that is gone by the time it is accepted is nothing; without descriptors or memory, the next would fail as well.
async fn wait_after(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::warn!("cannot accept a control connection: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
