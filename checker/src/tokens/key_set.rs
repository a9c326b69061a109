//! Sets of keys (RFC 7517, section 5): what can be used is used, what cannot is left out, with a note that says why.

use serde_json::Value;

use super::{Algorithm, Key, KeyProblem, jws::SET_JSON, key::Thumbprint, object};
use crate::printable;

/// Largest set, in bytes.
pub const LARGEST_SET: usize = 256 << 10;
/// Most keys of a set.
pub const MOST_KEYS: usize = 64;
/// Characters of a key's name that notes repeat.
const ECHO: usize = 48;

/// Which keys are used.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The algorithms that are allowed. A key of RSA that names none is for the first one of RSA in this list, and no other.
    pub algorithms: Vec<Algorithm>,
    /// Whether the set may hold secrets (`oct`): one of a configuration may, one that is published must not.
    pub secrets: bool,
}

impl Default for Rules {
    /// Every algorithm whose verifier cannot sign, and no secrets.
    fn default() -> Self {
        Self { algorithms: Algorithm::ASYMMETRIC.to_vec(), secrets: false }
    }
}

/// Why a set is not used at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetProblem {
    /// Larger than [`LARGEST_SET`].
    #[error("the set of keys is larger than {} KiB", LARGEST_SET >> 10)]
    Size,
    /// No JSON object with an array `keys`, strictly read.
    #[error("the set of keys is no JSON object with an array \"keys\", or has a name twice")]
    Syntax,
    /// More than [`MOST_KEYS`].
    #[error("the set has more than {MOST_KEYS} keys")]
    Keys,
    /// None of its keys can be used: rather an error of who publishes it than the end of all tokens.
    #[error("no key of the set can be used")]
    Empty,
}

/// A key that was left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Its place in the set, from 1.
    pub number: usize,
    /// Its name, as people may see it.
    pub id: Option<String>,
    /// Why.
    pub problem: KeyProblem,
}

impl std::fmt::Display for Note {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "key {}", self.number)?;
        if let Some(id) = &self.id {
            write!(out, " ({id})")?;
        }
        write!(out, " is left out: {}", self.problem)
    }
}

/// The keys of one issuer.
#[derive(Clone, Default, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    notes: Vec<Note>,
}

impl KeySet {
    /// Keys that were made elsewhere, secrets for example.
    pub fn of(keys: Vec<Key>) -> Self {
        Self { keys, notes: Vec::new() }
    }

    /// Reads a set.
    ///
    /// # Errors
    ///
    /// [`SetProblem`], where nothing of it can be used.
    pub fn read(bytes: &[u8], rules: &Rules) -> Result<Self, SetProblem> {
        if bytes.len() > LARGEST_SET {
            return Err(SetProblem::Size);
        }
        let set = object(bytes, &SET_JSON).ok_or(SetProblem::Syntax)?;
        let Some(Value::Array(members)) = set.get("keys") else { return Err(SetProblem::Syntax) };
        if members.len() > MOST_KEYS {
            return Err(SetProblem::Keys);
        }
        let mut read = Self::default();
        for (member, number) in members.iter().zip(1..) {
            let key =
                member.as_object().ok_or(KeyProblem::Member).and_then(|member| Key::read(member, rules));
            match key {
                Ok(key) => read.keys.push(key),
                Err(problem) => {
                    let id = member.get("kid").and_then(Value::as_str).map(|id| printable(id, ECHO));
                    read.notes.push(Note { number, id, problem });
                }
            }
        }
        if read.keys.is_empty() { Err(SetProblem::Empty) } else { Ok(read) }
    }

    /// The keys that are used.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// The keys that are not, and why.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Whether a key with this thumbprint is among those that are used.
    pub fn contains(&self, thumbprint: &Thumbprint) -> bool {
        self.keys.iter().any(|key| key.thumbprint() == thumbprint)
    }
}
