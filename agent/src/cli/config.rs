//! `stopbank config` and `stopbank reload`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyper::Method;
use serde::Serialize;

use super::{
    Global,
    output::{Output, notes, print},
    wait,
};
use crate::{
    config::{self, ConfigError},
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
}

/// Check a configuration file; needs no agent
#[derive(Args, Debug)]
#[command(after_help = "\
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
#[derive(Args, Debug)]
pub(super) struct Reload {}

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
                let errors = invalid.located().map(|(line, column, diagnostic)| CheckError {
                    line,
                    column,
                    message: diagnostic.message.clone(),
                    help: diagnostic.help.clone(),
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
            let report =
                ConfigReport { file: "built in".to_owned(), text: config::DEFAULT.to_owned(), effective };
            return global.output.print(&report, |report| report.text.clone());
        }
        let report = match &self.file {
            Some(file) => {
                let text = config::read_text(file)?;
                let name = file.display().to_string();
                let effective = config::render(&config::parse(&name, &text)?);
                ConfigReport { file: name, text, effective }
            }
            None => wait(async { Ok(global.client().get::<ConfigReport>("/v1/config").await?) })?,
        };
        match global.output {
            Output::Json | Output::Jsonl => global.output.print(&report, |_| String::new()),
            Output::Table => print(if self.effective { &report.effective } else { &report.text }),
        }
    }
}

impl Reload {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let reloaded: Reloaded = client
            .send(Method::POST, "/v1/reload", &serde_json::Map::<String, serde_json::Value>::new())
            .await?;
        notes(&reloaded.notes);
        output.print(&reloaded, |_| "reloaded\n".to_owned())
    }
}
