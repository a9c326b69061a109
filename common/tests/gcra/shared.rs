//! Cells that others write to as well: that may only make the limiter stricter.

use proptest::prelude::*;
use stopbank_common::gcra::{TICKS_PER_SECOND, Ticks, admit};

use crate::support::{Plain, Rate, SECOND};

/// The pairs that the hash picks from three cells.
const PAIRS: [(usize, usize); 3] = [(1, 2), (0, 2), (0, 1)];

#[derive(Clone, Debug)]
enum Step {
    /// The source at hand sends.
    Send,
    /// Another source that has this pair sends as much as `limit` lets it.
    Other(usize),
    /// A cell is raised by this much: a source of a class with another limit.
    Raise(usize, Ticks),
}

fn steps() -> impl Strategy<Value = Vec<(Ticks, Step)>> {
    let step = prop_oneof![
        6 => Just(Step::Send),
        2 => (0..3usize).prop_map(Step::Other),
        1 => (0..3usize, 0..2 * TICKS_PER_SECOND).prop_map(|(cell, by)| Step::Raise(cell, by)),
    ];
    prop::collection::vec((0..TICKS_PER_SECOND / 20, step), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Beside the shared cells runs the source's own arrival time, which nobody else writes to and which is charged with
    /// what passed. Whatever passes conforms to that as well, and neither cell ever falls behind it.
    #[test]
    fn what_passes_with_others_in_the_cells_would_have_passed_alone(
        steps in steps(), mine in 0..3usize, burst in 1..40u64, dirt in prop::array::uniform3(0..3 * TICKS_PER_SECOND),
    ) {
        let rate = Rate::packets(20, SECOND, burst);
        let cells = dirt.map(Plain::new);
        let pair = |source: usize| (&cells[PAIRS[source].0], &cells[PAIRS[source].1]);
        let (mut alone, mut now) = (0, TICKS_PER_SECOND);
        for (gap, step) in steps {
            now += gap;
            match step {
                Step::Send => {
                    let (first, second) = pair(mine);
                    let before = [first.0.get(), second.0.get()];
                    if admit(first, second, now, &rate.limit, 1) {
                        let after = rate.limit.after(alone, now, 1);
                        prop_assert!(after.is_some(), "passed, and would not have passed alone");
                        alone = after.unwrap();
                    } else {
                        prop_assert_eq!(before, [first.0.get(), second.0.get()], "dropped, and charged");
                    }
                    prop_assert!(first.0.get().min(second.0.get()) >= alone);
                }
                Step::Other(source) => {
                    let (first, second) = pair(source);
                    for _ in 0..burst {
                        admit(first, second, now, &rate.limit, 1);
                    }
                }
                Step::Raise(cell, by) => cells[cell].0.set(cells[cell].0.get() + by),
            }
        }
    }

    /// Whatever stands in the cells: the earlier one decides, both end up at or after the new arrival time, and neither
    /// ever goes back.
    #[test]
    fn the_earlier_cell_decides_and_none_goes_back(
        a in 0..10 * TICKS_PER_SECOND, b in 0..10 * TICKS_PER_SECOND, now in 0..10 * TICKS_PER_SECOND,
        count in 1..1_000u64, burst in 1..5_000u64, equal: bool,
    ) {
        let b = if equal { a } else { b };
        let limit = Rate::packets(count, SECOND, burst).limit;
        let (first, second) = (Plain::new(a), Plain::new(b));
        let expected = limit.after(a.min(b), now, 1);
        prop_assert_eq!(admit(&first, &second, now, &limit, 1), expected.is_some());
        let next = expected.unwrap_or(0);
        prop_assert_eq!((first.0.get(), second.0.get()), (a.max(next), b.max(next)));
    }
}

#[test]
fn one_clean_cell_is_enough_to_be_served() {
    let limit = Rate::packets(20, SECOND, 20).limit;
    let (dirty, clean) = (Plain::new(u64::MAX >> 1), Plain::default());
    let passed = (0..100).filter(|_| admit(&dirty, &clean, TICKS_PER_SECOND, &limit, 1)).count();
    assert_eq!(passed, 20);
    assert_eq!(dirty.0.get(), u64::MAX >> 1, "an arrival time in the future stays");
}
