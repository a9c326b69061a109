//! Patterns of the policy in a request's values and in answers.

use super::{Judge, Judged};
use crate::{
    Check, Evidence, Finding, Place, Reason,
    patterns::At,
    policy::{Mode, Rules},
    sensitive,
};

impl Judge<'_> {
    /// Looks for the route's patterns in a value.
    pub(super) fn patterns(&mut self, place: &Place<'_>, text: &str) -> Judged {
        let rules = self.rules;
        let Some(selected) = rules.patterns.as_ref().filter(|selected| selected.in_requests) else {
            return Ok(());
        };
        if !self.runs(Check::Patterns)? {
            return Ok(());
        }
        let mut found: Vec<(&str, usize)> = Vec::new();
        selected.search(&at(place), text.as_bytes(), &mut |name, end| found.push((name, end)));
        // The first that refuses ends it.
        found.into_iter().try_for_each(|(name, end)| {
            let text = if place.is_secret() { String::new() } else { sensitive::evidence_around(text, end) };
            let evidence = Evidence { place: place.to_string(), rule: name.to_owned(), score: 0, text };
            self.found(Check::Patterns, Reason::Pattern, Some(Box::new(evidence)))
        })
    }
}

/// What patterns find in the body of an answer, without its codings. Which, and not the text: answers are full of what no log may have.
pub(super) fn in_response(rules: &Rules, body: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(selected) = rules.patterns.as_ref().filter(|_| rules.of(Check::Patterns).mode != Mode::Off)
    else {
        return findings;
    };
    selected.search(&At::Response, body, &mut |name, _| {
        let place = "response".to_owned();
        let evidence = Evidence { place, rule: name.to_owned(), score: 0, text: String::new() };
        let (check, reason) = (Check::Patterns, Reason::PatternResponse);
        if findings.len() < super::MOST_OBSERVED {
            findings.push(Finding { check, reason, evidence: Some(Box::new(evidence)) });
        }
    });
    findings
}

/// A place, as patterns have it.
const fn at<'p>(place: &Place<'p>) -> At<'p> {
    match *place {
        Place::Path(_) => At::Path,
        Place::Query(name) => At::Query(name),
        Place::QueryName => At::QueryName,
        Place::Header(name) => At::Header(name),
        Place::Cookie(name) => At::Cookie(name),
        Place::Form(name) | Place::Part(name) | Place::PartFile(name) => At::Form(name),
        Place::FormName => At::FormName,
        Place::Json(steps) | Place::JsonNumber(steps) | Place::JsonName(steps) => At::Json(steps),
        Place::XmlText(open) => At::XmlText(open),
        Place::XmlAttribute(open, name) => At::XmlAttribute(open, name),
        Place::GraphQl(name) => At::GraphQl(name),
        Place::Body => At::Body,
    }
}
