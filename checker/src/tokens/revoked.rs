//! What is revoked: single tokens, all tokens of a subject up to a time, and all that a key has signed.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::{Problem, Verified, base64url, key::Thumbprint};
use crate::printable;

/// Most revocations of each kind that a file may have, and its size, in bytes.
const MOST: usize = 100_000;
const LARGEST: usize = 32 << 20;

/// Revocations of one issuer. Bounded, and never forgotten before their time: where there is no room, the next one is an error, which who revokes
/// must hear of.
#[derive(Debug)]
pub struct Revocations {
    most: usize,
    /// `jti` → when it can be forgotten.
    tokens: HashMap<String, u64>,
    /// `sub` → tokens issued before this are revoked, and when that can be forgotten.
    subjects: HashMap<String, (u64, u64)>,
    keys: HashSet<Thumbprint>,
}

/// There is no room for another revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there are {0} revocations, and no more are kept")]
pub struct Full(usize);

/// Why a list of what is revoked cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ListProblem(String);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct List {
    tokens: Vec<String>,
    keys: Vec<String>,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    issued: Option<u64>,
}

impl Revocations {
    /// Reads a list in TOML: `tokens` (of `jti`), `keys` (RFC 7638 thumbprints in base64url), and `[[subject]]` with `name` (`sub`) and `issued`, the second up
    /// to which tokens count no more; all of them where it is left out. What is in the list is revoked until it is there no more.
    ///
    /// # Errors
    ///
    /// [`ListProblem`].
    pub fn read(bytes: &[u8]) -> Result<Self, ListProblem> {
        if bytes.len() > LARGEST {
            return Err(ListProblem(format!("it is larger than {} MiB", LARGEST >> 20)));
        }
        let text = str::from_utf8(bytes).map_err(|_| ListProblem("it is not UTF-8".to_owned()))?;
        let list: List =
            toml::from_str(text).map_err(|error| ListProblem(printable(error.to_string().trim(), 500)))?;
        let mut read = Self::new(MOST);
        let full = |full: Full| ListProblem(full.to_string());
        for id in &list.tokens {
            read.token(id, u64::MAX, 0).map_err(full)?;
        }
        for Subject { name, issued } in &list.subject {
            read.subject(name, issued.unwrap_or(u64::MAX), u64::MAX, 0).map_err(full)?;
        }
        for key in &list.keys {
            let thumbprint = base64url::decode(key).and_then(|bytes| bytes.try_into().ok());
            let wrong =
                || ListProblem(format!("\"{}\" is no thumbprint: SHA-256 in base64url", printable(key, 60)));
            read.key(thumbprint.ok_or_else(wrong)?).map_err(full)?;
        }
        Ok(read)
    }

    /// None yet; `most` of each kind. One takes up to 1.2 KiB (the length of a subject's name).
    pub fn new(most: usize) -> Self {
        Self { most, tokens: HashMap::new(), subjects: HashMap::new(), keys: HashSet::new() }
    }

    /// Revokes the token with this `jti`, until it has expired anyway, leeway included.
    ///
    /// # Errors
    ///
    /// [`Full`], even without those whose time is over.
    pub fn token(&mut self, id: &str, until: u64, now: u64) -> Result<(), Full> {
        if !self.tokens.contains_key(id) && self.tokens.len() >= self.most {
            self.tokens.retain(|_, until| *until > now);
            if self.tokens.len() >= self.most {
                return Err(Full(self.most));
            }
        }
        let kept = self.tokens.entry(id.to_owned()).or_insert(until);
        *kept = until.max(*kept);
        Ok(())
    }

    /// Revokes what was issued to this `sub` up to and in the second `issued`, and what does not say when it was issued; until `until`, when
    /// all of it has expired.
    ///
    /// # Errors
    ///
    /// [`Full`], even without those whose time is over.
    pub fn subject(&mut self, subject: &str, issued: u64, until: u64, now: u64) -> Result<(), Full> {
        if !self.subjects.contains_key(subject) && self.subjects.len() >= self.most {
            self.subjects.retain(|_, (_, until)| *until > now);
            if self.subjects.len() >= self.most {
                return Err(Full(self.most));
            }
        }
        let kept = self.subjects.entry(subject.to_owned()).or_insert((issued, until));
        *kept = (issued.max(kept.0), until.max(kept.1));
        Ok(())
    }

    /// Revokes what the key with this thumbprint has signed, for good.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn key(&mut self, thumbprint: Thumbprint) -> Result<(), Full> {
        if self.keys.len() >= self.most && !self.keys.contains(&thumbprint) {
            return Err(Full(self.most));
        }
        self.keys.insert(thumbprint);
        Ok(())
    }

    /// Takes the revocation of a key back.
    pub fn restore_key(&mut self, thumbprint: &Thumbprint) -> bool {
        self.keys.remove(thumbprint)
    }

    /// Whether a token is revoked.
    ///
    /// # Errors
    ///
    /// [`Problem::Revoked`].
    pub fn check(&self, token: &Verified) -> Result<(), Problem> {
        let by_id = token.id.as_ref().is_some_and(|id| self.tokens.contains_key(id));
        let by_subject = token.subject.as_ref().and_then(|subject| self.subjects.get(subject));
        let by_subject =
            by_subject.is_some_and(|(before, _)| token.issued.is_none_or(|issued| issued <= *before));
        if by_id || by_subject || self.keys.contains(&token.key) { Err(Problem::Revoked) } else { Ok(()) }
    }
}
