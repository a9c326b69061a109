//! Every interleaving of several admissions over the same cell.
//!
//! The code under test is [`admit`] itself. It knows the world through [`Cell`] only, so it can be stopped between any
//! two of its loads and stores and taken up again: it is run anew with what it has seen so far, then makes one more step
//! for real, and whatever it does after that is thrown away.

use std::{
    cell::{Cell as Slot, RefCell},
    collections::HashSet,
};

use stopbank_common::gcra::{Cell, Limit, Ticks, admit};

/// Cost of a packet in ticks.
const COST: Ticks = 10;
/// What the clock says.
const NOW: Ticks = 1_000;

/// A limit of which `tokens` packets are left when the cell is `NOW`.
fn limit(tokens: u64) -> Limit {
    Limit { increment: COST << 12, tolerance: tokens * COST }
}

/// One CPU's run up to its next step.
struct Run<'c> {
    seen: &'c [u64],
    replayed: Slot<usize>,
    cell: RefCell<u64>,
    step: Slot<Option<u64>>,
    beyond: Slot<bool>,
}

impl Run<'_> {
    fn operate(&self, discarded: u64, operation: impl FnOnce(&mut u64) -> u64) -> u64 {
        let position = self.replayed.get();
        if let Some(&seen) = self.seen.get(position) {
            self.replayed.set(position + 1);
            return seen;
        }
        if self.step.get().is_some() {
            self.beyond.set(true);
            return discarded;
        }
        let result = operation(&mut self.cell.borrow_mut());
        self.step.set(Some(result));
        result
    }
}

struct Traced<'r, 'c>(&'r Run<'c>);

impl Cell for Traced<'_, '_> {
    fn load(&self) -> u64 {
        self.0.operate(u64::MAX, |cell| *cell)
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        let stored = self.0.operate(0, |cell| {
            let unchanged = *cell == current;
            if unchanged {
                *cell = new;
            }
            u64::from(unchanged)
        });
        stored != 0
    }
}

/// A CPU that has a packet to judge.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Cpu {
    now: Ticks,
    seen: Vec<u64>,
    verdict: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    cell: u64,
    cpus: Vec<Cpu>,
}

impl State {
    fn new(cell: u64, clocks: &[Ticks]) -> Self {
        Self { cell, cpus: clocks.iter().map(|&now| Cpu { now, seen: Vec::new(), verdict: None }).collect() }
    }

    fn admitted(&self) -> u64 {
        self.cpus.iter().filter(|cpu| cpu.verdict == Some(true)).count() as u64
    }

    /// The state after one more step of a CPU.
    fn step(&self, index: usize, limit: &Limit) -> Self {
        let mut after = self.clone();
        let cpu = &mut after.cpus[index];
        let run = Run {
            seen: &self.cpus[index].seen,
            replayed: Slot::new(0),
            cell: RefCell::new(self.cell),
            step: Slot::new(None),
            beyond: Slot::new(false),
        };
        let verdict = admit(&Traced(&run), cpu.now, limit, 1);
        cpu.seen.extend(run.step.get());
        if !run.beyond.get() {
            cpu.verdict = Some(verdict);
        }
        after.cell = run.cell.into_inner();
        after
    }
}

/// Walks through every state that any order of steps leads to; the states in which all CPUs are done.
fn every_end(start: State, limit: &Limit) -> Vec<State> {
    let (mut seen, mut open, mut ends) = (HashSet::new(), vec![start], Vec::new());
    while let Some(state) = open.pop() {
        let running: Vec<_> =
            (0..state.cpus.len()).filter(|&index| state.cpus[index].verdict.is_none()).collect();
        if running.is_empty() {
            ends.push(state);
            continue;
        }
        for index in running {
            let next = state.step(index, limit);
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    ends
}

/// No two admissions share a token: the cell has moved on by the cost of each.
fn each_has_its_own_token(start: u64, earliest: Ticks, latest: Ticks, end: &State, limit: &Limit) {
    let admitted = end.admitted();
    if admitted > 0 {
        let from = start.max(earliest);
        assert!(
            end.cell >= from + admitted * COST,
            "{admitted} admitted from {start}, but the cell is {}",
            end.cell
        );
        assert!(end.cell <= latest + limit.tolerance, "beyond the tolerance: {}", end.cell);
    }
    assert!(end.cell >= start, "the cell went back");
}

#[test]
fn each_token_is_spent_once_and_none_is_lost() {
    for cpus in 1..=4 {
        for tokens in 0..=4 {
            let limit = limit(tokens);
            for start in [0, NOW] {
                let ends = every_end(State::new(start, &vec![NOW; cpus]), &limit);
                assert!(!ends.is_empty());
                for end in ends {
                    let admitted = end.admitted();
                    each_has_its_own_token(start, NOW, NOW, &end, &limit);
                    assert_eq!(admitted, tokens.min(cpus as u64), "{cpus} CPUs, {tokens} tokens");
                    assert_eq!(end.cell, if admitted == 0 { start } else { NOW + admitted * COST });
                }
            }
        }
    }
}

#[test]
fn whatever_stands_in_the_cell_each_token_is_spent_once() {
    for (cpus, ahead) in [(2, 0..=5 * COST), (3, 0..=COST + 1)] {
        for tokens in 0..=3 {
            let limit = limit(tokens);
            for ahead in ahead.clone() {
                for end in every_end(State::new(NOW + ahead, &vec![NOW; cpus]), &limit) {
                    each_has_its_own_token(NOW + ahead, NOW, NOW, &end, &limit);
                    let left = limit.tolerance.saturating_sub(ahead) / COST;
                    assert_eq!(end.admitted(), left.min(cpus as u64), "{ahead} ahead, {left} tokens");
                }
            }
        }
    }
}

#[test]
fn clocks_that_differ_between_cpus_share_no_token_either() {
    for skew in [1, COST / 2, COST, 3 * COST] {
        for tokens in 1..=3 {
            let limit = limit(tokens);
            for start in [0, NOW, NOW + skew] {
                for end in every_end(State::new(start, &[NOW, NOW + skew]), &limit) {
                    each_has_its_own_token(start, NOW, NOW + skew, &end, &limit);
                }
            }
        }
    }
}
