//! Vectors worked out by hand.

use stopbank_common::gcra::{Limit, MAX_UNITS, TICKS_PER_SECOND, Ticks};

use crate::kernel::Exchange;

/// A case: what is asked, and what must come back.
pub(crate) struct Vector {
    /// What it shows, in a sentence.
    pub(crate) name: &'static str,
    pub(crate) asked: Exchange,
    pub(crate) expected: Exchange,
}

const SECOND: Ticks = TICKS_PER_SECOND;
/// An hour of uptime.
const NOW: Ticks = 3_600 * SECOND;
/// What one byte may cost the most, and one frame of the largest: 65,535 s.
const SLOWEST: Ticks = 65_535 * SECOND;

fn limit(count: u64, seconds: u64, burst: u64, largest: u32) -> Limit {
    Limit::new(count, seconds * 1_000_000_000, burst, largest).unwrap()
}

/// Asks for a packet. `after`: the cell afterwards, none if the packet does not conform.
fn vector(
    name: &'static str,
    limit: Limit,
    units: u32,
    now: Ticks,
    arrival: Ticks,
    after: Option<Ticks>,
) -> Vector {
    let asked =
        Exchange { arrival, now, increment: limit.increment, tolerance: limit.tolerance, units, admitted: 0 };
    let mut expected = asked;
    if let Some(after) = after {
        expected.arrival = after;
        expected.admitted = 1;
    }
    Vector { name, asked, expected }
}

/// Every case.
pub(crate) fn vectors() -> Vec<Vector> {
    let mut vectors = packets();
    vectors.extend(bytes());
    vectors.extend(edges());
    vectors
}

fn packets() -> Vec<Vector> {
    let smooth = limit(12, 60, 1, 1);
    let burst = limit(500, 1, 500, 1);
    let cost = SECOND / 500;
    vec![
        vector("the first packet ever passes", smooth, 1, NOW, 0, Some(NOW + 5 * SECOND)),
        vector("12/m admits the next packet after five seconds", smooth, 1, NOW, NOW, Some(NOW + 5 * SECOND)),
        vector("12/m admits none a tick earlier", smooth, 1, NOW - 1, NOW, None),
        vector("a burst passes at once", burst, 1, NOW, NOW + 499 * cost, Some(NOW + SECOND)),
        vector("a spent burst passes nothing more", burst, 1, NOW, NOW + SECOND, None),
        vector("a burst that is a tick short is spent", burst, 1, NOW, NOW + 499 * cost + 1, None),
        vector("an idle hour earns no more than a burst", burst, 1, NOW, 1, Some(NOW + cost)),
        vector("a cell ahead of the burst refuses, and stays", burst, 1, NOW, NOW + 2 * SECOND, None),
    ]
}

fn bytes() -> Vec<Vector> {
    let fast = limit(12_500_000_000, 1, 65_536, MAX_UNITS);
    let slow = limit(1, 1, 65_536, MAX_UNITS);
    vec![
        vector("64 bytes at 100 Gbit/s cost 82 sixteenths of a nanosecond", fast, 64, NOW, 0, Some(NOW + 82)),
        vector("1,500 bytes at 100 Gbit/s cost 120 ns", fast, 1_500, NOW, NOW, Some(NOW + 1_920)),
        vector("the largest frame fits into the least burst", fast, MAX_UNITS, NOW, 0, Some(NOW + 83_887)),
        vector("the largest frame at one byte a second", slow, MAX_UNITS, NOW, 0, Some(NOW + SLOWEST)),
        vector("the second largest frame at one byte a second", slow, 2, NOW, NOW + SLOWEST, None),
        vector(
            "a single byte more at one byte a second",
            slow,
            1,
            NOW,
            NOW + SLOWEST,
            Some(NOW + SLOWEST + SECOND),
        ),
        vector("nothing costs nothing", slow, 0, NOW, NOW, Some(NOW)),
    ]
}

/// Far ends of the clock and of what a limit may be.
fn edges() -> Vec<Vector> {
    let day = limit(1, 86_400, 800, 1);
    let fastest = limit(1_000_000_000_000, 1, 1, 1);
    let late = 1 << 63;
    vec![
        vector("a clock at zero", day, 1, 0, 0, Some(86_400 * SECOND)),
        vector("a clock after 18 years", day, 1, late, late, Some(late + 86_400 * SECOND)),
        vector("arrival times beyond half of 64 bits are later, not earlier", day, 1, NOW, late, None),
        vector(
            "two years of burst, spent but for one",
            day,
            1,
            NOW,
            NOW + 799 * 86_400 * SECOND,
            Some(NOW + 800 * 86_400 * SECOND),
        ),
        vector("the fastest limit costs a tick", fastest, 1, NOW, NOW, Some(NOW + 1)),
        vector("the fastest limit is one all the same", fastest, 1, NOW, NOW + 1, None),
    ]
}
