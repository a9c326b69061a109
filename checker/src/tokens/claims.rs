//! Claims (RFC 7519, section 4.1; RFC 9068, section 2.2; RFC 7800): who says it, of whom, for whom, and until when.

use std::sync::Arc;

use serde_json::Value;

use super::{JSON, KeySet, Object, Problem, base64url, jws::Compact, key::Thumbprint, object};

/// The last second of the year 9999. A date behind it is one in milliseconds.
const LAST_DATE: u64 = 253_402_300_799;
/// Longest leeway for clocks that differ, in seconds: a few minutes (RFC 7519, section 4.1.4).
pub const MOST_LEEWAY: u64 = 300;
/// Longest issuer, subject or name of a token, in bytes.
const LONGEST_NAME: usize = 1_024;

/// Which kind of token is expected, so that none of another kind passes for it (RFC 8725, sections 3.11 and 3.12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Profile {
    /// An access token by RFC 9068: `typ` is `at+jwt`, and the claims of its section 2.2 are there.
    AccessToken,
    /// A token without a type of its own: `typ` is `JWT` or not there.
    Jwt,
    /// A token of this type, in lower case and without `application/`.
    Typed(String),
}

/// What a token is held against.
#[derive(Clone, Debug)]
pub struct Expected {
    /// `iss`, to the letter.
    pub issuer: String,
    /// Of these, `aud` must name one, to the letter. None: no token is accepted.
    pub audiences: Vec<String>,
    /// The kind.
    pub profile: Profile,
    /// By how much clocks may differ, in seconds; no more than [`MOST_LEEWAY`] counts.
    pub leeway: u64,
    /// Longest life from `iat` to `exp`, in seconds, where there is a bound; `iat` must then be there.
    pub longest_life: Option<u64>,
}

/// What a token is bound to: who shows it must prove that they have that (RFC 7800).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Confirmation {
    /// `jkt`: a key with this thumbprint (RFC 9449, section 6.1).
    pub key: Option<Thumbprint>,
    /// `x5t#S256`: a certificate with this SHA-256 (RFC 8705, section 3.1).
    pub certificate: Option<[u8; 32]>,
}

/// A token whose signature and claims are right. Whether who shows it may, where it is bound, is another question.
#[derive(Clone, Debug)]
pub struct Verified {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: Option<String>,
    /// `jti`.
    pub id: Option<String>,
    /// `exp`, in whole seconds since the Unix epoch, rounded down.
    pub expires: u64,
    /// `iat`, rounded up.
    pub issued: Option<u64>,
    /// The key that has signed.
    pub key: Thumbprint,
    /// What it is bound to.
    pub confirmation: Confirmation,
    /// Every claim.
    pub claims: Arc<Object>,
}

impl Verified {
    /// The scopes (RFC 8693, section 4.2).
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.claims.get("scope").and_then(Value::as_str).into_iter().flat_map(|scope| scope.split(' '))
    }
}

/// Whom a token says to be by, so that the right keys are looked for. Nobody has vouched for it.
///
/// # Errors
///
/// Why it says nothing.
pub fn issuer_of(token: &str) -> Result<String, Problem> {
    let claims = claims(Compact::read(token)?.unverified())?;
    match claims.get("iss") {
        Some(Value::String(issuer)) => Ok(issuer.clone()),
        Some(_) => Err(Problem::ClaimType),
        None => Err(Problem::ClaimMissing),
    }
}

/// Verifies a token: form, signature, then claims.
///
/// # Errors
///
/// The first [`Problem`]. At [`Problem::KeyUnknown`] the keys may be old.
pub fn verify(token: &str, keys: &KeySet, expected: &Expected, now: u64) -> Result<Verified, Problem> {
    let compact = Compact::read(token)?;
    check_type(compact.header.typ.as_deref(), &expected.profile)?;
    let (payload, key) = compact.verify(keys)?;
    let claims = claims(payload)?;
    check(claims, *key.thumbprint(), expected, now)
}

pub(super) fn check_type(typ: Option<&str>, profile: &Profile) -> Result<(), Problem> {
    let right = match profile {
        // RFC 9068, section 4: any other value is rejected.
        Profile::AccessToken => typ == Some("at+jwt"),
        Profile::Jwt => matches!(typ, None | Some("jwt")),
        Profile::Typed(wanted) => typ == Some(wanted),
    };
    if right { Ok(()) } else { Err(Problem::Type) }
}

/// RFC 7519, section 7.2, step 10: an object. A payload that is a token is nested, whatever the header says.
pub(super) fn claims(payload: &[u8]) -> Result<Object, Problem> {
    object(payload, &JSON).ok_or_else(|| match str::from_utf8(payload) {
        Ok(text) if Compact::read(text.trim().trim_matches('"')).is_ok() => Problem::Nested,
        _ => Problem::Claims,
    })
}

pub(super) fn check(
    claims: Object,
    key: Thumbprint,
    expected: &Expected,
    now: u64,
) -> Result<Verified, Problem> {
    let leeway = expected.leeway.min(MOST_LEEWAY);
    let issuer = text(&claims, "iss")?.ok_or(Problem::ClaimMissing)?;
    if issuer != expected.issuer {
        return Err(Problem::Issuer);
    }
    check_audience(&claims, &expected.audiences)?;
    let expires = date(&claims, "exp", f64::floor)?.ok_or(Problem::ClaimMissing)?;
    // RFC 7519, section 4.1.4: "on or after".
    if now >= expires.saturating_add(leeway) {
        return Err(Problem::Expired);
    }
    if date(&claims, "nbf", f64::ceil)?.is_some_and(|begins| begins > now.saturating_add(leeway)) {
        return Err(Problem::NotYet);
    }
    let issued = date(&claims, "iat", f64::ceil)?;
    if issued.is_some_and(|issued| issued > now.saturating_add(leeway)) {
        return Err(Problem::IssuedLater);
    }
    if let Some(longest) = expected.longest_life {
        let issued = issued.ok_or(Problem::ClaimMissing)?;
        if expires.saturating_sub(issued) > longest {
            return Err(Problem::Lifetime);
        }
    }
    let (subject, id) = (text(&claims, "sub")?, text(&claims, "jti")?);
    if expected.profile == Profile::AccessToken {
        // RFC 9068, section 2.2: iss, exp, aud, sub, client_id, iat and jti are required; scope is a string (RFC 8693, section 4.2).
        let client = text(&claims, "client_id")?;
        if subject.is_none() || id.is_none() || issued.is_none() || client.is_none() {
            return Err(Problem::ClaimMissing);
        }
        if claims.get("scope").is_some_and(|scope| !scope.is_string()) {
            return Err(Problem::ClaimType);
        }
    }
    let (issuer, subject, id) = (issuer.to_owned(), subject.map(str::to_owned), id.map(str::to_owned));
    let confirmation = confirmation(&claims)?;
    let claims = Arc::new(claims);
    Ok(Verified { issuer, subject, id, expires, issued, key, confirmation, claims })
}

/// RFC 7519, section 4.1.3: a string, or an array of strings.
pub(super) fn check_audience(claims: &Object, wanted: &[String]) -> Result<(), Problem> {
    let is_wanted = |audience: &str| wanted.iter().any(|wanted| wanted == audience);
    let found = match claims.get("aud") {
        None => return Err(Problem::ClaimMissing),
        Some(Value::String(audience)) => is_wanted(audience),
        Some(Value::Array(audiences)) => {
            let texts: Option<Vec<&str>> = audiences.iter().map(Value::as_str).collect();
            texts.ok_or(Problem::ClaimType)?.into_iter().any(is_wanted)
        }
        Some(_) => return Err(Problem::ClaimType),
    };
    if found { Ok(()) } else { Err(Problem::Audience) }
}

/// A string that is compared, counted and logged: neither empty nor endless.
pub(super) fn text<'c>(claims: &'c Object, name: &str) -> Result<Option<&'c str>, Problem> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if (1..=LONGEST_NAME).contains(&text.len()) => Ok(Some(text)),
        Some(_) => Err(Problem::ClaimType),
    }
}

/// A NumericDate (RFC 7519, section 2): a number, which may have a fraction, and never a string.
pub(super) fn date(claims: &Object, name: &str, round: fn(f64) -> f64) -> Result<Option<u64>, Problem> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(Problem::ClaimType) };
    if let Some(seconds) = number.as_u64() {
        return if seconds <= LAST_DATE { Ok(Some(seconds)) } else { Err(Problem::DateRange) };
    }
    let seconds = number.as_f64().filter(|seconds| (0.0..=LAST_DATE as f64).contains(seconds));
    seconds.map(|seconds| Some(round(seconds) as u64)).ok_or(Problem::DateRange)
}

/// `cnf`. Of several bindings all must hold. One that is not understood may be ignored (RFC 7800, section 3.1), but not if it is the only one: the
/// token would pass for one that is not bound at all.
pub(super) fn confirmation(claims: &Object) -> Result<Confirmation, Problem> {
    let members = match claims.get("cnf") {
        None => return Ok(Confirmation::default()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(Problem::ClaimType),
    };
    let hash = |name: &str| match members.get(name) {
        None => Ok(None),
        Some(value) => {
            let bytes = value.as_str().and_then(base64url::decode);
            bytes.and_then(|bytes| bytes.try_into().ok()).map(Some).ok_or(Problem::ClaimType)
        }
    };
    let confirmation = Confirmation { key: hash("jkt")?, certificate: hash("x5t#S256")? };
    if confirmation == Confirmation::default() { Err(Problem::ConfirmationUnknown) } else { Ok(confirmation) }
}
