//! What is in the packages, and what those who know packages say of them.

use std::{collections::BTreeSet, path::Path, process::Command};

use libtest_mimic::Trial;
use stopbank_tests::{process, skip};

use crate::{PROGRAMS, no_packages, no_program, packages};

/// The highest exposure that `systemd-analyze security` may find, in tenths: 2.5.
const EXPOSURE: &str = "25";

/// Files that one package or the other has.
const SOME: &[&str] = &[
    "/etc/stopbank/stopbank.toml",
    "/usr/lib/sysusers.d/stopbank.conf",
    "/usr/lib/tmpfiles.d/stopbank.conf",
    "/usr/share/man/man5/stopbank.toml.5",
    "/etc/stopbank-checker/proxy.toml",
    "/etc/logrotate.d/stopbank-checker",
    "/usr/lib/systemd/system/stopbank-checker.socket",
    "/usr/share/man/man5/stopbank-checker-policy.toml.5",
    "/usr/share/man/man5/stopbank-checker-proxy.toml.5",
    "/usr/share/stopbank-checker/policies/generic.toml",
];

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
            "packages: each .rpm brings the same files as the .deb",
            || no_program("rpm", "rpm").or_else(no_packages),
            same_files,
        ),
        skip::trial("packages: no file is in two packages", no_packages, apart),
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
    lintian.args(["--fail-on", "error,warning", "--allow-root"]);
    lintian.args(PROGRAMS.map(|program| packages().join(program).join("old.deb")));
    let said = process::output(&mut lintian, "").unwrap();
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}

/// The files of a .deb, without directories.
fn files(program: &str) -> BTreeSet<String> {
    let deb = packages().join(program).join("old.deb");
    let listed = process::run(Command::new("dpkg-deb").arg("--contents").arg(deb)).unwrap();
    let paths = listed.lines().filter_map(|line| line.split_whitespace().nth(5)?.strip_prefix('.'));
    paths.filter(|path| !path.ends_with('/')).map(str::to_owned).collect()
}

fn apart() {
    let [agent, checker] = PROGRAMS.map(files);
    let both: Vec<&String> = agent.intersection(&checker).collect();
    assert!(!agent.is_empty() && !checker.is_empty() && both.is_empty(), "{both:?}");
}

/// But for what each of them has of its own: documents that Debian wants, in the form that Debian wants.
fn same_files() {
    // Debian's manual pages are packed, and its place for zsh's completions is its own.
    let unpacked =
        |file: &str| file.trim_end_matches(".gz").replace("/vendor-completions/", "/site-functions/");
    for program in PROGRAMS {
        let documents = format!("/doc/{program}/");
        let ours =
            |file: &&str| !file.ends_with('/') && !file.contains(&documents) && !file.contains("/lintian/");
        let deb = files(program);
        let deb: BTreeSet<String> = deb.iter().map(String::as_str).filter(ours).map(unpacked).collect();
        let package = packages().join(program).join("new.rpm");
        let rpm = process::run(Command::new("rpm").args(["-qlp", "--nosignature"]).arg(package)).unwrap();
        let rpm: BTreeSet<String> = rpm.lines().filter(ours).map(unpacked).collect();
        assert_eq!(deb, rpm);
        for file in [
            format!("/usr/bin/{program}"),
            format!("/usr/lib/systemd/system/{program}.service"),
            format!("/usr/share/man/man1/{program}.1"),
            format!("/usr/share/bash-completion/completions/{program}"),
        ] {
            assert!(deb.contains(&file), "no {file} in {deb:?}");
        }
    }
    let all: BTreeSet<String> =
        PROGRAMS.iter().flat_map(|program| files(program)).map(|file| unpacked(&file)).collect();
    for file in SOME {
        assert!(all.contains(*file), "no {file}");
    }
}
