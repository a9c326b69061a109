//! Brakes on guessing: failures make the next attempt wait, longer each time.
//!
//! Three things are counted. How often one *origin* (a device's cookie, a certificate, an address's prefix) failed at one account: these waits grow long. How often
//! *strangers* failed at one account, whoever they are: that holds those who guess from many origins, and its waits stay short. How
//! often one *credential* failed, at whichever account: that holds those who try one password everywhere.
//!
//! None of it is a means to lock somebody out. An origin from which an account was entered before is no stranger to it: it waits for its own failures only, whatever
//! others do to the account. Strangers wait no longer than a bound that is meant to be short. Attempts that have to wait are not judged, and not
//! counted: they cannot make the wait longer. An attempt is counted when it begins and taken back when it succeeds, so that many at once find
//! out no more than one after another.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::Deserialize;

use super::{
    Health,
    table::{Key, State, Table},
};

/// How a brake works.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrakeRule {
    /// Failures that cost no wait.
    pub free: u32,
    /// The first wait, in seconds; each further one is twice as long.
    pub first_seconds: u32,
    /// The longest wait of one origin at one account, and of one credential, in seconds.
    pub most_seconds: u32,
    /// The longest wait of strangers at one account, in seconds. Whoever guesses has one attempt in each.
    pub strangers_most_seconds: u32,
    /// Failures of strangers at one account, and of a credential, that cost no wait: several people may use one.
    pub shared_free: u32,
    /// After which time without failures they are forgotten, in seconds.
    pub forget_seconds: u32,
    /// For how long an origin is known after a success, in seconds.
    pub known_seconds: u32,
    /// How many accounts, credentials and origins are kept apart, of each.
    pub identities: usize,
}

impl Default for BrakeRule {
    /// By strangers an account is tried 2,880 times a day at most.
    fn default() -> Self {
        Self {
            free: 4,
            first_seconds: 1,
            most_seconds: 900,
            strangers_most_seconds: 30,
            shared_free: 10,
            forget_seconds: 86_400,
            known_seconds: 90 * 86_400,
            identities: 1 << 16,
        }
    }
}

/// An attempt to prove that one is somebody.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Who one says to be.
    pub account: &'a [u8],
    /// From where, by something that others cannot claim. `None`: all of those are one stranger.
    pub origin: Option<&'a [u8]>,
    /// By what, if that is to be counted: a password. Only a keyed hash of it is kept.
    pub credential: Option<&'a [u8]>,
}

/// How long an attempt has to wait. It must not be judged before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delay(pub Duration);

/// Counts failures. May be used by many threads at once.
pub struct Brake {
    rule: BrakeRule,
    pairs: Table<Failures>,
    accounts: Table<Failures>,
    credentials: Table<Failures>,
    known: Table<Known>,
    attempts: AtomicU64,
    delayed: AtomicU64,
}

impl BrakeRule {
    /// Bytes that its tables take, whatever is in them.
    pub fn memory(&self) -> usize {
        let failures = Table::<Failures>::memory_for(self.identities);
        failures.saturating_mul(3).saturating_add(Table::<Known>::memory_for(self.identities))
    }
}

/// How often it failed, and until when that counts.
#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    /// The last attempt, and until when the count is kept: nanoseconds.
    last: u64,
    kept: u64,
}

impl State for Failures {
    fn rank(&self, now: u64) -> Option<(u64, u64)> {
        (self.count > 0 && self.kept > now).then_some((u64::from(self.count), self.last))
    }
}

/// Until when an origin is known to an account, in nanoseconds.
#[derive(Clone, Copy, Default)]
struct Known(u64);

impl State for Known {
    fn rank(&self, now: u64) -> Option<(u64, u64)> {
        (self.0 > now).then_some((self.0, 0))
    }
}

/// How failures of one kind are answered.
#[derive(Clone, Copy)]
struct Steps {
    free: u32,
    most: u32,
}

impl Brake {
    /// `key` is random, and secret.
    pub fn new(rule: BrakeRule, key: Key) -> Self {
        let (pairs, accounts, credentials) = (
            Table::new(key, "brake/pair", rule.identities),
            Table::new(key, "brake/account", rule.identities),
            Table::new(key, "brake/credential", rule.identities),
        );
        let known = Table::new(key, "brake/known", rule.identities);
        let (attempts, delayed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { rule, pairs, accounts, credentials, known, attempts, delayed }
    }

    /// Bytes of the tables, whatever is in them.
    pub fn memory(&self) -> usize {
        self.pairs.memory() + self.accounts.memory() + self.credentials.memory() + self.known.memory()
    }

    /// Asks whether an attempt may be judged now, and counts it as failed if so.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub fn begin(&self, attempt: &Attempt<'_>, now: Duration) -> Result<(), Delay> {
        let begun = self.begin_at(attempt, now);
        let counter = if begun.is_ok() { &self.attempts } else { &self.delayed };
        counter.fetch_add(1, Ordering::Relaxed);
        begun
    }

    /// How it is doing: admitted are attempts, refused those that had to wait. Looks at every slot of its tables.
    pub fn health(&self, now: Duration) -> Health {
        let now = nanoseconds(now);
        let mut health = Health {
            admitted: self.attempts.load(Ordering::Relaxed),
            refused: self.delayed.load(Ordering::Relaxed),
            ..Health::default()
        };
        let (pairs, accounts) = (&self.pairs, &self.accounts);
        let tables = [(pairs.state(), pairs.occupied(now)), (accounts.state(), accounts.occupied(now))];
        let (credentials, known) = (&self.credentials, &self.known);
        let others = [(credentials.state(), credentials.occupied(now)), (known.state(), known.occupied(now))];
        for (table, occupied) in tables.into_iter().chain(others) {
            health.forgotten += table.forgotten;
            health.memory += table.memory as u64;
            health.room += table.room as u64;
            health.occupied += occupied as u64;
        }
        health
    }

    fn begin_at(&self, attempt: &Attempt<'_>, now: Duration) -> Result<(), Delay> {
        let now = nanoseconds(now);
        let pair = pair(attempt);
        let own = Steps { free: self.rule.free, most: self.rule.most_seconds };
        if self.is_known(&pair, attempt, now) {
            return self.count(&self.pairs, &pair, own, now).map(|_| ());
        }
        // What has been counted is taken back if one of the others makes it wait.
        let mut counted: Vec<(&Table<Failures>, &[u8], Failures)> = Vec::with_capacity(3);
        let shared = Steps { free: self.rule.shared_free, most: self.rule.strangers_most_seconds };
        let tried = Steps { free: self.rule.shared_free, most: self.rule.most_seconds };
        let asked = [
            Some((&self.accounts, attempt.account, shared)),
            attempt.credential.map(|credential| (&self.credentials, credential, tried)),
            attempt.origin.map(|_| (&self.pairs, &*pair, own)),
        ];
        for (table, identity, steps) in asked.into_iter().flatten() {
            match self.count(table, identity, steps, now) {
                Ok(before) => counted.push((table, identity, before)),
                Err(delay) => {
                    for (table, identity, before) in counted {
                        undo(table, identity, before, now);
                    }
                    return Err(delay);
                }
            }
        }
        Ok(())
    }

    /// Notes that an attempt that was begun has succeeded: its origin's failures are forgotten, and it is known to the account from now on. What others
    /// failed stays counted: somebody who is at home does not make guessing cheaper.
    pub fn succeeded(&self, attempt: &Attempt<'_>, now: Duration) {
        let now = nanoseconds(now);
        let pair = pair(attempt);
        if attempt.origin.is_some() {
            let was_known = self.is_known(&pair, attempt, now);
            self.pairs.with(&pair, now, |failures| *failures = Failures::default());
            let until = now.saturating_add(span(self.rule.known_seconds));
            self.known.with(&pair, now, |known| *known = Known(until));
            if was_known {
                return;
            }
        }
        self.take_back(attempt, now);
    }

    /// Notes that an attempt that was begun could not be judged: it is not counted.
    pub fn unjudged(&self, attempt: &Attempt<'_>, now: Duration) {
        let now = nanoseconds(now);
        let pair = pair(attempt);
        if attempt.origin.is_some() {
            self.pairs.with(&pair, now, Failures::one_less);
        }
        if !self.is_known(&pair, attempt, now) {
            self.take_back(attempt, now);
        }
    }

    fn take_back(&self, attempt: &Attempt<'_>, now: u64) {
        self.accounts.with(attempt.account, now, Failures::one_less);
        if let Some(credential) = attempt.credential {
            self.credentials.with(credential, now, Failures::one_less);
        }
    }

    fn is_known(&self, pair: &[u8], attempt: &Attempt<'_>, now: u64) -> bool {
        attempt.origin.is_some() && self.known.peek(pair, now).0 > now
    }

    /// Counts an attempt, and says what was counted before.
    fn count(
        &self,
        table: &Table<Failures>,
        identity: &[u8],
        steps: Steps,
        now: u64,
    ) -> Result<Failures, Delay> {
        table.with(identity, now, |failures| {
            if failures.kept <= now {
                *failures = Failures::default();
            }
            let wait = failures.wait(steps, self.rule.first_seconds);
            let until = failures.last.saturating_add(wait);
            if until > now {
                return Err(Delay(Duration::from_nanos(until - now)));
            }
            let before = *failures;
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
            // As long as the wait after it at least.
            let next = failures.wait(steps, self.rule.first_seconds);
            failures.kept = now.saturating_add(next.max(span(self.rule.forget_seconds)));
            Ok(before)
        })
    }
}

impl Failures {
    /// How long to wait after the last.
    fn wait(&self, steps: Steps, first: u32) -> u64 {
        let Some(beyond) = self.count.checked_sub(steps.free).filter(|&beyond| beyond > 0) else { return 0 };
        let doubled = u64::from(first).saturating_mul(1 << (beyond - 1).min(31));
        doubled.min(u64::from(steps.most)).saturating_mul(1_000_000_000)
    }

    const fn one_less(&mut self) {
        self.count = self.count.saturating_sub(1);
    }
}

fn undo(table: &Table<Failures>, identity: &[u8], before: Failures, now: u64) {
    table.with(identity, now, |failures| {
        failures.one_less();
        // Its time too, unless another attempt has come since.
        if failures.last == now {
            failures.last = before.last;
        }
    });
}

/// Account and origin, told apart whatever is in them.
fn pair(attempt: &Attempt<'_>) -> Vec<u8> {
    let origin = attempt.origin.unwrap_or_default();
    [&(attempt.account.len() as u64).to_le_bytes(), attempt.account, origin].concat()
}

const fn span(seconds: u32) -> u64 {
    seconds as u64 * 1_000_000_000
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 2)
}
