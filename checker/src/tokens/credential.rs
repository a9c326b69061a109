//! The one credential of a request (RFC 6750, section 2: "clients MUST NOT use more than one method"), and where it may stand: in `Authorization`
//! alone. In a query it would be logged, in a body it would be a value (RFC 9700, section 4.3.2).

use super::{Problem, Scheme};
use crate::Request;

/// The name of the parameter that other methods use.
const PARAMETER: &str = "access_token";

/// A token as it came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credential<'r> {
    /// How it is shown.
    pub scheme: Scheme,
    /// The token, which nothing is known of but its characters.
    pub token: &'r str,
    /// `DPoP`, where there is one.
    pub proof: Option<&'r str>,
}

impl std::fmt::Debug for Credential<'_> {
    /// Without the token.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Credential({:?})", self.scheme)
    }
}

/// The credential of a request. `parameters` are the names of its query's and its form's, decoded.
///
/// # Errors
///
/// [`Problem::CredentialMissing`], or which rule more than one, or an unreadable one, breaks.
pub fn credential<'r, 'p>(
    request: &'r Request<'_>,
    parameters: impl IntoIterator<Item = &'p str>,
) -> Result<Credential<'r>, Problem> {
    if parameters.into_iter().any(|name| name.trim().eq_ignore_ascii_case(PARAMETER)) {
        return Err(Problem::CredentialPlace);
    }
    let mut authorizations = request.values("authorization");
    let Some(value) = authorizations.next() else { return Err(Problem::CredentialMissing) };
    if authorizations.next().is_some() {
        return Err(Problem::CredentialTwice);
    }
    let (scheme, token) = read(value)?;
    let mut proofs = request.values("dpop");
    let proof = proofs.next().map(|proof| str::from_utf8(proof).map_err(|_| Problem::Proof)).transpose()?;
    // RFC 9449, section 4.3, step 1.
    if proofs.next().is_some() {
        return Err(Problem::ProofTwice);
    }
    if scheme == Scheme::DPoP && proof.is_none() {
        return Err(Problem::Proof);
    }
    Ok(Credential { scheme, token, proof })
}

/// Scheme, spaces, and a token of the characters of b64token (RFC 6750, section 2.1). A comma would be a second credential to some readers.
fn read(value: &[u8]) -> Result<(Scheme, &str), Problem> {
    let value = str::from_utf8(value).map_err(|_| Problem::CredentialSyntax)?;
    let (scheme, token) = value.split_once(' ').ok_or(Problem::CredentialSyntax)?;
    let scheme = match scheme {
        name if name.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        name if name.eq_ignore_ascii_case("dpop") => Scheme::DPoP,
        _ => return Err(Problem::CredentialScheme),
    };
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let of_grammar =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    if body.is_empty() || !body.bytes().all(of_grammar) {
        return Err(Problem::CredentialSyntax);
    }
    Ok((scheme, token))
}
