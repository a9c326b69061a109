//! What on this host stands in the way of protection, or slows it: a list of checks, each a small function that looks at
//! one thing and changes nothing.

mod agents;
mod conflicts;
mod features;
mod host;
mod interfaces;
mod memory;

use std::path::PathBuf;

use serde::Serialize;

use crate::config::{Config, CookieMode, Interface, Role};

/// How it stands with one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// stopbank works, but not as well as it could, or something else on the host does not.
    Warn,
    /// stopbank does not work.
    Fail,
}

impl State {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check has found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at: `kernel`, `interface eth0: driver`, …
    pub check: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; there where the state is not `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, found: found.into(), fix: None }
    }

    fn warn(check: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    fn fail(check: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Fail, found: found.into(), fix: Some(fix.into()) }
    }
}

/// Everything that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The worst state of all.
    pub state: State,
    /// One for each thing that was looked at.
    pub findings: Vec<Finding>,
}

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Interfaces; where there are none, those that the default routes go through.
    pub interfaces: Vec<Interface>,
    /// Where the agent pins.
    pub pins: PathBuf,
    /// Some class is to answer with SYN cookies.
    pub cookies: bool,
    /// The role is `gateway`.
    pub gateway: bool,
    /// The rest of the configuration: how large its tables are, and where its agent is.
    pub config: Config,
}

impl Subject {
    /// What a configuration says.
    pub fn of(config: &Config) -> Self {
        Self {
            interfaces: config.interfaces.clone(),
            pins: config.agent.pin_dir.clone(),
            cookies: config.all_classes().any(|class| class.syn_cookies.mode != CookieMode::Off),
            gateway: config.role == Role::Gateway,
            config: config.clone(),
        }
    }
}

/// Looks at everything.
pub fn examine(subject: &Subject) -> Report {
    let mut findings = host::findings(subject.cookies);
    if subject.gateway {
        findings.push(host::forwarding());
    }
    findings.extend(agents::findings(&subject.config.agent.socket, &subject.pins));
    findings.extend(conflicts::findings(subject.cookies));
    findings.extend(features::findings());
    findings.extend(memory::findings(&subject.config));
    findings.extend(interfaces::findings(subject));
    let failed = |state| findings.iter().any(|finding| finding.state == state);
    let state = if failed(State::Fail) {
        State::Fail
    } else if failed(State::Warn) {
        State::Warn
    } else {
        State::Ok
    };
    Report { state, findings }
}

/// The version of the kernel, its first two numbers; `None` if it does not say one.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(['.', '-', '+']).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(kernel_version("6.1.0-56-cloud-amd64\n"), Some((6, 1)));
        assert_eq!(kernel_version("6.12+bpo"), Some((6, 12)));
        assert!(kernel_version("6.12.1") > kernel_version("6.9.3"));
        assert_eq!(kernel_version("six"), None);
    }

    #[test]
    fn what_is_not_ok_says_what_to_do() {
        let report = examine(&Subject {
            interfaces: vec![Interface::named("lo".to_owned())],
            pins: "/sys/fs/bpf/none".into(),
            cookies: true,
            gateway: true,
            config: Config::builtin(),
        });
        assert!(report.findings.len() > 15, "{report:#?}");
        for finding in &report.findings {
            assert_eq!(finding.state != State::Ok, finding.fix.is_some(), "{finding:?}");
        }
        let worst = report.findings.iter().any(|finding| finding.state == State::Fail);
        assert_eq!(worst, report.state == State::Fail);
    }
}
