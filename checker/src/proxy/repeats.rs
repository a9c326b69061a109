//! Failures that come again and again: the first is said, and from then on one a minute, with how many there were.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Between two messages about the same.
const PAUSE: Duration = Duration::from_secs(60);

/// What was said, by whose failures those are: issuers of the policy, so that there are few.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<HashMap<String, Said>>);

#[derive(Debug)]
struct Said {
    when: Duration,
    /// Failures since then.
    more: u64,
    /// Whether the last thing that was said is a failure.
    failing: bool,
}

impl Repeats {
    /// What is to be said of a failure. `now` is by a clock that never goes back.
    pub(super) fn failed(&self, whose: &str, text: &str, now: Duration) -> Option<String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = known.get_mut(whose) else {
            known.insert(whose.to_owned(), Said { when: now, more: 0, failing: true });
            return Some(text.to_owned());
        };
        if now.saturating_sub(said.when) < PAUSE {
            said.more = said.more.saturating_add(1);
            return None;
        }
        let more = std::mem::take(&mut said.more);
        (said.when, said.failing) = (now, true);
        Some(if more == 0 {
            text.to_owned()
        } else {
            format!("{text} ({more} more failures since the last message)")
        })
    }

    /// Whether it is to be said that it is well again.
    pub(super) fn succeeded(&self, whose: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_mut(whose).is_some_and(|said| std::mem::take(&mut said.failing))
    }

    /// Forgets all of it: others may be asked from now on.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_said_and_then_one_a_minute_with_how_many_there_were() {
        let repeats = Repeats::default();
        let said: Vec<(u64, String)> = (0..=600)
            .filter_map(|second| {
                Some((second, repeats.failed("a", "cannot ask", Duration::from_secs(second))?))
            })
            .collect();
        assert_eq!(said.len(), 11);
        assert_eq!(said[0], (0, "cannot ask".to_owned()));
        for (number, (second, text)) in said.iter().enumerate().skip(1) {
            assert_eq!(*second, 60 * number as u64);
            assert_eq!(text, "cannot ask (59 more failures since the last message)");
        }
        // Another issuer's are others.
        assert!(repeats.failed("b", "cannot ask", Duration::from_secs(1)).is_some());
    }

    #[test]
    fn what_fails_and_succeeds_in_turn_says_no_more_than_two_things_a_minute() {
        let repeats = Repeats::default();
        let mut said = 0;
        for second in 0..600 {
            said += usize::from(repeats.failed("a", "x", Duration::from_secs(second)).is_some());
            said += usize::from(repeats.succeeded("a"));
        }
        assert_eq!(said, 20);
        assert!(!repeats.succeeded("nobody"));
        repeats.forget();
        assert_eq!(repeats.failed("a", "x", Duration::ZERO), Some("x".to_owned()));
    }
}
