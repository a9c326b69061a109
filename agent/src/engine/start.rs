//! How an agent takes hold of a host: everything is looked at before anything is touched, and what this start attached
//! is taken off again when it fails.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use stopbank_common::{
    hash::class_salt,
    policy::{CLASS_DEFAULT, Kept, MAX_INTERFACES},
};
use tokio::sync::{Notify, watch};

use super::{Engine, Origin, Protected, State, cookies, files::Prepared, host, kept::Resumed};
use crate::{
    config::{Attach, Config, History, Interface, Role, Sources, compile},
    datapath::{Datapath, DatapathError, EventReader, Generation, Options, detach_all, link, monotonic_ns},
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
        let found = resolve(&config.interfaces)?;
        let options = Options {
            source_lines: config.source.lines,
            flows: (config.role == Role::Gateway).then_some(config.flows),
            kernel_log,
            ..Options::default()
        };
        let mut datapath = Datapath::open(&config.agent.pin_dir, &options)?;
        let kept = datapath.kept()?;
        let left = leftovers(&datapath, &config)?;
        let interfaces = protected(&config, &found, &left);
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

    /// Attaches to every interface, and gives those that were not attached before. If one that the configuration names
    /// fails, they are taken off again.
    fn attach_all(&mut self) -> Result<Vec<String>, Failure> {
        let mut fresh = Vec::new();
        // First those that are not protected yet: should one refuse, nothing of the others has been touched.
        let mut order: Vec<usize> = (0..self.interfaces.len()).collect();
        order.sort_by_key(|i| self.datapath.holds(&self.interfaces[*i].name));
        for i in order {
            let interface = &mut self.interfaces[i];
            match self.datapath.attach(&interface.name, interface.attach.into()) {
                Ok(attached) => {
                    interface.index = attached.index;
                    interface.taken_over = attached.replaced;
                    if !attached.replaced {
                        fresh.push(interface.name.clone());
                    }
                    log_attached(interface);
                }
                Err(error) if !interface.configured => {
                    tracing::warn!("{} keeps an earlier version's program: {error}", interface.name);
                }
                Err(error) => {
                    self.detach_all_of(&fresh);
                    return Err(error.into());
                }
            }
        }
        Ok(fresh)
    }

    fn detach_all_of(&mut self, names: &[String]) {
        for name in names.iter().rev() {
            if let Err(error) = self.datapath.detach(name) {
                tracing::error!("cannot take the program off {name} again: {error}");
            }
        }
    }
}

fn log_attached(interface: &Protected) {
    let Protected { name, index, attach, taken_over, .. } = interface;
    tracing::info!(index, mode = attach.name(), taken_over, "protecting {name}");
    if *attach == Attach::Generic {
        tracing::warn!(
            "{name} is protected in generic mode: packets are dropped behind the driver, at about a third of the speed"
        );
    }
}

/// Indices of the interfaces, all of which must exist.
pub(super) fn resolve(interfaces: &[Interface]) -> Result<Vec<u32>, DatapathError> {
    interfaces.iter().map(|interface| index_of(&interface.name)).collect()
}

/// Index of an interface.
fn index_of(name: &str) -> Result<u32, DatapathError> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice::name_to_index, socket_with};
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .and_then(|socket| name_to_index(socket, name))
        .map_err(|_| DatapathError::NoSuchInterface { name: name.to_owned(), existing: existing() })
}

/// Names of the interfaces of this network namespace; what /sys shows may be another's.
fn existing() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Interfaces that an earlier agent protects and the configuration does not name (any more): protection only ends by
/// `stopbank detach`, so this agent takes them over as they are.
fn leftovers(datapath: &Datapath, config: &Config) -> Result<Vec<(Interface, u32)>, DatapathError> {
    let mut left = Vec::new();
    for name in datapath.attached_interfaces()? {
        if config.interfaces.iter().any(|interface| interface.name == name) {
            continue;
        }
        let Ok(index) = index_of(&name) else { continue };
        let Some(program) = link::query(index).ok().and_then(|link| link.program) else { continue };
        let attach = if program.native { Attach::Native } else { Attach::Generic };
        tracing::warn!(
            "{name} is protected but not in the configuration; it stays so until `stopbank detach {name}`"
        );
        left.push((Interface { name, attach }, index));
    }
    Ok(left)
}

/// Gives each interface its counter slot; those that have none left share slot 0.
fn protected(config: &Config, found: &[u32], left: &[(Interface, u32)]) -> Vec<Protected> {
    let configured = config.interfaces.iter().zip(found.iter().copied()).map(|pair| (pair, true));
    let left = left.iter().map(|(interface, index)| ((interface, *index), false));
    configured
        .chain(left)
        .enumerate()
        .map(|(i, ((interface, index), configured))| Protected {
            name: interface.name.clone(),
            index,
            attach: interface.attach,
            slot: if i + 1 < MAX_INTERFACES { i + 1 } else { 0 },
            configured,
            taken_over: false,
        })
        .collect()
}
