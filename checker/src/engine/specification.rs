//! Requests held against the policy's specification.

use super::{Judge, Judged, Limits};
use crate::{
    Check, Evidence, Reason, Request,
    policy::Mode,
    schema::{Call, Violation},
    target::Target,
};

impl Judge<'_> {
    /// Which operation is called, and whether its parameters are as it says. A request that the policy has `declared` must be one of its
    /// operations.
    pub(super) fn parameters(
        &mut self,
        request: &Request<'_>,
        target: &Target<'_>,
        declared: bool,
    ) -> Judged {
        let rules = self.rules;
        let Some(specification) = &rules.specification else { return Ok(()) };
        if !rules.is_on(Check::Schema) && rules.responses == Mode::Off {
            return Ok(());
        }
        let limits = self.limits();
        let call = Call { segments: &target.segments, query: &target.query, ..call(request, b"", &limits) };
        let called = match specification.called(&call) {
            Ok(called) => called,
            // `undeclared` decides.
            Err(_) if !declared => return Ok(()),
            Err(violation) if self.runs(Check::Schema)? => return self.violated(violation),
            Err(_) => return Ok(()),
        };
        self.operation = Some(called.operation);
        if !self.runs(Check::Schema)? {
            return Ok(());
        }
        specification.check_parameters(&called, &call).or_else(|violation| self.violated(violation))
    }

    /// Whether the body is as the operation says. `body` is without its codings.
    pub(super) fn entity(&mut self, request: &Request<'_>, body: &[u8]) -> Judged {
        let rules = self.rules;
        let Some((specification, operation)) = rules.specification.as_ref().zip(self.operation) else {
            return Ok(());
        };
        if !self.runs(Check::Schema)? {
            return Ok(());
        }
        let limits = self.limits();
        specification
            .check_body(operation, &call(request, body, &limits))
            .or_else(|violation| self.violated(violation))
    }

    /// The body could not be decoded, and so is nothing that could be held against anything.
    pub(super) fn undecoded(&mut self) -> Judged {
        if self.operation.is_some() {
            self.failed(Check::Schema, Reason::BodyUnread)?;
        }
        self.failed(Check::Brakes, Reason::BodyUnread)?;
        self.unread()
    }

    fn violated(&mut self, violation: Violation) -> Judged {
        let reason = violation.reason;
        self.found(Check::Schema, reason, Some(evidence(violation)))
    }

    /// Limits of checks that do not refuse keep it from nothing that can be read at all.
    fn limits(&self) -> Limits {
        let (own, wide) = (&self.rules.limits, Limits::widest());
        let enforced = |check| self.rules.of(check).mode == Mode::Enforce;
        Limits {
            json: if enforced(Check::Json) { own.json } else { wide.json },
            form: if enforced(Check::Form) { own.form } else { wide.form },
            multipart: if enforced(Check::Multipart) { own.multipart } else { wide.multipart },
            ..wide
        }
    }
}

/// Place and keyword: never the value.
pub(super) fn evidence(violation: Violation) -> Box<Evidence> {
    let Violation { reason: _, place, pointer: _, keyword } = violation;
    Box::new(Evidence { place, rule: keyword, score: 0, text: String::new() })
}

fn call<'c>(request: &'c Request<'_>, body: &'c [u8], limits: &'c Limits) -> Call<'c, 'c> {
    Call {
        method: request.method,
        segments: &[],
        query: &[],
        headers: &request.headers,
        body,
        limits: &limits.json,
        form: &limits.form,
        multipart: &limits.multipart,
    }
}
