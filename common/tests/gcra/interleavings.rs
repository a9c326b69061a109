//! Every interleaving of several admissions over the same cells.
//!
//! The code under test is [`admit`] itself. It knows the world through [`Cell`] only, so it can be stopped between any
//! two of its loads and stores and taken up again: it is run anew with what it has seen so far, then makes one more step
//! for real, and whatever it does after that is thrown away.

use std::{
    cell::{Cell as Slot, RefCell},
    collections::HashSet,
};

use stopbank_common::gcra::{Cell, Limit, Ticks, admit, admit_one};

/// Cost of a packet in ticks.
const COST: Ticks = 10;
/// What the clock says.
const NOW: Ticks = 1_000;

/// A limit of which `tokens` packets are left when both cells are `NOW`.
fn limit(tokens: u64) -> Limit {
    Limit { increment: COST << 12, tolerance: tokens * COST }
}

/// One CPU's run up to its next step.
struct Run<'c> {
    seen: &'c [u64],
    replayed: Slot<usize>,
    cells: RefCell<[u64; 2]>,
    step: Slot<Option<u64>>,
    beyond: Slot<bool>,
}

impl Run<'_> {
    fn operate(&self, discarded: u64, operation: impl FnOnce(&mut [u64; 2]) -> u64) -> u64 {
        let position = self.replayed.get();
        if let Some(&seen) = self.seen.get(position) {
            self.replayed.set(position + 1);
            return seen;
        }
        if self.step.get().is_some() {
            self.beyond.set(true);
            return discarded;
        }
        let result = operation(&mut self.cells.borrow_mut());
        self.step.set(Some(result));
        result
    }
}

struct Traced<'r, 'c> {
    run: &'r Run<'c>,
    index: usize,
}

impl Cell for Traced<'_, '_> {
    fn load(&self) -> u64 {
        self.run.operate(u64::MAX, |cells| cells[self.index])
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        let stored = self.run.operate(0, |cells| {
            let unchanged = cells[self.index] == current;
            if unchanged {
                cells[self.index] = new;
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
    cells: [u64; 2],
    cpus: Vec<Cpu>,
}

/// What the CPUs run, over one cell or two.
type Code = fn(&Traced<'_, '_>, &Traced<'_, '_>, Ticks, &Limit) -> bool;

fn over_two(first: &Traced<'_, '_>, second: &Traced<'_, '_>, now: Ticks, limit: &Limit) -> bool {
    admit(first, second, now, limit, 1)
}

fn over_one(first: &Traced<'_, '_>, _second: &Traced<'_, '_>, now: Ticks, limit: &Limit) -> bool {
    admit_one(first, now, limit, 1)
}

impl State {
    fn new(cells: [u64; 2], clocks: &[Ticks]) -> Self {
        Self { cells, cpus: clocks.iter().map(|&now| Cpu { now, seen: Vec::new(), verdict: None }).collect() }
    }

    fn admitted(&self) -> u64 {
        self.cpus.iter().filter(|cpu| cpu.verdict == Some(true)).count() as u64
    }

    /// The state after one more step of a CPU.
    fn step(&self, index: usize, code: Code, limit: &Limit) -> Self {
        let mut after = self.clone();
        let cpu = &mut after.cpus[index];
        let run = Run {
            seen: &self.cpus[index].seen,
            replayed: Slot::new(0),
            cells: RefCell::new(self.cells),
            step: Slot::new(None),
            beyond: Slot::new(false),
        };
        let verdict = code(&Traced { run: &run, index: 0 }, &Traced { run: &run, index: 1 }, cpu.now, limit);
        cpu.seen.extend(run.step.get());
        if !run.beyond.get() {
            cpu.verdict = Some(verdict);
        }
        after.cells = run.cells.into_inner();
        after
    }
}

/// Walks through every state that any order of steps leads to; the states in which all CPUs are done.
fn every_end(start: State, code: Code, limit: &Limit) -> Vec<State> {
    let (mut seen, mut open, mut ends) = (HashSet::new(), vec![start], Vec::new());
    while let Some(state) = open.pop() {
        let running: Vec<_> =
            (0..state.cpus.len()).filter(|&index| state.cpus[index].verdict.is_none()).collect();
        if running.is_empty() {
            ends.push(state);
            continue;
        }
        for index in running {
            let next = state.step(index, code, limit);
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    ends
}

/// No two admissions share a token: the earlier cell has moved on by the cost of each.
fn each_has_its_own_token(start: [u64; 2], earliest: Ticks, latest: Ticks, end: &State, limit: &Limit) {
    let (from, to) = (start[0].min(start[1]).max(earliest), end.cells[0].min(end.cells[1]));
    let admitted = end.admitted();
    if admitted > 0 {
        assert!(
            to >= from + admitted * COST,
            "{admitted} admitted from {start:?}, but the cells are {:?}",
            end.cells
        );
        assert!(to <= latest + limit.tolerance, "beyond the tolerance: {:?}", end.cells);
    }
    for (before, after) in start.iter().zip(end.cells) {
        assert!(after >= *before, "a cell went back");
    }
}

#[test]
fn over_two_equal_cells_each_token_is_spent_once_and_none_is_lost() {
    for cpus in 1..=3 {
        for tokens in 0..=4 {
            let limit = limit(tokens);
            for cells in [[0, 0], [NOW, NOW]] {
                let ends = every_end(State::new(cells, &vec![NOW; cpus]), over_two, &limit);
                assert!(!ends.is_empty());
                for end in ends {
                    each_has_its_own_token(cells, NOW, NOW, &end, &limit);
                    assert_eq!(end.admitted(), tokens.min(cpus as u64), "{cpus} CPUs, {tokens} tokens");
                }
            }
        }
    }
}

#[test]
fn over_two_unequal_cells_each_token_is_spent_once() {
    let many: &[u64] = &[0, 1, COST - 1, COST, COST + 1, 2 * COST, 5 * COST];
    for (cpus, ahead) in [(2, many), (3, &[0, 1, COST, COST + 1])] {
        for tokens in 0..=3 {
            let limit = limit(tokens);
            for (a, b) in ahead.iter().flat_map(|a| ahead.iter().map(move |b| (*a, *b))) {
                let cells = [NOW + a, NOW + b];
                let earlier = a.min(b);
                for end in every_end(State::new(cells, &vec![NOW; cpus]), over_two, &limit) {
                    each_has_its_own_token(cells, NOW, NOW, &end, &limit);
                    let left = (limit.tolerance.saturating_sub(earlier)) / COST;
                    assert!(end.admitted() <= left, "{cells:?}: {} of {left} tokens", end.admitted());
                    assert!(left == 0 || end.admitted() > 0, "{cells:?}: somebody gets on");
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
            for cells in [[0, 0], [NOW, NOW], [NOW, NOW + skew], [NOW + skew, NOW]] {
                for end in every_end(State::new(cells, &[NOW, NOW + skew]), over_two, &limit) {
                    each_has_its_own_token(cells, NOW, NOW + skew, &end, &limit);
                }
            }
        }
    }
}

#[test]
fn over_one_cell_each_token_is_spent_once_and_none_is_lost() {
    for cpus in 1..=4 {
        for tokens in 0..=4 {
            let limit = limit(tokens);
            for end in every_end(State::new([NOW, u64::MAX], &vec![NOW; cpus]), over_one, &limit) {
                let admitted = end.admitted();
                assert_eq!(admitted, tokens.min(cpus as u64), "{cpus} CPUs, {tokens} tokens");
                assert_eq!(end.cells[0], NOW + admitted * COST);
            }
        }
    }
}
