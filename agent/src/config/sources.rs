//! The files of a configuration: the main one, and what lies in `conf.d` beside it.
//!
//! Each is a TOML document of its own. What they say is put together before anything is judged: blocks add up, keys of
//! tables add up, and a key that two files set is an error. Spans of all of them count through one line of bytes, so that
//! whatever is found wrong later points into the right file.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    document::{Diagnostics, Value},
    error::{Diagnostic, place},
};

/// The directory beside the main file.
pub const DROP_INS: &str = "conf.d";
/// Blocks of which each file may have some.
pub(super) const BLOCKS: [&str; 4] = ["interface", "class", "list", "signature"];

/// The texts of a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sources {
    /// Path of the main file.
    pub file: String,
    /// What messages call it instead: a text that is to stand in its place comes from elsewhere.
    #[serde(skip)]
    pub shown: Option<String>,
    /// What it says.
    pub text: String,
    /// The other files, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_ins: Vec<DropIn>,
}

/// A file in `conf.d`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DropIn {
    /// Its name in that directory.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl DropIn {
    /// Whether the name is one that is read from `conf.d`: a file in it, and not elsewhere.
    pub fn is_plain(&self) -> bool {
        !self.name.starts_with('.') && self.name.ends_with(".toml") && !self.name.contains(['/', '\0'])
    }
}

impl Sources {
    /// One file alone; `file` is what messages call it.
    pub fn single(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into(), ..Self::default() }
    }

    /// The state directory, if it stands in what can be read of them, whatever errors there are.
    pub fn state_directory(&self) -> Option<PathBuf> {
        let of = |index: usize| {
            let (document, _) = DeTable::parse_recoverable(self.text_of(index));
            let DeValue::Table(agent) = document.get_ref().get("agent")?.get_ref() else { return None };
            let DeValue::String(path) = agent.get("state_dir")?.get_ref() else { return None };
            Some(PathBuf::from(path.as_ref())).filter(|path| path.is_absolute())
        };
        (0..self.count()).find_map(of)
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        1 + self.drop_ins.len()
    }

    /// The name of a file as messages show it, and its text; 0 is the main one.
    pub fn get(&self, index: usize) -> (String, &str) {
        match index.checked_sub(1).and_then(|index| self.drop_ins.get(index)) {
            Some(drop_in) => {
                let path = Path::new(&self.file).with_file_name(DROP_INS).join(&drop_in.name);
                (path.display().to_string(), &drop_in.text)
            }
            None => (self.shown.as_ref().unwrap_or(&self.file).clone(), &self.text),
        }
    }

    /// Whether two configurations say the same in files of the same names.
    pub fn same_texts(&self, other: &Self) -> bool {
        self.text == other.text && self.drop_ins == other.drop_ins
    }

    /// All files in their order, each but the first below a line with its name: for people, and read back as no TOML.
    pub fn show(&self) -> String {
        let mut out = self.text.clone();
        for index in 1..self.count() {
            let (name, text) = self.get(index);
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&format!("\n# {}\n{text}", crate::lists::printable(&name, 4096)));
        }
        out
    }

    /// Where in the line of bytes each file begins. Between two files is a byte that neither has, so that the end of one is
    /// not the beginning of the next.
    fn base(&self, index: usize) -> usize {
        (0..index).map(|before| self.get(before).1.len() + 1).sum()
    }

    /// The file that a span is about, and the span within it.
    pub(super) fn locate(&self, span: &Range<usize>) -> (usize, Range<usize>) {
        let mut base = 0;
        for index in 0..self.count() {
            let length = self.get(index).1.len();
            if span.start <= base + length || index + 1 == self.count() {
                let within = |at: usize| at.saturating_sub(base).min(length);
                return (index, within(span.start)..within(span.end));
            }
            base += length + 1;
        }
        (0, 0..0)
    }

    /// `FILE:LINE:COLUMN` of the beginning of a span.
    pub(super) fn show_place(&self, span: &Range<usize>) -> String {
        let (index, within) = self.locate(span);
        let (name, text) = self.get(index);
        let (line, column) = place(text, &within);
        format!("{}:{line}:{column}", crate::lists::printable(&name, 4096))
    }

    /// All files as one document.
    ///
    /// # Errors
    ///
    /// What is no TOML, in all files: what a broken line was meant to say is anyone's guess, and values are only judged once
    /// the syntax is right.
    pub(super) fn document(
        &self,
        diagnostics: &mut Diagnostics,
    ) -> Result<Spanned<DeTable<'_>>, Vec<Diagnostic>> {
        let mut syntax = Vec::new();
        let mut documents = Vec::new();
        for index in 0..self.count() {
            let (document, errors) = DeTable::parse_recoverable(self.text_of(index));
            let base = self.base(index);
            syntax.extend(errors.into_iter().map(|error| Diagnostic {
                span: shifted(&error.span().unwrap_or_default(), base),
                message: format!("not TOML: {}", error.message().replace('\n', "; ")),
                help: Vec::new(),
            }));
            documents.push(if base == 0 { document } else { shift_table(document, base) });
        }
        if !syntax.is_empty() {
            syntax.sort_by_key(|diagnostic| diagnostic.span.start);
            // One bracket that is missing can be missed at every depth.
            syntax.dedup();
            return Err(syntax);
        }
        let mut documents = documents.into_iter();
        let mut all = documents.next().unwrap_or_else(|| Spanned::new(0..0, DeTable::new()));
        for document in documents {
            self.merge(all.get_mut(), document.into_inner(), None, diagnostics);
        }
        Ok(all)
    }

    fn text_of(&self, index: usize) -> &str {
        self.get(index).1
    }

    /// Adds what a later file says to what stands there. `within`: the table of the document that this is; in the document
    /// itself tables and blocks add up, in its tables only keys.
    fn merge<'i>(
        &self,
        all: &mut DeTable<'i>,
        more: DeTable<'i>,
        within: Option<&str>,
        diagnostics: &mut Diagnostics,
    ) {
        for (key, value) in more {
            let Some((first, _)) = all.get_key_value(key.get_ref().as_ref()) else {
                all.insert(key, value);
                continue;
            };
            let first = first.span();
            let name = key.get_ref().to_string();
            let Some(before) = all.get_mut(key.get_ref().as_ref()) else { continue };
            match (before.get_mut(), value.into_inner()) {
                (DeValue::Array(before), DeValue::Array(more))
                    if within.is_none() && BLOCKS.contains(&name.as_str()) =>
                {
                    more.into_iter().for_each(|block| before.push(block));
                }
                (DeValue::Table(before), DeValue::Table(more)) if within.is_none() => {
                    self.merge(before, more, Some(&name), diagnostics);
                }
                _ => self.twice(&name, within, &first, key.span(), diagnostics),
            }
        }
    }

    fn twice(
        &self,
        name: &str,
        within: Option<&str>,
        first: &Range<usize>,
        second: Range<usize>,
        diagnostics: &mut Diagnostics,
    ) {
        let shown = crate::lists::printable(name, 40);
        let place = within.map_or_else(String::new, |table| format!(" of [{table}]"));
        let blocks = BLOCKS.map(|block| format!("[[{block}]]")).join(", ");
        let help = vec![
            format!("it is set at {} already", self.show_place(first)),
            format!("each key is set in one file; blocks ({blocks}) add up: take one of the two away"),
        ];
        diagnostics.push_all(second, format!("`{shown}`{place} is set in two files"), help);
    }
}

fn shifted(span: &Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}

fn shift_table(table: Spanned<DeTable<'_>>, by: usize) -> Spanned<DeTable<'_>> {
    let span = shifted(&table.span(), by);
    Spanned::new(span, shift_entries(table.into_inner(), by))
}

fn shift_entries(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    // Nested as deep as the parser has let it be: 80.
    let entries = table.into_iter().map(|(key, value)| {
        let span = shifted(&key.span(), by);
        (Spanned::new(span, key.into_inner()), shift_value(value, by))
    });
    entries.collect()
}

fn shift_value(value: Value<'_>, by: usize) -> Value<'_> {
    let span = shifted(&value.span(), by);
    let value = match value.into_inner() {
        DeValue::Array(array) => {
            DeValue::Array(array.into_iter().map(|item| shift_value(item, by)).collect::<DeArray<'_>>())
        }
        DeValue::Table(table) => DeValue::Table(shift_entries(table, by)),
        other => other,
    };
    Spanned::new(span, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigError, Mode, parse_sources};

    fn sources(main: &str, drop_ins: &[(&str, &str)]) -> Sources {
        let drop_in =
            |(name, text): &(&str, &str)| DropIn { name: (*name).to_owned(), text: (*text).to_owned() };
        Sources {
            drop_ins: drop_ins.iter().map(drop_in).collect(),
            ..Sources::single("/etc/s/main.toml", main)
        }
    }

    fn error(sources: &Sources) -> String {
        match parse_sources(sources) {
            Err(ConfigError::Invalid(invalid)) => invalid.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blocks_and_keys_add_up_in_the_order_of_the_files() {
        let config = parse_sources(&sources(
            "mode = \"observe\"\n[lists]\nallow = [\"192.0.2.1\"]\n[[class]]\nname = \"b\"\nprotocol = 47\n",
            &[
                ("10-a.toml", "[lists]\ndeny = [\"192.0.2.2\"]\n[[class]]\nname = \"a\"\nprotocol = 50\n"),
                (
                    "20-b.toml",
                    "fragments = \"drop\"\n[[interface]]\nname = \"eth1\"\n[events]\nrate = \"1/s\"\n",
                ),
            ],
        ))
        .unwrap();
        assert_eq!((config.mode, config.interfaces[0].name.as_str()), (Mode::Observe, "eth1"));
        assert_eq!((config.lists.allow.len(), config.lists.deny.len()), (1, 1));
        let names: Vec<&str> = config.classes.iter().map(|class| class.name.as_str()).take(2).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn a_key_in_two_files_is_an_error_that_names_both() {
        let error = error(&sources(
            "\nmode = \"observe\"\n[lists]\nallow = []\n[default.total]\npackets = \"1/s\"\n",
            &[
                ("x.toml", "mode = \"enforce\"\n"),
                ("y.toml", "[lists]\nallow = []\n[default.total]\nbytes = \"1MB/s\"\n"),
            ],
        ));
        for says in [
            "/etc/s/conf.d/x.toml:1:1: `mode` is set in two files\n 1 | mode = \"enforce\"\n   | ^^^^\n   = it is set at /etc/s/main.toml:2:1 already",
            "/etc/s/conf.d/y.toml:2:1: `allow` of [lists] is set in two files",
            "it is set at /etc/s/main.toml:4:1 already",
            "`total` of [default] is set in two files",
            "/etc/s/main.toml and conf.d: 3 errors",
        ] {
            assert!(error.contains(says), "{says}\n---\n{error}");
        }
    }

    #[test]
    fn whatever_is_wrong_points_into_its_file() {
        let shown = error(&sources(
            "mode = \"observe\"\n[[class]]\nname = \"web\"\nprotocol = \"tcp\"\n",
            &[("a.toml", "# é漢\n[[class]]\nname = \"web\"\nprotocol = 47\n"), ("b.toml", "[sources]\n")],
        ));
        assert!(shown.contains("/etc/s/conf.d/a.toml:3:8: class `web` stands twice"), "{shown}");
        assert!(shown.contains("/etc/s/conf.d/b.toml:1:2: unknown key `sources`"), "{shown}");
        // What is missing at the end of one file is not the beginning of the next.
        let shown = error(&sources("mode =", &[("a.toml", "mode = \"observe\"\n")]));
        assert!(shown.starts_with("/etc/s/main.toml:1:"), "{shown}");
        let shown = error(&sources("mode = \"observe\"\n", &[("a.toml", "[[class"), ("b.toml", "x = ")]));
        assert!(
            shown.contains("/etc/s/conf.d/a.toml:1:") && shown.contains("/etc/s/conf.d/b.toml:1:"),
            "{shown}"
        );
        assert!(!shown.contains("main.toml:"), "{shown}");
    }

    #[test]
    fn other_types_than_meant_are_errors_in_two_files_too() {
        let shown = error(&sources("[[class]]\nname = \"a\"\nprotocol = 47\n", &[("a.toml", "class = 1\n")]));
        assert!(shown.contains("a.toml:1:1: `class` is set in two files"), "{shown}");
        let shown = error(&sources("default = 1\n", &[("a.toml", "[default]\nclosed = true\n")]));
        assert!(shown.contains("`default` is set in two files"), "{shown}");
    }
}
