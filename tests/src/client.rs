//! A legitimate HTTP client: a steady rate of requests, every other one over a new connection.
//!
//! The load is open: a request begins when it is due, whatever became of those before it. A client that waited for each answer would send less the worse it is served, and report a fraction of the harm.

use std::{
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    netns::{self, Namespace},
    nginx::BODY,
};

/// What the client does.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Where it sends its requests.
    pub server: SocketAddr,
    /// Requests a second, half of them each over a new connection, half over connections that are kept.
    pub rate: u32,
    /// How long a request may take, the connection included; after that it has failed.
    pub timeout: Duration,
}

/// What became of the requests.
#[derive(Clone, Default, Debug)]
pub struct Served {
    /// Requests that came to an end, one way or the other.
    pub attempted: u64,
    /// Requests that were answered in full within the timeout.
    pub succeeded: u64,
    /// What went wrong with the others, by what the client saw.
    pub failures: std::collections::BTreeMap<String, u64>,
    /// Milliseconds from the beginning of a request to its answer or its failure, sorted.
    latencies: Vec<f64>,
}

impl Served {
    /// The part of the requests that succeeded, 0 to 1; 1 if there were none.
    pub fn success(&self) -> f64 {
        if self.attempted == 0 { 1.0 } else { self.succeeded as f64 / self.attempted as f64 }
    }

    /// How long the given part (0 to 1) of the requests took at most, in milliseconds. Failed ones count with the time
    /// that was spent waiting for them. `None` if there were none.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let last = self.latencies.len().checked_sub(1)?;
        self.latencies.get((last as f64 * part).round() as usize).copied()
    }

    /// Adds what became of other requests.
    pub fn add(&mut self, other: Self) {
        self.attempted += other.attempted;
        self.succeeded += other.succeeded;
        for (error, requests) in other.failures {
            *self.failures.entry(error).or_default() += requests;
        }
        self.latencies.extend(other.latencies);
        self.latencies.sort_by(f64::total_cmp);
    }

    fn count(&mut self, latency: Duration, result: Result<(), String>) {
        self.attempted += 1;
        match result {
            Ok(()) => self.succeeded += 1,
            Err(error) => *self.failures.entry(error).or_default() += 1,
        }
        self.latencies.push(latency.as_secs_f64() * 1e3);
    }
}

/// A client at work. It ends when this is dropped.
#[derive(Debug)]
pub struct Working {
    stop: Arc<AtomicBool>,
    served: Arc<Mutex<Served>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Client {
    /// Begins, in a namespace, on a thread of its own.
    ///
    /// # Errors
    ///
    /// When no thread can be had.
    pub fn start(self, namespace: &Namespace) -> Result<Working> {
        let inside = namespace.handle()?;
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(Mutex::new(Served::default()));
        let shared = (Arc::clone(&stop), Arc::clone(&served));
        let thread = thread::Builder::new().name("client".to_owned()).spawn(move || {
            netns::enter(inside.as_raw_fd()).context("cannot enter the client's namespace")?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(self.work(&shared.0, &shared.1));
            Ok(())
        })?;
        Ok(Working { stop, served, thread: Some(thread) })
    }

    async fn work(self, stop: &AtomicBool, served: &Arc<Mutex<Served>>) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let mut requests = JoinSet::new();
        let mut due = time::interval(Duration::from_secs(1) / self.rate);
        let mut new = false;
        while !stop.load(Ordering::Relaxed) {
            due.tick().await;
            let (kept, served) = (Arc::clone(&kept), Arc::clone(served));
            requests.spawn(async move {
                let begin = Instant::now();
                let connections = if new { None } else { Some(&*kept) };
                let request = self.request(connections);
                let result = time::timeout_at(begin + self.timeout, request).await;
                let result = result.unwrap_or_else(|_| Err("timeout".to_owned()));
                lock(&served).count(begin.elapsed().min(self.timeout), result);
            });
            while requests.try_join_next().is_some() {}
            new = !new;
        }
        // What has begun is finished: a request cut off by the end is nobody's failure.
        while requests.join_next().await.is_some() {}
    }

    /// One request: over a kept connection, which goes back if all is well, or over a new one.
    async fn request(self, kept: Option<&Mutex<Vec<TcpStream>>>) -> Result<(), String> {
        let idle = kept.and_then(|kept| lock(kept).pop());
        let mut stream = match idle {
            Some(stream) => stream,
            None => {
                TcpStream::connect(self.server).await.map_err(|error| format!("connect: {}", error.kind()))?
            }
        };
        self.exchange(&mut stream, kept.is_some())
            .await
            .map_err(|error| format!("exchange: {}", error.kind()))?;
        if let Some(kept) = kept {
            lock(kept).push(stream);
        }
        Ok(())
    }

    async fn exchange(self, stream: &mut TcpStream, keep: bool) -> std::io::Result<()> {
        let connection = if keep { "keep-alive" } else { "close" };
        let request =
            format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: {connection}\r\n\r\n", self.server.ip());
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(512);
        // nginx sends this body with its length: the answer has ended where the body has.
        while !answer.ends_with(BODY.as_bytes()) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        if answer.starts_with(b"HTTP/1.1 200 ") {
            Ok(())
        } else {
            Err(std::io::ErrorKind::InvalidData.into())
        }
    }
}

impl Working {
    /// What has become of the requests since the last call, or since the beginning.
    pub fn take(&self) -> Served {
        let mut served = std::mem::take(&mut *lock(&self.served));
        served.latencies.sort_by(f64::total_cmp);
        served
    }

    /// Ends when the last request has, and says what became of them since the last [`Self::take`].
    ///
    /// # Errors
    ///
    /// When the client could not work at all.
    pub fn stop(mut self) -> Result<Served> {
        self.end()?;
        Ok(self.take())
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// A panic elsewhere leaves counts that are as good as before.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_latencies() {
        let served = Served { latencies: (0..101).map(f64::from).collect(), ..Served::default() };
        assert_eq!((served.quantile(0.5), served.quantile(0.99)), (Some(50.0), Some(99.0)));
        assert_eq!(Served::default().quantile(0.5), None);
        assert_eq!(Served::default().success(), 1.0);
    }

    #[test]
    fn a_failure_counts_as_attempted_only() {
        let mut served = Served::default();
        served.count(Duration::from_millis(1), Ok(()));
        served.count(Duration::from_secs(1), Err("timeout".to_owned()));
        assert_eq!((served.attempted, served.succeeded, served.success()), (2, 1, 0.5));
        assert_eq!(served.failures["timeout"], 1);
    }
}
