//! All of it for one issuer: cache, keys, their refreshing, revocations.

use std::sync::Arc;

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
/// withdrawn keys count each time.
#[derive(Debug)]
pub struct Guard {
    expected: Expected,
    refresh: Refresh,
    cache: Cache,
    /// What is revoked.
    pub revocations: Revocations,
}

impl Guard {
    /// Without keys yet.
    pub const fn new(expected: Expected, times: Times, cache: Cache, revocations: Revocations) -> Self {
        Self { expected, refresh: Refresh::new(times), cache, revocations }
    }

    /// Judges a token. `now` is in seconds since the Unix epoch.
    pub fn judge(&mut self, token: &str, now: u64) -> Judged {
        let due = self.refresh.due(now);
        let Some(keys) = self.refresh.keys(now).cloned() else {
            return Judged { answer: Err(Problem::KeysUnavailable), fetch: due };
        };
        let answer = self.look(token, &keys, now);
        let unknown = matches!(answer, Err(Problem::KeyUnknown));
        let fetch = due.or_else(|| if unknown { self.refresh.unknown(now) } else { None });
        Judged { answer, fetch }
    }

    fn look(&mut self, token: &str, keys: &KeySet, now: u64) -> Result<Arc<Verified>, Problem> {
        if let Some(verified) = self.cache.get(token, now) {
            let still = if keys.contains(&verified.key) {
                self.revocations.check(&verified)
            } else {
                Err(Problem::KeyUnknown)
            };
            return match still {
                Ok(()) => Ok(verified),
                Err(problem) => {
                    self.cache.remove(token);
                    Err(problem)
                }
            };
        }
        let verified = Arc::new(verify(token, keys, &self.expected, now)?);
        self.revocations.check(&verified)?;
        // Within the leeway it would be forgotten at the next question.
        if now < verified.expires {
            self.cache.insert(token, Arc::clone(&verified));
        }
        Ok(verified)
    }

    /// When, and whether, keys are fetched: to be told what came of each [`Fetch`].
    pub const fn refresh(&mut self) -> &mut Refresh {
        &mut self.refresh
    }

    /// The tokens that are remembered.
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }
}
