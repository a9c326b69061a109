//! Windows of the calendar, in UTC: no time zone is known here, and no daylight saving.

use super::amount::DAY;

const SECOND: u64 = 1_000_000_000;
/// 1 January 1970 was a Thursday; weeks begin on Mondays (ISO 8601).
const FIRST_MONDAY: u64 = 4 * DAY * SECOND;

/// A window, in nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) from: u64,
    /// The first moment after it.
    pub(super) until: u64,
}

impl Span {
    /// The window that `now` is in where windows of `length` stand in a row, one of which begins at `origin`.
    pub(super) const fn aligned(now: u64, length: u64, origin: u64) -> Self {
        let into = (now + length - origin % length) % length;
        let from = now.saturating_sub(into);
        Self { from, until: now + (length - into) }
    }
}

/// The weeks that a time is in.
pub(super) const fn week(now: u64, length: u64) -> Span {
    Span::aligned(now, length, FIRST_MONDAY)
}

/// The month that a time is in.
pub(super) const fn month(now: u64) -> Span {
    let days = now / (DAY * SECOND);
    let (year, month) = year_and_month(days);
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    Span {
        from: days_before(year, month).saturating_mul(DAY * SECOND),
        until: days_before(next_year, next_month).saturating_mul(DAY * SECOND),
    }
}

/// Year and month of a day since 1970 (Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
const fn year_and_month(days: u64) -> (u64, u64) {
    // Eras of 400 years, in years that begin on 1 March, so that the leap day is the last.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + if month <= 2 { 1 } else { 0 }, month)
}

/// Days from 1970 to the first of a month.
const fn days_before(year: u64, month: u64) -> u64 {
    let (year, from_march) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * from_march + 2) / 5;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2024-02-29T12:00:00Z, a Thursday.
    const LEAP_DAY: u64 = 1_709_208_000 * SECOND;

    #[test]
    fn windows_are_those_of_the_calendar() {
        let of = |span: Span| (span.from / SECOND, span.until / SECOND);
        assert_eq!(of(month(LEAP_DAY)), (1_706_745_600, 1_709_251_200)); // 1 February to 1 March
        assert_eq!(of(month(0)), (0, 31 * DAY));
        assert_eq!(of(month(1_735_689_599 * SECOND)), (1_733_011_200, 1_735_689_600)); // the last second of 2024
        assert_eq!(of(week(LEAP_DAY, 7 * DAY * SECOND)), (1_708_905_600, 1_709_510_400)); // Monday to Monday
        assert_eq!(of(Span::aligned(LEAP_DAY, DAY * SECOND, 0)), (1_709_164_800, 1_709_251_200));
        assert_eq!(of(week(0, 7 * DAY * SECOND)).1, 4 * DAY);
    }

    proptest! {
        #[test]
        fn every_moment_is_in_one_window_and_windows_follow_one_another(now in 0..u64::MAX / 2, hours in 1..800_u64) {
            let length = hours * 3_600 * SECOND;
            for span in [month(now), week(now, 7 * DAY * SECOND), Span::aligned(now, length, 0)] {
                prop_assert!(span.from <= now && now < span.until, "{:?}", span);
            }
            prop_assert_eq!(month(month(now).until).from, month(now).until);
            let days = (month(now).until - month(now).from) / (DAY * SECOND);
            prop_assert!((28..=31).contains(&days));
        }
    }
}
