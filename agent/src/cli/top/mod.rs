//! `stopbank top`: who is dropped most, and what can be done about it at once.
//!
//! [`app`] is what the screen knows and how it takes keys and news, [`draw`] what it looks like, [`live`] where both meet the
//! terminal and the agent. The first two touch neither, so that tests can.

mod app;
mod ask;
mod draw;
mod front;
mod incidents;
mod live;
mod sources;
#[cfg(test)]
mod tests;

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, stdout},
    time::Duration,
};

use clap::Args;

use super::{
    output::{Output, bits, short, span},
    table::Table,
};
use crate::{
    control::{
        api::{Flow, TopReport},
        client::Client,
    },
    failure::Failure,
};

/// A screen of what is dropped, why and from whom, with keys to ban and to allow a source
///
/// Sources are found among sampled drops; their rates are estimates. Counts of packets are exact. The screen goes on
/// while the agent is restarted. Nothing is changed without a question first.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank top                       the screen, refreshed every second
  stopbank top --interval 5s         over a slow line
  stopbank top --once                a plain report, once
  stopbank top --once -o json        the same for a script

Keys: up, down, j, k select a source; b bans it, a allows it, m changes the mode; / filters, s sorts by the next column,
r reverses, p pauses, ? helps, q quits. NO_COLOR is heeded. Where stdout is no terminal, there is one plain report.")]
pub(super) struct Top {
    /// Print a plain report once and end; that is also what happens where stdout is no terminal
    #[arg(long)]
    once: bool,
    /// Time between two looks
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration, value_name = "TIME")]
    interval: Duration,
    /// How many sources at most [default: 20; on the screen 200]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(100);

impl Top {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        if self.once || dumb || output != Output::Table || !stdout().is_terminal() {
            let report: TopReport =
                client.get(&format!("/v1/top?limit={}", self.limit.unwrap_or(20))).await?;
            return output.print(&report, table);
        }
        live::run(client, self.interval.max(SHORTEST), self.limit.unwrap_or(200)).await
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
