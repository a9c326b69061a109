//! Reading typed values out of a TOML document that remembers where everything stands, and collecting what is wrong with it instead of
//! stopping at the first error.

use std::{
    fmt,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    error::Diagnostic,
    settings::{Setter, Setting, Unit, read_size},
};
use crate::text::printable;

/// A value and its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Characters of the text that messages repeat.
const ECHO: usize = 40;

/// What was found wrong so far.
#[derive(Default)]
pub(super) struct Diagnostics(pub(super) Vec<Diagnostic>);

impl Diagnostics {
    /// Notes an error; `help` says what is allowed.
    pub(super) fn push(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.push_all(span, message, vec![help.into()]);
    }

    /// Notes an error with any number of lines of help.
    pub(super) fn push_all(&mut self, span: Range<usize>, message: impl Into<String>, help: Vec<String>) {
        self.0.push(Diagnostic { span, message: message.into(), help });
    }

    /// A string.
    pub(super) fn string<'v>(&mut self, what: &str, value: &'v Value<'_>, help: &str) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(what, value, "a string", help);
        }
        text
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

    /// True or false.
    pub(super) fn flag(&mut self, what: &str, value: &Value<'_>) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(what, value, "true or false", "allowed: true, false (without quotes)");
        }
        flag
    }

    /// A time, `"50ms"` or `"2s"`.
    pub(super) fn time(&mut self, what: &str, value: &Value<'_>) -> Option<Duration> {
        const HELP: &str = "allowed: \"1ms\" to \"60s\", in `ms` or `s`";
        let text = self.string(what, value, HELP)?;
        let milliseconds = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => number.trim().parse::<u64>().ok(),
            (None, Some(number)) => {
                number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1000))
            }
            (None, None) => None,
        };
        match milliseconds {
            Some(number @ 1..=60_000) => Some(Duration::from_millis(number)),
            _ => {
                self.push(value.span(), format!("`{what}` is \"{}\"", printable(text, ECHO)), HELP);
                None
            }
        }
    }

    /// A whole number in a range; `what_it_is` names its unit.
    pub(super) fn whole<N>(
        &mut self,
        what: &str,
        value: &Value<'_>,
        range: RangeInclusive<N>,
        what_it_is: &str,
    ) -> Option<N>
    where
        N: Copy + PartialOrd + TryFrom<u64> + fmt::Display,
    {
        let help = format!("allowed: {} to {} {what_it_is}", range.start(), range.end());
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(what, value, "a whole number", help.trim_end());
            return None;
        };
        let number = u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|number| N::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.push(value.span(), format!("`{what}` is out of range"), help.trim_end());
        }
        number
    }

    /// The value of a limit.
    pub(super) fn limit(&mut self, setting: &Setting, value: &Value<'_>) -> Option<Setter> {
        match setting.unit {
            Unit::Count | Unit::Size | Unit::Flag => {
                self.number(setting, setting.name, value).map(Setter::Number)
            }
            Unit::Counts | Unit::Sizes => {
                let Some(table) = value.get_ref().as_table() else {
                    self.wrong_type(setting.name, value, "a table", "for example { name = 10 }");
                    return None;
                };
                let mut numbers = Vec::new();
                for (name, value) in table {
                    if self.limited(setting, name.get_ref(), &name.span()) {
                        let number = self.number(setting, name.get_ref(), value);
                        numbers.extend(number.map(|number| (name.get_ref().to_string(), number)));
                    }
                }
                Some(Setter::Numbers(numbers))
            }
            Unit::Names => {
                let help = setting.allowed();
                let array = self.array(setting.name, value, &help);
                if array.len() > setting.range.1 {
                    self.push(value.span(), format!("`{}` are {}", setting.name, array.len()), help);
                    return None;
                }
                let mut names = Vec::new();
                for value in array {
                    if let Some(name) = self.string(setting.name, value, &help)
                        && self.limited(setting, name, &value.span())
                    {
                        names.push(name.to_owned());
                    }
                }
                Some(Setter::Names(names))
            }
        }
    }

    /// Whether a limit can be set for a name; otherwise it is noted.
    fn limited(&mut self, setting: &Setting, name: &str, span: &Range<usize>) -> bool {
        let good = setting.names(name);
        if !good {
            let help = match setting.unit {
                Unit::Sizes => "names of headers, in small letters",
                _ => "names of GraphQL: letters, digits and underscores",
            };
            self.push(span.clone(), format!("`{}` is for \"{}\"", setting.name, printable(name, ECHO)), help);
        }
        good
    }

    /// A number of a limit, which `name` names; a flag is 0 or 1.
    fn number(&mut self, setting: &Setting, name: &str, value: &Value<'_>) -> Option<usize> {
        let allowed = setting.allowed();
        let (least, most) = setting.range;
        let number = match (value.get_ref(), setting.unit) {
            (DeValue::Boolean(flag), Unit::Flag) => return Some(usize::from(*flag)),
            (DeValue::Integer(number), Unit::Count | Unit::Size | Unit::Counts | Unit::Sizes) => {
                usize::from_str_radix(number.as_str(), number.radix()).ok()
            }
            (DeValue::String(text), Unit::Size | Unit::Sizes) => read_size(text),
            (_, unit) => {
                let wanted = match unit {
                    Unit::Size | Unit::Sizes => "a size",
                    Unit::Flag => "true or false",
                    _ => "a whole number",
                };
                self.wrong_type(name, value, wanted, &allowed);
                return None;
            }
        };
        if number.is_none_or(|number| !(least..=most).contains(&number)) {
            let wrong = if number.is_some() { "out of range" } else { "no size, or out of range" };
            self.push(value.span(), format!("`{name}` is {wrong}"), allowed);
            return None;
        }
        number
    }

    /// The elements of an array.
    pub(super) fn array<'v, 'i>(&mut self, what: &str, value: &'v Value<'i>, help: &str) -> &'v [Value<'i>] {
        if let Some(array) = value.get_ref().as_array() {
            return array;
        }
        self.wrong_type(what, value, "an array", help);
        &[]
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

/// A table whose keys are known.
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
        table.check_keys("at the top of the file", allowed, &[], diagnostics);
        table
    }

    /// A table within; `name` as it is written. Keys that are not `allowed` are errors.
    pub(super) fn of(
        name: &str,
        value: &'v Value<'i>,
        allowed: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        Self::but_for(name, value, allowed, &[], diagnostics)
    }

    /// The same, but that keys which are `named` already are no errors here.
    pub(super) fn but_for(
        name: &str,
        value: &'v Value<'i>,
        allowed: &[&str],
        named: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            diagnostics.wrong_type(name, value, "a table", &format!("allowed keys: {}", allowed.join(", ")));
            return None;
        };
        let table = Self { table, span: value.span() };
        table.check_keys(&format!("in {name}"), allowed, named, diagnostics);
        Some(table)
    }

    fn check_keys(&self, place: &str, allowed: &[&str], named: &[&str], diagnostics: &mut Diagnostics) {
        for key in self.table.keys() {
            let name: &DeString<'_> = key.get_ref();
            if allowed.contains(&name.as_ref()) || named.contains(&name.as_ref()) {
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
fn did_you_mean<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
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
