//! What a token says, and all that speaks against it, for people. Nobody is let in by this.

use super::{
    Expected, Header, JSON, KeySet, Object, Problem, Profile, Thumbprint,
    claims::{check, check_type},
    jws::Compact,
    object,
};

/// What is known of a token.
#[derive(Debug)]
pub struct Explained {
    /// Its header, if it could be read.
    pub header: Option<Header>,
    /// Its claims, if they could be read; true only if `signer` is there.
    pub claims: Option<serde_json::Map<String, serde_json::Value>>,
    /// The key that has signed, of those that were given.
    pub signer: Option<Thumbprint>,
    /// What speaks against it, in the order of the checks; of claims, the first.
    pub problems: Vec<Problem>,
}

/// What it is held against: what is `None` is taken from the token itself, and so not checked.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `iss`.
    pub issuer: Option<String>,
    /// One of these is to be in `aud`; none: any.
    pub audiences: Vec<String>,
    /// The kind.
    pub profile: Option<Profile>,
    /// In seconds.
    pub leeway: u64,
}

/// Explains a token. Without keys, its signature is not checked.
pub fn explain(token: &str, keys: Option<&KeySet>, wanted: &Wanted, now: u64) -> Explained {
    let mut explained = Explained { header: None, claims: None, signer: None, problems: Vec::new() };
    let compact = match Compact::read(token) {
        Ok(compact) => compact,
        Err(problem) => {
            explained.problems.push(problem);
            return explained;
        }
    };
    let typ = compact.header.typ.as_deref();
    let expected = expected(typ, &object(compact.unverified(), &JSON).unwrap_or_default(), wanted);
    explained.problems.extend(check_type(typ, &expected.profile).err());
    match keys.map(|keys| compact.verify(keys)) {
        Some(Ok((_, key))) => explained.signer = Some(*key.thumbprint()),
        Some(Err(problem)) => explained.problems.push(problem),
        None => {}
    }
    match super::claims::claims(compact.unverified()) {
        Ok(claims) => {
            explained.claims = Some(claims.clone());
            let key = explained.signer.unwrap_or_default();
            explained.problems.extend(check(claims, key, &expected, now).err());
        }
        Err(problem) => explained.problems.push(problem),
    }
    explained.header = Some(compact.header);
    explained
}

fn expected(typ: Option<&str>, claims: &Object, wanted: &Wanted) -> Expected {
    let issuer = claims.get("iss").and_then(serde_json::Value::as_str);
    let audience = claims.get("aud").map(|audience| match audience.as_array() {
        Some(audiences) => audiences.first().unwrap_or(audience),
        None => audience,
    });
    let own_audience = audience.and_then(serde_json::Value::as_str).map(str::to_owned);
    Expected {
        issuer: wanted.issuer.clone().unwrap_or_else(|| issuer.unwrap_or_default().to_owned()),
        audiences: if wanted.audiences.is_empty() {
            own_audience.into_iter().collect()
        } else {
            wanted.audiences.clone()
        },
        profile: wanted.profile.clone().unwrap_or_else(|| match typ {
            Some("at+jwt") => Profile::AccessToken,
            None | Some("jwt") => Profile::Jwt,
            Some(other) => Profile::Typed(other.to_owned()),
        }),
        leeway: wanted.leeway,
        longest_life: None,
    }
}
