//! The way of a request, top to bottom: the first check that refuses it decides.
//!
//! A front end that has the whole request calls [`check`]. One that streams calls [`check_head`] first, which gives a [`Head`] or a
//! refusal, reads the body only if [`Head::needs_body`], and hands it to [`Head::check_body`].

mod access;
mod answer;
mod brakes;
mod cross_site;
mod enumeration;
mod graphql;
mod head;
mod identity;
mod limits;
mod overrides;
mod patterns;
mod rates;
mod specification;

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    Check, Evidence, Finding, Headers, Identity, Place, Policy, Reason, Request, State, Verdict, coding,
    content::{self, Content},
    cookies, fields, forward, http1,
    inject::{self, Detector, Scratch},
    policy::{self, Fail, Mode, RateRule, Route, Rules},
    rates::{Ruling, Time},
    target::{self, Target},
    values,
    verdict::Kind,
};

pub use answer::Answer;
pub use brakes::Attempted;
pub use head::{Head, Parked};
pub use limits::Limits;

/// What is known beside the request.
#[derive(Clone, Copy, Default)]
pub struct Context<'c> {
    /// How long the request has been judged: time that its sender is waited for does not count. The engine has no clock of its own; without
    /// one there are no deadlines, and a request has the same verdict whenever it is judged.
    pub elapsed: Option<&'c dyn Fn() -> Duration>,
    /// The client's address, as far as those in front are trusted who name it ([`forward::Source::client`]); `None` where nobody knows.
    pub client: Option<IpAddr>,
    /// Whether the client speaks TLS, with whoever is in front of it ([`forward::Source::is_secure`]).
    pub secure: bool,
    /// The certificates (DER) that the client has shown and whose chain was verified, its own first; none where it has shown none.
    pub certificates: &'c [&'c [u8]],
    /// When it is. Without it, what depends on that is refused where a route demands it.
    pub time: Option<Time>,
    /// What outlives the request. Without it, what needs that is refused where a route demands it.
    pub state: Option<&'c State>,
    /// The request is only asked about, and will be made, or asked about again: it uses up nothing (forward authentication; RFC 9449,
    /// section 11.1).
    pub looks_only: bool,
    /// The request was judged before with [`Verdict::waits`], so that what counts requests has counted this one.
    pub again: bool,
}

/// Judges a request that is all of `bytes`, as HTTP/1 sends it.
pub fn check_bytes(bytes: &[u8], context: &Context<'_>, policy: &Policy) -> Verdict {
    match http1::read(bytes, policy.request_limits()) {
        Ok(request) => check(&request, context, policy),
        Err(reason) => Verdict::refused(Check::Framing, reason),
    }
}

/// Judges a whole request.
pub fn check(request: &Request<'_>, context: &Context<'_>, policy: &Policy) -> Verdict {
    match check_head(request, context, policy) {
        Ok(head) => head.check_body(request, context),
        Err(verdict) => verdict,
    }
}

/// Judges what can be judged without the body, which may be missing here.
///
/// # Errors
///
/// The refusal.
pub fn check_head<'p>(
    request: &Request<'_>,
    context: &Context<'_>,
    policy: &'p Policy,
) -> Result<Head<'p>, Verdict> {
    let framing = |reason| Verdict::refused(Check::Framing, reason);
    let length = http1::framing(request.version, &request.headers).map_err(framing)?;
    http1::within(request, policy.request_limits()).map_err(framing)?;
    fields::check(request).map_err(framing)?;
    fields::lengths(request, &policy.default_rules().limits.headers).map_err(framing)?;
    let target = Target::read(request.method, request.target, &policy.target_limits())
        .map_err(|reason| Verdict::refused(Check::Target, reason))?;
    let host = request.values("host").next().unwrap_or_default();
    if let Some(verdict) = cross_site::preflight(request, &target, policy) {
        return Err(verdict);
    }
    let routed = match request.target {
        // No path, and so of no route.
        b"*" => Err(Reason::RouteUndeclared),
        _ => policy.route(host, &target.segments, request.method),
    };
    let route = routed.ok();
    overrides::check(request, &target, policy, route)
        .map_err(|reason| Verdict::refused(Check::Target, reason))?;
    let rules = policy.rules(route);
    let mut judge = Judge::new(rules, context);
    judge.headers = cross_site::headers(request, rules);
    judge.route = route.and_then(|route| policy.routes().get(route));
    judge.has_form = !policy.identities().is_empty() && identity::has_form(request);
    let judged = match (routed, policy.undeclared()) {
        // What is demanded of those who ask by one method is not to be had by another for nothing. Browsers ask by OPTIONS without any credential.
        (Err(reason), mode)
            if mode == Mode::Enforce
                || reason == Reason::MethodUndeclared
                    && request.method != b"OPTIONS"
                    && policy.demands_identity_at(host, &target.segments) =>
        {
            Err(Box::new(Finding { check: Check::Route, reason, evidence: None }))
        }
        (Err(reason), Mode::Observe) => {
            judge.note(Finding { check: Check::Route, reason, evidence: None });
            Ok(())
        }
        _ => Ok(()),
    };
    // Who asks and whether they may comes before what the request says: what is refused there costs nothing more.
    let judged = judged.and_then(|()| judge.head(request, &target, length, route.is_some()));
    let Judge { operation, observed, identity, headers, has_form, waits, .. } = judge;
    let found = Parked { route, operation, observed, identity, headers, has_form };
    match judged {
        Ok(()) => Ok(found.resume(policy)),
        Err(finding) => Err(Verdict { waits, ..found.verdict(Verdict::from(*finding)) }),
    }
}

/// Findings of checks that only observe which a verdict keeps.
const MOST_OBSERVED: usize = 16;

/// Ends the judgement.
pub(crate) type Judged = Result<(), Box<Finding>>;

/// One request in judgement.
struct Judge<'j> {
    rules: &'j Rules,
    context: &'j Context<'j>,
    /// The operation of the policy's specification.
    operation: Option<usize>,
    observed: Vec<Finding>,
    /// Who asks, as soon as that is known.
    identity: Option<Box<Identity>>,
    /// Headers of the answer: name, in lower case, and value.
    headers: Headers,
    /// Whether the body may be a form in which a second credential stands.
    has_form: bool,
    /// Whether it is refused for want of something that is being fetched.
    waits: bool,
    /// Its route.
    route: Option<&'j Route>,
    /// Where the body is judged: the policy, and the route as that counts.
    of: Option<(&'j Policy, Option<usize>)>,
    /// What rates have said of it so far.
    rulings: Vec<(Arc<RateRule>, Ruling)>,
    /// An attempt at a login.
    attempt: Option<Box<Attempted>>,
    /// What the detector of injection works in.
    scratch: Scratch,
    /// Bytes of values that may be judged before the clock is looked at again, and whether values were judged when it was last.
    unclocked: usize,
    in_time: bool,
}

/// Bytes of values between two looks at the clock, which costs as much as judging a short one. Each value counts for some more than it has.
const CLOCKED: usize = 4 << 10;
const CLOCKED_VALUE: usize = 64;

impl<'j> Judge<'j> {
    fn new(rules: &'j Rules, context: &'j Context<'j>) -> Self {
        Self {
            rules,
            context,
            operation: None,
            observed: Vec::new(),
            identity: None,
            headers: Vec::new(),
            has_form: false,
            waits: false,
            route: None,
            of: None,
            rulings: Vec::new(),
            attempt: None,
            scratch: Scratch::default(),
            unclocked: 0,
            in_time: false,
        }
    }
}

impl Judge<'_> {
    /// What a check has found is refused, noted or passed over, as its mode has it.
    fn found(&mut self, check: Check, reason: Reason, evidence: Option<Box<Evidence>>) -> Judged {
        match self.rules.of(check).mode {
            Mode::Enforce => Err(Box::new(Finding { check, reason, evidence })),
            Mode::Observe => {
                self.note(Finding { check, reason, evidence });
                Ok(())
            }
            Mode::Off => Ok(()),
        }
    }

    /// A check that could not do its work.
    fn failed(&mut self, check: Check, reason: Reason) -> Judged {
        match (self.rules.is_on(check), self.rules.of(check).fail) {
            (false, _) => Ok(()),
            (_, Fail::Closed) => self.found(check, reason, None),
            (_, Fail::Open) => {
                self.note(Finding { check, reason, evidence: None });
                Ok(())
            }
        }
    }

    fn note(&mut self, finding: Finding) {
        let known = |one: &Finding| one.check == finding.check && one.reason == finding.reason;
        // A check that has failed open fails at each value again.
        if self.observed.len() < MOST_OBSERVED
            && (finding.evidence.is_some() || !self.observed.iter().any(known))
        {
            self.observed.push(finding);
        }
    }

    /// Whether a check is to be run now: it is on, and in time.
    fn runs(&mut self, check: Check) -> Result<bool, Box<Finding>> {
        let rule = self.rules.of(check);
        if !self.rules.is_on(check) {
            return Ok(false);
        }
        match (rule.deadline, self.context.elapsed) {
            (Some(deadline), Some(elapsed)) if elapsed() > deadline => {
                self.failed(check, Reason::CheckDeadline).map(|()| false)
            }
            _ => Ok(true),
        }
    }

    fn head(
        &mut self,
        request: &Request<'_>,
        target: &Target<'_>,
        length: http1::Framing,
        declared: bool,
    ) -> Judged {
        let limits = &self.rules.limits;
        self.rates_before(request)?;
        if forward::wishes(request).is_ok_and(|wishes| wishes.websocket)
            && let Err(reason) =
                policy::websocket(self.rules.websocket.as_ref(), request, self.context.secure)
        {
            return Err(Box::new(Finding { check: Check::Connection, reason, evidence: None }));
        }
        if matches!(length, http1::Framing::Length(length) if length > limits.request.body) {
            return Err(too_long());
        }
        self.identity(request, target)?;
        self.authorise(target, self.route)?;
        self.rates_after(request)?;
        if self.runs(Check::Query)?
            && let Err(reason) = target::within(&target.query, &limits.target)
        {
            self.found(Check::Query, reason, None)?;
        }
        let mut cookies = Vec::new();
        if self.runs(Check::Cookies)? {
            match cookies::read(request.version, &request.headers, &limits.cookies) {
                Ok(read) => cookies = read,
                Err(reason) => self.found(Check::Cookies, reason, None)?,
            }
        }
        self.cross_site(request, target)?;
        self.parameters(request, target, declared)?;
        if self.rules.judges_values() {
            values::of_target(target, &mut |place, text| self.value(place, text))?;
            values::of_headers(request, &cookies, &mut |place, text| self.value(place, text))?;
        }
        self.enumeration_of_target(target)
    }

    fn body(&mut self, request: &Request<'_>) -> Judged {
        let rules = self.rules;
        if request.body.len() > rules.limits.request.body {
            return Err(too_long());
        }
        if !rules.needs_body() && !self.has_form {
            return Ok(());
        }
        if !self.runs(Check::Coding)? && rules.is_on(Check::Coding) {
            self.objects(Content::Opaque, &[], &[])?;
            return self.undecoded();
        }
        let codings = request.values("content-encoding");
        let body = match coding::decode(&request.body, codings, &rules.limits.coding) {
            Ok(body) => body,
            Err(reason) => {
                self.found(Check::Coding, reason, None)?;
                self.objects(Content::Opaque, &[], &[])?;
                return self.undecoded();
            }
        };
        let content_type = request.values("content-type").next();
        let content = match content::of(content_type, &body) {
            Ok(content) => content,
            Err(reason) => {
                self.found(Check::Content, reason, None)?;
                // As the server behind may take it, that goes by the look of it.
                content::as_it_looks(&body)
            }
        };
        if let Some((policy, route)) = self.of
            && let Err(reason) = overrides::check_form(request, content, &body, policy, route)
        {
            return Err(Box::new(Finding { check: Check::Target, reason, evidence: None }));
        }
        self.objects(content, content_type.unwrap_or_default(), &body)?;
        let content = self.graphql(content, request, &body)?;
        self.structure(content, content_type.unwrap_or_default(), &body)?;
        self.entity(request, &body)?;
        self.brakes(request, content, &body)
    }

    /// The body as what it is.
    fn structure(&mut self, content: Content, content_type: &[u8], body: &[u8]) -> Judged {
        let check = match content {
            Content::Json => Check::Json,
            Content::Xml => Check::Xml,
            Content::Form => Check::Form,
            Content::Multipart => Check::Multipart,
            Content::Empty => return Ok(()),
            Content::GraphQl | Content::Opaque => {
                return values::of_text(body, &mut |place, text| self.value(place, text));
            }
        };
        let rules = self.rules;
        let runs = self.runs(check)?;
        let enforced = runs && rules.of(check).mode == Mode::Enforce;
        // A check that only observes, or is off, keeps those of values from nothing that can be read at all.
        if runs
            && !enforced
            && let Err(reason) = read(content, content_type, body, &rules.limits, &mut |_, _| Ok(()))
        {
            self.found(check, reason, None)?;
        }
        if !enforced && !rules.judges_values() {
            return Ok(());
        }
        let wide = if enforced { None } else { Some(Limits::widest()) };
        // Values that are judged while the structure is read end the reading, too, if they are refused.
        let mut refused = None;
        let mut show = |place: &Place<'_>, text: &str| {
            self.value(place, text).map_err(|finding| {
                let reason = finding.reason;
                refused = Some(finding);
                reason
            })
        };
        let done = read(content, content_type, body, wide.as_ref().unwrap_or(&rules.limits), &mut show);
        match (done, refused) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(finding)) => Err(finding),
            (Err(reason), None) if enforced => self.found(check, reason, None),
            (Err(_), None) => self.unread(),
        }
    }

    /// The body could not be read as what it is: checks of values have not seen them.
    fn unread(&mut self) -> Judged {
        for check in Check::ALL.iter().filter(|check| check.kind() == Kind::Values) {
            self.failed(*check, Reason::BodyUnread)?;
        }
        Ok(())
    }

    /// One value of the request, decoded.
    fn value(&mut self, place: &Place<'_>, text: &str) -> Judged {
        let rules = self.rules;
        if rules.limits.graphql.endpoint
            && rules.of(Check::GraphQl).mode == Mode::Enforce
            && graphql::is_document(place)
        {
            // It is read as what it is, and its strings are shown.
            return Ok(());
        }
        self.patterns(place, text)?;
        // Nothing leaves its place by a number.
        if matches!(place, Place::JsonNumber(_)) {
            return Ok(());
        }
        let length = text.len() + CLOCKED_VALUE;
        if self.unclocked < length {
            self.in_time = self.runs(Check::Injection)?;
            self.unclocked = CLOCKED.max(length);
        }
        self.unclocked -= length;
        if !self.in_time {
            return Ok(());
        }
        let Some(found) = Detector::shared().judge(text, kind(place), &mut self.scratch) else {
            return Ok(());
        };
        let evidence = Evidence::new(place, found.rule, found.score, &found.decoded);
        self.found(Check::Injection, found.class.reason(), Some(evidence))
    }
}

/// A place, as the detector of injection sees it.
const fn kind(place: &Place<'_>) -> inject::Kind {
    match place {
        Place::Path(_) => inject::Kind::Path,
        Place::QueryName | Place::FormName | Place::JsonName(_) => inject::Kind::Name,
        Place::Header(_) => inject::Kind::Header,
        Place::PartFile(_) => inject::Kind::FileName,
        Place::Query(_)
        | Place::Cookie(_)
        | Place::Form(_)
        | Place::Part(_)
        | Place::Json(_)
        | Place::JsonNumber(_)
        | Place::XmlText(_)
        | Place::XmlAttribute(..)
        | Place::GraphQl(_)
        | Place::Body => inject::Kind::Value,
    }
}

/// Reads a body that has a structure, and shows its values.
fn read(
    content: Content,
    content_type: &[u8],
    body: &[u8],
    limits: &Limits,
    show: &mut values::Show<'_, Reason>,
) -> Result<(), Reason> {
    match content {
        Content::Json => values::of_json(body, &limits.json, show),
        Content::Xml => values::of_xml(body, &limits.xml, show),
        Content::Form => values::of_form(body, &limits.form, show),
        Content::Multipart => values::of_parts(content_type, body, &limits.multipart, show),
        Content::Empty | Content::GraphQl | Content::Opaque => Ok(()),
    }
}

fn too_long() -> Box<Finding> {
    Box::new(Finding { check: Check::Framing, reason: Reason::BodyLength, evidence: None })
}

#[cfg(test)]
mod cross_site_tests;
#[cfg(test)]
mod enumeration_tests;
#[cfg(test)]
mod evasion_tests;
#[cfg(test)]
mod patterns_tests;
#[cfg(test)]
mod rates_tests;
#[cfg(test)]
mod specification_tests;
#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
