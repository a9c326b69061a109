//! `cargo xtask package`: a .deb and an .rpm each of the agent and of the checker, of the release build.
//!
//! What is in them stands in `agent/Cargo.toml` and `checker/Cargo.toml` (`package.metadata.deb`, `package.metadata.generate-rpm`), and below
//! packaging/: units, the agent's user, the places that it needs, and what is done when a package comes and goes. What has to be made for them
//! (completions, man pages, the changelog in Debian's format) is staged in target/package/stage.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::build::{self, Profile};
use crate::command::{self, command, say};
use crate::packages::{self, Package};
use crate::{tools, workspace};

/// What packaging takes beside cargo's tools: dpkg-shlibdeps finds what the agent depends on.
const PACKAGES: [Package; 2] = [
    Package { program: "dpkg-shlibdeps", name: "dpkg-dev", service: None },
    Package { program: "strip", name: "binutils", service: None },
];

/// What looks packages over; where it is missing, that is left out, and said.
pub(crate) const JUDGES: [Package; 2] = [
    Package { program: "lintian", name: "lintian", service: None },
    Package { program: "rpm", name: "rpm", service: None },
];

/// Who packages it, as Debian's tools want it.
const MAINTAINER: &str = "The stopbank authors <maintainers@stopbank.example>";

/// What is packaged.
struct Program {
    /// Of the crate, the program and the packages.
    name: &'static str,
    /// The crate's folder.
    folder: &'static str,
}

const PROGRAMS: [Program; 2] =
    [Program { name: "stopbank", folder: "agent" }, Program { name: "stopbank-checker", folder: "checker" }];

/// Shells that get completions: what `completions` calls them, and what stands around the program's name in the file's.
const SHELLS: [(&str, &str, &str); 3] = [("bash", "", ""), ("zsh", "_", ""), ("fish", "", ".fish")];

/// What a package is compressed for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speed {
    Fast,
    Small,
}

/// What the user asks of a run.
#[derive(Args)]
pub(crate) struct Options {
    /// Version of the packages, instead of the workspace's with the revision 1
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

/// `cargo xtask package`.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::require(&PACKAGES)?;
    packages::wish(&JUDGES)?;
    build::run(Profile::Release)?;
    let directory = directory();
    let version = options.version.as_deref();
    for program in &PROGRAMS {
        program.stage()?;
        let deb = program.deb(version, &directory, Speed::Small)?;
        let rpm = program.rpm(version, &directory, Speed::Small)?;
        look_over(&deb, &rpm)?;
        println!("{}\n{}", deb.display(), rpm.display());
    }
    Ok(())
}

/// What the tests install and upgrade to, of a release build that is there: for each program, target/package/tests/NAME holds `old.deb`,
/// `new.deb` and `new.rpm`.
pub(crate) fn for_tests() -> Result<()> {
    packages::require(&PACKAGES)?;
    let directory = directory().join("tests");
    let _old = fs::remove_dir_all(&directory);
    let version = env!("CARGO_PKG_VERSION");
    for program in &PROGRAMS {
        let directory = directory.join(program.name);
        program.stage()?;
        for (name, revision) in [("old.deb", 1), ("new.deb", 2)] {
            program.deb(Some(&format!("{version}-{revision}")), &directory.join(name), Speed::Fast)?;
        }
        program.rpm(None, &directory.join("new.rpm"), Speed::Fast)?;
    }
    Ok(())
}

/// Where packages end up.
fn directory() -> PathBuf {
    workspace::root().join("target/package")
}

impl Program {
    /// Makes what the build does not leave ready.
    fn stage(&self) -> Result<()> {
        let stage = directory().join("stage").join(self.name);
        let _old = fs::remove_dir_all(&stage);
        let built = workspace::binaries("release")?.join(self.name);
        for part in ["completions", "man", "bin"] {
            let part = stage.join(part);
            fs::create_dir_all(&part).with_context(|| format!("making {}", part.display()))?;
        }
        for (shell, before, behind) in SHELLS {
            let text = command::output(command(&built).args(["completions", shell]))?;
            write(&stage.join("completions").join(format!("{before}{}{behind}", self.name)), &text)?;
        }
        command::output(command(&built).args(["man", "--dir"]).arg(stage.join("man")))?;
        write(&stage.join("changelog"), &changelog(self.name, env!("CARGO_PKG_VERSION"), &date()?))?;
        // cargo-deb strips what it packs, cargo-generate-rpm does not.
        let stripped = stage.join("bin").join(self.name);
        command::run(command("strip").arg("-o").arg(&stripped).arg(&built))
    }

    /// Makes the .deb, at `to` or in the directory `to`; says where.
    fn deb(&self, version: Option<&str>, to: &Path, speed: Speed) -> Result<PathBuf> {
        let mut make = command(tools::deb()?);
        // The build is done: whoever runs this as root compiles nothing.
        make.args(["--no-build", "--quiet", "--package", self.name, "--maintainer", MAINTAINER, "--output"])
            .arg(to);
        if speed == Speed::Fast {
            make.arg("--fast");
        }
        if let Some(version) = version {
            make.args(["--deb-version", version]);
        }
        let said = command::output(&mut make).context("making the .deb")?;
        Ok(said.lines().last().map_or_else(|| to.to_owned(), PathBuf::from))
    }

    /// Makes the .rpm, at `to` or in the directory `to`; says where.
    fn rpm(&self, version: Option<&str>, to: &Path, speed: Speed) -> Result<PathBuf> {
        let mut make = command(tools::rpm()?);
        make.args(["generate-rpm", "--package", self.folder, "--output"]).arg(to);
        if speed == Speed::Fast {
            make.args(["--payload-compress", "none"]);
        }
        if let Some(version) = version {
            // One that is Debian's is no version to rpm, which keeps the release apart.
            let (version, release) = version.rsplit_once('-').unwrap_or((version, "1"));
            make.arg("--set-metadata").arg(format!("version = \"{version}\"\nrelease = \"{release}\""));
        }
        command::output(&mut make).context("making the .rpm")?;
        if !to.is_dir() {
            return Ok(to.to_owned());
        }
        // Behind the name stands the version: the agent's name is the beginning of the checker's.
        let begins = |name: &str| {
            let version = name.strip_prefix(self.name).and_then(|rest| rest.strip_prefix('-'));
            version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
        };
        let newest = fs::read_dir(to)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rpm"))
            .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(begins))
            .max_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
        newest.with_context(|| format!("no .rpm was made in {}", to.display()))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// When the tree was last changed, so that two builds of it are alike; in the format of RFC 5322.
fn date() -> Result<String> {
    match command::output(command("git").args(["log", "-1", "--format=%cD"])) {
        Ok(date) if !date.trim().is_empty() => Ok(date.trim().to_owned()),
        // A tree without its history.
        _ => Ok(command::output(command("date").arg("-R"))?.trim().to_owned()),
    }
}

/// The changelog of the package (deb-changelog(5)); what has changed in the program is in CHANGELOG.md.
fn changelog(name: &str, version: &str, date: &str) -> String {
    format!(
        "{name} ({version}-1) unstable; urgency=medium\n\n  \
         * Packaged from the sources of {version}; CHANGELOG.md says what has changed.\n\n \
         -- {MAINTAINER}  {date}\n"
    )
}

/// Has lintian and rpm look at what was made.
fn look_over(deb: &Path, rpm: &Path) -> Result<()> {
    if command::find("lintian").is_some() {
        let mut lintian = command("lintian");
        lintian.args(["--fail-on", "error,warning", "--allow-root"]).arg(deb);
        command::run(lintian.stdout(std::io::stderr())).context("lintian has found something to mend")?;
        say("lintian has no errors and no warnings");
    } else {
        say("there is no lintian here: the .deb was not looked over");
    }
    if command::find("rpm").is_some() {
        let files = command::output(command("rpm").args(["-qlp"]).arg(rpm))?;
        say(&format!("the .rpm holds {} files and directories", files.lines().count()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changelog_is_of_debians_shape() {
        let text = changelog("stopbank", "0.1.0", "Fri, 27 Nov 2026 21:50:00 +0000");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "stopbank (0.1.0-1) unstable; urgency=medium");
        assert!(lines[2].starts_with("  * "), "{text}");
        assert_eq!(
            *lines.last().expect("there are lines"),
            format!(" -- {MAINTAINER}  Fri, 27 Nov 2026 21:50:00 +0000")
        );
    }
}
