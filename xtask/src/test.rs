//! `cargo xtask test`: every test, and what they add up to.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::build::{self, Profile};
use crate::command::{self, cargo, say};
use crate::times::{self, Times};
use crate::totals::{Summary, Totals};
use crate::{envoy, package, packages, provider, rootfs, suites};

/// What the user asks of a run.
#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    filter: Option<String>,

    /// Fail when a test was skipped: for machines that can run every one
    #[arg(long)]
    deny_skips: bool,

    /// What the test programs are given, after `--`: --exact, --nocapture, …
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

/// Sets up, builds, runs the tests and closes with the totals, alone on the last line.
pub(crate) fn run(options: &Options) -> Result<()> {
    command::require_root("the tests")?;
    let mut times = Times::default();
    times.of("installing what the tests run", || {
        packages::require(&packages::NAMESPACES)?;
        packages::require(&packages::WITNESS)?;
        packages::wish(&packages::CLIENTS)?;
        packages::wish(&packages::CHECKER)?;
        packages::wish(&packages::MONITORS)
    })?;
    times.of("building the programs", || build::run(Profile::Release))?;
    // Apart from running them, so that each has its own time. What does not compile is said by the run, too.
    times.of("building the tests", || compile(options));
    let mut tests = tests(options)?;
    let wanted = |filter: &str| PACKAGES.contains(filter) || filter.contains(PACKAGES);
    if options.filter.as_deref().is_none_or(wanted) {
        times.of("making packages, and a Debian to boot", || for_packages(&mut tests));
    }
    times.of("fetching suites, an Envoy and a provider", || fetch(options, &mut tests));

    let (summary, succeeded) = stream(&mut tests, &mut std::io::stdout(), &mut times)?;
    let totals = summary.totals(succeeded);
    let verdict = judge(totals, options.deny_skips);
    for line in times.lines() {
        say(&line);
    }
    if let Err(error) = &verdict {
        say(&format!("error: {error:#}"));
    }
    let mut out = std::io::stdout().lock();
    for reason in summary.reasons() {
        writeln!(out, "{reason}")?;
    }
    writeln!(out, "{totals}")?;
    out.flush()?;
    if verdict.is_err() {
        // Said above already: the totals are the last line.
        std::process::exit(1);
    }
    Ok(())
}

/// Has the tests find what they read and ask that is downloaded once. Where something is missing, its tests are skipped.
fn fetch(options: &Options, tests: &mut Command) {
    for suite in suites::wanted(options.filter.as_deref()) {
        match suites::folder(suite) {
            Ok(folder) => {
                tests.env(suite.variable, folder);
            }
            Err(error) => say(&format!("a suite for the checker's tests is missing: {error:#}")),
        }
    }
    if envoy::is_wanted(options.filter.as_deref()) {
        for_envoy(tests);
    }
    if provider::wanted(options.filter.as_deref()) {
        match provider::folder() {
            Ok(folder) => {
                tests.env(provider::VARIABLE, folder);
            }
            Err(error) => say(&format!("no OpenID provider for the checker's tests: {error:#}")),
        }
    }
}

/// How long what cargo says may take to come once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How the names of the tests of packages begin, which want more than a build.
const PACKAGES: &str = "packages";

/// Makes what those tests install, and what they boot. Where that fails they are skipped, and say what is missing.
fn for_packages(tests: &mut Command) {
    let made = packages::wish(&package::JUDGES).and_then(|()| package::for_tests());
    match made {
        Ok(()) => {
            tests.env("STOPBANK_PACKAGES_MADE", "1");
        }
        Err(error) => say(&format!("no packages for the tests of packages: {error:#}")),
    }
    match rootfs::wish() {
        Ok(root) => {
            tests.env("STOPBANK_ROOTFS", root);
        }
        Err(error) => say(&format!("no Debian to boot for the tests of packages: {error:#}")),
    }
}

/// Has the tests find an Envoy, the one that the environment names where it does.
fn for_envoy(tests: &mut Command) {
    if std::env::var_os(envoy::VARIABLE).is_some() {
        return;
    }
    match envoy::program() {
        Ok(program) => {
            tests.env(envoy::VARIABLE, program);
        }
        Err(error) => say(&format!("no Envoy for the checker's tests: {error:#}")),
    }
}

/// Whether a run with these totals is a success.
fn judge(totals: Totals, deny_skips: bool) -> Result<()> {
    if totals.failed > 0 {
        bail!("{} failed", totals.failed);
    }
    if totals.passed == 0 && totals.skipped == 0 {
        bail!("no test ran");
    }
    if deny_skips && totals.skipped > 0 {
        bail!("{} skipped, and --deny-skips was asked for", totals.skipped);
    }
    Ok(())
}

/// Builds the test programs.
fn compile(options: &Options) {
    let mut build = cargo();
    build.args(["test", "--release", "--no-run"]).args(&options.filter);
    if let Err(error) = command::run(&mut build) {
        say(&format!("{error:#}"));
    }
}

/// The command that runs the tests, the test programs as root.
fn tests(options: &Options) -> Result<Command> {
    let mut tests = cargo();
    tests.args(["test", "--release", "--no-fail-fast"]).args(&options.filter);
    tests.arg("--").args(&options.arguments);
    if !command::is_root() {
        say("the tests need root, and this is not: running the test programs under sudo");
        tests.env(runner_variable()?, "sudo -E");
    }
    Ok(tests)
}

/// The variable that tells cargo what to run this host's programs with.
fn runner_variable() -> Result<String> {
    let version = command::output(cargo().arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("cargo names no host")?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_")))
}

/// Runs `tests`, passing its output on to `to` as it comes, and what else it says to stderr. Returns what the output adds up to, and
/// whether it succeeded.
fn stream(tests: &mut Command, to: &mut impl Write, times: &mut Times) -> Result<(Summary, bool)> {
    let child = tests.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("starting {}", command::describe(tests)))?;
    let mut output = BufReader::new(child.stdout.take().context("the tests' output was asked for")?);
    let said = child.stderr.take().context("what cargo says was asked for")?;
    let process = child.id();
    let seen = Arc::new(Mutex::new(Times::default()));
    let (ended, is_ended) = mpsc::channel();
    let watched = Arc::clone(&seen);
    thread::spawn(move || {
        times::watch(said, &mut std::io::stderr(), &watched, || times::of_children(process));
        let _ended = ended.send(());
    });
    let mut summary = Summary::default();
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        summary.line(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = child.wait()?;
    // Unless something that a test left running keeps stderr open: nobody waits for that.
    let _ended = is_ended.recv_timeout(LAST_WORDS);
    times.extend(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((summary, status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_an_empty_run_and_a_denied_skip_fail() {
        let totals = |passed, failed, skipped| Totals { passed, failed, skipped };
        assert!(judge(totals(1, 0, 0), true).is_ok());
        assert!(judge(totals(1, 0, 1), false).is_ok());
        assert!(judge(totals(1, 0, 1), true).is_err());
        assert!(judge(totals(5, 1, 0), false).is_err());
        assert!(judge(totals(0, 0, 0), false).is_err());
    }

    #[test]
    fn output_is_summed_as_it_streams() {
        let mut output = Vec::new();
        let mut script = Command::new("sh");
        script.args([
            "-c",
            "echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.0s'; exit 1",
        ]);
        let (summary, succeeded) =
            stream(&mut script, &mut output, &mut Times::default()).expect("a shell runs");
        assert!(output.starts_with(b"test result: ok. 3 passed"));
        assert!(!succeeded);
        assert_eq!(summary.totals(succeeded), Totals { passed: 3, failed: 1, skipped: 1 });
    }
}
