//! One issuer of tokens: its keys, the tokens that were verified, those that its own server was asked about, and what is revoked.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex},
};

use zeroize::Zeroizing;

use super::{
    Files, Seed, Waiting, lock,
    work::{Queue, Work},
};
use crate::{
    policy::{Issuer, KeySource},
    secret::Secret,
    tokens::{
        Cache, Expected, Guard, Judged, Key, KeySet, LONGEST_TOKEN, Problem, Revocations, Rules, Times,
        Verified, certificate_thumbprint, introspected,
    },
};

/// Bytes that a remembered token may take, on average.
const TOKEN: usize = 2 << 10;
/// Questions to an issuer at once, and how long one counts as under way, in seconds.
const MOST_ASKED: usize = 64;
const TIMEOUT: u64 = 10;
/// Tokens of which it is remembered that they are not good.
const MOST_REFUSED: usize = 4_096;
/// How long an issuer that could not be asked is left alone, in seconds.
const PAUSE: u64 = 2;

/// What is known of an issuer.
pub(crate) struct IssuerState {
    pub(super) config: Issuer,
    guard: Guard,
    asked: Mutex<Asked>,
    /// By which it is asked.
    secret: Option<Secret>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    queue: Arc<Queue>,
}

impl fmt::Debug for IssuerState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "IssuerState({})", self.config.name)
    }
}

/// What the issuer was asked.
struct Asked {
    good: Cache,
    /// SHA-256 of tokens that are not good, and until when that counts.
    refused: HashMap<[u8; 32], u64>,
    /// SHA-256 of tokens that it is being asked about, and since when.
    under_way: HashMap<[u8; 32], u64>,
    /// No question before this.
    next: u64,
}

impl Asked {
    fn refuse(&mut self, name: [u8; 32], until: u64, now: u64) {
        if self.refused.len() >= MOST_REFUSED {
            self.refused.retain(|_, until| now < *until);
            if self.refused.len() >= MOST_REFUSED {
                // Rather ask again than forget nothing.
                self.refused.clear();
            }
        }
        self.refused.insert(name, until);
    }
}

impl IssuerState {
    pub(super) fn new(
        config: &Issuer,
        seed: &Seed,
        queue: &Arc<Queue>,
        files: &mut dyn Files,
    ) -> Result<Self, String> {
        let times = match &config.keys {
            Some(KeySource::Url(url)) => url.times,
            // What is in a file is good as long as it is there.
            _ => Times { fresh: u64::MAX, stale: 0, ..Times::default() },
        };
        let cache = |purpose: &str| {
            let key = seed.key(&format!("{purpose} of {}", config.name));
            Cache::new(&key, config.cache, config.cache.saturating_mul(TOKEN))
        };
        let guard = Guard::new(expected(config), times, cache("tokens"), Revocations::new(0));
        let secret = config.introspection.as_ref().map(|asked| files.secret(&asked.secret)).transpose()?;
        let asked = Asked {
            good: cache("introspection"),
            refused: HashMap::new(),
            under_way: HashMap::new(),
            next: 0,
        };
        Ok(Self {
            config: config.clone(),
            guard,
            asked: Mutex::new(asked),
            secret,
            counts: Mutex::default(),
            queue: Arc::clone(queue),
        })
    }

    /// Reads the files that it is made of, where they have changed.
    pub(super) fn bring(&self, files: &mut dyn Files, now: u64) -> Result<(), String> {
        let rules = Rules { algorithms: self.config.algorithms.clone(), secrets: false };
        match &self.config.keys {
            Some(KeySource::File(file)) => {
                if let Some(bytes) = files.read(file)? {
                    let keys =
                        KeySet::read(&bytes, &rules).map_err(|problem| format!("{file}: {problem}"))?;
                    self.guard.refresh().put(keys, now);
                }
            }
            Some(KeySource::Secret(file)) => {
                let secret = files.secret(file)?;
                let algorithm = self.config.algorithms.first().copied().ok_or("no algorithm")?;
                let key = Key::secret(None, algorithm, secret.expose());
                let key = key.map_err(|problem| format!("{file}: {problem}"))?;
                self.guard.refresh().put(KeySet::of(vec![key]), now);
            }
            Some(KeySource::Url(_)) | None => {}
        }
        if let Some(file) = &self.config.revoked
            && let Some(bytes) = files.read(file)?
        {
            *self.guard.revocations() =
                Revocations::read(&bytes).map_err(|problem| format!("{file}: {problem}"))?;
        }
        Ok(())
    }

    /// Whether its tokens are verified here.
    pub(crate) const fn has_keys(&self) -> bool {
        self.config.keys.is_some()
    }

    /// Whether its own server is asked about tokens.
    pub(crate) const fn is_asked(&self) -> bool {
        self.config.introspection.is_some()
    }

    /// Verifies a token.
    pub(crate) fn verify(
        self: &Arc<Self>,
        token: &str,
        now: u64,
    ) -> (Result<Arc<Verified>, Problem>, Waiting) {
        self.judged(self.guard.judge(token, now), now)
    }

    /// The same, of one that was verified before, whose issuer needs not be looked for in it. `None` where it was not, or is forgotten.
    pub(crate) fn recall(
        self: &Arc<Self>,
        token: &str,
        now: u64,
    ) -> Option<(Result<Arc<Verified>, Problem>, Waiting)> {
        self.guard.recall(token, now).map(|judged| self.judged(judged, now))
    }

    fn judged(self: &Arc<Self>, judged: Judged, now: u64) -> (Result<Arc<Verified>, Problem>, Waiting) {
        if let Some(fetch) = judged.fetch {
            if matches!(self.config.keys, Some(KeySource::Url(_))) {
                self.queue.add(Work::keys(Arc::clone(self), fetch));
            } else {
                self.guard.refresh().failed(fetch, now);
            }
        }
        let for_want = matches!(judged.answer, Err(Problem::KeyUnknown | Problem::KeysUnavailable));
        let waiting =
            if for_want && self.guard.refresh().is_under_way() { Waiting::Yes } else { Waiting::No };
        (judged.answer, waiting)
    }

    /// Begins a fetch of keys, if it is time for one.
    pub(super) fn due(self: &Arc<Self>, now: u64) {
        if matches!(self.config.keys, Some(KeySource::Url(_)))
            && let Some(fetch) = self.guard.refresh().due(now)
        {
            self.queue.add(Work::keys(Arc::clone(self), fetch));
        }
    }

    /// What the issuer's server has said of a token, or a question to it.
    pub(crate) fn ask(self: &Arc<Self>, token: &str, now: u64) -> (Result<Arc<Verified>, Problem>, Waiting) {
        if token.len() > LONGEST_TOKEN {
            return (Err(Problem::Length), Waiting::No);
        }
        let name = certificate_thumbprint(token.as_bytes());
        let mut asked = lock(&self.asked);
        if let Some(verified) = asked.good.get(token, now) {
            drop(asked);
            return (self.guard.revocations().check(&verified).map(|()| verified), Waiting::No);
        }
        if asked.refused.get(&name).is_some_and(|until| now < *until) {
            return (Err(Problem::Inactive), Waiting::No);
        }
        asked.under_way.retain(|_, began| now < began.saturating_add(TIMEOUT));
        let unavailable = Err(Problem::IntrospectionUnavailable);
        if asked.under_way.contains_key(&name) {
            return (unavailable, Waiting::Yes);
        }
        if now < asked.next || asked.under_way.len() >= MOST_ASKED {
            return (unavailable, Waiting::No);
        }
        asked.under_way.insert(name, now);
        drop(asked);
        self.queue.add(Work::question(Arc::clone(self), name, Zeroizing::new(token.to_owned())));
        (unavailable, Waiting::Yes)
    }

    /// By what it is asked: the client's name and secret.
    pub(super) fn client(&self) -> Option<(&str, &Secret)> {
        self.config.introspection.as_ref().map(|asked| &*asked.client).zip(self.secret.as_ref())
    }

    /// Keys have come, or have not.
    pub(super) fn fetched(
        &self,
        fetch: crate::tokens::Fetch,
        answer: Option<&[u8]>,
        now: u64,
    ) -> Result<(), String> {
        let rules = Rules { algorithms: self.config.algorithms.clone(), secrets: false };
        let keys = answer.map(|bytes| KeySet::read(bytes, &rules).map_err(|problem| problem.to_string()));
        let mut refresh = self.guard.refresh();
        match keys {
            Some(Ok(keys)) => {
                refresh.succeeded(fetch, keys, now);
                self.count("keys-fetched");
                Ok(())
            }
            other => {
                refresh.failed(fetch, now);
                self.count("keys-not-fetched");
                other.map_or(Ok(()), |wrong| wrong.map(|_| ()))
            }
        }
    }

    /// The issuer has said something of a token, or nothing.
    pub(super) fn answered(
        &self,
        name: [u8; 32],
        token: &str,
        answer: Option<&[u8]>,
        now: u64,
    ) -> Result<(), String> {
        let lasts = self.config.introspection.as_ref().map_or(0, |asked| asked.cache);
        let read = answer.map(|answer| introspected(answer, &expected(&self.config), now));
        let mut asked = lock(&self.asked);
        asked.under_way.remove(&name);
        match read {
            Some(Ok(mut verified)) => {
                verified.expires = verified.expires.min(now.saturating_add(lasts));
                asked.good.insert(token, Arc::new(verified));
                Ok(())
            }
            Some(Err(Problem::IntrospectionUnavailable)) | None => {
                asked.next = now.saturating_add(PAUSE);
                drop(asked);
                self.count("not-asked");
                if answer.is_some() { Err("the answer is not one of RFC 7662".to_owned()) } else { Ok(()) }
            }
            Some(Err(_)) => {
                asked.refuse(name, now.saturating_add(lasts), now);
                Ok(())
            }
        }
    }

    /// The issuer's server has turned a question down. The token is not good then, and for a moment nothing is asked about it.
    pub(super) fn turned_down(&self, name: [u8; 32], now: u64) {
        let mut asked = lock(&self.asked);
        asked.under_way.remove(&name);
        asked.refuse(name, now.saturating_add(PAUSE), now);
        drop(asked);
        self.count("turned-down");
    }

    /// Whether it is asked by the secret that is in the file now.
    pub(super) fn has_secret(&self, files: &mut dyn Files) -> Result<bool, String> {
        match self.config.introspection.as_ref().zip(self.secret.as_ref()) {
            Some((asked, secret)) => Ok(secret.matches(files.secret(&asked.secret)?.expose())),
            None => Ok(true),
        }
    }

    /// Counts what became of a token, or of a fetch.
    pub(crate) fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_insert(0) += 1;
    }

    /// What was counted.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }

    /// Tokens that are remembered, and the bytes that they take.
    pub(super) fn remembered(&self) -> (usize, usize) {
        let (verified, asked) = (self.guard.cache(), lock(&self.asked));
        (verified.count() + asked.good.count(), verified.bytes() + asked.good.bytes())
    }
}

fn expected(config: &Issuer) -> Expected {
    Expected {
        issuer: config.issuer.clone(),
        audiences: config.audiences.clone(),
        profile: config.profile.clone(),
        leeway: config.leeway,
        longest_life: config.longest_life,
    }
}
