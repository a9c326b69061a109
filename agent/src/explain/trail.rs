//! The way of one packet, as it is found step by step.

use stopbank_common::{Reason, reason::Kind};

use crate::{
    config::Mode,
    control::explain::{Step, StepVerdict},
};

/// What the steps so far have made of the packet.
#[derive(Default)]
pub(super) struct Trail {
    pub(super) steps: Vec<Step>,
    /// What has decided, and why in words.
    decided: Option<(Option<Reason>, String)>,
    /// The first rule that only observes and would have dropped it.
    observed: Option<(Reason, String)>,
    /// What it depends on, in words.
    unknown: Vec<String>,
}

impl Trail {
    /// A step that leaves the packet to the next one.
    pub(super) fn next(
        &mut self,
        step: impl Into<String>,
        found: impl Into<String>,
        because: impl Into<String>,
    ) {
        self.push(step.into(), found.into(), StepVerdict::Next, because.into(), None);
    }

    /// A step of which it is not known what it does; `what`: on what that depends, for the last sentence.
    pub(super) fn depends(
        &mut self,
        step: impl Into<String>,
        found: impl Into<String>,
        because: impl Into<String>,
        what: impl Into<String>,
    ) {
        if self.decided.is_none() {
            self.unknown.push(what.into());
        }
        self.push(step.into(), found.into(), StepVerdict::Depends, because.into(), None);
    }

    /// A step that decides, unless it only observes (`stands` is false).
    pub(super) fn decide(
        &mut self,
        step: impl Into<String>,
        found: impl Into<String>,
        reason: Reason,
        stands: bool,
        because: impl Into<String>,
    ) {
        let (mut because, reached) = (because.into(), self.decided.is_none());
        let verdict = match (stands, reason.kind()) {
            (false, _) => StepVerdict::Observed,
            (true, Kind::Pass) => StepVerdict::Pass,
            (true, Kind::Drop) => StepVerdict::Drop,
            (true, Kind::Reply) => StepVerdict::Reply,
        };
        if stands && reached {
            self.decided = Some((Some(reason), because.clone()));
        } else if !stands {
            if reached && self.observed.is_none() {
                self.observed = Some((reason, because.clone()));
            }
            because.push_str("; this rule only observes");
        }
        let step = Step {
            step: step.into(),
            found: found.into(),
            verdict,
            because,
            reason: Some(reason.name().to_owned()),
            reached,
        };
        self.steps.push(step);
    }

    /// Nothing is judged at all.
    pub(super) fn unjudged(&mut self, found: impl Into<String>, because: impl Into<String>) {
        let because = because.into();
        self.push("interfaces".to_owned(), found.into(), StepVerdict::Pass, because.clone(), None);
        self.decided = Some((None, because));
    }

    fn push(
        &mut self,
        step: String,
        found: String,
        verdict: StepVerdict,
        because: String,
        reason: Option<String>,
    ) {
        let reached = self.decided.is_none();
        self.steps.push(Step { step, found, verdict, because, reason, reached });
    }

    /// What decided, if anything has.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.decided.as_ref().and_then(|(reason, _)| *reason)
    }

    /// What an observing rule would have dropped it for.
    pub(super) fn observed(&self) -> Option<Reason> {
        self.observed.as_ref().map(|(reason, _)| *reason)
    }

    /// What becomes of the packet, under which reason, and a sentence that says so.
    pub(super) fn conclude(&self, mode: Mode) -> (StepVerdict, Option<Reason>, String) {
        use StepVerdict::{Depends, Drop, Observed, Pass, Reply};
        const ITS: &str = "Its next packet";
        match &self.decided {
            Some((None, why)) => (Pass, None, format!("{ITS} passes unjudged: {why}.")),
            Some((Some(reason), why)) => {
                let name = reason.name();
                match reason.kind() {
                    Kind::Pass => (Pass, Some(*reason), format!("{ITS} passes (`{name}`): {why}.")),
                    Kind::Reply => (
                        Reply,
                        Some(*reason),
                        format!("{ITS} is answered with a SYN cookie (`{name}`): {why}."),
                    ),
                    Kind::Drop if mode == Mode::Enforce => {
                        (Drop, Some(*reason), format!("{ITS} is dropped (`{name}`): {why}."))
                    }
                    Kind::Drop => (
                        Observed,
                        Some(*reason),
                        format!(
                            "{ITS} passes only because the mode is `observe`; `enforce` would drop it (`{name}`): {why}."
                        ),
                    ),
                }
            }
            None if !self.unknown.is_empty() => {
                let sentence =
                    format!("What becomes of {} depends on {}.", lower(ITS), self.unknown.join(", and on "));
                (Depends, None, sentence)
            }
            None => match &self.observed {
                Some((reason, why)) => (
                    Observed,
                    Some(*reason),
                    format!("{ITS} passes, and is counted as observed (`{}`): {why}.", reason.name()),
                ),
                None => (
                    Pass,
                    Some(Reason::Passed),
                    format!("{ITS} passes (`passed`): no list, rule or limit stands against it."),
                ),
            },
        }
    }
}

fn lower(text: &str) -> String {
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_that_decides_is_the_verdict_and_later_ones_are_not_reached() {
        let mut trail = Trail::default();
        trail.next("a", "", "");
        trail.decide("b", "", Reason::Land, false, "it is land");
        trail.decide("c", "", Reason::Banned, true, "it is banned");
        trail.decide("d", "", Reason::Passed, true, "later");
        let reached: Vec<bool> = trail.steps.iter().map(|step| step.reached).collect();
        assert_eq!(reached, [true, true, true, false]);
        let (verdict, reason, sentence) = trail.conclude(Mode::Enforce);
        assert_eq!((verdict, reason), (StepVerdict::Drop, Some(Reason::Banned)));
        assert_eq!(sentence, "Its next packet is dropped (`ban`): it is banned.");
        assert_eq!(trail.conclude(Mode::Observe).0, StepVerdict::Observed);
        assert_eq!(trail.observed(), Some(Reason::Land));
    }

    #[test]
    fn what_only_observes_passes_and_what_is_not_known_is_named() {
        let mut trail = Trail::default();
        assert_eq!(trail.conclude(Mode::Enforce).0, StepVerdict::Pass);
        trail.decide("b", "", Reason::Land, false, "it is land");
        assert_eq!(trail.conclude(Mode::Enforce).0, StepVerdict::Observed);
        trail.depends("c", "", "", "its port");
        let (verdict, reason, sentence) = trail.conclude(Mode::Enforce);
        assert_eq!((verdict, reason), (StepVerdict::Depends, None));
        assert_eq!(sentence, "What becomes of its next packet depends on its port.");
    }
}
