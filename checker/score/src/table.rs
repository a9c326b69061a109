//! What came of it: rows by set and class, and the figures that are promised.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use crate::case::Label;

/// Set, class and label.
pub(crate) type Key = (String, String, Label);

/// How many cases there were, and how many of them were refused.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Count {
    pub(crate) n: u64,
    pub(crate) refused: u64,
}

impl Count {
    pub(crate) fn add(&mut self, refused: bool) {
        self.n += 1;
        self.refused += u64::from(refused);
    }

    /// Refused ones of a hundred.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn percent(self) -> f64 {
        if self.n == 0 { 0.0 } else { self.refused as f64 * 100.0 / self.n as f64 }
    }
}

/// Everything counted.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<Key, Count>);

/// A row as `--json` has it.
#[derive(Serialize)]
struct Row<'t> {
    set: &'t str,
    class: &'t str,
    label: Label,
    n: u64,
    refused: u64,
}

/// Sets whose values count for the figures by class. What CRS has above its paranoia level 1 is shown only.
pub(crate) const VALUES: [&str; 6] =
    ["httpparams", "libinjection", "fuzzdb", "payloads", "crs-values", "made"];

/// Classes with their figures: refused ones of a hundred, at least.
const ATTACKS: [(&str, f64); 14] = [
    ("sqli", 99.0),
    ("xss", 99.0),
    ("traversal", 95.0),
    ("cmdi", 95.0),
    ("nosql", 90.0),
    ("template", 90.0),
    ("ldap", 90.0),
    ("xpath", 90.0),
    ("header", 90.0),
    ("ssrf", 90.0),
    ("xxe", 90.0),
    ("deserialisation", 90.0),
    ("lookup", 90.0),
    ("prototype", 90.0),
];

/// Benign figures: what they are of, the sets, and refused ones of a hundred, at most.
const BENIGN: [(&str, &[&str], f64); 7] = [
    ("benign values, in queries", &["benign-values"], 0.1),
    ("benign values, in JSON", &["benign-values+json"], 0.1),
    ("benign JSON bodies", &["benign-json"], 0.1),
    ("benign URLs", &["benign-urls"], 0.1),
    ("benign forms", &["benign-forms"], 0.1),
    ("HttpParams' normal values", &["httpparams"], 0.1),
    ("libinjection's false positives", &["libinjection"], 2.0),
];

impl Table {
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        let rows: Vec<Row<'_>> = self
            .0
            .iter()
            .map(|((set, class, label), count)| Row {
                set,
                class,
                label: *label,
                n: count.n,
                refused: count.refused,
            })
            .collect();
        serde_json::to_string_pretty(&rows)
    }

    /// Counts one more.
    pub(crate) fn add(&mut self, key: &Key, refused: bool) {
        self.0.entry(key.clone()).or_default().add(refused);
    }

    fn sum(&self, label: Label, wanted: impl Fn(&str, &str) -> bool) -> Count {
        let mut sum = Count::default();
        for ((set, class, of), count) in &self.0 {
            if *of == label && wanted(set, class) {
                sum.n += count.n;
                sum.refused += count.refused;
            }
        }
        sum
    }

    /// A line for each figure that is promised: what it is, and whether it holds. What has no cases is not there.
    pub(crate) fn promises(&self) -> Vec<(String, bool)> {
        let mut lines = Vec::new();
        for suffix in ["", "+base64", "+double-url"] {
            for (class, least) in ATTACKS {
                let values = |set: &str| set.strip_suffix(suffix).is_some_and(|set| VALUES.contains(&set));
                let count = self.sum(Label::Attack, |set, of| of == class && values(set));
                if count.n > 0 {
                    let name = format!("{class}{suffix}");
                    lines.push(figure(&name, count, "at least", least, count.percent() >= least));
                }
            }
        }
        for (class, least) in ATTACKS {
            let count = self.sum(Label::Attack, |set, of| of == class && set == "crs");
            if count.n > 0 {
                let name = format!("{class}, CRS's requests");
                lines.push(figure(&name, count, "at least", least, count.percent() >= least));
            }
        }
        for (name, sets, most) in BENIGN {
            let count = self.sum(Label::Benign, |set, _| sets.contains(&set));
            if count.n > 0 {
                lines.push(figure(name, count, "at most", most, count.percent() <= most));
            }
        }
        lines
    }
}

fn figure(name: &str, count: Count, bound: &str, value: f64, holds: bool) -> (String, bool) {
    let verdict = if holds { "holds" } else { "DOES NOT HOLD" };
    let line = format!(
        "{name:<34} {:>6.2} % of {:>6}, {bound:>8} {value:>4} %: {verdict}",
        count.percent(),
        count.n
    );
    (line, holds)
}

/// The table for people: a column of percentages for each of `tables`, counts and rows of the first.
pub(crate) fn text(tables: &[(&str, &Table)]) -> String {
    let mut out = format!("{:<30} {:<18} {:<7} {:>8} {:>8}", "set", "class", "label", "n", "refused");
    for (name, _) in tables {
        let _ = write!(out, " {name:>8}");
    }
    out.push('\n');
    for (key, count) in tables.first().into_iter().flat_map(|(_, table)| &table.0) {
        let (set, class, label) = key;
        let label = match label {
            Label::Attack => "attack",
            Label::Benign => "benign",
            Label::Either => "either",
        };
        let _ = write!(out, "{set:<30} {class:<18} {label:<7} {:>8} {:>8}", count.n, count.refused);
        for (_, table) in tables {
            let percent = table.0.get(key).map(|count| format!("{:.2} %", count.percent()));
            let _ = write!(out, " {:>8}", percent.unwrap_or_default());
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, &str, Label, u64, u64)]) -> Table {
        let rows = rows.iter().map(|(set, class, label, n, refused)| {
            (((*set).to_owned(), (*class).to_owned(), *label), Count { n: *n, refused: *refused })
        });
        Table(rows.collect())
    }

    #[test]
    fn a_figure_is_of_all_its_sets_and_of_no_other() {
        let promises = table(&[
            ("fuzzdb", "sqli", Label::Attack, 100, 100),
            ("payloads", "sqli", Label::Attack, 100, 97),
            ("crs-strict-values", "sqli", Label::Attack, 900, 0),
            ("fuzzdb+base64", "sqli", Label::Attack, 100, 99),
            ("benign-values", "prose", Label::Benign, 1_999, 1),
            ("benign-values", "statement", Label::Either, 50, 50),
            ("benign-urls", "url", Label::Benign, 999, 1),
        ])
        .promises();
        let holds: Vec<bool> = promises.iter().map(|(_, holds)| *holds).collect();
        assert_eq!(holds, [false, true, true, false], "{promises:?}");
        assert!(promises[0].0.contains("98.50 % of    200"), "{}", promises[0].0);
    }

    #[test]
    fn rows_in_json_have_just_what_is_documented() {
        let json = table(&[("a", "b", Label::Attack, 2, 1)]).json().unwrap();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            read,
            serde_json::json!([{"set": "a", "class": "b", "label": "attack", "n": 2, "refused": 1}])
        );
    }

    #[test]
    fn the_table_has_the_peer_beside_where_it_was_asked() {
        let ours = table(&[("a", "b", Label::Attack, 2, 1), ("c", "b", Label::Attack, 2, 1)]);
        let theirs = table(&[("a", "b", Label::Attack, 4, 3)]);
        let text = text(&[("ours", &ours), ("peer", &theirs)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("  50.00 %  75.00 %"), "{text}");
        assert!(lines[2].trim_end().ends_with("50.00 %"), "{text}");
    }
}
