//! Proofs that were used: each counts once (RFC 9449, section 11.1).

use std::collections::HashMap;

use super::{Problem, Proof, key::Thumbprint};

/// The proofs of the last minute. Bounded: where there is no room, a proof is refused rather than accepted twice; and no key may take more than its
/// share, so that one client cannot shut the others out.
#[derive(Debug)]
pub struct Replays {
    most: usize,
    most_of_key: usize,
    /// Proof → until when it could be used, and whose it is.
    used: HashMap<[u8; 32], (u64, Thumbprint)>,
    of_key: HashMap<Thumbprint, usize>,
    /// Nothing in it is too old before this.
    oldest: u64,
}

impl Replays {
    /// Room for `most` proofs, of which `most_of_key` may be by one key. One takes about 160 bytes.
    pub fn new(most: usize, most_of_key: usize) -> Self {
        Self { most, most_of_key, used: HashMap::new(), of_key: HashMap::new(), oldest: u64::MAX }
    }

    /// Whether a proof could be used now. It is not: for a question of a proxy that asks before the request is made, and may ask twice.
    ///
    /// # Errors
    ///
    /// [`Problem::ProofReplayed`] or [`Problem::ProofsFull`].
    pub fn look(&mut self, proof: &Proof, now: u64) -> Result<(), Problem> {
        if self.used.get(&proof.name).is_some_and(|(until, _)| now < *until) {
            return Err(Problem::ProofReplayed);
        }
        let full = |replays: &Self| {
            replays.used.len() >= replays.most
                || replays.of_key.get(&proof.key).is_some_and(|count| *count >= replays.most_of_key)
        };
        if full(self) {
            self.forget(now);
            if full(self) {
                return Err(Problem::ProofsFull);
            }
        }
        Ok(())
    }

    /// Uses a proof: the next time it is refused.
    ///
    /// # Errors
    ///
    /// [`Problem::ProofReplayed`] or [`Problem::ProofsFull`].
    pub fn take(&mut self, proof: &Proof, now: u64) -> Result<(), Problem> {
        self.look(proof, now)?;
        self.oldest = self.oldest.min(proof.until);
        if self.used.insert(proof.name, (proof.until, proof.key)).is_none() {
            *self.of_key.entry(proof.key).or_insert(0) += 1;
        }
        Ok(())
    }

    /// Proofs that are remembered.
    pub fn count(&self) -> usize {
        self.used.len()
    }

    /// Goes over all, but only where one of them is too old by now: at most once a second.
    fn forget(&mut self, now: u64) {
        if now < self.oldest {
            return;
        }
        let of_key = &mut self.of_key;
        self.used.retain(|_, (until, key)| {
            let kept = now < *until;
            if !kept && let Some(count) = of_key.get_mut(key) {
                *count -= 1;
            }
            kept
        });
        of_key.retain(|_, count| *count > 0);
        self.oldest = self.used.values().map(|(until, _)| *until).min().unwrap_or(u64::MAX);
    }
}
