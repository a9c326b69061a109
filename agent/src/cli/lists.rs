//! `stopbank allow`, `stopbank ban` and `stopbank deny`.

use std::{io::Read as _, time::Duration};

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    history::{History, seconds},
    operator::operator_address,
    output::{Output, entries, notes, span},
    table::Table,
    transfer::{Export, Import},
};
use crate::{
    control::{
        api::{AddRequest, Added, ListEntry, ListReport, RemoveRequest, Removed},
        client::Client,
    },
    failure::{Code, Failure},
    lists::{ListName, Origin, parse_prefix, printable},
};

pub(super) const BAN_EXAMPLES: &str = "\
Examples:
  stopbank ban add 198.51.100.7 --for 10m --reason 'login flood'
  stopbank ban add 2001:db8:bad::/48 198.51.100.0/24
  stopbank ban add - --for 1h < addresses.txt           one a line; # begins a comment
  stopbank ban rm 198.51.100.7
  stopbank ban ls -o json
  stopbank ban history 198.51.100.7                     who banned it, when, and why
  stopbank ban export > bans.txt                        on another host: stopbank ban import bans.txt

The longest prefix wins; of the same prefix, allow beats ban beats deny. A ban stays until its time is over or it is
removed, through restarts, reboots and `stopbank detach`.";

pub(super) const ALLOW_EXAMPLES: &str = "\
Examples:
  stopbank allow add 192.0.2.0/24 --reason 'office'
  stopbank allow rm 192.0.2.0/24
  stopbank allow ls
  stopbank allow history
  stopbank allow export -o json > allowed.json

The longest prefix wins; of the same prefix, allow beats ban beats deny. What is allowed here lasts until its time is over
or it is removed, through restarts, reboots and `stopbank detach`.";

/// Bytes of stdin that are read at most.
const LARGEST: u64 = 15 << 20;
/// Bad lines that are named one by one.
const SHOWN: usize = 50;

#[derive(Subcommand, Debug)]
pub(super) enum ListCommand {
    Add(Add),
    Rm(Rm),
    /// Show the list
    #[command(alias = "list")]
    Ls,
    Export(Export),
    Import(Import),
    History(History),
}

#[derive(Subcommand, Debug)]
pub(super) enum ReadOnly {
    /// Show the list
    #[command(alias = "list")]
    Ls,
}

/// Add addresses or prefixes: all of them, or with any error none
#[derive(Args, Debug)]
pub(super) struct Add {
    /// Addresses and prefixes; `-` reads them from stdin, one a line
    #[arg(required = true, value_name = "CIDR")]
    prefixes: Vec<String>,
    /// How long they stay, `90s`, `10m`, `2h` or `1day` for instance; left out: until they are removed
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Why, for those who look at the list later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Take what looks like a slip: very wide prefixes, loopback, the address that you are logged in from
    #[arg(long)]
    force: bool,
}

/// Remove addresses or prefixes: all of them, or with any error none
#[derive(Args, Debug)]
pub(super) struct Rm {
    /// Addresses and prefixes as they stand on the list; `-` reads them from stdin, one a line
    #[arg(required = true, value_name = "CIDR")]
    prefixes: Vec<String>,
}

impl ListCommand {
    pub(super) async fn run(self, list: ListName, client: &Client, output: Output) -> Result<(), Failure> {
        let path = format!("/v1/lists/{}", list.name());
        match self {
            Self::Add(add) => {
                let request = AddRequest {
                    prefixes: collect(&add.prefixes)?,
                    for_seconds: add.time.map(|time| time.as_secs_f64()),
                    reason: add.reason,
                    force: add.force,
                    operator: operator_address(),
                };
                let added: Added = client.send(Method::POST, &path, &request).await?;
                notes(&added.notes);
                output.print(&added, |added| {
                    let replaced = if added.replaced > 0 {
                        format!(", {} renewed", entries(added.replaced))
                    } else {
                        String::new()
                    };
                    format!("{}: {} added{replaced}\n", list.name(), entries(added.added))
                })
            }
            Self::Rm(rm) => {
                let request =
                    RemoveRequest { prefixes: collect(&rm.prefixes)?, operator: operator_address() };
                let removed: Removed = client.send(Method::DELETE, &path, &request).await?;
                notes(&removed.notes);
                output.print(&removed, |removed| {
                    format!(
                        "{}{}: {} removed\n",
                        removed_table(&removed.removed),
                        list.name(),
                        entries(removed.removed.len())
                    )
                })
            }
            Self::Ls => ReadOnly::Ls.run(list, client, output).await,
            Self::Export(export) => export.run(list, client, output).await,
            Self::Import(import) => import.run(list, client, output).await,
            Self::History(history) => history.run(list, client, output).await,
        }
    }
}

impl ReadOnly {
    pub(super) async fn run(self, list: ListName, client: &Client, output: Output) -> Result<(), Failure> {
        let Self::Ls = self;
        let report: ListReport = client.get(&format!("/v1/lists/{}", list.name())).await?;
        output.print(&report, |report| {
            if report.entries.is_empty() {
                return format!("the {} list is empty\n", list.name());
            }
            table(report)
        })
    }
}

fn table(report: &ListReport) -> String {
    let mut table = Table::new(&["PREFIX", "EXPIRES", "ADDED", "ORIGIN", "REASON"]);
    for entry in &report.entries {
        let mut reason = entry.reason.clone().unwrap_or_default();
        if let Some(list) = &entry.beaten_by {
            reason = format!("{reason} (without effect: the {list} list has the same prefix)")
                .trim_start()
                .to_owned();
        }
        table.row([
            entry.prefix.clone(),
            entry.expires_in_seconds.map_or_else(|| "never".to_owned(), |left| format!("in {}", span(left))),
            since(entry),
            entry.origin.name().to_owned(),
            reason,
        ]);
    }
    table.show()
}

/// What was taken off a list: since when it was there, and how long it would have stayed.
fn removed_table(removed: &[ListEntry]) -> String {
    let mut table = Table::new(&["REMOVED", "SINCE", "WOULD HAVE ENDED", "REASON"]);
    for entry in removed {
        let left = entry.expires_in_seconds;
        table.row([
            entry.prefix.clone(),
            since(entry),
            left.map_or_else(|| "never".to_owned(), |left| format!("in {}", span(left))),
            entry.reason.clone().unwrap_or_default(),
        ]);
    }
    table.show()
}

fn since(entry: &ListEntry) -> String {
    match (&entry.added, entry.origin) {
        (Some(added), _) => seconds(added),
        (None, Origin::Inherited) => "before the agent started".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

/// The words of a command line, with stdin's lines in the place of `-`; nothing is checked.
pub(super) fn read_lines(arguments: &[String]) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    let mut stdin_read = false;
    for argument in arguments {
        if argument != "-" {
            lines.push(argument.clone());
        } else if !std::mem::replace(&mut stdin_read, true) {
            let text = read_stdin()?;
            let words = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
            lines.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    if lines.is_empty() {
        return Err(Failure::new(Code::Usage, "stdin holds no addresses"));
    }
    Ok(lines)
}

/// The prefixes of a command line, each checked: a list with one bad line is not sent at all.
fn collect(arguments: &[String]) -> Result<Vec<String>, Failure> {
    let (mut prefixes, mut errors) = (Vec::new(), Vec::new());
    let mut take = |place: Option<usize>, text: &str| match parse_prefix(text) {
        Ok(prefix) => prefixes.push(prefix.to_string()),
        Err(error) => errors.push(match place {
            Some(line) => format!("stdin, line {line}: {error}"),
            None => error.to_string(),
        }),
    };
    let mut stdin_read = false;
    for argument in arguments {
        if argument != "-" {
            take(None, argument);
        } else if !std::mem::replace(&mut stdin_read, true) {
            for (i, line) in read_stdin()?.lines().enumerate() {
                let text = line.split('#').next().unwrap_or_default().trim();
                if !text.is_empty() {
                    take(Some(i + 1), text);
                }
            }
        }
    }
    if errors.is_empty() && prefixes.is_empty() {
        return Err(Failure::new(Code::Usage, "stdin holds no addresses"));
    }
    if errors.is_empty() {
        return Ok(prefixes);
    }
    Err(name_errors(&errors))
}

/// A failure that names what is wrong line by line.
pub(super) fn name_errors(errors: &[String]) -> Failure {
    let mut message = "nothing was changed:".to_owned();
    for error in errors.iter().take(SHOWN) {
        message.push_str(&format!("\n  {error}"));
    }
    if errors.len() > SHOWN {
        message.push_str(&format!("\n  … and {} more", errors.len() - SHOWN));
    }
    Failure::new(Code::Usage, message)
}

fn read_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(Code::Failed, format!("cannot read stdin: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::new(
            Code::Usage,
            format!("stdin is larger than {} MiB; send it in parts", LARGEST >> 20),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let begin = String::from_utf8_lossy(&error.as_bytes()[..at.min(20)]).into_owned();
        Failure::new(
            Code::Usage,
            format!("stdin is not text: line {line} is not UTF-8 ({}…)", printable(&begin, 20)),
        )
    })
}
