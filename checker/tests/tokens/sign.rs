//! Who signs, in tests: keys are made when they are needed, and none is kept.

use std::{process::Command, sync::OnceLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p521::elliptic_curve::rand_core;
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
    rsa::PublicKeyComponents,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use serde_json::{Value, json};
use stopbank_checker::tokens::{Algorithm, KeySet, Rules};

/// When the tests are, in seconds since the Unix epoch.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Private {
    Rsa(&'static RsaKeyPair),
    Curve(EcdsaKeyPair),
    P521(Box<p521::ecdsa::SigningKey>),
    Edwards(Ed25519KeyPair),
    Secret(Vec<u8>),
}

/// A key that signs.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) id: &'static str,
    private: Private,
}

pub(crate) fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}

/// ring's random numbers for a crate that asks for those of another. That other one is a feature of the crate, with which much would be compiled once
/// more for tests.
struct Randomness(SystemRandom);

impl rand_core::RngCore for Randomness {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes).unwrap();
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core::CryptoRng for Randomness {}

/// ring makes none: openssl does, once for all tests.
fn rsa() -> &'static RsaKeyPair {
    static PAIR: OnceLock<RsaKeyPair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"])
            .output()
            .unwrap();
        // Some versions wrap the key (PKCS #8), as they are asked to; others do not.
        RsaKeyPair::from_pkcs8(&made.stdout).or_else(|_| RsaKeyPair::from_der(&made.stdout)).unwrap()
    })
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm, id: &'static str) -> Self {
        let random_source = SystemRandom::new();
        let curve = |kind: &'static signature::EcdsaSigningAlgorithm| {
            let made = EcdsaKeyPair::generate_pkcs8(kind, &random_source).unwrap();
            Private::Curve(EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random_source).unwrap())
        };
        let private = match algorithm {
            Algorithm::Es256 => curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => {
                let mut scalar = random(66);
                scalar[0] = 0;
                Private::P521(Box::new(p521::ecdsa::SigningKey::from_slice(&scalar).unwrap()))
            }
            Algorithm::Ed25519 => {
                let made = Ed25519KeyPair::generate_pkcs8(&random_source).unwrap();
                Private::Edwards(Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap())
            }
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => Private::Secret(random(64)),
            _ => Private::Rsa(rsa()),
        };
        Self { algorithm, id, private }
    }

    /// One that signs with HMAC and a secret of somebody's choice.
    pub(crate) const fn with_secret(algorithm: Algorithm, id: &'static str, secret: Vec<u8>) -> Self {
        Self { algorithm, id, private: Private::Secret(secret) }
    }

    /// The key that verifies, as a member of a set.
    pub(crate) fn jwk(&self) -> Value {
        let point = |name: &str, point: &[u8]| {
            let half = point.len() / 2;
            json!({ "kty": "EC", "crv": name, "x": encode(&point[1..=half]), "y": encode(&point[half + 1..]) })
        };
        let mut jwk = match &self.private {
            Private::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "n": encode(public.n), "e": encode(public.e) })
            }
            Private::Curve(pair) => {
                let name = if self.algorithm == Algorithm::Es256 { "P-256" } else { "P-384" };
                point(name, pair.public_key().as_ref())
            }
            Private::P521(key) => {
                let key = p521::ecdsa::VerifyingKey::from(&**key);
                point("P-521", key.to_encoded_point(false).as_bytes())
            }
            Private::Edwards(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
            Private::Secret(secret) => json!({ "kty": "oct", "k": encode(secret) }),
        };
        jwk["alg"] = self.algorithm.name().into();
        jwk["kid"] = self.id.into();
        jwk
    }

    /// The set with this key alone.
    pub(crate) fn keys(&self) -> KeySet {
        set(&[self])
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let source = SystemRandom::new();
        match &self.private {
            Private::Rsa(pair) => {
                let kind: &'static dyn signature::RsaEncoding = match self.algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(kind, &source, message, &mut signed).unwrap();
                signed
            }
            Private::Curve(pair) => pair.sign(&source, message).unwrap().as_ref().to_vec(),
            Private::P521(key) => {
                use p521::ecdsa::{Signature, signature::RandomizedSigner as _};
                let signed: Signature = key.sign_with_rng(&mut Randomness(source), message);
                signed.to_bytes().to_vec()
            }
            Private::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
            Private::Secret(secret) => {
                let hash = match self.algorithm {
                    Algorithm::Hs256 => hmac::HMAC_SHA256,
                    Algorithm::Hs384 => hmac::HMAC_SHA384,
                    _ => hmac::HMAC_SHA512,
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
        }
    }

    /// A token of these bytes, whatever they are.
    pub(crate) fn raw(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        format!("{signed}.{}", encode(self.sign(signed.as_bytes())))
    }

    /// A token with these claims, and members of the header beside `alg` and `kid`. `null` takes a member out.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let mut whole = json!({ "alg": self.algorithm.name(), "kid": self.id });
        merge(&mut whole, header);
        self.raw(whole.to_string(), claims.to_string())
    }
}

/// The set of these keys.
pub(crate) fn set(signers: &[&Signer]) -> KeySet {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    let rules = Rules { algorithms: Algorithm::ALL.to_vec(), secrets: true };
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), &rules).unwrap()
}

/// Puts members into an object; `null` takes one out.
pub(crate) fn merge(into: &mut Value, members: &Value) {
    let into = into.as_object_mut().unwrap();
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            into.remove(name);
        } else {
            into.insert(name.clone(), value.clone());
        }
    }
}
