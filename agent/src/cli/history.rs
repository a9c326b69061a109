//! `stopbank ban history` and `stopbank allow history`.

use clap::Args;

use super::{
    output::{Output, span},
    table::Table,
};
use crate::{
    control::{
        api::{HistoryEntry, HistoryReport},
        client::Client,
    },
    failure::{Code, Failure},
    lists::{ListName, parse_prefix},
};

/// Prefixes that a line of the table names.
const SHOWN: usize = 3;

/// Show what was done to the list, when, by whom and why
///
/// The newest comes first. The agent remembers the latest 2048 changes to both lists, through restarts and reboots; of a
/// change with more than 64 entries the first 64 by name, the rest as a number.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank ban history                                  the latest 20 changes
  stopbank ban history 198.51.100.7                     what happened to this address
  stopbank allow history -n 2048 -o json                all that is remembered")]
pub(super) struct History {
    /// Only changes to this address or prefix, to what contains it, or to what is within
    #[arg(value_name = "CIDR")]
    prefix: Option<String>,
    /// At most so many changes
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

impl History {
    pub(super) async fn run(self, list: ListName, client: &Client, output: Output) -> Result<(), Failure> {
        let prefix = self.prefix.as_deref().map(parse_prefix).transpose();
        let prefix = prefix.map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
        let of = prefix.map(|prefix| format!("&prefix={prefix}")).unwrap_or_default();
        let path = format!("/v1/lists/{}/history?limit={}{of}", list.name(), self.limit);
        let report: HistoryReport = client.get(&path).await?;
        output.print(&report, |report| {
            if report.events.is_empty() {
                return format!("nothing that is remembered was done to the {} list\n", list.name());
            }
            table(report)
        })
    }
}

fn table(report: &HistoryReport) -> String {
    let mut table = Table::new(&["TIME", "ACTION", "ENTRIES", "FOR", "BY", "REASON"]);
    for event in &report.events {
        table.row([
            seconds(&event.time),
            event.action.name().to_owned(),
            entries(event),
            length(event),
            by(event),
            event.reason.clone().unwrap_or_default(),
        ]);
    }
    table.show()
}

/// A time without its milliseconds.
pub(super) fn seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

fn entries(event: &HistoryEntry) -> String {
    let mut text = event.prefixes.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(" ");
    let more = event.count.saturating_sub(event.prefixes.len().min(SHOWN) as u64);
    if more > 0 {
        text.push_str(&format!(" … and {more} more"));
    }
    text
}

/// For how long entries were added.
fn length(event: &HistoryEntry) -> String {
    let time = |text: &str| humantime::parse_rfc3339(text).ok();
    let Some(until) = event.expires.as_deref().and_then(time) else { return "-".to_owned() };
    let whole = time(&event.time).and_then(|at| until.duration_since(at).ok());
    // They were told a moment apart.
    whole.map_or_else(|| "-".to_owned(), |whole| span((whole.as_secs_f64() + 0.5).floor()))
}

fn by(event: &HistoryEntry) -> String {
    match (event.uid, event.session) {
        (Some(uid), Some(session)) => format!("uid {uid} from {session}"),
        (Some(uid), None) => format!("uid {uid}"),
        (None, _) => "-".to_owned(),
    }
}
