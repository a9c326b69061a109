//! `stopbank config diff`, `apply`, `confirm` and `rollback`.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use hyper::Method;

use super::{
    Global,
    operator::session,
    output::{Output, notes, span},
    table::Table,
    wait,
};
use crate::{
    config::{self, LARGEST, Sources},
    control::{
        Why,
        api::ConfigReport,
        client::{Client, ClientError},
        configuration::{
            Applied, ApplyRequest, Change, ChangeRequest, Confirmed, DiffReport, DiffRequest, RolledBack,
        },
    },
    failure::{Code, Failure},
};

/// How long a configuration is on trial that is to be confirmed at once.
const AT_ONCE: Duration = Duration::from_secs(60);

/// Show what a configuration would change of what is in force, key by key
///
/// FILE takes the place of the agent's file here; what lies in conf.d beside that counts too. Nothing is changed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank config diff                         what `stopbank reload` would change
  stopbank config diff new.toml
  stopbank config diff -o json | jq -r '.changes[].key'

A line begins with + for what would be new, - for what would go, ~ for what would be another. Exit code 0, whether something
differs or not; 78 if the configuration has errors.")]
pub(super) struct Diff {
    /// A file; `-`: standard input [default: the agent's]
    file: Option<PathBuf>,
}

/// Put a configuration in force, and take it back unless it is confirmed
///
/// FILE takes the place of the agent's file, with what lies in conf.d beside that. The agent itself takes it back when the
/// time is over, whatever has become of this session; one that starts meanwhile does so at once. Files are written when it
/// is confirmed: `….last-good` keeps what was in force before. Without FILE, the agent's own files are tried as they stand;
/// if they are taken back, they say again what they said before, and `….rolled-back` keeps the rest.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank config apply new.toml --confirm 2m
  stopbank config confirm                      within two minutes, if you are still there
  stopbank config apply --confirm 2m           after editing the agent's own file
  stopbank config apply new.toml               at once and for good

One that would drop the SSH session that this command runs in is refused, with exit code 1.")]
pub(super) struct Apply {
    /// A file; `-`: standard input [default: the agent's]
    file: Option<PathBuf>,
    /// Take it back after this time unless `stopbank config confirm` comes first: 1s to 1d
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    confirm: Option<Duration>,
    /// Do it even if it would drop this session
    #[arg(long)]
    force: bool,
}

/// Keep the configuration that is on trial, in the agent's file too
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank config confirm
  stopbank status                              says whether a configuration is on trial, and how long still")]
pub(super) struct Confirm {}

/// Go back to the configuration before: the one before the trial, or else the one before the last reload or apply
///
/// Bans, rates and counters stay as they are. The agent's files say again what is in force; `….rolled-back` keeps what they
/// said. There is one configuration to go back to, not a history of them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank config rollback
  stopbank config diff /etc/stopbank/stopbank.toml.rolled-back     what was taken back")]
pub(super) struct Rollback {
    /// Do it even if it would drop this session
    #[arg(long)]
    force: bool,
}

/// A change that comes from this session.
pub(super) fn request(force: bool) -> ChangeRequest {
    let session = session();
    ChangeRequest {
        operator: session.map(|session| session.address),
        operator_port: session.map(|session| session.port),
        force,
    }
}

impl Diff {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let (text, name) = (text(self.file.as_deref())?, name(self.file.as_deref()));
        let request = DiffRequest { text, name };
        let report: DiffReport =
            wait(async { Ok(global.client().send(Method::POST, "/v1/config/diff", &request).await?) })?;
        global.output.print(&report, |report| {
            if report.changes.is_empty() { "no difference\n".to_owned() } else { changes(&report.changes) }
        })
    }
}

impl Apply {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let ChangeRequest { operator, operator_port, force } = request(self.force);
        let time = self.confirm.unwrap_or(AT_ONCE);
        let confirm_seconds = Some(time.as_secs_f64());
        let (text, name) = (text(self.file.as_deref())?, name(self.file.as_deref()));
        let request = ApplyRequest { text, name, confirm_seconds, operator, operator_port, force };
        let client = global.client();
        let mut applied: Applied =
            wait(async { Ok(client.send(Method::POST, "/v1/config/apply", &request).await?) })?;
        if self.confirm.is_some() {
            notes(&applied.notes);
            return global.output.print(&applied, |applied| {
                let left = span(applied.pending.seconds_left.ceil());
                format!(
                    "{}in force; taken back in {left}, unless `stopbank config confirm` comes first\n",
                    changes(&applied.changes)
                )
            });
        }
        let confirmed = match wait(confirm(&client)) {
            Ok(confirmed) => confirmed,
            Err(failure) => {
                // What cannot be written is not to stay in force either.
                let request = ChangeRequest { force: true, ..ChangeRequest::default() };
                let back: RolledBack =
                    wait(async { Ok(client.send(Method::POST, "/v1/config/rollback", &request).await?) })?;
                notes(&back.notes);
                return Err(Failure { message: format!("taken back again: {}", failure.message), ..failure });
            }
        };
        applied.notes.extend(confirmed.notes);
        notes(&applied.notes);
        match global.output {
            Output::Table => global.output.print(&applied, |applied| {
                let written = written(&confirmed.written);
                format!("{}in force{written}\n", changes(&applied.changes))
            }),
            _ => {
                let report = DiffReport { changes: applied.changes };
                global.output.print(&report, |_| String::new())
            }
        }
    }
}

impl Confirm {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let confirmed = wait(confirm(&global.client()))?;
        notes(&confirmed.notes);
        global.output.print(&confirmed, |confirmed| format!("confirmed{}\n", written(&confirmed.written)))
    }
}

impl Rollback {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let request = request(self.force);
        let back: RolledBack =
            wait(async { Ok(global.client().send(Method::POST, "/v1/config/rollback", &request).await?) })?;
        notes(&back.notes);
        global
            .output
            .print(&back, |back| format!("the configuration before is in force{}\n", written(&back.written)))
    }
}

/// Confirms what is on trial. An agent that may not write its own files is helped by whoever may.
async fn confirm(client: &Client) -> Result<Confirmed, Failure> {
    let ask = async || client.send(Method::POST, "/v1/config/confirm", &ChangeRequest::default()).await;
    let refused = match ask().await {
        Err(ClientError::Refused(refused)) if refused.why == Why::Failed => refused,
        outcome => return Ok(outcome?),
    };
    let ConfigReport { file, text, drop_ins, .. } = client.get("/v1/config").await?;
    let sources = Sources { file, text, drop_ins, shown: None };
    let path = Path::new(&sources.file);
    if !path.is_absolute() {
        return Err(refused.into());
    }
    match config::install(path, &sources, "replaced") {
        Ok(written) => {
            let mut confirmed: Confirmed = ask().await?;
            confirmed.written.extend(written.iter().map(|path| path.display().to_string()));
            Ok(confirmed)
        }
        Err(_) => Err(refused.into()),
    }
}

/// What messages call it.
fn name(file: Option<&Path>) -> Option<String> {
    let file = file?;
    Some(if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() })
}

/// What a file says, to be sent; it need not be good.
fn text(file: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(file) = file else { return Ok(None) };
    if file != Path::new("-") {
        return Ok(Some(config::read_text(file)?));
    }
    let mut text = String::new();
    let read = std::io::stdin().take(LARGEST + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::new(Code::Usage, format!("cannot read standard input: {error}")))?;
    if text.len() as u64 > LARGEST {
        return Err(Failure::new(
            Code::Usage,
            format!("standard input is larger than {} KiB", LARGEST / 1024),
        ));
    }
    Ok(Some(text))
}

fn changes(changes: &[Change]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["", "key", "in force", "would be"]);
    for change in changes {
        let sign = match (&change.before, &change.after) {
            (None, _) => "+",
            (_, None) => "-",
            _ => "~",
        };
        let mut after = change.after.clone().unwrap_or_default();
        if change.needs_restart {
            after.push_str("  (after a restart)");
        }
        table.row([sign.to_owned(), change.key.clone(), change.before.clone().unwrap_or_default(), after]);
    }
    table.show()
}

fn written(files: &[String]) -> String {
    if files.is_empty() { String::new() } else { format!("; written: {}", files.join(", ")) }
}
