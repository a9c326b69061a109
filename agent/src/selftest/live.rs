//! Whether what protects this host is there: the program on each interface is the one whose link is pinned. Nothing is changed.

use std::{path::PathBuf, time::Instant};

use super::{Outcome, Steps};
use crate::{
    config::{Config, Mode},
    datapath::{PinnedProgram, pinned_programs},
};

/// What protects this host.
pub struct Live {
    /// Where the agent pins.
    pub pins: PathBuf,
    /// The mode in force, where an agent answers.
    pub mode: Option<Mode>,
}

impl Live {
    pub(super) fn check(&self, steps: &mut Steps<'_>, config: &Config) {
        let begin = Instant::now();
        let (outcome, found) = match self.mode {
            Some(Mode::Enforce) => (Outcome::Ok, "an agent answers; its mode is `enforce`"),
            Some(Mode::Observe) => {
                (Outcome::Warn, "the mode is `observe`: nothing is dropped on this host's interfaces")
            }
            None => (
                Outcome::Warn,
                "no agent answers: what it has pinned goes on, and this is tested by the file",
            ),
        };
        steps.done("agent", begin, outcome, found);
        let begin = Instant::now();
        match pinned_programs(&self.pins) {
            Ok(programs) => self.programs(steps, config, &programs),
            Err(error) => steps.done("interfaces", begin, Outcome::Fail, error.to_string()),
        }
    }

    fn programs(&self, steps: &mut Steps<'_>, config: &Config, programs: &[PinnedProgram]) {
        if programs.is_empty() {
            let found = format!("none is protected: nothing is pinned below {}", self.pins.display());
            steps.done("interfaces", Instant::now(), Outcome::Fail, found);
        }
        for PinnedProgram { interface, pinned, attached } in programs {
            let begin = Instant::now();
            let (outcome, found) = match attached {
                Some(there) if there.id == *pinned => {
                    let how = if there.native { "native" } else { "generic" };
                    (
                        Outcome::Ok,
                        format!("program {pinned} is attached ({how}), the one whose link is pinned"),
                    )
                }
                Some(there) => (
                    Outcome::Fail,
                    format!("program {} is attached, not {pinned}, whose link is pinned", there.id),
                ),
                None => {
                    (Outcome::Fail, format!("no program is attached, though the link of {pinned} is pinned"))
                }
            };
            steps.done(&format!("interface {interface}"), begin, outcome, found);
        }
        let missing =
            config.interfaces.iter().filter(|one| programs.iter().all(|other| other.interface != one.name));
        for interface in missing {
            let found = "the configuration names it, and it is not protected";
            steps.done(&format!("interface {}", interface.name), Instant::now(), Outcome::Fail, found);
        }
    }
}
