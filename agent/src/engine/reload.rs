//! A new configuration in the place of the one in force, as a whole or not at all.

use std::{collections::BTreeSet, sync::PoisonError, time::SystemTime};

use super::{
    Engine, Protected, State, cookies,
    files::Prepared,
    host,
    interfaces::{self, Plan, locked},
};
use crate::{
    config::{self, Compiled, Config, ConfiguredLists, Mode, Role, Sources, compile},
    control::{Refused, Why, api::Reloaded, configuration::ChangeRequest},
    datapath::link::Links,
    lists::feeds::Copies,
};

/// A configuration that could be put in force, with its list files read.
pub(super) struct Candidate {
    pub(super) sources: Sources,
    pub(super) config: Config,
    pub(super) prepared: Prepared,
}

impl Engine {
    /// Reads the file again. What cannot change while the agent runs stays as it is, and is named in the answer.
    pub(super) fn reload_file(&self, request: &ChangeRequest) -> Result<Reloaded, Refused> {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody hears of it where the signal asked.
        self.refuse_during_trial()
            .inspect_err(|refused| tracing::error!("no reload: {}", refused.body.error))?;
        let prepared = config::read_sources(&self.origin.file)
            .map_err(|error| refuse(&error))
            .and_then(|sources| self.prepare(sources))
            .and_then(|candidate| self.refuse_lockout(request.session(), &candidate).map(|()| candidate));
        let mut state = self.lock();
        let outcome = prepared.and_then(|candidate| {
            let before = state.sources.clone();
            self.reload_into(&mut state, candidate, None).map(|reloaded| (reloaded, before))
        });
        state.reload_error = outcome.as_ref().err().map(|refused| refused.body.error.clone());
        drop(state);
        self.expiry.notify_one();
        match outcome {
            Ok((reloaded, before)) => {
                tracing::info!("configuration reloaded from {}", self.origin.file.display());
                for note in &reloaded.notes {
                    tracing::warn!("{note}");
                }
                self.note_reload(before);
                Ok(reloaded)
            }
            Err(refused) => {
                tracing::error!("the configuration before stays in force: {}", refused.body.error);
                Err(refused)
            }
        }
    }

    /// Checks a configuration and reads its list files, which may take a second: nobody waits for it but who asked.
    pub(super) fn prepare(&self, sources: Sources) -> Result<Candidate, Refused> {
        let mut config = config::parse_sources(&sources).map_err(|error| refuse(&error))?;
        if config.interfaces.is_empty() {
            return Err(Refused::new(Why::Configuration, "the configuration names no interface")
                .hint("name at least one in an [[interface]] block; `stopbank detach` ends protection"));
        }
        if let Some(socket) = &self.origin.socket {
            config.agent.socket.clone_from(socket);
        }
        let (before, copies) = {
            let state = self.lock();
            (state.files.clone(), Copies::below(&state.config.agent.state_dir))
        };
        let prepared = Prepared::read(&config, Some(&before), &copies)?;
        // Whatever it came from, it stands for the file from here on.
        Ok(Candidate { sources: Sources { shown: None, ..sources }, config, prepared })
    }

    /// Puts a configuration in force, as a whole or not at all; with another mode than it says, if one is given.
    pub(super) fn reload_into(
        &self,
        state: &mut State,
        candidate: Candidate,
        mode: Option<Mode>,
    ) -> Result<Reloaded, Refused> {
        let Candidate { sources, mut config, prepared } = candidate;
        let mut notes = keep_what_needs_a_restart(&mut config, &state.config);
        let mut plan = Plan::new(config.interfaces.clone(), BTreeSet::new());
        let links = interfaces::look(&mut plan)?;
        // One that has gone since is followed already, and no reason to refuse the rest.
        plan.complete(&links, |name| state.interfaces.iter().any(|known| known.name == name))?;
        let interfaces = interfaces::picture(&state.interfaces, &plan, &links);
        notes.extend(state.left_behind(&interfaces));
        let kept = state.datapath.kept()?;
        cookies::manage(&config);
        let mut compiled = compile(&config, &kept, &host(&interfaces)).map_err(|error| {
            Refused::new(Why::Configuration, format!("a limit cannot be held: {error:?}"))
        })?;
        let mode = mode.unwrap_or(config.mode);
        compiled.policy.mode = config::mode_number(mode);
        state.swap(config, sources, (plan, links, interfaces), compiled, prepared)?;
        self.wake_follower();
        state.mode = mode;
        cookies::warn(state);
        Ok(Reloaded { notes })
    }
}

impl State {
    /// Says which interfaces a configuration names no longer.
    fn left_behind(&self, interfaces: &[Protected]) -> Vec<String> {
        let configured = |index| self.interfaces.iter().any(|old| old.index == index && old.configured);
        let left = interfaces.iter().filter(|new| !new.configured && configured(new.index));
        let note = |new: &Protected| {
            let name = &new.name;
            format!(
                "{name} is no longer in the configuration; it stays protected until `stopbank detach {name}`"
            )
        };
        left.map(note).collect()
    }

    /// Puts a new configuration in force: interfaces first, then lists, then the policy. What fails takes back what came
    /// before it.
    fn swap(
        &mut self,
        config: Config,
        sources: Sources,
        (plan, links, mut interfaces): (Plan, Links, Vec<Protected>),
        compiled: Compiled,
        prepared: Prepared,
    ) -> Result<(), Refused> {
        let Compiled { policy, kept, numbers, counters } = compiled;
        let changed = self.attach_changed(&plan, &links, &mut interfaces)?;
        self.reset_slots(&interfaces);
        let installed = match prepared.generation {
            Some(generation) => self.datapath.install_lists(generation).map_err(Refused::from),
            None => Ok(()),
        };
        let mut taken = installed.and_then(|()| self.swap_lists(&config.lists));
        if taken.is_ok() {
            let before = std::mem::replace(&mut self.policy, policy);
            if let Err(error) = self.install(&kept, counters.reused()) {
                self.policy = before;
                let configured = self.config.lists.clone();
                if let Err(refused) = self.swap_lists(&configured) {
                    tracing::error!("cannot take the lists back: {}", refused.body.error);
                }
                taken = Err(error.into());
            }
        }
        if let Err(refused) = taken {
            if let Err(error) = self.datapath.revert_lists() {
                tracing::error!("cannot take the list files back: {error}");
            }
            self.put_back(&changed);
            return Err(refused);
        }
        self.settle_lists();
        self.files = prepared.files;
        self.config = config;
        self.configured.clear();
        self.sources = sources;
        self.numbers = numbers;
        self.counters = counters;
        self.interfaces = interfaces;
        *locked(&self.plan) = plan;
        self.loaded = SystemTime::now();
        Ok(())
    }

    /// Puts the lists of a configuration in the place of those of the one before.
    fn swap_lists(&mut self, configured: &ConfiguredLists) -> Result<(), Refused> {
        let changes = self.lists.configure(configured);
        if self.lists.overfull() {
            for change in changes.into_iter().rev() {
                self.lists.undo(change);
            }
            return Err(Refused::new(
                Why::Conflict,
                "the lists of the configuration do not fit beside the entries there are",
            )
            .hint("remove some entries, or put wider prefixes in their place"));
        }
        self.apply(changes)
    }
}

/// Puts back what a running agent cannot change, and says so.
pub(super) fn keep_what_needs_a_restart(new: &mut Config, old: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    let mut keep = |differs: bool, what: &str| {
        if differs {
            notes.push(format!("{what} has changed; that takes a restart of the agent"));
        }
    };
    keep(new.agent.pin_dir != old.agent.pin_dir, "[agent] pin_dir");
    keep(new.agent.state_dir != old.agent.state_dir, "[agent] state_dir");
    keep(new.agent.socket != old.agent.socket, "[agent] socket");
    keep(new.agent.metrics != old.agent.metrics, "[agent] metrics");
    keep(new.source.lines != old.source.lines, "[source] lines");
    keep(new.flows != old.flows, "[flows]");
    keep((new.role == Role::Gateway) != (old.role == Role::Gateway), "role, to or from \"gateway\",");
    new.flows = old.flows;
    if (new.role == Role::Gateway) != (old.role == Role::Gateway) {
        new.role = old.role;
    }
    new.agent.clone_from(&old.agent);
    new.source.lines = old.source.lines;
    notes
}

pub(super) fn refuse(error: &config::ConfigError) -> Refused {
    Refused::new(Why::Configuration, error.to_string())
        .hint("`stopbank config check FILE` checks a file before it is used")
}
