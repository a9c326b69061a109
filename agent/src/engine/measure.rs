//! What metrics are made of.
//!
//! A scrape asks for much, and nobody who bans an address should wait for it: the large tables are read without the lock, and the
//! rest takes it shortly. A reload that comes between two parts shows in the next scrape as a whole.

use std::{collections::BTreeMap, time::SystemTime};

use stopbank_common::{gcra::Dimension, policy::MAX_INTERFACES};

use super::{Engine, Protected, State, limits::class_limits};
use crate::{
    config::Mode,
    control::{
        Refused,
        api::{ClassLimits, CookieStatus, SignatureStatus, StateStatus},
    },
    datapath::{FlowUsage, MapUse, link},
    lists::ListName,
    rates::Snapshot,
};

/// What metrics are made of.
#[derive(Debug)]
pub struct Measured {
    /// The counters.
    pub snapshot: Snapshot,
    /// Names of interface slots.
    pub slots: BTreeMap<u32, String>,
    /// Names of class numbers.
    pub classes: BTreeMap<u8, String>,
    /// Interfaces that are to be protected, and whether they are.
    pub interfaces: Vec<MeasuredInterface>,
    /// The mode in force.
    pub mode: Mode,
    /// Entries by list.
    pub lists: Vec<(&'static str, usize)>,
    /// List files.
    pub files: Vec<MeasuredFile>,
    /// Limits of the classes.
    pub limits: Vec<ClassLimits>,
    /// Events read.
    pub events_received: u64,
    /// Events lost.
    pub events_lost: u64,
    /// Bytes that their ring buffer holds.
    pub events_capacity: u64,
    /// When the agent started.
    pub started: SystemTime,
    /// When the configuration in force was read.
    pub loaded: SystemTime,
    /// Whether the last reload succeeded.
    pub reload_succeeded: bool,
    /// Time left until the configuration in force is taken back, if it is on trial.
    pub pending_seconds: Option<f64>,
    /// Configurations that were taken back.
    pub rollbacks: u64,
    /// SYN cookies.
    pub syn_cookies: CookieStatus,
    /// Maps that can fill up.
    pub maps: Vec<MapUse>,
    /// Bytes by map.
    pub map_memory: Vec<(&'static str, u64)>,
    /// Parts of the table of sources that are in use.
    pub busy_cells: [(Dimension, f64); 3],
    /// A gateway's table.
    pub flows: Option<FlowUsage>,
    /// Signatures, and what they have matched.
    pub signatures: Vec<SignatureStatus>,
    /// How it goes with keeping the lists for a reboot.
    pub state: StateStatus,
}

/// An interface that is to be protected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeasuredInterface {
    /// Its name.
    pub name: String,
    /// How the program is attached, or is to be.
    pub mode: &'static str,
    /// Whether the kernel says that our program is there.
    pub attached: bool,
}

/// A list file.
#[derive(Debug)]
pub struct MeasuredFile {
    /// The list's name.
    pub name: String,
    /// Prefixes in force.
    pub prefixes: usize,
    /// When they were read.
    pub read: Option<SystemTime>,
    /// Whether the file as it is now is good.
    pub good: bool,
    /// Whether what is in force is what an earlier agent has kept of it.
    pub from_copy: bool,
    /// Whether what is in force is kept for a start with a bad file.
    pub kept: bool,
}

impl Engine {
    /// Everything that metrics are made of.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the kernel's counters cannot be read.
    pub fn measure(&self) -> Result<Measured, Refused> {
        let flows = self.lock().datapath.flow_usage()?;
        let (interfaces, numbers, lines, reader, program) = {
            let state = self.lock();
            let (interfaces, numbers) = (state.interfaces.clone(), state.numbers.clone());
            let datapath = &state.datapath;
            (interfaces, numbers, state.config.source.lines, datapath.reader(), datapath.program_id())
        };
        let mut slots: BTreeMap<u32, String> = interfaces
            .iter()
            .filter(|one| one.slot != 0)
            .map(|one| (one.slot as u32, one.name.clone()))
            .collect();
        slots.insert(0, "other".to_owned());
        let mut snapshot = Snapshot::default();
        // Those too whose interface is gone.
        for slot in 0..MAX_INTERFACES as u32 {
            for (class, _) in numbers.iter() {
                snapshot.add(slot, class, &reader.counters(slot, class)?);
            }
        }
        let busy_cells = reader.busy_cells(lines)?;
        let events_received = self.events.received();
        let started = self.started.1;
        let state = self.lock();
        let mut measured = Measured {
            snapshot,
            slots,
            classes: numbers.iter().map(|(number, name)| (number, name.to_owned())).collect(),
            interfaces: Vec::new(),
            mode: state.mode,
            lists: ListName::ALL.iter().map(|&list| (list.name(), state.lists.count(list))).collect(),
            files: state.measured_files(),
            limits: class_limits(&state.config),
            events_received,
            events_lost: state.datapath.events_lost()?,
            events_capacity: state.datapath.events_capacity(),
            started,
            loaded: state.loaded,
            reload_succeeded: state.reload_error.is_none(),
            pending_seconds: state.pending().map(|pending| pending.seconds_left),
            rollbacks: state.rollbacks,
            syn_cookies: state.cookie_status()?,
            maps: state.datapath.map_use(state.proofs.count(), flows),
            map_memory: state.datapath.map_memory(),
            busy_cells,
            flows,
            signatures: state.signatures()?,
            state: self.state_status(),
        };
        drop(state);
        measured.interfaces = interfaces.iter().map(|one| measured_interface(one, program)).collect();
        Ok(measured)
    }
}

impl State {
    fn measured_files(&self) -> Vec<MeasuredFile> {
        let files = self.files.iter().map(|one| MeasuredFile {
            name: one.list.name.clone(),
            prefixes: one.set.len(),
            read: one.read,
            good: one.error.is_none(),
            from_copy: one.copy_since.is_some(),
            kept: one.is_kept(),
        });
        files.collect()
    }
}

/// Asks the kernel; what the agent believes is no proof. An interface that is not configured any more may keep an earlier
/// version's program.
fn measured_interface(interface: &Protected, program: Option<u32>) -> MeasuredInterface {
    let found = link::query(interface.index).ok().and_then(|link| link.program);
    let ours = found.filter(|found| Some(found.id) == program || !interface.configured);
    let mode = match ours {
        Some(found) if found.native => "native",
        Some(_) => "generic",
        None => interface.attach.name(),
    };
    MeasuredInterface { name: interface.name.clone(), mode, attached: ours.is_some() }
}
