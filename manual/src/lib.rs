//! Manual pages: of commands, made of what `--help` says (section 1), and of configuration files, made of their schema or of the file that
//! packages install (section 5).
#![forbid(unsafe_code)]

mod file;

use std::{fs, io, path::Path};

use clap::Command;
use clap_mangen::{
    Man as Page,
    roff::{Roff, roman},
};

pub use file::{File, key_names};

/// The manual of one program.
#[derive(Debug)]
pub struct Manual {
    /// With everything filled in that clap derives; without `help`, which has nothing to say in a manual.
    whole: Command,
    /// What the pages are of: name and version.
    source: String,
    files: Vec<File>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The words name no command.
    #[error("`{command}` has no command `{word}`")]
    Unknown {
        /// The command as far as it is known.
        command: String,
        /// What it does not know.
        word: String,
    },
    /// It could not be made.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl Manual {
    /// That of a command line in a version, and of the files that configure it.
    pub fn new(command: Command, version: &str, files: Vec<File>) -> Self {
        let mut whole = command.disable_help_subcommand(true);
        whole.build();
        let source = format!("{} {version}", whole.get_name());
        Self { whole, source, files }
    }

    /// The page of the command that the words name below the program, or of a file; of the program where there are none.
    ///
    /// # Errors
    ///
    /// There is no such command.
    pub fn page(&self, words: &[String]) -> Result<String, Error> {
        if let [name] = words
            && let Some(file) = self.files.iter().find(|file| file.name == name)
        {
            return Ok(file.page(&self.source, self.program())?);
        }
        let mut command = &self.whole;
        for word in words {
            command = command.find_subcommand(word).ok_or_else(|| Error::Unknown {
                command: self.name_of(command).to_owned(),
                word: word.clone(),
            })?;
        }
        Ok(self.command_page(command)?)
    }

    /// Writes every page into `man1` and `man5` of a directory, which are made where they do not exist.
    ///
    /// # Errors
    ///
    /// One cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let (commands, files) = (directory.join("man1"), directory.join("man5"));
        fs::create_dir_all(&commands)?;
        fs::create_dir_all(&files)?;
        for file in &self.files {
            fs::write(files.join(format!("{}.5", file.name)), file.page(&self.source, self.program())?)?;
        }
        self.write_commands(&self.whole, &commands)
    }

    /// Writes the pages of a command and of those below it.
    fn write_commands(&self, command: &Command, directory: &Path) -> io::Result<()> {
        let name = Page::new(command.clone()).get_filename();
        fs::write(directory.join(name), self.command_page(command)?)?;
        command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .try_for_each(|command| self.write_commands(command, directory))
    }

    /// The page of a command. Sections stand in the order of man-pages(7).
    fn command_page(&self, command: &Command) -> io::Result<String> {
        let mut text = Vec::new();
        let page = Page::new(command.clone()).source(self.source.as_str()).manual(self.program());
        page.render_title(&mut text)?;
        page.render_name_section(&mut text)?;
        page.render_synopsis_section(&mut text)?;
        page.render_description_section(&mut text)?;
        page.render_options_section(&mut text)?;
        if command.has_subcommands() {
            page.render_subcommands_section(&mut text)?;
        }
        let mut rest = Roff::new();
        closing(&mut rest, command, self.name_of(command));
        rest.to_writer(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn program(&self) -> &str {
        self.whole.get_name()
    }

    fn name_of<'a>(&'a self, command: &'a Command) -> &'a str {
        command.get_bin_name().unwrap_or(self.program())
    }
}

/// What stands below the options in `--help`, paragraph by paragraph, and where to read on.
fn closing(roff: &mut Roff, command: &Command, name: &str) {
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let after = after.map(ToString::to_string).unwrap_or_default();
    let mut section = "";
    for paragraph in after.split("\n\n") {
        let (heading, text) = match paragraph.split_once(":\n") {
            Some(("Example" | "Examples", examples)) => ("EXAMPLES", examples),
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
    let above = name.match_indices(' ').map(|(at, _)| format!("{}(1)", name[..at].replace(' ', "-")));
    let above: Vec<String> = above.collect();
    if !above.is_empty() {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman(above.join(", "))]);
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};
    use serde_json::json;

    use super::*;

    fn manual() -> Manual {
        let add =
            Command::new("add").about("Add one").arg(Arg::new("for").long("for").action(ArgAction::Set));
        let ban = Command::new("ban")
            .about("What is banned")
            .subcommand(add)
            .subcommand(Command::new("secret").hide(true));
        let program = Command::new("program")
            .about("Does it")
            .after_help("Exit codes: 0 done.\n\nExamples:\n  program ban add a")
            .subcommand(ban);
        let file = File {
            name: "program.toml",
            title: "configuration of program",
            places: &["/etc/program.toml"],
            description: &["It is read.", "Once."],
            schema: Some(json!({ "properties": { "a-b": { "enum": ["x", "y"], "description": "One" } } })),
            installed: ".a = 1\n",
            see_also: "program(1)",
        };
        Manual::new(program, "1.2", vec![file])
    }

    #[test]
    fn every_command_has_a_page_with_what_its_help_says() {
        let directory = tempfile::tempdir().unwrap();
        manual().write(directory.path()).unwrap();
        let pages = directory.path().join("man1");
        let read = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
        let page = read("program-ban-add.1");
        for part in [".SH NAME", "program\\-ban\\-add", "\\-\\-for", ".SH \"SEE ALSO\"", "program\\-ban(1)"] {
            assert!(page.contains(part), "no {part} in {page}");
        }
        let page = read("program.1");
        assert!(page.contains(".SH EXAMPLES\n.nf\n") && page.contains(".SH \"EXIT STATUS\""), "{page}");
        let mut names: Vec<_> =
            fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["program-ban-add.1", "program-ban.1", "program.1"]);
        assert!(directory.path().join("man5/program.toml.5").exists());
    }

    #[test]
    fn a_page_is_found_by_the_words_of_its_command_or_the_name_of_its_file() {
        let page = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            manual().page(&words).map_err(|error| error.to_string())
        };
        assert!(page(&[]).unwrap().contains(".TH program 1"));
        assert!(page(&["ban", "add"]).unwrap().contains("program\\-ban\\-add"));
        let file = page(&["program.toml"]).unwrap();
        for part in ["\\fBa\\-b\\fR = \\fI\"x\" | \"y\"\\fR", "One.", "\\&.a = 1", "program 1.2"] {
            assert!(file.contains(part), "no {part} in {file}");
        }
        assert_eq!(page(&["ban", "rm"]).unwrap_err(), "`program ban` has no command `rm`");
    }
}
