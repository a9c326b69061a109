//! Clients that ask for what they are to get, beside an attack.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    LASTS,
    servers::{Proxy, wait_until},
};

/// How long a client waits for an answer. Beyond that it has not been served.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients, and how often each asks.
const CLIENTS: usize = 4;
const EVERY: Duration = Duration::from_millis(20);

/// What these clients have seen.
#[derive(Default)]
pub(crate) struct Seen {
    took: Vec<Duration>,
    pub(crate) failed: usize,
    /// The first failure.
    pub(crate) first: Option<String>,
    /// KiB that the proxy had in memory at the most.
    pub(crate) resident: usize,
    /// Descriptors that it had at the most: connections in front and behind.
    pub(crate) descriptors: usize,
}

impl Seen {
    pub(crate) fn served(&self) -> usize {
        self.took.len()
    }

    pub(crate) fn percentile(&self, of: usize) -> Duration {
        let last = self.took.len().saturating_sub(1);
        self.took.get(last.min(self.took.len() * of / 100)).copied().unwrap_or(Duration::MAX)
    }

    /// Requests, the share of them that was served, milliseconds, MiB and descriptors.
    pub(crate) fn row(&self) -> String {
        let all = self.served() + self.failed;
        let milliseconds = |of| self.percentile(of).as_secs_f64() * 1000.0;
        format!(
            "{} | {:.1} % | {:.1} | {:.1} | {} | {}",
            all,
            self.served() as f64 * 100.0 / all.max(1) as f64,
            milliseconds(50),
            milliseconds(99),
            self.resident >> 10,
            self.descriptors,
        )
    }
}

/// Runs an attack until its time is over, with others beside it. The attack asks whether it is to stop once it is under way.
pub(crate) fn watch(proxy: &Proxy, attack: impl FnOnce(&dyn Fn() -> bool) + Send) -> Seen {
    let (begun, over, seen) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::new(Seen::default()));
    // Who asks for the first time is under way.
    let stop = || {
        begun.store(true, Ordering::Relaxed);
        over.load(Ordering::Relaxed)
    };
    thread::scope(|scope| {
        let attacking = scope.spawn(|| attack(&stop));
        wait_until("the attack", || begun.load(Ordering::Relaxed) || attacking.is_finished());
        thread::sleep(Duration::from_millis(100));
        let end = Instant::now() + LASTS;
        let others: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn({
                    let seen = &seen;
                    move || client(proxy, number, end, seen)
                })
            })
            .collect();
        while Instant::now() < end {
            let (resident, descriptors) = (resident(proxy), descriptors(proxy));
            let mut seen = seen.lock().unwrap();
            seen.resident = seen.resident.max(resident);
            seen.descriptors = seen.descriptors.max(descriptors);
            drop(seen);
            thread::sleep(Duration::from_millis(20));
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        over.store(true, Ordering::Relaxed);
        attacking.join().unwrap();
    });
    let mut seen = seen.into_inner().unwrap();
    seen.took.sort_unstable();
    seen
}

fn descriptors(proxy: &Proxy) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", proxy.process.0.id())).unwrap().count()
}

/// KiB.
fn resident(proxy: &Proxy) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.process.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Half of them keep their connections, half come anew each time; they ask for pages and send JSON in turn.
fn client(proxy: &Proxy, number: usize, end: Instant, seen: &Mutex<Seen>) {
    let body = r#"{"name":"O'Neil","tags":["a","b"],"n":12}"#;
    let post = format!(
        "POST /items HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let get = "GET /items?page=2 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let (mut kept, mut turn) = (None, number);
    while Instant::now() < end {
        let text = if turn.is_multiple_of(2) { &get } else { &post };
        turn += 1;
        let began = Instant::now();
        let asked = ask(proxy, kept.take(), text);
        let mut seen = seen.lock().unwrap();
        match asked {
            Ok(stream) => {
                seen.took.push(began.elapsed());
                kept = Some(stream).filter(|_| number.is_multiple_of(2));
            }
            Err(why) => {
                seen.failed += 1;
                seen.first.get_or_insert(why);
            }
        }
        drop(seen);
        thread::sleep(EVERY);
    }
}

/// One request, on a connection or a new one.
fn ask(proxy: &Proxy, stream: Option<TcpStream>, text: &str) -> Result<TcpStream, String> {
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok::<_, std::io::Error>(stream)
    };
    let mut stream = stream.map_or_else(connect, Ok).map_err(|error| error.to_string())?;
    stream.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        let mut step = [0; 1024];
        match stream.read(&mut step) {
            Ok(read @ 1..) => answer.extend_from_slice(&step[..read]),
            other => return Err(format!("{other:?} behind {}", String::from_utf8_lossy(&answer))),
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(stream)
    } else {
        Err(String::from_utf8_lossy(&answer).into_owned())
    }
}
