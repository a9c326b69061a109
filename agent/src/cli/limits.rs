//! `stopbank limit`.

use clap::Subcommand;

use super::{output::Output, table::Table};
use crate::{
    config::{Quantity, show_amount},
    control::{api::LimitsReport, client::Client},
    failure::Failure,
};

#[derive(Subcommand, Debug)]
pub(super) enum LimitCommand {
    /// Show what each class claims, and its limits
    #[command(alias = "list")]
    Ls,
}

impl LimitCommand {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let Self::Ls = self;
        let report: LimitsReport = client.get("/v1/limits").await?;
        output.print(&report, table)
    }
}

fn table(report: &LimitsReport) -> String {
    let mut table = Table::new(&["CLASS", "CLAIMS", "SCOPE", "COUNTS", ">RATE", ">BURST"]);
    for class in &report.classes {
        let row = |scope: &str, counts: &str, rate: &str, burst: String| {
            [&class.name, &class.claims, scope, counts, rate].map(str::to_owned).into_iter().chain([burst])
        };
        if class.limits.is_empty() {
            let what = if class.closed { "closed: all of it is dropped" } else { "no limits" };
            table.row(row(what, "", "", String::new()));
        }
        for limit in &class.limits {
            let scope = if limit.scope == "per_source" { "each source" } else { "all together" };
            let quantity = if limit.counts == "bytes" { Quantity::Bytes } else { Quantity::Count };
            table.row(row(scope, &limit.counts, &limit.rate, show_amount(limit.burst, quantity)));
        }
    }
    table.show()
}
