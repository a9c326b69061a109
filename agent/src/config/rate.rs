//! Rates and sizes as people write them: `"500/s"`, `"30/m"`, `"10MB/s"`, `"80Mbit/s"`, `"20MB"`.

use std::fmt;

use stopbank_common::gcra::{Dimension, Limit, LimitError, MAX_UNITS};

/// The time that a rate's count is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day of 24 hours.
    Day,
}

impl Period {
    /// Its length in seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
        }
    }
}

/// So many units each period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Units: packets, bytes or connections.
    pub count: u64,
    /// For which time.
    pub period: Period,
}

/// A rate, and how much may come at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// In the long run.
    pub rate: Rate,
    /// At once, in units. Where the configuration gives none: one second's worth, at least one unit (of bytes: at
    /// least 65,536).
    pub burst: u64,
}

/// A default burst holds at least the largest packet, so that a limit lower than its size does not refuse it for ever.
pub(super) const LEAST_DEFAULT_BYTES: u64 = 65_536;

/// A burst of bytes that the operator chooses holds at least one full Ethernet frame.
pub(super) const LEAST_BYTES: u64 = 1_514;

impl RateLimit {
    /// With the burst that goes without saying.
    pub fn with_default_burst(rate: Rate, dimension: Dimension) -> Self {
        let least = if dimension == Dimension::Bytes { LEAST_DEFAULT_BYTES } else { 1 };
        Self { rate, burst: (rate.count / rate.period.seconds()).max(least) }
    }

    /// As the kernel takes it.
    ///
    /// # Errors
    ///
    /// [`LimitError`] when the rate or the burst is outside what the kernel's arithmetic can hold.
    pub const fn to_limit(self, dimension: Dimension) -> Result<Limit, LimitError> {
        let largest = match dimension {
            Dimension::Bytes => MAX_UNITS,
            Dimension::Packets | Dimension::Connections => 1,
        };
        Limit::new(self.rate.count, self.rate.period.seconds() * 1_000_000_000, self.burst, largest)
    }
}

/// Whether a quantity counts things or measures bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quantity {
    /// Packets, connections, events.
    Count,
    /// Bytes, or bits that make whole bytes.
    Bytes,
}

impl From<Dimension> for Quantity {
    fn from(dimension: Dimension) -> Self {
        match dimension {
            Dimension::Bytes => Self::Bytes,
            Dimension::Packets | Dimension::Connections => Self::Count,
        }
    }
}

impl Quantity {
    /// What a rate of this kind looks like, for error messages.
    pub const fn rate_help(self) -> &'static str {
        match self {
            Self::Count => {
                "a rate is a count, a slash and a period: \"500/s\", \"30/m\", \"2k/s\" (k, M, G are thousands; s, m, h, d)"
            }
            Self::Bytes => {
                "a rate of bytes is a size, a slash and a period: \"10MB/s\", \"512KiB/s\", \"80Mbit/s\" (kB, MB, GB are thousands; KiB, MiB, GiB 1024s; kbit, Mbit, Gbit)"
            }
        }
    }

    /// What a burst of this kind looks like, for error messages.
    pub const fn amount_help(self) -> &'static str {
        match self {
            Self::Count => "a burst is a count: 4000 or \"4k\"",
            Self::Bytes => "a burst of bytes is a size: \"20MB\", \"256KiB\", or a number of bytes",
        }
    }

    fn multiplier(self, unit: &str) -> Option<Multiplier> {
        let plain = |by| Some(Multiplier { by, of: 1 });
        match self {
            Self::Count => match unit {
                "" => plain(1),
                "k" | "K" => plain(1_000),
                "M" => plain(1_000_000),
                "G" => plain(1_000_000_000),
                _ => None,
            },
            Self::Bytes => match unit {
                "B" => plain(1),
                "kB" | "KB" => plain(1_000),
                "MB" => plain(1_000_000),
                "GB" => plain(1_000_000_000),
                "KiB" => plain(1 << 10),
                "MiB" => plain(1 << 20),
                "GiB" => plain(1 << 30),
                "bit" => Some(Multiplier { by: 1, of: 8 }),
                "kbit" | "Kbit" => plain(125),
                "Mbit" => plain(125_000),
                "Gbit" => plain(125_000_000),
                _ => None,
            },
        }
    }
}

/// A unit in base units: `by / of`.
struct Multiplier {
    by: u64,
    of: u64,
}

/// Reads a rate.
///
/// # Errors
///
/// What is wrong with it, in a sentence without the help of [`Quantity::rate_help`].
pub fn parse_rate(text: &str, quantity: Quantity) -> Result<Rate, String> {
    let Some((amount, period)) = text.split_once('/') else {
        return Err("the period is missing".to_owned());
    };
    let period = match period.trim() {
        "s" => Period::Second,
        "m" => Period::Minute,
        "h" => Period::Hour,
        "d" => Period::Day,
        _ => return Err("the period is none of s, m, h, d".to_owned()),
    };
    match parse_amount(amount, quantity)? {
        0 => {
            Err("the rate is zero; what shall be dropped entirely is a `closed` class or a deny entry"
                .to_owned())
        }
        count => Ok(Rate { count, period }),
    }
}

/// Reads a count or a size.
///
/// # Errors
///
/// What is wrong with it, in a sentence without the help of [`Quantity::amount_help`].
pub fn parse_amount(text: &str, quantity: Quantity) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let dotted = number.contains('.');
    if whole.is_empty() || (dotted && fraction.is_empty()) || fraction.contains('.') {
        return Err("it does not begin with a number".to_owned());
    }
    let unit = unit.trim();
    let Some(multiplier) = quantity.multiplier(unit) else {
        return Err(match (quantity, unit) {
            (Quantity::Bytes, "") => "the unit is missing".to_owned(),
            _ => format!("`{}` is no unit for it", crate::lists::printable(unit, 16)),
        });
    };
    // In units of 10^-places, exact: no rate is rounded behind the operator's back.
    let too_large = || "the number is too large".to_owned();
    let places = u32::try_from(fraction.len())
        .ok()
        .filter(|&places| places <= 9)
        .ok_or("it has more than nine decimals")?;
    let scaled: u128 = format!("{whole}{fraction}").parse().map_err(|_| too_large())?;
    let scaled = scaled.checked_mul(u128::from(multiplier.by)).ok_or_else(too_large)?;
    let divisor = 10_u128.pow(places) * u128::from(multiplier.of);
    if !scaled.is_multiple_of(divisor) {
        let what = if quantity == Quantity::Bytes { "bytes" } else { "units" };
        return Err(format!("it is not a whole number of {what}"));
    }
    u64::try_from(scaled / divisor).map_err(|_| too_large())
}

/// A count in its shortest exact form: `2000`, `1500k` never, `3M`.
pub fn show_amount(amount: u64, quantity: Quantity) -> String {
    let units: &[(u64, &str)] = match quantity {
        Quantity::Count => &[(1_000_000_000, "G"), (1_000_000, "M"), (1, "")],
        Quantity::Bytes => &[(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"), (1, "B")],
    };
    let (by, unit) = units
        .iter()
        .find(|(by, _)| amount >= *by && amount.is_multiple_of(*by))
        .unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", amount / by)
}

impl Rate {
    /// Its text, which [`parse_rate`] reads back as the same rate.
    pub fn show(self, quantity: Quantity) -> String {
        format!("{}/{}", show_amount(self.count, quantity), self.period.letter())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str, quantity: Quantity) -> (u64, u64) {
        let rate = parse_rate(text, quantity).unwrap();
        (rate.count, rate.period.seconds())
    }

    #[test]
    fn rates_are_read_as_gateways_write_them() {
        use Quantity::{Bytes, Count};
        for (text, quantity, expected) in [
            ("500/s", Count, (500, 1)),
            ("30/m", Count, (30, 60)),
            ("12 / m", Count, (12, 60)),
            ("2k/s", Count, (2_000, 1)),
            ("1.5M/h", Count, (1_500_000, 3_600)),
            ("7/d", Count, (7, 86_400)),
            ("10MB/s", Bytes, (10_000_000, 1)),
            ("80Mbit/s", Bytes, (10_000_000, 1)),
            ("1Gbit/s", Bytes, (125_000_000, 1)),
            ("0.5MiB/s", Bytes, (524_288, 1)),
            ("64 kbit/s", Bytes, (8_000, 1)),
            ("800bit/s", Bytes, (100, 1)),
        ] {
            assert_eq!(rate(text, quantity), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_says_why() {
        use Quantity::{Bytes, Count};
        for (text, quantity, why) in [
            ("500", Count, "the period is missing"),
            ("500/x", Count, "none of s, m, h, d"),
            ("/s", Count, "begin with a number"),
            ("-5/s", Count, "begin with a number"),
            ("0/s", Count, "zero"),
            ("1.5/s", Count, "whole number of units"),
            ("1..5k/s", Count, "begin with a number"),
            ("5Q/s", Count, "`Q` is no unit"),
            ("10MB/s", Count, "`MB` is no unit"),
            ("10/s", Bytes, "the unit is missing"),
            ("3bit/s", Bytes, "whole number of bytes"),
            ("99999999999999999999999999999999999999999/s", Count, "too large"),
            ("99999999999G/s", Count, "too large"),
            ("0.0000000001G/s", Count, "more than nine decimals"),
        ] {
            let error = parse_rate(text, quantity).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_default_burst_is_one_second_and_at_least_one_packet() {
        let burst = |text, dimension: Dimension| {
            RateLimit::with_default_burst(parse_rate(text, dimension.into()).unwrap(), dimension).burst
        };
        assert_eq!(burst("2000/s", Dimension::Packets), 2_000);
        assert_eq!(burst("12/m", Dimension::Connections), 1);
        assert_eq!(burst("1kB/s", Dimension::Bytes), LEAST_DEFAULT_BYTES);
        assert_eq!(burst("10MB/s", Dimension::Bytes), 10_000_000);
    }

    #[test]
    fn twelve_a_minute_is_one_every_five_seconds() {
        let limit =
            RateLimit::with_default_burst(parse_rate("12/m", Quantity::Count).unwrap(), Dimension::Packets);
        let limit = limit.to_limit(Dimension::Packets).unwrap();
        assert_eq!(limit.cost(1), 5 * stopbank_common::gcra::TICKS_PER_SECOND);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(count in 1..=u64::MAX, bytes: bool, period in 0..4_usize) {
            let period = [Period::Second, Period::Minute, Period::Hour, Period::Day][period];
            let quantity = if bytes { Quantity::Bytes } else { Quantity::Count };
            let rate = Rate { count, period };
            prop_assert_eq!(parse_rate(&rate.show(quantity), quantity), Ok(rate));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*", bytes: bool) {
            let quantity = if bytes { Quantity::Bytes } else { Quantity::Count };
            let _ = parse_rate(&text, quantity);
            let _ = parse_amount(&text, quantity);
        }
    }
}
