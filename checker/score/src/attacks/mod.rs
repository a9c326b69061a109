//! Attacks, out of public collections beside the workspace (`../shared/data`), none of which is part of this project, and by a grammar
//! of our own ([`made`]), one of which is unseen: for figures alone, and never listed.

mod crs;
mod filter;
mod lists;
pub(crate) mod made;

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    case::{Case, Label, Split, digest},
    encode,
};

/// At most so many values of one file, so that no generated list outweighs all others.
const PER_FILE: usize = 4_000;
/// Longer values are left out: they are files, not values.
const LONGEST: usize = 4_096;

/// Every attack of the collections in `data` and of the grammars, and the benign values that the collections have.
pub(crate) fn build(data: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    httpparams(data, &mut cases)?;
    libinjection(data, &mut cases)?;
    lists::read(data, &mut cases)?;
    crs::read(data, &mut cases)?;
    made::read(&mut cases)?;
    Ok(cases)
}

/// Values of one class out of one file: distinct, at most [`PER_FILE`].
fn push(
    cases: &mut Vec<Case>,
    set: &str,
    class: &str,
    label: Label,
    values: impl IntoIterator<Item = String>,
) {
    // Ordered by the end of the SHA-256: its first byte tells the half, and both halves are to be drawn from alike.
    let distinct: BTreeSet<([u8; 8], String)> = values
        .into_iter()
        .filter(|value| !value.trim().is_empty() && value.len() <= LONGEST)
        .filter_map(|value| Some((*digest(value.as_bytes()).last_chunk()?, value)))
        .collect();
    for (_, value) in distinct.into_iter().take(PER_FILE) {
        // What a list has over several lines is of the half that is looked at if any line is: lists are read line by line.
        let looked_at = value.lines().any(|line| Split::of(line.as_bytes()) == Split::Tune);
        let split = if looked_at { Split::Tune } else { Split::Report };
        cases.push(Case::value(set, class, label, split, value));
    }
}

/// The lines of a file that are UTF-8.
fn lines(file: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    Ok(lines.map(|line| line.trim_end_matches('\r').to_owned()).collect())
}

/// HttpParamsDataset: a value, its length, its class and whether it is normal, as CSV.
fn httpparams(data: &Path, cases: &mut Vec<Case>) -> Result<()> {
    let mut classes: Vec<(&str, &str, Label, Vec<String>)> = vec![
        ("norm", "normal", Label::Benign, Vec::new()),
        ("sqli", "sqli", Label::Attack, Vec::new()),
        ("xss", "xss", Label::Attack, Vec::new()),
        ("path-traversal", "traversal", Label::Attack, Vec::new()),
        ("cmdi", "cmdi", Label::Attack, Vec::new()),
    ];
    let file = data.join("httpparams/payload_train.csv");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    for record in records(&text).skip(1) {
        let [value, _, class, _] = record.as_slice() else { continue };
        if let Some((.., values)) = classes.iter_mut().find(|(name, ..)| name == class) {
            values.push(value.clone());
        }
    }
    for (_, class, label, mut values) in classes {
        values.sort();
        values.dedup();
        // The one file of its kind: all of it.
        for value in values.into_iter().filter(|value| !value.trim().is_empty()) {
            if label == Label::Attack && filter::says_nothing(class, &value) {
                continue;
            }
            let split = Split::of(value.as_bytes());
            cases.push(Case::value("httpparams", class, label, split, value));
        }
    }
    Ok(())
}

/// The records of a CSV text (RFC 4180): fields may be in quotes, and a quote in one is doubled.
pub(crate) fn records(text: &str) -> impl Iterator<Item = Vec<String>> {
    let mut rest = text.chars().peekable();
    std::iter::from_fn(move || {
        rest.peek()?;
        let (mut record, mut field, mut quoted) = (Vec::new(), String::new(), false);
        while let Some(next) = rest.next() {
            match next {
                '"' if quoted && rest.peek() == Some(&'"') => {
                    rest.next();
                    field.push('"');
                }
                '"' if quoted => quoted = false,
                '"' if field.is_empty() => quoted = true,
                ',' if !quoted => record.push(std::mem::take(&mut field)),
                '\r' if !quoted && rest.peek() == Some(&'\n') => {}
                '\n' if !quoted => break,
                other => field.push(other),
            }
        }
        record.push(field);
        Some(record)
    })
}

/// libinjection's own test strings: some files have them as they stand in a URL, others as they are.
fn libinjection(data: &Path, cases: &mut Vec<Case>) -> Result<()> {
    let directory = data.join("libinjection");
    for name in names(&directory)? {
        let (class, label) = match name.split('-').next() {
            Some("sqli") => ("sqli", Label::Attack),
            Some("xss") => ("xss", Label::Attack),
            _ if name == "false_positives.txt" => ("false-positives", Label::Benign),
            _ => continue,
        };
        let values = lines(&directory.join(&name))?
            .into_iter()
            .filter(|line| !line.starts_with('#'))
            .map(|line| if is_encoded(&line) { encode::url_decode(&line).unwrap_or(line) } else { line });
        // Some of its strings are pages of a list that were cut into lines.
        let values = values.filter(|value| class != "xss" || !filter::harmless(value));
        let values = values.filter(|value| label == Label::Benign || !filter::says_nothing(class, value));
        push(cases, "libinjection", class, label, values);
    }
    Ok(())
}

/// Whether a line is as it stands in a URL: it has escapes, and nothing that would have to be escaped there.
fn is_encoded(line: &str) -> bool {
    !line.contains([' ', '<', '>', '"']) && line.contains('%') && encode::url_decode(line).is_some()
}

/// The names of the files in a directory, sorted.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_field_may_hold_commas_quotes_and_line_ends() {
        let read: Vec<Vec<String>> = records("a,b\n\"x, \"\"y\"\"\nz\",1\r\nlast,\n").collect();
        assert_eq!(read, [vec!["a", "b"], vec!["x, \"y\"\nz", "1"], vec!["last", ""]]);
    }

    #[test]
    fn only_lines_that_can_stand_in_a_url_are_decoded() {
        assert!(is_encoded("1%27+or+1=1"));
        for plain in ["a LIKE '%41dmin'", "100%", "1'or'1'='1", "<a%20b>"] {
            assert!(!is_encoded(plain), "{plain}");
        }
    }

    #[test]
    fn a_file_gives_distinct_values_and_not_too_many() {
        let mut cases = Vec::new();
        push(&mut cases, "s", "c", Label::Attack, ["b", "a", "b", " ", ""].map(str::to_owned));
        assert_eq!(cases.len(), 2);
        push(&mut cases, "s", "c", Label::Attack, (0..PER_FILE + 9).map(|number| number.to_string()));
        assert_eq!(cases.len(), 2 + PER_FILE);
        let report = cases.iter().filter(|case| case.split == Split::Report).count();
        assert!((PER_FILE * 9 / 20..PER_FILE * 11 / 20).contains(&report), "{report}: both halves alike");
        assert!(cases.iter().all(|case| case.split == Split::of(case.value.as_ref().unwrap().as_bytes())));
    }
}
