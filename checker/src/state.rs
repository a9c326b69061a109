//! What outlives a request, and a reload of the policy.

mod counting;

use std::fmt;

use ring::hmac;

use crate::Policy;
use counting::Counting;

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

/// What outlives a request. It is made for a policy; where it is made after another one, what both policies have in common goes on.
pub struct State {
    counting: Counting,
}

impl fmt::Debug for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("State")
    }
}

impl State {
    /// For a policy. What it has in common with `before`, that of the policy before it, it shares with that.
    pub fn new(policy: &Policy, seed: &Seed, before: Option<&Self>) -> Self {
        Self { counting: Counting::new(policy, seed, before.map(|before| &before.counting)) }
    }
}
