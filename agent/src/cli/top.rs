//! `stopbank top`: who is dropped most, refreshed.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, stdout},
    time::Duration,
};

use clap::Args;

use super::{
    output::{Output, bits, print, short, span},
    table::Table,
};
use crate::{
    control::{
        api::{Flow, TopReport},
        client::Client,
    },
    failure::Failure,
};

/// The sources that are dropped most, refreshed until interrupted
///
/// Sources are found among sampled drops; their rates are estimates. Counts of packets are exact.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank top                       refresh every 2 seconds
  stopbank top --once -o json        once, for a script")]
pub(super) struct Top {
    /// Print once and end; that is also what happens where stdout is no terminal
    #[arg(long)]
    once: bool,
    /// Time between two looks
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration, value_name = "TIME")]
    interval: Duration,
    /// How many sources at most
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

/// Moves to the upper left, and clears from there.
const CLEAR: &str = "\x1b[H\x1b[2J";

impl Top {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let path = format!("/v1/top?limit={}", self.limit);
        let live = !self.once && output == Output::Table && stdout().is_terminal();
        loop {
            let report: TopReport = client.get(&path).await?;
            if !live {
                return output.print(&report, table);
            }
            print(&format!("{CLEAR}{}", table(&report)))?;
            tokio::time::sleep(self.interval.max(Duration::from_millis(100))).await;
        }
    }
}

fn table(report: &TopReport) -> String {
    let mut text = String::new();
    let flow = |flow: &Flow| format!("{}/s, {}", short(flow.packets_per_second), bits(flow.bytes_per_second));
    let traffic = &report.traffic;
    let _ = writeln!(
        text,
        "passed {}   dropped {}   observed {}\n",
        flow(&traffic.passed),
        flow(&traffic.dropped),
        flow(&traffic.observed)
    );
    if report.sources.is_empty() {
        text.push_str("no drops were sampled\n");
        return text;
    }
    let mut table =
        Table::new(&["SOURCE", ">SHARE", ">PACKETS/S", "REASON", "CLASS", "INTERFACE", ">LAST SEEN"]);
    for source in &report.sources {
        table.row([
            source.source.to_string(),
            format!("{:.1} %", source.share * 100.0),
            short(source.packets_per_second),
            source.reason.clone(),
            source.class.clone(),
            source.interface.clone(),
            format!("{} ago", span(source.last_seen_seconds)),
        ]);
    }
    text.push_str(&table.show());
    text
}
