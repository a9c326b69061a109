//! API keys: the list in force.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use super::{Files, lock};
use crate::{
    keys::{Entry, Hasher, Keys, Refused},
    policy::ApiKeys,
};

/// The list, and what keys are hashed with.
pub(crate) struct KeyList {
    pub(super) config: ApiKeys,
    hasher: Hasher,
    keys: RwLock<Arc<Keys>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl fmt::Debug for KeyList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyList({})", self.config.file)
    }
}

impl KeyList {
    pub(super) fn new(config: &ApiKeys, files: &mut dyn Files) -> Result<Self, String> {
        let secret = files.secret(&config.secret)?;
        let hasher = Hasher::new(secret.expose());
        let hasher =
            hasher.ok_or_else(|| format!("{}: a secret of 32 bytes or more is needed", config.secret))?;
        Ok(Self { config: config.clone(), hasher, keys: RwLock::default(), counts: Mutex::default() })
    }

    /// Whether it is of the same file, and hashed with the same secret.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let hash = |list: &Self| list.hasher.hash(b"the same secret");
        self.config == other.config && hash(self) == hash(other)
    }

    /// Reads the list, where it has changed.
    pub(super) fn bring(&self, files: &mut dyn Files) -> Result<(), String> {
        let file = &self.config.file;
        let Some(bytes) = files.read(file)? else { return Ok(()) };
        let text = String::from_utf8(bytes).map_err(|_| format!("{file} is not UTF-8"))?;
        let keys = Keys::parse(&text).map_err(|wrong| format!("{file}: {wrong}"))?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// The key's entry, if it is good at `now`, in seconds since 1970.
    pub(crate) fn find(&self, key: &[u8], now: u64) -> Result<Entry, Refused> {
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let of_prefix = |entry: &&Entry| {
            let parts = crate::keys::parse(key).filter(|parts| parts.id == entry.id);
            self.config
                .prefix
                .as_deref()
                .is_none_or(|prefix| parts.is_some_and(|parts| parts.prefix == prefix))
        };
        let found = keys
            .find(&self.hasher, key, now)
            .and_then(|entry| Some(entry).filter(of_prefix).ok_or(Refused::Unknown));
        found.cloned()
    }

    /// Counts what became of a key.
    pub(crate) fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_insert(0) += 1;
    }

    /// What was counted.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }
}
