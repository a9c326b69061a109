//! The engine as the proxy asks it.

use std::{
    borrow::Cow,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Error, Result};
use bytes::Bytes;
use serde_json::{Value, json};
use stopbank_checker::{
    Check, Evidence, Field, Finding, Identity, Kind, Policy, Reason, Request, State, Verdict, Version,
    engine::{self, Attempted, Context, Head},
    http1,
    policy::{Id, Mode, Route, Rules},
    printable,
    rates::Time,
    state::Seed,
};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::problem::Refusal;
use crate::{command, files::Disk};

/// The policy where none is named.
pub(super) const DEFAULT: &str = "generic";
/// Bodies up to so many bytes are judged where they are; larger ones in a thread beside, so that others do not wait for them.
const INLINE: usize = 64 << 10;
/// Characters of a subject's or a credential's name that the log has.
const LONGEST_NAME: usize = 128;

/// What requests are held against.
#[derive(Debug)]
pub(crate) struct Judge {
    policy: Policy,
    state: State,
    files: Mutex<Disk>,
}

/// Who asks, as far as the connection and those in front say.
#[derive(Clone, Copy)]
pub(crate) struct Client<'c> {
    pub(crate) address: IpAddr,
    pub(crate) secure: bool,
    /// Its own first.
    pub(crate) certificates: &'c [CertificateDer<'static>],
    /// Whether the request was judged before, and has waited.
    pub(crate) again: bool,
    /// Whether it is only asked about, and uses up nothing.
    pub(crate) looks_only: bool,
}

impl Judge {
    /// Of a policy: a file, or the name of a shipped one. What is known by `earlier` goes on.
    pub(crate) fn read(policy: Option<&str>, seed: &Seed, earlier: Option<&Self>) -> Result<Self> {
        let path = Path::new(policy.unwrap_or(DEFAULT));
        let policy = command::load(path)?;
        let mut files = Disk::beside(path);
        let before = earlier.map(|earlier| &earlier.state);
        let state =
            State::new(&policy, seed, before, &mut files, now().wall.as_secs()).map_err(Error::msg)?;
        Ok(Self { policy, state, files: Mutex::new(files) })
    }

    /// Reads what has changed of the files that the policy names. What is wrong with them.
    pub(crate) fn bring(&self) -> Vec<String> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.bring(&mut *files, now().wall.as_secs())
    }

    /// Where a file is that the policy names.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).place(name)
    }

    /// How large a request may be at the most, before its route is known.
    pub(crate) const fn limits(&self) -> &http1::Limits {
        self.policy.request_limits()
    }

    /// The policy.
    pub(crate) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How requests of a route are judged, and what becomes of their answers.
    pub(crate) fn rules(&self, route: Option<usize>) -> &Rules {
        self.policy.rules(route)
    }

    /// Names of the checks of bodies that are enforced, on a route or where there is none, and of the enumerations of ids in them.
    pub(crate) fn enforced_on_bodies(&self) -> Vec<String> {
        let routes = self.policy.routes().iter().map(Route::rules);
        let all: Vec<&Rules> = std::iter::once(self.policy.default_rules()).chain(routes).collect();
        let enforced = |check: &Check| {
            all.iter().any(|rules| rules.is_on(*check) && rules.of(*check).mode == Mode::Enforce)
        };
        let checks = Check::ALL.iter().filter(|check| check.kind() == Kind::Body && enforced(check));
        let enumerations = self.policy.enumerations().iter();
        let in_body = enumerations.filter(|one| one.mode == Mode::Enforce && matches!(one.id, Id::Body(_)));
        let in_body = in_body.map(|one| format!("enumeration {}", one.name));
        checks.map(|check| check.name().to_owned()).chain(in_body).collect()
    }

    /// The template of a route.
    pub(crate) fn route(&self, route: usize) -> Option<&str> {
        self.policy.routes().get(route).map(Route::path)
    }

    /// Judges a request without its body.
    pub(crate) fn head(&self, request: &Request<'_>, client: &Client<'_>) -> Result<Head<'_>, Verdict> {
        let began = Instant::now();
        let elapsed = || began.elapsed();
        let certificates: Vec<&[u8]> = client.certificates.iter().map(AsRef::as_ref).collect();
        engine::check_head(request, &self.asked_by(client, &certificates, &elapsed), &self.policy)
    }

    /// Judges the body of a request, which `request` has as well.
    pub(crate) async fn body(
        self: &Arc<Self>,
        head: Head<'_>,
        request: &Request<'_>,
        body: &Bytes,
        client: &Client<'_>,
    ) -> Verdict {
        let began = Instant::now();
        let elapsed = move || began.elapsed();
        if body.len() <= INLINE {
            let certificates: Vec<&[u8]> = client.certificates.iter().map(AsRef::as_ref).collect();
            return head.check_body(request, &self.asked_by(client, &certificates, &elapsed));
        }
        let (owned, body, judge, head) = (Owned::of(request), body.clone(), Arc::clone(self), head.park());
        let (certificates, address, secure) = (client.certificates.to_vec(), client.address, client.secure);
        let looks_only = client.looks_only;
        let judged = tokio::task::spawn_blocking(move || {
            let client = Client { address, secure, certificates: &certificates, again: false, looks_only };
            let certificates: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).collect();
            let context = judge.asked_by(&client, &certificates, &elapsed);
            head.resume(&judge.policy).check_body(&owned.request(&body), &context)
        });
        // A check that panics refuses.
        judged.await.unwrap_or_else(|_| Verdict::refused(Check::Connection, Reason::Overload))
    }

    /// Notes what has become of an attempt at a login, by the status of the upstream's answer.
    pub(crate) fn answered(&self, attempted: &Attempted, status: Option<u16>) {
        self.state.answered(attempted, status, now());
    }

    /// What outlives requests.
    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// What is known beside a request; `certificates` are the client's.
    fn asked_by<'c>(
        &'c self,
        client: &Client<'_>,
        certificates: &'c [&'c [u8]],
        elapsed: &'c dyn Fn() -> Duration,
    ) -> Context<'c> {
        Context {
            elapsed: Some(elapsed),
            client: Some(client.address),
            secure: client.secure,
            certificates,
            time: Some(now()),
            state: Some(&self.state),
            again: client.again,
            looks_only: client.looks_only,
        }
    }
}

/// What time it is.
pub(crate) fn now() -> Time {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // A clock that is before 1970 lets nobody in: tokens are of the future then.
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { monotonic: START.elapsed(), wall }
}

impl From<&Verdict> for Refusal {
    fn from(verdict: &Verdict) -> Self {
        let check = verdict.check.unwrap_or(Check::Framing);
        let reason = verdict.reason.unwrap_or(Reason::RequestLine);
        let evidence = verdict.evidence.as_deref().map(evidence);
        Self {
            status: verdict.status,
            evidence,
            headers: verdict.headers.clone(),
            ..Self::new(check, reason)
        }
    }
}

/// Evidence as the log has it.
fn evidence(evidence: &Evidence) -> Value {
    json!({ "place": evidence.place, "rule": evidence.rule, "score": evidence.score, "text": evidence.text })
}

/// Who asks, as the log has it: printable, and of a length that a log can bear.
pub(crate) fn identity(identity: &Identity) -> Value {
    let shown = |text: &Option<String>| text.as_deref().map(|text| printable(text, LONGEST_NAME));
    json!({
        "kind": identity.kind.name(),
        "issuer": &*identity.issuer,
        "subject": shown(&identity.subject),
        "id": shown(&identity.id),
    })
}

/// What a check that only observes has found, as the log has it.
pub(crate) fn observed(finding: &Finding) -> Value {
    json!({
        "check": finding.check.name(),
        "reason": finding.reason.name(),
        "evidence": finding.evidence.as_deref().map(evidence),
    })
}

/// A head that another thread may have.
struct Owned {
    method: Vec<u8>,
    target: Vec<u8>,
    version: Version,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Owned {
    fn of(request: &Request<'_>) -> Self {
        let headers = request.headers.iter().map(|field| (field.name.to_vec(), field.value.to_vec()));
        Self {
            method: request.method.to_vec(),
            target: request.target.to_vec(),
            version: request.version,
            headers: headers.collect(),
        }
    }

    fn request<'r>(&'r self, body: &'r [u8]) -> Request<'r> {
        let headers = self.headers.iter().map(|(name, value)| Field { name, value });
        Request {
            method: &self.method,
            target: &self.target,
            version: self.version,
            headers: headers.collect(),
            body: Cow::Borrowed(body),
        }
    }
}
