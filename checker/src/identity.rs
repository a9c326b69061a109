//! Who asks: what a token, a key or a certificate has proven.

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Map, Value, json};

/// How long a server behind may take what it is told for true, in seconds.
const TOLD: u64 = 60;

/// By what an identity was proven.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IdentityKind {
    /// An access token.
    Token,
    /// An API key.
    Key,
    /// A client certificate.
    Certificate,
}

impl IdentityKind {
    /// As logs have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Key => "key",
            Self::Certificate => "certificate",
        }
    }
}

/// Who asks. The credential itself is not in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// By what it was proven.
    pub kind: IdentityKind,
    /// Who has vouched for it, as the policy calls that: an issuer's name, `key` or `certificate`.
    pub issuer: Arc<str>,
    /// Whose it is: `sub`, the name of a key's holder, a name of the certificate.
    pub subject: Option<String>,
    /// Which credential: `jti`, the id of a key, the thumbprint of a certificate in hexadecimal. `None` where it has no name.
    pub id: Option<String>,
    /// SHA-256 of the credential. Whoever knows it has learned nothing of the credential, but it is kept out of logs all the same.
    pub hash: [u8; 32],
    /// The class of a key's holder, for rates.
    pub class: Option<String>,
    /// What is said of it: a token's claims; of keys and certificates the same by the names `sub`, `class` and `san`.
    pub claims: Arc<Map<String, Value>>,
}

impl Identity {
    /// A claim.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// The scopes: those of `scope` (RFC 8693, section 4.2), or `scp`, an array, where some issuers have them.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let text = self.claim("scope").and_then(Value::as_str).into_iter().flat_map(|scope| scope.split(' '));
        let array = self.claim("scp").and_then(Value::as_array).into_iter().flatten();
        text.chain(array.filter_map(Value::as_str)).filter(|scope| !scope.is_empty())
    }

    /// As a server behind is told: JSON in ASCII, or, with a key and an audience, a token (HS256). `now` is in seconds since the Unix epoch.
    pub(crate) fn told(&self, signed: Option<(&hmac::Key, &str)>, now: u64) -> String {
        let scopes: Vec<&str> = self.scopes().collect();
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("kind", json!(self.kind.name()));
        add("issuer", json!(&*self.issuer));
        for (name, value) in [("sub", &self.subject), ("id", &self.id), ("class", &self.class)] {
            if let Some(value) = value {
                add(name, json!(value));
            }
        }
        if !scopes.is_empty() {
            add("scope", json!(scopes.join(" ")));
        }
        let Some((key, audience)) = signed else { return ascii(&Value::Object(members).to_string()) };
        add("iss", json!("stopbank"));
        add("aud", json!(audience));
        add("iat", json!(now));
        add("exp", json!(now.saturating_add(TOLD)));
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!(
            "{}.{}",
            encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            encode(&Value::Object(members).to_string())
        );
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

impl std::fmt::Debug for Identity {
    /// Neither claims nor the credential's hash.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Identity({} of {}, {:?})", self.kind.name(), self.issuer, self.subject)
    }
}

/// JSON whose characters are all of a header's: others are escaped (RFC 8259, section 7), and none is within a line break.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}
