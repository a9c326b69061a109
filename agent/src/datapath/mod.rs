//! Between the agent and the kernel: loads the BPF object, keeps its maps and links pinned, and gives typed access to
//! them.
//!
//! Everything that must outlive the agent is pinned below `<pin directory>/v<ABI version>`: the maps by their names,
//! the links as `link_<interface>`. An agent that starts takes over what it finds there, and what an earlier version has
//! left ([`upgrade`]).

mod attach;
mod clock;
pub mod device;
mod error;
mod flows;
mod health;
mod hotplug;
pub mod kinds;
pub mod link;
mod lists;
mod maps;
mod pins;
mod simulation;
mod upgrade;

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, HashMap, MapData, MapError, PerCpuArray, PerCpuValues, RingBuf},
    programs::{Program, TestRun as _, TestRunOptions, Xdp},
};
use ipnet::IpNet;
use stopbank_common::{
    Address,
    counters::{Counters, Tally},
    gcra::{GUARD_UNTIL_CELL, Line, TICKS_PER_NS},
    names,
    policy::{GUARD_ALWAYS, Kept, Policy},
    signature::tally,
};

pub use attach::{
    AttachMode, Attached, PinnedProgram, detach_all, interface_index, pinned_programs, program_name,
    protected,
};
pub use clock::Ticks;
pub use error::{DatapathError, Kind};
use flows::FlowTable;
pub use flows::{FlowUsage, notes_flows};
pub use health::{MapUse, Reader};
pub use hotplug::{Attacher, hurry};
pub use lists::Generation;
use lists::Lists;
pub use maps::EventReader;
use maps::Shared;
use pins::Pins;
pub use pins::is_bpf_filesystem;
pub use simulation::{LONGEST, SHORTEST, Simulation};
use upgrade::Upgrade;

use crate::{
    config::{Flows, source_lines},
    object,
};

/// How the programs are loaded.
#[derive(Clone, Debug)]
pub struct Options {
    /// Lines of per-source rate state, 64 bytes each; a power of two. Prefixes and slow limits get another quarter.
    pub source_lines: u32,
    /// The flow table, for a gateway; its program is only loaded then.
    pub flows: Option<Flows>,
    /// What the program itself logs through aya-log, for development: 0 nothing, 1 errors … 5 everything.
    pub kernel_log: u8,
    /// For a capture instead of a network; see [`Datapath::simulate`].
    pub simulation: Option<Simulation>,
}

impl Default for Options {
    fn default() -> Self {
        Self { source_lines: 1 << 14, flows: None, kernel_log: 0, simulation: None }
    }
}

/// One list entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// `stopbank_common::list::VERDICT_…`.
    pub verdict: u8,
    /// When it ends by [`monotonic_ns`]; 0: never.
    pub expires_ns: u64,
}

/// Result of [`Datapath::run`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The XDP action: 1 is drop, 2 is pass.
    pub action: u32,
    /// Mean time of a run.
    pub time: Duration,
}

/// The loaded program and its maps.
pub struct Datapath {
    ebpf: Ebpf,
    pins: Option<Pins>,
    upgrade: Option<Upgrade>,
    policy: ArrayOfMaps<MapData, Array<MapData, Shared<Policy>>>,
    lists: Lists,
    sources: Arc<Array<MapData, Shared<Line>>>,
    flows: FlowTable,
    totals: Array<MapData, Shared<Line>>,
    proven: HashMap<MapData, [u8; 16], u64>,
    ticks: Ticks,
    counters: Arc<PerCpuArray<MapData, Shared<Counters>>>,
    signatures: PerCpuArray<MapData, Shared<Tally>>,
    events: Option<RingBuf<MapData>>,
    events_lost: PerCpuArray<MapData, u64>,
    kept: Array<MapData, Shared<Kept>>,
    accounts: health::Accounts,
    exchange: Option<simulation::Exchange>,
}

impl Datapath {
    /// Loads the program over the maps pinned below `pins`, making those that are not there. Where maps of another layout are
    /// pinned, this one's are made beside them ([`Self::follows_another_layout`]), and [`Self::finish`] gives those up.
    ///
    /// # Errors
    ///
    /// [`DatapathError`]; nothing that was pinned before is changed then.
    pub fn open(pins: &Path, options: &Options) -> Result<Self, DatapathError> {
        if object::is_stub() {
            return Err(DatapathError::NoObject);
        }
        let (pins, upgrade) = Upgrade::begin(pins, options)?;
        let mut datapath = Self::load(Some(pins), options)?;
        datapath.upgrade = upgrade;
        Ok(datapath)
    }

    /// Loads the program over maps of its own that nobody else sees and that end with it: for tests and benchmarks.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn private(options: &Options) -> Result<Self, DatapathError> {
        if object::is_stub() {
            return Err(DatapathError::NoObject);
        }
        Self::load(None, options)
    }

    fn load(pins: Option<Pins>, options: &Options) -> Result<Self, DatapathError> {
        let simulation = Simulation::bits(options.simulation);
        let mut loader = EbpfLoader::new();
        loader
            .map_max_entries(names::SOURCES, source_lines(options.source_lines))
            .map_max_entries(names::FLOWS, flows::lines(options.flows))
            .override_global(names::LOG_LEVEL, &options.kernel_log, true)
            .override_global(names::SIMULATION, &simulation, true);
        if let Some(pins) = &pins {
            for name in names::PINNED_MAPS {
                loader.map_pin_path(name, pins.path(name));
            }
        }
        let mut ebpf = loader
            .load(object::OBJECT)
            .map_err(|error| DatapathError::kernel("make the BPF maps", &error))?;
        let kept = maps::open_kept(pins.as_ref())?;
        let exchange = options.simulation.map(|_| simulation::Exchange::open(&mut ebpf)).transpose()?;
        // A simulation has one clock, which is exact.
        let ticks = if exchange.is_some() { Ticks::NONE } else { clock::measure(&mut ebpf)? };
        let accounts = health::Accounts::open(&ebpf)?;
        let lists = Lists::take(&mut ebpf)?;
        let mut taken = |name: &'static str| maps::take(&mut ebpf, name);
        let mut datapath = Self {
            policy: maps::typed(taken(names::POLICY)?, names::POLICY)?,
            lists,
            sources: Arc::new(maps::typed(taken(names::SOURCES)?, names::SOURCES)?),
            flows: FlowTable::open(taken(names::FLOWS_STATE)?, options.flows)?,
            totals: maps::typed(taken(names::TOTALS)?, names::TOTALS)?,
            proven: maps::typed(taken(names::PROVEN)?, names::PROVEN)?,
            ticks,
            counters: Arc::new(maps::typed(taken(names::COUNTERS)?, names::COUNTERS)?),
            signatures: maps::typed(taken(names::SIGNATURES)?, names::SIGNATURES)?,
            events: Some(maps::typed(taken(names::EVENTS)?, names::EVENTS)?),
            events_lost: maps::typed(taken(names::EVENTS_LOST)?, names::EVENTS_LOST)?,
            kept,
            accounts,
            exchange,
            pins,
            upgrade: None,
            ebpf,
        };
        datapath.program()?.load().map_err(|error| DatapathError::kernel("load the XDP program", &error))?;
        datapath.load_egress()?;
        Ok(datapath)
    }

    fn program(&mut self) -> Result<&mut Xdp, DatapathError> {
        let program = self.ebpf.program_mut(names::PROGRAM).ok_or_else(|| missing(names::PROGRAM))?;
        program.try_into().map_err(|error| DatapathError::kernel("use the XDP program", &error))
    }

    /// What an earlier agent left: the hash key (drawn when the maps are first made) and the classes' numbers.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when the map cannot be read.
    pub fn kept(&self) -> Result<Kept, DatapathError> {
        let kept = self.kept.get(&0, 0).map_err(|error| DatapathError::kernel("read KEPT", &error))?;
        Ok(kept.0)
    }

    /// Leaves this to the next agent.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when the map cannot be written.
    pub fn keep(&mut self, kept: &Kept) -> Result<(), DatapathError> {
        self.kept.set(0, Shared(*kept), 0).map_err(|error| DatapathError::kernel("write KEPT", &error))
    }

    /// Puts a policy in force as a whole, with this kernel's ticks in it: written to a map of its own, which then takes the place of the old one. When
    /// this returns, no packet is judged by the old policy any more (the kernel waits for programs that run).
    ///
    /// # Errors
    ///
    /// [`DatapathError`]; the old policy stays in force then.
    pub fn install(&mut self, policy: &mut Policy) -> Result<(), DatapathError> {
        (policy.tick_ns, policy.tick_offset_ns) = (self.ticks.tick_ns, self.ticks.offset_ns);
        let failed = |error| DatapathError::kernel("put the policy in force", &error);
        let mut fresh = Array::<MapData, Shared<Policy>>::create(1, 0).map_err(failed)?;
        fresh.set(0, Shared::from_ref(policy), 0).map_err(failed)?;
        self.policy.set(0, &fresh, 0).map_err(failed)
    }

    /// Takes a source (cut to the prefix of the policy's first level) as proven, until a time by [`monotonic_ns`] (0:
    /// until it is taken back).
    ///
    /// # Errors
    ///
    /// [`DatapathError`], when the table is full for instance.
    pub fn prove(&mut self, source: Address, until_ns: u64) -> Result<(), DatapathError> {
        self.proven
            .insert(source.to_bytes(), until_ns, 0)
            .map_err(|error| DatapathError::kernel("take a source as proven", &error))
    }

    /// Takes a proof back; whether there was one.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn unprove(&mut self, source: Address) -> Result<bool, DatapathError> {
        match self.proven.remove(&source.to_bytes()) {
            Ok(()) => Ok(true),
            Err(error) if error::errno(&error) == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(DatapathError::kernel("take a proof back", &error)),
        }
    }

    /// Until when a source (cut to the first level's prefix) is proven, if it is; 0: until it is taken back.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn proof(&self, source: Address) -> Result<Option<u64>, DatapathError> {
        match self.proven.get(&source.to_bytes(), 0) {
            Ok(until) => Ok(Some(until)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(DatapathError::kernel("look for a proof", &error)),
        }
    }

    /// The proven sources, and until when.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn proven(&self) -> Result<Vec<(Address, u64)>, DatapathError> {
        let failed = |error| DatapathError::kernel("read the proven sources", &error);
        self.proven
            .iter()
            .map(|item| item.map(|(key, until)| (Address::from_bytes(key), until)).map_err(failed))
            .collect()
    }

    /// Whether the SYNs of a class with this guard (`GUARD_…`) are answered with cookies now.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn guarded(&self, class: u8, guard: u32) -> Result<bool, DatapathError> {
        let until = self.total_line(class)?.cells[GUARD_UNTIL_CELL];
        Ok(guard == GUARD_ALWAYS || until > monotonic_ns() * TICKS_PER_NS)
    }

    /// Inserts or replaces a dynamic list entry.
    ///
    /// # Errors
    ///
    /// [`DatapathError`], when the lists are full for instance.
    pub fn list_insert(&mut self, prefix: IpNet, entry: Entry) -> Result<(), DatapathError> {
        self.lists.insert(prefix, entry)
    }

    /// Removes a dynamic list entry; whether there was one.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn list_remove(&mut self, prefix: IpNet) -> Result<bool, DatapathError> {
        self.lists.remove(prefix)
    }

    /// Every dynamic entry of the lists, as an earlier agent may have left them.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn list_entries(&self) -> Result<Vec<(IpNet, Entry)>, DatapathError> {
        self.lists.entries()
    }

    /// The counters of an interface slot and a class, all CPUs together.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn counters(&self, interface_slot: u32, class: u8) -> Result<Counters, DatapathError> {
        self.reader().counters(interface_slot, class)
    }

    /// What the signature with a counter has matched, all CPUs together: dropped, and observed.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn signature_matches(&self, counter: u32) -> Result<[Tally; 2], DatapathError> {
        let sum = |observed| {
            let values = self
                .signatures
                .get(&tally(counter, observed), 0)
                .map_err(|error| DatapathError::kernel("read the counts of signatures", &error))?;
            let mut sum = Tally::default();
            values.iter().for_each(|Shared(cpu)| sum += *cpu);
            Ok(sum)
        };
        Ok([sum(false)?, sum(true)?])
    }

    /// Begins the counts of a signature anew: its counter is another's now.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn reset_signature(&mut self, counter: u32) -> Result<(), DatapathError> {
        const TRIED: &str = "reset the count of a signature";
        let failed = |error| DatapathError::kernel(TRIED, &error);
        for place in [false, true].map(|observed| tally(counter, observed)) {
            let cpus = self.signatures.get(&place, 0).map_err(failed)?.len();
            let zeroes = PerCpuValues::try_from(vec![Shared(Tally::default()); cpus])
                .map_err(|error| DatapathError::kernel(TRIED, &error))?;
            self.signatures.set(place, zeroes, 0).map_err(failed)?;
        }
        Ok(())
    }

    /// Events that found the ring buffer full.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn events_lost(&self) -> Result<u64, DatapathError> {
        let values =
            self.events_lost.get(&0, 0).map_err(|error| DatapathError::kernel("read EVENTS_LOST", &error))?;
        Ok(values.iter().sum())
    }

    /// The reading end of the event ring. There is one.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when it was taken before.
    pub fn take_events(&mut self) -> Result<EventReader, DatapathError> {
        self.events.take().map(EventReader::new).ok_or_else(|| missing(names::EVENTS))
    }

    /// Records of the program's own log (aya-log), to be read while `kernel_log` is above 0.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when it was taken before.
    pub fn take_kernel_log(&mut self) -> Result<aya_log::EbpfLogger<&'static dyn log::Log>, DatapathError> {
        aya_log::EbpfLogger::init(&mut self.ebpf)
            .map_err(|error| DatapathError::kernel("read the program's log", &error))
    }

    /// Runs a frame through the program without a network (`BPF_PROG_TEST_RUN`), `repeat` times.
    ///
    /// # Errors
    ///
    /// [`DatapathError`]; the kernel refuses frames below 14 bytes.
    pub fn run(&self, frame: &[u8], repeat: u32) -> Result<Run, DatapathError> {
        let Some(Program::Xdp(program)) = self.ebpf.program(names::PROGRAM) else {
            return Err(missing(names::PROGRAM));
        };
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = repeat;
        let result = program
            .test_run(options)
            .map_err(|error| DatapathError::kernel("run a frame through the program", &error))?;
        Ok(Run { action: result.return_value, time: result.duration })
    }

    /// Runs a frame through the program without a network, once, and gives it as the program leaves it.
    ///
    /// # Errors
    ///
    /// [`DatapathError`]; the kernel refuses frames below 14 bytes.
    pub fn run_and_see(&self, frame: &[u8]) -> Result<(Run, Vec<u8>), DatapathError> {
        let Some(Program::Xdp(program)) = self.ebpf.program(names::PROGRAM) else {
            return Err(missing(names::PROGRAM));
        };
        // An answer may be longer than what it answers.
        let mut left = vec![0; frame.len() + 256];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut left);
        options.repeat = 1;
        let result = program
            .test_run(options)
            .map_err(|error| DatapathError::kernel("run a frame through the program", &error))?;
        left.truncate(result.data_size_out as usize);
        Ok((Run { action: result.return_value, time: result.duration }, left))
    }

    /// Descriptor of the program, for benchmarks that call it from another one.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn program_fd(&mut self) -> Result<aya::programs::ProgramFd, DatapathError> {
        let program = self.program()?;
        let fd = program.fd().map_err(|error| DatapathError::kernel("use the XDP program", &error))?;
        fd.try_clone().map_err(|error| DatapathError::kernel("use the XDP program", &error))
    }

    /// One line of the per-source rate state.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn source_line(&self, index: u32) -> Result<Line, DatapathError> {
        self.reader().source_line(index)
    }

    /// The line of a class's totals.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn total_line(&self, class: u8) -> Result<Line, DatapathError> {
        let line = self
            .totals
            .get(&class.into(), 0)
            .map_err(|error| DatapathError::kernel("read TOTALS", &error))?;
        Ok(line.0)
    }
}

/// The kernel's monotonic clock, by which list entries expire.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec, and CLOCK_MONOTONIC exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn list_key(prefix: IpNet) -> aya::maps::lpm_trie::Key<[u8; 16]> {
    let prefix = prefix.trunc();
    let bits = match prefix {
        IpNet::V4(v4) => 96 + u32::from(v4.prefix_len()),
        IpNet::V6(v6) => u32::from(v6.prefix_len()),
    };
    aya::maps::lpm_trie::Key::new(bits, Address::from(prefix.addr()).to_bytes())
}

fn prefix_of(key: &aya::maps::lpm_trie::Key<[u8; 16]>) -> IpNet {
    let (bits, bytes) = (key.prefix_len().min(128) as u8, key.data());
    let address = Address::from_bytes(bytes);
    match IpAddr::from(address) {
        IpAddr::V4(v4) if bits >= 96 => IpNet::new_assert(v4.into(), bits - 96),
        _ => IpNet::new_assert(std::net::Ipv6Addr::from(bytes).into(), bits),
    }
}

fn missing(name: &str) -> DatapathError {
    DatapathError::Kernel {
        tried: format!("use {name}"),
        why: "it is not there (taken before, or not in the object)".to_owned(),
    }
}
