//! `cargo xtask bench`: what a packet costs, ours and others', under one source, 2^16 and 2^32.
//!
//! Every program runs over the same frames in the kernel (BPF_PROG_TEST_RUN), in turns, so that whatever else the machine
//! does hits all of them; medians count. Figures of one run compare with each other, not with those of another machine.

#[path = "../bench/lists.rs"]
mod lists;
#[path = "../bench/measure.rs"]
mod measure;
#[path = "../bench/memory.rs"]
mod memory;
#[path = "../bench/packets.rs"]
mod packets;
#[path = "../bench/policy.rs"]
mod policy;
#[path = "../bench/programs.rs"]
mod programs;
#[path = "../bench/report.rs"]
mod report;

use std::{fs::File, io::BufWriter, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use stopbank::config::Config;
use stopbank_tests::cpu::{self, Role};

use measure::Plan;
use packets::{Packet, Sources};
use policy::Part;
use programs::{Program, Programs};

/// Measures the time per packet of stopbank's XDP program, of an empty one, of a per-source limiter over an LRU hash map
/// as commonly written, and of Debian's xdp-filter.
///
/// Prints Markdown: a table of medians, the growth from 2^16 to 2^32 sources, and whether stopbank keeps to its two
/// figures. Needs root. Touches no interface.
#[derive(Parser)]
#[command(name = "cargo xtask bench --", max_term_width = 110)]
struct Arguments {
    /// How often each program has its turn, 5 at least; medians of these are printed
    #[arg(long, default_value_t = 7, value_name = "N")]
    rounds: usize,

    /// Packets in a turn
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    repeat: u32,

    /// Also writes a list of {packet, sources, program, ns, net_ns}
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Lines of stopbank's table of sources, 64 bytes each; a power of two
    #[arg(long, default_value_t = Config::builtin().source.lines, value_name = "N")]
    lines: u32,

    /// Leaves a program out
    #[arg(long, value_name = "PROGRAM", value_delimiter = ',')]
    without: Vec<Program>,

    /// Only these packets
    #[arg(long, value_name = "PACKET", value_delimiter = ',', default_values_t = Packet::ALL)]
    packets: Vec<Packet>,

    /// Only these numbers of sources: 1, 65536, 4294967296
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = Sources::ALL)]
    sources: Vec<Sources>,

    /// What stopbank's classes limit
    #[arg(long, value_name = "PART", value_delimiter = ',', default_values_t = Part::USUAL)]
    limits: Vec<Part>,

    /// Only what lists cost
    #[arg(long)]
    lists: bool,

    /// The BPF object of xdp-filter in its deny mode
    #[arg(long, value_name = "FILE", default_value = programs::XDP_FILTER)]
    xdp_filter: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    check(&arguments)?;
    cpu::assign(0, Role::Flood).context("cannot stay on one CPU")?;
    let load =
        || Programs::load(&arguments.without, arguments.lines, &arguments.limits, &arguments.xdp_filter);
    let plan = Plan {
        packets: &arguments.packets,
        sources: &arguments.sources,
        rounds: arguments.rounds,
        repeat: arguments.repeat,
    };
    if arguments.lists {
        print!("{}", lists::run(load, &plan)?);
        return Ok(());
    }
    let (outcomes, memory) = measure::run(load, &plan)?;
    print!("{}", report::markdown(&outcomes, &plan));
    print!("{}", memory::markdown(&memory));
    if let Some(path) = &arguments.json {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(BufWriter::new(file), &report::rows(&outcomes))?;
    }
    Ok(())
}

fn check(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.rounds >= 5, "a median of fewer than 5 rounds says little: --rounds 5");
    ensure!(arguments.repeat >= 1000, "--repeat wants 1000 at least");
    ensure!(arguments.lines.is_power_of_two(), "--lines wants a power of two");
    if let Some(needed) =
        [Program::Empty, Program::Stopbank].into_iter().find(|one| arguments.without.contains(one))
    {
        bail!("without {needed} there is nothing to compare with");
    }
    // SAFETY: takes no arguments and cannot fail.
    ensure!(unsafe { libc::geteuid() } == 0, "BPF programs are loaded by root only");
    Ok(())
}
