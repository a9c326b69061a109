//! The agent at work: the datapath, the lists and the configuration in force, and every change to them.
//!
//! One lock guards all of it. Each change takes effect as a whole or not at all: what the kernel refuses half way is
//! taken back.

mod answers;
mod changes;
mod cookies;
mod explain;
mod files;
mod interfaces;
mod kept;
mod limits;
mod lockout;
mod measure;
mod proofs;
mod reload;
mod report;
mod resume;
mod signatures;
mod start;
mod trial;

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{Notify, watch};

use crate::{
    config::{Attach, Class, ClassNumbers, Config, History, Host, Mode, SignatureCounters, Sources},
    control::Refused,
    datapath::{AttachMode, Datapath, monotonic_ns},
    events::EventLog,
    handshake,
    lists::{Change, Store, feeds::Files},
    proofs::Proofs,
    rates::{Rates, Snapshot},
    state::{self, Keeper},
};
use stopbank_common::policy::{MAX_INTERFACES, Policy};

use interfaces::{Follower, Protected, SharedPlan, Waker};
pub use measure::{Measured, MeasuredFile, MeasuredInterface};
pub use resume::{resume, without_files};
pub use start::Start;

/// A running agent.
pub struct Engine {
    state: Mutex<State>,
    /// Held while list files are read and while configurations change, which takes longer than anybody should wait for the
    /// state.
    reading: Mutex<()>,
    /// Held while copies of them are written.
    keeping: Mutex<()>,
    /// Keeps bans and allow entries for a reboot.
    keeper: Keeper,
    /// Keeps other agents from where they are kept, until the thread that writes them has it.
    state_lock: Mutex<Option<File>>,
    events: Arc<EventLog>,
    origin: Origin,
    metrics: Option<std::net::SocketAddr>,
    started: (Instant, SystemTime),
    /// The lists' next expiry may have changed.
    expiry: Notify,
    /// A configuration on trial has come or gone.
    trials: Notify,
    /// What follows interfaces, until it begins.
    follower: Mutex<Option<Follower>>,
    /// Has it look at everything.
    waker: Waker,
    /// Set when protection has been ended and the agent is to stop.
    stop: watch::Sender<bool>,
}

/// Where the configuration comes from, and what the command line puts in its place.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// A control socket that takes precedence over the file's.
    pub socket: Option<PathBuf>,
}

/// What the lock guards.
struct State {
    datapath: Datapath,
    /// In force; its limits may be others than those of the file.
    config: Config,
    /// Classes whose limits an operator has changed since it was read, as they stand in the file.
    configured: BTreeMap<String, Class>,
    sources: Sources,
    history: History,
    trial: Option<trial::OnTrial>,
    rollbacks: u64,
    loaded: SystemTime,
    reload_error: Option<String>,
    policy: Box<Policy>,
    mode: Mode,
    numbers: ClassNumbers,
    counters: SignatureCounters,
    lists: Store,
    /// What was done to them.
    record: state::History,
    proofs: Proofs,
    files: Files,
    interfaces: Vec<Protected>,
    plan: SharedPlan,
    rates: Rates,
}

impl Engine {
    /// What is known of sampled drops.
    pub fn event_log(&self) -> Arc<EventLog> {
        Arc::clone(&self.events)
    }

    /// Becomes true when protection has been ended through the API and the agent is to stop.
    pub fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Takes the counters' rates, and ends proofs. To be called about once a second.
    pub fn sample(&self) {
        self.follow_host();
        let mut state = self.lock();
        if let Err(error) = state.sweep_proofs(monotonic_ns()) {
            tracing::warn!("{error}");
        }
        if let Ok(lost) = state.datapath.events_lost() {
            self.events.note(Instant::now(), lost);
        }
        match state.snapshot() {
            Ok(snapshot) => state.rates.push(Instant::now(), snapshot),
            Err(refused) => tracing::warn!("cannot read the counters: {}", refused.body.error),
        }
    }

    /// Goes the way of a request: takes the lock, and asks the kernel. That it returns is what counts; what the kernel says,
    /// [`Self::sample`] logs.
    pub fn probe(&self) {
        let _counters = self.lock().datapath.counters(0, 0);
    }

    /// Drops list entries when their time is over, for as long as the task lives. The kernel goes by their time itself;
    /// this brings back what an expired entry hid, and frees its place.
    pub async fn expire(&self) {
        loop {
            let next = self.lock().lists.next_expiry();
            let wait = match next {
                Some(at) => Duration::from_nanos(at.saturating_sub(monotonic_ns())),
                None => Duration::from_secs(3_600),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.expiry.notified() => continue,
            }
            if let Err(refused) = self.expire_now() {
                // They are back in the store, and tried again in a second; the kernel ignores them meanwhile.
                tracing::warn!("cannot take expired entries off the lists: {}", refused.body.error);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    fn expire_now(&self) -> Result<(), Refused> {
        let mut state = self.lock();
        let now = monotonic_ns();
        let over = state.lists.due(now);
        let changes = state.lists.expire(now);
        let expired: Vec<String> = changes.iter().take(5).map(|change| change.prefix.to_string()).collect();
        let entries = changes.len();
        state.apply(changes)?;
        self.keep_expired(&mut state, &over);
        if entries > 0 {
            tracing::info!(entries, "expired: {}", expired.join(", "));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic between two writes could leave the store and the kernel apart for one entry; to refuse every command
        // from then on would be worse.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes changes to the lists in the kernel; if it refuses one, all are taken back, there and in the store.
    fn apply(&mut self, changes: Vec<Change>) -> Result<(), Refused> {
        for (done, change) in changes.iter().enumerate() {
            let Err(error) = put(&mut self.datapath, change, change.after) else { continue };
            for change in changes[..done].iter().rev() {
                if let Err(error) = put(&mut self.datapath, change, change.before) {
                    tracing::error!("cannot take a change to {} back: {error}", change.prefix);
                }
            }
            for change in changes.into_iter().rev() {
                self.lists.undo(change);
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// The counters as they are now.
    fn snapshot(&self) -> Result<Snapshot, Refused> {
        let mut snapshot = Snapshot::default();
        // Those too whose interface is gone: what is counted is counted.
        for slot in 0..MAX_INTERFACES {
            for (class, _) in self.numbers.iter() {
                let slot = slot as u32;
                snapshot.add(slot, class, &self.datapath.counters(slot, class)?);
            }
        }
        Ok(snapshot)
    }

    /// Name of the interface whose packets are counted in a slot.
    fn slot_name(&self, slot: u32) -> &str {
        let mut named = self.interfaces.iter().filter(|interface| interface.slot != 0);
        let interface = named.find(|interface| interface.slot as u32 == slot);
        interface.map_or("other", |interface| &interface.name)
    }

    /// Name of the interface with an index.
    fn interface_name(&self, index: u32) -> &str {
        let interface = self.interfaces.iter().find(|interface| interface.index == index && index != 0);
        interface.map_or("other", |interface| &interface.name)
    }
}

fn put(
    datapath: &mut Datapath,
    change: &Change,
    entry: Option<crate::datapath::Entry>,
) -> Result<(), crate::datapath::DatapathError> {
    if change.before == change.after {
        return Ok(());
    }
    match entry {
        Some(entry) => datapath.list_insert(change.prefix, entry),
        None => datapath.list_remove(change.prefix).map(|_| ()),
    }
}

/// This host, as a policy must know it.
fn host(interfaces: &[Protected]) -> Host {
    let mut host = Host { forwards: forwards(), ..Host::default() };
    for interface in interfaces.iter().filter(|interface| interface.slot != 0) {
        host.interfaces[interface.slot] = interface.index;
    }
    host.handshake = handshake::of_host(&host.interfaces);
    host
}

/// Whether the host forwards packets of one family or both; containers and virtual machines behind a bridge usually come
/// with it.
pub(crate) fn forwards() -> bool {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].iter().any(|name| {
        let value = std::fs::read_to_string(format!("/proc/sys/net/{name}"));
        value.is_ok_and(|value| value.trim() != "0")
    })
}

impl From<Attach> for AttachMode {
    fn from(attach: Attach) -> Self {
        match attach {
            Attach::Native => Self::Native,
            Attach::Generic => Self::Generic,
        }
    }
}
