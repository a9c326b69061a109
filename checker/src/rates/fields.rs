//! `RateLimit`, `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10) and `Retry-After` (RFC 9110, section 10.2.3).
//!
//! The draft is no standard yet, and earlier ones wrote the fields in other ways. Which identity an allowance is for (`pk`) is not told.

use std::{fmt::Write as _, time::Duration};

use super::Ruling;

/// Most of an Integer of a structured field (RFC 8941, section 3.3.1), and far beyond any wait.
const MOST_SECONDS: u64 = 999_999_999_999_999;

/// Values of the two fields, for an answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers {
    /// `RateLimit-Policy`: what the rules allow. Empty where there are none.
    pub policy: String,
    /// `RateLimit`: what is left of it.
    pub limit: String,
}

impl Headers {
    /// Of the rules that a request was judged by, with their names, which [`super::Rates::new`] has checked.
    pub fn new<'r>(rulings: impl IntoIterator<Item = (&'r str, &'r Ruling)>) -> Self {
        let mut headers = Self::default();
        for (name, ruling) in rulings {
            let separator = if headers.policy.is_empty() { "" } else { ", " };
            let window = seconds(ruling.window).max(1);
            let _ = write!(headers.policy, "{separator}\"{name}\";q={};w={window}", ruling.quota);
            // Where there is a Retry-After, `t` says the same.
            let reset = seconds(ruling.reset);
            let _ = write!(headers.limit, "{separator}\"{name}\";r={};t={reset}", ruling.remaining);
        }
        headers
    }
}

/// Seconds after which a request that was refused passes by all rules, for `Retry-After`; `None` if none refused it, or one always will.
pub fn retry_after<'r>(rulings: impl IntoIterator<Item = &'r Ruling>) -> Option<u64> {
    let mut longest = None;
    for ruling in rulings.into_iter().filter(|ruling| !ruling.admitted) {
        longest = longest.max(Some(ruling.retry?));
    }
    // At least 1: who comes back at once is refused again.
    longest.map(|wait| seconds(wait).max(1))
}

/// Rounded up, so that nobody is told to come too early.
fn seconds(time: Duration) -> u64 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    whole.min(MOST_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruling(admitted: bool, remaining: u32, millis: u64, retry: Option<u64>) -> Ruling {
        Ruling {
            admitted,
            quota: 100,
            window: Duration::from_secs(60),
            remaining,
            reset: Duration::from_millis(millis),
            retry: retry.map(Duration::from_millis),
        }
    }

    #[test]
    fn the_fields_are_those_of_the_draft() {
        let (minute, day) = (ruling(true, 50, 29_001, None), ruling(true, 0, 0, None));
        let headers = Headers::new([("per-minute", &minute), ("per.day", &day)]);
        assert_eq!(headers.policy, "\"per-minute\";q=100;w=60, \"per.day\";q=100;w=60");
        assert_eq!(headers.limit, "\"per-minute\";r=50;t=30, \"per.day\";r=0;t=0");
        assert_eq!(Headers::new([]), Headers::default());
    }

    #[test]
    fn retry_after_is_the_longest_wait_rounded_up() {
        let (good, soon) = (ruling(true, 1, 0, None), ruling(false, 0, 200, Some(200)));
        let (later, never) = (ruling(false, 0, 2_001, Some(2_001)), ruling(false, 0, 0, None));
        assert_eq!(retry_after([&good]), None);
        assert_eq!(retry_after([&good, &soon]), Some(1));
        assert_eq!(retry_after([&soon, &later, &good]), Some(3));
        assert_eq!(retry_after([&soon, &never]), None);
    }
}
