//! Rates as people write them: `5/s`, `12/m`, `100/day`, `1000/15m`, `50000/month`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// What a rate looks like, for error messages.
const HELP: &str = "a rate is a whole number, a slash and a period: \"5/s\", \"12/m\", \"100/day\", \"1000/15m\", \"50000/month\" \
    (s, m, h, d or day, w or week, month; k and M are thousands and millions)";
/// Most units of a period: what a counter of 32 bits holds.
const MOST: u64 = u32::MAX as u64;
/// Longest period, in seconds: 366 days.
const LONGEST: u64 = 366 * DAY;

pub(super) const DAY: u64 = 86_400;

/// The time that a rate's count is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// So many seconds; at least one, at most 366 days.
    Seconds(u64),
    /// A month of the calendar.
    Month,
}

impl Period {
    /// Its length; of a month, the longest that there are.
    pub const fn length(self) -> Duration {
        match self {
            Self::Seconds(seconds) => Duration::from_secs(seconds),
            Self::Month => Duration::from_secs(31 * DAY),
        }
    }
}

/// So many units each period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Units: requests, each as many times as its weight says. Never 0.
    pub count: u32,
    /// For which time.
    pub period: Period,
}

/// Why a text is no rate: in a sentence, with what is allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{text}\" is no rate: {wrong}; {HELP}")]
pub struct RateError {
    text: String,
    wrong: &'static str,
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        read(text).map_err(|wrong| RateError { text: crate::text::printable(text, 40), wrong })
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;

    fn try_from(text: String) -> Result<Self, RateError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, period } = self;
        let Period::Seconds(seconds) = *period else { return write!(f, "{count}/month") };
        let (length, unit) = [(7 * DAY, "w"), (DAY, "d"), (3_600, "h"), (60, "m")]
            .into_iter()
            .find(|(length, _)| seconds.is_multiple_of(*length))
            .unwrap_or((1, "s"));
        match seconds / length {
            1 => write!(f, "{count}/{unit}"),
            many => write!(f, "{count}/{many}{unit}"),
        }
    }
}

fn read(text: &str) -> Result<Rate, &'static str> {
    let (count, period) = text.split_once('/').ok_or("the period is missing")?;
    let (count, unit) = number(count.trim())?;
    let thousands: u64 = match unit.trim() {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        _ => return Err("its count is no whole number"),
    };
    let count = count.checked_mul(thousands).filter(|&count| count <= MOST);
    let count = u32::try_from(count.ok_or("its count is larger than 4294967295")?).unwrap_or(u32::MAX);
    if count == 0 {
        return Err("its count is zero; what shall never pass is a route that is not declared");
    }
    Ok(Rate { count, period: period_of(period.trim())? })
}

fn period_of(text: &str) -> Result<Period, &'static str> {
    let (many, unit) = if text.starts_with(|c: char| c.is_ascii_digit()) { number(text)? } else { (1, text) };
    let seconds = match unit.trim() {
        "s" | "sec" | "second" => 1,
        "m" | "min" | "minute" => 60,
        "h" | "hour" => 3_600,
        "d" | "day" => DAY,
        "w" | "week" => 7 * DAY,
        "month" if many == 1 => return Ok(Period::Month),
        "month" => return Err("there are no periods of several months"),
        _ => return Err("its period is unknown"),
    };
    let seconds = many.checked_mul(seconds).ok_or("its period is longer than 366 days")?;
    match seconds {
        0 => Err("its period is zero"),
        1..=LONGEST => Ok(Period::Seconds(seconds)),
        _ => Err("its period is longer than 366 days"),
    }
}

/// The number that a text begins with, and the rest.
fn number(text: &str) -> Result<(u64, &str), &'static str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Err("it does not begin with a whole number");
    }
    Ok((digits.parse().map_err(|_| "a number in it is too large")?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_read_as_gateways_write_them() {
        for (text, count, seconds) in [
            ("5/s", 5, 1),
            ("12/m", 12, 60),
            (" 12 / min ", 12, 60),
            ("100/day", 100, DAY),
            ("2k/h", 2_000, 3_600),
            ("1M/week", 1_000_000, 7 * DAY),
            ("1000/15m", 1_000, 900),
            ("4294967295/s", u32::MAX, 1),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate, Rate { count, period: Period::Seconds(seconds) }, "{text}");
        }
        assert_eq!("7/month".parse(), Ok(Rate { count: 7, period: Period::Month }));
    }

    #[test]
    fn what_is_no_rate_says_why_and_what_is_allowed() {
        for (text, why) in [
            ("5", "the period is missing"),
            ("/s", "begin with a whole number"),
            ("-5/s", "begin with a whole number"),
            ("1.5/s", "its count is no whole number"),
            ("5MB/s", "its count is no whole number"),
            ("0/s", "zero"),
            ("5/0s", "period is zero"),
            ("5/fortnight", "period is unknown"),
            ("5/", "period is unknown"),
            ("5/2month", "several months"),
            ("5/367d", "longer than 366 days"),
            ("5/99999999999999999999s", "too large"),
            ("5/9999999999999999999w", "longer than 366 days"),
            ("4294967296/s", "larger than 4294967295"),
            ("99999999999999999999/s", "too large"),
        ] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("\"12/m\""), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(count in 1..=u32::MAX, seconds in 1..=LONGEST) {
            let rate = Rate { count, period: Period::Seconds(seconds) };
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<Rate>();
        }
    }
}
