//! What is in the packages, and what those who know packages say of them.

use std::{collections::BTreeSet, path::Path, process::Command};

use libtest_mimic::Trial;
use stopbank_tests::{process, skip};

use crate::{no_packages, no_program, packages};

/// The highest exposure that `systemd-analyze security` may find, in tenths: 2.5.
const EXPOSURE: &str = "25";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        skip::trial(
            "packages: the unit exposes little",
            || no_program("systemd-analyze", "systemd"),
            exposure,
        ),
        skip::trial(
            "packages: lintian finds no errors and no warnings",
            || no_program("lintian", "lintian").or_else(no_packages),
            lintian,
        ),
        skip::trial(
            "packages: the .rpm brings the same files as the .deb",
            || no_program("rpm", "rpm").or_else(no_packages),
            same_files,
        ),
    ]
}

fn exposure() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd/stopbank.service");
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE]).arg(unit);
    // It fails where the exposure is above the threshold.
    let said = process::run(&mut analyze).unwrap();
    println!("{}", said.trim().lines().last().unwrap_or_default());
}

fn lintian() {
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error,warning", "--allow-root"]).arg(packages().join("old.deb"));
    let said = process::output(&mut lintian, "").unwrap();
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}

/// But for what each of them has of its own: documents that Debian wants, in the form that Debian wants.
fn same_files() {
    let ours = |file: &str| {
        !file.ends_with('/') && !["/doc/stopbank/", "/lintian/"].iter().any(|theirs| file.contains(theirs))
    };
    // Debian's manual pages are packed, and its place for zsh's completions is its own.
    let unpacked =
        |file: &str| file.trim_end_matches(".gz").replace("/vendor-completions/", "/site-functions/");
    let deb =
        process::run(Command::new("dpkg-deb").arg("--contents").arg(packages().join("old.deb"))).unwrap();
    let deb: BTreeSet<String> = deb
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5)?.strip_prefix('.'))
        .filter(|file| ours(file))
        .map(unpacked)
        .collect();
    let rpm = process::run(
        Command::new("rpm").args(["-qlp", "--nosignature"]).arg(packages().join("stopbank.rpm")),
    );
    let rpm: BTreeSet<String> = rpm.unwrap().lines().filter(|file| ours(file)).map(unpacked).collect();
    assert_eq!(deb, rpm);
    for file in [
        "/usr/bin/stopbank",
        "/etc/stopbank/stopbank.toml",
        "/usr/lib/systemd/system/stopbank.service",
        "/usr/lib/sysusers.d/stopbank.conf",
        "/usr/lib/tmpfiles.d/stopbank.conf",
        "/usr/share/man/man1/stopbank.1",
        "/usr/share/man/man5/stopbank.toml.5",
        "/usr/share/bash-completion/completions/stopbank",
    ] {
        assert!(deb.contains(file), "no {file} in {deb:?}");
    }
}
