//! `stopbank mode`.

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;

use super::output::Output;
use crate::{
    config::Mode,
    control::{
        api::{ModeReport, SetMode},
        client::Client,
    },
    failure::Failure,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  stopbank mode get
  stopbank mode set observe          let everything pass, and count what would have been dropped
  stopbank mode set enforce

A mode that is set here lasts until the next reload or restart, when the configuration's comes back.";

#[derive(Subcommand, Debug)]
pub(super) enum ModeCommand {
    /// Show the mode in force
    Get,
    Set(Set),
}

/// Change the mode until the next reload or restart
#[derive(Args, Debug)]
pub(super) struct Set {
    /// The mode
    #[arg(value_enum)]
    mode: ModeName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeName {
    /// Everything passes; what would have been dropped is counted
    Observe,
    /// What is judged bad is dropped
    Enforce,
}

impl ModeCommand {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let report: ModeReport = match self {
            Self::Get => client.get("/v1/mode").await?,
            Self::Set(set) => {
                let mode = match set.mode {
                    ModeName::Observe => Mode::Observe,
                    ModeName::Enforce => Mode::Enforce,
                };
                client.send(Method::PUT, "/v1/mode", &SetMode { mode }).await?
            }
        };
        output.print(&report, |report| {
            if report.mode == report.configured {
                format!("{}\n", report.mode.name())
            } else {
                let (mode, configured) = (report.mode.name(), report.configured.name());
                format!("{mode} (the configuration says {configured}, which comes back with a reload or restart)\n")
            }
        })
    }
}
