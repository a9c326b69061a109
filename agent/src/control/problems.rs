//! What is not as the configuration wants it, or not as an operator would: read off a [`Status`], for `stopbank status`,
//! `status --check` and `top`.

use std::fmt;

use serde::Serialize;

use super::{
    api::{InterfaceStatus, Status},
    interfaces::Standing,
};
use crate::{
    config::{Attach, Mode},
    datapath::FlowUsage,
};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The host is not protected as the configuration says.
    Fail,
    /// It is, but that is less than it could be, or something wants looking at.
    Warn,
}

impl Level {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub level: Level,
    /// What it is about: `interface eth0`, `mode`, `configuration`, …
    pub about: String,
    /// What was found, in a line.
    pub found: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.found)
    }
}

/// Part of the sampled drops of the last minute that may be lost before it is told, in percent.
const LOST: u64 = 10;

/// All of them, the worst first.
pub fn problems(status: &Status) -> Vec<Problem> {
    let mut all = Vec::new();
    interfaces(status, &mut all);
    mode(status, &mut all);
    files(status, &mut all);
    state(status, &mut all);
    if let Some(error) = &status.configuration.reload_error {
        let first = error.lines().next().unwrap_or_default();
        all.push(Problem {
            level: Level::Fail,
            about: "configuration".into(),
            found: format!("the last reload failed: {first}"),
            fix: "`stopbank config check` tells all that is wrong; then `stopbank reload`".into(),
        });
    }
    if let Some(pending) = &status.configuration.pending {
        all.push(Problem {
            level: Level::Warn,
            about: "configuration".into(),
            found: format!("on trial: taken back in {:.0} s unless it is confirmed", pending.seconds_left),
            fix: "`stopbank config confirm`, or `stopbank config rollback`".into(),
        });
    }
    if status.configuration.rejected_on_disk {
        all.push(Problem {
            level: Level::Fail,
            about: "configuration".into(),
            found: "the file says what was taken back still, and what is in force does not".into(),
            fix: "mend the file; `stopbank config diff` compares it with what is in force".into(),
        });
    }
    if let Some(obstacle) = &status.syn_cookies.obstacle {
        all.push(Problem {
            level: Level::Fail,
            about: "SYN cookies".into(),
            found: format!("none are sent: {obstacle}"),
            fix: "`stopbank doctor` says what they need".into(),
        });
    }
    if status.flows.as_ref().is_some_and(FlowUsage::is_short) {
        all.push(Problem {
            level: Level::Warn,
            about: "flow table".into(),
            found: "it is too small: what belongs to no flow passes where its lines are full".into(),
            fix: "raise `lines` in [flows], and restart the agent".into(),
        });
    }
    events(status, &mut all);
    all.sort_by_key(|problem| problem.level);
    all
}

fn interfaces(status: &Status, all: &mut Vec<Problem>) {
    if !status.interfaces.iter().any(|interface| interface.state == Standing::Attached) {
        all.push(Problem {
            level: Level::Fail,
            about: "interfaces".into(),
            found: "nothing is protected".into(),
            fix: "name what to protect as [[interface]] in the configuration, then `stopbank reload`; `stopbank iface ls` says what is absent"
                .into(),
        });
    }
    for interface in &status.interfaces {
        let about = || format!("interface {}", interface.name);
        if interface.state != Standing::Attached {
            all.extend(unprotected(interface, about()));
            continue;
        }
        if interface.attach == Attach::Generic {
            all.push(Problem {
                level: Level::Warn,
                about: about(),
                found: "generic mode: packets are dropped behind the driver, at about a third of the speed"
                    .into(),
                fix: "attach = \"native\", where the driver has it: `stopbank doctor` tells".into(),
            });
        }
        if !interface.configured {
            all.push(Problem {
                level: Level::Warn,
                about: about(),
                found: "it is protected, and the configuration does not name it".into(),
                fix: format!("name it, or end its protection: `stopbank detach {}`", interface.name),
            });
        }
    }
}

/// One that is absent and need not be there is no problem, as little as one that was detached by command.
fn unprotected(interface: &InterfaceStatus, about: String) -> Option<Problem> {
    let (found, fix) = match interface.state {
        Standing::Failed => (
            format!("it is not protected: {}", interface.error.as_deref().unwrap_or("not attached yet")),
            "take out of the way what it names; it is tried again by itself, at once by `stopbank reload`",
        ),
        Standing::Absent if interface.required => (
            "it is not there".to_owned(),
            "`ip link` shows what is; it is protected as soon as it is back. One that may be absent: required = false",
        ),
        _ => return None,
    };
    Some(Problem { level: Level::Fail, about, found, fix: fix.to_owned() })
}

fn mode(status: &Status, all: &mut Vec<Problem>) {
    let (level, found) = match (status.mode, status.configured_mode) {
        (Mode::Observe, Mode::Observe) => {
            (Level::Warn, "observe, as configured: nothing is dropped".to_owned())
        }
        (Mode::Observe, Mode::Enforce) => {
            (Level::Fail, "observe, where the configuration says enforce: nothing is dropped".to_owned())
        }
        (Mode::Enforce, Mode::Observe) => {
            (Level::Warn, "enforce, which a reload or restart makes the configuration's observe".to_owned())
        }
        (Mode::Enforce, Mode::Enforce) => return,
    };
    let fix = match status.mode {
        Mode::Observe => "`stopbank mode set enforce`, and `mode = \"enforce\"` in the configuration",
        Mode::Enforce => "write `mode = \"enforce\"` into the configuration, so that it stays",
    };
    all.push(Problem { level, about: "mode".into(), found, fix: fix.into() });
}

fn files(status: &Status, all: &mut Vec<Problem>) {
    for error in &status.files.errors {
        all.push(Problem {
            level: Level::Fail,
            about: "list file".into(),
            found: error.clone(),
            fix: "what it said before holds; `stopbank list ls` tells more, `stopbank list check FILE` tries a new one"
                .into(),
        });
    }
}

fn state(status: &Status, all: &mut Vec<Problem>) {
    let state = &status.state;
    if let Some(error) = &state.error {
        all.push(Problem {
            level: Level::Fail,
            about: "state".into(),
            found: format!("{} changes to the lists are not on the disk: {error}", state.pending),
            fix: format!(
                "make {} writable, with room; bans and allow entries hold meanwhile",
                state.directory
            ),
        });
    }
    for damaged in &state.damaged {
        all.push(Problem {
            level: Level::Warn,
            about: "state".into(),
            found: format!("found damaged at the start, and set aside: {damaged}"),
            fix: "look at it, and remove it".into(),
        });
    }
}

fn events(status: &Status, all: &mut Vec<Problem>) {
    let events = &status.events;
    let (read, lost) = (events.received_last_minute, events.lost_last_minute);
    if lost * 100 > (read + lost) * LOST {
        all.push(Problem {
            level: Level::Warn,
            about: "events".into(),
            found: format!("{lost} of {} sampled drops of the last minute were lost", read + lost),
            fix: "the agent gets too little of the CPU; counters are exact all the same".into(),
        });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::control::api::{
        ConfigurationStatus, CookieStatus, EventStatus, FilesSummary, InterfaceStatus, ListSizes,
        PolicyStatus, Traffic,
    };
    use crate::control::kept::StateStatus;

    /// Of a host that is protected as configured.
    pub(crate) fn status() -> Status {
        Status {
            version: "0.1.0".into(),
            pid: 7,
            started: "2026-01-02T03:04:05Z".into(),
            uptime_seconds: 60.0,
            mode: Mode::Enforce,
            configured_mode: Mode::Enforce,
            interfaces: vec![InterfaceStatus {
                name: "eth0".into(),
                index: 2,
                attach: Attach::Native,
                configured: true,
                taken_over: false,
                required: true,
                state: Standing::Attached,
                error: None,
            }],
            traffic: Traffic::default(),
            lists: ListSizes::default(),
            state: StateStatus::default(),
            files: FilesSummary::default(),
            proven: 0,
            syn_cookies: CookieStatus::default(),
            flows: None,
            policy: PolicyStatus {
                classes: vec!["default".into()],
                ipv4_prefix: 32,
                ipv6_prefix: 64,
                lines: 1024,
            },
            events: EventStatus::default(),
            configuration: ConfigurationStatus {
                file: "/etc/stopbank/stopbank.toml".into(),
                loaded: "2026-01-02T03:04:05Z".into(),
                reload_error: None,
                pending: None,
                rejected_on_disk: false,
            },
            metrics: None,
        }
    }

    fn found(change: impl FnOnce(&mut Status)) -> Vec<(Level, String)> {
        let mut status = status();
        change(&mut status);
        problems(&status).into_iter().map(|problem| (problem.level, problem.to_string())).collect()
    }

    #[test]
    fn what_is_as_configured_is_no_problem() {
        assert_eq!(found(|_| {}), []);
    }

    #[test]
    fn everything_that_is_not_is_named_the_worst_first() {
        let all = found(|status| {
            status.interfaces[0].attach = Attach::Generic;
            status.interfaces[0].configured = false;
            status.mode = Mode::Observe;
            status.configuration.reload_error = Some("a.toml:3:1: unknown key\n 3 | x".into());
            status.files.errors = vec!["drop: no such file".into()];
            status.state.error = Some("No space left on device".into());
            status.syn_cookies.obstacle = Some("net.ipv4.tcp_syncookies is 1".into());
            status.events =
                EventStatus { received_last_minute: 80, lost_last_minute: 20, ..EventStatus::default() };
        });
        let levels: Vec<Level> = all.iter().map(|(level, _)| *level).collect();
        assert_eq!(levels, [[Level::Fail; 5].as_slice(), &[Level::Warn; 3]].concat(), "{all:#?}");
        for part in [
            "interface eth0: generic",
            "interface eth0: it is protected",
            "mode: observe, where the configuration says enforce",
            "configuration: the last reload failed: a.toml:3:1: unknown key",
            "list file: drop: no such file",
            "state: 0 changes to the lists are not on the disk: No space left on device",
            "SYN cookies: none are sent",
            "events: 20 of 100",
        ] {
            assert!(all.iter().any(|(_, told)| told.starts_with(part)), "no {part} in {all:#?}");
        }
    }

    #[test]
    fn an_interface_that_is_not_protected_is_a_failure_unless_it_need_not_be_there() {
        let other = |state, required| {
            found(|status| {
                let eth1 = InterfaceStatus {
                    name: "eth1".into(),
                    state,
                    required,
                    attach: Attach::Generic,
                    error: Some("another's program".into()),
                    ..status.interfaces[0].clone()
                };
                status.interfaces.push(eth1);
            })
        };
        let fail = |told: &str| vec![(Level::Fail, format!("interface eth1: {told}"))];
        assert_eq!(other(Standing::Failed, false), fail("it is not protected: another's program"));
        assert_eq!(other(Standing::Absent, true), fail("it is not there"));
        assert_eq!(other(Standing::Absent, false), []);
        assert_eq!(found(|status| status.interfaces[0].state = Standing::Absent).len(), 2);
    }

    #[test]
    fn a_mode_as_configured_is_a_warning_at_most() {
        let modes = |mode, configured_mode| {
            let found = found(|status| (status.mode, status.configured_mode) = (mode, configured_mode));
            found.first().map(|(level, _)| *level)
        };
        assert_eq!(modes(Mode::Observe, Mode::Observe), Some(Level::Warn));
        assert_eq!(modes(Mode::Enforce, Mode::Observe), Some(Level::Warn));
        assert_eq!(modes(Mode::Observe, Mode::Enforce), Some(Level::Fail));
        assert_eq!(found(|status| status.interfaces.clear()).len(), 1);
        let few = EventStatus { received_last_minute: 95, lost_last_minute: 5, ..EventStatus::default() };
        assert_eq!(found(|status| status.events = few), []);
    }
}
