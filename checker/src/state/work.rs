//! What is to be fetched: the engine says what, who calls it does it, and says what came of it.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{issuer::IssuerState, lock};
use crate::{
    policy::KeySource,
    tokens::{Fetch, LARGEST_SET},
};

/// Longest answer about a token, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// Something that is to be fetched. One that is dropped is given up when its time is over.
pub struct Work {
    issuer: Arc<IssuerState>,
    kind: Option<Kind>,
}

enum Kind {
    Keys(Fetch),
    /// About a token, by its SHA-256.
    Question([u8; 32], Zeroizing<String>),
}

/// How it is asked for. Redirections are not followed: an answer has the status 200.
pub struct Ask<'w> {
    /// `https://`, or `http://` to this host itself.
    pub url: &'w str,
    /// A file with the authorities that the server's certificate comes from; the system's where it is missing.
    pub ca: Option<&'w str>,
    /// `Authorization`, where there is one.
    pub authorization: Option<Zeroizing<String>>,
    /// A form that is sent by POST; it is a GET where there is none.
    pub form: Option<Zeroizing<String>>,
    /// Longest answer, in bytes.
    pub most: usize,
}

impl fmt::Debug for Work {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Work({:?})", self.issuer)
    }
}

impl Work {
    pub(super) const fn keys(issuer: Arc<IssuerState>, fetch: Fetch) -> Self {
        Self { issuer, kind: Some(Kind::Keys(fetch)) }
    }

    pub(super) const fn question(issuer: Arc<IssuerState>, name: [u8; 32], token: Zeroizing<String>) -> Self {
        Self { issuer, kind: Some(Kind::Question(name, token)) }
    }

    /// The issuer that it is for, as the policy calls it.
    pub fn issuer(&self) -> &str {
        &self.issuer.config.name
    }

    /// How it is asked for; `None` where there is nothing to ask.
    pub fn ask(&self) -> Option<Ask<'_>> {
        match self.kind.as_ref()? {
            Kind::Keys(_) => match &self.issuer.config.keys {
                Some(KeySource::Url(url)) => Some(Ask {
                    url: &url.url,
                    ca: url.ca.as_deref(),
                    authorization: None,
                    form: None,
                    most: LARGEST_SET,
                }),
                _ => None,
            },
            Kind::Question(_, token) => {
                let asked = self.issuer.config.introspection.as_ref()?;
                let (client, secret) = self.issuer.client()?;
                // RFC 6749, section 2.3.1: both are encoded as forms are, then joined.
                let mut pair = Zeroizing::new(Vec::new());
                encode(&mut pair, client.as_bytes());
                pair.push(b':');
                encode(&mut pair, secret.expose());
                let authorization = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
                let mut form = Zeroizing::new(b"token_type_hint=access_token&token=".to_vec());
                encode(&mut form, token.as_bytes());
                let form = Zeroizing::new(String::from_utf8_lossy(&form).into_owned());
                Some(Ask {
                    url: &asked.url,
                    ca: asked.ca.as_deref(),
                    authorization: Some(authorization),
                    form: Some(form),
                    most: LONGEST_ANSWER,
                })
            }
        }
    }

    /// Says what came of it: the body of an answer with the status 200, or nothing. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Why the answer cannot be used.
    pub fn done(mut self, answer: Option<&[u8]>, now: u64) -> Result<(), String> {
        self.end(answer, now)
    }

    /// Says that the server which was asked has answered, and wants nothing to do with what it was asked about. Of a token that is that token's matter: whoever sends such
    /// a one keeps no other from being asked about.
    pub fn turned_down(mut self, now: u64) {
        match self.kind.take() {
            Some(Kind::Question(name, _)) => self.issuer.turned_down(name, now),
            kind => {
                self.kind = kind;
                let _ = self.end(None, now);
            }
        }
    }

    fn end(&mut self, answer: Option<&[u8]>, now: u64) -> Result<(), String> {
        match self.kind.take() {
            Some(Kind::Keys(fetch)) => self.issuer.fetched(fetch, answer, now),
            Some(Kind::Question(name, token)) => self.issuer.answered(name, &token, answer, now),
            None => Ok(()),
        }
    }
}

/// As forms are encoded (WHATWG URL, application/x-www-form-urlencoded).
fn encode(out: &mut Vec<u8>, text: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(byte),
            b' ' => out.push(b'+'),
            other => {
                let digit = |bits: u8| DIGITS.get(usize::from(bits & 15)).copied().unwrap_or_default();
                out.extend([b'%', digit(other >> 4), digit(other)]);
            }
        }
    }
}

/// Work that nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Queue {
    is_there: AtomicBool,
    work: Mutex<Vec<Work>>,
}

impl Queue {
    pub(super) fn add(&self, work: Work) {
        lock(&self.work).push(work);
        self.is_there.store(true, Ordering::Release);
    }

    /// All of it. It costs nothing where there is none.
    pub(super) fn take(&self) -> Vec<Work> {
        if !self.is_there.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut lock(&self.work))
    }
}
