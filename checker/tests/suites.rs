//! The engine against public suites, which lie beside the workspace. Where one is not, its test says so and counts as skipped.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use stopbank_checker::{Reason, json, xml};

fn main() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let trials = vec![
        trial(
            "JSONTestSuite: what must be read is read, and what must not is refused",
            Some(shared.join("json-test-suite")),
            json_test_suite,
        ),
        trial(
            "W3C's XML suite: without a document type it is judged as there, and with one refused for it",
            env::var_os("STOPBANK_XML_SUITE").map(PathBuf::from),
            xml_suite,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A test of a folder that may be missing; `cargo xtask test` says where it put those that it downloads.
fn trial(name: &'static str, folder: Option<PathBuf>, test: fn(&Path)) -> Trial {
    Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
        if let Some(folder) = folder.as_deref().filter(|folder| folder.is_dir()) {
            test(folder);
            return Ok(Completion::Completed);
        }
        let why = match folder {
            Some(folder) => format!("there is no {}", folder.display()),
            None => "it was not downloaded".to_owned(),
        };
        println!("SKIPPED {name}: {why}");
        Ok(Completion::ignored_with(why))
    })
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// `y_` must be read, `n_` must not, `i_` is up to the parser.
fn json_test_suite(folder: &Path) {
    let limits = json::Limits { depth: 1_000, number_length: 1_000, ..json::Limits::default() };
    let mut judged = 0;
    for file in files(folder) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let read = json::read(&fs::read(&file).unwrap(), &limits, &mut |_, _| {});
        match name.get(..2) {
            // RFC 8259 says that names should be unique, and we that they are.
            Some("y_") if name.contains("duplicated_key") => {
                assert_eq!(read, Err(Reason::JsonRepeated), "{name}");
            }
            Some("y_") => assert_eq!(read, Ok(()), "{name}"),
            Some("n_") => assert!(read.is_err(), "{name}"),
            _ => continue,
        }
        judged += 1;
    }
    assert!(judged > 250, "{judged} files were judged");
}

/// `valid` and `invalid` are well-formed, `not-wf` are not, and of `error` parsers may think what they like. What is about XML 1.1, or about
/// editions before the fifth, is left out.
fn xml_suite(folder: &Path) {
    let limits = xml::Limits { depth: 1_000, attributes: 1_000, ..xml::Limits::default() };
    let (mut without_type, mut with_type, mut not_utf8) = (0, 0, 0);
    for (file, tag) in xml_cases(folder) {
        let kind = attribute(&tag, "TYPE").unwrap();
        let version = attribute(&tag, "RECOMMENDATION").unwrap_or("XML1.0");
        let edition = attribute(&tag, "EDITION").unwrap_or("5");
        if version.ends_with("1.1") || !edition.contains('5') || kind == "error" {
            continue;
        }
        let bytes = fs::read(&file).unwrap();
        let read = xml::read(&bytes, &limits, &mut |_, _| Ok(()));
        let name = file.display();
        let Ok(text) = str::from_utf8(&bytes) else {
            assert_eq!(read, Err(Reason::XmlUtf8), "{name}");
            not_utf8 += 1;
            continue;
        };
        // What is refused whatever else it is: another version or encoding, which the suite knows and servers may not.
        let declared = read == Err(Reason::XmlDeclaration);
        if has_type(text) {
            let good = if kind == "not-wf" { read.is_err() } else { declared || read == Err(Reason::XmlDtd) };
            assert!(good, "{name}: {kind}, {read:?}");
            with_type += 1;
        } else {
            let colons = attribute(&tag, "NAMESPACE") == Some("no") && read == Err(Reason::XmlNamespace);
            let good = if kind == "not-wf" { read.is_err() } else { declared || colons || read == Ok(()) };
            assert!(good, "{name}: {kind}, {read:?}");
            without_type += 1;
        }
    }
    println!("{without_type} without a document type, {with_type} with one, {not_utf8} not in UTF-8");
    assert!(without_type > 200 && with_type > 1_000, "{without_type} and {with_type} files were judged");
}

/// Whether there is a document type behind the comments and processing instructions that the text begins with.
fn has_type(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    for (start, end) in [("<!--", "-->"), ("<?", "?>")].into_iter().cycle().take(100) {
        while let Some((_, after)) = rest.strip_prefix(start).and_then(|inner| inner.split_once(end)) {
            rest = after.trim_start();
        }
    }
    rest.starts_with("<!DOCTYPE")
}

/// The files of the suite's cases, with the tags that describe them.
fn xml_cases(folder: &Path) -> Vec<(PathBuf, String)> {
    let lists = files(folder).into_iter().filter(|file| file.extension().is_some_and(|it| it == "xml"));
    let mut cases = Vec::new();
    for list in lists {
        let Ok(text) = fs::read_to_string(&list) else { continue };
        for tag in text.split("<TEST").skip(1).filter(|tag| tag.starts_with(char::is_whitespace)) {
            let tag = tag.split('>').next().unwrap();
            let file = attribute(tag, "URI").map(|uri| list.with_file_name("").join(uri));
            cases.extend(file.filter(|file| file.is_file()).map(|file| (file, tag.to_owned())));
        }
    }
    cases
}

fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let (_, after) = tag.split_once(&format!("{name}="))?;
    let quote = after.chars().next()?;
    after[1..].split(quote).next()
}
