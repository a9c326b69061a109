//! `stopbank status --check` and `--nagios`.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;
use tokio::time::timeout;

use super::super::output::{Output, print, short};
use crate::{
    control::{
        api::Status,
        client::{Client, ClientError},
        problems::{Level, Problem, problems},
    },
    failure::{Code, Failure},
    lists::printable,
};

/// How long an agent may take to answer a monitoring system, which ends a check after ten seconds mostly.
const PATIENCE: Duration = Duration::from_secs(8);
/// Longest text of a problem, in characters.
const LONGEST: usize = 300;

/// For `-o json`.
#[derive(Serialize)]
struct Checked {
    /// `ok`, or the level of the worst problem.
    state: &'static str,
    problems: Vec<Problem>,
}

/// Prints the problems; an error where the host is not protected as configured.
pub(super) fn check(status: &Status, output: Output) -> Result<(), Failure> {
    let problems = problems(status);
    let state = problems.first().map_or("ok", |worst| worst.level.name());
    let failed = problems.iter().filter(|problem| problem.level == Level::Fail).count();
    output.print(&Checked { state, problems }, table)?;
    if failed == 0 {
        return Ok(());
    }
    let things = if failed == 1 { "thing is" } else { "things are" };
    Err(Failure::new(Code::Failed, format!("{failed} {things} not as configured")))
}

fn table(checked: &Checked) -> String {
    if checked.problems.is_empty() {
        return "ok    protected as configured\n".to_owned();
    }
    let mut text = String::new();
    for problem in &checked.problems {
        let (level, told) = (problem.level.name(), printable(&problem.to_string(), LONGEST));
        let _ = writeln!(text, "{level:<5} {told}");
        let _ = writeln!(text, "      fix: {}", printable(&problem.fix, LONGEST));
    }
    text
}

/// One line, and then the end, with an exit code as Nagios' plugins have them
/// (<https://nagios-plugins.org/doc/guidelines.html>), whatever it is elsewhere here.
pub(super) async fn nagios(client: &Client) -> Result<(), Failure> {
    let (code, line) = match timeout(PATIENCE, client.get::<Status>("/v1/status")).await {
        Ok(Ok(status)) => judged(&status),
        Ok(Err(error @ ClientError::Permission(_))) => (3, format!("UNKNOWN - {error}")),
        Ok(Err(error)) => (2, format!("CRITICAL - {error}; what it protected stays protected")),
        Err(_) => (2, format!("CRITICAL - the agent has not answered within {} s", PATIENCE.as_secs())),
    };
    print(&format!("STOPBANK {}\n", printable(&line, 2_000)))?;
    std::process::exit(code)
}

fn judged(status: &Status) -> (i32, String) {
    let problems = problems(status);
    let (code, state) = match problems.first().map(|worst| worst.level) {
        None => (0, "OK"),
        Some(Level::Warn) => (1, "WARNING"),
        Some(Level::Fail) => (2, "CRITICAL"),
    };
    let told = if problems.is_empty() {
        let interfaces: Vec<String> = status
            .interfaces
            .iter()
            .map(|interface| format!("{} {}", interface.name, interface.how()))
            .collect();
        format!("{}, {}", interfaces.join(", "), status.mode.name())
    } else {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let traffic = &status.traffic;
    // What follows the bar is read by machines, which take it for the end of the text.
    let told = told.replace('|', "/");
    let rates = [("passed", &traffic.passed), ("dropped", &traffic.dropped), ("observed", &traffic.observed)];
    let data = rates.map(|(name, flow)| format!("{name}={}c", flow.packets)).join(" ");
    let dropping = short(traffic.dropped.packets_per_second);
    (code, format!("{state} - {told}; {dropping}/s dropped | {data} bans={}", status.lists.ban))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Mode, control::problems::tests::status};

    #[test]
    fn one_line_says_the_worst_and_ends_with_numbers() {
        let (code, line) = judged(&status());
        assert_eq!(
            (code, line.as_str()),
            (0, "OK - eth0 native, enforce; 0/s dropped | passed=0c dropped=0c observed=0c bans=0")
        );
        let observing = Status { mode: Mode::Observe, configured_mode: Mode::Observe, ..status() };
        assert!(matches!(judged(&observing), (1, line) if line.starts_with("WARNING - mode: observe")));
        let mut failed = observing;
        failed.configuration.reload_error = Some("a.toml:1:1: `x | y`\nmore".to_owned());
        let (code, line) = judged(&failed);
        assert_eq!((code, line.matches('|').count()), (2, 1), "{line}");
        assert!(line.starts_with("CRITICAL - configuration: ") && !line.contains("more"), "{line}");
    }
}
