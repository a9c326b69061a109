//! `config`: policies checked and shown.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Result;
use stopbank_checker::policy;

#[derive(clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Name every error of a policy, with line, column and what is allowed
    #[command(
        after_help = "Exit codes: 0 it is good, 78 it has errors.\n\nExample:\n  stopbank-checker config check policy.toml"
    )]
    Check {
        /// The policy: a file, or one that comes with the checker
        policy: PathBuf,
    },
    /// Print a policy with every check and limit written out
    #[command(after_help = "\
Examples:
  stopbank-checker config show generic
  stopbank-checker config show api --text > policy.toml")]
    Show {
        /// The policy: a file, or one that comes with the checker
        #[arg(default_value = "generic")]
        policy: PathBuf,
        /// As it is written, with its comments
        #[arg(long)]
        text: bool,
    },
    /// Print the JSON Schema of policies
    Schema,
}

impl ConfigCommand {
    pub(crate) fn run(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        match self {
            Self::Check { policy } => {
                let (policy, file, _) = super::load_with_text(policy)?;
                let memory = match policy.memory() {
                    0 => String::new(),
                    bytes => format!(", {} KiB of memory for what is counted", bytes.div_ceil(1 << 10)),
                };
                writeln!(out, "{file}: good, {} routes{memory}", policy.routes().len())?;
            }
            Self::Show { policy, text: true } => {
                // One that is not good is not shown as if it were.
                let (_, _, text) = super::load_with_text(policy)?;
                out.write_all(text.as_bytes())?;
            }
            Self::Show { policy, text: false } => write!(out, "{}", super::load(policy)?.render())?,
            Self::Schema => writeln!(out, "{:#}", policy::schema())?,
        }
        Ok(())
    }
}
