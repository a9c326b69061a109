//! `cargo xtask`: everything that is done to this tree, each with its own set-up.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod check;
mod command;
mod demo;
mod envoy;
mod fuzz;
mod kernels;
mod llvm;
mod package;
mod packages;
mod provider;
mod rootfs;
mod run;
mod score;
mod setup;
mod suites;
mod test;
mod times;
mod toolchain;
mod tools;
mod totals;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs, tests and checks stopbank.
///
/// Nothing has to be installed first but a Rust toolchain: each command sets up what it needs and says what it did.
/// On Debian that means packages by apt (through sudo when not root) and tools under target/tools; nothing of yours is
/// replaced. On another system it names what to install.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

const EXAMPLES: &str = "\
Start here:
  cargo xtask demo               a flood dropped in the driver while a client keeps its service
  cargo xtask test               every test, those that need root included
  cargo xtask test gcra          only the tests whose name contains `gcra`
  cargo xtask kernels            the packet tests on Linux 6.1 and 6.12, in virtual machines
  cargo xtask run -- --help      the agent from this tree
  cargo xtask fuzz --seconds 20  every fuzz target for 20 seconds
  cargo xtask package            a .deb and an .rpm each of agent and checker

Where things end up:
  target/ebpf/bpfel-unknown-none/bpf/   the BPF objects, which the agent embeds
  target/release/                       stopbank, demo, bench
  target/package/                       what `package` makes
  target/tools/                         bpf-linker, cargo-deny, cargo-deb, …; toolchain.json: what setup picked
  ~/.cache/stopbank/tools/              the same tools, kept for the next clone
  ~/.cache/stopbank/kernels/            kernels that `kernels` boots
  ~/.cache/stopbank/rootfs/             a Debian that tests boot in a container
  ~/.cache/stopbank/score/              packages and sets that `score` measures with";

#[derive(Subcommand)]
enum Task {
    /// Finds or installs a toolchain that compiles Rust to BPF, and says which
    ///
    /// In this order: a rustup toolchain that has rust-src, with a bpf-linker or LLVM's development files of its LLVM's
    /// major version; the distribution's own rustc with its sources; Debian's rustc-web packages, which apt installs.
    /// Every other command does this first; it takes no time when all is there.
    Setup,

    /// Builds the BPF objects, then the agent that embeds them and everything else
    Build {
        /// Unoptimized, quicker to build: target/debug (the BPF objects are always optimized)
        #[arg(long)]
        debug: bool,
    },

    /// Builds, then runs the agent with the arguments given, as root
    Run {
        /// What `stopbank` is given, after `--`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<OsString>,
    },

    /// Floods a real nginx behind a protected interface, live; as root, inside its own network namespaces
    Demo {
        /// What the demo is given: --seconds N, --json, …; `cargo xtask demo -- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<OsString>,
    },

    /// Measures the cost per packet, live frames and a service under attack, against the alternatives; as root
    ///
    /// `cargo xtask bench checker` measures the checker instead, alone and as a proxy beside nginx and CRS, and needs no root; nor does
    /// `cargo xtask bench tokens`, which measures its tokens.
    Bench {
        /// What the benchmark is given: --quick, --section PART, --json FILE, …; `cargo xtask bench -- --help` lists them, and
        /// `cargo xtask bench checker --help` those of the checker's
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<OsString>,
    },

    /// Measures what the checker detects and what it lets pass, on sets that it was not tuned on
    Score {
        /// What the measurement is given: --split, --json FILE, --peer, …; `cargo xtask score -- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<OsString>,
    },

    /// Runs every fuzz target for some seconds, and closes with a table; exit code 1 when one has found something
    ///
    /// What they write is in target/fuzz, inputs that fail in fuzz/artifacts, and the corpus, which grows from run to run, in fuzz/corpus.
    Fuzz(fuzz::Options),

    /// Runs every test, those that need root included, and closes with the totals
    Test(test::Options),

    /// Runs the packet tests on Debian's kernels 6.1 and 6.12 in virtual machines, and closes with the totals
    ///
    /// Kernels are downloaded from the mirror that apt has, into ~/.cache/stopbank/kernels; without a network those that are
    /// there are taken. KVM is used where it works, otherwise the processor is emulated, at some minutes a kernel. Needs no root.
    Kernels(kernels::Options),

    /// Makes a .deb and an .rpm each of the agent and of the checker, and has lintian look the .debs over
    ///
    /// They end up in target/package, and their paths on stdout. Needs no root, but to install lintian and rpm where they are missing.
    Package(package::Options),

    /// Checks format, lints (of the BPF programs too), dependencies, documentation, and the build without BPF tools
    Check(check::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Build { debug } => {
            build::run(if debug { build::Profile::Debug } else { build::Profile::Release })
        }
        Task::Run { arguments } => run::run(&arguments),
        Task::Demo { arguments } => demo::run(&arguments),
        Task::Bench { arguments } => bench::run(&arguments),
        Task::Score { arguments } => score::run(&arguments),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Kernels(options) => kernels::run(&options),
        Task::Package(options) => package::run(&options),
        Task::Check(options) => check::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            command::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
