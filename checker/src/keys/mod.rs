//! API keys: kept as keyed hashes only, each shown once, when it is made.
//!
//! A key holds 160 random bits, so that its hash needs no stretching: HMAC-SHA-256 under a secret of the server, without which a stolen list is of no use.

mod text;

use std::{collections::HashMap, fmt::Write as _};

use ring::hmac;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

pub use text::{Parts, RANDOM, generate, is_id, is_prefix, parse};

use crate::text::printable;

/// Shortest secret of a server, in bytes.
pub const SHORTEST_SECRET: usize = 32;
/// Most keys of a list.
pub const MOST_KEYS: usize = 100_000;
/// Largest file of a list, in bytes.
pub const LARGEST: usize = 64 << 20;
/// Longest name of a key's holder, in bytes.
const LONGEST_NAME: usize = 64;

/// What keys are hashed with.
pub struct Hasher(hmac::Key);

impl Hasher {
    /// With a secret of 32 random bytes or more; `None` if it is shorter.
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= SHORTEST_SECRET).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The hash of a key.
    pub fn hash(&self, key: &[u8]) -> Hash {
        let tag = hmac::sign(&self.0, key);
        let mut hash = [0; 32];
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Hash(hash)
    }
}

/// A keyed hash, written in hexadecimal.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Hash([u8; 32]);

impl PartialEq for Hash {
    /// In a time that does not tell how much of it is the same.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Hash {}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "a hash is 64 hexadecimal digits";
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong);
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = str::from_utf8(digits).map_err(|_| wrong)?;
            if digits.starts_with('+') {
                return Err(wrong);
            }
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong)?;
        }
        Ok(Self(hash))
    }
}

/// A key, as it is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What the key begins with behind its prefix: no secret.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// Class of its holder, for rates.
    pub class: Option<String>,
    /// When it was made: seconds since 1970.
    pub created: u64,
    /// The first second in which it is no longer good.
    pub expires: Option<u64>,
    /// Its hash.
    pub hash: Hash,
}

/// Why a key is not good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It is no key: its form or checksum is wrong.
    #[error("it is no key: its form or its checksum is wrong")]
    Malformed,
    /// It is not in the list: never made, or revoked.
    #[error("it is in no list: never made here, or revoked")]
    Unknown,
    /// Its time is over.
    #[error("its time is over")]
    Expired,
}

/// What is wrong with a list, or with a change to it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ListError(String);

/// A list of keys.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    entries: Vec<Entry>,
    /// Places by id. Nothing keeps two keys from having the same.
    by_id: HashMap<String, Vec<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Entry>,
}

/// Whether a text may be a name: 1 to 64 letters, digits, `.`, `_`, `@` and `-`.
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(allowed)
}

impl Keys {
    /// Reads a list: TOML, as [`Self::to_text`] writes it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        if text.len() > LARGEST {
            return Err(ListError(format!("it is larger than {} MiB", LARGEST >> 20)));
        }
        let file: File =
            toml::from_str(text).map_err(|error| ListError(printable(error.to_string().trim(), 500)))?;
        let mut keys = Self::default();
        for entry in file.key {
            keys.add(entry)?;
        }
        Ok(keys)
    }

    /// As it is to be kept.
    pub fn to_text(&self) -> String {
        let mut text = String::from("# Keyed hashes of API keys, written by `stopbank-checker keys`.\n");
        for entry in &self.entries {
            // Ids, names and classes have nothing that would have to be escaped.
            let _ = write!(text, "\n[[key]]\nid = \"{}\"\nname = \"{}\"\n", entry.id, entry.name);
            if let Some(class) = &entry.class {
                let _ = writeln!(text, "class = \"{class}\"");
            }
            let _ = writeln!(text, "created = {}", entry.created);
            if let Some(expires) = entry.expires {
                let _ = writeln!(text, "expires = {expires}");
            }
            let _ = write!(text, "hash = \"");
            entry.hash.0.iter().for_each(|byte| {
                let _ = write!(text, "{byte:02x}");
            });
            text.push_str("\"\n");
        }
        text
    }

    /// The keys, in the order in which they were made.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds a key.
    ///
    /// # Errors
    ///
    /// A part of it is out of form, or the list is full.
    pub fn add(&mut self, entry: Entry) -> Result<(), ListError> {
        let shown = printable(&entry.id, 40);
        if !is_id(&entry.id) {
            return Err(ListError(format!("\"{shown}\" is no id: eight of 0-9 and a-z without i, l, o, u")));
        }
        let wrong =
            [Some(&entry.name), entry.class.as_ref()].into_iter().flatten().find(|name| !is_name(name));
        if let Some(wrong) = wrong {
            let wrong = printable(wrong, 40);
            return Err(ListError(format!(
                "\"{wrong}\" is no name: 1 to {LONGEST_NAME} letters, digits, `.`, `_`, `@` and `-`"
            )));
        }
        // TOML has no larger numbers.
        if entry.created.max(entry.expires.unwrap_or(0)) > i64::MAX as u64 {
            return Err(ListError(format!("a time of key {shown} is out of range")));
        }
        if self.entries.len() >= MOST_KEYS {
            return Err(ListError(format!("there are {MOST_KEYS} keys already")));
        }
        self.by_id.entry(entry.id.clone()).or_default().push(self.entries.len());
        self.entries.push(entry);
        Ok(())
    }

    /// Removes the keys that have this id, or else those of this name, and says which.
    pub fn remove(&mut self, id_or_name: &str) -> Vec<Entry> {
        let by_id = self.by_id.contains_key(id_or_name);
        let is_it = |entry: &Entry| if by_id { entry.id == id_or_name } else { entry.name == id_or_name };
        let (gone, kept): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.entries).into_iter().partition(is_it);
        self.by_id.clear();
        for (place, entry) in kept.iter().enumerate() {
            self.by_id.entry(entry.id.clone()).or_default().push(place);
        }
        self.entries = kept;
        gone
    }

    /// Lets the keys of a name that are good be so until `until` and no longer, and says the newest of them. A key whose time is over earlier keeps that.
    pub fn expire(&mut self, name: &str, now: u64, until: u64) -> Option<Entry> {
        let mut newest = None;
        for entry in self.entries.iter_mut().filter(|entry| entry.name == name && entry.is_good(now)) {
            entry.expires = Some(entry.expires.map_or(until, |expires| expires.min(until)));
            newest = Some(entry.clone());
        }
        newest
    }

    /// The key that was shown, if it is good at `now`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Why it is not. To whoever showed it, all of these should look the same.
    pub fn find(&self, hasher: &Hasher, key: &[u8], now: u64) -> Result<&Entry, Refused> {
        let parts = parse(key).ok_or(Refused::Malformed)?;
        let hash = hasher.hash(key);
        let places = self.by_id.get(parts.id).map_or(&[][..], Vec::as_slice);
        let mut found = None;
        for entry in places.iter().filter_map(|&place| self.entries.get(place)) {
            // In a time that does not tell how much of it was right.
            if entry.hash == hash {
                found = Some(entry);
            }
        }
        let entry = found.ok_or(Refused::Unknown)?;
        if entry.is_good(now) { Ok(entry) } else { Err(Refused::Expired) }
    }
}

impl Entry {
    /// Whether its time is not over, at `now` in seconds since 1970.
    pub fn is_good(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hasher(seed: u8) -> Hasher {
        Hasher::new(&[seed; 32]).unwrap()
    }

    fn entry(key: &str, name: &str, expires: Option<u64>) -> Entry {
        let id = parse(key.as_bytes()).unwrap().id.to_owned();
        Entry {
            id,
            name: name.to_owned(),
            class: None,
            created: 1,
            expires,
            hash: hasher(1).hash(key.as_bytes()),
        }
    }

    fn key(seed: u8) -> String {
        generate("sbk", &[seed; RANDOM]).unwrap().to_string()
    }

    #[test]
    fn a_key_is_found_while_it_is_good() {
        let mut keys = Keys::default();
        keys.add(entry(&key(1), "alice", None)).unwrap();
        keys.add(entry(&key(2), "bob", Some(100))).unwrap();
        let find = |keys: &Keys, key: &str, now| {
            keys.find(&hasher(1), key.as_bytes(), now).map(|entry| entry.name.clone())
        };
        assert_eq!(find(&keys, &key(1), 1_000).as_deref(), Ok("alice"));
        assert_eq!(find(&keys, &key(2), 99).as_deref(), Ok("bob"));
        assert_eq!(find(&keys, &key(2), 100), Err(Refused::Expired));
        assert_eq!(find(&keys, &key(3), 0), Err(Refused::Unknown));
        assert_eq!(find(&keys, "sbk_", 0), Err(Refused::Malformed));
        assert!(keys.find(&hasher(2), key(1).as_bytes(), 0).is_err(), "another server's secret");
        assert_eq!(keys.remove("alice").len(), 1);
        assert_eq!(find(&keys, &key(1), 0), Err(Refused::Unknown));
        assert_eq!(find(&keys, &key(2), 0).as_deref(), Ok("bob"));
        let id = keys.entries()[0].id.clone();
        assert_eq!(keys.remove(&id).len(), 1);
        assert!(Hasher::new(&[0; 31]).is_none());
    }

    #[test]
    fn two_keys_of_one_id_are_told_apart() {
        let mut random = [7; RANDOM];
        let first = generate("sbk", &random).unwrap();
        random[RANDOM - 1] = 8;
        let second = generate("sbk", &random).unwrap();
        let mut keys = Keys::default();
        keys.add(entry(&first, "first", None)).unwrap();
        keys.add(entry(&second, "second", None)).unwrap();
        for (key, name) in [(first, "first"), (second, "second")] {
            assert_eq!(keys.find(&hasher(1), key.as_bytes(), 0).unwrap().name, name);
        }
    }

    #[test]
    fn a_rotated_key_is_good_until_the_overlap_is_over() {
        let mut keys = Keys::default();
        keys.add(entry(&key(1), "alice", Some(120))).unwrap();
        keys.add(entry(&key(2), "alice", None)).unwrap();
        assert_eq!(keys.expire("alice", 50, 200).map(|entry| entry.id), Some(entry(&key(2), "", None).id));
        let expires: Vec<_> = keys.entries().iter().map(|entry| entry.expires).collect();
        assert_eq!(expires, [Some(120), Some(200)]);
        assert!(keys.expire("bob", 0, 1).is_none() && keys.expire("alice", 200, 300).is_none());
    }

    #[test]
    fn a_key_that_was_changed_anywhere_is_malformed() {
        let key = key(5).into_bytes();
        for place in 0..key.len() {
            for other in [b'0', b'z', b'_', b'A', 0xff, b' '] {
                let mut changed = key.clone();
                changed[place] = other;
                assert!(changed == key || parse(&changed).is_none(), "{place} {other}");
            }
            assert!(parse(&key[..place]).is_none());
        }
        assert!(parse(&[&key[..], b"\n"].concat()).is_none());
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_errors_say_where() {
        let mut keys = Keys::default();
        keys.add(Entry { class: Some("gold".to_owned()), ..entry(&key(1), "a@b.example", Some(9)) }).unwrap();
        keys.add(entry(&key(2), "bob", None)).unwrap();
        let text = keys.to_text();
        assert_eq!(Keys::parse(&text).unwrap().to_text(), text);
        assert!(!text.contains(&key(1)[12..40]), "the key itself");
        let hash = "0".repeat(64);
        for (wrong, said) in [
            ("[[key]]\nid = 5".to_owned(), "line 2"),
            (format!("[[key]]\nid = \"ilou0000\"\nname = \"a\"\ncreated = 0\nhash = \"{hash}\""), "is no id"),
            (
                format!("[[key]]\nid = \"00000000\"\nname = \"a\\\"\"\ncreated = 0\nhash = \"{hash}\""),
                "is no name",
            ),
            (
                "[[key]]\nid = \"00000000\"\nname = \"a\"\ncreated = 0\nhash = \"+0\"".to_owned(),
                "64 hexadecimal",
            ),
            ("[[keys]]".to_owned(), "unknown field"),
        ] {
            let error = Keys::parse(&wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    proptest! {
        #[test]
        fn keys_have_the_form_of_keys(random: [u8; RANDOM], prefix in "[a-z0-9]{1,16}") {
            let key = generate(&prefix, &random).unwrap();
            let parts = parse(key.as_bytes()).unwrap();
            prop_assert_eq!(parts.prefix, &prefix);
            prop_assert!(is_id(parts.id) && key.len() == prefix.len() + 48);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in ".*") {
            let _ = (parse(&bytes), Keys::parse(&text));
        }
    }
}
