//! A small Debian with systemd, which tests boot in a container; in the user's cache, because it takes minutes to make.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::{self, say};
use crate::packages::{self, Package};
use crate::workspace;

/// What makes it, and what boots it.
const PACKAGES: [Package; 2] = [
    Package { program: "mmdebstrap", name: "mmdebstrap", service: None },
    Package { program: "systemd-nspawn", name: "systemd-container", service: None },
];

/// Its suite, and a number that changes with what is in it.
const SUITE: &str = "bookworm";
const NAME: &str = "bookworm-1";

/// What is in it beside what is essential.
const CONTENTS: &str = "systemd,systemd-sysv,init-system-helpers";

/// Where it is, made if need be.
pub(crate) fn wish() -> Result<PathBuf> {
    packages::wish(&PACKAGES)?;
    let directory = directory()?;
    let root = directory.join(NAME);
    if root.is_dir() {
        return Ok(root);
    }
    let Some(mmdebstrap) = command::find("mmdebstrap") else { bail!("there is no mmdebstrap to make one") };
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    say(&format!("making {} (some minutes, once)", root.display()));
    let half = directory.join(format!(".{NAME}.{}", std::process::id()));
    let made = make(&mmdebstrap, &half);
    if made.is_err() {
        // Whoever made it may remove it.
        let mut remove = command::as_root(Path::new("rm"))?;
        let _none = command::run(remove.args(["-rf", "--"]).arg(&half));
    }
    made?;
    fs::rename(&half, &root).with_context(|| format!("renaming {}", half.display()))?;
    Ok(root)
}

fn make(mmdebstrap: &Path, root: &Path) -> Result<()> {
    let mut make = command::as_root(mmdebstrap)?;
    make.args(["--quiet", "--variant=minbase", &format!("--include={CONTENTS}"), SUITE]).arg(root);
    command::output(&mut make).map(drop)
}

fn directory() -> Result<PathBuf> {
    let tools = workspace::cache().context("this user has no home to keep it in")?;
    Ok(tools.parent().context("the cache has a parent")?.join("rootfs"))
}
