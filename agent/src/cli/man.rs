//! `stopbank man`: manual pages, made of what `--help` says and of what the configuration may have.

mod configuration;

use std::{io, path::PathBuf};

use clap::Args;
use stopbank_manual::{Error, Manual};

use super::{command, output::print};
use crate::failure::{Code, Failure};

/// Print the manual page of a command or of the configuration, or write all of them into a directory
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank man ban add | man -l -                      read one
  stopbank man stopbank.toml | man -l -                the configuration's
  stopbank man --dir /usr/local/share/man              man1/stopbank.1, man1/stopbank-ban-add.1, …, man5/stopbank.toml.5

Packages of stopbank bring them along.")]
pub(super) struct Man {
    /// The command, or stopbank.toml; none: stopbank itself
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write every page into man1 and man5 of this directory, which are made where they do not exist
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<(), Failure> {
        let manual = manual();
        if let Some(directory) = &self.dir {
            return manual.write(directory).map_err(|error| {
                let code = match error.kind() {
                    io::ErrorKind::PermissionDenied => Code::Permission,
                    _ => Code::Failed,
                };
                let directory = directory.display();
                Failure::new(code, format!("cannot write manual pages into {directory}: {error}"))
            });
        }
        let page = manual.page(&self.command).map_err(|error| match &error {
            Error::Unknown { command, .. } => {
                Failure::new(Code::NotFound, error.to_string()).hint(format!("`{command} --help` lists them"))
            }
            Error::Failed(_) => Failure::new(Code::Failed, error.to_string()),
        })?;
        print(&page)
    }
}

/// All pages.
fn manual() -> Manual {
    Manual::new(command(), env!("CARGO_PKG_VERSION"), vec![configuration::file()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_get_the_pages_of_every_command_and_of_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        manual().write(directory.path()).unwrap();
        for page in ["man1/stopbank.1", "man1/stopbank-ban-add.1", "man5/stopbank.toml.5"] {
            assert!(directory.path().join(page).exists(), "no {page}");
        }
        assert!(!directory.path().join("man1/stopbank-help.1").exists());
    }
}
