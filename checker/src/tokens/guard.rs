//! All of it for one issuer: cache, keys, their refreshing, revocations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Cache, Expected, Fetch, KeySet, Problem, Refresh, Revocations, Times, Verified, verify};

/// What was said of a token, and what is to be done for the next ones.
#[derive(Debug)]
pub struct Judged {
    /// The token, or why it is refused.
    pub answer: Result<Arc<Verified>, Problem>,
    /// Keys that are to be fetched. The answer does not wait for them: who holds it back until they are there may judge the token again.
    pub fetch: Option<Fetch>,
}

/// Judges the tokens of one issuer. What it says of a token that was seen before is what it would say of a new one: expiry, revocation and
/// withdrawn keys count each time. Signatures are verified without any lock, so that threads do not wait for each other's.
#[derive(Debug)]
pub struct Guard {
    expected: Expected,
    refresh: Mutex<Refresh>,
    cache: Mutex<Cache>,
    revocations: Mutex<Revocations>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a thread that has panicked left behind is whole: each change is one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    /// Without keys yet.
    pub const fn new(expected: Expected, times: Times, cache: Cache, revocations: Revocations) -> Self {
        Self {
            expected,
            refresh: Mutex::new(Refresh::new(times)),
            cache: Mutex::new(cache),
            revocations: Mutex::new(revocations),
        }
    }

    /// Judges a token. `now` is in seconds since the Unix epoch.
    pub fn judge(&self, token: &str, now: u64) -> Judged {
        self.recall(token, now).unwrap_or_else(|| self.by_keys(now, |keys| self.first(token, keys, now)))
    }

    /// Judges a token that was verified before, without reading it; `None` where it was not, or is forgotten. What is remembered is of this issuer.
    pub fn recall(&self, token: &str, now: u64) -> Option<Judged> {
        let verified = lock(&self.cache).get(token, now)?;
        Some(self.by_keys(now, |keys| {
            let still = if keys.contains(&verified.key) {
                lock(&self.revocations).check(&verified)
            } else {
                Err(Problem::KeyUnknown)
            };
            if still.is_err() {
                lock(&self.cache).remove(token);
            }
            still.map(|()| verified)
        }))
    }

    /// What the keys that count say, and whether others are to be fetched.
    fn by_keys(&self, now: u64, answer: impl FnOnce(&KeySet) -> Result<Arc<Verified>, Problem>) -> Judged {
        let (due, keys) = {
            let mut refresh = lock(&self.refresh);
            (refresh.due(now), refresh.keys(now).cloned())
        };
        let Some(keys) = keys else {
            return Judged { answer: Err(Problem::KeysUnavailable), fetch: due };
        };
        let answer = answer(&keys);
        let unknown = matches!(answer, Err(Problem::KeyUnknown));
        let fetch = due.or_else(|| if unknown { lock(&self.refresh).unknown(now) } else { None });
        Judged { answer, fetch }
    }

    /// Verifies a token, and remembers it.
    fn first(&self, token: &str, keys: &KeySet, now: u64) -> Result<Arc<Verified>, Problem> {
        let verified = Arc::new(verify(token, keys, &self.expected, now)?);
        lock(&self.revocations).check(&verified)?;
        // Within the leeway it would be forgotten at the next question.
        if now < verified.expires {
            lock(&self.cache).insert(token, Arc::clone(&verified));
        }
        Ok(verified)
    }

    /// When, and whether, keys are fetched: to be told what came of each [`Fetch`].
    pub fn refresh(&self) -> MutexGuard<'_, Refresh> {
        lock(&self.refresh)
    }

    /// The tokens that are remembered.
    pub fn cache(&self) -> MutexGuard<'_, Cache> {
        lock(&self.cache)
    }

    /// What is revoked.
    pub fn revocations(&self) -> MutexGuard<'_, Revocations> {
        lock(&self.revocations)
    }
}
