//! `stopbank man`: manual pages, made of what `--help` says and of what the configuration may have.

mod configuration;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Command};
use clap_mangen::{
    Man as Page,
    roff::{Roff, roman},
};

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
        let whole = whole();
        if let Some(directory) = &self.dir {
            return write_all(&whole, directory).map_err(|error| {
                let code = match error.kind() {
                    io::ErrorKind::PermissionDenied => Code::Permission,
                    _ => Code::Failed,
                };
                let directory = directory.display();
                Failure::new(code, format!("cannot write manual pages into {directory}: {error}"))
            });
        }
        let failed = |error: io::Error| Failure::new(Code::Failed, error.to_string());
        if self.command == [configuration::NAME] {
            return print(&String::from_utf8_lossy(&configuration::page().map_err(failed)?));
        }
        let mut command = &whole;
        for word in &self.command {
            command = command.find_subcommand(word).ok_or_else(|| {
                let name = command.get_bin_name().unwrap_or("stopbank");
                Failure::new(Code::NotFound, format!("`{name}` has no command `{word}`"))
                    .hint(format!("`{name} --help` lists them"))
            })?;
        }
        print(&String::from_utf8_lossy(&page(command).map_err(failed)?))
    }
}

/// All commands, with everything filled in that clap derives; without `help`, which has nothing to say in a manual.
fn whole() -> Command {
    let mut whole = command().disable_help_subcommand(true);
    whole.build();
    whole
}

/// Writes every page below a directory of manuals.
fn write_all(whole: &Command, directory: &Path) -> io::Result<()> {
    let (commands, files) = (directory.join("man1"), directory.join("man5"));
    fs::create_dir_all(&commands)?;
    fs::create_dir_all(&files)?;
    write_commands(whole, &commands)?;
    fs::write(files.join(configuration::FILE), configuration::page()?)
}

/// Writes the pages of a command and of those below it.
fn write_commands(command: &Command, directory: &Path) -> io::Result<()> {
    let name = Page::new(command.clone()).get_filename();
    fs::write(directory.join(name), page(command)?)?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| write_commands(command, directory))
}

/// The page of a command. Sections stand in the order of man-pages(7).
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let source = concat!("stopbank ", env!("CARGO_PKG_VERSION"));
    let page = Page::new(command.clone()).source(source).manual("stopbank");
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::new();
    closing(&mut rest, command);
    rest.to_writer(&mut text)?;
    Ok(text)
}

/// What stands below the options in `--help`, paragraph by paragraph, and where to read on.
fn closing(roff: &mut Roff, command: &Command) {
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let after = after.map(ToString::to_string).unwrap_or_default();
    let mut section = "";
    for paragraph in after.split("\n\n") {
        let (heading, text) = match paragraph.split_once(":\n") {
            Some(("Examples", examples)) => ("EXAMPLES", examples),
            _ if paragraph.starts_with("Exit code") => ("EXIT STATUS", paragraph),
            _ => ("NOTES", paragraph),
        };
        if text.trim().is_empty() {
            continue;
        }
        match heading == section {
            true => roff.control("PP", []),
            false => roff.control("SH", [heading]),
        };
        section = heading;
        if heading == "EXAMPLES" {
            roff.control("nf", []);
        }
        for line in text.lines() {
            roff.text([roman(line)]);
        }
        if heading == "EXAMPLES" {
            roff.control("fi", []);
        }
    }
    let name = command.get_bin_name().unwrap_or("stopbank");
    let above = name.match_indices(' ').map(|(at, _)| format!("{}(1)", name[..at].replace(' ', "-")));
    let above: Vec<String> = above.collect();
    if !above.is_empty() {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman(above.join(", "))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_what_its_help_says() {
        let directory = tempfile::tempdir().unwrap();
        write_all(&whole(), directory.path()).unwrap();
        let pages = directory.path().join("man1");
        let read = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
        let page = read("stopbank-ban-add.1");
        for part in [".SH NAME", "stopbank\\-ban\\-add", "\\-\\-for", ".SH \"SEE ALSO\"", "stopbank\\-ban(1)"]
        {
            assert!(page.contains(part), "no {part} in {page}");
        }
        let page = read("stopbank.1");
        assert!(page.contains(".SH EXAMPLES\n.nf\n") && page.contains(".SH \"EXIT STATUS\""), "{page}");
        assert!(!pages.join("stopbank-help.1").exists());
        assert_eq!(fs::read_dir(pages).unwrap().count(), count(&whole()));
        assert!(directory.path().join("man5").join(configuration::FILE).exists());
    }

    fn count(command: &Command) -> usize {
        1 + command.get_subcommands().map(count).sum::<usize>()
    }
}
