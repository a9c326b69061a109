//! What the demo shows as it happens.

use std::io::Write;

use anyhow::Result;

use super::{
    Options, REQUESTS,
    attack::ATTACKS,
    report::{Flood, Legit, Phase, Report, Side},
};

/// Where people read.
pub(super) struct Screen<'o> {
    out: &'o mut dyn Write,
}

/// A line of the live table.
pub(super) struct Row<'d> {
    /// Second of the phase; 0: all of it.
    pub(super) second: u32,
    /// What came in during it.
    pub(super) flood: Flood,
    /// How long it was.
    pub(super) seconds: f64,
    /// What the agent dropped, by reason.
    pub(super) drops: &'d [(&'d str, u64)],
    /// Requests that ended in it.
    pub(super) legit: Legit,
}

impl<'o> Screen<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Self { out }
    }

    pub(super) fn opening(&mut self, options: Options) -> Result<()> {
        let Options { seconds, rate } = options;
        writeln!(
            self.out,
            "A web server and its client ({REQUESTS} requests a second, every other one over a new connection), flooded\n\
             with {} packets a second by one CPU: {} floods of {seconds} s, each unprotected and then protected by the agent.",
            short(rate as f64),
            ATTACKS.len(),
        )?;
        Ok(())
    }

    pub(super) fn phase(&mut self, title: &str) -> Result<()> {
        writeln!(
            self.out,
            "\n{title}\n  {:>4} {:>9} {:>9} {:>9} {:>9}   {:<13} {:>8} {:>8}  dropped because",
            "s", "in/s", "lost/s", "dropped/s", "passed/s", "client served", "p50 ms", "p99 ms"
        )?;
        Ok(())
    }

    pub(super) fn row(&mut self, row: &Row<'_>) -> Result<()> {
        let Row { flood, legit, .. } = row;
        let second = if row.second == 0 { "all".to_owned() } else { row.second.to_string() };
        let rate = |packets: u64| short(packets as f64 / row.seconds);
        writeln!(
            self.out,
            "  {second:>4} {:>9} {:>9} {:>9} {:>9}   {:>5}/{:<7} {:>8.1} {:>8.1}  {}",
            rate(flood.sent),
            rate(flood.lost),
            rate(flood.dropped),
            rate(flood.passed),
            legit.succeeded,
            legit.attempted,
            legit.p50_ms,
            legit.p99_ms,
            reasons(row.drops),
        )?;
        self.out.flush()?;
        Ok(())
    }

    pub(super) fn summary(&mut self, report: &Report) -> Result<()> {
        writeln!(
            self.out,
            "\nflood                          unprotected: client served   p99 ms   protected: client served   p99 ms   beyond limits dropped"
        )?;
        for pair in report.phases.chunks_exact(2) {
            let [without, with] = pair else { continue };
            writeln!(
                self.out,
                "{:<38} {:>16} {:>8.1} {:>26} {:>8.1} {:>23}",
                with.attack,
                part(without.legit.success()),
                without.legit.p99_ms,
                part(with.legit.success()),
                with.legit.p99_ms,
                part(with.beyond_limits_dropped),
            )?;
        }
        let summary = &report.summary;
        let Legit { p50_ms, p99_ms, .. } = report.baseline;
        writeln!(
            self.out,
            "\nno flood:    {} served, p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms",
            part(report.baseline.success())
        )?;
        self.side("unprotected", &summary.unprotected)?;
        self.side("protected", &summary.protected)?;
        for Phase { name, received, judged, .. } in report.phases.iter().filter(|phase| phase.protected) {
            if received.abs_diff(*judged) > received / 1000 + 100 {
                writeln!(
                    self.out,
                    "note: {name}: the interface received {received} packets, the agent counted {judged}"
                )?;
            }
        }
        let verdict = if summary.held { "It held" } else { "It did not hold" };
        writeln!(
            self.out,
            "{verdict}: at least 99 % of each flood beyond the limits dropped, and 99.5 % of the client's requests served, is asked for."
        )?;
        Ok(())
    }

    fn side(&mut self, name: &str, side: &Side) -> Result<()> {
        let Flood { sent, lost, dropped, passed, .. } = side.flood;
        writeln!(
            self.out,
            "{:<12} {} served, worst phase {}; of {} packets {} lost in the receive queue, {} dropped, {} passed",
            format!("{name}:"),
            part(side.success),
            part(side.worst_success),
            short(sent as f64),
            short(lost as f64),
            short(dropped as f64),
            short(passed as f64),
        )?;
        Ok(())
    }
}

/// A number of packets in four digits at most.
fn short(number: f64) -> String {
    match number {
        1e6.. => format!("{:.2} M", number / 1e6),
        1e3.. => format!("{:.1} k", number / 1e3),
        _ => format!("{number:.0}"),
    }
}

/// Never rounded up to all: 99.96 % is not 100 %.
fn part(part: f64) -> String {
    format!("{:.2} %", (part * 10_000.0).floor() / 100.0)
}

/// The reasons, most first, and how much of the drops each is.
fn reasons(drops: &[(&str, u64)]) -> String {
    let all: u64 = drops.iter().map(|(_, packets)| packets).sum();
    let mut drops = drops.to_vec();
    drops.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
    let named: Vec<String> = drops
        .iter()
        .map(|(reason, packets)| format!("{reason} {}", part(*packets as f64 / all as f64)))
        .collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_parts_are_not_rounded_up() {
        assert_eq!(["0", "999", "1.5 k", "2.00 M"].map(str::to_owned), [0.0, 999.0, 1500.0, 2e6].map(short));
        assert_eq!((part(0.99996), part(1.0)), ("99.99 %".to_owned(), "100.00 %".to_owned()));
        assert_eq!(reasons(&[("ban", 1), ("source-packets", 3)]), "source-packets 75.00 %, ban 25.00 %");
        assert_eq!(reasons(&[]), "");
    }
}
