//! How full the maps are, how much memory they take, and which program is ours.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use aya::{
    Ebpf,
    maps::{Array, Map, MapData, PerCpuArray},
    programs::Program,
};
use stopbank_common::{
    counters::{Counters, slot},
    gcra::{Dimension, Line, TICKS_PER_NS},
    list::{LIST_CAPACITY, LONGER_CAPACITY},
    names,
    policy::{MAX_PROVEN, Policy},
};

use super::{Datapath, DatapathError, FlowUsage, maps::Shared, monotonic_ns};
use crate::config::source_lines;

/// Lines that are looked at for the part of the cells in use, out of all, evenly spaced.
const SAMPLED: u32 = 512;

/// The maps whose memory counts, and what it is counted under.
const COUNTED: [(&str, &str); 14] = [
    (names::POLICY, "policy"),
    (names::LISTS, "lists"),
    (names::LISTS_EXACT, "lists-exact"),
    (names::LISTS_FILTER, "list-files"),
    (names::LISTS_INDEX, "list-files"),
    (names::LISTS_LEAVES, "list-files"),
    (names::LISTS_LONGER, "list-files"),
    (names::SOURCES, "sources"),
    (names::FLOWS, "flows"),
    (names::TOTALS, "totals"),
    (names::PROVEN, "proven"),
    (names::COUNTERS, "counters"),
    (names::SIGNATURES, "signatures"),
    (names::EVENTS, "events"),
];

/// A map that can fill up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapUse {
    /// Which one: a name out of a closed set.
    pub map: &'static str,
    /// Entries in it.
    pub entries: u64,
    /// Entries that it has room for.
    pub capacity: u64,
}

/// Descriptors of the maps whose memory counts.
pub(super) struct Accounts(Vec<(&'static str, OwnedFd)>);

impl Accounts {
    /// Of a loaded object, before its maps are taken out of it.
    pub(super) fn open(ebpf: &Ebpf) -> Result<Self, DatapathError> {
        let mut accounts = Vec::with_capacity(COUNTED.len());
        for (name, counted) in COUNTED {
            let Some(data) = ebpf.map(name).and_then(data) else { continue };
            let fd = data.fd().as_fd().try_clone_to_owned();
            let fd = fd.map_err(|error| DatapathError::kernel(format!("keep map {name} open"), &error))?;
            accounts.push((counted, fd));
        }
        Ok(Self(accounts))
    }
}

/// What is behind a map, for the kinds that there are in the object.
fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data) => Some(data),
        _ => None,
    }
}

/// What the kernel says of a map in /proc/self/fdinfo: one of its numbers; 0 where it says none.
pub(super) fn number_of(map: BorrowedFd<'_>, key: &str) -> u64 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd())).unwrap_or_default();
    info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok()).unwrap_or(0)
}

impl Datapath {
    /// The maps that can fill up. `proven` and `flows` are known to whoever asks.
    pub fn map_use(&self, proven: usize, flows: Option<FlowUsage>) -> Vec<MapUse> {
        let (exact, places) = self.lists.exact_use();
        let mut all = vec![
            MapUse { map: "lists", entries: self.lists.dynamic_len(), capacity: LIST_CAPACITY.into() },
            MapUse { map: "lists-exact", entries: exact, capacity: places },
            MapUse {
                map: "lists-longer",
                entries: self.lists.longer_len(),
                capacity: LONGER_CAPACITY.into(),
            },
            MapUse { map: "proven", entries: proven as u64, capacity: MAX_PROVEN.into() },
        ];
        all.extend(flows.map(|flows| MapUse {
            map: "flows",
            entries: flows.flows,
            capacity: flows.capacity,
        }));
        all
    }

    /// Bytes of kernel memory by map, as the kernel accounts them (before Linux 6.4: at most).
    pub fn map_memory(&self) -> Vec<(&'static str, u64)> {
        let mut memory: Vec<(&'static str, u64)> = Vec::new();
        let inner = [("policy", size_of::<Policy>() as u64), ("list-files", self.lists.memory())];
        let outer = self.accounts.0.iter().map(|(name, map)| (*name, number_of(map.as_fd(), "memlock")));
        for (name, bytes) in outer.chain(inner) {
            match memory.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += bytes,
                None => memory.push((name, bytes)),
            }
        }
        memory
    }

    /// Bytes that the ring buffer of sampled drops holds.
    pub fn events_capacity(&self) -> u64 {
        let ring = self.accounts.0.iter().find(|(name, _)| *name == "events");
        ring.map_or(0, |(_, map)| number_of(map.as_fd(), "max_entries"))
    }

    /// For what takes long to read, without whoever changes anything having to wait.
    pub fn reader(&self) -> Reader {
        Reader { counters: Arc::clone(&self.counters), sources: Arc::clone(&self.sources) }
    }

    /// The kernel's id of the program that this agent has loaded.
    pub fn program_id(&self) -> Option<u32> {
        let Some(Program::Xdp(program)) = self.ebpf.program(names::PROGRAM) else { return None };
        program.info().ok().map(|info| info.id())
    }
}

/// Reads the large tables, beside the datapath that it is of.
#[derive(Clone)]
pub struct Reader {
    counters: Arc<PerCpuArray<MapData, Shared<Counters>>>,
    sources: Arc<Array<MapData, Shared<Line>>>,
}

impl Reader {
    /// See [`Datapath::counters`].
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn counters(&self, interface_slot: u32, class: u8) -> Result<Counters, DatapathError> {
        let values = self
            .counters
            .get(&slot(interface_slot, class), 0)
            .map_err(|error| DatapathError::kernel("read the counters", &error))?;
        let mut sum = Counters::default();
        for Shared(cpu) in values.iter() {
            sum.add(cpu);
        }
        Ok(sum)
    }

    pub(super) fn source_line(&self, index: u32) -> Result<Line, DatapathError> {
        let line =
            self.sources.get(&index, 0).map_err(|error| DatapathError::kernel("read SOURCES", &error))?;
        Ok(line.0)
    }

    /// The part, 0 to 1, of the table of sources whose rates are used up to some extent at the moment, by what they count; estimated
    /// from a sample. It is how likely a new source is to share its rate with somebody. `lines`: of the configuration.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when the kernel does not say.
    pub fn busy_cells(&self, lines: u32) -> Result<[(Dimension, f64); 3], DatapathError> {
        let all = source_lines(lines);
        let sampled = all.min(SAMPLED);
        let now = monotonic_ns() * TICKS_PER_NS;
        let mut cells =
            [(Dimension::Packets, 0..4, 0), (Dimension::Bytes, 4..6, 0), (Dimension::Connections, 6..8, 0)];
        for i in 0..sampled {
            let line = self.source_line((u64::from(i) * u64::from(all) / u64::from(sampled)) as u32)?;
            for (_, range, busy) in &mut cells {
                *busy += line.cells[range.clone()].iter().filter(|arrival| **arrival > now).count();
            }
        }
        Ok(cells.map(|(dimension, range, busy)| {
            (dimension, busy as f64 / (f64::from(sampled) * range.len() as f64))
        }))
    }
}
