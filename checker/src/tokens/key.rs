//! Keys as RFC 7517 and 7518, section 6, have them, each with the one algorithm that it is for (RFC 8725, section 3.1).

use ring::{digest, hmac, signature};
use serde_json::Value;

use super::{Algorithm, Object, algorithm::Family, base64url, key_set::Rules};

/// The SHA-256 thumbprint of a key (RFC 7638).
pub type Thumbprint = [u8; 32];

/// Longest name of a key, in bytes.
const LONGEST_ID: usize = 256;
/// Moduli of RSA, in bits: RFC 7518, section 3.3, has the least; the work of one verification the most.
const MODULUS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Exponents of RSA: NIST SP 800-56B, section 6.2, has the least (65,537); a longer one makes verification a way to keep a processor busy.
const EXPONENT: std::ops::RangeInclusive<u64> = 65_537..=0x1_ffff_ffff;
/// Members that only who signs may have.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// Points of Ed25519 of small order, y alone, little-endian, in every encoding: a key that is one makes anybody's signature valid.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    edge(1, 0, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    edge(0xec, 0xff, 0x7f),
    edge(0xed, 0xff, 0x7f),
    edge(0xee, 0xff, 0x7f),
];

const fn edge(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Why a key is not used. Other keys of its set are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyProblem {
    /// RFC 7517, section 5: what is not understood is left out.
    #[error("its type (kty) is none that signs here")]
    Type,
    /// A curve that no algorithm here is on.
    #[error("its curve (crv) is none that signs here")]
    Curve,
    /// RFC 7517, section 4.2.
    #[error("it is not for signatures (use)")]
    Use,
    /// RFC 7517, section 4.3.
    #[error("it is not for verification, or says something twice (key_ops)")]
    Operations,
    /// RFC 7517, section 4.4.
    #[error("its algorithm (alg) is unknown, or is none for such a key")]
    Algorithm,
    /// Not among those that the configuration allows.
    #[error("its algorithm is not allowed")]
    NotAllowed,
    /// A member that must be there is not, or is no string.
    #[error("a member is missing, or has a wrong type")]
    Member,
    /// RFC 7518, section 2: the shortest form, of the right length.
    #[error("a member is not base64url, or not of the length that it must have")]
    Encoding,
    /// The name of a key is a string of 1 to 256 bytes.
    #[error("its name (kid) is empty, too long, or no string")]
    Name,
    /// What everybody can read, everybody can sign with.
    #[error("it is a private key, which must not be published")]
    Private,
    /// RFC 7518, section 3.3: 2048 bits or more.
    #[error("its modulus has fewer than 2048 bits, more than 8192, or is even")]
    Modulus,
    /// Too small, too large, or even.
    #[error("its exponent is even, below 65537, or of more than 33 bits")]
    Exponent,
    /// RFC 8725, section 3.4: inputs of elliptic curves are validated.
    #[error("its point is not on the curve")]
    OffCurve,
    /// With such a point every signature is valid.
    #[error("its point is of small order")]
    SmallOrder,
    /// A published secret is none; one of a configuration is allowed where it says so.
    #[error("it is a secret, which a published set must not hold")]
    Secret,
    /// RFC 7518, section 3.2; RFC 8725, section 3.5.
    #[error("it is a secret shorter than the hash")]
    WeakSecret,
    /// A public key that is taken for a secret is one that everybody has.
    #[error("it is a public key or a certificate, and no secret")]
    PublicSecret,
}

/// A key that verifies, and the one algorithm that it does so with.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    material: Material,
    thumbprint: Thumbprint,
}

#[derive(Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point as ring takes it.
    Point(Vec<u8>),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Secret(hmac::Key),
}

impl std::fmt::Debug for Key {
    /// Without what it is made of, which may be a secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Key({:?}, {})", self.id, self.algorithm.name())
    }
}

impl Key {
    /// A secret of 32, 48 or 64 bytes or more, which is random, for HMAC.
    ///
    /// # Errors
    ///
    /// [`KeyProblem`]: no secret, a short one, or no such algorithm.
    pub fn secret(id: Option<String>, algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyProblem> {
        let hash = match algorithm {
            Algorithm::Hs256 => hmac::HMAC_SHA256,
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            _ => return Err(KeyProblem::Algorithm),
        };
        if secret.len() < algorithm.least_secret() {
            return Err(KeyProblem::WeakSecret);
        }
        let begin = secret.trim_ascii_start();
        if begin.starts_with(b"-----BEGIN") || begin.starts_with(b"ssh-") || begin.starts_with(b"{") {
            return Err(KeyProblem::PublicSecret);
        }
        let thumbprint = thumbprint(&[("k", &base64url::encode(secret)), ("kty", "oct")]);
        Ok(Self { id, algorithm, material: Material::Secret(hmac::Key::new(hash, secret)), thumbprint })
    }

    /// A key of a set.
    ///
    /// # Errors
    ///
    /// [`KeyProblem`]: why it is left out.
    pub(super) fn read(members: &Object, rules: &Rules) -> Result<Self, KeyProblem> {
        let kind = text(members, "kty")?;
        let id = match members.get("kid") {
            None => None,
            Some(Value::String(id)) if (1..=LONGEST_ID).contains(&id.len()) => Some(id.clone()),
            Some(_) => return Err(KeyProblem::Name),
        };
        check_use(members)?;
        if kind != "oct" && PRIVATE.iter().any(|member| members.contains_key(*member)) {
            return Err(KeyProblem::Private);
        }
        let family = match kind {
            "RSA" => Family::Rsa,
            "EC" | "OKP" => match (kind, text(members, "crv")?) {
                ("EC", "P-256") => Family::P256,
                ("EC", "P-384") => Family::P384,
                ("EC", "P-521") => Family::P521,
                ("OKP", "Ed25519") => Family::Ed25519,
                _ => return Err(KeyProblem::Curve),
            },
            "oct" if rules.secrets => Family::Secret,
            "oct" => return Err(KeyProblem::Secret),
            _ => return Err(KeyProblem::Type),
        };
        let algorithm = algorithm_of(members, family, rules)?;
        if !rules.algorithms.contains(&algorithm) {
            return Err(KeyProblem::NotAllowed);
        }
        if family == Family::Secret {
            return Self::secret(id, algorithm, &bytes(members, "k")?);
        }
        let (material, thumbprint) = match family {
            Family::Rsa => rsa(members)?,
            Family::Ed25519 => ed25519(members)?,
            _ => point(members, family)?,
        };
        Ok(Self { id, algorithm, material, thumbprint })
    }

    /// `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm that it is for.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its thumbprint.
    pub const fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// Whether `signature` over `message` is by this key.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { n, e } => {
                let key = signature::RsaPublicKeyComponents { n, e };
                let parameters = match self.algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                key.verify(parameters, message, signature).is_ok()
            }
            Material::Point(point) => {
                let algorithm: &dyn signature::VerificationAlgorithm = match self.algorithm {
                    Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
                    Algorithm::Ed25519 => &signature::ED25519,
                    _ => return false,
                };
                signature::UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
            }
            Material::P521(key) => {
                use p521::ecdsa::{Signature, signature::Verifier as _};
                self.algorithm == Algorithm::Es512
                    && Signature::from_slice(signature)
                        .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            // In constant time, and of the whole length.
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

/// `use` and `key_ops`, where they are: both must allow it.
fn check_use(members: &Object) -> Result<(), KeyProblem> {
    if members.get("use").is_some_and(|value| value != "sig") {
        return Err(KeyProblem::Use);
    }
    let Some(operations) = members.get("key_ops") else { return Ok(()) };
    let operations = operations.as_array().ok_or(KeyProblem::Operations)?;
    let strings = operations.iter().all(Value::is_string);
    let twice = operations
        .iter()
        .enumerate()
        .any(|(at, one)| operations.iter().skip(at + 1).any(|other| one == other));
    let verifies = operations.iter().any(|one| one == "verify");
    if strings && !twice && verifies { Ok(()) } else { Err(KeyProblem::Operations) }
}

/// The algorithm that a key names, or the only one of its curve. A key of RSA that names none is for the first one of RSA that is allowed.
fn algorithm_of(members: &Object, family: Family, rules: &Rules) -> Result<Algorithm, KeyProblem> {
    match members.get("alg") {
        None if family == Family::Secret => Err(KeyProblem::Algorithm),
        None if family == Family::Rsa => {
            let first = rules.algorithms.iter().find(|algorithm| algorithm.family() == family);
            first.copied().ok_or(KeyProblem::NotAllowed)
        }
        None => Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.family() == family)
            .ok_or(KeyProblem::Algorithm),
        // A slip of the pen that is common; the curve says what is meant.
        Some(name) if name == "ES521" && family == Family::P521 => Ok(Algorithm::Es512),
        Some(name) => name
            .as_str()
            .and_then(Algorithm::of)
            .filter(|algorithm| algorithm.family() == family)
            .ok_or(KeyProblem::Algorithm),
    }
}

fn text<'m>(members: &'m Object, name: &str) -> Result<&'m str, KeyProblem> {
    members.get(name).and_then(Value::as_str).ok_or(KeyProblem::Member)
}

fn bytes(members: &Object, name: &str) -> Result<Vec<u8>, KeyProblem> {
    base64url::decode(text(members, name)?).ok_or(KeyProblem::Encoding)
}

/// An unsigned integer in its shortest form (RFC 7518, section 2).
fn integer(members: &Object, name: &str) -> Result<Vec<u8>, KeyProblem> {
    let bytes = bytes(members, name)?;
    if bytes.first().is_none_or(|&first| first == 0) { Err(KeyProblem::Encoding) } else { Ok(bytes) }
}

fn rsa(members: &Object) -> Result<(Material, Thumbprint), KeyProblem> {
    let (n, e) = (integer(members, "n")?, integer(members, "e")?);
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    let odd = n.last().is_some_and(|last| last & 1 == 1);
    if !MODULUS.contains(&bits) || !odd {
        return Err(KeyProblem::Modulus);
    }
    let exponent = e.iter().try_fold(0_u64, |value, &byte| Some(value.checked_mul(256)? | u64::from(byte)));
    if !exponent.is_some_and(|exponent| EXPONENT.contains(&exponent) && exponent & 1 == 1) {
        return Err(KeyProblem::Exponent);
    }
    let thumbprint =
        thumbprint(&[("e", &base64url::encode(&e)), ("kty", "RSA"), ("n", &base64url::encode(&n))]);
    Ok((Material::Rsa { n, e }, thumbprint))
}

fn point(members: &Object, family: Family) -> Result<(Material, Thumbprint), KeyProblem> {
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    let (name, length) = match family {
        Family::P256 => ("P-256", 32),
        Family::P384 => ("P-384", 48),
        _ => ("P-521", 66),
    };
    // RFC 7518, section 6.2.1.2: of the full length of a coordinate.
    if x.len() != length || y.len() != length {
        return Err(KeyProblem::Encoding);
    }
    let mut point = vec![4];
    point.extend_from_slice(&x);
    point.extend_from_slice(&y);
    let (x, y) = (base64url::encode(&x), base64url::encode(&y));
    let thumbprint = thumbprint(&[("crv", name), ("kty", "EC"), ("x", &x), ("y", &y)]);
    let off = |_| KeyProblem::OffCurve;
    let material = match family {
        Family::P256 => {
            p256::PublicKey::from_sec1_bytes(&point).map_err(off)?;
            Material::Point(point)
        }
        Family::P384 => {
            p384::PublicKey::from_sec1_bytes(&point).map_err(off)?;
            Material::Point(point)
        }
        _ => {
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&point);
            Material::P521(Box::new(key.map_err(|_| KeyProblem::OffCurve)?))
        }
    };
    Ok((material, thumbprint))
}

fn ed25519(members: &Object) -> Result<(Material, Thumbprint), KeyProblem> {
    let x = bytes(members, "x")?;
    let mut y = <[u8; 32]>::try_from(&*x).map_err(|_| KeyProblem::Encoding)?;
    // The highest bit is the sign of x.
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    if SMALL_ORDER.contains(&y) {
        return Err(KeyProblem::SmallOrder);
    }
    let thumbprint = thumbprint(&[("crv", "Ed25519"), ("kty", "OKP"), ("x", &base64url::encode(&x))]);
    Ok((Material::Point(x), thumbprint))
}

/// The members that a thumbprint is over, in the order of their names (RFC 7638, section 3.2). Their values need no escapes.
fn thumbprint(members: &[(&str, &str)]) -> Thumbprint {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    sha256(format!("{{{}}}", members.join(",")).as_bytes())
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}
