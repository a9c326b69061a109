//! Vectors worked out by hand.

use stopbank_common::gcra::{Limit, MAX_UNITS, TICKS_PER_SECOND, Ticks};

use crate::kernel::{ADMITTED_BY_ONE, ADMITTED_BY_TWO, Exchange};

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

/// Asks for a packet with two cells, and with the earlier of them as the only one. `after`: the cells afterwards, none if
/// the packet does not conform.
fn vector(
    name: &'static str,
    limit: Limit,
    units: u32,
    now: Ticks,
    cells: [Ticks; 2],
    after: Option<[Ticks; 2]>,
) -> Vector {
    let asked = Exchange {
        arrivals: [cells[0], cells[1], cells[0].min(cells[1])],
        now,
        increment: limit.increment,
        tolerance: limit.tolerance,
        units,
        admitted: 0,
    };
    let mut expected = asked;
    if let Some([first, second]) = after {
        expected.arrivals = [first, second, first.min(second)];
        expected.admitted = ADMITTED_BY_TWO | ADMITTED_BY_ONE;
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
        vector("the first packet ever passes", smooth, 1, NOW, [0, 0], Some([NOW + 5 * SECOND; 2])),
        vector(
            "12/m admits the next packet after five seconds",
            smooth,
            1,
            NOW,
            [NOW; 2],
            Some([NOW + 5 * SECOND; 2]),
        ),
        vector("12/m admits none a tick earlier", smooth, 1, NOW - 1, [NOW; 2], None),
        vector("a burst passes at once", burst, 1, NOW, [NOW + 499 * cost; 2], Some([NOW + SECOND; 2])),
        vector("a spent burst passes nothing more", burst, 1, NOW, [NOW + SECOND; 2], None),
        vector("a burst that is a tick short is spent", burst, 1, NOW, [NOW + 499 * cost + 1; 2], None),
        vector("an idle hour earns no more than a burst", burst, 1, NOW, [1, 2], Some([NOW + cost; 2])),
        vector(
            "the earlier cell decides, be it the first",
            burst,
            1,
            NOW,
            [NOW, NOW + 2 * SECOND],
            Some([NOW + cost, NOW + 2 * SECOND]),
        ),
        vector(
            "the earlier cell decides, be it the second",
            burst,
            1,
            NOW,
            [NOW + 2 * SECOND, NOW],
            Some([NOW + 2 * SECOND, NOW + cost]),
        ),
        vector(
            "the later cell is charged where the new arrival time is beyond it",
            burst,
            1,
            NOW,
            [NOW, NOW + cost - 1],
            Some([NOW + cost; 2]),
        ),
        vector(
            "a cell that stands at the new arrival time is left alone",
            burst,
            1,
            NOW,
            [NOW + cost, NOW],
            Some([NOW + cost; 2]),
        ),
        vector(
            "two cells ahead of the burst refuse, and stay",
            burst,
            1,
            NOW,
            [NOW + 2 * SECOND, NOW + 3 * SECOND],
            None,
        ),
    ]
}

fn bytes() -> Vec<Vector> {
    let fast = limit(12_500_000_000, 1, 65_536, MAX_UNITS);
    let slow = limit(1, 1, 65_536, MAX_UNITS);
    vec![
        vector(
            "64 bytes at 100 Gbit/s cost 82 sixteenths of a nanosecond",
            fast,
            64,
            NOW,
            [0, 0],
            Some([NOW + 82; 2]),
        ),
        vector("1,500 bytes at 100 Gbit/s cost 120 ns", fast, 1_500, NOW, [NOW; 2], Some([NOW + 1_920; 2])),
        vector(
            "the largest frame fits into the least burst",
            fast,
            MAX_UNITS,
            NOW,
            [0, 0],
            Some([NOW + 83_887; 2]),
        ),
        vector(
            "the largest frame at one byte a second",
            slow,
            MAX_UNITS,
            NOW,
            [0, 0],
            Some([NOW + SLOWEST; 2]),
        ),
        vector("the second largest frame at one byte a second", slow, 2, NOW, [NOW + SLOWEST; 2], None),
        vector(
            "a single byte more at one byte a second",
            slow,
            1,
            NOW,
            [NOW + SLOWEST; 2],
            Some([NOW + SLOWEST + SECOND; 2]),
        ),
        vector("nothing costs nothing", slow, 0, NOW, [NOW; 2], Some([NOW; 2])),
    ]
}

/// Far ends of the clock and of what a limit may be.
fn edges() -> Vec<Vector> {
    let day = limit(1, 86_400, 800, 1);
    let fastest = limit(1_000_000_000_000, 1, 1, 1);
    let late = 1 << 63;
    vec![
        vector("a clock at zero", day, 1, 0, [0, 0], Some([86_400 * SECOND; 2])),
        vector("a clock after 18 years", day, 1, late, [late; 2], Some([late + 86_400 * SECOND; 2])),
        vector("arrival times beyond half of 64 bits are later, not earlier", day, 1, NOW, [late; 2], None),
        vector(
            "two years of burst, spent but for one",
            day,
            1,
            NOW,
            [NOW + 799 * 86_400 * SECOND; 2],
            Some([NOW + 800 * 86_400 * SECOND; 2]),
        ),
        vector("the fastest limit costs a tick", fastest, 1, NOW, [NOW; 2], Some([NOW + 1; 2])),
        vector("the fastest limit is one all the same", fastest, 1, NOW, [NOW + 1; 2], None),
    ]
}
