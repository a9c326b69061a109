//! What must not be refused: what packages in the registries ship as fixtures, examples, documentation and data.
//!
//! Packages about attacks and their defence are no source of it. What documentation shows of whole statements, commands and scripts is labelled
//! `either`: see [`statement`].

mod archive;
mod json;
pub(crate) mod packages;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};

use crate::{
    case::{self, Case, Label, Split, digest},
    encode, render,
};
use packages::{Package, Take};

/// Raised when what is taken changes, so that sets in the cache are built anew.
const EDITION: u32 = 3;
/// At most so many of each kind out of one package, so that none dominates.
const VALUES_PER_KIND: usize = 1_500;
const BODIES: usize = 500;
const URLS: usize = 500;
/// Forms for a split, of four values each.
const FORMS: usize = 3_000;
/// Longest value, bytes.
const LONGEST: usize = 2_000;
/// Of values that are but one word, one in so many is kept: they are easy.
const WORDS_KEPT: u8 = 10;

/// The kinds of what is taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    String,
    Prose,
    Code,
    Html,
    Literal,
    Url,
    Body,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Prose => "prose",
            Self::Code => "code",
            Self::Html => "html",
            Self::Literal => "literal",
            Self::Url => "url",
            Self::Body => "body",
        }
    }

    const fn most(self) -> usize {
        match self {
            Self::Body => BODIES,
            Self::Url => URLS,
            _ => VALUES_PER_KIND,
        }
    }
}

/// What is taken of one package: for each kind the things with the smallest SHA-256.
#[derive(Default)]
struct Taken(BTreeMap<Kind, BTreeMap<[u8; 32], String>>);

impl Taken {
    fn add(&mut self, kind: Kind, text: &str) {
        let text = text.trim();
        if kind != Kind::Body && !is_value(text) {
            return;
        }
        let key = digest(text.as_bytes());
        if kind != Kind::Body && is_word(text) && !key[31].is_multiple_of(WORDS_KEPT) {
            return;
        }
        let sample = self.0.entry(kind).or_default();
        if sample.len() >= kind.most() && sample.last_key_value().is_some_and(|(last, _)| *last < key) {
            return;
        }
        sample.insert(key, text.to_owned());
        if sample.len() > kind.most() {
            sample.pop_last();
        }
    }

    fn file(&mut self, package: &Package, path: &str, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let takes = |take| package.take.contains(&take);
        if takes(Take::Urls) {
            text::urls(text, &mut |url| self.add(Kind::Url, url));
        }
        match extension {
            "json" | "geojson" | "jsonld" | "topojson" | "webmanifest" => {
                if takes(Take::Bodies) {
                    json::bodies(text, &mut |body| self.add(Kind::Body, &body));
                }
                if takes(Take::Strings) {
                    json::strings(text, &mut |string| self.add(Kind::String, string));
                }
            }
            "ndjson" | "jsonl" => {
                for line in text.lines() {
                    if takes(Take::Bodies) {
                        json::bodies(line, &mut |body| self.add(Kind::Body, &body));
                    }
                    if takes(Take::Strings) {
                        json::strings(line, &mut |string| self.add(Kind::String, string));
                    }
                }
            }
            "md" | "markdown" | "mdx" | "rst" | "txt" | "" if takes(Take::Prose) => {
                text::paragraphs(text, &mut |code, block| {
                    self.add(if code { Kind::Code } else { Kind::Prose }, block);
                });
            }
            "html" | "htm" if takes(Take::Prose) => text::html(text, &mut |line| self.add(Kind::Html, line)),
            "csv" if takes(Take::Strings) => {
                for field in crate::attacks::records(text).flatten() {
                    self.add(Kind::String, &field);
                }
            }
            "js" | "mjs" | "cjs" | "ts" | "py" | "po" if takes(Take::Literals) => {
                let python = matches!(extension, "py" | "po");
                text::literals(text, python, &mut |documentation, text| {
                    if documentation {
                        text::paragraphs(text, &mut |_, block| self.add(Kind::Prose, block));
                    } else {
                        self.add(Kind::Literal, text);
                    }
                });
            }
            _ => {}
        }
    }
}

/// Text of a length that people put into fields, without control characters.
fn is_value(text: &str) -> bool {
    (2..=LONGEST).contains(&text.len())
        && text.chars().any(char::is_alphabetic)
        && !text.chars().any(|character| character.is_control() && !"\n\r\t".contains(character))
}

/// Whether a value is one word, number or identifier.
fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Whether a value is as a whole what an attack would be: markup with script, a statement of SQL, a command line that calls a second command, a
/// document type with entities. Where such a value comes from is all that tells the two apart, and a checker does not see that.
fn statement(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let begins = |words: &[&str]| {
        words
            .iter()
            .any(|word| text.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '\n', '\t'])))
    };
    let handler = || {
        text.match_indices(" on").any(|(place, _)| {
            let rest = text[place + 3..].trim_start_matches(|c: char| c.is_ascii_alphabetic());
            rest.starts_with("=\"") || rest.starts_with("='") || rest.starts_with("={")
        })
    };
    let script =
        has(&["<script", "javascript:", "<iframe", "<object", "<embed"]) || (text.contains('<') && handler());
    let sql = begins(&[
        "select", "insert", "update", "delete", "drop", "create", "alter", "with", "grant", "explain",
    ]) && has(&[
        " from ",
        " into ",
        " set ",
        " table ",
        "\nfrom",
        " database ",
        " index ",
        " on ",
        "select 1",
    ]) && has(&[";", "*", "=", " where ", " values", "table "]);
    let sql_within = has(&["select ", "insert into ", "delete from ", "drop table "])
        && has(&[" from ", " values", "drop table "])
        && has(&[";", "(", "*", "="]);
    let shell = has(&["$(", "&& ", "| ", "; ", "> /", "`"])
        && (begins(&["$", "#", "sudo", "cd", "curl", "wget", "echo", "cat", "rm", "export", "bash", "sh"])
            || has(&["| bash", "| sh", "| grep", "| xargs", "&& cd ", "rm -rf", "sudo "]));
    script || sql || sql_within || shell || has(&["<!entity"])
}

/// The sets, from the cache where they were built from the same list.
pub(crate) fn load(cache: &Path, say: &mut dyn FnMut(&str)) -> Result<Vec<Case>> {
    let file = cache.join("sets/benign.ndjson");
    let stamp = cache.join("sets/benign.stamp");
    let made_of = format!("{EDITION} {}", packages::fingerprint());
    if file.exists() && fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == made_of) {
        return case::read(&file);
    }
    let archives = cache.join("packages");
    fs::create_dir_all(&archives).with_context(|| format!("cannot make {}", archives.display()))?;
    fs::create_dir_all(cache.join("sets"))?;
    let mut taken = Vec::new();
    for package in packages::list()? {
        let archive = package.fetch(&archives)?;
        let mut sample = Taken::default();
        archive::each(&archive, &mut |path, bytes| sample.file(&package, path, &bytes))?;
        let counts: Vec<String> =
            sample.0.iter().map(|(kind, sample)| format!("{} {}", sample.len(), kind.name())).collect();
        say(&format!("{}: {}", package.name, counts.join(", ")));
        taken.push((package, sample));
    }
    let cases = build(taken);
    case::write(&file, &cases)?;
    fs::write(stamp, made_of)?;
    Ok(cases)
}

/// The cases of what was taken. What packages of both splits have belongs to `report` alone: it has not been tuned on then.
fn build(taken: Vec<(Package, Taken)>) -> Vec<Case> {
    let reported: BTreeSet<[u8; 32]> = taken
        .iter()
        .filter(|(package, _)| package.split == Split::Report)
        .flat_map(|(_, sample)| sample.0.values().flat_map(|sample| sample.keys().copied()))
        .collect();
    let mut seen = BTreeSet::new();
    let mut cases = Vec::new();
    let mut fields: BTreeMap<Split, Vec<String>> = BTreeMap::new();
    for (package, sample) in taken {
        let split = package.split;
        for (kind, sample) in sample.0 {
            for (key, text) in sample {
                if (split == Split::Tune && reported.contains(&key)) || !seen.insert(key) {
                    continue;
                }
                if kind == Kind::Body {
                    let request = render::post("application/json", &text);
                    cases.push(Case::raw("benign-json", "body", Label::Benign, split, &request));
                    continue;
                }
                if kind == Kind::Url
                    && let Some(request) = url_request(&text)
                {
                    let label = if ambiguous(&text) { Label::Either } else { Label::Benign };
                    cases.push(Case::raw("benign-urls", "url", label, split, &request));
                }
                let label = if statement(&text) { Label::Either } else { Label::Benign };
                if label == Label::Benign && kind != Kind::Code {
                    fields.entry(split).or_default().push(text.clone());
                }
                cases.push(Case::value("benign-values", kind.name(), label, split, text));
            }
        }
    }
    for (split, mut values) in fields {
        // In an order that mixes the packages, and is the same everywhere.
        values.sort_by_cached_key(|value| digest(value.as_bytes()));
        for values in values.chunks_exact(4).take(FORMS) {
            let names = ["title", "description", "author", "comment"];
            let pairs: Vec<String> = names
                .iter()
                .zip(values)
                .map(|(name, value)| format!("{name}={}", encode::form_value(value)))
                .collect();
            let request = render::post("application/x-www-form-urlencoded", &pairs.join("&"));
            cases.push(Case::raw("benign-forms", "form", Label::Benign, split, &request));
        }
    }
    cases
}

/// The request that a browser makes of a URL. Its fragment stays at home.
fn url_request(url: &str) -> Option<Vec<u8>> {
    let (_, rest) = url.split_once("://")?;
    let (_, target) = rest.split_at(rest.find('/')?);
    let target = target.split('#').next()?;
    Some(render::get(target, ""))
}

/// Whether two servers may read a URL's path in two ways: empty segments, escaped slashes, parameters of segments. The checker refuses that, and
/// says why; other people's servers have such paths.
fn ambiguous(url: &str) -> bool {
    let path =
        url.split_once("://").map_or(url, |(_, rest)| rest).split(['?', '#']).next().unwrap_or_default();
    path.contains("//")
        || path.contains(';')
        || ["%2f", "%5c"].iter().any(|escape| path.to_lowercase().contains(escape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, split: &str) -> Package {
        toml::from_str(&format!(
            "name = \"{name}\"\nversion = \"1\"\nregistry = \"npm\"\nsplit = \"{split}\"\nsha256 = \"\"\n\
             take = [\"bodies\", \"strings\", \"prose\", \"urls\", \"literals\"]"
        ))
        .unwrap()
    }

    fn taken(name: &str, split: &str, files: &[(&str, &str)]) -> (Package, Taken) {
        let package = package(name, split);
        let mut sample = Taken::default();
        for (path, text) in files {
            sample.file(&package, path, text.as_bytes());
        }
        (package, sample)
    }

    #[test]
    fn a_package_gives_values_bodies_urls_and_forms() {
        let readme = "See https://a.example/b?c=d here.\n\nA second paragraph, it's short.\n\n```\nlet x = {a: 1};\n```\n";
        let json = r#"{"name": "Miles O'Brien", "note": "select a seat from the list", "more": "third one"}"#;
        let cases = build(vec![taken("p", "tune", &[("p/README.md", readme), ("p/a.json", json)])]);
        let of = |set: &str| cases.iter().filter(|case| case.set == set).count();
        assert_eq!((of("benign-json"), of("benign-urls"), of("benign-forms")), (1, 1, 1));
        let values: Vec<&str> = cases.iter().filter_map(|case| case.value.as_deref()).collect();
        for value in
            ["Miles O'Brien", "select a seat from the list", "let x = {a: 1};", "https://a.example/b?c=d"]
        {
            assert!(values.contains(&value), "{value}: {values:?}");
        }
        let url = cases.iter().find(|case| case.set == "benign-urls").unwrap().request().unwrap();
        assert!(url.starts_with(b"GET /b?c=d HTTP/1.1\r\n"));
    }

    #[test]
    fn the_splits_share_no_value() {
        let text = "This is in both.\n\nOnly here: {}.\n\nhttps://both.example/x y\n";
        let both = vec![
            taken(
                "t",
                "tune",
                &[("README.md", &text.replace("{}", "t")), ("a.json", "{\"same\": \"body of both\"}")],
            ),
            taken(
                "r",
                "report",
                &[("README.md", &text.replace("{}", "r")), ("a.json", "{\"same\": \"body of both\"}")],
            ),
        ];
        let cases = build(both);
        let of = |split| -> BTreeSet<(Option<&str>, Option<Vec<u8>>)> {
            let mine = cases.iter().filter(|case| case.split == split);
            mine.map(|case| (case.value.as_deref(), case.request())).collect()
        };
        let (tune, report) = (of(Split::Tune), of(Split::Report));
        assert!(tune.is_disjoint(&report), "{tune:?}");
        assert!(report.iter().any(|(value, _)| *value == Some("This is in both.")));
        assert_eq!(tune.len(), 1, "{tune:?}");
    }

    #[test]
    fn no_package_gives_more_than_its_share_and_always_the_same() {
        let lines: Vec<String> =
            (0..4_000).map(|number| format!("line number {number} of many\n\n")).collect();
        let forwards = taken("p", "tune", &[("a.txt", &lines.concat())]);
        let backwards: String = lines.iter().rev().map(String::as_str).collect();
        let backwards = taken("p", "tune", &[("a.txt", &backwards)]);
        assert_eq!(forwards.1.0[&Kind::Prose].len(), VALUES_PER_KIND);
        assert_eq!(forwards.1.0, backwards.1.0);
    }

    #[test]
    fn only_paths_with_two_readings_are_ambiguous() {
        for url in ["https://a.example//b", "https://a.example/b%2Fc", "https://a.example/b;c=d"] {
            assert!(ambiguous(url), "{url}");
        }
        assert!(!ambiguous("https://a.example/b/c?d=https://e.example//f%2F;g"));
    }

    #[test]
    fn statements_are_told_from_texts_about_them() {
        for text in [
            "SELECT name FROM users WHERE id = 4;",
            "<script src=\"x.js\"></script>",
            "<a onclick=\"go()\">go</a>",
            "curl -s https://a.example/install | bash",
            "$ cd a && make",
            "<!DOCTYPE a [<!ENTITY b \"c\">]>",
        ] {
            assert!(statement(text), "{text}");
        }
        for text in [
            "Select a country from the list, or update your settings.",
            "O'Brien & Sons; since 1920",
            "<p>An <a href=\"/b\">anchor</a> on = off</p>",
            "if (a && b) { return c; }",
            "The union of two sets is selected by `OR`.",
        ] {
            assert!(!statement(text), "{text}");
        }
    }
}
