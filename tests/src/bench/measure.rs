//! Turns, rounds and medians.

use anyhow::{Result, ensure};
use stopbank_tests::interrupt;

use crate::{
    memory::Memory,
    packets::{Packet, Sources},
    programs::{Program, Programs, Turn},
};

/// What is run.
pub(crate) struct Plan<'a> {
    pub(crate) packets: &'a [Packet],
    pub(crate) sources: &'a [Sources],
    pub(crate) rounds: usize,
    /// Packets in a turn.
    pub(crate) repeat: u32,
}

/// What came of one program under one packet and number of sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) packet: Packet,
    pub(crate) sources: Sources,
    pub(crate) program: Program,
    /// Median, nanoseconds per packet.
    pub(crate) ns: f64,
    /// The same, less the empty program's.
    pub(crate) net_ns: f64,
    /// Distance of the quartiles, nanoseconds: how much the rounds differ.
    pub(crate) spread: f64,
    /// How much was dropped, in the median, where that was counted: 0 to 1.
    pub(crate) dropped: Option<f64>,
}

/// Packets in a turn that is not counted, at least: twice as many as the LRU limiter remembers, so that what is measured is
/// the state in which a flood keeps it.
const WARM_UP: u32 = 2 << 20;

/// The LRU limiter, which takes as long for that as all others together, has a turn in one of so many rounds.
const LRU_TURNS: usize = 5;

/// Everything, in turns. One round before the others is not counted: it fills caches, tables and maps.
///
/// In each round every program meets every number of sources, so that ratios between them are of the same minutes too:
/// a virtual machine is at times half as fast as at others.
pub(crate) fn run(load: impl Fn() -> Result<Programs>, plan: &Plan<'_>) -> Result<(Vec<Outcome>, Memory)> {
    let (mut outcomes, mut memory) = (Vec::new(), Memory::new());
    for &packet in plan.packets {
        let mut programs = load()?;
        memory = programs.memory();
        eprintln!("{packet}: {} rounds of {} packets", plan.rounds, plan.repeat);
        outcomes.extend(measure(&mut programs, packet, plan)?);
        let after = programs.memory();
        ensure!(memory == after, "the memory of maps changed: {memory:?}, then {after:?}");
    }
    Ok((outcomes, memory))
}

fn measure(programs: &mut Programs, packet: Packet, plan: &Plan<'_>) -> Result<Vec<Outcome>> {
    let all = programs.all();
    // By number of sources, then by program.
    let mut turns = vec![vec![Vec::new(); all.len()]; plan.sources.len()];
    for round in 0..=plan.rounds {
        for (&sources, turns) in plan.sources.iter().zip(&mut turns) {
            interrupt::check()?;
            for i in 0..all.len() {
                // Another one begins each round, so that nobody always comes after the same one.
                let i = (i + round) % all.len();
                if all[i] == Program::LruLimiter {
                    if round % LRU_TURNS != 1 {
                        continue;
                    }
                    // What other sources left in its map is forgotten: it costs twice as much where it must evict.
                    programs.turn(all[i], packet, sources, WARM_UP)?;
                }
                let turn = programs.turn(all[i], packet, sources, plan.repeat)?;
                if round > 0 {
                    turns[i].push(turn);
                }
            }
        }
    }
    let by_sources = plan.sources.iter().zip(&turns);
    Ok(by_sources.flat_map(|(&sources, turns)| outcomes(packet, sources, &all, turns)).collect())
}

/// Medians of the turns that each program had.
fn outcomes(packet: Packet, sources: Sources, all: &[Program], turns: &[Vec<Turn>]) -> Vec<Outcome> {
    let times = |i: usize| turns[i].iter().map(|turn| turn.ns).collect::<Vec<_>>();
    let empty = all.iter().position(|one| *one == Program::Empty).map_or(0.0, |i| median(times(i)));
    let outcome = |(i, &program): (usize, &Program)| {
        let ns = median(times(i));
        let dropped: Option<Vec<f64>> = turns[i].iter().map(|turn| turn.dropped).collect();
        Outcome {
            packet,
            sources,
            program,
            ns,
            net_ns: ns - empty,
            spread: quantile(times(i), 0.75) - quantile(times(i), 0.25),
            dropped: dropped.map(median),
        }
    };
    all.iter().enumerate().map(outcome).collect()
}

pub(crate) fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// Between the two nearest values where it falls between them; 0 of no values.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let at = share * last as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_need_no_order() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
        assert!((quantile(vec![5.0, 1.0, 4.0, 2.0, 3.0], 0.25) - 2.0).abs() < 1e-9);
        assert!(median(Vec::new()).abs() < 1e-9);
    }
}
