//! `stopbank-checker`: the engine's command line.
#![forbid(unsafe_code)]

mod command;
mod files;
mod proxy;
mod secrets;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use stopbank_checker::{Reason, policy};

/// Judges requests to an API: what cannot be read in one way only is refused, and what its policy does not allow.
#[derive(Parser)]
#[command(name = "stopbank-checker", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "\
Exit codes: 0 done, every request is allowed; 1 a request is refused, or something failed; 2 usage; 78 the policy or the
proxy's configuration has errors.

A POLICY is a file, or one of those that come with the checker: generic (any host, path and method, every check) and
api (only what it declares, strictly).

Examples:
  printf 'GET /a/../b HTTP/1.1\\r\\nHost: example.org\\r\\n\\r\\n' | stopbank-checker check --request -
  stopbank-checker config show api --text > policy.toml
  stopbank-checker config check policy.toml && stopbank-checker routes --policy policy.toml")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(command::check::CheckCommand),
    /// Check or show a policy, or print its JSON Schema
    #[command(subcommand)]
    Config(command::config::ConfigCommand),
    Routes(command::routes::RoutesCommand),
    Patterns(command::patterns::PatternsCommand),
    Proxy(proxy::ProxyCommand),
    Explain(proxy::ExplainCommand),
    Reload(proxy::ReloadCommand),
    /// Look at a specification of an API
    #[command(subcommand)]
    Schema(command::schema::SchemaCommand),
    /// Look at a token
    #[command(subcommand)]
    Token(command::token::TokenCommand),
    /// API keys: make, list, rotate and revoke them
    #[command(subcommand)]
    Keys(command::keys::KeysCommand),
    /// Every reason for which a request is refused: name, status and what it means
    Reasons,
    Completions(command::completions::CompletionsCommand),
    Man(command::man::ManCommand),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check(command) => {
            command.run().map(|all| if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Config(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Routes(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Proxy(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Explain(command) => command.run(),
        Command::Reload(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Patterns(command) => command.run(),
        Command::Reasons => reasons().map(|()| ExitCode::SUCCESS),
        Command::Completions(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Man(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Token(command) => command.run(),
        Command::Keys(command) => command.run(),
    };
    match outcome {
        Ok(code) => code,
        // A reader that has gone (`| head`) is no reason to complain.
        Err(error) if is_broken_pipe(&error) => ExitCode::FAILURE,
        Err(error) => {
            let _ = match error.downcast_ref::<policy::Errors>() {
                Some(errors) => writeln!(io::stderr(), "{errors}"),
                None => writeln!(io::stderr(), "stopbank-checker: {error:#}"),
            };
            let wrong = error.is::<policy::Errors>() || error.is::<proxy::Misconfigured>();
            ExitCode::from(if wrong { 78 } else { 1 })
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn reasons() -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for reason in Reason::ALL {
        writeln!(out, "{:<28} {}  {}", reason.name(), reason.status(), reason.description())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
