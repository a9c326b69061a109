//! `stopbank config` and `stopbank reload`; what changes a configuration is in [`super::change`].

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyper::Method;
use serde::Serialize;

use super::{
    Global, change,
    output::{Output, notes, print},
    wait,
};
use crate::{
    config::{self, ConfigError, Sources},
    control::{
        api::{ConfigReport, Reloaded},
        client::Client,
    },
    failure::{Code, Failure},
};

#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    Check(Check),
    Show(Show),
    Diff(change::Diff),
    Apply(change::Apply),
    Confirm(change::Confirm),
    Rollback(change::Rollback),
    Schema(Schema),
}

/// Print the JSON Schema of configurations (draft 2020-12), for editors; needs no agent
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank config schema > stopbank.schema.json
  #:schema ./stopbank.schema.json              as the first line of a file, for editors that know Taplo")]
pub(super) struct Schema {}

/// Check a configuration: the file, and what lies in conf.d beside it; needs no agent
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank config check
  stopbank config check ./new.toml -o json

Every error that can be found is named in one go, with its line, its column and what is allowed.
Exit code 0: the file is good. 78: it is not. 77: it may not be read.")]
pub(super) struct Check {
    /// The file
    #[arg(default_value = config::DEFAULT_PATH)]
    file: PathBuf,
}

/// Show a configuration
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank config show                         the file that the agent has read
  stopbank config show --effective             what is in force, every key written out
  stopbank config show --effective FILE        what a file would put in force; needs no agent
  stopbank config show --default               a commented configuration to begin with")]
pub(super) struct Show {
    /// A file, instead of what the agent has read
    file: Option<PathBuf>,
    /// With every key written out, those left out in the file too
    #[arg(long)]
    effective: bool,
    /// The configuration that comes with stopbank
    #[arg(long, conflicts_with_all = ["effective", "file"])]
    default: bool,
}

/// Read the configuration again; one with an error changes nothing
///
/// One that would drop the SSH session that this command runs in is refused.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank config diff && stopbank reload      see what it would change, then do it
  stopbank config apply --confirm 2m           the same, taken back unless it is confirmed in time")]
pub(super) struct Reload {
    /// Do it even if it would drop this session
    #[arg(long)]
    force: bool,
}

/// Outcome of `config check`, for `-o json`.
#[derive(Serialize)]
struct Checked {
    file: String,
    valid: bool,
    errors: Vec<CheckError>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct CheckError {
    file: String,
    line: usize,
    column: usize,
    message: String,
    help: Vec<String>,
}

impl ConfigCommand {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.run(global.output),
            Self::Show(show) => show.run(global),
            Self::Schema(Schema {}) => {
                global.output.print(&config::schema(), |schema| format!("{schema:#}\n"))
            }
            Self::Diff(diff) => diff.run(global),
            Self::Apply(apply) => apply.run(global),
            Self::Confirm(confirm) => confirm.run(global),
            Self::Rollback(rollback) => rollback.run(global),
        }
    }
}

impl Check {
    fn run(self, output: Output) -> Result<(), Failure> {
        let file = self.file.display().to_string();
        match config::load(&self.file) {
            Ok(config) => {
                let checked = Checked { file, valid: true, errors: Vec::new(), notes: config.notes() };
                if output == Output::Table {
                    notes(&checked.notes);
                }
                output.print(&checked, |checked| format!("{}: good\n", checked.file))
            }
            Err(ConfigError::Invalid(invalid)) if output != Output::Table => {
                let errors = invalid.located().map(|located| CheckError {
                    file: located.file,
                    line: located.line,
                    column: located.column,
                    message: located.diagnostic.message.clone(),
                    help: located.diagnostic.help.clone(),
                });
                let checked = Checked { file, valid: false, errors: errors.collect(), notes: Vec::new() };
                output.print(&checked, |_| String::new())?;
                Err(Failure::new(
                    Code::Configuration,
                    format!("{}: {} errors", checked.file, checked.errors.len()),
                ))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Show {
    fn run(self, global: &Global) -> Result<(), Failure> {
        if self.default {
            let effective = config::render(&config::Config::builtin());
            let sources = Sources::single("built in", config::DEFAULT);
            return global.output.print(&report(sources, effective), |report| report.text.clone());
        }
        let report = match &self.file {
            Some(file) => {
                let sources = config::read_sources(file)?;
                let effective = config::render(&config::parse_sources(&sources)?);
                report(sources, effective)
            }
            None => wait(async { Ok(global.client().get::<ConfigReport>("/v1/config").await?) })?,
        };
        match global.output {
            Output::Json | Output::Jsonl => global.output.print(&report, |_| String::new()),
            Output::Table if self.effective => print(&report.effective),
            Output::Table => print(
                &Sources { drop_ins: report.drop_ins, ..Sources::single(report.file, report.text) }.show(),
            ),
        }
    }
}

fn report(sources: Sources, effective: String) -> ConfigReport {
    let Sources { file, text, drop_ins, .. } = sources;
    ConfigReport { file, text, drop_ins, pending: None, effective }
}

impl Reload {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let reloaded: Reloaded =
            client.send(Method::POST, "/v1/reload", &change::request(self.force)).await?;
        notes(&reloaded.notes);
        output.print(&reloaded, |_| "reloaded\n".to_owned())
    }
}
