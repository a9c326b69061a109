//! Real threads over the same cells.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use stopbank_common::gcra::{Cell, Limit, Ticks, admit, admit_one};

use crate::support::{Rate, SECOND};

const THREADS: usize = 4;

#[derive(Default)]
struct Shared(AtomicU64);

impl Cell for Shared {
    fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        self.0.compare_exchange(current, new, Relaxed, Relaxed).is_ok()
    }
}

/// Runs `work` on every thread at once, and adds up.
fn together(work: impl Fn(usize) -> u64 + Sync) -> u64 {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|index| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(index)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

/// At a clock that stands still, a burst is spent to the last token and no further.
fn spend(limit: Limit, now: Ticks, judge: impl Fn(Ticks, &Limit) -> bool + Sync) -> u64 {
    together(|_| {
        let (mut admitted, mut refused) = (0, 0);
        // Whoever has lost several races in a row is refused while there are tokens left, so one refusal is no end.
        while refused < 1_000 && admitted < 1_000_000 {
            if judge(now, &limit) {
                admitted += 1;
            } else {
                refused += 1;
            }
        }
        admitted
    })
}

#[test]
fn threads_spend_a_burst_to_the_last_token_and_no_further() {
    let burst = 200_000;
    let limit = Rate::packets(1_000, SECOND, burst).limit;
    for _ in 0..3 {
        let (first, second, one) = (Shared::default(), Shared::default(), Shared::default());
        // Once from equal cells, then, an hour later, from wherever the first round has left them.
        for now in [1u64 << 45, 1 << 47] {
            assert_eq!(spend(limit, now, |now, limit| admit(&first, &second, now, limit, 1)), burst);
            assert_eq!(spend(limit, now, |now, limit| admit_one(&one, now, limit, 1)), burst);
        }
    }
}

/// The clock goes on by less than a packet's worth at each look, so that all threads wait for the same token most of
/// the time.
#[test]
fn threads_that_race_for_each_token_stay_within_burst_and_rate() {
    let rate = Rate::packets(1_000_000, SECOND, 1);
    let cost = rate.limit.cost(1);
    for _ in 0..3 {
        let (first, second, clock) = (Shared::default(), Shared::default(), AtomicU64::new(1 << 40));
        let start = clock.load(Relaxed);
        let admitted = together(|_| {
            (0..500_000)
                .filter(|_| {
                    let now = clock.fetch_add(cost / 7, Relaxed);
                    admit(&first, &second, now, &rate.limit, 1)
                })
                .count() as u64
        });
        let allowed = rate.allowed(clock.load(Relaxed) - start);
        assert!(admitted as f64 <= allowed + 1.0, "{admitted} of {allowed}");
        assert!(admitted as f64 >= allowed * 0.8, "{admitted} of {allowed}: the races are not lost by all");
    }
}

/// Sources that share one cell of their two, each on a thread of its own: none gets more than its own limit.
#[test]
fn threads_with_overlapping_pairs_stay_within_their_own_limits() {
    let burst = 100_000;
    let limit = Rate::packets(1_000, SECOND, burst).limit;
    let cells: [Shared; 3] = Default::default();
    let passed: Vec<AtomicU64> = (0..THREADS).map(|_| AtomicU64::new(0)).collect();
    together(|index| {
        let (first, second) = [(1, 2), (0, 2), (0, 1), (1, 2)][index];
        for _ in 0..2 * burst {
            let admitted = admit(&cells[first], &cells[second], 1 << 45, &limit, 1);
            passed[index].fetch_add(u64::from(admitted), Relaxed);
        }
        0
    });
    let passed: Vec<_> = passed.iter().map(|passed| passed.load(Relaxed)).collect();
    assert!(passed[1] <= burst && passed[2] <= burst, "{passed:?}");
    assert!(passed[0] + passed[3] <= burst, "one source on two threads: {passed:?}");
}
