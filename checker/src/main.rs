//! `stopbank-checker`: the engine's command line.
#![forbid(unsafe_code)]

use std::{
    io::{self, BufRead as _, Read, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Parser, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stopbank_checker::{
    Action, Check, Reason, Verdict,
    engine::{self, Limits},
};

/// Largest request, or line with one, that is read.
const LARGEST: u64 = 64 << 20;

/// Judges requests to an API: what cannot be read in one way only is refused.
#[derive(Parser)]
#[command(name = "stopbank-checker", version, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 every request is allowed, 1 one is refused or something failed, 2 usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(CheckCommand),
    /// Every reason for which a request is refused: name, status and what it means
    Reasons,
}

/// Judge requests out of a file: a line of JSON for each
///
/// The file is one request as HTTP/1 sends it, or a line of JSON for each request whose member `raw` is that in base64. Other members are
/// printed again with the verdict, so that it can be told which request it is about.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  printf 'GET /a/../b HTTP/1.1\\r\\nHost: example.org\\r\\n\\r\\n' | stopbank-checker check --request -
  stopbank-checker check --request requests.ndjson | jq -r .reason | sort | uniq -c")]
struct CheckCommand {
    /// The file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check(command) => check(&command.request),
        Command::Reasons => reasons().map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // A reader that has gone (`| head`) is no reason to complain.
        Err(error) if is_broken_pipe(&error) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "stopbank-checker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn reasons() -> Result<()> {
    let mut out = io::stdout().lock();
    for reason in Reason::ALL {
        writeln!(out, "{:<24} {}  {}", reason.name(), reason.status(), reason.description())?;
    }
    Ok(())
}

/// Whether every request of the file is allowed.
fn check(file: &Path) -> Result<bool> {
    let name = file.display();
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| format!("cannot open {name}"))?)
    };
    let mut input = io::BufReader::new(input);
    let limits = Limits::default();
    let mut out = io::stdout().lock();
    // No method begins with a brace.
    if input.fill_buf().with_context(|| format!("cannot read {name}"))?.first() != Some(&b'{') {
        let mut bytes = Vec::new();
        input.take(LARGEST + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
        if bytes.len() as u64 > LARGEST {
            bail!("{name} is larger than {} MiB", LARGEST >> 20);
        }
        return judge(&bytes, Map::new(), &limits, &mut out);
    }
    let mut all = true;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = (&mut input).take(LARGEST + 1).read_until(b'\n', &mut line);
        if read.with_context(|| format!("cannot read {name}"))? == 0 {
            break;
        }
        if line.len() as u64 > LARGEST {
            bail!("{name}: line {number} is longer than {} MiB", LARGEST >> 20);
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let one: Line = serde_json::from_slice(&line)
            .with_context(|| format!("{name}: line {number} is no JSON object with a member `raw`"))?;
        let bytes = STANDARD
            .decode(&one.raw)
            .with_context(|| format!("{name}: line {number}: `raw` is not base64"))?;
        all &= judge(&bytes, one.rest, &limits, &mut out)?;
    }
    Ok(all)
}

/// A line of a file of requests.
#[derive(Deserialize)]
struct Line {
    raw: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Prints the verdict on a request, with what came with it. Whether it is allowed.
fn judge(
    bytes: &[u8],
    mut line: Map<String, Value>,
    limits: &Limits,
    out: &mut impl io::Write,
) -> Result<bool> {
    let Verdict { action, status, reason, check } = engine::check_bytes(bytes, limits);
    line.insert("action".to_owned(), json!(action.name()));
    line.insert("status".to_owned(), json!((status != 0).then_some(status)));
    line.insert("reason".to_owned(), json!(reason.map(Reason::name)));
    line.insert("check".to_owned(), json!(check.map(Check::name)));
    line.insert("description".to_owned(), json!(reason.map(Reason::description)));
    writeln!(out, "{}", Value::Object(line))?;
    Ok(action == Action::Allow)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
