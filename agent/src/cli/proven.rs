//! `stopbank proven`.

use std::time::Duration;

use clap::Subcommand;
use hyper::Method;

use super::{
    lists::read_lines,
    output::{Output, entries, span},
    table::Table,
};
use crate::{
    control::{
        api::{ProveRequest, Proved, ProvenReport, UnproveRequest, Unproved},
        client::Client,
    },
    failure::Failure,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  stopbank proven add 198.51.100.7 --for 1h
  stopbank proven add - --for 1h < customers.txt        one a line; # begins a comment
  stopbank proven rm 198.51.100.7
  stopbank proven ls -o json

Where a class's total has a `proven` part, these are served from it when the rest is spent, and they are not held to what
their neighbours in a wider prefix do. Their own limits hold. At most 65,536, each as wide as one source is ([source]).";

#[derive(Subcommand, Debug)]
pub(super) enum ProvenCommand {
    /// Take sources as proven: all of them, or with any error none
    Add {
        /// Addresses; `-` reads them from stdin, one a line
        #[arg(required = true, value_name = "ADDRESS")]
        sources: Vec<String>,
        /// How long, `90s`, `10m`, `2h` or `1day` for instance; left out: until it is taken back
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        time: Option<Duration>,
    },
    /// Take proofs back: all of them, or with any error none
    Rm {
        /// Addresses; `-` reads them from stdin, one a line
        #[arg(required = true, value_name = "ADDRESS")]
        sources: Vec<String>,
    },
    /// Show who is proven, and for how long
    #[command(alias = "list")]
    Ls,
}

impl ProvenCommand {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        const PATH: &str = "/v1/proven";
        match self {
            Self::Add { sources, time } => {
                let request = ProveRequest {
                    sources: read_lines(&sources)?,
                    for_seconds: time.map(|time| time.as_secs_f64()),
                };
                let proved: Proved = client.send(Method::POST, PATH, &request).await?;
                output.print(&proved, |proved| {
                    let renewed = match proved.renewed {
                        0 => String::new(),
                        some => format!(", {} renewed", entries(some)),
                    };
                    format!("proven: {} added{renewed}\n", entries(proved.added))
                })
            }
            Self::Rm { sources } => {
                let request = UnproveRequest { sources: read_lines(&sources)? };
                let unproved: Unproved = client.send(Method::DELETE, PATH, &request).await?;
                output.print(&unproved, |unproved| format!("proven: {} removed\n", entries(unproved.removed)))
            }
            Self::Ls => {
                let report: ProvenReport = client.get(PATH).await?;
                output.print(&report, table)
            }
        }
    }
}

fn table(report: &ProvenReport) -> String {
    if report.sources.is_empty() {
        return "nobody is proven\n".to_owned();
    }
    let mut table = Table::new(&["SOURCE", "EXPIRES"]);
    for source in &report.sources {
        let expires = source.expires_in_seconds;
        let expires = expires.map_or_else(|| "never".to_owned(), |left| format!("in {}", span(left)));
        table.row([source.source.clone(), expires]);
    }
    format!("{}{} of {} places taken\n", table.show(), report.sources.len(), report.capacity)
}
