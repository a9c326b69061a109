//! `Limit::new`: what can be expressed, how it is rounded, and that nothing overflows at the edges.

use proptest::prelude::*;
use stopbank_common::gcra::{Limit, LimitError, MAX_UNITS, TICKS_PER_NS, TICKS_PER_SECOND, admit};

use crate::support::{Plain, Rate, SECOND};

const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 86_400 * SECOND;

#[test]
fn nothing_zero_makes_a_limit() {
    for (count, period, burst) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 0)] {
        assert_eq!(Limit::new(count, period, burst, 1), Err(LimitError::Zero), "{count} {period} {burst}");
    }
}

#[test]
fn more_than_a_million_million_a_second_is_too_fast() {
    let million_million = 1_000_000_000_000;
    for largest in [1, MAX_UNITS] {
        assert!(Limit::new(million_million, SECOND, 1, largest).is_ok());
        assert_eq!(
            Limit::new(million_million + million_million / 25, SECOND, 1, largest),
            Err(LimitError::TooFast)
        );
        assert_eq!(Limit::new(u64::MAX, 1, 1, largest), Err(LimitError::TooFast));
    }
}

#[test]
fn what_would_leave_64_bits_is_too_slow() {
    assert!(Limit::new(1, DAY, 1, 1).is_ok(), "one a day can be expressed");
    assert!(Limit::new(1, SECOND, 1, MAX_UNITS).is_ok(), "one byte a second can be expressed");
    assert!(Limit::new(1, DAY, 800, 1).is_ok(), "a burst of two years can be expressed");
    assert_eq!(Limit::new(1, DAY, 900, 1), Err(LimitError::TooSlow));
    assert_eq!(Limit::new(1, 7 * DAY, 1, 1), Err(LimitError::TooSlow));
    assert_eq!(Limit::new(1, DAY, 1, MAX_UNITS), Err(LimitError::TooSlow));
    assert_eq!(Limit::new(1, u64::MAX, 1, 1), Err(LimitError::TooSlow));
    assert_eq!(Limit::new(1, u64::MAX, u64::MAX, MAX_UNITS), Err(LimitError::TooSlow));
    assert_eq!(Limit::new(1_000, SECOND, u64::MAX, 1), Err(LimitError::TooSlow));
}

#[test]
fn all_zero_is_no_limit_and_every_limit_is_one() {
    assert!(!Limit::NONE.is_set());
    assert_eq!(Limit::NONE, Limit::default());
    assert!(Rate::packets(1, DAY, 1).limit.is_set());
    assert!(Rate::packets(1_000_000_000_000, SECOND, 1).limit.is_set());
}

#[test]
fn costs_are_what_the_rate_says() {
    assert_eq!(Rate::packets(12, MINUTE, 1).limit.cost(1), 5 * TICKS_PER_SECOND);
    assert_eq!(Rate::packets(500, SECOND, 500).limit.cost(1), TICKS_PER_SECOND / 500);
    assert_eq!(Rate::bytes(1, SECOND, 65_536).limit.cost(MAX_UNITS), 65_535 * TICKS_PER_SECOND);
    // 100 Gbit/s: 1.28 ticks a byte.
    let line_rate = Rate::bytes(12_500_000_000, SECOND, 65_536).limit;
    assert_eq!(line_rate.cost(64), 82, "81.92 ticks");
    assert_eq!(line_rate.cost(1_500), 1_920);
    assert_eq!(
        line_rate.cost(MAX_UNITS),
        83_887,
        "83,884.8 ticks, and what the last of the fraction's bits adds"
    );
}

#[test]
fn twelve_a_minute_with_a_burst_of_one_is_exactly_one_every_five_seconds() {
    let limit = Rate::packets(12, MINUTE, 1).limit;
    let five_seconds = 5 * SECOND;
    let cell = Plain::default();
    let start = 7 * SECOND * TICKS_PER_NS;
    for packet in 0..100u64 {
        let due = start + packet * five_seconds * TICKS_PER_NS;
        if packet > 0 {
            assert!(!admit(&cell, due - 1, &limit, 1), "packet {packet}, a tick early");
        }
        assert!(admit(&cell, due, &limit, 1), "packet {packet}, on time");
        assert!(!admit(&cell, due, &limit, 1), "packet {packet}, twice");
    }
}

#[test]
fn five_hundred_a_second_passes_its_burst_and_then_one_every_two_milliseconds() {
    let limit = Rate::packets(500, SECOND, 500).limit;
    let cell = Plain::default();
    let start = SECOND * TICKS_PER_NS;
    let burst = (0..10_000).filter(|_| admit(&cell, start, &limit, 1)).count();
    assert_eq!(burst, 500);
    // A packet every microsecond for a second.
    let then =
        (1..=1_000_000u64).filter(|us| admit(&cell, start + us * 1_000 * TICKS_PER_NS, &limit, 1)).count();
    assert_eq!(then, 500);
}

#[test]
fn a_burst_is_the_whole_burst_even_where_the_rate_is_no_whole_number_of_ticks() {
    for (count, burst) in [(3, 3), (7, 7), (7, 70_000), (150_000_000, 1_000_000), (299_792_458, 1_000_000)] {
        let limit = Rate::packets(count, SECOND, burst).limit;
        let cell = Plain::default();
        let passed = (0..2 * burst).filter(|_| admit(&cell, SECOND, &limit, 1)).count();
        assert_eq!(passed as u64, burst, "{count}/s");
    }
}

/// Six seconds of a gigabyte in frames that are as small as they get would take long; the share is what counts.
#[test]
fn the_smallest_frames_at_a_hundred_gigabits_get_their_rate_within_one_percent() {
    for frame in [60, 64, 65, 90, 128, 1_514] {
        let rate = Rate::bytes(12_500_000_000, SECOND, 65_536);
        let cell = Plain::default();
        let start = SECOND * TICKS_PER_NS;
        let duration = TICKS_PER_SECOND / 1_000;
        let mut passed = 0;
        // Twice what is allowed, in frames at even distances.
        let gap = f64::from(frame) / rate.per_tick() / 2.0;
        let mut at = 0.0;
        while at < duration as f64 {
            passed += u64::from(admit(&cell, start + at as u64, &rate.limit, frame)) * u64::from(frame);
            at += gap;
        }
        let share = passed as f64 / rate.allowed(duration);
        assert!((0.99..=1.01).contains(&share), "frames of {frame} bytes: {share}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Any input: an error or a limit whose numbers hold, and no arithmetic that panics in a debug build.
    #[test]
    fn no_input_overflows(
        count in magnitude(), period in magnitude(), burst in magnitude(),
        largest in prop_oneof![Just(1), Just(MAX_UNITS), 1..=MAX_UNITS],
        now in magnitude(), arrival in magnitude(), share in 0.0..=1.0f64,
    ) {
        let Ok(limit) = Limit::new(count, period, burst, largest) else { return Ok(()) };
        prop_assert!(limit.is_set());
        prop_assert!(limit.tolerance <= 1 << 60);
        let units = (f64::from(largest) * share) as u32;
        prop_assert!(limit.cost(largest) <= 1 << 52);
        prop_assert!(limit.cost(units) <= limit.cost(largest));
        // A clock that has run for 18 years, and arrival times that a limit can have led to.
        let now = now >> 1;
        let arrival = arrival.min(now + (1 << 60));
        let late_enough = u128::from(arrival.max(now)) + u128::from(limit.cost(units));
        let conforms = late_enough - u128::from(now) <= u128::from(limit.tolerance);
        prop_assert_eq!(limit.after(arrival, now, units), conforms.then_some(late_enough as u64));
    }

    /// The increment is the exact quotient to half a unit in its last place (to half a tick where packets all cost 1).
    #[test]
    fn the_increment_is_rounded_to_the_nearest(count in 1..1u64 << 40, period in 1..1u64 << 46) {
        let exact = f64::from(1u32 << 16) * period as f64 / count as f64;
        if let Ok(limit) = Limit::new(count, period, 1, MAX_UNITS) {
            prop_assert!((limit.increment as f64 - exact).abs() <= 0.5 + exact * 1e-12);
        }
        if let Ok(limit) = Limit::new(count, period, 1, 1) && exact >= 4_096.0 {
            prop_assert!((limit.increment as f64 - exact).abs() <= 2_049.0 + exact * 1e-12);
            prop_assert_eq!(limit.tolerance, limit.cost(1), "a burst of one is one packet");
        }
    }
}

/// Numbers of every size alike.
fn magnitude() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
}
