//! Endpoints of GraphQL, and what is declared as it.

use super::Judge;
use crate::{
    Check, Finding, Place, Request,
    content::{self, Content},
    graphql, json,
    target::{self, Target},
};

impl Judge<'_> {
    /// What is carried to an endpoint of GraphQL, and what is declared as it. What the body is to the checks that follow.
    pub(super) fn graphql(
        &mut self,
        content: Content,
        request: &Request<'_>,
        body: &[u8],
    ) -> Result<Content, Box<Finding>> {
        let rules = self.rules;
        let limits = &rules.limits.graphql;
        let declared = content == Content::GraphQl;
        if !limits.endpoint && !declared {
            return Ok(content);
        }
        // What is declared as GraphQL and was not read as it may be anything.
        let unread = || if declared { content::as_it_looks(body) } else { content };
        if !self.runs(Check::GraphQl)? {
            return Ok(unread());
        }
        // The head was judged already.
        let target = Target::read(request.method, request.target, &target::Limits::WIDEST);
        let query = target.map(|target| target.query).unwrap_or_default();
        let query = if limits.endpoint { query.as_slice() } else { &[] };
        let method = if limits.endpoint { request.method } else { b"POST" };
        let carrier = graphql::Carrier { method, query, content, body };
        let mut refused = None;
        let mut show = |argument: &str, text: &str| {
            self.value(&Place::GraphQl(argument), text).map_err(|finding| {
                let reason = finding.reason;
                refused = Some(finding);
                reason
            })
        };
        let read = graphql::check(&carrier, limits, &rules.limits.json, &mut show);
        match (read, refused) {
            (Ok(()), _) => Ok(if declared { Content::Empty } else { content }),
            (Err(_), Some(finding)) => Err(finding),
            (Err(reason), None) => self.found(Check::GraphQl, reason, None).map(|()| unread()),
        }
    }
}

/// Whether an endpoint of GraphQL finds a document there.
pub(super) fn is_document(place: &Place<'_>) -> bool {
    match place {
        Place::Query(name) => *name == "query",
        Place::Json([json::Step::Name(name)] | [json::Step::Element(_), json::Step::Name(name)]) => {
            name == "query"
        }
        _ => false,
    }
}
