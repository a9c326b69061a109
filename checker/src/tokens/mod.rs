//! Tokens: whether a JSON Web Token is one, whose, for whom and until when.
//!
//! Verification is by RFC 7515 (JWS), 7517 (JWK), 7518 (JWA), 7519 (JWT), 8725 (best current practices), 9068 (access tokens) and 8037 (Ed25519). Where
//! these leave a choice, the stricter reading holds: one serialisation, one algorithm for each key, no key from the token itself.
//! As all of this library: no I/O and no clock. `now` is in seconds since the Unix epoch, and who calls brings keys.
//!
//! Signatures are verified by ring; P-521, which it lacks, by the crate p521.

mod algorithm;
mod base64url;
mod binding;
mod cache;
mod challenge;
mod claims;
mod credential;
mod explain;
mod guard;
mod introspection;
mod jws;
mod key;
mod key_set;
mod problem;
mod proof;
mod refresh;
mod replay;
mod revoked;
mod uri;

pub use algorithm::Algorithm;
pub use binding::{Scheme, certificate_thumbprint, check_binding};
pub use cache::Cache;
pub use challenge::Challenge;
pub use claims::{Confirmation, Expected, MOST_LEEWAY, Profile, Verified, issuer_of, verify};
pub use credential::{Credential, credential};
pub use explain::{Explained, Wanted, explain};
pub use guard::{Guard, Judged};
pub use introspection::introspected;
pub use jws::{Compact, Header, LONGEST_TOKEN};
pub use key::{Key, KeyProblem, Thumbprint};
pub use key_set::{KeySet, LARGEST_SET, MOST_KEYS, Note, Rules, SetProblem};
pub use problem::{Class, Problem};
pub use proof::{Nonces, Proof, ProofRules, Target, check_proof};
pub use refresh::{Fetch, Refresh, Times};
pub use replay::Replays;
pub use revoked::{Full, ListProblem, Revocations};

use crate::json;

/// What JSON in a token may be: all of it fits into [`LONGEST_TOKEN`].
const JSON: json::Limits = json::Limits {
    depth: 8,
    entries: 128,
    name_length: 256,
    elements: 256,
    string_length: 8 << 10,
    number_length: 32,
    values: 1_024,
    repeated_names: false,
};

/// An object, as a map.
type Object = serde_json::Map<String, serde_json::Value>;

/// Reads an object strictly: the checker's own reader refuses what two readers could take differently, a name that stands twice above all
/// (RFC 7515, section 4; RFC 7519, section 4), and what follows the object. Only then it is built.
fn object(bytes: &[u8], limits: &json::Limits) -> Option<Object> {
    json::read(bytes, limits, &mut |_, _| {}).ok()?;
    match serde_json::from_slice(bytes).ok()? {
        serde_json::Value::Object(object) => Some(object),
        _ => None,
    }
}
