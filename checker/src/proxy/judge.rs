//! The engine as the proxy asks it.

use std::{
    borrow::Cow,
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};
use stopbank_checker::{
    Check, Evidence, Field, Finding, Policy, Reason, Request, Verdict, Version,
    engine::{self, Context, Head},
    http1,
    policy::Rules,
};

use super::problem::Refusal;
use crate::command;

/// The policy where none is named.
const DEFAULT: &str = "generic";
/// Bodies up to so many bytes are judged where they are; larger ones in a thread beside, so that others do not wait for them.
const INLINE: usize = 64 << 10;

/// What requests are held against.
#[derive(Debug)]
pub(crate) struct Judge {
    policy: Policy,
}

impl Judge {
    /// Of a policy: a file, or the name of a shipped one.
    pub(crate) fn read(policy: Option<&str>) -> Result<Self> {
        Ok(Self { policy: command::load(Path::new(policy.unwrap_or(DEFAULT)))? })
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

    /// The template of a route.
    pub(crate) fn route(&self, route: usize) -> Option<&str> {
        self.policy.routes().get(route).map(stopbank_checker::policy::Route::path)
    }

    /// Judges a request without its body.
    pub(crate) fn head(&self, request: &Request<'_>, client: IpAddr) -> Result<Head<'_>, Verdict> {
        let began = Instant::now();
        engine::check_head(request, &context(&|| began.elapsed(), client), &self.policy)
    }

    /// Judges all of a request whose body is `body`, which `request` has as well.
    pub(crate) async fn body(
        self: &Arc<Self>,
        head: Head<'_>,
        request: &Request<'_>,
        body: &Bytes,
        client: IpAddr,
    ) -> Verdict {
        let began = Instant::now();
        if body.len() <= INLINE {
            return head.check_body(request, &context(&|| began.elapsed(), client));
        }
        let (owned, body, judge) = (Owned::of(request), body.clone(), Arc::clone(self));
        let judged = tokio::task::spawn_blocking(move || {
            let elapsed = || began.elapsed();
            engine::check(&owned.request(&body), &context(&elapsed, client), &judge.policy)
        });
        // A check that panics refuses.
        judged.await.unwrap_or_else(|_| Verdict::refused(Check::Connection, Reason::Overload))
    }
}

fn context(elapsed: &dyn Fn() -> Duration, client: IpAddr) -> Context<'_> {
    Context { elapsed: Some(elapsed), client: Some(client) }
}

impl From<&Verdict> for Refusal {
    fn from(verdict: &Verdict) -> Self {
        let check = verdict.check.unwrap_or(Check::Framing);
        let reason = verdict.reason.unwrap_or(Reason::RequestLine);
        let evidence = verdict.evidence.as_deref().map(evidence);
        Self { status: verdict.status, evidence, ..Self::new(check, reason) }
    }
}

/// Evidence as the log has it.
fn evidence(evidence: &Evidence) -> Value {
    json!({ "place": evidence.place, "rule": evidence.rule, "score": evidence.score, "text": evidence.text })
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
