//! Errors that point into the policy's text.

use std::{
    fmt::{self, Write as _},
    ops::Range,
};

use unicode_width::UnicodeWidthChar as _;

use crate::text::printable;

/// One thing that is wrong with a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Bytes of the text that it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What is allowed, what was probably meant.
    pub help: Vec<String>,
}

/// All that is wrong with a policy, in the order of its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Errors {
    /// What messages call it.
    pub file: String,
    /// Its text.
    pub text: String,
    /// At least one.
    pub diagnostics: Vec<Diagnostic>,
}

/// Errors that are shown; a file of garbage is no reason to flood a terminal.
const SHOWN: usize = 20;
/// Columns shown of one line.
const WIDTH: usize = 100;
/// Characters shown of a file's name.
const FILE: usize = 4096;

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = printable(&self.file, FILE);
        for diagnostic in self.diagnostics.iter().take(SHOWN) {
            let place = Place::of(&self.text, &diagnostic.span);
            writeln!(f, "{file}:{}:{}: {}", place.line, place.column, diagnostic.message)?;
            let number = place.line.to_string();
            let margin = " ".repeat(number.len());
            let (shown, carets) = place.excerpt(&self.text);
            writeln!(f, " {number} | {shown}\n {margin} | {carets}")?;
            for help in &diagnostic.help {
                writeln!(f, " {margin} = {help}")?;
            }
            writeln!(f)?;
        }
        match self.diagnostics.len() {
            1 => write!(f, "{file}: 1 error"),
            all if all <= SHOWN => write!(f, "{file}: {all} errors"),
            all => write!(f, "{file}: {all} errors, the first {SHOWN} shown"),
        }
    }
}

impl Errors {
    /// Line and column of each error, both from 1, and the error.
    pub fn located(&self) -> impl Iterator<Item = (usize, usize, &Diagnostic)> {
        self.diagnostics.iter().map(|diagnostic| {
            let place = Place::of(&self.text, &diagnostic.span);
            (place.line, place.column, diagnostic)
        })
    }
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    Place::of(text, &(at..at)).line
}

/// Line and column of a span, both from 1, and the line's bytes.
struct Place {
    line: usize,
    column: usize,
    line_bytes: Range<usize>,
    marked: Range<usize>,
}

impl Place {
    fn of(text: &str, span: &Range<usize>) -> Self {
        let mut at = text.floor_char_boundary(span.start);
        // What is missing at the end is shown at the end of the last line that has something.
        if at == text.len() && text.ends_with('\n') {
            at = text.trim_end().len();
        }
        let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        let end = (begin + text[begin..end].trim_end_matches('\r').len()).max(at);
        let stop = text.floor_char_boundary(span.end.clamp(at, end));
        Self {
            line: text[..begin].matches('\n').count() + 1,
            column: text[begin..at].chars().count() + 1,
            line_bytes: begin..end,
            marked: at..stop,
        }
    }

    /// The line, cut to what fits around the mark, and the carets that go below it.
    fn excerpt(&self, text: &str) -> (String, String) {
        let before = text[self.line_bytes.start..self.marked.start].chars().count();
        let marked = text[self.marked.clone()].chars().count();
        let skip = if before + marked.min(WIDTH / 2) > WIDTH { before.saturating_sub(WIDTH / 4) } else { 0 };
        let cut = if skip > 0 { ("…", " ") } else { ("", "") };
        let (mut shown, mut carets) = (cut.0.to_owned(), cut.1.to_owned());
        let line = &text[self.line_bytes.clone()];
        for (number, character) in line.chars().enumerate().skip(skip).take(WIDTH) {
            let cell = match character {
                '\t' => "    ".to_owned(),
                other => printable(other.encode_utf8(&mut [0; 4]), 1),
            };
            if number < before + marked.max(1) {
                let width: usize = cell.chars().map(|one| one.width().unwrap_or(0)).sum();
                let _ = write!(carets, "{}", if number < before { " " } else { "^" }.repeat(width));
            }
            shown.push_str(&cell);
        }
        if line.chars().nth(skip + WIDTH).is_some() {
            shown.push('…');
        }
        if !carets.ends_with('^') {
            carets.push('^');
        }
        (shown.trim_end().to_owned(), carets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let diagnostics =
            vec![Diagnostic { span, message: "wrong".to_owned(), help: vec!["allowed: right".to_owned()] }];
        Errors { file: "f".to_owned(), text: text.to_owned(), diagnostics }.to_string()
    }

    #[test]
    fn the_caret_stands_below_what_is_wrong() {
        assert_eq!(
            shown("a = 1\nbc = 2\n", 6..8),
            "f:2:1: wrong\n 2 | bc = 2\n   | ^^\n   = allowed: right\n\nf: 1 error"
        );
        let text = "\tx = \"漢字\" # y\r\n";
        let at = text.find('#').unwrap();
        assert!(
            shown(text, at..at + 1)
                .starts_with("f:1:11: wrong\n 1 |     x = \"漢字\" # y\n   |                ^\n")
        );
    }

    #[test]
    fn no_span_makes_it_panic_and_no_line_floods_a_terminal() {
        let text = "é\n\u{301}漢\r\n\t";
        for start in 0..=text.len() + 2 {
            for end in start..=text.len() + 2 {
                let _ = shown(text, start..end);
            }
        }
        let _ = shown("", 0..0);
        let text = format!("{}\u{1b}[31mHERE{}", "x".repeat(5_000), "y".repeat(5_000));
        let at = text.find("HERE").unwrap();
        let shown = shown(&text, at..at + 4);
        assert!(shown.lines().all(|line| line.chars().count() < 130), "{shown}");
        assert!(shown.contains("HERE") && !shown.contains('\u{1b}'));
    }
}
