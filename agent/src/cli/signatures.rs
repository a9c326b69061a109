//! `stopbank signatures`.

use clap::Args;

use super::{output::Output, table::Table};
use crate::{
    control::{
        api::{Matched, SignaturesReport, Verdict},
        client::Client,
    },
    failure::Failure,
};

/// What each signature of the configuration (`[[signature]]`) has matched
///
/// Counts stay with a signature's name through reloads and restarts.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank signatures
  stopbank signatures -o json")]
pub(super) struct Signatures {}

impl Signatures {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let report: SignaturesReport = client.get("/v1/signatures").await?;
        output.print(&report, table)
    }
}

fn table(report: &SignaturesReport) -> String {
    if report.signatures.is_empty() {
        return "the configuration has no signatures\n".to_owned();
    }
    let mut table = Table::new(&["SIGNATURE", "VERDICT", ">PACKETS", ">BYTES", "CLASSES"]);
    for signature in &report.signatures {
        let classes = match signature.classes.as_slice() {
            [] => "none: it is not asked".to_owned(),
            some => some.join(", "),
        };
        let mut row = |verdict: Verdict, matched: Matched| {
            table.row([
                signature.name.clone(),
                verdict.name().to_owned(),
                matched.packets.to_string(),
                matched.bytes.to_string(),
                classes.clone(),
            ]);
        };
        // A row that cannot count anything says nothing, unless it has.
        if !signature.observe || signature.dropped.packets > 0 {
            row(Verdict::Drop, signature.dropped);
        }
        if signature.observe || signature.observed.packets > 0 {
            row(Verdict::Observed, signature.observed);
        }
    }
    table.show()
}
