//! Restarts, upgrades and reloads under two floods and with a client: whether anything is noticed of them.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use anyhow::Result;
use serde_json::to_value;
use stopbank_tests::gaps::{Case, Load, Noticed, notice};

use crate::{
    features::Config,
    rows::{Section, row},
};

/// Frames a second of either flood.
const PACE: u64 = 50_000;
/// How long the client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Prefixes of the list file that is replaced.
const PREFIXES: u32 = 1_000_000;

pub(crate) fn run(times: u32, earlier: Option<PathBuf>) -> Result<Section> {
    let load = Load { pace: PACE, times, prefixes: PREFIXES, timeout: TIMEOUT, earlier };
    let mut all = Vec::new();
    for case in Case::ALL.into_iter().chain([Case::Detach]) {
        eprintln!("gaps: {}", case.name());
        all.push((case, notice(case, &load)?));
    }
    let mut section = Section { markdown: markdown(&all), rows: Vec::new() };
    for (_, noticed) in &all {
        section.rows.push(row("gaps", Config::Default, to_value(noticed)?));
    }
    Ok(section)
}

fn markdown(all: &[(Case, Noticed)]) -> String {
    let mut text = format!(
        "\n## No gap\n\nTwo floods of {PACE} packets a second each, from one source and from random ones, and a client with 100 requests a \
         second, while something happens to the agent. Allowed: rate × time + burst of both limits. What came through is \
         counted behind the program, by nftables.\n\n\
         | what | times | s | arrived | came through | allowed | beyond | requests | failed |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for (_, Noticed { case, times, seconds, arrived, passed, allowed, beyond, requests, failed }) in all {
        let _ = writeln!(
            text,
            "| {case} | {times} | {seconds:.1} | {arrived} | {passed} | {allowed} | {beyond} | {requests} | {failed} |"
        );
    }
    text += "\nFigures to keep:\n\n";
    let kept = all.iter().filter(|(case, _)| *case != Case::Detach);
    let (beyond, failed) = kept
        .fold((0, 0), |(beyond, failed), (_, noticed)| (beyond + noticed.beyond, failed + noticed.failed));
    for (what, found) in [("flood packets beyond the limits", beyond), ("requests that failed", failed)] {
        let verdict = if found == 0 { "pass" } else { "MISS" };
        let _ = writeln!(text, "- {what}: at most 0, found {found}: **{verdict}**");
    }
    text
}
