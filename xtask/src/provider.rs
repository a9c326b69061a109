//! The OpenID provider that the checker's tests of tokens start: npm's, and the Node.js that runs it, as a file of versions and sums has them; in the cache,
//! downloaded once.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::command::{self, command, say};
use crate::{packages, suites, workspace};

/// How the names of the tests begin that want it, and where they find it.
const TESTS: &str = "OpenID provider";
pub(crate) const VARIABLE: &str = "STOPBANK_OIDC_PROVIDER";

/// What names every module by its SHA-512, and what belongs to it.
const LOCK: &str = "package-lock.json";
const MANIFEST: &str = "package.json";

/// Whether tests with this in their names want it.
pub(crate) fn wanted(filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| TESTS.contains(filter) || filter.contains(TESTS))
}

/// The folder with the modules, installed by npm if it is not in the cache. No script of any module is run.
pub(crate) fn folder() -> Result<PathBuf> {
    let source = workspace::root().join("checker/tests/oidc");
    let lock = source.join(LOCK);
    let sum = command::output(command("sha512sum").arg(&lock))?;
    let name = format!("oidc-provider-{}", sum.get(..16).context("a sum has more characters")?);
    let installed = suites::cache()?.join(name);
    if !installed.is_dir() {
        packages::require(&[suites::NPM])?;
        let half = installed.with_extension("half");
        let _old = fs::remove_dir_all(&half);
        fs::create_dir_all(&half).with_context(|| format!("making {}", half.display()))?;
        for file in [LOCK, MANIFEST] {
            fs::copy(source.join(file), half.join(file)).with_context(|| format!("copying {file}"))?;
        }
        say("installing an OpenID provider by npm");
        let quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        command::output(command("npm").arg("ci").args(quiet).current_dir(&half))?;
        fs::rename(&half, &installed).with_context(|| format!("making {}", installed.display()))?;
    }
    Ok(installed)
}
