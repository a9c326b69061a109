//! Why a token, or what came with it, is refused.

/// Who has to do what about a problem, and how it is answered (RFC 6750, section 3.1; RFC 9449, sections 7.1 and 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// No credential: 401 without an error code.
    Missing,
    /// `invalid_request`, 400: not one credential in one place.
    Request,
    /// `invalid_token`, 401.
    Token,
    /// `insufficient_scope`, 403.
    Scope,
    /// `invalid_dpop_proof`, 401.
    Proof,
    /// `use_dpop_nonce`, 401.
    Nonce,
    /// 503: nobody's token can be judged now.
    Unavailable,
}

/// Declares the problems once: name, class and what it means. The description goes into `error_description`, so it holds neither quotes nor
/// backslashes (RFC 6750, section 3), and nothing of the token.
macro_rules! problems {
    ($($variant:ident, $name:literal, $class:ident, $description:literal;)*) => {
        /// Why a token, or what came with it, is refused.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
        pub enum Problem {
            $(#[doc = $description] #[error($description)] $variant,)*
        }

        impl Problem {
            /// Every problem.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is called in verdicts, logs and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How it is answered.
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }

            /// What it means, for people.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }
        }
    };
}

problems! {
    Length, "token-length", Token, "The token is longer than 8 KiB.";
    Serialization, "token-serialization", Token, "The token is not three parts with points between them (JWS compact serialization).";
    Encrypted, "token-encrypted", Token, "The token is encrypted (JWE), which is not accepted.";
    Encoding, "token-encoding", Token, "A part of the token is not base64url: padding, other characters, or bits left over.";
    Header, "token-header", Token, "The header is no JSON object, strictly read, or a member of it has a wrong type.";
    AlgorithmNone, "algorithm-none", Token, "The header says that the token has no signature.";
    AlgorithmUnknown, "algorithm-unknown", Token, "The header names no algorithm that is known here.";
    AlgorithmMismatch, "algorithm-mismatch", Token, "The algorithm is not the one of the key that the header names.";
    KeyInToken, "key-in-token", Token, "The header brings a key, or says where to fetch one (jwk, jku, x5c, x5u).";
    Critical, "critical-header", Token, "The header demands an extension (crit), and none is understood here.";
    Unencoded, "unencoded-payload", Token, "The header speaks of an unencoded payload (b64), which no JWT has.";
    Compressed, "compressed", Token, "The header speaks of compression (zip), which no JWS has.";
    Nested, "nested-token", Token, "The token carries another token.";
    Type, "token-type", Token, "The type of the token (typ) is not the one that is expected.";
    KeyId, "key-id", Token, "The name of the key (kid) is empty, too long, or holds control characters.";
    KeyUnknown, "key-unknown", Token, "No key of the issuer has the name that the header gives.";
    KeyAmbiguous, "key-ambiguous", Token, "The header does not say which of many keys has signed.";
    Signature, "signature", Token, "The signature is not the one of the key.";
    Claims, "claims", Token, "The claims are no JSON object, strictly read.";
    ClaimType, "claim-type", Token, "A registered claim has a wrong type: a date that is no number, an issuer that is no string.";
    ClaimMissing, "claim-missing", Token, "A claim is missing that every token of this kind must have.";
    DateRange, "date-range", Token, "A date is before 1970 or after 9999: perhaps milliseconds.";
    Issuer, "issuer", Token, "The issuer is not the one that is expected.";
    Audience, "audience", Token, "The token is for others.";
    Expired, "expired", Token, "The token has expired.";
    NotYet, "not-yet-valid", Token, "The token is not valid yet.";
    IssuedLater, "issued-later", Token, "The token says that it was issued in the future.";
    Lifetime, "lifetime", Token, "The token lives longer than is allowed, or began too long ago.";
    ConfirmationUnknown, "confirmation-unknown", Token, "The token is bound to something that cannot be checked here (cnf).";
    Revoked, "revoked", Token, "The token, all tokens of its subject, or the key that signed it are revoked.";
    Inactive, "token-inactive", Token, "The issuer says that the token is not good, or no longer.";
    Unbound, "token-unbound", Token, "The token is not bound to a key or a certificate of its client, which is demanded here.";
    CredentialMissing, "credential-missing", Missing, "No token came with the request.";
    CredentialScheme, "credential-scheme", Missing, "The request has a credential of another kind than a token.";
    CredentialTwice, "credential-twice", Request, "The request has more than one Authorization header.";
    CredentialPlace, "credential-place", Request, "The request has a token in its query or its form, where none belongs.";
    CredentialSyntax, "credential-syntax", Request, "The Authorization header is not a scheme and a token.";
    BindingScheme, "binding-scheme", Token, "A token that is bound to a key came as a bearer token, or one that is not bound came with DPoP.";
    BindingKey, "binding-key", Token, "The proof is by another key than the token is bound to, or there is none.";
    BindingCertificate, "binding-certificate", Token, "The client has not shown the certificate that the token is bound to.";
    Proof, "proof", Proof, "The DPoP proof is missing, is no proof, or lacks a claim.";
    ProofTwice, "proof-twice", Proof, "The request has more than one DPoP header.";
    ProofKey, "proof-key", Proof, "The key of the DPoP proof cannot be used: weak, private, or for another algorithm.";
    ProofSignature, "proof-signature", Proof, "The signature of the DPoP proof is not by its key.";
    ProofTarget, "proof-target", Proof, "The DPoP proof is for another method or URI.";
    ProofTime, "proof-time", Proof, "The DPoP proof is too old, or from the future.";
    ProofToken, "proof-token", Proof, "The DPoP proof is for another access token.";
    ProofReplayed, "proof-replayed", Proof, "The DPoP proof was used before.";
    NonceMissing, "nonce-missing", Nonce, "The DPoP proof must hold the nonce that is sent along.";
    Scope, "scope", Scope, "The token does not cover what is asked for.";
    ProofsFull, "proofs-full", Unavailable, "So many proofs came lately that no other can be remembered.";
    IntrospectionUnavailable, "introspection-unavailable", Unavailable, "The issuer could not be asked whether the token is good.";
    KeysUnavailable, "keys-unavailable", Unavailable, "There are no keys of the issuer, or they are too old to be trusted.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_hyphens_no_two_alike_and_descriptions_fit_into_a_header() {
        let names: std::collections::BTreeSet<&str> = Problem::ALL.iter().map(|one| one.name()).collect();
        assert_eq!(names.len(), Problem::ALL.len());
        for problem in Problem::ALL {
            assert!(
                problem.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{problem:?}"
            );
            let description = problem.description();
            assert!(description.ends_with('.'), "{problem:?}");
            // RFC 6750, section 3: %x20-21 / %x23-5B / %x5D-7E.
            assert!(
                description.bytes().all(|byte| matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~')),
                "{problem:?}"
            );
        }
    }
}
