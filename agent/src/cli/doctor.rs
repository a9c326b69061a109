//! `stopbank doctor`.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;

use super::output::Output;
use crate::{
    config::Interface,
    daemon::configuration_at,
    doctor::{self, Report, State, Subject},
    failure::{Code, Failure},
    lists::printable,
};

/// Look for what stands in the way of protection on this host; changes nothing, needs no agent
///
/// The kernel and its settings, privileges, each feature that the program uses, and each interface that the configuration
/// names, or that a default route goes through: its driver, MTU, LRO, and another's XDP program.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank doctor                    the interfaces of the configuration
  stopbank doctor eth0 eth1

Exit code 0: nothing stands in the way; lines with `warn` say what could be better. 1: something does, see `fail`.")]
pub(super) struct Doctor {
    /// Interfaces to look at, instead of the configuration's
    #[arg(value_name = "INTERFACE")]
    interfaces: Vec<String>,
    /// Configuration that names interfaces and the pin directory [default: /etc/stopbank/stopbank.toml]
    #[arg(short, long, value_name = "FILE", env = "STOPBANK_CONFIG")]
    config: Option<PathBuf>,
}

/// What is shown of a finding, in characters.
const LONGEST: usize = 300;

impl Doctor {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let mut subject = Subject::of(&configuration_at(self.config.as_deref())?);
        if !self.interfaces.is_empty() {
            subject.interfaces = self.interfaces.into_iter().map(Interface::named).collect();
        }
        let report = doctor::examine(&subject);
        output.print(&report, table)?;
        match report.state {
            State::Ok | State::Warn => Ok(()),
            State::Fail => {
                let failed = report.findings.iter().filter(|finding| finding.state == State::Fail).count();
                let things = if failed == 1 { "thing stands" } else { "things stand" };
                Err(Failure::new(Code::Failed, format!("{failed} {things} in the way of protection")))
            }
        }
    }
}

/// A line for each finding, and below it what to do.
fn table(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let (check, found) = (printable(&finding.check, LONGEST), printable(&finding.found, LONGEST));
        let _ = writeln!(text, "{:<5} {check}: {found}", finding.state.name());
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "      fix: {}", printable(fix, LONGEST));
        }
    }
    text
}
