//! `man`: manual pages, made of what `--help` says, of the policy's schema and of the configuration that packages install.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use stopbank_checker::policy;
use stopbank_manual::{Error, File, Manual};

/// Exit code where there is no such page.
const NOT_FOUND: u8 = 3;
/// What packages install.
const PROXY: &str = include_str!("../../config/proxy.toml");

/// Print the manual page of a command or of a configuration file, or write all of them into a directory
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  stopbank-checker man proxy | man -l -                          read one
  stopbank-checker man stopbank-checker-policy.toml | man -l -   the policy's
  stopbank-checker man --dir /usr/local/share/man                all of them, into man1 and man5

Packages of stopbank-checker bring them along.")]
pub(crate) struct ManCommand {
    /// The command, stopbank-checker-proxy.toml or stopbank-checker-policy.toml; none: stopbank-checker itself
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write every page into man1 and man5 of this directory, which are made where they do not exist
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

impl ManCommand {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let manual = manual();
        if let Some(directory) = &self.dir {
            let cannot = || format!("cannot write manual pages into {}", directory.display());
            manual.write(directory).with_context(cannot)?;
            return Ok(ExitCode::SUCCESS);
        }
        match manual.page(&self.command) {
            Ok(page) => io::stdout().lock().write_all(page.as_bytes())?,
            Err(error @ Error::Unknown { .. }) => {
                let _ =
                    writeln!(io::stderr(), "stopbank-checker: {error}: --help lists those that there are");
                return Ok(ExitCode::from(NOT_FOUND));
            }
            Err(Error::Failed(error)) => return Err(error.into()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// All pages.
fn manual() -> Manual {
    let api = policy::SHIPPED.iter().find(|(name, _)| *name == "api").map_or("", |(_, text)| *text);
    let files = vec![
        File {
            name: "stopbank-checker-proxy.toml",
            title: "configuration of the reverse proxy stopbank-checker",
            places: &["/etc/stopbank-checker/proxy.toml"],
            description: &[
                "The proxy reads one TOML file; a key that is not known is an error. Below stands every key, what is commented out with its \
                 default or as an example.",
                "`stopbank-checker proxy --config FILE --check` reads a file with all that it names and opens nothing. `systemctl reload \
                 stopbank-checker` puts it in force, as a whole or not at all.",
            ],
            schema: None,
            installed: PROXY,
            see_also: "stopbank-checker-proxy(1), stopbank-checker-policy.toml(5)",
        },
        File {
            name: "stopbank-checker-policy.toml",
            title: "what stopbank-checker allows",
            places: &["the file that `policy` in /etc/stopbank-checker/proxy.toml names"],
            description: &[
                "The checker judges requests by one TOML file; a key that is not known is an error, and errors name file, line, column and what is \
                 allowed. What a route does not say is as at the top.",
                "`stopbank-checker config check FILE` reads one, `stopbank-checker config show FILE` writes it out with every check and limit.",
            ],
            schema: Some(policy::schema()),
            installed: api,
            see_also: "stopbank-checker(1), stopbank-checker-config(1), stopbank-checker-proxy.toml(5)",
        },
    ];
    Manual::new(crate::Cli::command(), env!("CARGO_PKG_VERSION"), files)
}
