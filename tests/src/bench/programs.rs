//! The programs, loaded, and one turn of one of them.

use std::{collections::BTreeSet, ffi::CString, fmt, io, path::Path};

use anyhow::{Context, Result, bail, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, PerCpuArray, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use clap::ValueEnum;
use stopbank::datapath::{Datapath, Options};
use stopbank_common::{Reason, counters::Counters, policy::MAX_CLASSES};
use stopbank_tests::scratch::Scratch;

use crate::{
    memory::{self, Memory},
    packets::{Packet, Sources},
    policy::{self, Part},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench-xdp"));

/// Where Debian's xdp-tools has xdp-filter with every feature, in the mode that drops what is
/// not listed.
pub(crate) const XDP_FILTER: &str = "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_dny_all.o";
const XDP_FILTER_PROGRAM: &str = "xdpfilt_dny_all";
/// Packets and bytes by XDP action.
const XDP_FILTER_COUNTERS: &str = "xdp_stats_map";

const DROP: u32 = 1;
const PASS: u32 = 2;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Program {
    /// Drops at once: what every program costs.
    Empty,
    /// Ours.
    Stopbank,
    /// A fixed window per source in an LRU hash map.
    LruLimiter,
    /// Debian's xdp-filter with nothing listed: a packet is looked up in every list, and then dropped.
    XdpFilter,
}

impl Program {
    pub(crate) const ALL: [Self; 4] = [Self::Empty, Self::Stopbank, Self::LruLimiter, Self::XdpFilter];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Stopbank => "stopbank",
            Self::LruLimiter => "lru-limiter",
            Self::XdpFilter => "xdp-filter",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Nanoseconds per packet.
    pub(crate) ns: f64,
    /// How much of it was dropped, where that was counted: 0 to 1.
    pub(crate) dropped: Option<f64>,
}

/// Everything that is loaded.
pub(crate) struct Programs {
    peers: Ebpf,
    source_bits: Array<MapData, u32>,
    /// Which program the mutators call: one that takes frames in several buffers, one that does not.
    target_frags: ProgramArray<MapData>,
    target: ProgramArray<MapData>,
    datapath: Datapath,
    ours: ProgramFd,
    filter: Option<Filter>,
    without: Vec<Program>,
    maps: Vec<(&'static str, BTreeSet<u64>)>,
}

struct Filter {
    ebpf: Ebpf,
    counters: PerCpuArray<MapData, [u64; 2]>,
}

impl Programs {
    /// Loads what is not left out.
    pub(crate) fn load(without: &[Program], lines: u32, limits: &[Part], filter: &Path) -> Result<Self> {
        ensure!(!OBJECT.is_empty(), "built without its BPF programs: run `cargo xtask build`");
        let with = |program| !without.contains(&program);
        if with(Program::XdpFilter) && !filter.exists() {
            bail!(
                "xdp-filter is not here ({} is missing): install Debian's package xdp-tools, say where it is \
                 (--xdp-filter FILE), or go --without xdp-filter",
                filter.display()
            );
        }
        let unloaded = map_ids();
        let mut datapath = Datapath::private(&Options { source_lines: lines, ..Options::default() })?;
        policy::install(&mut datapath, limits)?;
        let our_maps = &map_ids() - &unloaded;
        let loaded = map_ids();
        let mut peers = Ebpf::load(OBJECT).context("cannot make the maps of the benchmark's programs")?;
        for name in [
            "empty",
            "empty_frags",
            "lru_limiter",
            "mutate_v4",
            "mutate_v6",
            "mutate_v4_frags",
            "mutate_v6_frags",
        ] {
            xdp_mut(&mut peers, name)?.load().with_context(|| format!("cannot load {name}"))?;
        }
        let peers_maps = &map_ids() - &loaded;
        let mut maps = vec![(Program::Stopbank.name(), our_maps)];
        if with(Program::LruLimiter) {
            maps.push((Program::LruLimiter.name(), peers_maps));
        }
        Ok(Self {
            source_bits: map(&mut peers, "SOURCE_BITS")?,
            target_frags: map(&mut peers, "TARGET_FRAGS")?,
            target: map(&mut peers, "TARGET")?,
            ours: datapath.program_fd()?,
            filter: if with(Program::XdpFilter) { Some(Filter::load(filter)?) } else { None },
            without: without.to_vec(),
            peers,
            datapath,
            maps,
        })
    }

    /// What takes turns.
    pub(crate) fn all(&self) -> Vec<Program> {
        Program::ALL.into_iter().filter(|program| !self.without.contains(program)).collect()
    }

    /// Kernel memory of the maps of the programs that keep state per source.
    pub(crate) fn memory(&self) -> Memory {
        self.maps.iter().map(|(program, ids)| (*program, memory::sum(ids))).collect()
    }

    /// One turn, checked: a program that did something else than it should is not worth timing.
    pub(crate) fn turn(
        &mut self,
        program: Program,
        packet: Packet,
        sources: Sources,
        repeat: u32,
    ) -> Result<Turn> {
        self.source_bits.set(0, sources.bits(), 0)?;
        let turn = match program {
            Program::Empty => self.empty(packet, repeat),
            Program::Stopbank => self.stopbank(packet, sources, repeat),
            Program::LruLimiter => self.lru_limiter(packet, sources, repeat),
            Program::XdpFilter => self.xdp_filter(packet, repeat),
        };
        turn.with_context(|| format!("{program} with {packet} of {sources} sources"))
    }

    /// The mean of both kinds: they are the same two instructions, and so are the mutators before them.
    fn empty(&mut self, packet: Packet, repeat: u32) -> Result<Turn> {
        self.target_frags.set(0, xdp(&self.peers, "empty_frags")?.fd()?, 0)?;
        let (frags, action) = self.time(packet, true, repeat / 2)?;
        expect(DROP, action)?;
        self.target.set(0, xdp(&self.peers, "empty")?.fd()?, 0)?;
        let (plain, action) = self.time(packet, false, repeat / 2)?;
        expect(DROP, action)?;
        Ok(Turn { ns: f64::midpoint(frags, plain), dropped: None })
    }

    fn stopbank(&mut self, packet: Packet, sources: Sources, repeat: u32) -> Result<Turn> {
        self.target_frags.set(0, &self.ours, 0)?;
        let before = self.counted()?;
        let (ns, _) = self.time(packet, true, repeat)?;
        let after = self.counted()?;
        let of = |reason| after.of(reason).0.packets - before.of(reason).0.packets;
        let sum = |reasons: &[Reason]| reasons.iter().map(|&one| of(one)).sum::<u64>();
        let counted = sum(Reason::ALL);
        ensure!(counted == u64::from(repeat), "{counted} counted of {repeat}");
        let limited = sum(&[Reason::SourcePackets, Reason::SourceBytes, Reason::SourceConnections]);
        // Next to none: a few random sources are on the lists.
        let early = counted - of(Reason::Passed) - limited;
        ensure!(early * 10_000 <= counted, "{early} of {counted} did not go the whole way");
        ensure!(sources == Sources::One || limited * 1000 <= counted, "{limited} of {counted} dropped");
        Ok(Turn { ns, dropped: Some(limited as f64 / f64::from(repeat)) })
    }

    /// One turn of ours whatever becomes of the packets, and what was counted.
    pub(crate) fn ours(&mut self, packet: Packet, sources: Sources, repeat: u32) -> Result<(f64, Counters)> {
        self.source_bits.set(0, sources.bits(), 0)?;
        self.target_frags.set(0, &self.ours, 0)?;
        let before = self.counted()?;
        let (ns, _) = self.time(packet, true, repeat)?;
        let mut counted = self.counted()?;
        for (now, before) in counted.judged.iter_mut().zip(&before.judged) {
            now.packets -= before.packets;
        }
        Ok((ns, counted))
    }

    /// Where lists and policy are.
    pub(crate) fn datapath(&mut self) -> &mut Datapath {
        &mut self.datapath
    }

    fn lru_limiter(&mut self, packet: Packet, sources: Sources, repeat: u32) -> Result<Turn> {
        self.target_frags.set(0, xdp(&self.peers, "lru_limiter")?.fd()?, 0)?;
        let (ns, action) = self.time(packet, true, repeat)?;
        expect(if sources == Sources::One { DROP } else { PASS }, action)?;
        Ok(Turn { ns, dropped: None })
    }

    fn xdp_filter(&mut self, packet: Packet, repeat: u32) -> Result<Turn> {
        let Some(filter) = &self.filter else { bail!("it was not loaded") };
        let program = xdp(&filter.ebpf, XDP_FILTER_PROGRAM)?;
        self.target.set(0, program.fd()?, 0)?;
        let before = filter.dropped()?;
        let (ns, action) = self.time(packet, false, repeat)?;
        expect(DROP, action)?;
        let dropped = filter.dropped()? - before;
        ensure!(dropped == u64::from(repeat), "{dropped} of {repeat} dropped");
        Ok(Turn { ns, dropped: Some(1.0) })
    }

    /// Nanoseconds per packet, and what became of the last one.
    fn time(&self, packet: Packet, frags: bool, repeat: u32) -> Result<(f64, u32)> {
        let mutator = match (packet.is_v4(), frags) {
            (true, true) => "mutate_v4_frags",
            (true, false) => "mutate_v4",
            (false, true) => "mutate_v6_frags",
            (false, false) => "mutate_v6",
        };
        let frame = packet.frame();
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame);
        options.repeat = repeat;
        let result = xdp(&self.peers, mutator)?.test_run(options)?;
        Ok((result.duration.as_nanos() as f64, result.return_value))
    }

    /// What ours has counted in every class.
    fn counted(&self) -> Result<Counters> {
        let mut sum = Counters::default();
        for class in 0..MAX_CLASSES as u8 {
            sum.add(&self.datapath.counters(policy::SLOT, class)?);
        }
        Ok(sum)
    }
}

impl Filter {
    /// Its maps ask to be pinned, so that its own command line finds them; here nobody needs to.
    fn load(object: &Path) -> Result<Self> {
        let pins = PinsForNobody::new()?;
        let mut ebpf = EbpfLoader::new()
            .default_map_pin_directory(pins.0.path())
            .load_file(object)
            .with_context(|| format!("cannot make the maps of {}", object.display()))?;
        xdp_mut(&mut ebpf, XDP_FILTER_PROGRAM)?.load().context("cannot load xdp-filter")?;
        Ok(Self { counters: map(&mut ebpf, XDP_FILTER_COUNTERS)?, ebpf })
    }

    fn dropped(&self) -> Result<u64> {
        Ok(self.counters.get(&DROP, 0)?.iter().map(|[packets, _]| packets).sum())
    }
}

/// A BPF file system of our own: gone before anybody can open what is pinned in it.
struct PinsForNobody(Scratch);

impl PinsForNobody {
    fn new() -> Result<Self> {
        let directory = Scratch::new()?;
        let path = c_string(&directory)?;
        // SAFETY: the strings are C strings; there is no data.
        let mounted =
            unsafe { libc::mount(c"bpf".as_ptr(), path.as_ptr(), c"bpf".as_ptr(), 0, std::ptr::null()) };
        if mounted != 0 {
            let error = io::Error::last_os_error();
            return Err(error).with_context(|| {
                format!("cannot mount a BPF file system on {}", directory.path().display())
            });
        }
        Ok(Self(directory))
    }
}

impl Drop for PinsForNobody {
    fn drop(&mut self) {
        if let Ok(path) = c_string(&self.0) {
            // SAFETY: a C string.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

fn c_string(directory: &Scratch) -> Result<CString> {
    Ok(CString::new(directory.path().as_os_str().as_encoded_bytes())?)
}

fn expect(expected: u32, action: u32) -> Result<()> {
    ensure!(action == expected, "returned XDP action {action}, not {expected}");
    Ok(())
}

fn xdp<'e>(ebpf: &'e Ebpf, name: &str) -> Result<&'e Xdp> {
    Ok(ebpf.program(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

fn xdp_mut<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

fn map<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<M> {
    let map = ebpf.take_map(name).with_context(|| format!("no map {name}"))?;
    M::try_from(map).with_context(|| format!("map {name}"))
}

fn map_ids() -> BTreeSet<u64> {
    memory::of_maps().into_keys().collect()
}
