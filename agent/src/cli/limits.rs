//! `stopbank limit`.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{operator::session, output::Output, table::Table};
use crate::{
    config::{Quantity, show_amount},
    control::{
        api::{ClassLimits, LimitRow, LimitsReport},
        client::Client,
        limits::SetLimits,
    },
    failure::{Code, Failure},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  stopbank limit ls
  stopbank limit set web per_source.packets=500/s                 the burst is one second's worth
  stopbank limit set web per_source.connections=50/s burst=100    burst: of the limit before it
  stopbank limit set web total.bytes=none total.proven=75%
  stopbank limit reset web                                        back to the configuration's
  stopbank limit reset                                            of all classes

Limits that are set here last until the next reload or restart, when the configuration's come back; `limit ls` shows both. They are
checked as the configuration is, and swapped in as a whole: no packet is judged by half of a change.";

#[derive(Subcommand, Debug)]
pub(super) enum LimitCommand {
    /// Show what each class claims, its limits in force, and where the configuration has others
    #[command(alias = "list")]
    Ls,
    Set(Set),
    Reset(Reset),
}

/// Change limits of a class until the next reload
#[derive(Args, Debug)]
pub(super) struct Set {
    /// The class, as `limit ls` shows it
    class: String,
    /// `per_source.` or `total.` with `packets`, `bytes` or `connections`, and a rate or `none`; `burst=N` for the one before it; `total.proven=N%`
    #[arg(required = true, value_name = "LIMIT=RATE")]
    limits: Vec<String>,
    /// Take what looks like a slip: limits too low for the SSH session that you work in
    #[arg(long)]
    force: bool,
}

/// Go back to the configuration's limits
#[derive(Args, Debug)]
pub(super) struct Reset {
    /// The class [default: all]
    class: Option<String>,
}

impl LimitCommand {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let report: LimitsReport = match self {
            Self::Ls => client.get("/v1/limits").await?,
            Self::Set(set) => {
                let session = session();
                let request = SetLimits {
                    set: set.limits,
                    force: set.force,
                    operator: session.map(|session| session.address),
                    operator_port: session.map(|session| session.port),
                };
                client.send(Method::PUT, &path(&set.class)?, &request).await?
            }
            Self::Reset(reset) => {
                let path = reset.class.as_deref().map_or_else(|| Ok("/v1/limits".to_owned()), path)?;
                client.send(Method::DELETE, &path, &serde_json::Map::new()).await?
            }
        };
        output.print(&report, table)
    }
}

/// A class's path; what no class can be called is not sent.
fn path(class: &str) -> Result<String, Failure> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if class.is_empty() || !class.bytes().all(plain) {
        let shown = crate::lists::printable(class, 40);
        return Err(Failure::new(Code::NotFound, format!("no class is called `{shown}`"))
            .hint("`stopbank limit ls` shows the classes"));
    }
    Ok(format!("/v1/limits/{class}"))
}

fn table(report: &LimitsReport) -> String {
    let changed = report.classes.iter().any(|class| class.configured.is_some());
    let mut headings = vec!["CLASS", "CLAIMS", "SCOPE", "COUNTS", ">RATE", ">BURST"];
    if changed {
        headings.push("CONFIGURED");
    }
    let mut table = Table::new(&headings);
    for class in &report.classes {
        rows(class, changed, &mut table);
    }
    let note = "\nlimits with another in the last column hold until the next reload or restart; `stopbank limit reset` ends them now\n";
    table.show() + if changed { note } else { "" }
}

fn rows(class: &ClassLimits, changed: bool, table: &mut Table) {
    let mut row = |scope: String, counts: &str, rate: &str, burst: String, configured: String| {
        let cells =
            [class.name.clone(), class.claims.clone(), scope, counts.to_owned(), rate.to_owned(), burst];
        table.row(cells.into_iter().chain(changed.then_some(configured)));
    };
    if class.limits.is_empty() && class.configured.as_ref().is_none_or(Vec::is_empty) {
        let what = if class.closed { "closed: all of it is dropped" } else { "no limits" };
        row(what.to_owned(), "", "", String::new(), String::new());
    }
    for limit in &class.limits {
        let configured = match &class.configured {
            None => String::new(),
            Some(rows) => match rows.iter().find(|other| is_of(other, limit)) {
                Some(other) if other == limit => String::new(),
                Some(other) => amount(other),
                None => "none".to_owned(),
            },
        };
        row(scope(limit), &limit.counts, &limit.rate, burst(limit), configured);
    }
    let gone =
        class.configured.iter().flatten().filter(|old| !class.limits.iter().any(|new| is_of(old, new)));
    for limit in gone {
        row(scope(limit), &limit.counts, "none", String::new(), amount(limit));
    }
}

/// Whether two are limits on the same.
fn is_of(one: &LimitRow, other: &LimitRow) -> bool {
    let key = |row: &LimitRow| (row.scope.clone(), row.counts.clone(), row.ipv4_prefix, row.ipv6_prefix);
    key(one) == key(other)
}

fn scope(limit: &LimitRow) -> String {
    let bits = |bits: Option<u8>| bits.map_or_else(|| "-".to_owned(), |bits| format!("/{bits}"));
    match limit.scope.as_str() {
        "per_source" => "each source".to_owned(),
        "per_prefix" => format!("each {} (IPv6: {})", bits(limit.ipv4_prefix), bits(limit.ipv6_prefix)),
        _ => match limit.proven_percent {
            Some(percent) if percent > 0 => format!("all together ({percent}% proven first)"),
            _ => "all together".to_owned(),
        },
    }
}

fn burst(limit: &LimitRow) -> String {
    let quantity = if limit.counts == "bytes" { Quantity::Bytes } else { Quantity::Count };
    show_amount(limit.burst, quantity)
}

fn amount(limit: &LimitRow) -> String {
    let proven = limit.proven_percent.map_or_else(String::new, |percent| format!(", {percent}% proven"));
    format!("{}, burst {}{proven}", limit.rate, burst(limit))
}
