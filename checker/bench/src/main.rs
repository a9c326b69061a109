//! Measures how fast the checker is, alone and as a proxy beside others: `cargo xtask bench checker`.

mod allocations;
mod auth_request;
mod envoy;
mod front;
mod haproxy;
mod in_process;
mod load;
mod parts;
mod requests;
mod subjects;
mod table;
mod tokens;
mod tried;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use stopbank_checker::Policy;
use stopbank_score::nginx::{Nginx, Role};

use front::Asked;
use load::{Load, Outcome, Pace, Requests};
use parts::Part;
use requests::Kind;
use subjects::{NONE, PEER, Spent, Subject};
use table::Row;
use tokens::Tokens;
use tried::tried;

/// Measures how fast the checker is, alone and as a proxy beside others.
///
/// The engine alone judges a request again and again. Then the proxy, plain nginx, and nginx with ModSecurity and the OWASP Core Rule Set
/// stand in turn before the same upstream: the one under measurement has one processor, load and upstream share another. Contenders take
/// turns, round by round.
///
/// With --haproxy, --envoy or --nginx-auth it is a front end that asks the checker, both on the one processor, beside the same front end
/// without its questions; and for tokens Envoy's own filter, jwt_authn. Before anything is measured, an attack, a request without a token and
/// one with a forged token have to be refused by whoever is to refuse them, and passed on by the others. While it is measured, every answer
/// has to be 200.
#[derive(Parser)]
#[command(name = "cargo xtask bench checker", bin_name = "cargo xtask bench checker", max_term_width = 110)]
#[command(after_help = "Examples:
  cargo xtask bench checker --in-process                        the engine alone: half a minute
  cargo xtask bench checker --envoy --rounds 3 --json envoy.json
  cargo xtask bench checker --nginx-auth --share 0.2            latency far below saturation

Exit codes: 0 every promised figure holds, 1 one does not or something failed, 2 usage.")]
struct Arguments {
    /// Also write the rows to FILE: a list of {case, subject, requests_per_s, cpu_us_per_request, p50_ms, p99_ms}
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Rounds of each case and subject
    #[arg(long, value_name = "N", default_value_t = 7)]
    rounds: u32,

    /// Seconds of a round
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    seconds: f64,

    /// The constant rate at which latency is compared, as a share of what the proxy does at most
    #[arg(long, value_name = "SHARE", default_value_t = 0.4)]
    share: f64,

    /// Only the engine, without any server
    #[arg(long, group = "part")]
    in_process: bool,

    /// Only HAProxy, that asks the checker by SPOE and that does not
    #[arg(long, group = "part")]
    haproxy: bool,

    /// Only Envoy, that asks the checker by ext_authz, that verifies tokens by its own jwt_authn, and that does neither
    #[arg(long, group = "part")]
    envoy: bool,

    /// Only nginx, that asks the checker by auth_request and that does not
    #[arg(long, group = "part")]
    nginx_auth: bool,

    /// The checker; otherwise the one beside this program
    #[arg(long, value_name = "PROGRAM")]
    checker: Option<PathBuf>,

    /// One of the policies that come with the checker
    #[arg(long, value_name = "POLICY", default_value = "generic")]
    policy: String,
}

impl Arguments {
    fn part(&self) -> Part {
        match (self.haproxy, self.envoy, self.nginx_auth) {
            (true, ..) => Part::Haproxy,
            (_, true, _) => Part::Envoy,
            (.., true) => Part::Nginx,
            _ => Part::Proxies,
        }
    }
}

/// How far load and servers go before what else runs on their processors: all of them so far, since what runs there for a millisecond, ten times
/// a second, is what the slowest of a hundred requests wait for.
const AHEAD: i32 = 15;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    eprintln!("bench: {line}");
}

/// Whether every promised figure holds.
fn run(arguments: &Arguments) -> Result<bool> {
    let allowed = sched_getaffinity(None)?;
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let (first, last) = (processors[0], processors[processors.len() - 1]);
    ensure!(arguments.in_process || first != last, "two processors are needed: one is the proxy's alone");
    ahead(AHEAD);
    let mut rows = Vec::new();
    settle_on(last)?;
    let policy =
        Policy::shipped(&arguments.policy).context("no policy of this name comes with the checker")?;
    let mut allocated = Vec::new();
    for kind in Kind::PLAIN.into_iter().filter(|_| arguments.part() == Part::Proxies) {
        let (row, allocations) = in_process::run(&policy, kind)?;
        allocated.push(format!("{}: {allocations:.1} allocations a request", row.case));
        rows.push(row);
    }
    if !arguments.in_process {
        settle_on(first)?;
        rows.extend(proxies(arguments, first, last)?);
    }
    report(arguments, &rows, &allocated)
}

/// This process goes so much before others, as nice(2) counts it: what else runs here is to disturb as little as it may. That takes a right that
/// not everybody has.
fn ahead(much: i32) {
    let _ = rustix::process::setpriority_process(None, -much);
}

/// This thread, and what it starts, on one processor.
fn settle_on(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("taking processor {cpu}"))
}

/// All cases of proxies.
fn proxies(arguments: &Arguments, first: usize, last: usize) -> Result<Vec<Row>> {
    let checker = match &arguments.checker {
        Some(checker) => checker.clone(),
        None => env::current_exe()?.with_file_name("stopbank-checker"),
    };
    let upstream = Nginx::start(Role::Upstream, Some(first))?;
    let asked = Asked { program: &checker, policy: Path::new(&arguments.policy) };
    let part = arguments.part();
    let tokens = (part == Part::Envoy).then(Tokens::new).transpose()?;
    let subjects = match &tokens {
        Some(tokens) => subjects::envoys(asked, tokens, &upstream, last)?,
        None if part == Part::Haproxy => subjects::haproxies(asked, &upstream, last)?,
        None if part == Part::Nginx => subjects::nginxes(asked, &upstream, last)?,
        None => subjects::proxies(asked, &upstream, last)?,
    };
    for subject in &subjects {
        tried(subject.name, subject.address, subject.refuses, tokens.as_ref())?;
    }
    let during = Duration::from_secs_f64(arguments.seconds);
    let mut rows = Vec::new();
    for case in part.cases() {
        let requests = Requests::new(case.kind.requests(tokens.as_ref()))?;
        let measure = |name: &str, left_out: &[&str], pace| {
            say(name);
            let chosen = case.subjects.iter().filter(|name| !left_out.contains(name));
            let chosen = chosen.filter_map(|name| subjects.iter().find(|one| one.name == *name));
            let chosen: Vec<&Subject> = chosen.collect();
            rounds(arguments, &requests, name, &chosen, pace, during)
        };
        let saturated = measure(&table::saturated(case.kind), &[], Pace::Saturating)?;
        let most = saturated.iter().find(|row| row.subject == case.ours());
        let pace = Pace::Rate(most.map_or(0.0, |row| row.requests_per_s) * arguments.share);
        rows.extend(saturated);
        // The load shares a processor with the upstream. What it waits for that one would be counted as what the proxy adds.
        ahead(20);
        rows.extend(measure(&table::steady(case.kind), &[PEER, NONE], pace)?);
        ahead(AHEAD);
    }
    Ok(rows)
}

/// One case: subjects take turns.
fn rounds(
    arguments: &Arguments,
    requests: &Requests,
    case: &str,
    chosen: &[&Subject],
    pace: Pace,
    during: Duration,
) -> Result<Vec<Row>> {
    let mut results: Vec<Vec<(Outcome, Spent)>> = chosen.iter().map(|_| Vec::new()).collect();
    for _ in 0..arguments.rounds {
        for (subject, results) in chosen.iter().zip(&mut results) {
            let context = || format!("{case}: {}", subject.name);
            let load = Load::new(subject.address, requests).with_context(context)?;
            load.run(pace, during / 8).with_context(context)?;
            let before = subject.cpu()?;
            let outcome = load.run(pace, during).with_context(context)?;
            results.push((outcome, subject.cpu()? - before));
        }
    }
    let rows = chosen.iter().zip(results);
    Ok(rows.map(|(subject, results)| Row::of_rounds(case, subject.name, results)).collect())
}

/// Prints the table and the figures. Whether every figure holds.
fn report(arguments: &Arguments, rows: &[Row], allocated: &[String]) -> Result<bool> {
    println!("{}", table::text(rows));
    allocated.iter().for_each(|line| println!("{line}"));
    for row in rows.iter().filter(|row| row.subject != NONE) {
        let limit = rows.iter().find(|one| one.case == row.case && one.subject == NONE);
        if limit.is_some_and(|limit| row.requests_per_s > 0.8 * limit.requests_per_s) {
            println!(
                "{} {}: load and upstream had no more to give; CPU time says more",
                row.case, row.subject
            );
        }
    }
    for (one, other) in arguments.part().compared() {
        table::added(rows, one, other).iter().for_each(|line| println!("{line}"));
    }
    let promises = table::promises(rows);
    for (line, holds) in &promises {
        println!("{} {line}", if *holds { "holds:" } else { "DOES NOT HOLD:" });
    }
    if let Some(file) = &arguments.json {
        let json = serde_json::to_string_pretty(rows)? + "\n";
        fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(promises.iter().all(|(_, holds)| *holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_measured_at_a_time() {
        let read = |arguments: &[&str]| Arguments::try_parse_from([&["bench"], arguments].concat());
        for (arguments, part) in [
            (&[][..], Part::Proxies),
            (&["--haproxy"], Part::Haproxy),
            (&["--envoy"], Part::Envoy),
            (&["--nginx-auth"], Part::Nginx),
        ] {
            assert_eq!(read(arguments).unwrap().part(), part);
        }
        assert!(read(&["--envoy", "--haproxy"]).is_err() && read(&["--in-process", "--nginx-auth"]).is_err());
    }
}
