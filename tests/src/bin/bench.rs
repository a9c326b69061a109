//! `cargo xtask bench`: what a packet costs, ours and others', and what is left of a service under attack.
//!
//! Programs run over the same frames in the kernel (BPF_PROG_TEST_RUN), or stand behind veths that real frames go through,
//! in turns, so that whatever else the machine does hits all of them; medians count. Figures of one run compare with each
//! other, not with those of another machine.

#[path = "../bench/commands.rs"]
mod commands;
#[path = "../bench/cookies.rs"]
mod cookies;
#[path = "../bench/features.rs"]
mod features;
#[path = "../bench/feed.rs"]
mod feed;
#[path = "../bench/gaps.rs"]
mod gaps;
#[path = "../bench/gateway.rs"]
mod gateway;
#[path = "../bench/https.rs"]
mod https;
#[path = "../bench/lists.rs"]
mod lists;
#[path = "../bench/live.rs"]
mod live;
#[path = "../bench/load.rs"]
mod load;
#[path = "../bench/measure.rs"]
mod measure;
#[path = "../bench/memory.rs"]
mod memory;
#[path = "../bench/packets.rs"]
mod packets;
#[path = "../bench/programs.rs"]
mod programs;
#[path = "../bench/report.rs"]
mod report;
#[path = "../bench/rows.rs"]
mod rows;
#[path = "../bench/scrape.rs"]
mod scrape;
#[path = "../bench/soak.rs"]
mod soak;
#[path = "../bench/steps.rs"]
mod steps;

use std::{fs::File, io::BufWriter, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use serde_json::Value;
use stopbank::{config::Config, lists::feeds::PrefixSet};
use stopbank_tests::{
    cpu::{self, Role},
    interrupt, scratch, skip,
};

use measure::Plan;
use packets::{Packet, Sources};
use programs::{Choice, Program, Programs};
use rows::Section;

/// After this long, a benchmark that nobody stops is given up.
const AT_MOST: Duration = Duration::from_secs(3 * 3600);

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// What a packet costs: ours in both configurations, an empty program, an LRU limiter, xdp-filter
    Packets,
    /// What lists cost: none, 1.2 M prefixes, an LPM trie of 1 M, hits; loading a file of 1 M into the agent
    Lists,
    /// Millions of real frames a second through a veth on one core: a bare drop, ours, xdp-filter, nftables
    Live,
    /// What a real HTTPS client has of a real server under five attacks: without defence, with ours, with nftables
    Https,
    /// Where the nanoseconds go: ours with one feature more at a time, and what a gateway's flow table costs
    Steps,
    /// From a SYN to its SYN-ACK with a cookie
    Cookies,
    /// What an operator waits for: from `ban add` to the first dropped frame, and 10,000 bans from stdin
    Commands,
    /// Of `steps`, what a gateway's flow table costs alone
    Gateway,
    /// How long a scrape of all metrics takes, with everything configured
    Scrape,
    /// What the agent takes of CPU and memory under a flood, for --seconds in each configuration
    Soak,
    /// Restarts, upgrades and reloads under a flood: what comes through beyond the limits, and what a client notices
    Gaps,
}

impl Part {
    /// [`Self::Gateway`] is part of another one.
    const ALL: [Self; 8] = [
        Self::Packets,
        Self::Lists,
        Self::Live,
        Self::Https,
        Self::Steps,
        Self::Cookies,
        Self::Commands,
        Self::Scrape,
    ];
    /// Only if they are asked for.
    const MORE: [Self; 3] = [Self::Gateway, Self::Soak, Self::Gaps];
}

/// Measures stopbank beside others: time per packet, lists, live frames, a service under attack, and each step.
///
/// Prints Markdown: tables, and whether the figures that are promised are kept. Ours is measured in two configurations:
/// `default` (a few list entries, four classes, limits on packets and connections of each source, a total) and `full`
/// (1.2 million prefixes, 63 classes, limits at every prefix level, half of the total for proven sources first).
///
/// Needs root. Touches no interface of the machine: frames stay in namespaces of its own. Everything takes some twenty
/// minutes on two CPUs; begin with `--quick`, or with one `--section`.
#[derive(Parser)]
#[command(
    name = "cargo xtask bench --",
    max_term_width = 110,
    after_help = "Examples:\n  \
        cargo xtask bench -- --quick                       a first look at everything, some minutes\n  \
        cargo xtask bench -- --section packets             the cost per packet alone\n  \
        cargo xtask bench -- --section packets --packets udp4 --sources 65536,4294967296 --without lru-limiter\n  \
        cargo xtask bench -- --section https --pace 500000 an attack of half a million packets a second\n  \
        cargo xtask bench -- --section soak --seconds 60   the agent's own CPU and memory under a flood\n  \
        cargo xtask bench -- --section gaps                restarts, upgrades and reloads under a flood\n  \
        cargo xtask bench -- --json rows.json              also as JSON: one flat list of rows\n\n\
        Every row of the JSON file has `section` and `config` (default, full); programs that have no configuration stand \
        in both. `packets`: packet, sources, program, ns, net_ns (less the empty program's), spread_ns, of_xdp_filter, \
        growth (2^16 to 2^32). `lists`: case, ns, net_ns or value, at_most. `live`: program, case, sources, mpps, \
        of_xdp_drop, of_nft_meter. `https`: program, attack, sent_mpps, requests, success, p50_ms, p99_ms, p99_of_calm. \
        `steps`: step, packet, sources, net_ns. `cookies`: packet, sources, net_ns, of_xdp_synproxy. `scrape`: value, worst (ms). `soak`: case, value, at_most, \
        seconds, mpps. `commands`: case, median_ms, worst_ms, rounds, at_most. `gaps`: case, times, \
        seconds, arrived, passed, allowed, beyond, requests, failed."
)]
struct Arguments {
    /// Only these parts
    #[arg(long, value_name = "PART", value_delimiter = ',', default_values_t = Part::ALL)]
    section: Vec<Part>,

    /// A first look: fewer rounds and packets, shorter attacks. Medians of so few say little
    #[arg(long)]
    quick: bool,

    /// How often each program has its turn, 5 at least; medians of these are printed [default: 15, with --quick 3]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,

    /// Packets in a turn [default: 300000, with --quick 100000]
    #[arg(long, value_name = "N")]
    repeat: Option<u32>,

    /// Also writes all rows as JSON; `-`: to stdout, and the Markdown to stderr
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Lines of stopbank's table of sources, 64 bytes each; a power of two
    #[arg(long, default_value_t = Config::builtin().source.lines, value_name = "N")]
    lines: u32,

    /// Leaves a program out of `packets`
    #[arg(long, value_name = "PROGRAM", value_delimiter = ',')]
    without: Vec<Program>,

    /// Only these packets, in `packets` and `steps`
    #[arg(long, value_name = "PACKET", value_delimiter = ',', default_values_t = Packet::ALL)]
    packets: Vec<Packet>,

    /// Only these numbers of sources, in `packets` and `steps`: 1, 65536, 16777216, 4294967296
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = Sources::ALL)]
    sources: Vec<Sources>,

    /// Frames a second of the attacks in `https`, as far as one CPU makes them
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pace: u64,

    /// How long `soak` lasts, in each configuration
    #[arg(long, default_value_t = 600, value_name = "N")]
    seconds: u64,

    /// The program of an earlier version that `gaps` upgrades from [default: this one]
    #[arg(long, value_name = "FILE")]
    earlier: Option<PathBuf>,

    /// The BPF object of xdp-filter in its deny mode
    #[arg(long, value_name = "FILE", default_value = programs::XDP_FILTER)]
    xdp_filter: PathBuf,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Packets => "packets",
            Self::Lists => "lists",
            Self::Live => "live",
            Self::Https => "https",
            Self::Steps => "steps",
            Self::Cookies => "cookies",
            Self::Commands => "commands",
            Self::Gateway => "gateway",
            Self::Scrape => "scrape",
            Self::Soak => "soak",
            Self::Gaps => "gaps",
        })
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    check(&arguments)?;
    interrupt::watch(AT_MOST)?;
    scratch::sweep();
    let to_stdout = arguments.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let mut rows: Vec<Value> = Vec::new();
    let mut parts: Vec<Part> =
        Part::ALL.into_iter().filter(|part| arguments.section.contains(part)).collect();
    for part in Part::MORE.into_iter().filter(|part| arguments.section.contains(part)) {
        if part != Part::Gateway || !parts.contains(&Part::Steps) {
            parts.push(part);
        }
    }
    for part in parts {
        let section = arguments.measure(part).with_context(|| format!("section {part}"))?;
        if to_stdout {
            eprint!("{}", section.markdown);
        } else {
            print!("{}", section.markdown);
        }
        rows.extend(section.rows);
        // After every part: a later one may fail, or be interrupted.
        if let Some(path) = arguments.json.as_ref().filter(|_| !to_stdout) {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            serde_json::to_writer_pretty(BufWriter::new(file), &rows)?;
        }
    }
    if to_stdout {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    }
    Ok(())
}

impl Arguments {
    fn measure(&self, part: Part) -> Result<Section> {
        let plan = Plan {
            packets: &self.packets,
            sources: &self.sources,
            rounds: self.rounds.unwrap_or(if self.quick { 3 } else { 15 }),
            repeat: self.repeat.unwrap_or(if self.quick { 100_000 } else { 300_000 }),
        };
        match part {
            Part::Packets => {
                let feed = on_one_cpu()?;
                let (outcomes, memory) = measure::run(|| self.load(&self.without, &feed), &plan)?;
                let markdown = report::markdown(&outcomes, &plan) + &memory::markdown(&memory);
                Ok(Section { markdown, rows: report::rows(&outcomes) })
            }
            Part::Lists => {
                let feed = on_one_cpu()?;
                let mut section = lists::run(|| self.load(&LEFT_OUT, &feed), &plan)?;
                cpu::assign(0, Role::Any)?;
                let loaded = load::run()?;
                section.markdown += &loaded.markdown;
                section.rows.extend(loaded.rows);
                Ok(section)
            }
            Part::Live => live::run(&plan, &self.xdp_filter),
            Part::Https => {
                let time = Duration::from_secs(if self.quick { 4 } else { 12 });
                https::run(https::Load { time, pace: self.pace })
            }
            Part::Steps => {
                let feed = on_one_cpu()?;
                let mut section = steps::run(|| self.load(&LEFT_OUT, &feed), &feed, &plan)?;
                let gateway = gateway::run(&feed, &plan)?;
                section.markdown += &gateway.markdown;
                section.rows.extend(gateway.rows);
                Ok(section)
            }
            Part::Commands => commands::run(&plan),
            Part::Gateway => gateway::run(&on_one_cpu()?, &plan),
            Part::Scrape => scrape::run(plan.rounds),
            Part::Soak => soak::run(Duration::from_secs(self.seconds)),
            Part::Gaps => gaps::run(if self.quick { 1 } else { 3 }, self.earlier.clone()),
            Part::Cookies => {
                let feed = on_one_cpu()?;
                cookies::run(|| self.load(&LEFT_OUT, &feed), &feed, &plan)
            }
        }
    }

    fn load(&self, without: &[Program], feed: &Arc<PrefixSet>) -> Result<Programs> {
        let without = without.to_vec();
        Programs::load(&Choice { without, lines: self.lines, xdp_filter: self.xdp_filter.clone() }, feed)
    }
}

/// What is not needed where ours is only compared with itself.
const LEFT_OUT: [Program; 3] = [Program::StopbankFull, Program::LruLimiter, Program::XdpFilter];

/// Test runs stay on one CPU. Gives the list of the `full` configuration.
fn on_one_cpu() -> Result<Arc<PrefixSet>> {
    cpu::assign(0, Role::Flood).context("cannot stay on one CPU")?;
    Ok(Arc::new(feed::set(None)))
}

fn check(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.quick || arguments.rounds.is_none_or(|rounds| rounds >= 5),
        "a median of fewer than 5 rounds says little: --rounds 5, or --quick"
    );
    ensure!(arguments.rounds != Some(0), "--rounds wants 1 at least");
    ensure!(arguments.repeat.is_none_or(|repeat| repeat >= 1000), "--repeat wants 1000 at least");
    ensure!(arguments.seconds >= 60, "--seconds wants 60 at least: for half of that caches fill");
    ensure!(arguments.lines.is_power_of_two(), "--lines wants a power of two");
    if arguments.without.contains(&Program::Empty) {
        bail!("without {} there is nothing to compare with", Program::Empty);
    }
    ensure!(skip::is_root(), "BPF programs are loaded by root only");
    Ok(())
}
