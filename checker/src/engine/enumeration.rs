//! How many objects one asks for: counted for whoever is known to ask, and otherwise for the client's address.

use std::sync::Arc;

use super::{Judge, Judged, access::values_at, brakes::network, rates::of_issuer};
use crate::{
    Check, Evidence, Finding, Reason,
    content::Content,
    names::is_same_parameter,
    policy::{EnumerationPolicy, Held, Id, Mode},
    rates::{Enumerated, TooMuch},
    sensitive,
    target::Target,
};

impl Judge<'_> {
    /// Ids in the path and in the query. Of a parameter that stands several times, by
    /// whatever name a server behind may read so, each value is one: which of them it gives, only it knows.
    pub(super) fn enumeration_of_target(&mut self, target: &Target<'_>) -> Judged {
        for held in self.enumerations() {
            match &held.rule.id {
                Id::Path(name) => {
                    let id = self.route.and_then(|route| route.placeholder(&target.segments, name));
                    id.map_or(Ok(()), |id| self.enumerates(&held, &id))?;
                }
                Id::Query(name) => {
                    for (_, id) in target.query.iter().filter(|(one, _)| is_same_parameter(one, name)) {
                        self.enumerates(&held, id)?;
                    }
                }
                Id::Body(_) => {}
            }
        }
        Ok(())
    }

    /// An id in the body, which is decoded.
    pub(super) fn enumeration_of_body(&mut self, content: Content, body: &[u8]) -> Judged {
        for held in self.enumerations() {
            let Id::Body(pointer) = &held.rule.id else { continue };
            match (content, values_at(body, pointer)) {
                (Content::Empty, _) => {}
                (Content::Json, Ok(all)) => {
                    for id in all.into_iter().filter_map(|at| at.text) {
                        self.enumerates(&held, &id)?;
                    }
                }
                // What is for the server behind may be an id all the same.
                _ => self.failed(Check::Authorisation, Reason::BodyUnread)?,
            }
        }
        Ok(())
    }

    fn enumerations(&self) -> Vec<Held<EnumerationPolicy>> {
        if !self.rules.is_on(Check::Authorisation) {
            return Vec::new();
        }
        self.rules.enumerations.iter().filter(|held| held.rule.mode != Mode::Off).cloned().collect()
    }

    fn enumerates(&mut self, held: &Held<EnumerationPolicy>, id: &str) -> Judged {
        let policy = Arc::clone(&held.rule);
        let context = self.context;
        let known = context.state.and_then(|state| state.enumeration(held.place));
        let (Some(known), Some(time), Some((whose, shown))) = (known, context.time, self.whoever()) else {
            return self.failed(Check::Authorisation, Reason::RateUnknown);
        };
        let now = time.monotonic;
        let asked = if context.looks_only { known.look(&whose, id, now) } else { known.ask(&whose, id, now) };
        let Err(Enumerated { what, retry }) = asked else { return Ok(()) };
        let enforced =
            (policy.mode, self.rules.of(Check::Authorisation).mode) == (Mode::Enforce, Mode::Enforce);
        if enforced {
            self.headers.push(("retry-after".to_owned(), retry.as_secs().max(1).to_string()));
        }
        let reason = match what {
            TooMuch::Distinct => Reason::ObjectCount,
            TooMuch::Walk => Reason::ObjectWalk,
        };
        let evidence = Evidence {
            place: policy.id.to_string(),
            rule: policy.name.clone(),
            score: 0,
            text: sensitive::evidence_text(&shown),
        };
        let evidence = Some(Box::new(evidence));
        self.effect_of(enforced, Finding { check: Check::Authorisation, reason, evidence })
    }

    /// Who is counted, and how logs show that: the subject whatever its credential, else the credential, else the address.
    fn whoever(&self) -> Option<(Vec<u8>, String)> {
        let Some(identity) = self.identity.as_deref() else {
            let network = network(self.context.client?);
            return Some((format!("address {network}").into_bytes(), network));
        };
        let kind = identity.kind.name();
        let named =
            |what: &str, name: &str| [kind.as_bytes(), what.as_bytes(), &of_issuer(identity, name)].concat();
        let id = identity.id.as_ref().map(|id| (named(" id ", id), String::new()));
        let subject = identity.subject.as_ref().map(|subject| (named(" sub ", subject), subject.clone()));
        Some(
            subject
                .or(id)
                .unwrap_or_else(|| ([kind.as_bytes(), b" ", &identity.hash].concat(), String::new())),
        )
    }
}
