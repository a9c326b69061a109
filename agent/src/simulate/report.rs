//! What became of a capture.

use std::collections::BTreeMap;

use serde::Serialize;
use stopbank_common::{Reason, counters::Tally, policy::MAX_CLASSES, reason::REASONS};

use super::clock::Clock;
use crate::{capture::Capture, config::ClassNumbers, control::api::Verdict};

/// What became of a capture: the object that `stopbank simulate -o json` prints.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct Report {
    /// Packets that were judged; the sum of the next four.
    pub packets: u64,
    /// Packets that pass.
    pub passed: u64,
    /// Packets that are dropped.
    pub dropped: u64,
    /// Packets that pass because what would drop them only observes.
    pub observed: u64,
    /// Packets that are answered from the NIC, with SYN cookies.
    pub replied: u64,
    /// Packets by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// What each class met; `none` is what was judged before it had a class.
    pub classes: BTreeMap<String, Flow>,
    /// Reasons with their verdicts, what drops first.
    pub by_reason: Vec<ReasonRow>,
    /// Bytes of the frames that were judged, as long as they were on the wire.
    pub bytes: u64,
    /// Time from the first packet to the last.
    pub duration_seconds: f64,
    /// Packets of which only a part was captured; zeroes stand for the rest.
    pub padded: u64,
    /// Packets longer than what the kernel runs; their end is missing.
    pub shortened: u64,
    /// Packets that the host itself sent: left out, and not among `packets`.
    pub outgoing: u64,
    /// Where the capture came from.
    pub capture: String,
    /// By which configuration.
    pub config: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// What gave packets their time.
    pub rate: String,
    /// What makes this less than the whole truth.
    pub warnings: Vec<String>,
}

/// What a class met.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Flow {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that pass.
    pub passed: u64,
    /// Packets that are dropped.
    pub dropped: u64,
    /// Packets that pass because what would drop them only observes.
    pub observed: u64,
    /// Packets that are answered from the NIC.
    pub replied: u64,
}

/// A reason, and what it did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReasonRow {
    /// Its name.
    pub reason: &'static str,
    /// What it did.
    pub verdict: Verdict,
    /// To how many packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What it means.
    pub description: &'static str,
}

const VERDICTS: [Verdict; 4] = [Verdict::Drop, Verdict::Observed, Verdict::Reply, Verdict::Pass];

/// Counts while packets are judged.
pub(super) struct Tallies {
    by_reason: [[Tally; VERDICTS.len()]; REASONS],
    by_class: [[Tally; VERDICTS.len()]; MAX_CLASSES],
    pub(super) padded: u64,
    /// Padded ones whose headers may be cut.
    pub(super) shallow: u64,
    pub(super) shortened: u64,
    pub(super) outgoing: u64,
}

impl Default for Tallies {
    fn default() -> Self {
        Self {
            by_reason: [[Tally::default(); VERDICTS.len()]; REASONS],
            by_class: [[Tally::default(); VERDICTS.len()]; MAX_CLASSES],
            padded: 0,
            shallow: 0,
            shortened: 0,
            outgoing: 0,
        }
    }
}

impl Tallies {
    pub(super) fn count(&mut self, reason: Reason, verdict: Verdict, class: u8, bytes: u64) {
        let one = Tally { packets: 1, bytes };
        let column = VERDICTS.iter().position(|&candidate| candidate == verdict).unwrap_or(0);
        self.by_reason[reason as usize][column] += one;
        self.by_class[usize::from(class) % MAX_CLASSES][column] += one;
    }

    pub(super) fn report(&self, numbers: &ClassNumbers, clock: &Clock) -> Report {
        let mut report = Report {
            padded: self.padded,
            shortened: self.shortened,
            outgoing: self.outgoing,
            duration_seconds: clock.elapsed_ns() as f64 / 1e9,
            ..Report::default()
        };
        for (column, &verdict) in VERDICTS.iter().enumerate() {
            let first = report.by_reason.len();
            for &reason in Reason::ALL {
                let Tally { packets, bytes } = self.by_reason[reason as usize][column];
                if packets == 0 {
                    continue;
                }
                *report.reasons.entry(reason.name()).or_default() += packets;
                report.packets += packets;
                report.bytes += bytes;
                *report.counter(verdict) += packets;
                let (reason, description) = (reason.name(), reason.description().trim());
                report.by_reason.push(ReasonRow { reason, verdict, packets, bytes, description });
            }
            report.by_reason[first..].sort_by_key(|row| std::cmp::Reverse(row.packets));
        }
        for (number, tallies) in self.by_class.iter().enumerate() {
            let [dropped, observed, replied, passed] = tallies.map(|tally| tally.packets);
            let packets = dropped + observed + replied + passed;
            if packets > 0 {
                let bytes = tallies.iter().map(|tally| tally.bytes).sum();
                let flow = Flow { packets, bytes, passed, dropped, observed, replied };
                report.classes.insert(numbers.name(number as u8).to_owned(), flow);
            }
        }
        report
    }
}

impl Report {
    fn counter(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Drop => &mut self.dropped,
            Verdict::Observed => &mut self.observed,
            Verdict::Reply => &mut self.replied,
            Verdict::Pass => &mut self.passed,
        }
    }

    /// Says what makes the report less than the whole truth.
    pub(super) fn warn(&mut self, capture: &Capture<'_>, tallies: &Tallies, clock: &Clock) {
        if let Some(offset) = capture.truncated() {
            self.warnings
                .push(format!("the capture ends in the middle of a record, which begins at byte {offset}"));
        }
        if self.packets == 0 {
            self.warnings.push("the capture holds no packet to judge".to_owned());
        }
        let mut warn = |count: u64, what: &str| {
            if count > 0 {
                let packets = if count == 1 { "packet" } else { "packets" };
                self.warnings.push(format!("{count} {packets} {what}"));
            }
        };
        warn(tallies.padded, "not captured whole: zeroes stand for what is missing");
        warn(
            tallies.shallow,
            "captured so short that headers may be missing, and what is missing may be misjudged: capture at least 128 bytes of each",
        );
        warn(tallies.shortened, "longer than what the kernel runs: judged without their end");
        warn(tallies.outgoing, "that the host itself sent left out: the program never meets them");
        warn(clock.backwards, "older than the one before: taken to come at the same time");
        warn(clock.untimed, "without a time: taken to come with the one before (--rate gives them one)");
        warn(clock.beyond, "more than ten years after the first: taken to come at the end of these");
        warn(capture.obsolete(), "in obsolete packet blocks left out: `editcap` writes them anew");
    }
}
