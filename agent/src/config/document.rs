//! Reading typed values out of a TOML document that remembers where everything stands, and collecting what is wrong
//! with it instead of stopping at the first error.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::error::Diagnostic;
use crate::lists::printable;

/// A value and its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Characters of the file that messages repeat.
const ECHO: usize = 40;

/// What was found wrong so far.
#[derive(Default)]
pub(super) struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Notes an error; `help` says what is allowed.
    pub(super) fn push(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.push_all(span, message, vec![help.into()]);
    }

    /// Notes an error with any number of lines of help.
    pub(super) fn push_all(&mut self, span: Range<usize>, message: impl Into<String>, help: Vec<String>) {
        self.found.push(Diagnostic { span, message: message.into(), help });
    }

    /// How many errors there are.
    pub(super) const fn count(&self) -> usize {
        self.found.len()
    }

    /// All of it, in the order of the file.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| diagnostic.span.start);
        self.found
    }

    /// A string.
    pub(super) fn string<'v>(&mut self, what: &str, value: &'v Value<'_>, help: &str) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(what, value, "a string", help);
        }
        text
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, what: &str, value: &Value<'_>) -> Option<bool> {
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.wrong_type(what, value, "true or false", "allowed: true, false (without quotes)");
        }
        boolean
    }

    /// A whole number in a range; `help` says which.
    pub(super) fn integer(
        &mut self,
        what: &str,
        value: &Value<'_>,
        allowed: std::ops::RangeInclusive<u64>,
        help: &str,
    ) -> Option<u64> {
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(what, value, "a whole number", help);
            return None;
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if allowed.contains(&number) => Some(number),
            _ => {
                let shown = printable(&integer.to_string(), ECHO);
                self.push(value.span(), format!("`{what}` is {shown}, which is out of range"), help);
                None
            }
        }
    }

    /// The elements of an array.
    pub(super) fn array<'v, 'i>(&mut self, what: &str, value: &'v Value<'i>, help: &str) -> &'v [Value<'i>] {
        match value.get_ref().as_array() {
            Some(array) => array,
            None => {
                self.wrong_type(what, value, "an array", help);
                &[]
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        what: &str,
        value: &Value<'_>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let allowed = format!("allowed: {}", quoted(&names));
        let text = self.string(what, value, &allowed)?;
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*choice);
        }
        let mut help = vec![allowed];
        help.extend(
            did_you_mean(text, names.iter().copied()).map(|name| format!("did you mean \"{name}\"?")),
        );
        self.push_all(value.span(), format!("`{what}` is \"{}\"", printable(text, ECHO)), help);
        None
    }

    /// Notes that a value has another type than wanted.
    pub(super) fn wrong_type(&mut self, what: &str, value: &Value<'_>, wanted: &str, help: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a decimal point",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.push(value.span(), format!("`{what}` is {found}; it must be {wanted}"), help);
    }
}

/// A table of the file whose keys are known.
pub(super) struct Table<'v, 'i> {
    table: &'v DeTable<'i>,
    span: Range<usize>,
}

impl<'v, 'i> Table<'v, 'i> {
    /// The document itself.
    pub(super) fn root(
        document: &'v Spanned<DeTable<'i>>,
        allowed: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let table = Self { table: document.get_ref(), span: document.span() };
        table.check_keys("at the top of the file", allowed, diagnostics);
        table
    }

    /// A table within; `name` as it is written, `[source]` for instance. Keys that are not `allowed` are errors.
    pub(super) fn of(
        name: &str,
        value: &'v Value<'i>,
        allowed: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            diagnostics.wrong_type(name, value, "a table", &format!("allowed keys: {}", allowed.join(", ")));
            return None;
        };
        let table = Self { table, span: value.span() };
        table.check_keys(&format!("in {name}"), allowed, diagnostics);
        Some(table)
    }

    fn check_keys(&self, place: &str, allowed: &[&str], diagnostics: &mut Diagnostics) {
        for key in self.table.keys() {
            let name: &DeString<'_> = key.get_ref();
            if allowed.contains(&name.as_ref()) {
                continue;
            }
            let mut help = vec![format!("allowed: {}", allowed.join(", "))];
            help.extend(
                did_you_mean(name, allowed.iter().copied()).map(|meant| format!("did you mean `{meant}`?")),
            );
            diagnostics.push_all(
                key.span(),
                format!("unknown key `{}` {place}", printable(name, ECHO)),
                help,
            );
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&'v Value<'i>> {
        self.table.get(key)
    }

    /// Where the table stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

/// The candidate that a near miss was probably meant to be.
pub(super) fn did_you_mean<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if written.len() > ECHO {
        return None;
    }
    let written = written.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&written, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `"a", "b"`.
pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn near_misses_are_guessed_and_others_are_not() {
        let keys = ["per_source", "packets", "ports", "total"];
        let guess = |written| did_you_mean(written, keys.into_iter());
        assert_eq!(guess("per-source"), Some("per_source"));
        assert_eq!(guess("packest"), Some("packets"));
        assert_eq!(guess("Ports"), Some("ports"));
        assert_eq!(guess("banana"), None);
        assert_eq!(guess(&"p".repeat(5_000)), None);
    }
}
