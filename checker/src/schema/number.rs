//! Decimal numbers as JSON writes them, compared by what they say and not by what a double makes of it.

/// A number as digits times a power of ten: without zeros at either end, so that equal numbers are equal here.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a number of JSON (RFC 8259, section 6). `None` where it is none, or its exponent has more than nine digits.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        if exponent.len() > 10 {
            return None;
        }
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut exponent = exponent - i64::try_from(fraction.len()).ok()?;
        let zeros = digits.len() - digits.trim_end_matches('0').len();
        digits.truncate(digits.len() - zeros);
        exponent += i64::try_from(zeros).ok()?;
        let leading = digits.len() - digits.trim_start_matches('0').len();
        digits.drain(..leading);
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent })
    }

    /// Whether it has no fraction.
    pub(super) const fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Its value, where it is one without a fraction that 128 bits hold.
    fn integer(&self) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let power = 10_i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        let value = self.digits.parse::<i128>().ok()?.checked_mul(power)?;
        Some(if self.negative { -value } else { value })
    }

    /// As it is compared with others: no two texts of one number differ.
    pub(super) fn write(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        out.push_str(&self.digits);
        out.push('e');
        out.push_str(&self.exponent.to_string());
    }
}

/// Whether two texts are of one number.
pub(super) fn are_equal(left: &str, right: &str) -> bool {
    left == right
        || matches!((Decimal::read(left), Decimal::read(right)), (Some(left), Some(right)) if left == right)
}

/// Whether a number can be judged: as an integer of 64 bits, or as a double. An integer that is neither is read as one by some, and as another by others
/// (RFC 8259, section 6).
pub(super) fn is_judged(text: &str) -> bool {
    if text.parse::<i64>().is_ok() {
        return true;
    }
    let (Some(number), Ok(double)) = (Decimal::read(text), text.parse::<f64>()) else { return false };
    let fits = |integer| u64::try_from(integer).is_ok() || i64::try_from(integer).is_ok();
    double.is_finite()
        && (!number.is_integer()
            || number.integer().is_some_and(fits)
            || Decimal::read(&double.to_string()).is_some_and(|double| double == number))
}

/// A number of an instance, as it is written.
pub(super) struct Number<'d>(pub(super) &'d str);

impl jsonschema::json::JsonNumber for Number<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok().or_else(|| u64::try_from(Decimal::read(self.0)?.integer()?).ok())
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok().or_else(|| i64::try_from(Decimal::read(self.0)?.integer()?).ok())
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok()
    }

    fn as_str(&self) -> std::borrow::Cow<'_, str> {
        self.0.into()
    }

    fn to_number(&self) -> std::borrow::Cow<'_, serde_json::Number> {
        let number = self
            .as_u64()
            .map(Into::into)
            .or_else(|| self.as_i64().map(Into::into))
            .or_else(|| serde_json::Number::from_f64(self.as_f64()?));
        // Numbers that no double holds were refused when they were read.
        std::borrow::Cow::Owned(number.unwrap_or_else(|| 0.into()))
    }

    fn is_integer(&self) -> bool {
        Decimal::read(self.0).is_some_and(|number| number.is_integer())
    }

    fn is_written_as_integer(&self) -> bool {
        !self.0.contains(['.', 'e', 'E'])
    }
}

/// The number as schemas have it. `None` where that would be another one.
pub(super) fn of_schema(text: &str) -> Option<serde_json::Number> {
    if !is_judged(text) {
        return None;
    }
    let number = jsonschema::json::JsonNumber::to_number(&Number(text)).into_owned();
    are_equal(text, &number.to_string()).then_some(number)
}

#[cfg(test)]
mod tests {
    use jsonschema::json::JsonNumber as _;

    use super::*;

    #[test]
    fn numbers_are_equal_by_what_they_say() {
        for (left, right) in
            [("1", "1.0"), ("100", "1e2"), ("0", "-0.00e5"), ("0.10", "1E-1"), ("-12.50", "-125e-1")]
        {
            assert!(are_equal(left, right), "{left} {right}");
        }
        for (left, right) in [
            ("1", "-1"),
            ("100000000000000000000", "100000000000000000001"),
            ("0.1", "0.10000000000000000001"),
            ("1", "x"),
        ] {
            assert!(!are_equal(left, right), "{left} {right}");
        }
    }

    #[test]
    fn integers_are_exact_however_they_are_written() {
        assert_eq!(Number("9007199254740993.0").as_u64(), Some(9_007_199_254_740_993));
        assert_eq!(Number("-92233720368547758080e-1").as_i64(), Some(i64::MIN));
        assert_eq!(Number("18446744073709551616").as_u64(), None);
        assert!(Number("18446744073709551616").is_integer() && Number("1e300").is_integer());
        assert!(!Number("1.0000000000000000000000001").is_integer());
        assert!(is_judged("1e308") && !is_judged("1e309") && !is_judged("1e-99999999999"));
        assert!(is_judged("18446744073709551615") && is_judged("1e23") && is_judged("0.1"));
        assert!(!is_judged("18446744073709551617") && !is_judged("-100000000000000000001"));
        assert_eq!(of_schema("0.1").map(|number| number.to_string()).as_deref(), Some("0.1"));
        assert!(of_schema("100000000000000000001").is_none());
    }
}
