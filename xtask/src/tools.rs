//! Programs that cargo installs for this tree: under target/tools, never over the user's own, and kept in the user's cache
//! so that the next clone does not compile them again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::command::{self, cargo, command, say};
use crate::{llvm, workspace};

/// The bpf-linker that we install, and the oldest of the user's that is taken.
pub(crate) const LINKER_VERSION: &str = "0.13.0";

const DENY_VERSION: &str = "0.20.2";

const DEB_VERSION: &str = "3.8.0";

const RPM_VERSION: &str = "0.21.1";

const FUZZ_VERSION: &str = "0.13.2";

/// A program from crates.io.
struct Tool {
    /// Of the crate and of the program.
    name: &'static str,
    version: &'static str,
    /// What sets apart two builds of one version in the cache.
    variant: String,
    arguments: Vec<String>,
    environment: Vec<(String, PathBuf)>,
    /// The LLVM that the program must have been built with.
    llvm: Option<u32>,
}

/// A bpf-linker for LLVM `major` that is here already: this tree's, the cache's, or the user's.
pub(crate) fn linker_at_hand(major: u32) -> Option<PathBuf> {
    linker_for(major, None).at_hand().or_else(|| user_linker(major))
}

/// Installs bpf-linker, built with the LLVM `major` whose development files are under `prefix`.
pub(crate) fn install_linker(major: u32, prefix: &Path) -> Result<PathBuf> {
    linker_for(major, Some(prefix)).install()
}

fn linker_for(major: u32, prefix: Option<&Path>) -> Tool {
    // The crate's own build script reads the first, that of llvm-sys the second.
    let environment = prefix.into_iter().flat_map(|prefix| {
        [("LLVM_PREFIX".to_owned(), prefix.into()), (format!("LLVM_SYS_{major}1_PREFIX"), prefix.into())]
    });
    Tool {
        name: "bpf-linker",
        version: LINKER_VERSION,
        variant: format!("-llvm{major}"),
        arguments: vec!["--no-default-features".into(), format!("--features=llvm-{major}")],
        environment: environment.collect(),
        llvm: Some(major),
    }
}

/// The user's own bpf-linker, when it is recent enough and its LLVM is `major`.
fn user_linker(major: u32) -> Option<PathBuf> {
    let linker = command::find("bpf-linker")?;
    let version = command::output(command(&linker).arg("--version")).ok()?;
    let recent = release(version.split_whitespace().last()?)? >= release(LINKER_VERSION)?;
    (recent && llvm::of_program(&linker) == Some(major)).then_some(linker)
}

/// The major and minor number of a version.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// cargo-deny, installed when it is not here yet.
pub(crate) fn deny() -> Result<PathBuf> {
    plain("cargo-deny", DENY_VERSION)
}

/// cargo-deb, installed when it is not here yet.
pub(crate) fn deb() -> Result<PathBuf> {
    plain("cargo-deb", DEB_VERSION)
}

/// cargo-generate-rpm, installed when it is not here yet.
pub(crate) fn rpm() -> Result<PathBuf> {
    plain("cargo-generate-rpm", RPM_VERSION)
}

/// cargo-fuzz: the user's own, or installed when there is none.
pub(crate) fn fuzz() -> Result<PathBuf> {
    command::find("cargo-fuzz").map_or_else(|| plain("cargo-fuzz", FUZZ_VERSION), Ok)
}

/// A tool that is built as it comes.
fn plain(name: &'static str, version: &'static str) -> Result<PathBuf> {
    let tool = Tool {
        name,
        version,
        variant: String::new(),
        arguments: Vec::new(),
        environment: Vec::new(),
        llvm: None,
    };
    tool.at_hand().map_or_else(|| tool.install(), Ok)
}

impl Tool {
    /// Where this tree has it.
    fn path(&self) -> PathBuf {
        workspace::tools().join("bin").join(self.name)
    }

    /// Where the cache has it.
    fn cached(&self) -> Option<PathBuf> {
        Some(
            workspace::cache()?
                .join(format!("{}-{}{}", self.name, self.version, self.variant))
                .join(self.name),
        )
    }

    /// The program in this tree, brought from the cache if need be; `None` when neither has one that works.
    fn at_hand(&self) -> Option<PathBuf> {
        let own = self.path();
        if self.works(&own) {
            return Some(own);
        }
        let cached = self.cached().filter(|cached| self.works(cached))?;
        copy(&cached, &own).ok()?;
        say(&format!("{} {} taken from {}", self.name, self.version, cached.display()));
        Some(own)
    }

    /// Whether `program` starts, and is the version asked for.
    fn works(&self, program: &Path) -> bool {
        program.exists()
            && command::output(command(program).arg("--version"))
                .is_ok_and(|text| text.split_whitespace().any(|word| word == self.version))
            && self.llvm.is_none_or(|major| llvm::of_program(program) == Some(major))
    }

    /// Compiles it into this tree, and keeps a copy.
    fn install(&self) -> Result<PathBuf> {
        say(&format!("compiling {} {} into target/tools (a minute or more, once)", self.name, self.version));
        let mut install = cargo();
        install.args(["install", "--quiet", "--locked", "--force", "--root"]).arg(workspace::tools());
        install.args(["--version", self.version, self.name]).args(&self.arguments);
        install.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // They run for seconds: time spent on optimizing them is never won back.
        install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
        install.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16").env("CARGO_PROFILE_RELEASE_DEBUG", "none");
        command::run(&mut install).with_context(|| format!("installing {} {}", self.name, self.version))?;
        let own = self.path();
        if let Some(cached) = self.cached()
            && let Err(error) = copy(&own, &cached)
        {
            say(&format!("{} is not kept for the next clone: {error:#}", self.name));
        }
        Ok(own)
    }
}

/// Copies a program, so that nobody ever sees half of it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let directory = to.parent().context("a program has a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let unfinished = directory.join(format!(".{}", std::process::id()));
    fs::copy(from, &unfinished).with_context(|| format!("copying to {}", unfinished.display()))?;
    fs::rename(&unfinished, to).with_context(|| format!("writing {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(release("0.13.1") >= release("0.13.0"));
        assert!(release("0.9.15") < release("0.13.0"));
        assert_eq!(release("unknown"), None);
    }
}
