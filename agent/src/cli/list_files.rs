//! `stopbank list`: files of prefixes.

use std::{path::PathBuf, time::SystemTime};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Global, output::Output, table::Table, wait};
use crate::{
    config::{ListAction, ListFile},
    control::{
        api::{FileReport, FileStatus},
        client::Client,
    },
    failure::{Code, Failure},
    lists::{
        feeds::{self, Format, ReadError},
        printable,
    },
};

#[derive(Subcommand, Debug)]
pub(super) enum ListFilesCommand {
    /// Show the list files of the configuration: what of each is in force, and what is wrong with it
    #[command(alias = "list")]
    Ls,
    Check(Check),
}

/// Check a list file; needs no agent
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank list check drop.txt
  stopbank list check --country NZ --asn 64500 country.mmdb

Exit code 0: the file is good. 78: it is not. 77: it may not be read.")]
pub(super) struct Check {
    /// The file
    file: PathBuf,
    /// How it is written, as in the configuration
    #[arg(long, default_value = "auto", value_parser = format)]
    format: Format,
    /// Of a table of countries: this one; may be given several times
    #[arg(long = "country", value_name = "XX")]
    countries: Vec<String>,
    /// Of a table of autonomous systems: this one; may be given several times
    #[arg(long = "asn", value_name = "NUMBER")]
    asns: Vec<u32>,
}

/// Outcome of `list check`, for `-o json`.
#[derive(Serialize)]
struct Checked {
    file: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    ipv4: usize,
    ipv6: usize,
    skipped: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn format(text: &str) -> Result<Format, String> {
    let found = Format::NAMES.iter().find(|(name, _)| *name == text);
    let names: Vec<&str> = Format::NAMES.iter().map(|(name, _)| *name).collect();
    found.map(|(_, format)| *format).ok_or_else(|| format!("allowed: {}", names.join(", ")))
}

impl ListFilesCommand {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Ls => wait(async { ls(&global.client(), global.output).await }),
            Self::Check(check) => check.run(global.output),
        }
    }
}

async fn ls(client: &Client, output: Output) -> Result<(), Failure> {
    let report: FileReport = client.get("/v1/list-files").await?;
    output.print(&report, |report| {
        if report.lists.is_empty() {
            return "the configuration names no list files\n".to_owned();
        }
        let mut table =
            Table::new(&["NAME", "ACTION", "FORMAT", ">IPV4", ">IPV6", ">SKIPPED", "READ", "PATH", "STATE"]);
        for list in &report.lists {
            table.row([
                list.name.clone(),
                list.action.name().to_owned(),
                list.format.clone(),
                list.ipv4.to_string(),
                list.ipv6.to_string(),
                list.skipped.to_string(),
                list.read.clone().unwrap_or_else(|| "never".to_owned()),
                list.path.clone(),
                state(list),
            ]);
        }
        table.show()
    })
}

fn state(list: &FileStatus) -> String {
    let mut state = match (&list.error, &list.copy_in_use_since) {
        (None, _) => "ok".to_owned(),
        (Some(error), None) => format!("error: {error}"),
        (Some(error), Some(since)) => format!("its kept copy is in force since {since}: {error}"),
    };
    if let Some(error) = &list.copy_error {
        state.push_str("; no copy is kept: ");
        state.push_str(error);
    }
    state
}

impl Check {
    fn run(self, output: Output) -> Result<(), Failure> {
        let file = printable(&self.file.display().to_string(), 4096);
        let list = ListFile {
            name: "check".to_owned(),
            path: self.file,
            format: self.format,
            action: ListAction::Deny,
            countries: self.countries.iter().map(|code| code.to_ascii_uppercase()).collect(),
            asns: self.asns,
        };
        match feeds::read(&list, SystemTime::now()) {
            Ok((parsed, format, _)) => {
                let checked = Checked {
                    file,
                    valid: true,
                    format: Some(format.name()),
                    ipv4: parsed.set.v4().len(),
                    ipv6: parsed.set.v6().len(),
                    skipped: parsed.skipped,
                    error: None,
                };
                output.print(&checked, |checked| {
                    format!(
                        "{}: good ({}): {} IPv4 prefixes, {} IPv6 prefixes, {} entries left out\n",
                        checked.file,
                        format.name(),
                        checked.ipv4,
                        checked.ipv6,
                        checked.skipped
                    )
                })
            }
            Err(error) => {
                let code = match &error {
                    ReadError::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                        Code::Permission
                    }
                    _ => Code::Configuration,
                };
                let failure = Failure::new(code, format!("{file}: {error}"));
                if output == Output::Json {
                    let error = Some(error.to_string());
                    let checked =
                        Checked { file, valid: false, format: None, ipv4: 0, ipv6: 0, skipped: 0, error };
                    output.print(&checked, |_| String::new())?;
                }
                Err(failure)
            }
        }
    }
}
