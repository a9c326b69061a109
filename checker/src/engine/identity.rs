//! Who asks: one credential, in one place, that proves what the route demands.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Judge, Judged};
use crate::{
    Check, Evidence, Identity, IdentityKind, Reason, Request, keys,
    names::is_same_parameter,
    policy::{Access, ApiKeys, Id, Identities, Issuer, Prover},
    state::{IssuerState, State, Waiting},
    target::Target,
    tokens::{
        self, Algorithm, Challenge, Class, Credential, Problem, Proof, ProofRules, Scheme, Verified,
        certificate_thumbprint, check_binding, check_proof, credential,
    },
};

/// Why nobody is known to ask.
pub(super) struct Refused {
    pub(super) reason: Reason,
    /// Which rule says so, and of whom.
    pub(super) rule: &'static str,
    pub(super) place: String,
    /// The problem of a token, by which it is answered.
    problem: Option<Problem>,
    waits: Waiting,
}

impl Refused {
    fn new(reason: Reason, rule: &'static str, place: impl Into<String>) -> Self {
        Self { reason, rule, place: place.into(), problem: None, waits: Waiting::No }
    }

    fn token(problem: Problem, place: impl Into<String>) -> Self {
        let reason = match problem.class() {
            Class::Missing => Reason::IdentityMissing,
            Class::Request => Reason::CredentialForm,
            Class::Token | Class::Scope => Reason::TokenRefused,
            Class::Proof => Reason::ProofRefused,
            Class::Nonce => Reason::ProofNonce,
            Class::Unavailable => Reason::IdentityUnavailable,
        };
        Self { problem: Some(problem), ..Self::new(reason, problem.name(), place) }
    }
}

/// What came with a request.
struct Given<'r> {
    authorization: usize,
    keys: Vec<&'r [u8]>,
    certificate: bool,
}

impl<'r> Given<'r> {
    fn of(request: &'r Request<'_>, keys: Option<&'r ApiKeys>, certificates: &[&[u8]]) -> Self {
        Self {
            authorization: request.values("authorization").count(),
            keys: keys.map(|keys| request.values(&keys.header).collect()).unwrap_or_default(),
            certificate: !certificates.is_empty(),
        }
    }

    /// Whether this is what is demanded, and no credential more. A certificate is the connection's, and may be there.
    fn fits(&self, together: &[Prover]) -> bool {
        let (mut token, mut key, mut certificate) = (false, false, false);
        for prover in together {
            match prover {
                Prover::Issuer(_) => token = true,
                Prover::Key => key = true,
                Prover::Certificate => certificate = true,
            }
        }
        token == (self.authorization > 0) && key != self.keys.is_empty() && (!certificate || self.certificate)
    }

    /// Why none of what is demanded has come, or more than that.
    fn unfit(&self, access: &Access) -> Refused {
        let takes = |wanted: fn(&Prover) -> bool| access.identity.iter().flatten().any(wanted);
        let (token, key) = (self.authorization > 0, !self.keys.is_empty());
        if token && key {
            return Refused::new(Reason::CredentialForm, "credentials-two", "header");
        }
        if token && !takes(|prover| matches!(prover, Prover::Issuer(_))) {
            return Refused::token(Problem::CredentialScheme, "header authorization");
        }
        if access.identity.iter().all(|together| together.contains(&Prover::Certificate)) && !self.certificate
        {
            return Refused::new(Reason::CertificateMissing, "certificate-missing", "connection");
        }
        Refused::token(Problem::CredentialMissing, "")
    }
}

impl Judge<'_> {
    /// Finds out who asks, where the route demands that.
    pub(super) fn identity(&mut self, request: &Request<'_>, target: &Target<'_>) -> Judged {
        let access = Arc::clone(&self.rules.access);
        if access.identity.is_empty() || !self.rules.is_on(Check::Identity) {
            return Ok(());
        }
        // A token in it would be a second credential (RFC 6750, section 2.2).
        let of_parts = access.bind.iter().any(|bind| matches!(bind.id, Id::Query(_)));
        self.has_form = has_form(request) || of_parts && request.values("content-type").any(is_form_of_parts);
        let identities = Arc::clone(&self.rules.identities);
        match self.identify(request, target, &access, &identities) {
            Ok(identity) => {
                self.identity = Some(Box::new(identity));
                Ok(())
            }
            Err(refused) => {
                self.waits = refused.waits == Waiting::Yes;
                self.challenge(request, &refused, &access, &identities);
                let evidence = evidence(&refused.place, refused.rule);
                self.found(Check::Identity, refused.reason, Some(evidence))
            }
        }
    }

    fn identify(
        &mut self,
        request: &Request<'_>,
        target: &Target<'_>,
        access: &Access,
        identities: &Identities,
    ) -> Result<Identity, Refused> {
        let unavailable = |rule| Refused::new(Reason::IdentityUnavailable, rule, "");
        let state = self.context.state.ok_or_else(|| unavailable("no-state"))?;
        let now = self.context.time.ok_or_else(|| unavailable("no-clock"))?.wall.as_secs();
        let given = Given::of(request, identities.keys.as_ref(), self.context.certificates);
        if given.authorization > 1 {
            return Err(Refused::token(Problem::CredentialTwice, "header authorization"));
        }
        if given.keys.len() > 1 {
            return Err(Refused::new(Reason::CredentialForm, "key-twice", "header"));
        }
        // Whatever proves who asks here: the server behind might take that for it.
        if target.query.iter().any(|(name, _)| is_token_parameter(name)) {
            return Err(Refused::token(Problem::CredentialPlace, "query access_token"));
        }
        let mut first = None;
        for together in access.identity.iter().filter(|together| given.fits(together)) {
            let asking = Asking { request, state, identities, given: &given, now };
            match self.prove(together, &asking) {
                Ok(identity) => return Ok(identity),
                // A token of another issuer says nothing about the one that it is of.
                Err(refused) if refused.problem == Some(Problem::Issuer) => first = first.or(Some(refused)),
                Err(refused) => {
                    first = Some(refused);
                    break;
                }
            }
        }
        Err(first.unwrap_or_else(|| given.unfit(access)))
    }

    /// Proves all of what is demanded together. The first one names who asks.
    fn prove(&mut self, together: &[Prover], asking: &Asking<'_>) -> Result<Identity, Refused> {
        let (mut found, mut proof): (Option<Identity>, _) = (None, None);
        for prover in together {
            let identity = match prover {
                Prover::Issuer(number) => {
                    let (identity, shown) = self.token(*number, asking)?;
                    proof = shown;
                    identity
                }
                Prover::Key => key(asking)?,
                Prover::Certificate => certificate(asking, self.context.certificates)?,
            };
            found.get_or_insert(identity);
        }
        // Used only when nothing else speaks against the request: it may be made again with the same one otherwise.
        if let Some(proof) = proof {
            let mut proofs = asking.state.proofs();
            let used = if self.context.looks_only {
                proofs.look(&proof, asking.now)
            } else {
                proofs.take(&proof, asking.now)
            };
            used.map_err(|problem| Refused::token(problem, "header dpop"))?;
        }
        found.ok_or_else(|| Refused::token(Problem::CredentialMissing, ""))
    }

    fn token(&mut self, number: usize, asking: &Asking<'_>) -> Result<(Identity, Option<Proof>), Refused> {
        let (Some(issuer), Some(known)) =
            (asking.identities.issuers.get(number), asking.state.issuer(number))
        else {
            return Err(Refused::new(Reason::IdentityUnavailable, "no-state", ""));
        };
        let shown = credential(asking.request, []).map_err(|problem| {
            known.count(problem.name());
            Refused::token(problem, "header authorization")
        })?;
        let place = || format!("token {}", issuer.name);
        let (answer, waits) = verify(issuer, known, shown.token, asking.now);
        let answer = answer.and_then(|verified| {
            let proof = self.bound(issuer, &shown, &verified, asking)?;
            Ok((verified, proof))
        });
        match answer {
            Ok((verified, proof)) => {
                known.count("good");
                if issuer.dpop_nonce && shown.scheme == Scheme::DPoP {
                    self.nonce(asking);
                }
                Ok((of_token(issuer, &verified, shown.token), proof))
            }
            Err(problem) => {
                // One of another issuer is that one's to count.
                if problem != Problem::Issuer {
                    known.count(problem.name());
                }
                if problem.class() == Class::Nonce {
                    self.nonce(asking);
                }
                Err(Refused { waits, ..Refused::token(problem, place()) })
            }
        }
    }

    /// Holds what came with a token against what it is bound to.
    fn bound(
        &self,
        issuer: &Issuer,
        shown: &Credential<'_>,
        verified: &Verified,
        asking: &Asking<'_>,
    ) -> Result<Option<Proof>, Problem> {
        let confirmation = verified.confirmation;
        if issuer.bound && confirmation.key.is_none() && confirmation.certificate.is_none() {
            return Err(Problem::Unbound);
        }
        let proof = match (shown.scheme, shown.proof) {
            (Scheme::DPoP, Some(proof)) => {
                let nonces = issuer.dpop_nonce.then(|| asking.state.nonces().accepted(asking.now));
                let nonces = nonces.as_ref().map(|nonces| &nonces[..]);
                let text = |bytes| str::from_utf8(bytes).map_err(|_| Problem::ProofTarget);
                let target = tokens::Target {
                    method: text(asking.request.method)?,
                    scheme: if self.context.secure { "https" } else { "http" },
                    authority: text(asking.request.values("host").next().unwrap_or_default())?,
                    path: text(path(asking.request.target))?,
                };
                Some(check_proof(proof, &target, shown.token, nonces, &ProofRules::default(), asking.now)?)
            }
            _ => None,
        };
        let certificate = self.context.certificates.first().map(|der| certificate_thumbprint(der));
        check_binding(verified, shown.scheme, certificate.as_ref(), proof.as_ref())?;
        Ok(proof)
    }

    /// Gives out the nonce that counts (RFC 9449, section 8.2).
    fn nonce(&mut self, asking: &Asking<'_>) {
        let nonce = asking.state.nonces().current(asking.now);
        self.headers.push(("dpop-nonce".to_owned(), nonce));
    }

    /// How a refusal is answered: a challenge for each kind of credential that the route takes (RFC 9110, section 11.6.1).
    fn challenge(
        &mut self,
        request: &Request<'_>,
        refused: &Refused,
        access: &Access,
        identities: &Identities,
    ) {
        let provers = || access.identity.iter().flatten();
        if provers().any(|prover| matches!(prover, Prover::Issuer(_))) {
            let used = credential(request, []).ok().map(|shown| shown.scheme);
            let problem = refused.problem.unwrap_or(match refused.reason {
                Reason::IdentityMissing => Problem::CredentialMissing,
                _ => Problem::CredentialScheme,
            });
            let challenges = problem.challenges(used, &scheme_challenge(identities));
            self.headers.extend(challenges.into_iter().map(|one| (AUTHENTICATE.to_owned(), one)));
        }
        let unauthorized = refused.reason.status() == 401;
        if let Some(keys) =
            identities.keys.as_ref().filter(|_| unauthorized && provers().any(|one| *one == Prover::Key))
        {
            let challenge = format!("ApiKey realm=\"{}\", header=\"{}\"", identities.realm, keys.header);
            self.headers.push((AUTHENTICATE.to_owned(), challenge));
        }
    }
}

const AUTHENTICATE: &str = "www-authenticate";
/// By which tokens are accepted.
const SCHEMES: [Scheme; 2] = [Scheme::Bearer, Scheme::DPoP];
/// Those that sign proofs.
const PROOFS: [Algorithm; 3] = [Algorithm::Es256, Algorithm::Ed25519, Algorithm::Ps256];

fn scheme_challenge(identities: &Identities) -> Challenge<'_> {
    Challenge { realm: &identities.realm, schemes: &SCHEMES, algorithms: &PROOFS, scope: None }
}

/// What a route's refusal by scope, or by how the user was authenticated, is answered with.
pub(super) fn bearer_challenge(realm: &str, parameters: &[(&str, String)]) -> (String, String) {
    let mut challenge = format!("Bearer realm=\"{realm}\"");
    for (name, value) in parameters {
        challenge.push_str(&format!(", {name}=\"{value}\""));
    }
    (AUTHENTICATE.to_owned(), challenge)
}

/// What a refusal goes by. Of a credential there is nothing in it.
pub(super) fn evidence(place: &str, rule: &str) -> Box<Evidence> {
    Box::new(Evidence { place: place.to_owned(), rule: rule.to_owned(), score: 0, text: String::new() })
}

/// A request for which somebody is looked for.
struct Asking<'a> {
    request: &'a Request<'a>,
    state: &'a State,
    identities: &'a Identities,
    given: &'a Given<'a>,
    now: u64,
}

/// Whether the body is declared as a form.
pub(super) fn has_form(request: &Request<'_>) -> bool {
    request.values("content-type").any(is_form)
}

fn is_form(content_type: &[u8]) -> bool {
    essence(content_type).eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

fn is_form_of_parts(content_type: &[u8]) -> bool {
    essence(content_type).eq_ignore_ascii_case(b"multipart/form-data")
}

fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

/// RFC 6750, sections 2.2 and 2.3, by whatever name a server behind may read so.
pub(super) fn is_token_parameter(name: &str) -> bool {
    is_same_parameter(name, "access_token")
}

/// The path of a target as its client has it.
fn path(target: &[u8]) -> &[u8] {
    target.split(|&byte| byte == b'?').next().unwrap_or_default()
}

/// Verifies a token where its issuer's keys are known, or asks about one that says nothing of itself.
fn verify(
    issuer: &Issuer,
    known: &Arc<IssuerState>,
    token: &str,
    now: u64,
) -> (Result<Arc<Verified>, Problem>, Waiting) {
    if let Some(known) = known.recall(token, now) {
        return known;
    }
    let said = tokens::issuer_of(token);
    let is_its = said.as_ref().is_ok_and(|said| *said == issuer.issuer);
    if known.has_keys() && is_its {
        return known.verify(token, now);
    }
    if known.is_asked() && (is_its || said.is_err()) {
        return known.ask(token, now);
    }
    (Err(said.err().unwrap_or(Problem::Issuer)), Waiting::No)
}

fn of_token(issuer: &Issuer, verified: &Verified, token: &str) -> Identity {
    Identity {
        kind: IdentityKind::Token,
        issuer: Arc::clone(&issuer.name),
        subject: verified.subject.clone(),
        id: verified.id.clone(),
        hash: certificate_thumbprint(token.as_bytes()),
        class: None,
        claims: Arc::clone(&verified.claims),
    }
}

fn key(asking: &Asking<'_>) -> Result<Identity, Refused> {
    let list =
        asking.state.keys().ok_or_else(|| Refused::new(Reason::IdentityUnavailable, "no-state", "key"))?;
    let shown = asking.given.keys.first().copied().unwrap_or_default();
    let entry = list.find(shown, asking.now).map_err(|refused| {
        let rule = match refused {
            keys::Refused::Malformed => "key-malformed",
            keys::Refused::Unknown => "key-unknown",
            keys::Refused::Expired => "key-expired",
        };
        list.count(rule);
        Refused::new(Reason::KeyRefused, rule, "key")
    })?;
    list.count("good");
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), Value::from(entry.name.as_str()));
    claims.extend(entry.class.as_deref().map(|class| ("class".to_owned(), Value::from(class))));
    Ok(Identity {
        kind: IdentityKind::Key,
        issuer: "key".into(),
        subject: Some(entry.name),
        id: Some(entry.id),
        hash: certificate_thumbprint(shown),
        class: entry.class,
        claims: Arc::new(claims),
    })
}

fn certificate(asking: &Asking<'_>, chain: &[&[u8]]) -> Result<Identity, Refused> {
    let known = asking.state.certificates();
    let known = known.ok_or_else(|| Refused::new(Reason::IdentityUnavailable, "no-state", "certificate"))?;
    let named = known.identify(chain, asking.now).map_err(|wrong| {
        known.count(wrong.name());
        Refused::new(Reason::CertificateRefused, wrong.name(), "certificate")
    })?;
    known.count("good");
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), Value::from(named.subject.as_str()));
    claims.insert("san".to_owned(), Value::from(named.names));
    Ok(Identity {
        kind: IdentityKind::Certificate,
        issuer: "certificate".into(),
        subject: Some(named.subject),
        id: Some(named.thumbprint.iter().map(|byte| format!("{byte:02x}")).collect()),
        hash: named.thumbprint,
        class: None,
        claims: Arc::new(claims),
    })
}
