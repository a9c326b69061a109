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
    config::{self, LARGEST},
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

/// Confirms what is on trial. An agent that may not write its own file is helped by whoever may.
async fn confirm(client: &Client) -> Result<Confirmed, Failure> {
    let ask = async || client.send(Method::POST, "/v1/config/confirm", &ChangeRequest::default()).await;
    let refused = match ask().await {
        Err(ClientError::Refused(refused)) if refused.why == Why::Failed => refused,
        outcome => return Ok(outcome?),
    };
    let report: ConfigReport = client.get("/v1/config").await?;
    let file = Path::new(config::DEFAULT_PATH);
    let Some(before) = replaceable(file, &report) else { return Err(refused.into()) };
    if config::install_text(file, &report.text, "replaced").is_err() {
        return Err(refused.into());
    }
    match ask().await {
        Ok(confirmed) => {
            let mut confirmed: Confirmed = confirmed;
            confirmed.written.push(file.display().to_string());
            Ok(confirmed)
        }
        Err(error) => {
            // It may have been taken back meanwhile, and is not to come back with the next start.
            if let Err(error) = config::install_text(file, &before, "replaced") {
                tracing::error!("the file says what was not confirmed: {error}");
            }
            Err(error.into())
        }
    }
}

/// What the file says that is to say what is on trial. The agent has fewer privileges than whoever runs this, who must not
/// be led to write anything else: the text of the one file that there is in the usual place, and no link.
fn replaceable(file: &Path, report: &ConfigReport) -> Option<String> {
    let metadata = std::fs::symlink_metadata(file).ok()?;
    let on_disk = config::read_sources(file).ok()?;
    let fits = report.pending.is_some()
        && Path::new(&report.file) == file
        && metadata.is_file()
        && on_disk.drop_ins == report.drop_ins;
    fits.then_some(on_disk.text)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::DropIn, control::configuration::Pending};

    #[test]
    fn an_agent_is_helped_to_its_own_file_and_to_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let file = at("stopbank.toml");
        std::fs::write(&file, "# before").unwrap();
        std::fs::create_dir(at("conf.d")).unwrap();
        std::fs::write(at("conf.d/a.toml"), "# a").unwrap();
        let drop_in = |name: &str| DropIn { name: name.to_owned(), text: "# a".to_owned() };
        let good = ConfigReport {
            file: file.display().to_string(),
            text: "# after".to_owned(),
            drop_ins: vec![drop_in("a.toml")],
            pending: Some(Pending::default()),
            effective: String::new(),
        };
        assert_eq!(replaceable(&file, &good).as_deref(), Some("# before"));
        let others = [
            ConfigReport { file: "/etc/cron.d/x".to_owned(), ..good.clone() },
            ConfigReport { pending: None, ..good.clone() },
            ConfigReport { drop_ins: Vec::new(), ..good.clone() },
            ConfigReport { drop_ins: vec![drop_in("a.toml"), drop_in("../../x.toml")], ..good.clone() },
        ];
        for other in others {
            assert_eq!(replaceable(&file, &other), None, "{other:?}");
        }
        let link = at("link.toml");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let linked = ConfigReport { file: link.display().to_string(), ..good };
        assert_eq!(replaceable(&link, &linked), None);
        // One that is put there after that was looked at is replaced itself.
        config::install_text(&link, "# new", "replaced").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "# before");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
    }
}
