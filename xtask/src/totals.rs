//! What a run of tests adds up to.

use std::collections::BTreeSet;
use std::fmt;

/// How a line begins that says why a test did not run; the test's name and the reason follow.
pub(crate) const SKIPPED: &str = "SKIPPED ";

/// Passed, failed and skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

/// The closing line, which other programs read.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Adds up the output of test programs, line by line.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    counted: Totals,
    reasons: BTreeSet<String>,
}

impl Summary {
    /// Takes one line of output in.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(one) = parse(line) {
            self.counted.passed += one.passed;
            self.counted.failed += one.failed;
            self.counted.skipped += one.skipped;
        } else if line.starts_with(SKIPPED) {
            self.reasons.insert(line.trim_end().to_owned());
        }
    }

    /// The totals. `succeeded` is whether the run as a whole did: a test program that died has no result line of its own,
    /// and counts as one failure.
    pub(crate) fn totals(&self, succeeded: bool) -> Totals {
        let mut totals = self.counted;
        // A test that found out only while running that it cannot was counted as passed, which it did not.
        let said = u32::try_from(self.reasons.len()).unwrap_or(u32::MAX);
        let late = said.saturating_sub(totals.skipped).min(totals.passed);
        totals.skipped += late;
        totals.passed -= late;
        if !succeeded && totals.failed == 0 {
            totals.failed = 1;
        }
        totals
    }

    /// The lines that said why a test did not run, each once.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.reasons.iter().map(String::as_str)
    }
}

/// Reads the line that a test program closes with:
/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s`.
fn parse(line: &str) -> Option<Totals> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        counts.split("; ").find_map(|part| part.trim().strip_suffix(what)?.trim_end().parse::<u32>().ok())
    };
    Some(Totals { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str =
        "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s";
    const FAILED: &str =
        "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";

    fn summary(lines: &[&str]) -> Summary {
        let mut summary = Summary::default();
        for line in lines {
            summary.line(line);
        }
        summary
    }

    #[test]
    fn results_of_all_programs_add_up_and_other_lines_do_not() {
        let one = summary(&[
            "running 13 tests",
            "test a ... ok",
            OK,
            "",
            "test result: nonsense",
            "4 passed",
            FAILED,
        ]);
        assert_eq!(one.totals(false), Totals { passed: 14, failed: 1, skipped: 1 });
        assert_eq!(one.totals(false).to_string(), "14 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn nothing_run_adds_up_to_nothing() {
        assert_eq!(summary(&[]).totals(true), Totals::default());
    }

    #[test]
    fn a_program_that_died_counts_as_a_failure() {
        assert_eq!(summary(&[OK]).totals(false), Totals { passed: 12, failed: 1, skipped: 1 });
    }

    #[test]
    fn a_reason_for_an_ignored_test_is_told_once_and_counted_once() {
        let one = summary(&["SKIPPED a: no veth", "SKIPPED a: no veth\n", OK]);
        assert_eq!(one.totals(true), Totals { passed: 12, failed: 0, skipped: 1 });
        assert_eq!(one.reasons().collect::<Vec<_>>(), ["SKIPPED a: no veth"]);
    }

    #[test]
    fn a_test_that_skipped_itself_while_running_did_not_pass() {
        let one = summary(&["SKIPPED a: x", "SKIPPED b: y", "SKIPPED c: z", OK]);
        assert_eq!(one.totals(true), Totals { passed: 10, failed: 0, skipped: 3 });
    }
}
