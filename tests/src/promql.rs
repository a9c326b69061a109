//! Names of metrics and labels: those that an exposition has, and those that queries ask for.

use std::collections::{BTreeMap, BTreeSet};

/// Labels by metric.
pub type Names = BTreeMap<String, BTreeSet<String>>;

/// What stands before a parenthesis or between operands and is no metric.
const WORDS: [&str; 22] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "offset",
    "bool",
    "sum",
    "min",
    "max",
    "avg",
    "count",
    "topk",
    "bottomk",
    "quantile",
    "stddev",
    "inf",
    "nan",
];

/// What an exposition in the text format has: labels of every metric.
pub fn exported(text: &str) -> Names {
    let mut names = Names::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let end = line.find([' ', '{']).unwrap_or(line.len());
        let labels = names.entry(line[..end].to_owned()).or_default();
        labels.extend(matchers(&line[end..]).0);
    }
    names
}

/// What queries ask for.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Metrics, with the labels that are matched.
    pub metrics: Names,
    /// Labels that are grouped by or joined on.
    pub labels: BTreeSet<String>,
}

impl Asked {
    /// Adds what one query of PromQL asks for. Words that begin with `$` are a dashboard's own.
    pub fn add(&mut self, query: &str) {
        let mut rest = query;
        let mut grouping = false;
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                rest = after_string(rest);
            } else if first == '$' || first.is_ascii_digit() {
                // A variable, a number, a duration.
                rest =
                    rest[1..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.');
            } else if first.is_ascii_alphabetic() || first == '_' || first == ':' {
                let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                rest = behind;
                grouping = self.word(word, &mut rest, grouping);
            } else {
                grouping &= first != ')';
                rest = &rest[first.len_utf8()..];
            }
        }
    }

    /// Takes in a word; whether names up to the next `)` are labels.
    fn word(&mut self, word: &str, rest: &mut &str, grouping: bool) -> bool {
        if grouping {
            self.labels.insert(word.to_owned());
            return true;
        }
        if WORDS.contains(&word) {
            return matches!(word, "by" | "without" | "on" | "ignoring" | "group_left" | "group_right")
                && rest.trim_start().starts_with('(');
        }
        if !rest.trim_start().starts_with('(') {
            let (labels, behind) = matchers(rest);
            *rest = behind;
            self.metrics.entry(word.to_owned()).or_default().extend(labels);
        }
        false
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The labels between braces, if the text begins with one, and what comes behind.
fn matchers(text: &str) -> (Vec<String>, &str) {
    let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            return (labels, rest);
        }
        if let Some(behind) = rest.strip_prefix('}') {
            return (labels, behind);
        }
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        labels.push(rest[..end].to_owned());
        rest = rest[end..].trim_start_matches(['=', '!', '~', ' ']);
        rest = after_string(rest);
    }
}

/// What comes behind a string in quotes.
fn after_string(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return &text[at + 1..],
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    ""
}

/// The values of a key in a YAML file of rules, each with what follows it on deeper lines.
pub fn values(yaml: &str, key: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut lines = yaml.lines().peekable();
    while let Some(line) = lines.next() {
        // In a list the key stands behind the dash, and what belongs to it is deeper than that.
        let entry = line.trim_start().trim_start_matches("- ");
        let indent = line.len() - entry.len();
        let Some(value) = entry.strip_prefix(&format!("{key}: ")) else {
            continue;
        };
        let mut value = value.trim().to_owned();
        if value.starts_with(['>', '|']) {
            value.clear();
            while let Some(next) = lines.next_if(|next| next.len() - next.trim_start().len() > indent) {
                value += next.trim();
                value.push(' ');
            }
        }
        values.push(value.trim().trim_matches('"').to_owned());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        let mut asked = Asked::default();
        asked.add(query);
        asked
    }

    fn names(pairs: &[(&str, &[&str])]) -> Names {
        let set = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
        pairs.iter().map(|(name, labels)| ((*name).to_owned(), set(labels))).collect()
    }

    #[test]
    fn names_of_an_exposition_are_found() {
        let text = "# HELP a_total x{y=\"z\"}\n# TYPE a_total counter\na_total{b=\"} c=\\\"1\\\"\",d=\"e\"} 7\na_total 1\nf 1e9\n";
        assert_eq!(exported(text), names(&[("a_total", &["b", "d"]), ("f", &[])]));
    }

    #[test]
    fn names_in_queries_are_found_and_nothing_else() {
        let found = asked(
            "8 * sum by (class, verdict) (rate(a_total{b=\"x{y}\", c!~\"$d|e\"}[$__rate_interval])) > 3e5 \
             and on (instance) f:g:rate1m offset 6h or time() - h",
        );
        assert_eq!(found.metrics, names(&[("a_total", &["b", "c"]), ("f:g:rate1m", &[]), ("h", &[])]));
        assert_eq!(
            found.labels.iter().map(String::as_str).collect::<Vec<_>>(),
            ["class", "instance", "verdict"]
        );
        assert_eq!(asked("misspelt").metrics, names(&[("misspelt", &[])]));
    }

    #[test]
    fn values_of_a_key_are_found_on_one_line_and_on_more() {
        let yaml = "a:\n  - expr: b > 1\n    for: 1m\n  - expr: >-\n      c\n      > 2\n    for: 2m\n  - alert: \"d\"\n";
        assert_eq!(values(yaml, "expr"), ["b > 1", "c > 2"]);
        assert_eq!(values(yaml, "alert"), ["d"]);
        assert_eq!(values(yaml, "for"), ["1m", "2m"]);
    }
}
