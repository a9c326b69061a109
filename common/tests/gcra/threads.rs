//! Real threads over the same cell.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use stopbank_common::gcra::{Cell, Limit, Ticks, admit};

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
        let cell = Shared::default();
        // Once from nothing, then, an hour later, from where the first round has left the cell.
        for now in [1u64 << 45, 1 << 47] {
            assert_eq!(spend(limit, now, |now, limit| admit(&cell, now, limit, 1)), burst);
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
        let (cell, clock) = (Shared::default(), AtomicU64::new(1 << 40));
        let start = clock.load(Relaxed);
        let admitted = together(|_| {
            (0..500_000)
                .filter(|_| {
                    let now = clock.fetch_add(cost / 7, Relaxed);
                    admit(&cell, now, &rate.limit, 1)
                })
                .count() as u64
        });
        let allowed = rate.allowed(clock.load(Relaxed) - start);
        assert!(admitted as f64 <= allowed + 1.0, "{admitted} of {allowed}");
        assert!(admitted as f64 >= allowed * 0.8, "{admitted} of {allowed}: the races are not lost by all");
    }
}

/// Sources that share a cell, each on a thread of its own: together they get no more than one of them would.
#[test]
fn threads_of_several_sources_stay_within_one_limit() {
    let burst = 100_000;
    let limit = Rate::packets(1_000, SECOND, burst).limit;
    let cell = Shared::default();
    let passed = together(|_| (0..2 * burst).map(|_| u64::from(admit(&cell, 1 << 45, &limit, 1))).sum());
    assert_eq!(passed, burst);
}
