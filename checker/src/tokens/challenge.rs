//! How a refusal is answered: `WWW-Authenticate` by RFC 6750, section 3, and RFC 9449, sections 7.1 and 9.

use super::{Algorithm, Class, Problem, Scheme};

/// What an answer says beside its problem.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'c> {
    /// `realm`.
    pub realm: &'c str,
    /// The schemes by which tokens are accepted here, of which each gets a challenge.
    pub schemes: &'c [Scheme],
    /// `algs` of DPoP.
    pub algorithms: &'c [Algorithm],
    /// The scopes that are needed, for [`Class::Scope`].
    pub scope: Option<&'c str>,
}

impl Problem {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self.class() {
            Class::Request => 400,
            Class::Scope => 403,
            Class::Unavailable => 503,
            Class::Missing | Class::Token | Class::Proof | Class::Nonce => 401,
        }
    }

    /// `error`. Where no credential came there is none (RFC 6750, section 3.1).
    pub const fn error(self) -> Option<&'static str> {
        match self.class() {
            Class::Request => Some("invalid_request"),
            Class::Token => Some("invalid_token"),
            Class::Scope => Some("insufficient_scope"),
            Class::Proof => Some("invalid_dpop_proof"),
            Class::Nonce => Some("use_dpop_nonce"),
            Class::Missing | Class::Unavailable => None,
        }
    }

    /// The values of `WWW-Authenticate`, one for each scheme; none where it is not the client's fault. `used` is the scheme that the client
    /// has used: only to this one the error is told.
    pub fn challenges(self, used: Option<Scheme>, challenge: &Challenge<'_>) -> Vec<String> {
        if self.class() == Class::Unavailable {
            return Vec::new();
        }
        let is_proof = matches!(self.class(), Class::Proof | Class::Nonce);
        let of = |scheme: &Scheme| {
            let told = used.is_none_or(|used| used == *scheme) && !(is_proof && *scheme == Scheme::Bearer);
            self.challenge(*scheme, told, challenge)
        };
        challenge.schemes.iter().map(of).collect()
    }

    fn challenge(self, scheme: Scheme, told: bool, challenge: &Challenge<'_>) -> String {
        let mut parameters = vec![("realm", quotable(challenge.realm))];
        if let Some(error) = self.error().filter(|_| told) {
            parameters.push(("error", error.to_owned()));
            parameters.push(("error_description", self.description().to_owned()));
            if let (Class::Scope, Some(scope)) = (self.class(), challenge.scope) {
                parameters.push(("scope", quotable(scope)));
            }
        }
        let name = match scheme {
            Scheme::Bearer => "Bearer",
            Scheme::DPoP => {
                let names: Vec<&str> =
                    challenge.algorithms.iter().map(|algorithm| algorithm.name()).collect();
                parameters.push(("algs", names.join(" ")));
                "DPoP"
            }
        };
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        format!("{name} {}", parameters.join(", "))
    }
}

/// What a quoted string can hold as it is, of what a configuration says.
fn quotable(text: &str) -> String {
    text.chars()
        .filter(|character| matches!(character, ' '..='~') && !matches!(character, '"' | '\\'))
        .collect()
}
