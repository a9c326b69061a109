//! What commands print.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::{Code, Failure};

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// The control API's objects.
    Json,
    /// The same, each on one line.
    Jsonl,
}

impl Output {
    /// Prints a value: as JSON, or as the text that `table` makes of it.
    pub(super) fn print<T: Serialize>(
        self,
        value: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self {
            Self::Table => print(&table(value)),
            Self::Json | Self::Jsonl => {
                let text = match self {
                    Self::Jsonl => serde_json::to_string(value),
                    _ => serde_json::to_string_pretty(value),
                };
                let text =
                    text.map_err(|error| Failure::new(Code::Failed, format!("cannot write JSON: {error}")))?;
                print(&format!("{text}\n"))
            }
        }
    }
}

/// Prints text. A reader that has had enough (`| head`) ends the command, quietly.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Ends the command quietly where a reader has had enough.
pub(super) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::new(Code::Failed, format!("cannot write to stdout: {error}"))),
    }
}

/// Notes go where they do not get in the way of what is piped on.
pub(super) fn notes(notes: &[String]) {
    for note in notes {
        let _ = writeln!(io::stderr(), "note: {note}");
    }
}

/// Cells of a line of the terminal that stdout is; `None` where it is none.
pub(super) fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// Whether colours are wanted on a terminal (<https://no-color.org>).
pub(super) fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `1 entry`, `2 entries`.
pub(super) fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// A rate or count in four significant places: `950`, `1.25k`, `14.9M`.
pub(super) fn short(value: f64) -> String {
    scaled(value, 1_000.0, &["", "k", "M", "G", "T"])
}

/// Bits a second of so many bytes a second.
pub(super) fn bits(bytes_per_second: f64) -> String {
    scaled(bytes_per_second * 8.0, 1_000.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

/// Memory.
pub(super) fn bytes(bytes: f64) -> String {
    scaled(bytes, 1_024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let (mut value, mut unit) = (value, 0);
    while value >= step - step / 2_000.0 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let space = if units[0].is_empty() { "" } else { " " };
    let digits = match value {
        value if unit == 0 && (value == 0.0 || value >= 10.0 || value.fract() == 0.0) => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{space}{}", units[unit])
}

/// A time span: `42s`, `9m 30s`, `3h 5m`, `12d 4h`.
pub(super) fn span(seconds: f64) -> String {
    let all = seconds.max(0.0) as u64;
    let (days, hours, minutes, seconds) = (all / 86_400, all / 3_600 % 24, all / 60 % 60, all % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_unambiguous() {
        for (value, expected) in [
            (0.0, "0"),
            (0.4, "0.40"),
            (7.0, "7"),
            (950.0, "950"),
            (999.9, "1.00k"),
            (1_250.0, "1.25k"),
            (14_900_000.0, "14.9M"),
            (250_000_000.0, "250M"),
        ] {
            assert_eq!(short(value), expected);
        }
        assert_eq!(bits(125_000_000.0), "1.00 Gbit/s");
        assert_eq!(bytes(16_777_216.0), "16.0 MiB");
    }

    #[test]
    fn spans_name_two_units_at_most() {
        assert_eq!(span(42.9), "42s");
        assert_eq!(span(570.0), "9m 30s");
        assert_eq!(span(11_100.0), "3h 5m");
        assert_eq!(span(1_051_200.0), "12d 4h");
    }
}
