//! How often one may: by route and address before it is known who asks, by the rest afterwards.
//!
//! The allowance of a route is everyone's: it is looked at early, and used up only by those who may ask at all. That of an address is used up by whatever comes
//! from there.

use std::sync::Arc;

use super::{Judge, Judged};
use crate::{
    Check, Evidence, Finding, Identity, IdentityKind, Reason, Request, cookies,
    policy::{Held, Mode, RateRule},
    rates::{Ask, By, Headers, Ruling, retry_after},
    sensitive,
    tokens::certificate_thumbprint,
};

/// What one rule is asked about a request.
struct Question {
    held: Held<RateRule>,
    /// Whose allowance it is.
    whose: Vec<u8>,
    /// The same as logs may have it; empty where the rule gives it another name.
    shown: String,
}

impl Question {
    fn ask<'q>(&'q self, class: Option<&'q str>, method: &str) -> Ask<'q> {
        let weight = self.held.rule.rule.weight(method);
        Ask { rule: self.held.place, identity: &self.whose, class, weight }
    }
}

/// When rules are asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    After,
}

impl Judge<'_> {
    /// By address, and by route without using it up.
    pub(super) fn rates_before(&mut self, request: &Request<'_>) -> Judged {
        // What is judged again was counted when it was judged first.
        if self.context.again || !self.runs(Check::Rates)? {
            return Ok(());
        }
        let questions = self.questions(request, |by| matches!(by, By::Address | By::Route));
        let (of_route, of_address): (Vec<_>, Vec<_>) =
            questions.into_iter().partition(|question| question.held.rule.rule.by == By::Route);
        let enforced = of_route.into_iter().filter(|one| self.effect(&one.held.rule) == Mode::Enforce);
        self.ask_all(&enforced.collect::<Vec<_>>(), request, Stage::Before, false)?;
        self.ask_all(&of_address, request, Stage::Before, true)
    }

    /// By route, and by whoever asks.
    pub(super) fn rates_after(&mut self, request: &Request<'_>) -> Judged {
        if !self.runs(Check::Rates)? {
            return Ok(());
        }
        let questions = self.questions(request, |by| !matches!(by, By::Address));
        self.ask_all(&questions, request, Stage::After, true)?;
        let rulings = std::mem::take(&mut self.rulings);
        self.tell(rulings.iter().filter(|(rate, _)| rate.headers));
        Ok(())
    }

    /// What a rule does where it is exceeded: no more than the check does.
    fn effect(&self, rate: &RateRule) -> Mode {
        match (rate.mode, self.rules.of(Check::Rates).mode) {
            (Mode::Off, _) | (_, Mode::Off) => Mode::Off,
            (Mode::Observe, _) | (_, Mode::Observe) => Mode::Observe,
            (Mode::Enforce, Mode::Enforce) => Mode::Enforce,
        }
    }

    fn questions(&self, request: &Request<'_>, concerned: impl Fn(&By) -> bool) -> Vec<Question> {
        let mut questions = Vec::new();
        for held in self.rules.rates.iter() {
            let rule = &held.rule.rule;
            if !concerned(&rule.by) || self.effect(&held.rule) == Mode::Off {
                continue;
            }
            questions.extend(self.whose(held, request).into_iter().map(|(whose, shown)| Question {
                held: held.clone(),
                whose,
                shown,
            }));
        }
        questions
    }

    /// Whose allowance it is, and how logs show that; nobody's where the request has nothing of the kind.
    fn whose(&self, held: &Held<RateRule>, request: &Request<'_>) -> Vec<(Vec<u8>, String)> {
        let identity = self.identity.as_deref();
        let of_kind = |kind| identity.filter(|identity: &&Identity| identity.kind == kind);
        let hidden = |whose: Vec<u8>| (whose, String::new());
        let rule = &held.rule.rule;
        let one = match &rule.by {
            By::Address => self.context.client.map(|address| {
                let network = rule.network(address).to_string();
                (network.clone().into_bytes(), network)
            }),
            By::Route => {
                let route = self.route.map_or_else(
                    || "undeclared".to_owned(),
                    |route| format!("{}{} {}", route.host(), route.path(), route.methods().join(" ")),
                );
                Some((route.clone().into_bytes(), route))
            }
            By::Token => of_kind(IdentityKind::Token).map(|identity| hidden(identity.hash.to_vec())),
            // The id of a key is no secret, and outlives no rotation of it.
            By::Key => of_kind(IdentityKind::Key).map(|identity| match &identity.id {
                Some(id) => (id.clone().into_bytes(), id.clone()),
                None => hidden(identity.hash.to_vec()),
            }),
            By::Subject => identity.and_then(|identity| {
                let subject = identity.subject.as_ref()?;
                Some((of_issuer(identity, subject), subject.clone()))
            }),
            By::Claim(name) => identity.and_then(|identity| {
                let claim = identity.claim(name)?;
                let text = claim.as_str().map_or_else(|| claim.to_string(), str::to_owned);
                Some((of_issuer(identity, &text), text))
            }),
            By::Certificate => {
                self.context.certificates.first().map(|der| hidden(certificate_thumbprint(der).to_vec()))
            }
            By::Session(cookie) => return sessions(request, cookie).into_iter().map(hidden).collect(),
        };
        one.into_iter().collect()
    }

    /// Asks the rules that are enforced together, and if they admit the request each of the others.
    fn ask_all(
        &mut self,
        questions: &[Question],
        request: &Request<'_>,
        stage: Stage,
        charge: bool,
    ) -> Judged {
        if questions.is_empty() {
            return Ok(());
        }
        let (Some(state), Some(time)) = (self.context.state, self.context.time) else {
            return self.failed(Check::Rates, Reason::RateUnknown);
        };
        let rates = state.rates();
        let class = self.identity.as_deref().and_then(|identity| identity.class.clone());
        let method = str::from_utf8(request.method).unwrap_or_default();
        let class = class.as_deref();
        let judge = |asks: &[Ask<'_>]| {
            if charge && !self.context.looks_only { rates.judge(asks, time) } else { rates.ask(asks, time) }
        };
        let (enforced, observed): (Vec<&Question>, Vec<&Question>) =
            questions.iter().partition(|question| self.effect(&question.held.rule) == Mode::Enforce);
        let rulings = judge(&enforced.iter().map(|question| question.ask(class, method)).collect::<Vec<_>>());
        let noted: Vec<Finding> = if rulings.iter().all(|ruling| ruling.admitted) {
            let exceeded = |question: &&Question| {
                judge(&[question.ask(class, method)]).iter().any(|ruling| !ruling.admitted)
            };
            let exceeded = observed.into_iter().filter(exceeded);
            exceeded.map(|question| finding(question, &rates.pseudonym(&question.whose))).collect()
        } else {
            Vec::new()
        };
        let refused = rulings.iter().position(|ruling| !ruling.admitted);
        let refused = refused.and_then(|place| enforced.get(place));
        let refused = refused.map(|question| finding(question, &rates.pseudonym(&question.whose)));
        noted.into_iter().for_each(|finding| self.note(finding));
        // What a route has left is said when it is used up, not when it is looked at.
        if refused.is_some() || charge || stage == Stage::After {
            let told =
                enforced.iter().map(|question| Arc::clone(&question.held.rule)).zip(rulings.iter().copied());
            self.rulings.extend(told);
        }
        let Some(refused) = refused else { return Ok(()) };
        let wait = retry_after(&rulings);
        self.headers.extend(wait.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
        let rulings = std::mem::take(&mut self.rulings);
        self.tell(rulings.iter());
        Err(Box::new(refused))
    }

    /// Tells the client what is left.
    fn tell<'r>(&mut self, rulings: impl Iterator<Item = &'r (Arc<RateRule>, Ruling)>) {
        let fields = Headers::new(rulings.map(|(rate, ruling)| (rate.rule.name.as_str(), ruling)));
        if !fields.limit.is_empty() {
            self.headers.push(("ratelimit".to_owned(), fields.limit));
            self.headers.push(("ratelimit-policy".to_owned(), fields.policy));
        }
    }
}

fn finding(question: &Question, pseudonym: &str) -> Finding {
    let rule = &question.held.rule.rule;
    let reason = if rule.spike.is_some() { Reason::RateSpike } else { Reason::RateQuota };
    let place = match &rule.by {
        By::Claim(name) | By::Session(name) => {
            format!("{} {}", rule.by.name(), sensitive::evidence_text(name))
        }
        other => other.name().to_owned(),
    };
    let text = if question.shown.is_empty() {
        format!("#{pseudonym}")
    } else {
        sensitive::evidence_text(&question.shown)
    };
    let evidence = Evidence { place, rule: rule.name.clone(), score: 0, text };
    Finding { check: Check::Rates, reason, evidence: Some(Box::new(evidence)) }
}

/// The same name of two issuers is two people.
pub(super) fn of_issuer(identity: &Identity, name: &str) -> Vec<u8> {
    [&(identity.issuer.len() as u64).to_le_bytes(), identity.issuer.as_bytes(), name.as_bytes()].concat()
}

/// Whether the cookies of a request can be read at all.
pub(super) fn are_cookies_read(request: &Request<'_>) -> bool {
    cookies::read(request.version, &request.headers, &cookies::Limits::WIDEST).is_ok()
}

/// The values of a session's cookie: where it stands twice the first and the last, since servers differ in which one counts.
pub(super) fn sessions(request: &Request<'_>, cookie: &str) -> Vec<Vec<u8>> {
    let cookies =
        cookies::read(request.version, &request.headers, &cookies::Limits::WIDEST).unwrap_or_default();
    let mut values = cookies.iter().filter(|(name, _)| *name == cookie).map(|(_, value)| value.as_bytes());
    let (first, last) = (values.next(), values.next_back());
    let mut found: Vec<Vec<u8>> = first.into_iter().chain(last).map(<[u8]>::to_vec).collect();
    found.dedup();
    found
}
