//! docs/standards.md names a test for each demand of the standards that concerns who verifies. Each of them must be there.

use std::{collections::BTreeMap, fs, path::Path};

/// The standards, and how many demands of each are listed at least.
const STANDARDS: [(&str, usize); 7] = [
    ("RFC 6750", 8),
    ("RFC 7519", 14),
    ("RFC 7662", 6),
    ("RFC 8705", 4),
    ("RFC 8725", 12),
    ("RFC 9068", 9),
    ("RFC 9449", 16),
];

/// Whether a file of tests has one of this name: a function that is run, a trial, or a case of a table.
fn has(text: &str, name: &str) -> bool {
    let function = text.contains(&format!("#[test]\nfn {name}()"));
    let trial =
        text.contains(&format!("(\"{name}\", ")) || text.contains(&format!("\n    (\n        \"{name}\","));
    function
        || trial
        || text.contains(&format!("\nname = \"{name}\"\n"))
        || text.contains(&format!("\", \"{name}\", ||"))
        || text.contains(&format!("\",\n        \"{name}\",\n"))
}

#[test]
fn every_test_that_is_named_for_a_demand_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../docs/standards.md")).unwrap();
    let (mut standard, mut demands, mut missing) = ("", BTreeMap::<&str, usize>::new(), Vec::new());
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            standard = title.split(':').next().unwrap();
            continue;
        }
        let Some(row) =
            line.strip_prefix("| ").filter(|row| row.starts_with(|first: char| first.is_ascii_digit()))
        else {
            continue;
        };
        let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let [section, demand, tests] = cells[..] else { panic!("{standard}: {line}") };
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            missing.push(format!("{standard}, {section}: {demand}: no test"));
        }
        for name in names {
            let (file, name) = name.split_once(": ").unwrap_or_else(|| panic!("{standard}: {name}"));
            let path = root.join("tests").join(file);
            let there = fs::read_to_string(&path).is_ok_and(|text| has(&text, name));
            if !there {
                missing.push(format!("{standard}, {section}: {file} has no {name}"));
            }
        }
        *demands.entry(standard).or_default() += 1;
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    for (standard, least) in STANDARDS {
        let listed = demands.get(standard).copied().unwrap_or(0);
        assert!(listed >= least, "{standard}: {listed} demands are listed, of {least}");
    }
}

#[test]
fn a_name_in_passing_is_no_test() {
    let text = "#[test]\nfn one() {\n    // fn two()\n}\nfn three() {}\n(\"four\", three),\n";
    assert_eq!(["one", "two", "three", "four"].map(|name| has(text, name)), [true, false, false, true]);
}
