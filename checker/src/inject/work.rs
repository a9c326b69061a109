//! That work grows with the length of a value and no faster, for what the detector looks for: compared with itself, so that a slow or busy
//! machine changes nothing; and that the dearest pieces take no longer than is promised.

use std::time::{Duration, Instant};

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

/// What is asked of the rest of a value at each piece, and answered no by its end, or by what is not there.
#[test]
fn pieces_before_an_end_cost_their_length() {
    for (start, piece, end) in [
        ("", ";if('a'='a')", "\n"),
        ("a", ")::int", " {}"),
        ("", "ascii(mid(", "\nx"),
        ("<p style=\"", "/*a", ""),
        ("", "a<script>,", ""),
        ("", &format!("\"onload={}", " ".repeat(79)), " "),
        ("", "http://a,", "gopher:/"),
        ("", "[a](javascript:", ""),
        ("", "1,a from mysql.", ""),
        ("", "' like a ", "'"),
    ] {
        let value = |length: usize| {
            // Blanks are as many as there is of the rest.
            let end = if end == " " { times(end, length) } else { end.to_owned() };
            [start, &times(piece, length), &end].concat()
        };
        let (long, short) = (value(4 * SHORT * TIMES as usize), value(4 * SHORT));
        let growth = growth(&long, &short);
        assert!(growth < f64::from(MOST), "{start:?}, {piece:?}, {end:?}: {growth}");
    }
}

/// What would take longest: each piece over and over, in 64 KiB. A debug build must do it within 50 ms for a KiB.
#[test]
fn work_grows_with_length_and_no_faster() {
    let (detector, mut scratch) = (Detector::new(), Scratch::default());
    for piece in [
        "'",
        "\"",
        "(",
        ")",
        "<",
        "<a ",
        "<a b=\"",
        "<a b='",
        "=",
        "%25",
        "&amp;",
        "\\u0025",
        "1 or ",
        "union select ",
        "${",
        "{{",
        "../",
        "\\n",
        "onx=",
        "' or ",
        "alert(",
        "';alert",
        "a=b&id=",
        "; x",
        "`",
        "$(",
        "__proto__",
        "*(|(",
        ")(",
        "<!doctype ",
        "o:1:\"a\":1:{",
        "/*",
        "/**/",
        "@",
        "--",
        "#",
        "x';",
        "or(",
        "select(",
        ",(select",
        "<!--#",
        "\n",
        "\r\nto",
        "0x2f",
        "..",
        " ",
        "a' or 1=1 ",
        "$ne",
        "//",
        "count(",
        ";id=",
        "<style>",
        "<style>a",
        "<script ",
        "<script>",
        "<a href=java",
        "{{a",
        "<%",
        "http://a@",
        "/*!",
        "length((select a ",
        ",(select 1 from a ",
        "<link r",
        "</ a=",
        "<p style=\"url( ",
        "<p onload!",
        "ascii(mid(",
        "or b=b ",
        "<style>[[@import",
        "2.e(",
        // Streams that are packed, and what names classes.
        "H4sIAAAAAAAA/0tMHAWjYBSMglEwCkbBSAMA ",
        "H4sIAAAAAAAA/5Pv5mAAg/+T3z9LYGj+f8/OaE23sEvVLCbeHXf4qgyMGRgA ",
        "H4sIAAAAAAAA/0tOTk7WCB6Fo3AUjsJROApH4UiCAA== ",
        "H4sIAAAAAAAAABBBB ",
        "eNpLTBwFo2AUjIJRMApGwUgDAA ",
        "rO0AB ",
        "rO0ABXNyAAEA ",
        "gASVAAAAAAAAAACMAm9zlIw ",
        "BAhbCGMVR2VtOjpT ",
        "g2gDZAACb3NkAANj ",
        "aced0005 ",
        "cos\ns\n(",
        "TzozOiJGb28iOjE6 ",
        "!!python/",
        "%tag !a! ",
        "\"@type\":\"java.",
        "<object class=\"java.",
        "{\"$type\":[",
        "_$$nd_func$$_",
        // Queries of stores, and lines of headers.
        "match (n) ",
        "' return 1 ",
        "'})-[",
        "\"}},{\"a\":{",
        "{\"$set\":{",
        "[{\"$match\":",
        "call db.",
        "\r\nset-cookie:a=b",
        "\r\nconfig set dir /",
        "\r\nset a 0 0 1",
        "%0d%0abcc: a@b.example",
        "' limit 1,",
        " is not null and ",
        ".then(alert",
        "function('",
        "x-on:a=\"",
    ] {
        let value = piece.repeat((64 << 10) / piece.len());
        // The promise is 1 ms for a KiB; the dearest of these takes 0.45. Of three times the shortest, for the machine may be busy.
        let took = (0..3).map(|_| {
            let start = Instant::now();
            detector.judge(&value, Kind::Value, &mut scratch);
            start.elapsed().as_millis()
        });
        let (most, took) = (if cfg!(debug_assertions) { 64 * 50 } else { 64 * 2 }, took.min());
        assert!(took < Some(most), "{piece:?} {took:?} ms");
    }
}
