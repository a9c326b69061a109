//! The programs, loaded, and one turn of one of them.

use std::{
    collections::BTreeSet,
    ffi::CString,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, PerCpuArray, ProgramArray, lpm_trie::LpmTrie},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use clap::ValueEnum;
use stopbank::{
    datapath::{Datapath, Options},
    lists::feeds::PrefixSet,
};
use stopbank_common::{Reason, counters::Counters, policy::MAX_CLASSES};
use stopbank_tests::scratch::Scratch;

use crate::{
    features::{self, Config, Features, Lists},
    memory::{self, Memory},
    packets::{self, Packet, Sources},
};

pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench-xdp"));

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
    /// Ours, as most will configure it.
    Stopbank,
    /// Ours with everything on.
    StopbankFull,
    /// A fixed window per source in an LRU hash map.
    LruLimiter,
    /// Debian's xdp-filter with nothing listed: a packet is looked up in every list, and then dropped.
    XdpFilter,
}

impl Program {
    pub(crate) const ALL: [Self; 5] =
        [Self::Empty, Self::Stopbank, Self::StopbankFull, Self::LruLimiter, Self::XdpFilter];

    /// Ours has one name in both configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Stopbank | Self::StopbankFull => "stopbank",
            Self::LruLimiter => "lru-limiter",
            Self::XdpFilter => "xdp-filter",
        }
    }

    /// Ours in a configuration.
    pub(crate) const fn ours(config: Config) -> Self {
        match config {
            Config::Default => Self::Stopbank,
            Config::Full => Self::StopbankFull,
        }
    }

    /// The configuration of ours.
    pub(crate) const fn config(self) -> Option<Config> {
        match self {
            Self::Stopbank => Some(Config::Default),
            Self::StopbankFull => Some(Config::Full),
            Self::Empty | Self::LruLimiter | Self::XdpFilter => None,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.config() {
            Some(config) => write!(f, "{} {config}", self.name()),
            None => f.write_str(self.name()),
        }
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

/// What to load.
pub(crate) struct Choice {
    pub(crate) without: Vec<Program>,
    /// Lines of stopbank's table of sources.
    pub(crate) lines: u32,
    pub(crate) xdp_filter: PathBuf,
}

/// Programs of our object for the benchmark that are run by test runs.
const PEERS: [&str; 10] = [
    "empty",
    "empty_frags",
    "lru_limiter",
    "lpm_deny",
    "mutate_v4",
    "mutate_v6",
    "mutate_v4_frags",
    "mutate_v6_frags",
    "renew_syn_v4",
    "renew_syn_v6",
];

/// Everything that is loaded.
pub(crate) struct Programs {
    peers: Ebpf,
    source_bits: Array<MapData, u32>,
    /// Which program the mutators call: one that takes frames in several buffers, one that does not.
    target_frags: ProgramArray<MapData>,
    target: ProgramArray<MapData>,
    ours: Vec<(Config, Ours)>,
    /// Lines of their tables of sources.
    lines: u32,
    filter: Option<Filter>,
    without: Vec<Program>,
    maps: Vec<(Program, BTreeSet<u64>)>,
}

struct Ours {
    datapath: Datapath,
    program: ProgramFd,
}

pub(crate) struct Filter {
    ebpf: Ebpf,
    counters: PerCpuArray<MapData, [u64; 2]>,
}

impl Programs {
    /// Loads what is not left out: `chosen`.
    pub(crate) fn load(chosen: &Choice, feed: &Arc<PrefixSet>) -> Result<Self> {
        ensure!(!OBJECT.is_empty(), "built without its BPF programs: run `cargo xtask build`");
        let with = |program| !chosen.without.contains(&program);
        let filter = &chosen.xdp_filter;
        if with(Program::XdpFilter) && !filter.exists() {
            bail!(
                "xdp-filter is not here ({} is missing): install Debian's package xdp-tools, say where it is \
                 (--xdp-filter FILE), or go --without xdp-filter",
                filter.display()
            );
        }
        let (mut ours, mut maps) = (Vec::new(), Vec::new());
        for config in Config::ALL {
            let program = Program::ours(config);
            if with(program) {
                let before = map_ids();
                let mut one = Ours::load(chosen.lines)?;
                config.features().install(&mut one.datapath, feed, chosen.lines)?;
                maps.push((program, &map_ids() - &before));
                ours.push((config, one));
            }
        }
        let loaded = map_ids();
        let mut peers = Ebpf::load(OBJECT).context("cannot make the maps of the benchmark's programs")?;
        for name in PEERS {
            xdp_mut(&mut peers, name)?.load().with_context(|| format!("cannot load {name}"))?;
        }
        if with(Program::LruLimiter) {
            maps.push((Program::LruLimiter, &map_ids() - &loaded));
        }
        Ok(Self {
            source_bits: map(&mut peers, "SOURCE_BITS")?,
            target_frags: map(&mut peers, "TARGET_FRAGS")?,
            target: map(&mut peers, "TARGET")?,
            ours,
            lines: chosen.lines,
            filter: if with(Program::XdpFilter) { Some(Filter::load(filter)?) } else { None },
            without: chosen.without.clone(),
            peers,
            maps,
        })
    }

    /// What takes turns.
    pub(crate) fn all(&self) -> Vec<Program> {
        Program::ALL.into_iter().filter(|program| !self.without.contains(program)).collect()
    }

    /// Kernel memory of the maps of the programs that keep state per source.
    pub(crate) fn memory(&self) -> Memory {
        self.maps.iter().map(|(program, ids)| (program.to_string(), memory::sum(ids))).collect()
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
            Program::Stopbank => self.stopbank(Config::Default, packet, sources, repeat),
            Program::StopbankFull => self.stopbank(Config::Full, packet, sources, repeat),
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

    fn stopbank(&mut self, config: Config, packet: Packet, sources: Sources, repeat: u32) -> Result<Turn> {
        let (ns, counts) = self.ours(config, packet, sources, repeat)?;
        let of = |reason| counts.of(reason).0.packets;
        let sum = |reasons: &[Reason]| reasons.iter().map(|&one| of(one)).sum::<u64>();
        let counted = sum(Reason::ALL);
        ensure!(counted == u64::from(repeat), "{counted} counted of {repeat}");
        let limited = sum(&[Reason::SourcePackets, Reason::SourceBytes, Reason::SourceConnections]);
        let early = counted - of(Reason::Passed) - limited;
        // Of random IPv4 sources, one in a hundred is in a prefix of the large list.
        let most = if config.features().lists == Lists::Million { 50 } else { 10_000 };
        ensure!(early * most <= counted, "{early} of {counted} did not go the whole way");
        ensure!(sources == Sources::One || limited * 1000 <= counted, "{limited} of {counted} dropped");
        Ok(Turn { ns, dropped: Some(limited as f64 / f64::from(repeat)) })
    }

    /// One turn of ours whatever becomes of the packets, and what was counted.
    pub(crate) fn ours(
        &mut self,
        config: Config,
        packet: Packet,
        sources: Sources,
        repeat: u32,
    ) -> Result<(f64, Counters)> {
        self.source_bits.set(0, sources.bits(), 0)?;
        let before = self.one(config)?.counted()?;
        let at = self.position(config)?;
        self.target_frags.set(0, &self.ours[at].1.program, 0)?;
        let (ns, _) = self.time(packet, true, repeat)?;
        let mut counted = self.one(config)?.counted()?;
        for (now, before) in counted.judged.iter_mut().zip(&before.judged) {
            now.packets -= before.packets;
        }
        Ok((ns, counted))
    }

    /// A turn of SYNs that ours, as it was last set up, answers: each written anew before it is judged. And what was counted.
    pub(crate) fn syn_answered(
        &mut self,
        v4: bool,
        sources: Sources,
        repeat: u32,
    ) -> Result<(f64, Counters)> {
        let before = self.one(Config::Default)?.counted()?;
        let at = self.position(Config::Default)?;
        self.target_frags.set(0, &self.ours[at].1.program, 0)?;
        let ns = self.syns(v4, sources, repeat)?;
        let mut counted = self.one(Config::Default)?.counted()?;
        for (now, before) in counted.judged.iter_mut().zip(&before.judged) {
            now.packets -= before.packets;
        }
        Ok((ns, counted))
    }

    /// The same SYNs to the empty program.
    pub(crate) fn syn_to_nobody(&mut self, v4: bool, sources: Sources, repeat: u32) -> Result<f64> {
        self.target_frags.set(0, xdp(&self.peers, "empty_frags")?.fd()?, 0)?;
        self.syns(v4, sources, repeat)
    }

    fn syns(&mut self, v4: bool, sources: Sources, repeat: u32) -> Result<f64> {
        self.source_bits.set(0, sources.bits(), 0)?;
        let frame = packets::syn_with_options(v4);
        let mut template = [0; 128];
        template[..frame.len()].copy_from_slice(&frame);
        let mut map: Array<_, [u8; 128]> =
            self.peers.map_mut("SYN_TEMPLATE").context("no map for a SYN")?.try_into()?;
        map.set(0, template, 0)?;
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame);
        options.repeat = repeat;
        let name = if v4 { "renew_syn_v4" } else { "renew_syn_v6" };
        Ok(xdp(&self.peers, name)?.test_run(options)?.duration.as_nanos() as f64)
    }

    /// Gives a configuration's program another policy and other lists.
    pub(crate) fn install(
        &mut self,
        config: Config,
        features: Features,
        feed: &Arc<PrefixSet>,
    ) -> Result<()> {
        let lines = self.lines;
        features.install(self.datapath(config)?, feed, lines)
    }

    /// Where lists and policy of a configuration are.
    pub(crate) fn datapath(&mut self, config: Config) -> Result<&mut Datapath> {
        let at = self.position(config)?;
        Ok(&mut self.ours[at].1.datapath)
    }

    fn position(&self, config: Config) -> Result<usize> {
        let found = self.ours.iter().position(|(one, _)| *one == config);
        found.with_context(|| format!("stopbank was not loaded with {config}"))
    }

    fn one(&self, config: Config) -> Result<&Ours> {
        Ok(&self.ours[self.position(config)?].1)
    }

    /// The comparison of lists: a trie of prefixes, each of which is dropped.
    pub(crate) fn lpm_list(&mut self) -> Result<LpmTrie<MapData, u32, u8>> {
        map(&mut self.peers, "LPM_DENY")
    }

    /// One turn of that.
    pub(crate) fn lpm(&mut self, sources: Sources, repeat: u32) -> Result<f64> {
        self.source_bits.set(0, sources.bits(), 0)?;
        self.target_frags.set(0, xdp(&self.peers, "lpm_deny")?.fd()?, 0)?;
        Ok(self.time(Packet::Udp4, true, repeat)?.0)
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
}

impl Ours {
    fn load(lines: u32) -> Result<Self> {
        let mut datapath = Datapath::private(&Options { source_lines: lines, ..Options::default() })?;
        Ok(Self { program: datapath.program_fd()?, datapath })
    }

    /// What it has counted in every class.
    fn counted(&self) -> Result<Counters> {
        let mut sum = Counters::default();
        for class in 0..MAX_CLASSES as u8 {
            sum.add(&self.datapath.counters(features::SLOT, class)?);
        }
        Ok(sum)
    }
}

impl Filter {
    /// Its maps ask to be pinned, so that its own command line finds them; here nobody needs to.
    pub(crate) fn load(object: &Path) -> Result<Self> {
        let pins = PinsForNobody::new()?;
        let mut ebpf = EbpfLoader::new()
            .default_map_pin_directory(pins.0.path())
            .load_file(object)
            .with_context(|| format!("cannot make the maps of {}", object.display()))?;
        xdp_mut(&mut ebpf, XDP_FILTER_PROGRAM)?.load().context("cannot load xdp-filter")?;
        Ok(Self { counters: map(&mut ebpf, XDP_FILTER_COUNTERS)?, ebpf })
    }

    /// Its program, loaded.
    pub(crate) fn program(&mut self) -> Result<&mut Xdp> {
        xdp_mut(&mut self.ebpf, XDP_FILTER_PROGRAM)
    }

    fn dropped(&self) -> Result<u64> {
        Ok(self.counters.get(&DROP, 0)?.iter().map(|[packets, _]| packets).sum())
    }
}

/// The program that drops everything at once, loaded, to be attached.
pub(crate) struct Bare(Ebpf);

impl Bare {
    pub(crate) fn load() -> Result<Self> {
        let mut ebpf = Ebpf::load(OBJECT).context("cannot make the maps of the benchmark's programs")?;
        xdp_mut(&mut ebpf, "empty_frags")?.load()?;
        Ok(Self(ebpf))
    }

    pub(crate) fn program(&mut self) -> Result<&mut Xdp> {
        xdp_mut(&mut self.0, "empty_frags")
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

pub(crate) fn xdp<'e>(ebpf: &'e Ebpf, name: &str) -> Result<&'e Xdp> {
    Ok(ebpf.program(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

pub(crate) fn xdp_mut<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

pub(crate) fn map<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M> {
    let map = ebpf.take_map(name).with_context(|| format!("no map {name}"))?;
    M::try_from(map).with_context(|| format!("map {name}"))
}

fn map_ids() -> BTreeSet<u64> {
    memory::of_maps().into_keys().collect()
}
