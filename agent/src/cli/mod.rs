//! The command line. Every command but `run`, `simulate`, `config check`, `doctor`, `completions`, `man` and (without an agent) `detach` is a client of the
//! control API; with `-o json` it prints the API's own objects.

mod change;
mod completions;
mod config;
mod detach;
mod doctor;
mod drops;
mod events;
mod explain;
mod history;
mod interfaces;
mod limits;
mod list_files;
mod lists;
mod man;
mod mode;
mod operator;
mod output;
mod progress;
mod proven;
mod run;
mod selftest;
mod signatures;
mod simulate;
mod status;
mod support_dump;
mod table;
mod top;
mod transfer;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    config::{Config, DEFAULT_PATH},
    control::client::Client,
    failure::{Code, Failure},
    lists::ListName,
};
use output::Output;

/// Flood defence for Linux edge hosts: drops floods at the network card with an XDP program, and arrests the spikes of
/// single sources.
#[derive(Parser, Debug)]
#[command(name = "stopbank", version, max_term_width = 110, propagate_version = true)]
#[command(after_help = "\
Examples:
  stopbank run --config /etc/stopbank/stopbank.toml    protect the interfaces that the file names
  stopbank status                                      what is protected, and how
  stopbank drops                                       what is dropped, and why
  stopbank ban add 198.51.100.7 --for 10m              drop a source for ten minutes
  stopbank explain 198.51.100.7 --port 443             what becomes of a source's next packet, and why
  stopbank simulate --pcap attack.pcap                 what would be dropped of a capture

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 no agent answers, 77 not permitted, 78 configuration.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args, Debug)]
struct Global {
    /// What to print: a table for people, or the control API's JSON (jsonl: on one line)
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    output: Output,
    /// Control socket of the agent [default: the configuration's]
    #[arg(long, env = "STOPBANK_SOCKET", value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
}

impl Global {
    /// Speaks to the agent at the socket that was named, or that the configuration in the usual place names.
    fn client(&self) -> Client {
        self.client_of(Path::new(DEFAULT_PATH))
    }

    /// The same, going by another configuration.
    fn client_of(&self, configuration: &Path) -> Client {
        let socket = self.socket.clone().unwrap_or_else(|| {
            // A file that cannot be read or has errors is no reason not to speak to an agent that runs.
            crate::config::load(configuration).unwrap_or_else(|_| Config::builtin()).agent.socket
        });
        Client::new(socket)
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(run::Run),
    Status(status::Status),
    Drops(drops::Drops),
    Signatures(signatures::Signatures),
    Top(top::Top),
    Events(events::Events),
    Explain(explain::Explain),
    /// Sources that always pass
    #[command(subcommand, after_help = lists::ALLOW_EXAMPLES)]
    Allow(lists::ListCommand),
    /// Sources that are dropped, mostly for a time
    #[command(subcommand, after_help = lists::BAN_EXAMPLES)]
    Ban(lists::ListCommand),
    /// Sources that the configuration denies
    #[command(subcommand, after_help = "Examples:\n  stopbank deny ls\n  stopbank deny ls -o json")]
    Deny(lists::ReadOnly),
    /// Sources that have proved themselves, which are served first when a total is spent
    #[command(subcommand, after_help = proven::EXAMPLES)]
    Proven(proven::ProvenCommand),
    /// Files of prefixes that the configuration names (`[[list]]`)
    #[command(subcommand, after_help = "Examples:\n  stopbank list ls\n  stopbank list check drop.txt")]
    List(list_files::ListFilesCommand),
    /// Limits of the classes
    #[command(subcommand, after_help = limits::EXAMPLES)]
    Limit(limits::LimitCommand),
    /// Whether what is judged bad is dropped (`enforce`) or only counted (`observe`)
    #[command(subcommand, after_help = mode::EXAMPLES)]
    Mode(mode::ModeCommand),
    /// Interfaces: what is protected, what is absent, and what could not be attached
    #[command(subcommand, after_help = interfaces::EXAMPLES)]
    Iface(interfaces::InterfaceCommand),
    /// Check, show, compare and change configurations
    #[command(
        subcommand,
        after_help = "Examples:\n  stopbank config check\n  stopbank config diff\n  stopbank config apply --confirm 2m && stopbank config confirm\n  stopbank config rollback"
    )]
    Config(config::ConfigCommand),
    Reload(config::Reload),
    Simulate(simulate::Simulate),
    Detach(detach::Detach),
    Doctor(doctor::Doctor),
    SupportDump(support_dump::SupportDump),
    Completions(completions::Completions),
    Man(man::Man),
    #[command(name = "selftest")]
    SelfTest(selftest::SelfTest),
}

/// Entry point of the binary.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        // Prints help and version too, and exits with 0 for them, 2 for errors.
        Err(error) => error.exit(),
    };
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A reader that has gone (`| head`) is no reason to complain.
            let _ = writeln!(std::io::stderr(), "stopbank: {failure}");
            ExitCode::from(failure.code as u8)
        }
    }
}

/// The command line as clap knows it. Commands of a group that have no examples of their own show those of the group.
pub fn command() -> clap::Command {
    Cli::command().mut_subcommands(with_examples)
}

fn with_examples(command: clap::Command) -> clap::Command {
    let above = command.get_after_help().cloned();
    command.mut_subcommands(|below| {
        let below = match (below.get_after_help(), &above) {
            (None, Some(above)) => below.after_help(above.clone()),
            _ => below,
        };
        with_examples(below)
    })
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Run(run) => run.run(&global),
        Command::Config(command) => command.run(&global),
        Command::Simulate(simulate) => simulate.run(global.output),
        Command::List(command) => command.run(&global),
        Command::Doctor(doctor) => doctor.run(global.output),
        Command::SupportDump(dump) => dump.run(&global),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::SelfTest(test) => test.run(&global),
        command => client(command, &global),
    }
}

/// The commands that speak to an agent.
fn client(command: Command, global: &Global) -> Result<(), Failure> {
    let client = match &command {
        Command::Detach(detach) => detach.client(global),
        _ => global.client(),
    };
    let output = global.output;
    wait(async {
        match command {
            Command::Status(status) => status.run(&client, output).await,
            Command::Drops(drops) => drops.run(&client, output).await,
            Command::Signatures(signatures) => signatures.run(&client, output).await,
            Command::Top(top) => top.run(&client, output).await,
            Command::Events(events) => events.run(&client, output).await,
            Command::Explain(explain) => explain.run(&client, output).await,
            Command::Allow(command) => command.run(ListName::Allow, &client, output).await,
            Command::Ban(command) => command.run(ListName::Ban, &client, output).await,
            Command::Deny(command) => command.run(ListName::Deny, &client, output).await,
            Command::Proven(command) => command.run(&client, output).await,
            Command::Limit(command) => command.run(&client, output).await,
            Command::Mode(command) => command.run(&client, output).await,
            Command::Reload(reload) => reload.run(&client, output).await,
            Command::Iface(command) => command.run(&client, output).await,
            Command::Detach(detach) => detach.run(&client, output).await,
            Command::Run(_)
            | Command::Config(_)
            | Command::Simulate(_)
            | Command::List(_)
            | Command::SelfTest(_)
            | Command::Doctor(_)
            | Command::SupportDump(_)
            | Command::Completions(_)
            | Command::Man(_) => Ok(()),
        }
    })
}

/// Runs a client's future.
fn wait<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Failed, format!("cannot start the runtime: {error}")))?
        .block_on(future)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_how() {
        fn look(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            let name = format!("{path} {}", command.get_name());
            if command.get_about().is_none() {
                found.push(format!("{name}: no word about it"));
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            if !command.has_subcommands() && !help.contains("\n  stopbank ") && !help.contains("\n  tcpdump ")
            {
                found.push(format!("{name}: no example"));
            }
            command.get_subcommands().for_each(|below| look(below, &name, found));
        }
        let mut found = Vec::new();
        look(&super::command(), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
