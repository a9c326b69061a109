//! What happened while the screen was open, in a line each.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use super::super::output::{short, span};
use crate::control::{
    api::{DropsReport, Status, Verdict},
    problems::problems,
};

/// Lines that are kept.
const KEPT: usize = 100;
/// Packets a second, dropped or observed, from which on drops are worth a line.
const LOUD: f64 = 1_000.0;
/// Below this they have ended; well below, so that a rate around [`LOUD`] is one incident.
const QUIET: f64 = 100.0;

/// Lines, the oldest first, and what the next ones are told by.
#[derive(Debug, Default)]
pub(super) struct Incidents {
    lines: VecDeque<(SystemTime, String)>,
    /// When drops became loud, and what had been dropped until then.
    loud: Option<(Instant, u64)>,
    pid: Option<u32>,
    mode: Option<&'static str>,
    problems: Option<BTreeSet<String>>,
}

impl Incidents {
    /// The latest lines, the newest last.
    pub(super) fn latest(&self, most: usize) -> impl Iterator<Item = &(SystemTime, String)> {
        self.lines.iter().skip(self.lines.len().saturating_sub(most))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Takes a line.
    pub(super) fn add(&mut self, clock: SystemTime, line: String) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back((clock, line));
    }

    /// Compares what is told now with what was told before.
    pub(super) fn compare(&mut self, status: &Status, drops: &DropsReport, now: Instant, clock: SystemTime) {
        if self.pid.replace(status.pid).is_some_and(|before| before != status.pid) {
            self.add(clock, format!("another agent answers: process {}", status.pid));
        }
        let mode = status.mode.name();
        if self.mode.replace(mode).is_some_and(|before| before != mode) {
            self.add(clock, format!("the mode is {mode} now"));
        }
        self.problems(status, clock);
        self.drops(drops, now, clock);
    }

    fn problems(&mut self, status: &Status, clock: SystemTime) {
        let now: BTreeSet<String> = problems(status).iter().map(ToString::to_string).collect();
        // Those that were there when the screen opened stand in the line above.
        if let Some(before) = self.problems.replace(now.clone()) {
            for problem in now.difference(&before) {
                self.add(clock, problem.clone());
            }
            for problem in before.difference(&now) {
                self.add(clock, format!("over: {problem}"));
            }
        }
    }

    fn drops(&mut self, drops: &DropsReport, now: Instant, clock: SystemTime) {
        let (dropped, observed) = (&drops.traffic.dropped, &drops.traffic.observed);
        let rate = dropped.packets_per_second + observed.packets_per_second;
        let packets = dropped.packets + observed.packets;
        match self.loud {
            None if rate >= LOUD => {
                self.loud = Some((now, packets));
                self.add(clock, format!("drops began: {}/s{}", short(rate), most(drops)));
            }
            Some((since, before)) if rate < QUIET => {
                self.loud = None;
                let took =
                    span(now.saturating_duration_since(since).max(Duration::from_secs(1)).as_secs_f64());
                let packets = short(packets.saturating_sub(before) as f64);
                self.add(clock, format!("drops ended after {took}: {packets} packets"));
            }
            _ => {}
        }
    }
}

/// Under which reason and in which class most is dropped.
fn most(drops: &DropsReport) -> String {
    let bad = drops.rows.iter().filter(|row| matches!(row.verdict, Verdict::Drop | Verdict::Observed));
    let most = bad.max_by(|a, b| a.flow.packets_per_second.total_cmp(&b.flow.packets_per_second));
    most.map_or_else(String::new, |row| {
        let class = row.class.as_deref().map(|class| format!(" in class {class}"));
        format!(", most of them {}{}", row.reason, class.unwrap_or_default())
    })
}
