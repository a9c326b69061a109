//! Tokens that prove that one of our own pages sent a form: in a cookie, and again in a header or field, which no other site can read.
//!
//! A token is bound to a session: one of another session, or one that a neighbouring subdomain has put into the cookie, is none
//! (OWASP, "Cross-Site Request Forgery Prevention", signed double-submit cookie).

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::hmac;
use subtle::ConstantTimeEq as _;

/// Tells these tokens from whatever else is signed with the same secret.
const PURPOSE: &[u8] = b"stopbank csrf 1\0";
/// Shortest secret, in bytes (RFC 2104, section 3: not below the hash's length).
const SHORTEST_SECRET: usize = 32;
/// Bytes of a token: 8 for when, 16 that are random, 32 of signature.
const LENGTH: usize = 56;
/// How far ahead another host's clock may be.
const AHEAD: Duration = Duration::from_secs(60);

/// Issues tokens and knows them again.
pub struct Signer {
    /// The first signs; all verify.
    keys: Vec<hmac::Key>,
}

/// Why a token does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Invalid {
    /// The cookie and what came beside it are not the same, or one is missing.
    #[error("cookie and token are not the same")]
    Differs,
    /// It is none.
    #[error("it is no token")]
    Malformed,
    /// Its signature is wrong: it is another session's, or made up.
    #[error("its signature is wrong, or another session's")]
    Signature,
    /// It is older than allowed, or from the future.
    #[error("it is too old, or from the future")]
    Age,
}

impl Signer {
    /// With secrets of 32 random bytes or more, the present one first; those before it still verify. `None` if there is none, or one is shorter.
    pub fn new(secrets: &[&[u8]]) -> Option<Self> {
        if secrets.is_empty() || secrets.iter().any(|secret| secret.len() < SHORTEST_SECRET) {
            return None;
        }
        let key = |secret: &&[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret);
        Some(Self { keys: secrets.iter().map(key).collect() })
    }

    /// A token for a session, 75 characters of a URL. `random` is to be random each time; `now` since 1970.
    pub fn issue(&self, session: &[u8], random: [u8; 16], now: Duration) -> String {
        let head: [u8; 24] = {
            let mut head = [0; 24];
            let (when, rest) = head.split_at_mut(8);
            when.copy_from_slice(&now.as_secs().to_be_bytes());
            rest.copy_from_slice(&random);
            head
        };
        let signature = self.keys.first().map(|key| hmac::sign(key, &message(session, &head)));
        BASE64.encode([&head[..], signature.as_ref().map_or(&[], AsRef::as_ref)].concat())
    }

    /// Whether a token is good: the same in the cookie and beside it, this session's, and no older than `age`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn verify(
        &self,
        cookie: &[u8],
        beside: &[u8],
        session: &[u8],
        now: Duration,
        age: Duration,
    ) -> Result<(), Invalid> {
        if cookie.is_empty() || !bool::from(cookie.ct_eq(beside)) {
            return Err(Invalid::Differs);
        }
        if cookie.len() != (LENGTH * 4).div_ceil(3) {
            return Err(Invalid::Malformed);
        }
        let token = BASE64.decode(cookie).map_err(|_| Invalid::Malformed)?;
        let (head, signature) = token.split_at_checked(24).ok_or(Invalid::Malformed)?;
        let message = message(session, head);
        // Verified in a time that does not depend on how much of it is right.
        if !self.keys.iter().any(|key| hmac::verify(key, &message, signature).is_ok()) {
            return Err(Invalid::Signature);
        }
        let when = head.first_chunk().map(|when| u64::from_be_bytes(*when)).ok_or(Invalid::Malformed)?;
        let issued = Duration::from_secs(when);
        if issued > now.saturating_add(AHEAD) || now.saturating_sub(issued) > age {
            return Err(Invalid::Age);
        }
        Ok(())
    }
}

/// Purpose, session and head, told apart whatever is in them.
fn message(session: &[u8], head: &[u8]) -> Vec<u8> {
    [PURPOSE, &(session.len() as u64).to_be_bytes(), session, head].concat()
}
