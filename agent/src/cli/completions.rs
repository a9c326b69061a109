//! `stopbank completions`.

use clap::Args;
use clap_complete::Shell;

use super::{command, output::print};
use crate::failure::Failure;

/// Print a script that completes commands, options and their values in a shell
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank completions bash > /usr/share/bash-completion/completions/stopbank
  stopbank completions zsh > /usr/local/share/zsh/site-functions/_stopbank
  stopbank completions fish > ~/.config/fish/completions/stopbank.fish
  source <(stopbank completions bash)                            for this shell only

Packages of stopbank bring them along.")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "stopbank", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
