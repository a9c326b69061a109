//! Tokens of an issuer of the benchmark's own, good ones and a bad one, and the policy that demands them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::json;

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "https://api.example";
/// Tokens that whoever verifies remembers, where it does.
pub(crate) const REMEMBERED: usize = 4096;
/// Different ones that are asked with in turn: so many more than anyone remembers that each is new when it comes again.
const DIFFERENT: usize = 8 * REMEMBERED;
/// Seconds for which they are good.
const LIFE: u64 = 24 * 3600;

/// Tokens, and the keys that verify them.
pub(crate) struct Tokens {
    /// The set of keys (RFC 7517).
    pub(crate) keys: String,
    /// Good ones, no two of them the same.
    pub(crate) good: Vec<String>,
    /// One that another key has signed.
    pub(crate) forged: String,
}

/// ES256: a signature that is quick to make and takes time to verify.
struct Signer(EcdsaKeyPair, SystemRandom);

impl Signer {
    fn new() -> Result<Self> {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let made = EcdsaKeyPair::generate_pkcs8(kind, &random).map_err(|_| anyhow!("no key was made"))?;
        let pair = EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random)
            .map_err(|error| anyhow!("the key that was made is refused: {error}"))?;
        Ok(Self(pair, random))
    }

    fn keys(&self) -> String {
        // An uncompressed point: a byte that says so, then two numbers of 32 bytes.
        let point = self.0.public_key().as_ref();
        let [x, y] = [1..33, 33..65].map(|range| URL_SAFE_NO_PAD.encode(&point[range]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "bench", "x": x, "y": y }] })
            .to_string()
    }

    fn token(&self, number: usize, now: u64) -> Result<String> {
        let header = json!({ "alg": "ES256", "kid": "bench", "typ": "at+jwt" });
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "0c8f7e5a-6a9f-4f0e-9d0c-000000000001", "client_id": "application",
            "iat": now, "exp": now + LIFE, "jti": format!("b1b1b1b1-0000-4000-8000-{number:012}"),
            "scope": "orders:read orders:write profile",
        });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature =
            self.0.sign(&self.1, signed.as_bytes()).map_err(|_| anyhow!("no signature was made"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Tokens {
    pub(crate) fn new() -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (signer, other) = (Signer::new()?, Signer::new()?);
        let good = (0..DIFFERENT).map(|number| signer.token(number, now)).collect::<Result<_>>()?;
        Ok(Self { keys: signer.keys(), good, forged: other.token(0, now)? })
    }
}

/// The policy `generic`, with a token for everything. Its keys are in `keys.json` beside it.
pub(crate) fn policy() -> String {
    format!(
        "undeclared = \"allow\"\ndeadline = \"1s\"\nidentity = [\"bench\"]\n[[issuer]]\nname = \"bench\"\nissuer = \"{ISSUER}\"\n\
         audiences = [\"{AUDIENCE}\"]\nkeys = {{ file = \"keys.json\" }}\ncache = {REMEMBERED}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stopbank_checker::tokens::{Algorithm, Expected, KeySet, Profile, Rules, verify};

    use super::*;

    #[test]
    fn good_ones_are_good_and_the_forged_one_is_not() {
        let tokens = Tokens::new().unwrap();
        let rules = Rules { algorithms: vec![Algorithm::Es256], secrets: false };
        let keys = KeySet::read(tokens.keys.as_bytes(), &rules).unwrap();
        let expected = Expected {
            issuer: ISSUER.to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
            profile: Profile::AccessToken,
            leeway: 0,
            longest_life: None,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since: Duration| since.as_secs());
        for good in [&tokens.good[0], &tokens.good[DIFFERENT - 1]] {
            verify(good, &keys, &expected, now).unwrap();
        }
        assert_ne!(tokens.good[0], tokens.good[1]);
        verify(&tokens.forged, &keys, &expected, now).unwrap_err();
    }

    #[test]
    fn the_policy_is_generic_but_for_the_token() {
        let generic = stopbank_checker::Policy::shipped("generic").unwrap();
        let policy = policy();
        let (policy, _) = policy.split_once("identity").unwrap();
        let read = stopbank_checker::Policy::parse("policy.toml", policy).unwrap();
        assert_eq!(read.render(), generic.render());
    }
}
