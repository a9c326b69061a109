//! How often one may: rates and quotas of identities, brakes on guessing, and how many objects one may ask for.
//!
//! An identity is any bytes that say who asks, or what is asked for: a token, a key, a subject, a claim, a session, a certificate, a route. It is known here by a keyed hash
//! alone. Whatever the number of identities, a rule takes the memory that it was made with ([`Rates::memory`]); where that is full, whoever
//! has used least of an allowance is forgotten, and nobody is refused for what others have done.
//!
//! Time is handed in. Rates go by a clock that never goes back, quotas of the calendar by the clock on the wall.

mod amount;
mod brake;
#[cfg(test)]
mod brake_tests;
mod calendar;
mod distinct;
mod enumeration;
#[cfg(test)]
mod enumeration_tests;
mod fields;
mod quota;
mod rule;
mod spike;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use amount::{Period, Rate, RateError};
pub use brake::{Attempt, Brake, BrakeRule, Delay};
pub use enumeration::{Enumerated, Enumeration, EnumerationRule, TooMuch};
pub use fields::{Headers, retry_after};
pub use rule::{By, Health, Rates, Rule, RuleError, Window};
pub use table::Key;

/// When it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time {
    /// Since any fixed moment (within 11 years), by a clock that never goes back.
    pub monotonic: Duration,
    /// Since 1970, in UTC.
    pub wall: Duration,
}

/// A request, as one rule sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask<'a> {
    /// Which rule, by its place.
    pub rule: usize,
    /// Who asks.
    pub identity: &'a [u8],
    /// The class of who asks; `None`, or one that the rule does not have: the rule's own allowance.
    pub class: Option<&'a str>,
    /// Units that it costs.
    pub weight: u32,
}

/// What a rule says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ruling {
    /// Whether it may pass.
    pub admitted: bool,
    /// Units of the allowance in a window.
    pub quota: u32,
    /// Length of the window; of a month, the longest.
    pub window: Duration,
    /// Units that would pass now, after this request.
    pub remaining: u32,
    /// After which time the whole allowance is there again if nothing more comes; of a request that is refused, as `retry`.
    pub reset: Duration,
    /// Of a request that is refused: after which time it would pass. `None` where it never would: it costs more than there ever is.
    pub retry: Option<Duration>,
}

/// Whether a judgement uses up what it admits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Charge {
    Yes,
    No,
}
