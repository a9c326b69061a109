//! What passes over time: against a leaky bucket decision by decision, and against `burst + rate × time`.

use proptest::prelude::*;
use stopbank_common::gcra::{Limit, TICKS_PER_NS, TICKS_PER_SECOND, Ticks, admit};

use crate::support::{Plain, Rate, SECOND};

/// The reference: a bucket that leaks one tick per tick, and holds `tolerance`.
struct Bucket {
    limit: Limit,
    level: u128,
    seen: Ticks,
}

impl Bucket {
    fn new(limit: Limit) -> Self {
        Self { limit, level: 0, seen: 0 }
    }

    fn admits(&mut self, now: Ticks, units: u32) -> bool {
        self.level = self.level.saturating_sub(u128::from(now - self.seen));
        self.seen = now;
        let filled = self.level + u128::from(self.limit.cost(units));
        let conforms = filled <= u128::from(self.limit.tolerance);
        if conforms {
            self.level = filled;
        }
        conforms
    }
}

/// Rates in packets from one an hour to 100 million a second.
fn packets() -> impl Strategy<Value = Rate> {
    (
        1..=100_000_000u64,
        prop_oneof![Just(SECOND), Just(60 * SECOND), Just(3_600 * SECOND)],
        0..18u32,
        any::<u64>(),
    )
        .prop_map(|(count, period, log, burst)| Rate::packets(count, period, (burst >> (63 - log)).max(1)))
}

/// Rates in bytes from 1 B/s to 100 Gbit/s.
fn bytes() -> impl Strategy<Value = Rate> {
    (0..34u32, any::<u64>(), 65_536..10_000_000u64).prop_map(|(log, count, burst)| {
        Rate::bytes((count >> (63 - log)).clamp(1, 12_500_000_000), SECOND, burst)
    })
}

/// A rate and what is offered to it: gaps in ticks and units, with gaps around what the units cost.
fn traffic() -> impl Strategy<Value = (Rate, Vec<(Ticks, u32)>)> {
    let gap = prop_oneof![4 => Just(0.0), 4 => 0.0..1.0, 2 => 0.9..1.1, 1 => 0.0..20.0];
    let packet = (gap.clone(), Just(1u32));
    let frame = (gap, prop_oneof![Just(60u32), Just(1_514), 60..65_535u32]);
    prop_oneof![
        (packets(), prop::collection::vec(packet, 1..300)),
        (bytes(), prop::collection::vec(frame, 1..300)),
    ]
    .prop_map(|(rate, offered)| {
        let ticks = |gap: f64, units| (gap * rate.limit.cost(units) as f64) as Ticks;
        (rate, offered.into_iter().map(|(gap, units)| (ticks(gap, units), units)).collect())
    })
}

/// Between any two admitted packets, no more passes than burst + rate × time + 1: the excess over a window that begins
/// with a packet is largest where the total runs furthest ahead of the lowest point before.
struct Windows {
    rate: Rate,
    packets: usize,
    units: f64,
    lowest: f64,
}

impl Windows {
    fn new(rate: Rate) -> Self {
        Self { rate, packets: 0, units: 0.0, lowest: f64::INFINITY }
    }

    /// Notes an admitted packet; the excess of the worst window that ends with it.
    fn excess(&mut self, now: Ticks, units: u32) -> f64 {
        let earned = self.rate.per_tick() * now as f64;
        self.lowest = self.lowest.min(self.units - earned);
        self.units += f64::from(units);
        self.packets += 1;
        self.units
            - earned
            - self.lowest
            - self.rate.allowed(0)
            - self.rate.rounding(self.packets, self.units)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// The cell decides as the bucket does, and what does not conform changes nothing.
    #[test]
    fn every_decision_is_the_buckets((rate, offered) in traffic(), start in 0..1u64 << 62) {
        let cell = Plain::default();
        let mut bucket = Bucket::new(rate.limit);
        let mut now = start;
        for (gap, units) in offered {
            now += gap;
            let before = cell.0.get();
            let expected = bucket.admits(now, units);
            prop_assert_eq!(admit(&cell, now, &rate.limit, units), expected);
            if expected {
                prop_assert_eq!(cell.0.get(), before.max(now) + rate.limit.cost(units));
            } else {
                prop_assert_eq!(cell.0.get(), before);
            }
        }
    }

    #[test]
    fn no_window_passes_more_than_burst_and_rate((rate, offered) in traffic()) {
        let cell = Plain::default();
        let mut windows = Windows::new(rate);
        let mut now = TICKS_PER_SECOND;
        for (gap, units) in offered {
            now += gap;
            if admit(&cell, now, &rate.limit, units) {
                let excess = windows.excess(now - TICKS_PER_SECOND, units);
                prop_assert!(excess <= 1.0, "{:?}: {} units too many", rate, excess);
            }
        }
    }

    /// Packets that come at twice the rate or faster: what passes is all that may, less one percent and one packet. (With
    /// a burst of one, the time between a token and the next packet to come is lost: that is what smoothing means.)
    #[test]
    fn saturation_passes_all_that_may(
        rate in packets().prop_filter("a burst", |rate| rate.burst > 1),
        gaps in prop::collection::vec(0.0..0.5f64, 2_000),
    ) {
        let cell = Plain::default();
        let start = TICKS_PER_SECOND;
        let mut passed = (0..2 * rate.burst).filter(|_| admit(&cell, start, &rate.limit, 1)).count() as u64;
        prop_assert_eq!(passed, rate.burst);
        let mut now = start;
        for gap in gaps {
            now += (gap * rate.limit.cost(1) as f64) as Ticks;
            passed += u64::from(admit(&cell, now, &rate.limit, 1));
        }
        let (allowed, passed) = (rate.allowed(now - start), passed as f64);
        prop_assert!(passed <= allowed * 1.01 + 1.0 && passed >= allowed * 0.99 - 1.0, "{} of {}", passed, allowed);
    }

    /// The same for bytes, in frames of mixed lengths.
    #[test]
    fn saturation_passes_all_bytes_that_may(
        rate in bytes(), frames in prop::collection::vec((0.0..0.5f64, 60..1_515u32), 2_000),
    ) {
        let cell = Plain::default();
        let start = TICKS_PER_SECOND;
        let burst = (0..rate.burst / 1_000).filter(|_| admit(&cell, start, &rate.limit, 1_514)).count() as u64;
        let (mut now, mut passed) = (start, burst * 1_514);
        for (gap, units) in frames {
            now += (gap * rate.limit.cost(units) as f64) as Ticks;
            if admit(&cell, now, &rate.limit, units) {
                passed += u64::from(units);
            }
        }
        let (allowed, passed) = (rate.allowed(now - start), passed as f64);
        let frame = 1_514.0;
        prop_assert!(passed <= allowed * 1.01 + 1.0 && passed >= allowed * 0.99 - frame, "{} of {}", passed, allowed);
    }
}

/// A fixed window of one second would pass twice its limit here: all at the end of one, all at the beginning of the next.
#[test]
fn a_burst_on_both_sides_of_a_second_gains_nothing() {
    let limit = Rate::packets(500, SECOND, 500).limit;
    let cell = Plain::default();
    let boundary = 10 * SECOND;
    let millisecond = SECOND / 1_000;
    let flood = |at_ns: u64| (0..5_000).filter(|_| admit(&cell, at_ns * TICKS_PER_NS, &limit, 1)).count();
    assert_eq!(flood(boundary - millisecond), 500);
    assert_eq!(flood(boundary + millisecond), 1, "two milliseconds' worth");
    assert_eq!(flood(boundary + millisecond), 0);
    assert_eq!(flood(boundary + SECOND / 2 + millisecond), 250);
    assert_eq!(flood(boundary + 60 * SECOND), 500, "an idle minute earns one burst and no more");
    assert_eq!(flood(boundary + 60 * SECOND), 0);
}

/// "Single-source flood at ten times its limit for 10 s: within 1 % of burst + rate × time, or one packet."
#[test]
fn ten_seconds_at_ten_times_the_limit_pass_burst_and_rate() {
    for (count, burst) in [(1, 1), (10, 1), (500, 500), (1_000, 1), (1_000_000, 1_000_000), (999_983, 7)] {
        let rate = Rate::packets(count, SECOND, burst);
        let cell = Plain::default();
        let start = 3 * TICKS_PER_SECOND;
        let gap = TICKS_PER_SECOND as f64 / (10 * count) as f64;
        let passed = (0..100 * count)
            .filter(|&packet| admit(&cell, start + (gap * packet as f64) as Ticks, &rate.limit, 1))
            .count() as f64;
        let allowed = rate.allowed(10 * TICKS_PER_SECOND);
        assert!((passed - allowed).abs() <= (allowed * 0.01).max(1.0), "{rate:?}: {passed} of {allowed}");
    }
}
