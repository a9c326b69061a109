//! Attacks that are made by a written grammar (`made.toml`), for classes of which the collections have too few: templates, SSRF, look-ups,
//! serialised objects, prototypes, headers, queries other than SQL.
//!
//! A *form* is a text with `<word>` for one of the texts that `word` stands for. `<!word>` belongs to the structure: it makes as many forms as
//! `word` has texts, and stands for the same one wherever it stands. The half that a value belongs to is that of its form, so no structure is in both; what fills the rest does not differ
//! between the halves. Both were written by the same hands, before what is missed in the one was read.
//!
//! Who writes rules has read these forms by now. A second grammar, `unseen.toml`, is of the half that figures are reported on as a whole, in
//! the set [`UNSEEN`]: it was written without a look at the rules or at the first grammar's forms, and no rule is written after it. What of it is missed
//! is counted, and never listed.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::case::{Case, Label, Split, digest};

/// The set of the second grammar. It counts for no promised figure, but has rows of its own.
pub(crate) const UNSEEN: &str = "unseen";

/// Values of one form.
const FILLS: usize = 4;
/// Words within words.
const DEPTH: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grammar {
    /// By class.
    forms: BTreeMap<String, Vec<String>>,
    words: BTreeMap<String, Vec<String>>,
}

type Words = BTreeMap<String, Vec<String>>;

/// Values of every class of both grammars, as the sets `made` and [`UNSEEN`].
pub(super) fn read(cases: &mut Vec<Case>) -> Result<()> {
    let made: Grammar = toml::from_str(include_str!("made.toml")).context("cannot read made.toml")?;
    // The class is part of it: a form of two classes need not be in the same half of both.
    let half = |class: &str, form: &str| Split::of(format!("{class} {form}").as_bytes());
    values("made", made, half, cases)?;
    let unseen: Grammar = toml::from_str(include_str!("unseen.toml")).context("cannot read unseen.toml")?;
    values(UNSEEN, unseen, |_, _| Split::Report, cases)
}

/// Values of every class of one grammar, each of the half that `half` gives its class and form.
fn values(
    set: &str,
    grammar: Grammar,
    half: impl Fn(&str, &str) -> Split,
    cases: &mut Vec<Case>,
) -> Result<()> {
    let mut words = grammar.words;
    words.extend(addresses());
    words.extend(php());
    for (class, forms) in &grammar.forms {
        let mut seen = std::collections::BTreeSet::new();
        for form in forms {
            for form in structures(form, &words)? {
                let split = half(class, &form);
                for number in 0..FILLS {
                    let value = fill(&form, &words, number, 0)?;
                    if seen.insert(value.clone()) {
                        cases.push(Case::value(set, class, Label::Attack, split, value));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Where the first `<word>` or `<!word>` is: what stands before it, whether it is structure, its texts, and what stands behind it.
fn slot<'t>(form: &'t str, words: &'t Words) -> Option<(&'t str, bool, &'t [String], &'t str)> {
    for (at, _) in form.match_indices('<') {
        let inside = &form[at + 1..];
        let Some(end) = inside.find('>') else { continue };
        let name = &inside[..end];
        let (structure, name) = name.strip_prefix('!').map_or((false, name), |name| (true, name));
        if let Some(texts) = words.get(name) {
            return Some((&form[..at], structure, texts, &inside[end + 1..]));
        }
    }
    None
}

/// The forms that a form makes by its `<!word>`s.
fn structures(form: &str, words: &Words) -> Result<Vec<String>> {
    let mut open = vec![(String::new(), form.to_owned())];
    let mut forms = Vec::new();
    for _ in 0..65_536 {
        let Some((done, rest)) = open.pop() else {
            forms.sort();
            forms.dedup();
            return Ok(forms);
        };
        match slot(&rest, words) {
            None => forms.push(done + &rest),
            Some((before, true, texts, after)) => {
                let word = &rest[before.len()..rest.len() - after.len()];
                // The same quote, or line end, in every place of the form.
                let one = |text: &String| {
                    (format!("{done}{before}"), format!("{text}{}", after.replace(word, text)))
                };
                open.extend(texts.iter().map(one));
            }
            Some((_, false, _, after)) => {
                let kept = &rest[..rest.len() - after.len()];
                open.push((format!("{done}{kept}"), after.to_owned()));
            }
        }
    }
    bail!("{form} makes too many forms")
}

/// The form with one of its texts for each word: which, the form and `number` say.
fn fill(form: &str, words: &Words, number: usize, depth: usize) -> Result<String> {
    if depth > DEPTH {
        bail!("words within words without an end: {form}");
    }
    let mut value = String::new();
    let mut rest = form;
    let mut place = 0_usize;
    while let Some((before, _, texts, after)) = slot(rest, words) {
        let start = usize::from(digest(format!("{form} {place}").as_bytes())[0]);
        let text =
            texts.get((start + number * (place + 1)) % texts.len().max(1)).context("a word without texts")?;
        value += before;
        value += &fill(text, words, number, depth + 1)?;
        rest = after;
        place += 1;
    }
    Ok(value + rest)
}

/// Addresses that only a server reaches, in the notations that `inet_aton` and IPv6 have: `v4-dotted`, `v4-decimal`, `v6-mapped`, …
fn addresses() -> Words {
    let addresses: [[u8; 4]; 6] = [
        [127, 0, 0, 1],
        [169, 254, 169, 254],
        [127, 8, 9, 10],
        [10, 0, 0, 5],
        [192, 168, 7, 1],
        [172, 20, 3, 4],
    ];
    type Notation = fn([u8; 4]) -> String;
    let notations: [(&str, Notation); 14] = [
        ("v4-decimal", |v4| u32::from_be_bytes(v4).to_string()),
        ("v4-hex", |v4| format!("0x{:08x}", u32::from_be_bytes(v4))),
        ("v4-hex-upper", |v4| format!("0X{:08X}", u32::from_be_bytes(v4))),
        ("v4-octal", |v4| format!("0{:o}", u32::from_be_bytes(v4))),
        ("v4-hex-parts", |[a, b, c, d]| format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}")),
        ("v4-octal-parts", |[a, b, c, d]| format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}")),
        ("v4-long-octal", |[a, b, c, d]| format!("00000{a:o}.0{b:o}.0{c:o}.0{d:o}")),
        ("v4-mixed", |[a, b, c, d]| format!("0x{a:x}.{b}.0{c:o}.{d}")),
        ("v4-three", |[a, b, c, d]| format!("{a}.{b}.{}", u16::from_be_bytes([c, d]))),
        ("v4-two", |[a, b, c, d]| format!("{a}.{}", u32::from_be_bytes([0, b, c, d]))),
        ("v6-mapped", |[a, b, c, d]| format!("[::ffff:{a}.{b}.{c}.{d}]")),
        ("v6-mapped-hex", |[a, b, c, d]| format!("[::ffff:{a:02x}{b:02x}:{c:02x}{d:02x}]")),
        ("v6-mapped-long", |[a, b, c, d]| format!("[0:0:0:0:0:ffff:{a:x}{b:02x}:{c:x}{d:02x}]")),
        ("v6-nat64", |[a, b, c, d]| format!("[64:ff9b::{a}.{b}.{c}.{d}]")),
    ];
    notations
        .into_iter()
        .map(|(name, write)| (name.to_owned(), addresses.iter().map(|v4| write(*v4)).collect()))
        .collect()
}

/// What PHP's `serialize` writes of a string and of a class's name, each with its length.
fn php() -> Words {
    let strings = ["/etc/passwd", "id", "system", "<?php phpinfo();", "admin", "/var/www/html/x.php"];
    let classes = [
        "stdClass",
        "Logger",
        "Monolog\\Handler\\SyslogUdpHandler",
        "GuzzleHttp\\Psr7\\FnStream",
        "Cart",
        "PDO",
    ];
    let strings = strings.map(|text| format!("s:{}:\"{text}\"", text.len()));
    let classes = classes.map(|name| format!("{}:\"{name}\"", name.len()));
    [("php-string".to_owned(), strings.to_vec()), ("php-class".to_owned(), classes.to_vec())].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_makes_forms_and_other_words_fill_them() {
        let words: Words = [
            ("a".to_owned(), vec!["1".to_owned(), "2".to_owned()]),
            ("b".to_owned(), vec!["(<a>)".to_owned(), "[<a>]".to_owned()]),
        ]
        .into();
        assert_eq!(structures("<x><!b>=<a>", &words).unwrap(), ["<x>(<a>)=<a>", "<x>[<a>]=<a>"]);
        let filled = fill("<x>(<a>)=<a>", &words, 0, 0).unwrap();
        assert!(filled.starts_with("<x>(") && !filled.contains("<a>"), "{filled}");
        let endless: Words = [("a".to_owned(), vec!["<a>".to_owned()])].into();
        assert!(fill("<a>", &endless, 0, 0).is_err());
        let endless: Words = [("a".to_owned(), vec!["<!a>".to_owned()])].into();
        assert!(structures("<!a>", &endless).is_err());
    }

    #[test]
    fn no_form_is_in_both_halves_and_each_class_is_in_both() {
        let mut cases = Vec::new();
        read(&mut cases).unwrap();
        cases.retain(|case| case.set != UNSEEN);
        let mut halves: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        for case in &cases {
            halves.entry(&case.class).or_default()[usize::from(case.split == Split::Report)] += 1;
            let value = case.value.as_ref().unwrap();
            let missing = value
                .split("<!")
                .skip(1)
                .any(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()));
            assert!(!missing || value.contains("<!entity"), "a word is missing: {value}");
        }
        for (class, [tune, report]) in halves {
            assert!(tune >= 30 && report >= 30, "{class}: {tune} and {report}");
        }
    }

    #[test]
    fn nothing_unseen_is_of_the_half_that_rules_are_made_from() {
        let grammar: Grammar = toml::from_str(include_str!("unseen.toml")).unwrap();
        for (class, forms) in &grammar.forms {
            assert!(forms.len() >= 40, "{class}: {}", forms.len());
        }
        let mut cases = Vec::new();
        read(&mut cases).unwrap();
        cases.retain(|case| case.set == UNSEEN);
        assert!(cases.iter().all(|case| case.split == Split::Report));
        let classes: std::collections::BTreeSet<&str> =
            cases.iter().map(|case| case.class.as_str()).collect();
        assert_eq!(classes, grammar.forms.keys().map(String::as_str).collect());
        for value in cases.iter().filter_map(|case| case.value.as_ref()) {
            assert!(
                !["<w-", "<!w-", "<v4-", "<v6-"].iter().any(|word| value.contains(word)),
                "a word is missing: {value}"
            );
        }
    }

    #[test]
    fn addresses_are_written_as_clients_read_them() {
        let words = addresses();
        let first = |name: &str| words[name][0].as_str();
        assert_eq!(first("v4-decimal"), "2130706433");
        assert_eq!(first("v4-octal"), "017700000001");
        assert_eq!(first("v4-two"), "127.1");
        assert_eq!(first("v6-mapped-hex"), "[::ffff:7f00:0001]");
    }
}
