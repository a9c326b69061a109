//! Limits of a class as `stopbank limit set` changes them: read and checked as those of the configuration are, with errors that
//! point into what was written.

use std::{fmt::Write as _, ops::Range};

use stopbank_common::gcra::Dimension;
use toml::de::DeTable;

use super::{
    document::{Diagnostics, did_you_mean},
    error::{ConfigError, Invalid},
    limits,
    model::{Class, LimitSet, dimension_name},
    sources::Sources,
};
use crate::lists::printable;

/// What can be set, for messages.
const HELP: &str = "allowed: per_source.packets, .bytes and .connections, total.packets, .bytes and .connections, each with a rate or `none`, followed by burst=N where it is not to be the usual one; total.proven";
/// What stands before the first dot.
const SCOPES: [&str; 2] = ["per_source", "total"];
/// Longest word that is taken, in bytes.
const LONGEST: usize = 200;
/// Most words that are taken.
const MOST: usize = 32;

/// One assignment, and the line of the text that it became.
struct Line {
    key: String,
    /// `None`: the word is no assignment, and stands in `key`.
    value: Option<String>,
    burst: Option<String>,
}

/// The class with limits changed by words such as `per_source.packets=500/s`, `burst=1000` (of the one before) and
/// `total.bytes=none`. What is not named stays as it is.
///
/// # Errors
///
/// [`ConfigError::Invalid`] with every error, each pointing into a text that has a line for each limit.
pub fn change_limits(class: &Class, words: &[String]) -> Result<Class, ConfigError> {
    let mut diagnostics = Diagnostics::default();
    let mut changed = class.clone();
    // The same text twice: as it is shown, and as it is read, where lines that say nothing to the reader are blank.
    let (mut text, mut to_read) = (String::new(), String::new());
    if words.is_empty() || words.len() > MOST {
        let message = format!("{} limits are named", words.len());
        diagnostics.push(0..0, message, format!("name 1 to {MOST}; {HELP}"));
    }
    if class.closed {
        let message = format!("class `{}` is closed: everything of it is dropped", class.name);
        diagnostics.push(0..0, message, "take `closed` away in the configuration, then `stopbank reload`");
    }
    for line in lines(&words[..words.len().min(MOST)]) {
        let shown = line.toml();
        check(&line, text.len()..text.len() + shown.len(), &mut diagnostics);
        let _ = writeln!(text, "{shown}");
        match line.value.as_deref() {
            None => to_read.push_str(&" ".repeat(shown.len())),
            Some("none") => {
                to_read.push_str(&" ".repeat(shown.len()));
                remove(&mut changed, &line.key);
            }
            Some(_) => to_read.push_str(&shown),
        }
        to_read.push('\n');
    }
    if diagnostics.count() == 0 {
        read(&to_read, &mut changed, &mut diagnostics);
    }
    let diagnostics = diagnostics.into_sorted();
    if diagnostics.is_empty() {
        return Ok(changed);
    }
    let file = format!("limit set {}", class.name);
    Err(ConfigError::Invalid(Box::new(Invalid { sources: Sources::single(file, text), diagnostics })))
}

/// Words as lines, each burst with its rate.
fn lines(words: &[String]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for word in words {
        let plain = word.len() <= LONGEST && !word.chars().any(char::is_control);
        let Some((key, value)) = word.split_once('=').filter(|_| plain) else {
            lines.push(Line { key: word.clone(), value: None, burst: None });
            continue;
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        match lines.last_mut() {
            Some(before) if key == "burst" && before.burst.is_none() => before.burst = Some(value),
            _ => lines.push(Line { key, value: Some(value), burst: None }),
        }
    }
    lines
}

impl Line {
    /// As the configuration would say it.
    fn toml(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        match (&self.value, &self.burst) {
            (None, _) => printable(&self.key, LONGEST),
            (Some(value), None) => format!("{} = {}", self.key, quoted(value)),
            (Some(value), Some(burst)) => {
                format!("{} = {{ rate = {}, burst = {} }}", self.key, quoted(value), quoted(burst))
            }
        }
    }
}

/// Of keys, only those that can be a limit's are given to the reader of the configuration.
fn check(line: &Line, span: Range<usize>, diagnostics: &mut Diagnostics) {
    let shown = printable(&line.key, 40);
    let at = span.start..span.end.min(span.start + line.key.len());
    let (scope, what) = line.key.split_once('.').unwrap_or((&line.key, ""));
    let taken_away = line.value.as_deref() == Some("none");
    if line.value.is_none() {
        diagnostics.push(span, format!("`{shown}` is no limit with its rate"), HELP);
    } else if !SCOPES.contains(&scope) {
        let mut help = vec![HELP.to_owned()];
        if scope == "per_prefix" {
            help = vec![
                "limits of prefixes are changed in the configuration, then `stopbank reload`".to_owned(),
            ];
        }
        help.extend(did_you_mean(scope, SCOPES.into_iter()).map(|meant| format!("did you mean `{meant}`?")));
        diagnostics.push_all(at, format!("`{shown}` cannot be set"), help);
    } else if what.is_empty() || !what.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        diagnostics.push(at, format!("`{shown}` is no limit"), HELP);
    } else if taken_away && line.burst.is_some() {
        diagnostics.push(span, "no limit has no burst", "leave out `burst`, or give a rate");
    } else if taken_away && Dimension::ALL.into_iter().all(|one| dimension_name(one) != what) {
        diagnostics.push(at, format!("`{shown}` cannot be taken away"), HELP);
    }
}

fn remove(class: &mut Class, key: &str) {
    let Some((scope, what)) = key.split_once('.') else { return };
    let set = if scope == "total" { &mut class.total } else { &mut class.per_source };
    for dimension in Dimension::ALL {
        if dimension_name(dimension) == what {
            *set.get_mut(dimension) = None;
        }
    }
}

/// The limits of the text over those of the class.
fn read(text: &str, class: &mut Class, diagnostics: &mut Diagnostics) {
    let (document, syntax) = DeTable::parse_recoverable(text);
    for error in syntax {
        let message = error.message().replace('\n', "; ");
        diagnostics.push(error.span().unwrap_or_default(), message, "name each limit once");
    }
    for scope in SCOPES {
        let Some(value) = document.get_ref().get(scope) else { continue };
        let more: &[&str] = if scope == "total" { &["proven"] } else { &[] };
        let Some((table, set)) = limits::set(scope, value, more, &class.claim, diagnostics) else { continue };
        overlay(if scope == "total" { &mut class.total } else { &mut class.per_source }, set);
        if let Some(value) = table.get("proven")
            && let Some(percent) = limits::percent("proven", value, diagnostics)
        {
            class.proven_share = percent;
        }
    }
}

fn overlay(under: &mut LimitSet, over: LimitSet) {
    for dimension in Dimension::ALL {
        if let Some(limit) = over.get(dimension) {
            *under.get_mut(dimension) = Some(limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Claim, Config, PortRange, parse, render};
    use proptest::prelude::*;

    fn web() -> Class {
        let text = "[[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80]\nper_source = { packets = \"2000/s\", connections = \"50/s\" }\ntotal = { connections = \"5000/s\" }\n";
        parse("test", text).unwrap().classes.into_iter().find(|class| class.name == "web").unwrap()
    }

    fn change(words: &[&str]) -> Result<Class, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        change_limits(&web(), &words).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let changed =
            change(&["per_source.packets=500/s", "burst=1k", "total.bytes=80Mbit/s", "total.proven=25%"])
                .unwrap();
        let packets = changed.per_source.packets.unwrap();
        assert_eq!((packets.rate.count, packets.burst), (500, 1_000));
        assert_eq!(changed.per_source.connections, web().per_source.connections);
        assert_eq!(changed.total.connections, web().total.connections);
        assert_eq!((changed.total.bytes.unwrap().rate.count, changed.proven_share), (10_000_000, 25));
        let changed = change(&["per_source.packets=none"]).unwrap();
        assert_eq!(changed.per_source.packets, None);
        assert_eq!(changed.per_source.connections, web().per_source.connections);
    }

    #[test]
    fn errors_point_into_what_was_written() {
        for (words, expected) in [
            (&["per_source.packets=500"][..], "`packets` is \"500\": the period is missing"),
            (&["per_source.packest=5/s"], "did you mean `packets`?"),
            (&["per-source.packets=5/s"], "did you mean `per_source`?"),
            (&["per_source.packets=5/s", "burst=0"], "nothing would ever pass"),
            (&["total.bytes=5MB/s", "burst=100B"], "a full Ethernet frame would never pass"),
            (&["per_source.packets=5/s", "per_source.packets=6/s"], "duplicate key"),
            (&["per_source.packets"], "is no limit with its rate"),
            (&["per_prefix.packets=5/s"], "changed in the configuration"),
            (&["total.proven=95%"], "\"0%\" to \"90%\""),
            (&["total.proven=none"], "cannot be taken away"),
            (&["per_source.packets=none", "burst=3"], "no limit has no burst"),
            (&["burst=3"], "`burst` cannot be set"),
            (&["per_source.packets=\u{1b}[31m5/s"], "is no limit with its rate"),
            (&[], "0 limits are named"),
        ] {
            let error = change(words).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
            assert!(!error.contains('\u{1b}'), "{error}");
        }
        let error = change(&["total.packets=9/s", "per_source.packets=5/x"]).unwrap_err();
        assert!(error.contains("limit set web:2:22"), "the second, at its rate: {error}");
        let udp = Class::new("dns", Claim::Udp(vec![PortRange { first: 53, last: 53 }]));
        let error = change_limits(&udp, &["total.connections=5/s".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("the class is not TCP"), "{error}");
        let closed = Class { closed: true, ..web() };
        assert!(change_limits(&closed, &["total.packets=5/s".to_owned()]).is_err());
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic_and_what_is_taken_can_be_written_in_a_file(words in prop::collection::vec(
            prop_oneof!["\\PC{0,20}", "(per_source|total)\\.(packets|bytes|connections)=[0-9]{1,6}(MB)?/[smhd]", "burst=[0-9]{1,5}"], 0..6)) {
            if let Ok(changed) = change_limits(&web(), &words) {
                let config = Config { classes: vec![changed], ..parse("test", "[default]").unwrap() };
                prop_assert_eq!(parse("rendered", &render(&config)).unwrap(), config);
            }
        }
    }
}
