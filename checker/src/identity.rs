//! Who asks: what a token, a key or a certificate has proven.

use std::sync::Arc;

use serde_json::{Map, Value};

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
}

impl std::fmt::Debug for Identity {
    /// Neither claims nor the credential's hash.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Identity({} of {}, {:?})", self.kind.name(), self.issuer, self.subject)
    }
}
