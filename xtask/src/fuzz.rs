//! `cargo xtask fuzz`: every fuzz target for some seconds each, and a table of what they found.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::command::{self, command, say};
use crate::{packages, tools, workspace};

/// Bytes of an input at the most: a body that a check reads in several steps.
const LONGEST: u32 = 64 << 10;
/// Seconds for one input, before it counts as a hang, and MiB of one allocation and of all.
const LIMITS: [&str; 3] = ["-timeout=10", "-malloc_limit_mb=128", "-rss_limit_mb=2048"];

/// Writes what targets begin with.
const SEEDS: [&str; 7] = ["run", "--quiet", "-p", "stopbank-checker", "--example", "fuzz_seeds", "--"];
/// Targets that read the same words as another one, and have its dictionary.
const SAME_WORDS: [(&str, &str); 2] = [("forward", "request"), ("http2", "request")];

/// What the user asks of a run.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds for each target
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,

    /// Only this target; may be given several times
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
}

/// What a target came to.
struct Outcome {
    target: String,
    runs: String,
    coverage: String,
    /// What went wrong first, and where the input is.
    found: Option<String>,
}

/// Runs each target; an error when one has found something.
pub(crate) fn run(options: &Options) -> Result<()> {
    let targets = wanted(&options.targets)?;
    packages::require(&packages::FUZZING)?;
    let program = tools::fuzz()?;
    let logs = workspace::root().join("target/fuzz");
    fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
    command::run(fuzz(&program, "build").stdout(Stdio::null()))?;
    let seeds = logs.join("seeds");
    command::run(command("cargo").args(SEEDS).arg(&seeds).stdout(Stdio::null()))?;
    let mut outcomes = Vec::new();
    for target in targets {
        say(&format!("{target}: {} s", options.seconds));
        outcomes.push(one(&program, &target, options.seconds, &logs, &seeds)?);
    }
    print!("{}", table(&outcomes));
    let failed = outcomes.iter().filter(|outcome| outcome.found.is_some()).count();
    if failed > 0 {
        bail!(
            "{failed} of {} targets found something; the whole of it is in {}",
            outcomes.len(),
            logs.display()
        );
    }
    Ok(())
}

/// cargo-fuzz with the compiler that is here: it needs options that only a nightly takes unasked.
fn fuzz(program: &Path, what: &str) -> Command {
    let mut fuzz = command(program);
    fuzz.env("RUSTC_BOOTSTRAP", "1").args([what, "--fuzz-dir", "fuzz"]).stdin(Stdio::null());
    fuzz
}

/// All targets, or those that were named.
fn wanted(named: &[String]) -> Result<Vec<String>> {
    let directory = workspace::root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut all: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    all.sort();
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    Ok(if named.is_empty() { all } else { named.to_vec() })
}

/// The corpus of a target, which grows, and its seeds, where it has any.
fn corpora(target: &str, seeds: &Path) -> Result<Vec<PathBuf>> {
    let corpus = workspace::root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("making {}", corpus.display()))?;
    Ok([corpus, seeds.join(target)].into_iter().filter(|folder| folder.is_dir()).collect())
}

/// The words that inputs of a target are made of, where they are written down.
fn dictionary(target: &str) -> Option<PathBuf> {
    let name = SAME_WORDS.iter().find(|(same, _)| *same == target).map_or(target, |(_, name)| name);
    let file = workspace::root().join(format!("fuzz/dictionaries/{name}.dict"));
    file.is_file().then_some(file)
}

fn one(program: &Path, target: &str, seconds: u32, logs: &Path, seeds: &Path) -> Result<Outcome> {
    let log = logs.join(format!("{target}.log"));
    let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
    let status = fuzz(program, "run")
        .arg(target)
        .args(corpora(target, seeds)?)
        .args(["--", &format!("-max_total_time={seconds}"), &format!("-max_len={LONGEST}")])
        .args(dictionary(target).map(|file| format!("-dict={}", file.display())))
        .args(["-print_final_stats=1", "-use_value_profile=1"])
        .args(LIMITS)
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .context("starting cargo fuzz")?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    Ok(outcome(target, &text, status.success(), &log))
}

/// What libFuzzer has written.
fn outcome(target: &str, log: &str, good: bool, path: &Path) -> Outcome {
    let runs = log.lines().rev().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
    let coverage = log.lines().rev().find_map(|line| line.split_once(" cov: ")?.1.split(' ').next());
    let says =
        |line: &&str| line.contains("panicked at") || line.contains("ERROR: ") || line.contains("SUMMARY: ");
    let why = || {
        let lines: Vec<&str> = log.lines().collect();
        let place = lines.iter().position(says);
        let shown = place.map(|place| lines[place..lines.len().min(place + 2)].join(" "));
        let input =
            log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
        let input = input.map_or_else(|| path.display().to_string(), str::to_owned);
        format!("{} ({input})", shown.unwrap_or_else(|| "it failed".to_owned()))
    };
    Outcome {
        target: target.to_owned(),
        runs: runs.unwrap_or("-").to_owned(),
        coverage: coverage.unwrap_or("-").to_owned(),
        found: (!good).then(why),
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table =
        String::from("| target | inputs | edges covered | found |\n| --- | ---: | ---: | --- |\n");
    for one in outcomes {
        let found = one.found.as_deref().unwrap_or("nothing");
        table += &format!("| {} | {} | {} | {found} |\n", one.target, one.runs, one.coverage);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_becomes_a_row_and_a_finding_names_its_input() {
        let good = "#2 INITED cov: 12 ft: 13\n#9 DONE cov: 70 ft: 90 corp: 3\nstat::number_of_executed_units: 9000\n";
        let row = outcome("xml", good, true, Path::new("xml.log"));
        assert_eq!((row.runs.as_str(), row.coverage.as_str(), row.found), ("9000", "70", None));
        let bad = "#2 INITED cov: 12 ft: 13\nthread '<unnamed>' panicked at a.rs:1:2:\nfar too long\n\
                   artifact_prefix='x'; Test unit written to fuzz/artifacts/xml/crash-1\n";
        let found = outcome("xml", bad, false, Path::new("xml.log")).found.expect("a finding");
        assert!(found.contains("far too long") && found.contains("crash-1"), "{found}");
    }

    #[test]
    fn every_dictionary_is_a_targets_own_and_its_words_are_quoted() {
        let directory = workspace::root().join("fuzz/dictionaries");
        let targets = wanted(&[]).expect("targets");
        let mut words = 0;
        for entry in fs::read_dir(directory).expect("dictionaries").flatten() {
            let file = entry.path();
            let name = file.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            assert!(targets.contains(&name) && dictionary(&name) == Some(file.clone()), "{name}");
            for line in fs::read_to_string(&file).expect("text").lines().filter(|line| !line.starts_with('#'))
            {
                // libFuzzer takes none of a dictionary that has one line of another kind.
                let word = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).expect(line);
                assert!(
                    !word.is_empty() && word.bytes().all(|byte| matches!(byte, b' '..=b'~')),
                    "{name}: {line}"
                );
                words += 1;
            }
        }
        assert!(words > 400 && dictionary("http2") == dictionary("request"), "{words}");
    }

    #[test]
    fn every_target_is_found_and_declared() {
        let text = fs::read_to_string(workspace::root().join("fuzz/Cargo.toml")).expect("the manifest");
        let all = wanted(&[]).expect("targets");
        assert!(all.iter().all(|name| text.contains(&format!("name = \"{name}\""))), "{all:?}");
        assert!(wanted(&["no-such".to_owned()]).is_err());
    }
}
