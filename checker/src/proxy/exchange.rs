//! One request and its answer, whatever version of HTTP the client speaks.

mod asked;
mod shown;

use std::{
    cell::Cell,
    collections::BTreeMap,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use stopbank_checker::{
    Action, Check, Field, Finding, Headers, Identity, Reason, Request, Verdict, Version,
    engine::{Attempted, Head},
    forward::{self, Answered, Onward, Source},
    policy::{Fail, Mode, Reading, Rules},
    response::{Ending, Response},
    sensitive::Kind,
    target,
};
use tokio::time::timeout_at;

use super::{
    audit::{self, Record},
    fetch,
    judge::{self, Client},
    kept::{Keeping, Kept},
    passing::{Found, Mask, Passing},
    problem::{self, Refusal},
    shared::{Live, Peer, Shared, Worker},
    streaming::{self, Coming, Failed, Stopped},
    upstream::{self, Body, Outgoing, Upstream},
};

pub(crate) use asked::{Beside, Changes};

/// One request.
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    pub(crate) live: Arc<Live>,
    peer: Rc<Peer>,
    pub(crate) id: String,
    started: Instant,
    /// For the log.
    method: Bytes,
    target: Bytes,
    client: IpAddr,
    upstream: Option<Arc<Upstream>>,
    route: Option<usize>,
    observed: Vec<Finding>,
    /// Whether the request is one that is answered here.
    answered: bool,
    /// An attempt at a login, of which the answer tells what has become.
    attempt: Option<Box<Attempted>>,
    /// Whether the client speaks TLS.
    secure: bool,
    /// Whether it is judged without its body, of which nothing is known.
    unseen: bool,
    /// The operation of the policy's specification that it is.
    operation: Option<usize>,
    /// What was to be masked in the answer.
    masked: Option<Found>,
    /// The answer itself, where a specification declares it.
    kept: Option<Keeping>,
    /// Who asks.
    identity: Option<Box<Identity>>,
    /// Headers that the answer gets beside its own.
    headers: Headers,
}

/// An answer's head, as it is passed on.
#[derive(Debug)]
pub(crate) struct Arrived<'r> {
    pub(crate) response: &'r Response<'r>,
    /// Its headers, but those of the connection and its length.
    pub(crate) fields: Vec<Field<'r>>,
    pub(crate) ending: Ending,
    /// Whether all of the request was sent. Otherwise its connection has no other one behind it.
    pub(crate) complete: bool,
}

impl Exchange {
    pub(crate) fn new(worker: &Rc<Worker>, peer: &Rc<Peer>, live: Arc<Live>) -> Self {
        Self {
            worker: Rc::clone(worker),
            live,
            peer: Rc::clone(peer),
            id: worker.shared.ids.next(),
            started: Instant::now(),
            method: Bytes::new(),
            target: Bytes::new(),
            client: peer.address.ip().to_canonical(),
            upstream: None,
            route: None,
            observed: Vec::new(),
            answered: false,
            attempt: None,
            secure: peer.tls,
            unseen: false,
            operation: None,
            masked: None,
            kept: None,
            identity: None,
            headers: Headers::new(),
        }
    }

    /// What the log is to say of the request.
    pub(crate) fn is_about(&mut self, request: &Request<'_>) {
        // Nearly no request is logged, unless all are.
        self.method = Bytes::copy_from_slice(request.method);
        self.target = Bytes::copy_from_slice(request.target);
        self.client = self.source().client(&request.headers);
        self.secure = self.source().is_secure(&request.headers);
    }

    /// Whether it is a HEAD, whose answer has no body.
    pub(crate) fn is_head(&self) -> bool {
        &self.method[..] == b"HEAD"
    }

    fn source(&self) -> Source<'_> {
        let asked = self.live.asked(self.peer.listener);
        Source {
            peer: self.peer.address.ip().to_canonical(),
            tls: self.peer.tls,
            trusted: asked.map_or(&self.live.config.forwarded.trusted, |asked| &asked.trusted),
        }
    }

    /// The upstream for a request, chosen by its head.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub(crate) fn choose(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        let host = request.values("host").next();
        // HTTP/1.0 may come without one; HTTP/1.1, which the upstream is asked with, may not.
        let host = host.ok_or_else(|| Refusal::new(Check::Framing, Reason::HostMissing))?;
        // As routes are chosen: `/%61dmin` is `/admin`.
        let path = &*target::path(request.target);
        let chosen = self.live.upstreams.iter().find(|upstream| upstream.config.serves(host, path));
        let chosen = chosen.ok_or_else(|| Refusal::new(Check::Upstream, Reason::UpstreamUnreachable))?;
        self.upstream = Some(Arc::clone(chosen));
        Ok(())
    }

    /// Judges the request without its body. Where something is fetched that may change the answer, it waits for that, and not for long.
    pub(crate) async fn judge<'l>(
        &mut self,
        live: &'l Live,
        request: &Request<'_>,
    ) -> Result<Head<'l>, Refusal> {
        if !self.peer.still_holds(live) {
            return Err(Refusal::new(Check::Connection, Reason::CertificateRefused));
        }
        let mut judged = live.judge.head(request, &self.client(false));
        fetch::begin(&self.worker.shared, live);
        if matches!(&judged, Err(verdict) if verdict.waits) {
            let mut fetched = self.worker.shared.fetched.subscribe();
            let deadline = tokio::time::Instant::now() + fetch::PATIENCE;
            loop {
                // What came before the subscription counts as well.
                judged = live.judge.head(request, &self.client(true));
                fetch::begin(&self.worker.shared, live);
                let waits = matches!(&judged, Err(verdict) if verdict.waits);
                if !waits || !matches!(timeout_at(deadline, fetched.changed()).await, Ok(Ok(()))) {
                    break;
                }
            }
        }
        self.headers = judged.as_ref().map_or_else(|verdict| &verdict.headers, Head::headers).clone();
        judged.map_err(|verdict| {
            let refusal = Refusal::from(&verdict);
            self.note(verdict);
            refusal
        })
    }

    /// Who asks, as far as the connection and those in front say.
    fn client(&self, again: bool) -> Client<'_> {
        let certificates = self.peer.chain.as_deref().unwrap_or_default();
        let asked = self.live.asked(self.peer.listener);
        let looks_only = asked.is_some_and(|asked| !asked.uses_up);
        Client { address: self.client, secure: self.secure, certificates, again, looks_only }
    }

    fn note(&mut self, verdict: Verdict) {
        self.route = verdict.route;
        self.operation = verdict.operation;
        self.observed = verdict.observed;
        self.identity = verdict.identity;
        self.headers = verdict.headers;
        self.answered = verdict.action == Action::Answer;
        self.attempt = verdict.attempt;
    }

    /// Judges the request's body and asks the upstream. `accept` gets the answer's head.
    pub(crate) async fn forward<T>(
        &mut self,
        head: Head<'_>,
        request: &Request<'_>,
        body: &Bytes,
        websocket: bool,
        accept: impl FnOnce(&Arrived<'_>) -> T,
    ) -> Result<(T, Passing), Refusal> {
        let verdict = self.live.judge.body(head, request, body, &self.client(false)).await;
        let refusal = (!verdict.is_allowed()).then(|| Refusal::from(&verdict));
        self.note(verdict);
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let (live, upstream) = (Arc::clone(&self.live), self.upstream()?);
        let rules = live.judge.rules(self.route);
        let head = self.head(request, Some(body.len()), websocket, rules);
        let outgoing = Outgoing { head: &head, body, method: request.method, websocket };
        let (passage, status) = (self.passage(&live), Cell::new(None));
        let sent = upstream::send(&self.worker.pool, &upstream, outgoing, |response, ending| {
            status.set(Some(response.status));
            passage.begin(response, ending, true, accept)
        });
        let sent = sent.await;
        if let Some(attempt) = self.attempt.take() {
            live.judge.answered(&attempt, status.get());
        }
        let (answer, body) = sent.map_err(|reason| self.failed(reason))?;
        self.passing(answer, body)
    }

    /// Asks the upstream with a body that no check needs, as it comes; `length` where it is known. `accept` gets the answer's head.
    pub(crate) async fn stream<T>(
        &mut self,
        head: Head<'_>,
        request: &Request<'_>,
        coming: &mut impl Coming,
        length: Option<usize>,
        accept: impl FnOnce(&Arrived<'_>) -> T,
    ) -> Result<(T, Passing), Stopped> {
        self.note(head.allow());
        let live = Arc::clone(&self.live);
        let upstream = self.upstream().map_err(Stopped::Refused)?;
        let rules = live.judge.rules(self.route);
        let head = self.head(request, length, false, rules);
        let outgoing = Outgoing { head: &head, body: &[], method: request.method, websocket: false };
        let passage = self.passage(&live);
        let accept =
            |response: &Response<'_>, ending, complete| passage.begin(response, ending, complete, accept);
        let chunked = length.is_none();
        let sent = streaming::send(&self.worker.pool, &upstream, outgoing, coming, chunked, accept).await;
        let (answer, body) = sent.map_err(|failed| match failed {
            Failed::Upstream(reason) => Stopped::Refused(self.failed(reason)),
            Failed::Client(stopped) => stopped,
        })?;
        self.passing(answer, body).map_err(Stopped::Refused)
    }

    fn upstream(&self) -> Result<Arc<Upstream>, Refusal> {
        let upstream = self.upstream.as_ref().map(Arc::clone);
        upstream.ok_or_else(|| Refusal::new(Check::Upstream, Reason::UpstreamUnreachable))
    }

    /// The head that goes to the upstream.
    fn head(&self, request: &Request<'_>, length: Option<usize>, websocket: bool, rules: &Rules) -> Vec<u8> {
        let mut head = Vec::with_capacity(1024);
        let readable = rules.masking.is_on() && !websocket;
        let told = self.told();
        let identity = told.as_ref().map(|(name, value)| (&**name, &**value));
        let removed = rules.kept_back();
        let onward = Onward { id: &self.id, length, websocket, readable, removed: &removed, identity };
        forward::write_request(&mut head, request, &self.source(), &onward);
        head
    }

    /// The header that says who asks.
    fn told(&self) -> Option<(String, String)> {
        let (identity, judge) = (self.identity.as_ref()?, &self.live.judge);
        let header = judge.policy().identities().header.as_ref()?;
        let value = judge.state().identity_header(identity, judge::now().wall.as_secs())?;
        Some((header.name.to_string(), value))
    }

    /// How the answer is passed on.
    fn passage<'l>(&self, live: &'l Live) -> Passage<'l> {
        Passage {
            live,
            rules: live.judge.rules(self.route),
            secure: self.secure,
            is_head: self.is_head(),
            headers: self.headers.clone(),
            keeps: live.judge.policy().judges_response(self.route, self.operation),
            shared: Arc::clone(&self.worker.shared),
        }
    }

    /// An answer's body with what is masked in it, or why it is not passed on.
    fn passing<T>(&mut self, begun: Result<Begun<T>, Reason>, body: Body) -> Result<(T, Passing), Refusal> {
        let Begun { accepted, mask, unreadable, kept } = begun.map_err(|reason| self.failed(reason))?;
        if unreadable {
            self.finds(Finding {
                check: Check::Upstream,
                reason: Reason::ResponseUnreadable,
                evidence: None,
            });
        }
        let (mask, found) = mask.unzip();
        (self.masked, self.kept) = (found, kept.clone());
        Ok((accepted, Passing::new(body, mask, kept)))
    }

    /// Notes what is wrong with an answer that is passed on all the same.
    fn finds(&mut self, finding: Finding) {
        self.worker.shared.metrics.response_findings.with_label_values(&[finding.reason.name()]).inc();
        self.observed.push(finding);
    }

    /// Headers of an answer of the proxy's own.
    pub(crate) fn own_headers(&self, refusal: &Refusal) -> Vec<(String, String)> {
        let headers = [(&b"content-type"[..], problem::TYPE), (b"cache-control", "no-store")];
        let headers = headers.map(|(name, value)| Field { name, value: value.as_bytes() });
        // What is answered here has no body, and may be kept as long as it says itself.
        let headers = if self.answered { Vec::new() } else { headers.to_vec() };
        let response = Response { version: Version::Http11, status: 500, headers };
        let rules = self.live.judge.rules(self.route);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let given = if refusal.headers.is_empty() { &self.headers } else { &refusal.headers };
        let secure = self.secure;
        let answered = Answered { headers: &rules.headers, given, cors: false, secure, masked: false };
        let fields = forward::answered(&response, &answered);
        fields.iter().map(|field| (text(field.name), text(field.value))).collect()
    }

    /// An answer that cannot be passed on, or not to its end. The status is 502 where the reason is not of the upstream alone.
    pub(crate) fn failed(&self, reason: Reason) -> Refusal {
        if let Some(upstream) = &self.upstream {
            let labels = [upstream.config.name.as_str(), reason.name()];
            self.worker.shared.metrics.upstream_errors.with_label_values(&labels).inc();
        }
        let status = if reason.status() < 500 { 502 } else { reason.status() };
        Refusal { status, ..Refusal::new(Check::Upstream, reason) }
    }

    /// Counts and logs a request whose sender has left before all of it had come.
    pub(crate) fn gone(self) {
        let refusal = Refusal::new(Check::Framing, Reason::CutShort);
        self.end(refusal.status, Some(&refusal));
    }

    /// Whether the request is one that is answered here, without a body.
    pub(crate) const fn is_answered(&self) -> bool {
        self.answered
    }

    /// Counts and logs the request at its end. `status` is what the client got.
    pub(crate) fn end(mut self, status: u16, refusal: Option<&Refusal>) {
        if let Some(kept) = self.kept.take()
            && kept.borrow().whole
        {
            let findings = kept.borrow().judge(self.live.judge.policy(), self.route, self.operation);
            findings.into_iter().for_each(|finding| self.finds(finding));
        }
        let metrics = &self.worker.shared.metrics;
        let took = self.started.elapsed();
        metrics.duration.observe(took.as_secs_f64());
        let refusal = refusal.filter(|_| !self.answered);
        let action = match refusal {
            None if self.answered => "answer",
            None if self.observed.is_empty() => "allow",
            None => "observe",
            Some(refusal) if refusal.check == Check::Upstream => "fail",
            Some(_) => "refuse",
        };
        let first = refusal.map(|one| (one.check, one.reason));
        let first = first.or_else(|| self.observed.first().map(|one| (one.check, one.reason)));
        let (check, reason) = (first.map(|(check, _)| check.name()), first.map(|(_, reason)| reason.name()));
        match (check, reason) {
            (Some(check), Some(reason)) => metrics.requests.with_label_values(&[action, check, reason]).inc(),
            _ if self.answered => {
                metrics.requests.with_label_values(&[action, Check::CrossSite.name(), ""]).inc();
            }
            _ => metrics.allowed.inc(),
        }
        if self.unseen && refusal.is_none() {
            metrics.unseen_bodies.inc();
        }
        let masked = self.masked();
        let Some(audit) = &self.worker.shared.audit else { return };
        if first.is_none() && masked.is_empty() && !audit.allowed {
            return;
        }
        let record = Record {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            request_id: &self.id,
            client: self.client.to_string(),
            certificate: self.peer.chain.is_some(),
            method: audit::shortened(&self.method),
            path: audit::path(&self.target),
            status,
            action,
            check,
            reason,
            evidence: refusal.and_then(|one| one.evidence.clone()),
            observed: self.observed.iter().map(judge::observed).collect(),
            masked,
            identity: self.identity.as_deref().map(judge::identity),
            unseen: self.unseen.then_some("body"),
            route: self.route.and_then(|route| self.live.judge.route(route)),
            upstream: self.upstream.as_ref().map(|upstream| upstream.config.name.as_str()),
            duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        };
        if !audit.add(&record) {
            metrics.audit_lost.inc();
        }
    }

    /// Counts what was masked in the answer, by kind.
    fn masked(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.masked.as_ref().map(|found| found.get()).unwrap_or_default();
        let found = Kind::ALL.into_iter().map(|kind| (kind.name(), counts.of(kind)));
        let found: BTreeMap<_, _> = found.filter(|(_, count)| *count > 0).collect();
        for (kind, count) in &found {
            self.worker.shared.metrics.masked.with_label_values(&[kind]).inc_by(*count);
        }
        found
    }
}

/// How an answer is passed on.
struct Passage<'l> {
    live: &'l Live,
    rules: &'l Rules,
    secure: bool,
    /// Whether the request asks for the head alone.
    is_head: bool,
    /// Headers that the answer gets beside its own.
    headers: Headers,
    /// Whether a specification declares the answer.
    keeps: bool,
    shared: Arc<Shared>,
}

/// What is made of an answer's head.
struct Begun<T> {
    accepted: T,
    mask: Option<(Mask, Found)>,
    /// Whether it ought to be looked through for what is to be masked, and cannot.
    unreadable: bool,
    kept: Option<Keeping>,
}

impl Passage<'_> {
    /// `complete`: whether all of the request was sent by then.
    fn begin<T>(
        self,
        response: &Response<'_>,
        ending: Ending,
        complete: bool,
        accept: impl FnOnce(&Arrived<'_>) -> T,
    ) -> Result<Begun<T>, Reason> {
        let masking = &self.rules.masking;
        // What has no body, and what is no answer any more, holds nothing.
        let reading = match ending {
            Ending::Empty => Reading::Not,
            _ if response.status == 101 => Reading::Not,
            _ => masking.reading(response),
        };
        let unreadable = reading == Reading::Unreadable;
        if unreadable && masking.mode == Mode::Enforce && masking.fail == Fail::Closed {
            return Err(Reason::ResponseUnreadable);
        }
        let masked = masking.mode == Mode::Enforce && matches!(reading, Reading::Text | Reading::Events);
        let answered = Answered {
            headers: &self.rules.headers,
            given: &self.headers,
            cors: self.rules.cors.is_some(),
            secure: self.secure,
            masked,
        };
        let fields = forward::answered(response, &answered);
        let most = self.live.config.limits.buffered;
        let kept = self.keeps.then(|| Kept::new(response, ending, self.is_head, &self.shared, most));
        let accepted = accept(&Arrived { response, fields, ending, complete });
        Ok(Begun { accepted, mask: Mask::new(masking, reading), unreadable, kept })
    }
}
