//! `stopbank drops`.

use clap::Args;

use super::{
    output::{Output, bits, short, width},
    table::Table,
};
use crate::{
    control::{
        api::{DropsBy, DropsReport, DropsRow, Flow, Verdict},
        client::Client,
    },
    failure::Failure,
};

/// What is dropped, and why
///
/// `observed` is what `observe` mode passed and `enforce` would have dropped. The busiest come first, totals last.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank drops                     each reason, with its present rate
  stopbank drops --by class          and in which class
  stopbank drops --all               what passed, too")]
pub(super) struct Drops {
    /// What to tell apart
    #[arg(long, value_enum, default_value = "reason")]
    by: DropsBy,
    /// Show what passed as well
    #[arg(long)]
    all: bool,
}

impl Drops {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let by = match self.by {
            DropsBy::Reason => "reason",
            DropsBy::Class => "class",
            DropsBy::Interface => "interface",
            DropsBy::All => "all",
        };
        let mut report: DropsReport = client.get(&format!("/v1/drops?by={by}")).await?;
        if !self.all {
            report.rows.retain(|row| row.verdict != Verdict::Pass);
        }
        report.rows.sort_by(|a, b| {
            let rate = |row: &DropsRow| (row.flow.packets_per_second, row.flow.packets as f64);
            a.verdict.cmp(&b.verdict).then(rate(b).partial_cmp(&rate(a)).unwrap_or(std::cmp::Ordering::Equal))
        });
        output.print(&report, |report| drops_table(report, self.by))
    }
}

/// The rows of a report.
pub(super) fn drops_table(report: &DropsReport, by: DropsBy) -> String {
    if report.rows.is_empty() {
        return "nothing was dropped\n".to_owned();
    }
    let interfaces = matches!(by, DropsBy::Interface | DropsBy::All);
    let classes = matches!(by, DropsBy::Class | DropsBy::All);
    let mut headings = Vec::new();
    headings.extend(interfaces.then_some("INTERFACE"));
    headings.extend(classes.then_some("CLASS"));
    headings.extend(["REASON", "VERDICT", ">PACKETS", ">PACKETS/S", ">RATE", "MEANING"]);
    let mut table = Table::new(&headings);
    for row in &report.rows {
        let mut cells = Vec::new();
        cells.extend(interfaces.then(|| row.interface.clone().unwrap_or_default()));
        cells.extend(classes.then(|| row.class.clone().unwrap_or_default()));
        cells.extend([
            row.reason.clone(),
            row.verdict.name().to_owned(),
            row.flow.packets.to_string(),
            short(row.flow.packets_per_second),
            bits(row.flow.bytes_per_second),
            row.description.clone(),
        ]);
        table.row(cells);
    }
    totals(&mut table, &report.rows, usize::from(interfaces) + usize::from(classes));
    table.show_within(width())
}

/// A row for each verdict that has several: what is dropped in all.
fn totals(table: &mut Table, rows: &[DropsRow], before: usize) {
    for verdict in [Verdict::Drop, Verdict::Observed, Verdict::Pass, Verdict::Reply] {
        let of: Vec<&DropsRow> = rows.iter().filter(|row| row.verdict == verdict).collect();
        if of.len() < 2 {
            continue;
        }
        let sum = |part: fn(&Flow) -> f64| of.iter().map(|row| part(&row.flow)).sum::<f64>();
        let packets: u64 = of.iter().map(|row| row.flow.packets).sum();
        let blank = std::iter::repeat_n(String::new(), before);
        table.row(blank.chain([
            "total".to_owned(),
            verdict.name().to_owned(),
            packets.to_string(),
            short(sum(|flow| flow.packets_per_second)),
            bits(sum(|flow| flow.bytes_per_second)),
            String::new(),
        ]));
    }
}
