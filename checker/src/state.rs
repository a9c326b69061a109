//! What outlives a request, and a reload of the policy: keys and tokens of issuers, keys of the API, proofs that were used.
//!
//! The engine does no I/O. Files are read for it ([`Files`]), and what it would have to fetch it says ([`State::take_work`]); who calls it does that.

mod certificates;
mod counting;
mod issuer;
mod keys;
mod work;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ring::hmac;

use crate::{
    Identity, Policy,
    policy::Identities,
    secret::Secret,
    tokens::{Nonces, Replays},
};

use certificates::CertificateState;
use counting::Counting;
pub(crate) use issuer::IssuerState;
use keys::KeyList;
use work::Queue;
pub use work::{Ask, Work};

/// Proofs that are remembered, and those of one key. 160 bytes each.
const MOST_PROOFS: usize = 1 << 18;
const MOST_PROOFS_OF_KEY: usize = 1 << 12;
/// How long a nonce counts, in seconds: up to twice as long.
const NONCE: u64 = 120;

/// What all secrets of this process are drawn from: random, and shown nowhere.
pub struct Seed(hmac::Key);

impl fmt::Debug for Seed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Seed")
    }
}

impl Seed {
    /// Of 32 random bytes of the system.
    pub fn new(random: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, random))
    }

    /// A key of its own for each purpose.
    pub fn key(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(hmac::sign(&self.0, purpose.as_bytes()).as_ref());
        key
    }
}

/// Who reads the files that a policy names.
pub trait Files {
    /// The bytes of a file; `None` where it has not changed since it was read last.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    fn read(&mut self, file: &str) -> Result<Option<Vec<u8>>, String>;

    /// A secret, which others cannot read.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    fn secret(&mut self, file: &str) -> Result<Secret, String>;
}

/// No files: for policies that name none.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, file: &str) -> Result<Option<Vec<u8>>, String> {
        Err(format!("{file} cannot be read here"))
    }

    fn secret(&mut self, file: &str) -> Result<Secret, String> {
        Err(format!("{file} cannot be read here"))
    }
}

/// Whether something is under way that may change an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waiting {
    Yes,
    No,
}

/// What was counted: who may vouch, what became of it (`good`, or a rule), and how often.
pub type Count = (String, &'static str, u64);

/// What outlives a request. It is made for a policy; where it is made after another one, what both policies have in common goes on.
pub struct State {
    counting: Counting,
    /// As the policy's issuers.
    issuers: Vec<Arc<IssuerState>>,
    keys: Option<Arc<KeyList>>,
    certificates: Option<Arc<CertificateState>>,
    proofs: Arc<Mutex<Replays>>,
    nonces: Arc<Nonces>,
    header: Option<HeaderKey>,
    queue: Arc<Queue>,
}

/// What it is signed with, and for whom.
struct HeaderKey(Option<hmac::Key>, String);

impl fmt::Debug for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "State({:?}, {:?})", self.issuers, self.keys)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a thread that has panicked left behind is whole: each change is one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// For a policy. What it has in common with `before`, that of the policy before it, it shares with that. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or cannot be used.
    pub fn new(
        policy: &Policy,
        seed: &Seed,
        before: Option<&Self>,
        files: &mut dyn Files,
        now: u64,
    ) -> Result<Self, String> {
        let identities = policy.identities();
        let queue = before.map(|before| Arc::clone(&before.queue)).unwrap_or_default();
        let mut state = Self {
            counting: Counting::new(policy, seed, before.map(|before| &before.counting)),
            issuers: Vec::new(),
            keys: None,
            certificates: None,
            proofs: before.map_or_else(
                || Arc::new(Mutex::new(Replays::new(MOST_PROOFS, MOST_PROOFS_OF_KEY))),
                |before| Arc::clone(&before.proofs),
            ),
            nonces: before.map_or_else(
                || Arc::new(Nonces::new(&seed.key("nonces"), NONCE)),
                |before| Arc::clone(&before.nonces),
            ),
            header: None,
            queue,
        };
        for config in &identities.issuers {
            let of = |text: String| format!("issuer `{}`: {text}", config.name);
            let known = before.and_then(|before| before.issuers.iter().find(|known| known.config == *config));
            let issuer = match known {
                Some(known) if known.has_secret(files).map_err(of)? => Arc::clone(known),
                _ => Arc::new(IssuerState::new(config, seed, &state.queue, files).map_err(of)?),
            };
            state.issuers.push(issuer);
        }
        let keys = before.and_then(|before| before.keys.as_ref());
        state.keys = match &identities.keys {
            Some(config) => {
                let list = KeyList::new(config, files).map_err(|text| format!("[keys]: {text}"))?;
                let known = keys.filter(|known| known.is_as(&list)).map(Arc::clone);
                Some(known.unwrap_or_else(|| Arc::new(list)))
            }
            None => None,
        };
        state.certificates =
            identities.certificates.as_ref().map(|config| Arc::new(CertificateState::new(config)));
        state.header = header_key(identities, files)?;
        match state.bring(files, now).into_iter().next() {
            None => Ok(state),
            Some(wrong) => Err(wrong),
        }
    }

    /// Reads the files again that it is made of, and that have changed. What is wrong with them; what was in force of those stays in force.
    pub fn bring(&self, files: &mut dyn Files, now: u64) -> Vec<String> {
        let mut wrong = Vec::new();
        for issuer in &self.issuers {
            let of = |text: String| format!("issuer `{}`: {text}", issuer.config.name);
            wrong.extend(issuer.bring(files, now).map_err(of).err());
        }
        let keys = self.keys.as_ref().map(|keys| keys.bring(files));
        wrong.extend(keys.and_then(Result::err).map(|text| format!("[keys]: {text}")));
        let certificates = self.certificates.as_ref().map(|certificates| certificates.bring(files));
        wrong.extend(certificates.and_then(Result::err).map(|text| format!("[certificates]: {text}")));
        wrong
    }

    /// Begins what is to be fetched before anyone asks for it; to be called every second or so.
    pub fn due(&self, now: u64) {
        self.issuers.iter().for_each(|issuer| issuer.due(now));
    }

    /// What is to be fetched. It costs nothing where there is nothing; to be asked after each judgement.
    pub fn take_work(&self) -> Vec<Work> {
        self.queue.take()
    }

    /// What was counted since the process began, or since a reload has changed it.
    pub fn counts(&self) -> Vec<Count> {
        let issuers = self.issuers.iter().map(|issuer| (issuer.config.name.to_string(), issuer.counts()));
        let keys = self.keys.iter().map(|keys| ("key".to_owned(), keys.counts()));
        let certificates = self.certificates.iter().map(|one| ("certificate".to_owned(), one.counts()));
        let all = issuers.chain(keys).chain(certificates);
        let one = |(name, counts): (String, BTreeMap<&'static str, u64>)| {
            counts.into_iter().map(move |(what, count)| (name.clone(), what, count)).collect::<Vec<_>>()
        };
        all.flat_map(one).collect()
    }

    /// Of each issuer the tokens that are remembered, and the bytes that they take.
    pub fn remembered(&self) -> Vec<(String, usize, usize)> {
        let one = |issuer: &Arc<IssuerState>| {
            let (tokens, bytes) = issuer.remembered();
            (issuer.config.name.to_string(), tokens, bytes)
        };
        self.issuers.iter().map(one).collect()
    }

    /// What the server behind is told of who asks: a token (HS256) that lives for a minute where there is a secret, JSON where there is none; `None` where
    /// the policy does not want it.
    pub fn identity_header(&self, identity: &Identity, now: u64) -> Option<String> {
        let HeaderKey(key, audience) = self.header.as_ref()?;
        Some(identity.told(key.as_ref().map(|key| (key, audience.as_str())), now))
    }

    pub(crate) fn issuer(&self, number: usize) -> Option<&Arc<IssuerState>> {
        self.issuers.get(number)
    }

    pub(crate) const fn keys(&self) -> Option<&Arc<KeyList>> {
        self.keys.as_ref()
    }

    pub(crate) const fn certificates(&self) -> Option<&Arc<CertificateState>> {
        self.certificates.as_ref()
    }

    pub(crate) fn proofs(&self) -> MutexGuard<'_, Replays> {
        lock(&self.proofs)
    }

    pub(crate) fn nonces(&self) -> &Nonces {
        &self.nonces
    }
}

fn header_key(identities: &Identities, files: &mut dyn Files) -> Result<Option<HeaderKey>, String> {
    let Some(header) = &identities.header else { return Ok(None) };
    let Some(file) = &header.secret else { return Ok(Some(HeaderKey(None, String::new()))) };
    let secret = files.secret(file).map_err(|text| format!("identity_header: {text}"))?;
    if secret.expose().len() < 32 {
        return Err(format!("identity_header: {file}: a secret of 32 bytes or more is needed"));
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    Ok(Some(HeaderKey(Some(key), identities.realm.clone())))
}
