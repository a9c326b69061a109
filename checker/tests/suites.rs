//! The engine against public suites, which lie beside the workspace. Where one is not, its test says so and counts as skipped.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use stopbank_checker::{Reason, json};

fn main() {
    let trials = vec![trial(
        "JSONTestSuite: what must be read is read, and what must not is refused",
        "json-test-suite",
        json_test_suite,
    )];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A test of a folder of `shared/data`.
fn trial(name: &'static str, folder: &'static str, test: fn(&Path)) -> Trial {
    Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(folder);
        if !folder.is_dir() {
            let why = format!("there is no {}", folder.display());
            println!("SKIPPED {name}: {why}");
            return Ok(Completion::ignored_with(why));
        }
        test(&folder);
        Ok(Completion::Completed)
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
