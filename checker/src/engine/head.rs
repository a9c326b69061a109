//! Between the head of a request and its body.

use super::{Context, Judge};
use crate::{Finding, Headers, Identity, Policy, Request, Verdict, policy::Rules};

/// A request of which nothing speaks against the head.
#[derive(Clone, Debug)]
pub struct Head<'p> {
    policy: &'p Policy,
    rules: &'p Rules,
    found: Parked,
}

/// A [`Head`] that has let go of its policy, to be taken up again elsewhere: what was counted for the request is counted once.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Its route, as [`Policy::routes`] counts.
    pub(super) route: Option<usize>,
    /// The operation of the policy's specification, as [`crate::schema::Specification::operations`] counts.
    pub(super) operation: Option<usize>,
    pub(super) observed: Vec<Finding>,
    pub(super) identity: Option<Box<Identity>>,
    pub(super) headers: Headers,
    /// Whether the body may be a form in which a second credential stands.
    pub(super) has_form: bool,
}

impl Parked {
    /// Goes on under the policy by which the head was judged.
    pub fn resume(self, policy: &Policy) -> Head<'_> {
        Head { policy, rules: policy.rules(self.route), found: self }
    }

    /// A verdict with what is known.
    pub(super) fn verdict(self, verdict: Verdict) -> Verdict {
        let Self { route, operation, observed, identity, headers, has_form: _ } = self;
        Verdict { route, operation, observed, identity, headers, ..verdict }
    }
}

impl Head<'_> {
    /// Its route, as [`Policy::routes`] counts.
    pub const fn route(&self) -> Option<usize> {
        self.found.route
    }

    /// The operation of the policy's specification, as [`crate::schema::Specification::operations`] counts.
    pub const fn operation(&self) -> Option<usize> {
        self.found.operation
    }

    /// Who asks.
    pub fn identity(&self) -> Option<&Identity> {
        self.found.identity.as_deref()
    }

    /// Headers of the answer, as [`Verdict::headers`].
    pub const fn headers(&self) -> &Headers {
        &self.found.headers
    }

    /// Whether a check needs the body. If not, it may be forwarded as it comes, no more of it than [`Head::body_limit`].
    pub fn needs_body(&self) -> bool {
        self.rules.needs_body() || self.found.has_form
    }

    /// Most bytes of the body, without its transfer coding. What is longer is refused for [`crate::Reason::BodyLength`].
    pub const fn body_limit(&self) -> usize {
        self.rules.limits.request.body
    }

    /// Lets go of the policy.
    pub fn park(self) -> Parked {
        self.found
    }

    /// The verdict where no check needs the body.
    pub fn allow(self) -> Verdict {
        self.found.verdict(Verdict::ALLOWED)
    }

    /// Judges the body of the same request.
    pub fn check_body(self, request: &Request<'_>, context: &Context<'_>) -> Verdict {
        let Self { policy, rules, found } = self;
        let Parked { route, operation, observed, identity, headers, has_form } = found;
        let of = Some((policy, route));
        let mut judge =
            Judge { operation, observed, identity, headers, has_form, of, ..Judge::new(rules, context) };
        let judged = judge.body(request);
        let verdict = judged.map_or_else(|finding| Verdict::from(*finding), |()| Verdict::ALLOWED);
        let Judge { observed, identity, headers, attempt, .. } = judge;
        let found = Parked { route, operation, observed, identity, headers, has_form };
        Verdict { attempt, ..found.verdict(verdict) }
    }
}
