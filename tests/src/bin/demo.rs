//! `cargo xtask demo`: a flood dropped at the NIC, live.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser;
use stopbank_tests::{
    demo::{self, Options},
    interrupt, scratch, skip,
};

/// A flood dropped at the NIC, live: a web server and a legitimate client in network namespaces, flooded without and then
/// with the agent. Needs root, changes nothing outside its namespaces, and clears up after itself.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How long each of the floods takes, in seconds
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,

    /// Packets a second of each flood, as far as one CPU can
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=20_000_000))]
    rate: u64,

    /// Print the results as one JSON object on stdout, and everything else on stderr
    #[arg(long)]
    json: bool,
}

/// `EX_NOPERM` of sysexits(3).
const NO_PERMISSION: u8 = 77;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !skip::is_root() {
        eprintln!(
            "the demo makes network namespaces and loads XDP programs, which takes root: run it under sudo"
        );
        return ExitCode::from(NO_PERMISSION);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::asked() => ExitCode::from(130),
        Err(error) => {
            eprintln!("the demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let options = Options { seconds: arguments.seconds, rate: arguments.rate };
    interrupt::watch(options.at_most())?;
    scratch::sweep();
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let report = demo::run(options, if arguments.json { &mut err } else { &mut out })?;
    if arguments.json {
        serde_json::to_writer(&out, &report)?;
        writeln!(out)?;
    }
    Ok(())
}
