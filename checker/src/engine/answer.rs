//! Answers of the server behind, against the policy's specification and patterns. They are observed, and never refused.

use super::{patterns::in_response, specification::evidence};
use crate::{
    Check, Evidence, Field, Finding, Policy, Reason, coding,
    policy::{Mode, Rules},
    schema::{Specification, Violation},
};

/// An answer, as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'r> {
    /// From 100 to 599.
    pub status: u16,
    /// The headers.
    pub headers: &'r [Field<'r>],
    /// The body as it came, in its content codings; empty where it has none, and `None` where not all of it was kept.
    pub body: Option<&'r [u8]>,
}

impl Policy {
    /// Whether anything is to be said of answers to requests whose verdict has this route and this operation. Where not, they need not be
    /// kept.
    pub fn judges_response(&self, route: Option<usize>, operation: Option<usize>) -> bool {
        let rules = self.rules(route);
        rules.responses != Mode::Off && (rules.looks_into_responses() || declared(rules, operation).is_some())
    }

    /// What is wrong with an answer to a request whose verdict has this route and this operation: at most a finding of the specification,
    /// and one for each pattern.
    ///
    /// Where the body is missing, status and type of the answer are judged.
    pub fn judge_response(
        &self,
        route: Option<usize>,
        operation: Option<usize>,
        answer: &Answer<'_>,
    ) -> Vec<Finding> {
        if !self.judges_response(route, operation) {
            return Vec::new();
        }
        let rules = self.rules(route);
        let codings = values(answer, "content-encoding");
        let decoded = answer.body.map(|body| coding::decode(body, codings, &rules.limits.coding)).transpose();
        let mut findings = Vec::new();
        if let Some((specification, operation)) = declared(rules, operation) {
            let decoded = decoded.as_ref().map(Option::as_deref).map_err(|reason| *reason);
            let judged = schema(specification, operation, answer, decoded);
            let (check, reason) = (Check::Schema, Reason::SchemaResponse);
            findings.extend(judged.err().map(|evidence| Finding { check, reason, evidence: Some(evidence) }));
        }
        if let Ok(Some(body)) = &decoded {
            findings.extend(in_response(rules, body));
        }
        findings
    }
}

/// The operation that an answer is held against.
fn declared(rules: &Rules, operation: Option<usize>) -> Option<(&Specification, usize)> {
    let specification = rules.specification.as_deref()?;
    let operation = operation.filter(|operation| {
        let declared = specification.operations().get(*operation);
        declared.is_some_and(|operation| operation.statuses().next().is_some())
    })?;
    Some((specification, operation))
}

fn values<'a>(answer: &'a Answer<'_>, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    answer.headers.iter().filter(move |field| field.is(name)).map(|field| field.value)
}

fn schema(
    specification: &Specification,
    operation: usize,
    answer: &Answer<'_>,
    decoded: Result<Option<&[u8]>, Reason>,
) -> Result<(), Box<Evidence>> {
    let content_type = values(answer, "content-type").next();
    let body = decoded.map_err(unread)?;
    // What the server sends is its own: only what no one could judge is left out.
    let limits = super::Limits::widest().json;
    let judged = specification.check_response(operation, answer.status, content_type, body, &limits);
    judged.map_err(evidence)
}

/// The body cannot be decoded.
fn unread(reason: Reason) -> Box<Evidence> {
    let keyword = reason.name().to_owned();
    let place = "response".to_owned();
    evidence(Violation { reason: Reason::SchemaResponse, place, pointer: String::new(), keyword })
}
