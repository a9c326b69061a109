//! Proofs of possession (DPoP, RFC 9449): a small token for each request, signed with a key that the access token is bound to.

use ring::hmac;
use subtle::ConstantTimeEq as _;

use super::{
    Algorithm, Key, Problem, Rules, base64url,
    claims::{claims, date, text},
    jws::{Compact, OwnKey},
    key::{Thumbprint, sha256},
    uri,
};

/// Longest `jti` of a proof, in bytes.
const LONGEST_ID: usize = 256;

/// What proofs must be.
#[derive(Clone, Debug)]
pub struct ProofRules {
    /// Algorithms that may sign them; symmetric ones never may (RFC 9449, section 4.3, step 5).
    pub algorithms: Vec<Algorithm>,
    /// How old a proof may be, in seconds. So long its `jti` is remembered.
    pub oldest: u64,
    /// How far in the future it may be, in seconds: clocks differ.
    pub ahead: u64,
}

impl Default for ProofRules {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::Es256, Algorithm::Ed25519, Algorithm::Ps256],
            oldest: 60,
            ahead: 5,
        }
    }
}

/// The request that a proof is for, as its client has it: behind a proxy, that is not what the server behind sees.
#[derive(Clone, Copy, Debug)]
pub struct Target<'r> {
    /// The method.
    pub method: &'r str,
    /// `https` or `http`.
    pub scheme: &'r str,
    /// Host and port, as in `Host`.
    pub authority: &'r str,
    /// The path, without the query.
    pub path: &'r str,
}

/// A proof that is right. That it was not used before is [`Replays`](super::Replays)' to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof {
    /// Who has signed it.
    pub key: Thumbprint,
    /// Its `jti`, and what it is for, hashed.
    pub(super) name: [u8; 32],
    /// From then on it is too old to be used.
    pub(super) until: u64,
}

/// Checks a proof, all but its being new (RFC 9449, section 4.3, steps 2 to 12). `token` is the access token that comes with it; `nonces` are those that the
/// server has given out, where it demands one.
///
/// # Errors
///
/// The first [`Problem`]; [`Problem::NonceMissing`] where a new nonce is to be sent along (section 9).
pub fn check_proof(
    proof: &str,
    target: &Target<'_>,
    token: &str,
    nonces: Option<&[String]>,
    rules: &ProofRules,
    now: u64,
) -> Result<Proof, Problem> {
    let compact = Compact::read_with(proof, OwnKey::Demanded).map_err(|_| Problem::Proof)?;
    if compact.header.typ.as_deref() != Some("dpop+jwt") || compact.header.algorithm.is_symmetric() {
        return Err(Problem::Proof);
    }
    let members = compact.own_key.as_ref().ok_or(Problem::Proof)?;
    // With one algorithm in the rules, a key that is for another, or is private, or a secret, is none.
    let algorithms =
        rules.algorithms.iter().copied().filter(|one| *one == compact.header.algorithm).collect();
    let key = Key::read(members, &Rules { algorithms, secrets: false }).map_err(|_| Problem::ProofKey)?;
    if !compact.is_signed_by(&key) {
        return Err(Problem::ProofSignature);
    }
    let claims = claims(compact.unverified()).map_err(|_| Problem::Proof)?;
    let member = |name| text(&claims, name).ok().flatten().ok_or(Problem::Proof);
    let id = member("jti")?;
    if id.len() > LONGEST_ID {
        return Err(Problem::Proof);
    }
    if member("htm")? != target.method || !uri::is_of(member("htu")?, target) {
        return Err(Problem::ProofTarget);
    }
    check_nonce(text(&claims, "nonce").map_err(|_| Problem::Proof)?, nonces)?;
    let issued = date(&claims, "iat", f64::floor).ok().flatten().ok_or(Problem::Proof)?;
    let until = issued.saturating_add(rules.oldest);
    if now >= until || issued > now.saturating_add(rules.ahead) {
        return Err(Problem::ProofTime);
    }
    if member("ath")? != base64url::encode(sha256(token.as_bytes())) {
        return Err(Problem::ProofToken);
    }
    let key = *key.thumbprint();
    let name = sha256(&[&key[..], id.as_bytes()].concat());
    Ok(Proof { key, name, until })
}

fn check_nonce(nonce: Option<&str>, nonces: Option<&[String]>) -> Result<(), Problem> {
    let Some(nonces) = nonces else { return Ok(()) };
    let nonce = nonce.ok_or(Problem::NonceMissing)?;
    if nonces.iter().any(|one| one.as_bytes().ct_eq(nonce.as_bytes()).into()) {
        Ok(())
    } else {
        Err(Problem::NonceMissing)
    }
}

/// Nonces that need no memory: a keyed hash of the time, in periods (RFC 9449, section 8). Of each server that has the same key they are the same.
pub struct Nonces {
    key: hmac::Key,
    period: u64,
}

impl Nonces {
    /// `key` is random; a nonce counts for one period to two, in seconds.
    pub fn new(key: &[u8; 32], period: u64) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), period: period.max(1) }
    }

    /// The one to give out.
    pub fn current(&self, now: u64) -> String {
        self.of(now / self.period)
    }

    /// Those that count.
    pub fn accepted(&self, now: u64) -> [String; 2] {
        let period = now / self.period;
        [self.of(period), self.of(period.saturating_sub(1))]
    }

    fn of(&self, period: u64) -> String {
        base64url::encode(hmac::sign(&self.key, &period.to_be_bytes()))
    }
}
