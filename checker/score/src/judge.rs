//! The checker's own verdicts, from its command line: what is measured is what users run.

use std::{
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

/// A verdict: what the checker printed of a request, without the request.
pub(crate) struct Verdict {
    pub(crate) refused: bool,
    pub(crate) said: Map<String, Value>,
}

/// The verdicts of the program `checker` on `requests`, in their order, by so many processes as there are processors.
pub(crate) fn judge(checker: &Path, policy: &Path, requests: &[Vec<u8>]) -> Result<Vec<Verdict>> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let share = requests.len().div_ceil(processors).max(1);
    thread::scope(|scope| {
        let running: Vec<_> =
            requests.chunks(share).map(|part| scope.spawn(move || one(checker, policy, part))).collect();
        let mut verdicts = Vec::with_capacity(requests.len());
        for process in running {
            verdicts.extend(process.join().ok().context("a thread that judges has panicked")??);
        }
        Ok(verdicts)
    })
}

/// One process.
fn one(checker: &Path, policy: &Path, requests: &[Vec<u8>]) -> Result<Vec<Verdict>> {
    let mut command = Command::new(checker);
    command.args(["check", "--request", "-", "--policy"]).arg(policy);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("cannot start {}", checker.display()))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (Some(input), Some(output)) = (input, output) else { bail!("pipes were asked for") };
    let verdicts = thread::scope(|scope| {
        scope.spawn(move || {
            let mut input = BufWriter::new(input);
            for (number, request) in requests.iter().enumerate() {
                // When the process has ended early, that shows in what it has not said.
                if writeln!(input, "{}", json!({ "n": number, "raw": STANDARD.encode(request) })).is_err() {
                    break;
                }
            }
        });
        BufReader::new(output).lines().map(|line| verdict(&line?)).collect::<Result<Vec<_>>>()
    });
    let status = child.wait()?;
    let verdicts = verdicts?;
    if verdicts.len() != requests.len() {
        bail!("{} judged {} of {} requests ({status})", checker.display(), verdicts.len(), requests.len());
    }
    for (number, verdict) in verdicts.iter().enumerate() {
        if verdict.said.get("n") != Some(&json!(number)) {
            bail!("{} answered out of order", checker.display());
        }
    }
    Ok(verdicts)
}

fn verdict(line: &str) -> Result<Verdict> {
    let said: Map<String, Value> = serde_json::from_str(line).context("a verdict is no JSON object")?;
    let refused = match said.get("action").and_then(Value::as_str) {
        Some("allow") => false,
        Some("refuse") => true,
        _ => bail!("a verdict with neither of both actions: {line}"),
    };
    Ok(Verdict { refused, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_has_one_of_two_actions() {
        assert!(verdict("{\"action\":\"refuse\",\"reason\":\"x\"}").unwrap().refused);
        assert!(!verdict("{\"action\":\"allow\"}").unwrap().refused);
        for other in ["{}", "[]", "{\"action\":\"log\"}"] {
            assert!(verdict(other).is_err(), "{other}");
        }
    }
}
