//! How long the parts of a run of tests took: whoever finds it slow is to see where.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ticks of a second in /proc: the same on every kernel, whatever its own clock.
const TICKS_A_SECOND: u64 = 100;

/// Parts shorter than this are told together.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

/// Parts of a run, in their order.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Part>);

#[derive(Debug)]
struct Part {
    name: String,
    took: Duration,
    /// What its processes had of the processors, where that is known.
    busy: Option<Duration>,
}

impl Times {
    /// Does something, and notes how long it took.
    pub(crate) fn of<T>(&mut self, name: &str, part: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = part();
        self.0.push(Part { name: name.to_owned(), took: begin.elapsed(), busy: None });
        done
    }

    /// Takes the parts of another in, which go on from these.
    pub(crate) fn extend(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    /// A line for each part that took a while, in the order of the run, and one for all.
    pub(crate) fn lines(&self) -> Vec<String> {
        let long = |part: &&Part| part.took >= WORTH_A_LINE;
        let mut lines: Vec<String> = self.0.iter().filter(long).map(Part::line).collect();
        let rest: Duration = self.0.iter().filter(|part| !long(part)).map(|part| part.took).sum();
        lines.push(Part { name: "what took less than a second".to_owned(), took: rest, busy: None }.line());
        let all: Duration = self.0.iter().map(|part| part.took).sum();
        lines.push(Part { name: "all of it".to_owned(), took: all, busy: None }.line());
        lines
    }
}

impl Part {
    fn line(&self) -> String {
        let busy = self.busy.map_or_else(String::new, |busy| format!(" ({} s of processors)", whole(busy)));
        format!("{:>5} s  {}{busy}", whole(self.took), self.name)
    }
}

/// Passes on to `to` what cargo says on stderr, and notes how long each test program runs that it says it starts: until it starts the
/// next, or says no more. `busy` is what its children had of the processors so far.
pub(crate) fn watch(
    said: impl Read,
    to: &mut impl Write,
    times: &Mutex<Times>,
    busy: impl Fn() -> Option<Duration>,
) {
    let mut running: Option<(String, Instant, Option<Duration>)> = None;
    let next = |name: Option<String>, running: &mut Option<(String, Instant, Option<Duration>)>| {
        let (now, so_far) = (Instant::now(), busy());
        if let Some((name, begin, before)) = running.take() {
            let busy = so_far.zip(before).map(|(after, before)| after.saturating_sub(before));
            let part = Part { name, took: now - begin, busy };
            times.lock().unwrap_or_else(PoisonError::into_inner).0.push(part);
        }
        *running = name.map(|name| (name, now, so_far));
    };
    let mut said = BufReader::new(said);
    let mut line = Vec::new();
    while said.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if let Some(name) = started(&String::from_utf8_lossy(&line)) {
            next(Some(name), &mut running);
        }
        let _unseen = to.write_all(&line);
        line.clear();
    }
    next(None, &mut running);
}

fn whole(time: Duration) -> u64 {
    (time + Duration::from_millis(500)).as_secs()
}

/// What cargo says it starts: `Running tests/kernel/main.rs (target/release/deps/kernel-0123456789abcdef)`, `Doc-tests NAME`.
fn started(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("doc-tests of {name}"));
    }
    let (source, program) = line.strip_prefix("Running ")?.split_once(" (")?;
    let program = program.strip_suffix(')')?.rsplit('/').next()?;
    let name = program.rsplit_once('-').map_or(program, |(name, _)| name);
    Some(format!("{name}, {source}"))
}

/// What the children of a process that have ended had of the processors, and theirs (proc_pid_stat(5)).
pub(crate) fn of_children(process: u32) -> Option<Duration> {
    ticks(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
        .map(|ticks| Duration::from_millis(ticks * 1000 / TICKS_A_SECOND))
}

/// `cutime` and `cstime`. The second field, a name in brackets, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(13).map(str::parse::<u64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "   Compiling stopbank v0.1.0\n     \
        Running unittests src/lib.rs (target/release/deps/stopbank_checker-6a03bbd0f1c9d111)\n\
        a test speaks\n     \
        Running tests/kernel/main.rs (target/release/deps/kernel-d0c4b8f05f6f2b0e)\n   \
        Doc-tests stopbank_common\n";

    #[test]
    fn programs_are_noted_as_cargo_starts_them_and_all_is_passed_on() {
        let times = Mutex::new(Times::default());
        let mut seen = Vec::new();
        let count = std::cell::Cell::new(0);
        let busy = || {
            count.set(count.get() + 2);
            Some(Duration::from_secs(count.get()))
        };
        watch(SAID.as_bytes(), &mut seen, &times, busy);
        let times = times.into_inner().expect("nobody panicked");
        assert_eq!(String::from_utf8_lossy(&seen), SAID);
        let names: Vec<&str> = times.0.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "stopbank_checker, unittests src/lib.rs",
                "kernel, tests/kernel/main.rs",
                "doc-tests of stopbank_common"
            ]
        );
        assert!(times.0.iter().all(|part| part.busy == Some(Duration::from_secs(2))), "{times:?}");
    }

    #[test]
    fn long_parts_have_a_line_each_and_short_ones_one() {
        let part = |name: &str, milliseconds, busy: Option<u64>| Part {
            name: name.to_owned(),
            took: Duration::from_millis(milliseconds),
            busy: busy.map(Duration::from_secs),
        };
        let times = Times(vec![part("a", 61_600, Some(99)), part("b", 400, None), part("c", 300, None)]);
        assert_eq!(
            times.lines(),
            [
                "   62 s  a (99 s of processors)",
                "    1 s  what took less than a second",
                "   62 s  all of it",
            ]
        );
    }

    #[test]
    fn ticks_stand_behind_a_name_that_may_hold_anything() {
        let stat = "7 (a) 1 2) S 1 7 7 0 -1 4194560 100 200 0 0 5 6 70 80 20 0 1 0 9 1000 1 0";
        assert_eq!(ticks(stat), Some(150));
        assert_eq!(ticks("7 (cut off) S 1"), None);
        assert!(of_children(std::process::id()).is_some());
    }
}
