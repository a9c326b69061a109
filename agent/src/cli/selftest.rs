//! `stopbank selftest`.

use std::{io::Write as _, path::PathBuf};

use clap::Args;

use super::{Global, output::Output, wait};
use crate::{
    config::{self, Config},
    control::{
        api::{ConfigReport, Status},
        client::Client,
    },
    daemon::configuration_at,
    failure::{Code, Failure},
    lists::printable,
    selftest::{self, Live, Outcome, Report, Step, Subject},
};

/// Prove that it is armed: send packets through the program under the policy in force, in a private network namespace
///
/// Loads the very program with maps of its own, attaches it natively to a pair of veths that nobody else sees, and sends it a client's
/// packets, a banned source's, malformed ones and a flood, IPv4 and IPv6; what arrives and what is counted must agree. The live
/// interfaces and maps are not touched: of them it is only asked whether the program on each is the one that is pinned. Nothing is
/// left behind, however it ends.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank selftest                          the policy of the running agent, with this host's interfaces
  stopbank selftest --config new.toml        a configuration before it is used; interfaces are not looked at
  stopbank selftest -o json | jq .passed

Needs CAP_SYS_ADMIN (root), for the namespace. In the copy the mode is always `enforce`, and list files are left out.
Exit code 0: every step is as it should be (`warn` and `skip` say what the configuration leaves open). 1: one is not. 77: not permitted.")]
pub(super) struct SelfTest {
    /// Test this configuration instead of what is in force
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SelfTest {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let subject = match self.config {
            Some(file) => Subject {
                config: config::load(&file)?,
                origin: printable(&file.display().to_string(), 4096),
                live: None,
            },
            None => in_force(&global.client())?,
        };
        let people = global.output == Output::Table;
        let mut show = |step: &Step| {
            if people {
                // A reader that has gone does not end the test.
                let _ = std::io::stdout().write_all(line(step).as_bytes());
            }
        };
        let report = selftest::run(subject, &mut show)?;
        global.output.print(&report, summary)?;
        if report.passed {
            return Ok(());
        }
        let failed = report.steps.iter().filter(|step| step.outcome == Outcome::Fail).count();
        Err(Failure::new(Code::Failed, format!("{failed} of {} steps failed", report.steps.len())))
    }
}

/// What the agent has in force, or without an agent the configuration in its usual place.
fn in_force(client: &Client) -> Result<Subject, Failure> {
    let asked = wait(async {
        let config: ConfigReport = client.get("/v1/config").await?;
        let status: Status = client.get("/v1/status").await?;
        Ok((config, status))
    });
    match asked {
        Ok((report, status)) => {
            let config = config::parse("the configuration in force", &report.effective)?;
            let live = Live { pins: config.agent.pin_dir.clone(), mode: Some(status.mode) };
            let origin = format!("in force, from {} (process {})", report.file, status.pid);
            Ok(Subject { config, origin, live: Some(live) })
        }
        Err(failure) if failure.code == Code::Unreachable => {
            let config: Config = configuration_at(None)?;
            let live = Live { pins: config.agent.pin_dir.clone(), mode: None };
            Ok(Subject { config, origin: "the file, for no agent answers".to_owned(), live: Some(live) })
        }
        Err(failure) => Err(failure),
    }
}

fn line(step: &Step) -> String {
    let (name, found) = (printable(&step.step, 100), printable(&step.found, 500));
    format!("{:<5} {name:<50} {:>8.1} ms  {found}\n", step.outcome.name(), step.milliseconds)
}

fn summary(report: &Report) -> String {
    let count = |outcome| report.steps.iter().filter(|step| step.outcome == outcome).count();
    let verdict = if report.passed { "armed" } else { "NOT as it should be" };
    format!(
        "\n{verdict}: {} ok, {} warnings, {} failed, {} skipped; policy: {}\n",
        count(Outcome::Ok),
        count(Outcome::Warn),
        count(Outcome::Fail),
        count(Outcome::Skip),
        report.policy
    )
}
