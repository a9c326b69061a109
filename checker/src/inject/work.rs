//! That work grows with the length of a value and no faster, for what the detector looks for: compared with itself, so that a slow or busy
//! machine changes nothing.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{scan::all_words, *};

/// Bytes of the short values: more than any rule reads of a value that must be short. And how many times longer the long ones are.
const SHORT: usize = 8 << 10;
const TIMES: u32 = 4;
/// Work that grows with the length takes [`TIMES`] as long, with its square four times that.
const MOST: u32 = 9;

/// What this thread has had of a processor: others use the machine too.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

fn took(detector: &Detector, value: &str, scratch: &mut Scratch) -> Duration {
    let before = spent();
    detector.judge(value, Kind::Value, scratch);
    spent() - before
}

/// How many times longer a value takes than one a quarter as long. Caches are shared with others: it may try again.
fn growth(long: &str, short: &str) -> f64 {
    let (detector, mut scratch) = (Detector::shared(), Scratch::default());
    let (mut least_long, mut least_short) = (Duration::MAX, Duration::MAX);
    for _ in 0..12 {
        least_short = least_short.min(took(detector, short, &mut scratch));
        least_long = least_long.min(took(detector, long, &mut scratch));
        if least_long < MOST * least_short {
            break;
        }
    }
    least_long.as_secs_f64() / least_short.as_secs_f64()
}

fn times(piece: &str, length: usize) -> String {
    piece.repeat((length / piece.len()).max(1))
}

#[test]
fn words_that_are_looked_for_repeated_cost_their_length() {
    for (word, _) in all_words() {
        for end in ["\r", " '"] {
            let piece = format!("{word}{end}");
            let (long, short) = (times(&piece, SHORT * TIMES as usize), times(&piece, SHORT));
            let growth = growth(&long, &short);
            assert!(growth < f64::from(MOST), "{piece:?}: {growth}");
        }
    }
}

#[test]
fn signs_repeated_before_and_behind_signs_cost_their_length() {
    let signs = [
        " ", "\r", "\n", "(", ")", "[", "{", "'", "<", "a ", "=", "/", "\\", ":", "-", "|", ";", "$", "%",
        "&#",
    ];
    let commands = [";id ", "|id ", "a&id>", "`id`", "$(id)", "\\nid "];
    for first in signs {
        for second in signs.into_iter().chain(commands) {
            let value = |length| times(first, length / 2) + &times(second, length / 2);
            let (long, short) = (value(SHORT * TIMES as usize), value(SHORT));
            let growth = growth(&long, &short);
            assert!(growth < f64::from(MOST), "{first:?} and {second:?}: {growth}");
        }
    }
}
