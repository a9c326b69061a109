//! `completions`: scripts for shells.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Print a script that completes commands, options and their values in a shell
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  stopbank-checker completions bash > /usr/share/bash-completion/completions/stopbank-checker
  source <(stopbank-checker completions bash)                    for this shell only

Packages of stopbank-checker bring them along.")]
pub(crate) struct CompletionsCommand {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsCommand {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "stopbank-checker", &mut script);
        Ok(io::stdout().lock().write_all(&script)?)
    }
}
