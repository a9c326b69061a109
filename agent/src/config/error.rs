//! Errors that point into the file.

use std::{
    fmt::{self, Write as _},
    io,
    ops::Range,
    path::PathBuf,
};

use unicode_width::UnicodeWidthChar as _;

use super::sources::{DROP_INS, Sources};
use crate::lists::printable;

/// One thing that is wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Bytes that it is about, counted through all files ([`Invalid::located`] tells which).
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What is allowed, what was probably meant.
    pub help: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It can be read, but is no text that could be a configuration.
    NotAFile {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        why: String,
    },
    /// Its text has errors: all that were found, in the order of the file.
    Invalid(Box<Invalid>),
}

/// The errors of a configuration.
#[derive(Debug)]
pub struct Invalid {
    /// Its files.
    pub sources: Sources,
    /// At least one, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

/// Errors shown of one file; a file of garbage is no reason to flood a terminal.
const SHOWN: usize = 20;
/// Columns shown of one line.
const WIDTH: usize = 100;

impl ConfigError {
    /// Whether it is a matter of file permissions.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => {
                let path = printable(&path.display().to_string(), 4096);
                write!(f, "cannot read the configuration {path}: {source}")?;
                if source.kind() == io::ErrorKind::NotFound {
                    write!(f, "\n`stopbank config show --default` prints one to begin with")?;
                }
                Ok(())
            }
            Self::NotAFile { path, why } => {
                write!(f, "{}: {why}", printable(&path.display().to_string(), 4096))
            }
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text of the cause is part of the message.
        None
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.diagnostics.iter().take(SHOWN).enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            self.show(f, diagnostic)?;
        }
        let file = self.files();
        match self.diagnostics.len() {
            1 => write!(f, "\n\n{file}: 1 error"),
            all if all <= SHOWN => write!(f, "\n\n{file}: {all} errors"),
            all => write!(f, "\n\n{file}: {all} errors, the first {SHOWN} shown"),
        }
    }
}

impl Invalid {
    /// The errors, each with its file, line and column, both from 1.
    pub fn located(&self) -> impl Iterator<Item = Located<'_>> {
        self.diagnostics.iter().map(|diagnostic| {
            let (index, span) = self.sources.locate(&diagnostic.span);
            let (file, text) = self.sources.get(index);
            let (line, column) = place(text, &span);
            Located { file: printable(&file, 4096), line, column, span, diagnostic }
        })
    }

    /// What the errors are in: a file, or several.
    fn files(&self) -> String {
        let mut indices: Vec<usize> =
            self.diagnostics.iter().map(|diagnostic| self.sources.locate(&diagnostic.span).0).collect();
        indices.dedup();
        match indices.as_slice() {
            [one] => printable(&self.sources.get(*one).0, 4096),
            _ => format!("{} and {DROP_INS}", printable(&self.sources.get(0).0, 4096)),
        }
    }

    /// `file:line:column: message`, the line, a caret below, and the help.
    fn show(&self, f: &mut fmt::Formatter<'_>, diagnostic: &Diagnostic) -> fmt::Result {
        let (index, span) = self.sources.locate(&diagnostic.span);
        let (file, text) = self.sources.get(index);
        let place = Place::of(text, &span);
        writeln!(f, "{}:{}:{}: {}", printable(&file, 4096), place.line, place.column, diagnostic.message)?;
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let (shown, carets) = place.excerpt(text);
        writeln!(f, " {number} | {shown}")?;
        write!(f, " {margin} | {carets}")?;
        for help in &diagnostic.help {
            write!(f, "\n {margin} = {help}")?;
        }
        Ok(())
    }
}

/// An error and where it is.
#[derive(Debug)]
pub struct Located<'d> {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its character, from 1.
    pub column: usize,
    /// The bytes of that file that it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub diagnostic: &'d Diagnostic,
}

/// Line and column of a span, both from 1.
pub(super) fn place(text: &str, span: &Range<usize>) -> (usize, usize) {
    let Place { line, column, .. } = Place::of(text, span);
    (line, column)
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
        let mut at = span.start.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        // What is missing at the end is shown at the end of the last line that has something.
        if at == text.len() && text.ends_with('\n') && at > 0 {
            at = text.trim_end().len();
        }
        let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        let end = begin + text[begin..end].trim_end_matches('\r').len();
        let mut stop = span.end.clamp(at, end.max(at));
        while !text.is_char_boundary(stop) {
            stop -= 1;
        }
        Self {
            line: text[..begin].matches('\n').count() + 1,
            column: text[begin..at].chars().count() + 1,
            line_bytes: begin..end.max(at),
            marked: at..stop,
        }
    }

    /// The line, cut to what fits around the mark, and the carets that go below it.
    fn excerpt(&self, text: &str) -> (String, String) {
        let line = &text[self.line_bytes.clone()];
        let before = text[self.line_bytes.start..self.marked.start].chars().count();
        let marked = text[self.marked.clone()].chars().count();
        let skip = if before + marked.min(WIDTH / 2) > WIDTH { before.saturating_sub(WIDTH / 4) } else { 0 };
        let (mut shown, mut carets) = (String::new(), String::new());
        if skip > 0 {
            shown.push('…');
            carets.push(' ');
        }
        for (i, c) in line.chars().enumerate().skip(skip).take(WIDTH) {
            let cell = if c == '\t' { "    ".to_owned() } else { printable(c.encode_utf8(&mut [0; 4]), 1) };
            let width: usize = cell.chars().map(|c| c.width().unwrap_or(0)).sum();
            let mark = if i < before { " " } else { "^" };
            if i < before + marked.max(1) {
                let _ = write!(carets, "{}", mark.repeat(width));
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
        Invalid { sources: Sources::single("f", text), diagnostics }.to_string()
    }

    #[test]
    fn the_caret_stands_below_what_is_wrong() {
        assert_eq!(
            shown("a = 1\nbc = 2\n", 6..8),
            "f:2:1: wrong\n 2 | bc = 2\n   | ^^\n   = allowed: right\n\nf: 1 error"
        );
    }

    #[test]
    fn tabs_wide_characters_and_line_ends_do_not_move_it() {
        let text = "\tx = \"漢字\" # y\r\n";
        let at = text.find('#').unwrap();
        let shown = shown(text, at..at + 1);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "f:1:11: wrong");
        assert_eq!(lines[1], " 1 |     x = \"漢字\" # y");
        assert_eq!(lines[2], "   |                ^");
    }

    #[test]
    fn what_is_missing_at_the_end_is_shown_on_the_last_line() {
        let shown = shown("a = \n\n", 6..6);
        assert!(shown.starts_with("f:1:4: wrong\n 1 | a =\n   |    ^"), "{shown}");
    }

    #[test]
    fn long_lines_are_cut_and_control_characters_escaped() {
        let text = format!("{}\u{1b}[31mHERE{}", "x".repeat(5_000), "y".repeat(5_000));
        let at = text.find("HERE").unwrap();
        let shown = shown(&text, at..at + 4);
        assert!(shown.lines().all(|line| line.chars().count() < 130), "{shown}");
        assert!(shown.contains("HERE") && !shown.contains('\u{1b}'));
    }

    #[test]
    fn no_span_makes_it_panic() {
        let text = "é\n\u{301}漢\r\n\t";
        for start in 0..=text.len() + 2 {
            for end in start..=text.len() + 2 {
                let _ = shown(text, start..end);
            }
        }
        let _ = shown("", 0..0);
    }
}
