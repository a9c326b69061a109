//! How an agent takes hold of a host: everything is looked at before anything is touched, and what this start attached
//! is taken off again when it fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use stopbank_common::{
    hash::class_salt,
    policy::{CLASS_DEFAULT, Kept},
};
use tokio::sync::{Notify, watch};

use super::{
    Engine, Origin, State, cookies,
    files::Prepared,
    host,
    interfaces::{self, Follower, Plan, locked},
    kept::Resumed,
};
use crate::{
    config::{Config, History, Role, Sources, compile},
    datapath::{Datapath, DatapathError, EventReader, Generation, Options, detach_all, monotonic_ns},
    failure::{Code, Failure},
    lists::{Change, Inherited, ListName, feeds::Copies},
    proofs::Proofs,
    rates::Rates,
};

/// What an agent starts with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// Its files.
    pub sources: Sources,
    /// What earlier agents had in force.
    pub history: History,
    /// Interfaces that were protected before a configuration that was not confirmed: others that are not configured are not to be
    /// protected any more.
    pub protected: Option<Vec<String>>,
    /// Where it came from.
    pub origin: Origin,
    /// Where metrics are served.
    pub metrics: Option<std::net::SocketAddr>,
    /// How much the program itself logs: 0 nothing … 5 everything.
    pub kernel_log: u8,
    /// What is wrong with its files, where `config` is not theirs.
    pub unusable: Option<Failure>,
}

impl Engine {
    /// Loads the program, brings lists and policy in line with the configuration, and attaches to every interface.
    ///
    /// On a host that an earlier agent protects, its program stays in force until this one's takes its place: there is
    /// no moment without protection.
    ///
    /// # Errors
    ///
    /// [`Failure`]. Interfaces that this start attached are not attached any more then; those that an earlier agent
    /// protected still are.
    pub fn start(start: Start) -> Result<(Self, EventReader), Failure> {
        let Start { config, sources, history, protected: before, origin, metrics, kernel_log, .. } = start;
        let plan = Arc::new(Mutex::new(Plan::new(config.interfaces.clone(), BTreeSet::new())));
        // First, so that nothing is missed that happens from here on.
        let mut follower = Follower::begin(&plan)?;
        let links = interfaces::look(&mut locked(&plan))?;
        locked(&plan).complete(&links, |_| false)?;
        let options = Options {
            source_lines: config.source.lines,
            flows: (config.role == Role::Gateway).then_some(config.flows),
            kernel_log,
            ..Options::default()
        };
        let mut datapath = Datapath::open(&config.agent.pin_dir, &options)?;
        let kept = datapath.kept()?;
        let attacher = datapath.attacher()?;
        let inherited = interfaces::inherited(&datapath, &locked(&plan), &links)?;
        let interfaces = interfaces::picture(&inherited, &locked(&plan), &links);
        cookies::manage(&config);
        let compiled = compile(&config, &kept, &host(&interfaces)).map_err(|error| {
            Failure::new(Code::Configuration, format!("a limit cannot be held: {error:?}"))
        })?;
        let prepared = Prepared::read(&config, None, &Copies::below(&config.agent.state_dir))?;
        let Resumed { keeper, lock, inherited, record, lines } =
            Resumed::new(&config.agent.state_dir, &datapath.list_entries()?, &config.lists);
        let Inherited { store: lists, changes, .. } = inherited;
        tracing::info!(
            allow = lists.count(ListName::Allow),
            deny = lists.count(ListName::Deny),
            ban = lists.count(ListName::Ban),
            changed = changes.len(),
            "lists",
        );
        if kernel_log > 0 {
            crate::daemon::kernel_log(&mut datapath);
        }
        let events = datapath.take_events()?;
        let (proofs, useless) =
            Proofs::inherit(datapath.proven()?, &compiled.policy.levels[0], monotonic_ns());
        for source in useless {
            datapath.unprove(source)?;
        }
        let mut state = State {
            datapath,
            mode: config.mode,
            config,
            configured: BTreeMap::new(),
            sources,
            history,
            trial: None,
            rollbacks: u64::from(before.is_some()),
            loaded: SystemTime::now(),
            reload_error: None,
            policy: compiled.policy,
            numbers: compiled.numbers,
            counters: compiled.counters,
            lists,
            record,
            proofs,
            files: prepared.files,
            interfaces,
            plan,
            rates: Rates::default(),
        };
        let first = kept.salts[usize::from(CLASS_DEFAULT)] != class_salt(Config::DEFAULT_CLASS);
        if let Err(failure) = state.take_hold(first, prepared.generation.flatten(), changes, &compiled.kept) {
            if first {
                // Nothing was here before: nothing stays.
                let pins = state.config.agent.pin_dir.clone();
                drop(state);
                if let Err(error) = detach_all(&pins) {
                    tracing::warn!("cannot remove what this start pinned: {error}");
                }
            }
            return Err(failure);
        }
        // An upgrade has only now pinned where this version does.
        follower.attaches(attacher.map(|attacher| attacher.beside(&state.datapath)));
        cookies::warn(&state);
        keeper.push(lines);
        if let Ok(snapshot) = state.snapshot() {
            state.rates.push(Instant::now(), snapshot);
        }
        let engine = Self {
            state: Mutex::new(state),
            reading: Mutex::default(),
            keeping: Mutex::default(),
            keeper,
            state_lock: Mutex::new(lock),
            events: Arc::default(),
            origin,
            metrics,
            started: (Instant::now(), SystemTime::now()),
            expiry: Notify::new(),
            trials: Notify::new(),
            waker: follower.waker(),
            follower: Mutex::new(Some(follower)),
            stop: watch::Sender::new(false),
        };
        if let Some(before) = before {
            engine.detach_others(&before);
        }
        engine.keep_history();
        Ok((engine, events))
    }
}

impl State {
    /// Puts the policy in force, and leaves the numbers of classes and signatures to the next agent first, so that no
    /// counter is ever without its name. Counts that were another signature's (`reused`) begin anew when nothing is counted
    /// for that any more.
    pub(super) fn install(&mut self, kept: &Kept, reused: &[u32]) -> Result<(), DatapathError> {
        let before = self.datapath.kept()?;
        // Once before it has its new name, should this agent end in between, and once more after, for what matches until then.
        reused.iter().for_each(|counter| drop(self.datapath.reset_signature(*counter)));
        self.datapath.keep(kept)?;
        if let Err(error) = self.datapath.install(&mut self.policy) {
            if let Err(error) = self.datapath.keep(&before) {
                tracing::error!("cannot take the numbers of classes and signatures back: {error}");
            }
            return Err(error);
        }
        for counter in reused {
            if let Err(error) = self.datapath.reset_signature(*counter) {
                tracing::warn!("the count of a new signature goes on from that of an earlier one: {error}");
            }
        }
        Ok(())
    }

    /// Brings the kernel in line with what is wanted.
    ///
    /// Where an earlier agent's policy is in force, it stays so until all interfaces are attached: a start that fails then
    /// has changed nothing. On the `first` start, the first packet already meets the policy.
    fn take_hold(
        &mut self,
        first: bool,
        generation: Option<Generation>,
        changes: Vec<Change>,
        kept: &Kept,
    ) -> Result<(), Failure> {
        let reused = self.counters.reused().to_vec();
        if first || self.datapath.follows_another_layout() {
            return self.take_hold_anew(generation, changes, kept, &reused);
        }
        let fresh = self.attach_all()?;
        let back: Vec<Change> = changes.iter().rev().map(Change::reversed).collect();
        let installed = self.datapath.install_lists(generation).map_err(Failure::from);
        let outcome = installed.and_then(|()| self.apply(changes).map_err(Failure::from)).and_then(|()| {
            self.install(kept, &reused).map_err(|error| {
                if let Err(refused) = self.apply(back) {
                    tracing::error!("cannot take the lists back: {}", refused.body.error);
                }
                error.into()
            })
        });
        if outcome.is_err() {
            if let Err(error) = self.datapath.revert_lists() {
                tracing::error!("cannot take the list files back: {error}");
            }
            self.detach_all_of(&fresh);
        } else {
            self.settle_lists();
            self.finish();
        }
        outcome
    }

    /// The same where nothing is in force, or what is has maps of its own: all is in force in the new maps before the first
    /// packet meets them. What fails leaves what was in force before as it was.
    fn take_hold_anew(
        &mut self,
        generation: Option<Generation>,
        changes: Vec<Change>,
        kept: &Kept,
        reused: &[u32],
    ) -> Result<(), Failure> {
        self.datapath.install_lists(generation)?;
        self.settle_lists();
        let back: Vec<Change> = changes.iter().rev().map(Change::reversed).collect();
        self.apply(changes)?;
        let outcome = self.install(kept, reused).map_err(Failure::from).and_then(|()| self.attach_all());
        if let Err(failure) = outcome {
            // The entries are in a map that the program of before has, too.
            if let Err(refused) = self.apply(back) {
                tracing::error!("cannot take the lists back: {}", refused.body.error);
            }
            if let Err(error) = self.datapath.take_upgrade_back() {
                tracing::error!("the upgrade cannot be taken back; what is protected stays so: {error}");
            }
            return Err(failure);
        }
        self.finish();
        Ok(())
    }

    fn finish(&mut self) {
        if let Err(error) = self.datapath.finish() {
            tracing::warn!(
                "what an earlier agent pinned stays beside this one's until the next start: {error}"
            );
        }
    }
}
