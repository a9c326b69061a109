//! JWS in compact serialisation (RFC 7515): three parts, a strict header, and a signature by a key that is known beforehand.

use serde_json::Value;

use super::{Algorithm, Key, KeySet, Object, Problem, base64url, object};
use crate::json;

/// Longest token, in bytes. Proxies cut headers at 8 KiB or refuse them.
pub const LONGEST_TOKEN: usize = 8 << 10;
/// Longest header, in bytes, encoded.
const LONGEST_HEADER: usize = 4 << 10;
/// Longest name of a key or type, in bytes.
const LONGEST_NAME: usize = 256;
/// Keys that are tried where the header does not say which it is.
const MOST_TRIED: usize = 4;

/// Members by which a token would choose its own key (RFC 8725, sections 3.1 and 3.10).
const OWN_KEYS: [&str; 4] = ["jwk", "jku", "x5c", "x5u"];

/// What a header says, as far as it is heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// `alg`.
    pub algorithm: Algorithm,
    /// `kid`: compared, and nothing else.
    pub key_id: Option<String>,
    /// `typ`, in lower case and without `application/`.
    pub typ: Option<String>,
}

/// A JWS that could be read. Nothing in it is to be believed before [`Compact::verify`].
#[derive(Clone, Debug)]
pub struct Compact<'t> {
    /// The header.
    pub header: Header,
    /// `jwk`, of a proof alone.
    pub(super) own_key: Option<Object>,
    signed: &'t [u8],
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Whether the header may bring the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OwnKey {
    /// It must not: the key is known beforehand.
    Refused,
    /// It must: a proof of possession (RFC 9449, section 4.2).
    Demanded,
}

impl<'t> Compact<'t> {
    /// Reads a token, up to the point where a key is needed.
    ///
    /// # Errors
    ///
    /// The first [`Problem`].
    pub fn read(token: &'t str) -> Result<Self, Problem> {
        Self::read_with(token, OwnKey::Refused)
    }

    pub(super) fn read_with(token: &'t str, own_key: OwnKey) -> Result<Self, Problem> {
        if token.len() > LONGEST_TOKEN {
            return Err(Problem::Length);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Problem::Serialization);
        };
        match parts.count() {
            0 => {}
            2 => return Err(Problem::Encrypted),
            _ => return Err(Problem::Serialization),
        }
        if header.len() > LONGEST_HEADER {
            return Err(Problem::Header);
        }
        let signed =
            token.as_bytes().get(..header.len() + 1 + payload.len()).ok_or(Problem::Serialization)?;
        let [header, payload, signature] =
            [header, payload, signature].map(|part| base64url::decode(part).ok_or(Problem::Encoding));
        let mut members = object(&header?, &super::JSON).ok_or(Problem::Header)?;
        let header = read_header(&members, own_key)?;
        let own_key = match members.remove("jwk") {
            Some(Value::Object(key)) => Some(key),
            _ => None,
        };
        Ok(Self { header, own_key, signed, payload: payload?, signature: signature? })
    }

    /// The payload, if one of the keys has signed it, and that key. Only a key that the header may mean is tried (RFC 7515, appendix D), with its
    /// own algorithm and no other (RFC 8725, section 3.1).
    ///
    /// # Errors
    ///
    /// [`Problem::KeyUnknown`], [`Problem::KeyAmbiguous`], [`Problem::AlgorithmMismatch`] or [`Problem::Signature`].
    pub fn verify<'k>(&self, keys: &'k KeySet) -> Result<(&[u8], &'k Key), Problem> {
        let meant = |key: &&Key| match (&self.header.key_id, key.id()) {
            (Some(wanted), Some(id)) => wanted == id,
            (None, _) | (_, None) => true,
        };
        let mut meant = keys.iter().filter(meant).peekable();
        if meant.peek().is_none() {
            return Err(Problem::KeyUnknown);
        }
        let fitting: Vec<&Key> = meant.filter(|key| key.algorithm() == self.header.algorithm).collect();
        if fitting.is_empty() {
            return Err(Problem::AlgorithmMismatch);
        }
        if fitting.len() > MOST_TRIED {
            return Err(Problem::KeyAmbiguous);
        }
        let signer = fitting.into_iter().find(|key| self.is_signed_by(key));
        signer.map(|key| (&*self.payload, key)).ok_or(Problem::Signature)
    }

    /// Whether this key has signed.
    pub(super) fn is_signed_by(&self, key: &Key) -> bool {
        key.algorithm() == self.header.algorithm && key.verifies(self.signed, &self.signature)
    }

    /// What it carries, which nobody has vouched for.
    pub(super) fn unverified(&self) -> &[u8] {
        &self.payload
    }
}

/// Names and types are compared only: no control characters, and not longer than sense has it.
fn name(value: &Value) -> Option<&str> {
    let name = value.as_str()?;
    let fits = (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
    fits.then_some(name)
}

fn read_header(members: &Object, own_key: OwnKey) -> Result<Header, Problem> {
    // RFC 7516, section 9: a JWE has this, and a JWS has not.
    if members.contains_key("enc") {
        return Err(Problem::Encrypted);
    }
    // RFC 7515, section 4.1.11: what is critical must be understood, and nothing is. An empty list, or one with registered names, is wrong anyway.
    if members.contains_key("crit") {
        return Err(Problem::Critical);
    }
    // RFC 7797, section 7: JWTs do not use it.
    if members.contains_key("b64") {
        return Err(Problem::Unencoded);
    }
    if members.contains_key("zip") {
        return Err(Problem::Compressed);
    }
    let is_own =
        |member: &str| members.contains_key(member) && (member != "jwk" || own_key == OwnKey::Refused);
    if OWN_KEYS.into_iter().any(is_own) {
        return Err(Problem::KeyInToken);
    }
    let algorithm = match members.get("alg") {
        Some(Value::String(name)) if name.trim().eq_ignore_ascii_case("none") => {
            return Err(Problem::AlgorithmNone);
        }
        Some(Value::String(name)) => Algorithm::of(name).ok_or(Problem::AlgorithmUnknown)?,
        // RFC 7515, section 4.1.1: it must be there.
        _ => return Err(Problem::Header),
    };
    let typ =
        members.get("typ").map(|value| name(value).map(media_type).ok_or(Problem::Header)).transpose()?;
    let content =
        members.get("cty").map(|value| name(value).map(media_type).ok_or(Problem::Header)).transpose()?;
    // RFC 7519, section 5.2: so a nested token says that it is one.
    if content.is_some_and(|content| content == "jwt" || content.ends_with("+jwt")) {
        return Err(Problem::Nested);
    }
    let key_id = members.get("kid").map(|value| name(value).map(str::to_owned).ok_or(Problem::KeyId));
    Ok(Header { algorithm, key_id: key_id.transpose()?, typ })
}

/// Media types are compared without regard to case, and `application/` may be left out (RFC 7515, section 4.1.9).
fn media_type(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match lower.strip_prefix("application/") {
        Some(short) if !short.contains('/') => short.to_owned(),
        _ => lower,
    }
}

/// What a set of keys may be as JSON: certificates beside keys make it larger than a token.
pub(super) const SET_JSON: json::Limits = json::Limits {
    depth: 8,
    entries: 128,
    name_length: 256,
    elements: 256,
    string_length: 32 << 10,
    number_length: 32,
    values: 8_192,
    repeated_names: false,
};
