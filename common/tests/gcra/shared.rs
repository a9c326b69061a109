//! A cell that others write to as well: that may only make the limiter stricter.

use proptest::prelude::*;
use stopbank_common::gcra::{TICKS_PER_SECOND, Ticks, admit};

use crate::support::{Plain, Rate, SECOND};

#[derive(Clone, Debug)]
enum Step {
    /// The source at hand sends.
    Send,
    /// Another source of the cell sends as much as `limit` lets it.
    Other,
    /// The cell is raised by this much: a source of a class with another limit.
    Raise(Ticks),
}

fn steps() -> impl Strategy<Value = Vec<(Ticks, Step)>> {
    let step = prop_oneof![
        6 => Just(Step::Send),
        2 => Just(Step::Other),
        1 => (0..2 * TICKS_PER_SECOND).prop_map(Step::Raise),
    ];
    prop::collection::vec((0..TICKS_PER_SECOND / 20, step), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Beside the shared cell runs the source's own arrival time, which nobody else writes to and which is charged with
    /// what passed. Whatever passes conforms to that as well, and the cell never falls behind it.
    #[test]
    fn what_passes_with_others_in_the_cell_would_have_passed_alone(
        steps in steps(), burst in 1..40u64, dirt in 0..3 * TICKS_PER_SECOND,
    ) {
        let rate = Rate::packets(20, SECOND, burst);
        let cell = Plain::new(dirt);
        let (mut alone, mut now) = (0, TICKS_PER_SECOND);
        for (gap, step) in steps {
            now += gap;
            match step {
                Step::Send => {
                    let before = cell.0.get();
                    if admit(&cell, now, &rate.limit, 1) {
                        let after = rate.limit.after(alone, now, 1);
                        prop_assert!(after.is_some(), "passed, and would not have passed alone");
                        alone = after.unwrap();
                    } else {
                        prop_assert_eq!(before, cell.0.get(), "dropped, and charged");
                    }
                    prop_assert!(cell.0.get() >= alone);
                }
                Step::Other => {
                    for _ in 0..burst {
                        admit(&cell, now, &rate.limit, 1);
                    }
                }
                Step::Raise(by) => cell.0.set(cell.0.get() + by),
            }
        }
    }

    /// Whatever stands in the cell: it decides, ends up at the new arrival time or stays, and never goes back.
    #[test]
    fn the_cell_decides_and_never_goes_back(
        arrival in 0..10 * TICKS_PER_SECOND, now in 0..10 * TICKS_PER_SECOND,
        count in 1..1_000u64, burst in 1..5_000u64,
    ) {
        let limit = Rate::packets(count, SECOND, burst).limit;
        let cell = Plain::new(arrival);
        let expected = limit.after(arrival, now, 1);
        prop_assert_eq!(admit(&cell, now, &limit, 1), expected.is_some());
        prop_assert_eq!(cell.0.get(), expected.unwrap_or(arrival));
        prop_assert!(cell.0.get() >= arrival);
    }
}
