//! Tokens that were verified, so that the next request with the same one costs a hash.
//!
//! Only what was verified comes in, so nobody without a token of the issuer can fill it; it is bounded in number and bytes, whoever has many.

use std::sync::Arc;

use ring::hmac;
use serde_json::Value;

use super::Verified;

/// Places in which one token may stand.
const WAYS: usize = 8;
/// What an entry takes besides its claims, in bytes.
const ENTRY: usize = 512;

/// A token, as it is found again: a keyed hash, so that nobody can make two tokens that meet, and no copy of a token is kept.
type Name = [u8; 32];

struct Entry {
    name: Name,
    verified: Arc<Verified>,
    bytes: usize,
    /// When it was asked for last, in requests.
    used: u64,
}

/// Tokens of one issuer that were verified against one [`Expected`](super::Expected).
pub struct Cache {
    key: hmac::Key,
    places: Vec<Option<Entry>>,
    bytes: usize,
    most_bytes: usize,
    requests: u64,
    /// Where room is made next.
    hand: usize,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Cache({} places, {} bytes)", self.places.len(), self.bytes)
    }
}

impl Cache {
    /// Room for about `most` tokens and `most_bytes` of claims. `key` is random, and of this process alone.
    pub fn new(key: &[u8; 32], most: usize, most_bytes: usize) -> Self {
        let places = most.next_power_of_two().max(WAYS);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            places: std::iter::repeat_with(|| None).take(places).collect(),
            bytes: 0,
            most_bytes,
            requests: 0,
            hand: 0,
        }
    }

    /// The token, if it was verified and has not expired. Leeway does not count: what is within it is verified anew.
    pub fn get(&mut self, token: &str, now: u64) -> Option<Arc<Verified>> {
        let name = self.name(token);
        self.requests += 1;
        let requests = self.requests;
        let place = self.range(&name).find(|&place| self.is(place, &name))?;
        let slot = self.places.get_mut(place)?;
        let entry = slot.as_mut()?;
        if now >= entry.verified.expires {
            self.bytes -= entry.bytes;
            *slot = None;
            return None;
        }
        entry.used = requests;
        Some(Arc::clone(&entry.verified))
    }

    /// Keeps a token that was verified just now. One without room for it is not kept.
    pub fn insert(&mut self, token: &str, verified: Arc<Verified>) {
        let bytes = ENTRY + verified.issuer.len() + size(&verified.claims);
        if bytes > self.most_bytes {
            return;
        }
        let name = self.name(token);
        let age = |place: &usize| self.places.get(*place).and_then(Option::as_ref).map(|entry| entry.used);
        let same = self.range(&name).find(|&place| self.is(place, &name));
        // `None` is less than any number: an empty place comes before the one that was not used for longest.
        let Some(place) = same.or_else(|| self.range(&name).min_by_key(age)) else { return };
        self.empty(place);
        while self.bytes + bytes > self.most_bytes {
            self.hand = (self.hand + 1) % self.places.len();
            self.empty(self.hand);
        }
        self.bytes += bytes;
        if let Some(slot) = self.places.get_mut(place) {
            *slot = Some(Entry { name, verified, bytes, used: self.requests });
        }
    }

    /// Forgets a token, because it was found to be revoked, or its key gone.
    pub fn remove(&mut self, token: &str) {
        let name = self.name(token);
        if let Some(place) = self.range(&name).find(|&place| self.is(place, &name)) {
            self.empty(place);
        }
    }

    /// Tokens in it.
    pub fn count(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// Bytes that they take, estimated from above.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn name(&self, token: &str) -> Name {
        let mut name = [0; 32];
        name.copy_from_slice(hmac::sign(&self.key, token.as_bytes()).as_ref());
        name
    }

    fn range(&self, name: &Name) -> std::ops::Range<usize> {
        let sets = self.places.len() / WAYS;
        let number = name.iter().take(8).fold(0_usize, |number, &byte| (number << 8) | usize::from(byte));
        let first = number % sets * WAYS;
        first..first + WAYS
    }

    fn is(&self, place: usize, name: &Name) -> bool {
        matches!(self.places.get(place), Some(Some(entry)) if entry.name == *name)
    }

    fn empty(&mut self, place: usize) {
        if let Some(entry) = self.places.get_mut(place).and_then(Option::take) {
            self.bytes -= entry.bytes;
        }
    }
}

/// What claims take in memory, in bytes, from above: each value, its name, and a share of the tree that holds it.
fn size(claims: &serde_json::Map<String, Value>) -> usize {
    claims.iter().map(|(name, value)| 128 + name.len() + nested(value)).sum()
}

/// As deep as [`JSON`](super::JSON) lets values be.
fn nested(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 64,
        Value::Array(items) => 64 + items.iter().map(nested).sum::<usize>(),
        Value::Object(members) => 64 + size(members),
        _ => 64,
    }
}
