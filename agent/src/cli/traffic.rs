//! `stopbank drops` and `stopbank events`.

use clap::Args;

use super::{
    output::{Output, bits, short},
    table::Table,
};
use crate::{
    control::{
        api::{DropsBy, DropsReport, DropsRow, EventsReport, Verdict},
        client::Client,
    },
    failure::Failure,
};

/// What is dropped, and why
///
/// `observed` is what `observe` mode passed and `enforce` would have dropped.
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
    table.show()
}

/// The latest drops, as the kernel samples them
#[derive(Args, Debug)]
pub(super) struct Events {
    /// How many at most
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

impl Events {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let report: EventsReport = client.get(&format!("/v1/events?limit={}", self.limit)).await?;
        output.print(&report, |report| {
            let mut table = Table::new(&[
                "TIME",
                "INTERFACE",
                "SOURCE",
                "DESTINATION",
                ">PROTO",
                ">BYTES",
                "CLASS",
                "REASON",
                "VERDICT",
            ]);
            for event in &report.events {
                let end = |address: &std::net::IpAddr, port: u16| match port {
                    0 => address.to_string(),
                    port => std::net::SocketAddr::new(*address, port).to_string(),
                };
                table.row([
                    event.time.clone(),
                    event.interface.clone(),
                    end(&event.source, event.source_port),
                    end(&event.destination, event.destination_port),
                    event.protocol.to_string(),
                    event.length.to_string(),
                    event.class.clone(),
                    event.reason.clone(),
                    event.verdict.name().to_owned(),
                ]);
            }
            table.show()
        })
    }
}
