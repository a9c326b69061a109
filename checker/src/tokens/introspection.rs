//! What an issuer says of a token (RFC 7662, section 2.2).

use serde_json::Value;

use super::{
    Expected, JSON, Problem, Profile, Verified,
    claims::{check_audience, confirmation, date, text},
    object,
};
use crate::json;

/// An answer may have more in it than a token.
const ANSWER: json::Limits = json::Limits { string_length: 16 << 10, values: 4_096, ..JSON };
/// How long a token counts that says of no end, in seconds; whoever remembers it has a shorter time.
const WITHOUT_END: u64 = 300;

/// Reads the answer about a token: who it is for, and until when.
///
/// # Errors
///
/// [`Problem::Inactive`] where the issuer says so, what of its claims is not as expected, and [`Problem::IntrospectionUnavailable`] where this is
/// no answer of RFC 7662.
pub fn introspected(answer: &[u8], expected: &Expected, now: u64) -> Result<Verified, Problem> {
    let claims = object(answer, &ANSWER).ok_or(Problem::IntrospectionUnavailable)?;
    match claims.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(Problem::Inactive),
        _ => return Err(Problem::IntrospectionUnavailable),
    }
    if text(&claims, "iss")?.is_some_and(|issuer| issuer != expected.issuer) {
        return Err(Problem::Issuer);
    }
    if !expected.audiences.is_empty() {
        check_audience(&claims, &expected.audiences)?;
    }
    if claims.get("scope").is_some_and(|scope| !scope.is_string()) {
        return Err(Problem::ClaimType);
    }
    let leeway = expected.leeway.min(super::MOST_LEEWAY);
    let expires = date(&claims, "exp", f64::floor)?.unwrap_or_else(|| now.saturating_add(WITHOUT_END));
    if now >= expires.saturating_add(leeway) {
        return Err(Problem::Expired);
    }
    if date(&claims, "nbf", f64::ceil)?.is_some_and(|begins| begins > now.saturating_add(leeway)) {
        return Err(Problem::NotYet);
    }
    let issued = date(&claims, "iat", f64::ceil)?;
    // RFC 9068's demand, where a kind is expected that it describes: somebody must be meant.
    let subject = text(&claims, "sub")?.or(text(&claims, "client_id")?).map(str::to_owned);
    if subject.is_none() && expected.profile == Profile::AccessToken {
        return Err(Problem::ClaimMissing);
    }
    let id = text(&claims, "jti")?.map(str::to_owned);
    let confirmation = confirmation(&claims)?;
    let (issuer, claims) = (expected.issuer.clone(), std::sync::Arc::new(claims));
    Ok(Verified { issuer, subject, id, expires, issued, key: [0; 32], confirmation, claims })
}
