//! Whether who shows a token may: tokens that are bound to a key or a certificate are of no use to who has stolen them.

use super::{Problem, Proof, Verified, key::sha256};

/// How a token was shown (RFC 6750, section 2.1; RFC 9449, section 7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: DPoP`.
    DPoP,
}

/// The SHA-256 of a certificate in DER, as `x5t#S256` has it (RFC 8705, section 3.1).
pub fn certificate_thumbprint(certificate: &[u8]) -> [u8; 32] {
    sha256(certificate)
}

/// Holds what came with a token against what it is bound to. `certificate` is the thumbprint of the one that the connection's client has proven to have,
/// `proof` one that [`check_proof`](super::check_proof) has found right for this very token.
///
/// # Errors
///
/// [`Problem::BindingScheme`], [`Problem::BindingKey`] or [`Problem::BindingCertificate`].
pub fn check_binding(
    token: &Verified,
    scheme: Scheme,
    certificate: Option<&[u8; 32]>,
    proof: Option<&Proof>,
) -> Result<(), Problem> {
    match (token.confirmation.key, scheme) {
        // RFC 9449, section 7.2: bound tokens are not accepted as bearer tokens; section 7.1: nor others as bound ones.
        (Some(_), Scheme::Bearer) | (None, Scheme::DPoP) => return Err(Problem::BindingScheme),
        (Some(key), Scheme::DPoP) if proof.is_none_or(|proof| proof.key != key) => {
            return Err(Problem::BindingKey);
        }
        (Some(_), Scheme::DPoP) | (None, Scheme::Bearer) => {}
    }
    // RFC 8705, section 3: 401 and invalid_token where they do not match.
    match token.confirmation.certificate {
        Some(bound) if certificate != Some(&bound) => Err(Problem::BindingCertificate),
        _ => Ok(()),
    }
}
