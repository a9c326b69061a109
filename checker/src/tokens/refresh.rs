//! When the keys of an issuer are fetched again: a state machine without clock and without network. Who calls it says what time it is, fetches
//! where it is told to, and says what came of it.
//!
//! One fetch at a time; none for an unknown key within the cool-down, however many tokens name one; the keys that were there are used
//! while fetching fails, but not for ever.

use std::sync::Arc;

use super::KeySet;

/// How old keys may become, in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// After this, they are fetched again.
    pub fresh: u64,
    /// So long after that they are still used, where fetching fails. A key that the issuer withdraws is trusted for `fresh` and this at most.
    pub stale: u64,
    /// Least time between two fetches for names of keys that are unknown.
    pub cool_down: u64,
    /// Time to the next try behind one that failed. It doubles with each, up to `fresh`, or to `cool_down` where no keys are left.
    pub retry: u64,
    /// A fetch that has said nothing for so long is given up.
    pub timeout: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { fresh: 300, stale: 3_600, cool_down: 30, retry: 5, timeout: 10 }
    }
}

/// A fetch that is to be made. What comes of it is told with it, so that an answer that comes too late is not taken for another's.
#[derive(Debug)]
#[must_use = "nothing is fetched until the caller does it"]
pub struct Fetch(u64);

/// The keys of one issuer, and when they are fetched.
#[derive(Debug)]
pub struct Refresh {
    times: Times,
    keys: Option<Arc<KeySet>>,
    /// When the keys came.
    fetched: u64,
    /// No fetch before this.
    next: u64,
    /// No fetch for an unknown key before this.
    next_unknown: u64,
    failures: u32,
    /// When the fetch began that is under way.
    under_way: Option<u64>,
    /// Number of the latest fetch.
    latest: u64,
}

impl Refresh {
    /// Without keys: the first [`due`](Self::due) asks for a fetch.
    pub const fn new(times: Times) -> Self {
        Self {
            times,
            keys: None,
            fetched: 0,
            next: 0,
            next_unknown: 0,
            failures: 0,
            under_way: None,
            latest: 0,
        }
    }

    /// The keys, unless there are none, or they are too old to be trusted.
    pub fn keys(&self, now: u64) -> Option<&Arc<KeySet>> {
        self.keys.as_ref().filter(|_| now < self.end())
    }

    /// When the keys that are there are too old.
    const fn end(&self) -> u64 {
        self.fetched.saturating_add(self.times.fresh).saturating_add(self.times.stale)
    }

    /// A fetch, if it is time for one. To be asked whenever keys are needed, and every few seconds.
    pub fn due(&mut self, now: u64) -> Option<Fetch> {
        self.look_at_clock(now);
        if now >= self.next { self.begin(now) } else { None }
    }

    /// A fetch, where a token names a key that is not there and none was fetched lately.
    pub fn unknown(&mut self, now: u64) -> Option<Fetch> {
        self.look_at_clock(now);
        if now >= self.next_unknown { self.begin(now) } else { None }
    }

    /// A fetch has brought keys. Whether they are those that count now: not, where its fetch was given up before.
    pub fn succeeded(&mut self, fetch: Fetch, keys: KeySet, now: u64) -> bool {
        if !self.ends(fetch) {
            return false;
        }
        self.keys = Some(Arc::new(keys));
        self.fetched = now;
        self.failures = 0;
        self.next = now.saturating_add(self.times.fresh);
        true
    }

    /// A fetch has failed: no connection, another status, no set that can be used.
    pub fn failed(&mut self, fetch: Fetch, now: u64) {
        if self.ends(fetch) {
            self.put_off(now);
        }
    }

    /// Keys that came unasked: out of a file that has changed.
    pub fn put(&mut self, keys: KeySet, now: u64) {
        self.under_way = None;
        self.keys = Some(Arc::new(keys));
        self.fetched = now;
        self.failures = 0;
        self.next = now.saturating_add(self.times.fresh);
    }

    /// Whether a fetch is under way, so that there may be other keys in a moment.
    pub const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// When [`due`](Self::due) has something to say again.
    pub const fn next(&self) -> u64 {
        self.next
    }

    fn begin(&mut self, now: u64) -> Option<Fetch> {
        if let Some(began) = self.under_way {
            if now < began.saturating_add(self.times.timeout) {
                return None;
            }
            // It is given up, and its answer, if one comes, is no longer heard.
            self.under_way = None;
            self.put_off(now);
        }
        self.latest += 1;
        self.under_way = Some(now);
        self.next_unknown = now.saturating_add(self.times.cool_down);
        Some(Fetch(self.latest))
    }

    fn ends(&mut self, Fetch(number): Fetch) -> bool {
        let is_latest = number == self.latest && self.under_way.is_some();
        if is_latest {
            self.under_way = None;
        }
        is_latest
    }

    fn put_off(&mut self, now: u64) {
        let factor = 1_u64.checked_shl(self.failures.min(32)).unwrap_or(u64::MAX);
        let wait = self.times.retry.max(1).saturating_mul(factor).min(self.times.fresh.max(1));
        self.failures = self.failures.saturating_add(1);
        // Without keys everybody is refused: an issuer that is back must not wait for a try that was put off while there were some.
        let end = self.keys.as_ref().map_or(0, |_| self.end());
        self.next = now.saturating_add(wait).min(end.max(now.saturating_add(self.times.cool_down.max(1))));
    }

    /// A clock that was put back must not put the next fetch off by as much, nor make keys young again for long.
    fn look_at_clock(&mut self, now: u64) {
        self.fetched = self.fetched.min(now);
        self.next = self.next.min(now.saturating_add(self.times.fresh.max(1)));
        self.next_unknown = self.next_unknown.min(now.saturating_add(self.times.cool_down));
        self.under_way = self.under_way.map(|began| began.min(now));
    }
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
