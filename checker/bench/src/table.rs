//! Rows, and what is promised of them.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use crate::{
    load::Outcome,
    requests::Kind,
    subjects::{OURS, PEER, PLAIN, Spent},
};

/// What was measured of one subject in one case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) subject: &'static str,
    pub(crate) requests_per_s: f64,
    /// User and system time of the subject.
    pub(crate) cpu_us_per_request: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Of the CPU time, that of the checker which the subject asks.
    #[serde(skip)]
    pub(crate) asked_us: f64,
}

impl Row {
    /// Of the latencies `times`, which are put in order.
    pub(crate) fn new(
        case: String,
        subject: &'static str,
        requests_per_s: f64,
        cpu_us_per_request: f64,
        times: &mut [Duration],
    ) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let index = (times.len() as f64 * share) as usize;
            times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        Self {
            case,
            subject,
            requests_per_s,
            cpu_us_per_request,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            asked_us: 0.0,
        }
    }

    /// Of the rounds of one subject: for each figure its median, so that a round in which the machine did something else says nothing.
    pub(crate) fn of_rounds(case: &str, subject: &'static str, rounds: Vec<(Outcome, Spent)>) -> Self {
        let rows = rounds.into_iter().map(|(mut outcome, spent)| {
            let asked = outcome.latencies.len().max(1) as f64;
            let rate = outcome.latencies.len() as f64 / outcome.took.as_secs_f64();
            let each = |time: Duration| time.as_secs_f64() * 1e6 / asked;
            let times = &mut outcome.latencies;
            let row = Self::new(case.to_owned(), subject, rate, each(spent.all), times);
            Self { asked_us: each(spent.asked), ..row }
        });
        let rows: Vec<Self> = rows.collect();
        let median = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<f64> = rows.iter().map(figure).collect();
            figures.sort_unstable_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or(0.0)
        };
        Self {
            case: case.to_owned(),
            subject,
            requests_per_s: median(|row| row.requests_per_s),
            cpu_us_per_request: median(|row| row.cpu_us_per_request),
            p50_ms: median(|row| row.p50_ms),
            p99_ms: median(|row| row.p99_ms),
            asked_us: median(|row| row.asked_us),
        }
    }
}

/// What a case under saturation is called.
pub(crate) fn saturated(kind: Kind) -> String {
    format!("proxy-{}", kind.name())
}

/// What a case at a constant rate is called.
pub(crate) fn steady(kind: Kind) -> String {
    format!("proxy-{}-steady", kind.name())
}

/// As people read it. The last column is what one processor that does nothing else has room for.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = format!(
        "| {:<26} | {:<22} | {:>10} | {:>14} | {:>8} | {:>8} | {:>10} |\n|{:-<28}|{:-<24}|{:->12}|{:->16}|{:->10}|{:->10}|{:->12}|\n",
        "case",
        "subject",
        "requests/s",
        "CPU µs/request",
        "p50 ms",
        "p99 ms",
        "CPU allows",
        "",
        "",
        ":",
        ":",
        ":",
        ":",
        ":"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {:<26} | {:<22} | {:>10.0} | {:>14.1} | {:>8.3} | {:>8.3} | {:>10.0} |",
            row.case,
            row.subject,
            row.requests_per_s,
            row.cpu_us_per_request,
            row.p50_ms,
            row.p99_ms,
            1e6 / row.cpu_us_per_request
        );
    }
    text
}

/// What one subject adds to the other, case by case.
pub(crate) fn added(rows: &[Row], one: &str, other: &str) -> Vec<String> {
    let both = rows.iter().filter(|row| row.subject == one).filter_map(|row| {
        let plain = rows.iter().find(|plain| plain.subject == other && plain.case == row.case);
        plain.map(|plain| (row, plain))
    });
    let line = |(row, plain): (&Row, &Row)| {
        let of_it = if row.asked_us > 0.0 {
            format!(" (the checker's own: {:.1})", row.asked_us)
        } else {
            String::new()
        };
        format!(
            "{}: {one} serves {:.0} % of the requests of {other}, and adds {:.3} ms at the median, {:.3} ms at p99 and {:.1} µs of CPU time{of_it}",
            row.case,
            100.0 * row.requests_per_s / plain.requests_per_s,
            row.p50_ms - plain.p50_ms,
            row.p99_ms - plain.p99_ms,
            row.cpu_us_per_request - plain.cpu_us_per_request
        )
    };
    both.map(line).collect()
}

/// What is promised, with what was measured, and whether it holds.
pub(crate) fn promises(rows: &[Row]) -> Vec<(String, bool)> {
    let find = |case: &str, subject: &str| rows.iter().find(|row| row.case == case && row.subject == subject);
    let mut promises = Vec::new();
    if let Some(row) = find("check-post-json-1k", OURS) {
        let median = row.p50_ms * 1e3;
        promises.push((
            format!("a POST of 1 KiB JSON, in process: {median:.1} µs at the median (at most 40)"),
            median <= 40.0,
        ));
    }
    for kind in Kind::PLAIN {
        let (case, name) = (saturated(kind), kind.name());
        let subjects = (find(&case, OURS), find(&case, PLAIN), find(&case, PEER));
        if let (Some(ours), Some(plain), Some(peer)) = subjects {
            let times = ours.requests_per_s / peer.requests_per_s;
            let spent = peer.cpu_us_per_request / ours.cpu_us_per_request;
            promises.push((
                format!(
                    "{name}: {times:.1} times the requests of {PEER} (at least 20; by CPU time {spent:.1})"
                ),
                times >= 20.0,
            ));
            let share = 100.0 * ours.requests_per_s / plain.requests_per_s;
            let spent = 100.0 * plain.cpu_us_per_request / ours.cpu_us_per_request;
            promises.push((
                format!(
                    "{name}: {share:.0} % of the requests of plain {PLAIN} (at least 40; by CPU time {spent:.0})"
                ),
                share >= 40.0,
            ));
        }
        let case = steady(kind);
        if let (Some(ours), Some(plain)) = (find(&case, OURS), find(&case, PLAIN)) {
            let added = ours.p99_ms - plain.p99_ms;
            let rate = ours.requests_per_s;
            promises.push((
                format!(
                    "{name} at {rate:.0} a second: p99 {added:+.3} ms beside plain {PLAIN} (at most 1 ms added)"
                ),
                added <= 1.0,
            ));
        }
    }
    promises
}
