//! Whether who asks may: scopes, audiences and claims by route and method, how the user was authenticated, and ids that must be the identity's own.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use super::{
    Judge, Judged, Limits,
    identity::{bearer_challenge, evidence, is_token_parameter},
};
use crate::{
    Check, Identity, IdentityKind, Place, Reason,
    content::Content,
    json::{self, Event, Scalar, Step},
    names::{is_same_entry, is_same_parameter},
    policy::{Access, Bind, Id, Route},
    sensitive,
    target::{self, Target},
    values,
};

/// What JSON may be whose values are bound: a name that stands twice is two values.
const JSON: json::Limits = json::Limits {
    depth: 64,
    entries: usize::MAX,
    name_length: usize::MAX,
    elements: usize::MAX,
    string_length: usize::MAX,
    number_length: usize::MAX,
    values: usize::MAX,
    repeated_names: false,
};

impl Judge<'_> {
    /// Judges what can be judged without the body.
    pub(super) fn authorise(&mut self, target: &Target<'_>, route: Option<&Route>) -> Judged {
        let access = Arc::clone(&self.rules.access);
        if access.identity.is_empty() || !self.rules.is_on(Check::Authorisation) {
            return Ok(());
        }
        let Some(identity) = self.identity.clone() else {
            return self.found(
                Check::Authorisation,
                Reason::IdentityMissing,
                Some(evidence("", "identity-missing")),
            );
        };
        self.function(&access, &identity)?;
        for bind in &access.bind {
            let found = match &bind.id {
                Id::Path(name) => {
                    let mut placeholders =
                        route.into_iter().flat_map(|route| route.placeholders(&target.segments));
                    placeholders.find(|(one, _)| one == name).map(|(_, value)| Cow::Borrowed(value))
                }
                Id::Query(name) => one_of_query(target, name),
                Id::Body(_) => continue,
            };
            self.object(bind, found.as_deref(), &identity)?;
        }
        Ok(())
    }

    /// What the identity may do here at all.
    fn function(&mut self, access: &Access, identity: &Identity) -> Judged {
        let place = format!("{} {}", identity.kind.name(), identity.issuer);
        if !access.audiences.is_empty() && !has_one_of(identity.claim("aud"), &access.audiences) {
            self.demand(identity, &[("error", "invalid_token".to_owned())]);
            return self.found(
                Check::Authorisation,
                Reason::AudienceOther,
                Some(evidence(&place, "audiences")),
            );
        }
        let missing = access.scopes.iter().find(|scope| !identity.scopes().any(|one| one == *scope));
        if let Some(missing) = missing {
            self.demand(
                identity,
                &[("error", "insufficient_scope".to_owned()), ("scope", access.scopes.join(" "))],
            );
            let evidence = evidence(&place, &format!("scope {missing}"));
            return self.found(Check::Authorisation, Reason::ScopeMissing, Some(evidence));
        }
        for (name, values) in &access.claims {
            if !has_one_of(identity.claim(name), values) {
                let evidence = evidence(&place, &format!("claim {name}"));
                return self.found(Check::Authorisation, Reason::ClaimOther, Some(evidence));
            }
        }
        self.authentication(access, identity, &place)
    }

    /// How the user was authenticated, and when (RFC 9470).
    fn authentication(&mut self, access: &Access, identity: &Identity, place: &str) -> Judged {
        let class = access.acr.is_empty() || has_one_of(identity.claim("acr"), &access.acr);
        let has_method = |method: &String| has_one_of(identity.claim("amr"), std::slice::from_ref(method));
        let methods = access.amr.iter().all(has_method);
        let recent = access.max_age.is_none_or(|most| {
            let now = self.context.time.map(|time| time.wall.as_secs());
            let when = identity.claim("auth_time").and_then(Value::as_u64);
            now.zip(when).is_some_and(|(now, when)| now < when.saturating_add(most))
        });
        let rule = match (class, methods, recent) {
            (false, _, _) => "acr",
            (_, false, _) => "amr",
            (_, _, false) => "max_age",
            _ => return Ok(()),
        };
        let mut parameters = vec![("error", "insufficient_user_authentication".to_owned())];
        if !access.acr.is_empty() {
            parameters.push(("acr_values", access.acr.join(" ")));
        }
        parameters.extend(access.max_age.map(|age| ("max_age", age.to_string())));
        self.demand(identity, &parameters);
        self.found(Check::Authorisation, Reason::AuthenticationWeak, Some(evidence(place, rule)))
    }

    /// A challenge, where a token could help.
    fn demand(&mut self, identity: &Identity, parameters: &[(&str, String)]) {
        if identity.kind == IdentityKind::Token {
            let challenge = bearer_challenge(&self.rules.identities.realm, parameters);
            self.headers.push(challenge);
        }
    }

    /// Whether an id is one of the claim's values.
    fn object(&mut self, bind: &Bind, found: Option<&str>, identity: &Identity) -> Judged {
        let same = found.is_some_and(|found| has(identity.claim(&bind.claim), found));
        if same {
            return Ok(());
        }
        let mut evidence = evidence(&bind.id.to_string(), &format!("claim {}", bind.claim));
        evidence.text = found.map(sensitive::evidence_text).unwrap_or_default();
        self.found(Check::Authorisation, Reason::ObjectOther, Some(evidence))
    }

    /// Judges ids in a body, which is decoded, and whether it holds a second credential.
    pub(super) fn objects(&mut self, content: Content, content_type: &[u8], body: &[u8]) -> Judged {
        self.bound_in_body(content, content_type, body)?;
        self.enumeration_of_body(content, body)
    }

    fn bound_in_body(&mut self, content: Content, content_type: &[u8], body: &[u8]) -> Judged {
        let access = Arc::clone(&self.rules.access);
        if access.identity.is_empty() {
            return Ok(());
        }
        if content == Content::Form && self.rules.is_on(Check::Identity) && holds_token(body) {
            let evidence = evidence("form access_token", "credential-place");
            self.found(Check::Identity, Reason::CredentialForm, Some(evidence))?;
        }
        if !self.rules.is_on(Check::Authorisation) {
            return Ok(());
        }
        // Without one the head has been judged already.
        let Some(identity) = self.identity.clone() else { return Ok(()) };
        for bind in &access.bind {
            match &bind.id {
                Id::Body(pointer) => {
                    let found = if content == Content::Json { one_of_json(body, pointer) } else { None };
                    self.object(bind, found.as_deref(), &identity)?;
                }
                // Servers that have one set of parameters for both take that of the form, the other, or both.
                Id::Query(name) if has_field(content, content_type, body, name) => {
                    self.object(bind, None, &identity)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn holds_token(body: &[u8]) -> bool {
    // One that cannot be read as a form may be read as one behind.
    target::form(body, &target::Limits::WIDEST)
        .map_or(true, |fields| fields.iter().any(|(name, _)| is_token_parameter(name)))
}

/// Whether a form has a field that a server behind may take for the parameter of this name; one that cannot be read may.
fn has_field(content: Content, content_type: &[u8], body: &[u8], name: &str) -> bool {
    let mut has = false;
    let mut show = |place: &Place<'_>, text: &str| {
        has |= *place == Place::FormName && is_same_parameter(text, name);
        Ok(())
    };
    let read = match content {
        Content::Form => values::of_form(body, &Limits::widest().form, &mut show),
        Content::Multipart => values::of_parts(content_type, body, &Limits::widest().multipart, &mut show),
        _ => return false,
    };
    read.is_err() || has
}

/// The value of a parameter that stands once: of several, servers take the first, the last or all, and some tell their names apart by less than others.
fn one_of_query<'t>(target: &'t Target<'_>, name: &str) -> Option<Cow<'t, str>> {
    let mut values = target.query.iter().filter(|(one, _)| is_same_parameter(one, name));
    match (values.next(), values.next()) {
        (Some((one, value)), None) if one == name => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

/// The string or number that a pointer leads to, where it leads there alone, whatever a server behind takes names for.
fn one_of_json(body: &[u8], pointer: &str) -> Option<String> {
    let mut all = values_at(body, pointer).ok()?;
    match (all.pop(), all.pop()) {
        (Some(At { exact: true, text }), None) => text,
        _ => None,
    }
}

/// Whether a claim is this text, or one of several is. A number is as it is written.
fn has(claim: Option<&Value>, text: &str) -> bool {
    let is = |value: &Value| match value {
        Value::String(one) => one == text,
        // Another one is not as it was written: 2^64 and its neighbours are one double.
        Value::Number(number) if number.is_u64() || number.is_i64() => number.to_string() == text,
        Value::Bool(flag) => flag.to_string() == text,
        _ => false,
    };
    match claim {
        Some(Value::Array(items)) => items.iter().any(is),
        Some(value) => is(value),
        None => false,
    }
}

fn has_one_of(claim: Option<&Value>, wanted: &[String]) -> bool {
    wanted.iter().any(|wanted| has(claim, wanted))
}

/// What a pointer leads to.
pub(super) struct At {
    /// Whether the names on the way are those of the pointer, to the letter.
    exact: bool,
    /// A string or a number.
    pub(super) text: Option<String>,
}

/// All that is no container and that a pointer (RFC 6901) leads to, for whichever server behind.
///
/// # Errors
///
/// What keeps the body from being read.
pub(super) fn values_at(body: &[u8], pointer: &str) -> Result<Vec<At>, Reason> {
    let wanted: Vec<String> =
        pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let leads = |steps: &[Step<'_>], same: fn(&str, &str) -> bool| {
        steps.len() == wanted.len()
            && steps.iter().zip(&wanted).all(|(step, wanted)| match step {
                Step::Name(name) => same(name, wanted),
                Step::Element(number) => number.to_string() == *wanted,
            })
    };
    let mut found = Vec::new();
    json::events(body, &JSON, &mut |steps, event, _| {
        if let Event::Scalar(scalar) = event
            && leads(steps, is_same_entry)
        {
            let text = match scalar {
                Scalar::String(text) => Some(text.to_string()),
                Scalar::Number(number) => Some((*number).to_owned()),
                Scalar::Null | Scalar::Boolean(_) => None,
            };
            found.push(At { exact: leads(steps, str::eq), text });
        }
        Ok(())
    })?;
    Ok(found)
}
