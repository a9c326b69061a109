//! Answers of the server behind, as the policy's specification has them. They are observed, and never refused.

use super::specification::evidence;
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
        self.observes(route, operation).is_some()
    }

    /// What is wrong with an answer to a request whose verdict has this route and this operation: at most a finding for each check.
    ///
    /// Where the body is missing, status and type of the answer are judged.
    pub fn judge_response(
        &self,
        route: Option<usize>,
        operation: Option<usize>,
        answer: &Answer<'_>,
    ) -> Vec<Finding> {
        let Some((specification, operation)) = self.observes(route, operation) else { return Vec::new() };
        let judged = schema(specification, operation, self.rules(route), answer);
        let finding = |evidence| Finding {
            check: Check::Schema,
            reason: Reason::SchemaResponse,
            evidence: Some(evidence),
        };
        judged.err().map(finding).into_iter().collect()
    }

    fn observes(&self, route: Option<usize>, operation: Option<usize>) -> Option<(&Specification, usize)> {
        let rules = self.rules(route);
        let specification = rules.specification.as_deref().filter(|_| rules.responses != Mode::Off)?;
        let operation = operation.filter(|operation| {
            let declared = specification.operations().get(*operation);
            declared.is_some_and(|operation| operation.statuses().next().is_some())
        })?;
        Some((specification, operation))
    }
}

fn schema(
    specification: &Specification,
    operation: usize,
    rules: &Rules,
    answer: &Answer<'_>,
) -> Result<(), Box<Evidence>> {
    let values = |name: &'static str| {
        answer.headers.iter().filter(move |field| field.is(name)).map(|field| field.value)
    };
    let content_type = values("content-type").next();
    let decoded = match answer.body {
        None => None,
        Some(body) => {
            Some(coding::decode(body, values("content-encoding"), &rules.limits.coding).map_err(unread)?)
        }
    };
    // What the server sends is its own: only what no one could judge is left out.
    let limits = super::widest().json;
    let body = decoded.as_deref();
    let judged = specification.check_response(operation, answer.status, content_type, body, &limits);
    judged.map_err(evidence)
}

/// The body cannot be decoded.
fn unread(reason: Reason) -> Box<Evidence> {
    let keyword = reason.name().to_owned();
    let place = "response".to_owned();
    evidence(Violation { reason: Reason::SchemaResponse, place, pointer: String::new(), keyword })
}
