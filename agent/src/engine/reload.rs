//! A new configuration in the place of the one in force, as a whole or not at all.

use std::{sync::PoisonError, time::SystemTime};

use stopbank_common::policy::MAX_INTERFACES;

use super::{Engine, Protected, State, cookies, files::Prepared, host, start};
use crate::{
    config::{self, Attach, Compiled, Config, ConfiguredLists, Mode, Role, Sources, compile},
    control::{Refused, Why, api::Reloaded, configuration::ChangeRequest},
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
        let found = start::resolve(&config.interfaces)?;
        let interfaces = state.merge(&config, &found, &mut notes);
        let kept = state.datapath.kept()?;
        cookies::manage(&config);
        let mut compiled = compile(&config, &kept, &host(&interfaces)).map_err(|error| {
            Refused::new(Why::Configuration, format!("a limit cannot be held: {error:?}"))
        })?;
        let mode = mode.unwrap_or(config.mode);
        compiled.policy.mode = config::mode_number(mode);
        state.swap(config, sources, interfaces, compiled, prepared)?;
        state.mode = mode;
        cookies::warn(state);
        Ok(Reloaded { notes })
    }
}

impl State {
    /// The interfaces of a new configuration, each with the slot that it had, and those that it no longer names.
    fn merge(&self, config: &Config, found: &[u32], notes: &mut Vec<String>) -> Vec<Protected> {
        let mut interfaces: Vec<Protected> = Vec::new();
        for old in &self.interfaces {
            if !config.interfaces.iter().any(|new| new.name == old.name) {
                if old.configured {
                    notes.push(format!(
                        "{} is no longer in the configuration; it stays protected until `stopbank detach {}`",
                        old.name, old.name
                    ));
                }
                interfaces.push(Protected { configured: false, ..old.clone() });
            }
        }
        for (new, &index) in config.interfaces.iter().zip(found) {
            let old = self.interfaces.iter().find(|old| old.name == new.name);
            interfaces.push(Protected {
                name: new.name.clone(),
                index,
                attach: new.attach,
                slot: old.map_or(0, |old| old.slot),
                configured: true,
                taken_over: old.is_some_and(|old| old.taken_over),
            });
        }
        // Where host are short, the configured come first; the others share slot 0.
        interfaces.sort_by_key(|interface| !interface.configured);
        for i in 0..interfaces.len() {
            if interfaces[i].slot != 0 {
                continue;
            }
            let free = (1..MAX_INTERFACES).find(|slot| interfaces.iter().all(|other| other.slot != *slot));
            let free = free.or_else(|| {
                let unconfigured =
                    interfaces.iter_mut().find(|other| !other.configured && other.slot != 0)?;
                Some(std::mem::take(&mut unconfigured.slot))
            });
            interfaces[i].slot = free.unwrap_or(0);
        }
        interfaces
    }

    /// Puts a new configuration in force: interfaces first, then lists, then the policy. What fails takes back what came
    /// before it.
    fn swap(
        &mut self,
        config: Config,
        sources: Sources,
        interfaces: Vec<Protected>,
        compiled: Compiled,
        prepared: Prepared,
    ) -> Result<(), Refused> {
        let Compiled { policy, kept, numbers, counters } = compiled;
        let changed = self.attach_changed(&interfaces)?;
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

    /// Attaches to the interfaces that are new, or are to be attached in another way.
    fn attach_changed(&mut self, interfaces: &[Protected]) -> Result<Vec<Reattached>, Refused> {
        let mut changed = Vec::new();
        for new in interfaces.iter().filter(|interface| interface.configured) {
            let before = self.interfaces.iter().find(|old| old.name == new.name).map(|old| old.attach);
            if before == Some(new.attach) {
                continue;
            }
            changed.push(Reattached { name: new.name.clone(), before });
            if let Err(error) = self.datapath.attach(&new.name, new.attach.into()) {
                self.put_back(&changed);
                return Err(error.into());
            }
            tracing::info!(mode = new.attach.name(), "protecting {}", new.name);
        }
        Ok(changed)
    }

    /// Puts interfaces back as they were: not attached, or attached as before.
    fn put_back(&mut self, changed: &[Reattached]) {
        for Reattached { name, before } in changed.iter().rev() {
            let outcome = match before {
                Some(attach) => self.datapath.attach(name, (*attach).into()).map(|_| ()),
                None => self.datapath.detach(name).map(|_| ()),
            };
            if let Err(error) = outcome {
                tracing::error!("cannot put {name} back as it was: {error}");
            }
        }
    }
}

/// An interface that was attached anew, and how it was attached before.
struct Reattached {
    name: String,
    before: Option<Attach>,
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
