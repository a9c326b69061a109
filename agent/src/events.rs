//! Sampled drops: read from the kernel's ring buffer, kept for a while, and added up by source.

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use stopbank_common::event::Event;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::broadcast,
};

use crate::{control::api::EventStatus, datapath::EventReader, top::Top};

/// Sources that are counted at once.
const SOURCES: usize = 1_024;
/// Events that are kept.
const KEPT: usize = 1_024;
/// Time over which what was lost is compared with what was read.
const MINUTE: Duration = Duration::from_secs(60);
/// Events read before other work gets its turn.
const BATCH: usize = 256;

/// What is remembered of the drops that the kernel reported.
#[derive(Debug)]
pub struct EventLog {
    inner: Mutex<Inner>,
    /// One ring for all who follow: a slow one misses what is overwritten.
    followers: broadcast::Sender<Event>,
}

#[derive(Debug)]
struct Inner {
    received: u64,
    latest: VecDeque<Event>,
    sources: Top<IpAddr, Event>,
    /// What had been received and lost, about once a second, over the last minute.
    minute: VecDeque<(Instant, u64, u64)>,
}

impl Default for EventLog {
    fn default() -> Self {
        let inner = Inner {
            received: 0,
            latest: VecDeque::new(),
            sources: Top::new(SOURCES),
            minute: VecDeque::new(),
        };
        Self { inner: Mutex::new(inner), followers: broadcast::Sender::new(KEPT) }
    }
}

impl EventLog {
    /// Takes in an event.
    pub fn push(&self, event: Event) {
        let mut inner = self.lock();
        inner.received += 1;
        if inner.latest.len() == KEPT {
            inner.latest.pop_front();
        }
        inner.latest.push_back(event);
        inner.sources.see(event.source.into(), event, Duration::from_nanos(event.time_ns));
        drop(inner);
        // An error means that nobody follows.
        let _ = self.followers.send(event);
    }

    /// Events from now on. Whoever reads more slowly than they come is told how many were missed.
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.followers.subscribe()
    }

    /// Notes how many events the kernel has lost by `now`. To be called about once a second.
    pub fn note(&self, now: Instant, lost: u64) {
        let mut inner = self.lock();
        while inner.minute.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) > MINUTE) {
            inner.minute.pop_front();
        }
        let received = inner.received;
        inner.minute.push_back((now, received, lost));
    }

    /// How it stands, where the kernel has lost so many.
    pub fn status(&self, lost: u64) -> EventStatus {
        let inner = self.lock();
        let received = inner.received;
        let (earlier_received, earlier_lost) =
            inner.minute.front().map_or((received, lost), |(_, received, lost)| (*received, *lost));
        EventStatus {
            received,
            lost,
            received_last_minute: received.saturating_sub(earlier_received),
            lost_last_minute: lost.saturating_sub(earlier_lost),
        }
    }

    /// Events taken in so far.
    pub fn received(&self) -> u64 {
        self.lock().received
    }

    /// The latest events, the newest first.
    pub fn latest(&self, limit: usize) -> Vec<Event> {
        self.lock().latest.iter().rev().take(limit).copied().collect()
    }

    /// The sources most seen, each with its part of all events and its last one.
    pub fn sources(&self, limit: usize) -> Vec<(IpAddr, f64, Event)> {
        self.lock()
            .sources
            .most(limit)
            .into_iter()
            .map(|(source, share, event)| (*source, share, *event))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every write above leaves the log whole, whatever else panicked.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads events for as long as the task lives.
///
/// # Errors
///
/// What the system says of the ring buffer's descriptor.
#[expect(unsafe_code, reason = "tokio cannot see that the reader keeps its descriptor")]
pub async fn read(reader: EventReader, log: &EventLog) -> io::Result<()> {
    // SAFETY: the reader owns its descriptor, gives the same one each time, and closes it only when it is dropped.
    let mut ring = unsafe { AsyncFd::register_with_interest(reader, Interest::READABLE) }?;
    loop {
        let mut ready = ring.readable_mut().await?;
        let reader = ready.get_inner_mut();
        let mut read = 0;
        while read < BATCH
            && let Some(event) = reader.next_event()
        {
            log.push(event);
            read += 1;
        }
        if read < BATCH {
            ready.clear_ready();
            // The ring signals what comes after it was found empty; look once more, or an event that came in between
            // would wait for the next one.
            if let Some(event) = ring.get_mut().next_event() {
                log.push(event);
            }
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_knows_the_loudest_source() {
        let log = EventLog::default();
        for i in 0..10_000_u32 {
            let quiet = IpAddr::from([10, 0, (i >> 8) as u8, i as u8]);
            let source = if i % 3 == 0 { IpAddr::from([192, 0, 2, 1]) } else { quiet };
            log.push(Event { source: source.into(), time_ns: u64::from(i), ..Event::default() });
        }
        assert_eq!((log.received(), log.latest(usize::MAX).len()), (10_000, KEPT));
        assert_eq!(log.latest(1)[0].time_ns, 9_999);
        let (source, share, _) = log.sources(1)[0];
        assert_eq!(source, IpAddr::from([192, 0, 2, 1]));
        assert!((0.32..0.35).contains(&share), "{share}");
    }

    #[test]
    fn losses_are_those_of_the_last_minute_and_followers_miss_what_they_do_not_read() {
        let (log, start) = (EventLog::default(), Instant::now());
        let mut follower = log.follow();
        for second in 0..120 {
            log.push(Event { time_ns: second, ..Event::default() });
            // The kernel loses ten events in each of the first sixty seconds.
            log.note(start + Duration::from_secs(second), 10 * second.min(59));
        }
        let status = log.status(590);
        assert_eq!((status.received, status.lost), (120, 590));
        assert_eq!((status.received_last_minute, status.lost_last_minute), (60, 0));
        for event in 0..KEPT as u64 {
            log.push(Event { time_ns: 120 + event, ..Event::default() });
        }
        assert_eq!(follower.try_recv(), Err(broadcast::error::TryRecvError::Lagged(120)));
        assert_eq!(follower.try_recv().map(|event| event.time_ns), Ok(120));
    }
}
