//! Hostile configuration files, each with the message that it must give: `configs/NAME.toml` and `configs/NAME.err`.
//!
//! `UPDATE_EXPECTED=1 cargo test -p stopbank --test configs` writes the messages anew, to be read before they are
//! committed.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::{fs, path::Path};

use proptest::prelude::*;
use stopbank::config::{self, ConfigError, DropIn, Sources};

#[test]
fn every_hostile_file_gets_its_message() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 15, "{files:?}");
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let message = match config::parse(name, &text) {
            Ok(_) => panic!("{name} is taken for good"),
            Err(error) => format!("{error}\n"),
        };
        assert!(
            !message.chars().any(|c| c.is_control() && c != '\n'),
            "{name}: control characters in the message"
        );
        let expected = path.with_extension("err");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &message).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != message {
            wrong.push(format!("{name}:\n{message}"));
        }
    }
    assert!(wrong.is_empty(), "other messages than expected:\n\n{}", wrong.join("\n"));
}

#[test]
fn the_examples_of_the_reference_are_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = fs::read_to_string(path).unwrap();
    let examples: Vec<&str> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        // Limits are shown without the table that they stand in.
        let table = if example.starts_with("packets") { "[default.per_source]\n" } else { "" };
        if let Err(error) = config::parse("example", &format!("{table}{example}")) {
            panic!("{error}");
        }
    }
}

fn load_error(path: &Path) -> ConfigError {
    config::load(path).unwrap_err()
}

#[test]
fn what_is_no_configuration_file_says_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let missing = load_error(&at("missing.toml"));
    assert!(missing.to_string().contains("No such file") && missing.to_string().contains("show --default"));
    assert!(load_error(directory.path()).to_string().contains("is a directory"));
    assert!(load_error(Path::new("/dev/null")).to_string().contains("not a regular file"));

    fs::write(at("huge.toml"), "#".repeat((1 << 20) + 1)).unwrap();
    assert!(load_error(&at("huge.toml")).to_string().contains("larger than 1024 KiB"));
    fs::write(at("largest.toml"), "#".repeat(1 << 20)).unwrap();
    config::load(&at("largest.toml")).unwrap();

    fs::write(at("binary.toml"), b"mode = \"enforce\"\n\xff\xfe").unwrap();
    assert!(load_error(&at("binary.toml")).to_string().contains("not UTF-8: byte 17, on line 2"));
    fs::write(at("bom.toml"), "\u{feff}mode = \"observe\"\n").unwrap();
    config::load(&at("bom.toml")).unwrap();
    fs::write(at("nul.toml"), "mode = \"enforce\"\0").unwrap();
    assert!(load_error(&at("nul.toml")).to_string().starts_with(&at("nul.toml").display().to_string()));
}

/// Pieces of configurations, so that random texts come close to valid ones.
const PIECES: &[&str] = &[
    "mode",
    "=",
    "\"enforce\"",
    "[agent]",
    "[[class]]",
    "\n",
    "name",
    "\"web\"",
    "protocol",
    "\"tcp\"",
    "ports",
    "[80, \"1-5\"]",
    "per_source",
    "{ packets = \"5/s\" }",
    "\"5/s\"",
    "[class.total]",
    "bytes",
    "\"10MB/s\"",
    "lists",
    "{ allow = [\"::/0\"] }",
    "[source]",
    "lines",
    "1024",
    "-1",
    "0x10",
    "1e9",
    "[",
    "]",
    "{",
    "}",
    ",",
    "#",
    "\"",
    "'''",
    "closed",
    "true",
    "[[interface]]",
    "\"eth0\"",
    "burst",
    "18446744073709551615",
    "\u{1f30a}",
    "\r",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![prop::sample::select(PIECES).prop_map(str::to_owned), ".{0,4}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = config::parse("fuzz", &text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_pieces_of_configurations_do_either(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.join(" ");
        match config::parse("fuzz", &text) {
            // What is taken can be written out, and is taken again for the same.
            Ok(config) => prop_assert_eq!(config::parse("rendered", &config::render(&config)).unwrap(), config),
            Err(error) => { let _ = error.to_string(); }
        }
    }

    #[test]
    fn whatever_is_wrong_in_several_files_points_into_its_file(
        files in prop::collection::vec(prop::collection::vec(piece(), 0..25), 1..4),
    ) {
        let texts: Vec<String> = files.iter().map(|pieces| pieces.join(" ")).collect();
        let drop_in = |(number, text): (usize, &String)| DropIn { name: format!("{number}.toml"), text: text.clone() };
        let drop_ins = texts[1..].iter().enumerate().map(drop_in).collect();
        let sources = Sources { drop_ins, ..Sources::single("main.toml", &texts[0]) };
        match config::parse_sources(&sources) {
            Ok(config) => prop_assert_eq!(config::parse("rendered", &config::render(&config)).unwrap(), config),
            Err(ConfigError::Invalid(invalid)) => {
                for error in invalid.located() {
                    let named = (0..sources.count()).map(|index| sources.get(index)).find(|(name, _)| *name == error.file);
                    let (_, text) = named.unwrap();
                    prop_assert!(error.span.start <= error.span.end && error.span.end <= text.len());
                    prop_assert!((1..=text.split('\n').count()).contains(&error.line) && error.column >= 1);
                }
                prop_assert!(!invalid.to_string().chars().any(|c| c.is_control() && c != '\n'));
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn no_damage_to_a_good_file_does_either(
        at in any::<prop::sample::Index>(),
        cut in 0..30_usize,
        put in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let mut bytes = config::DEFAULT.replace("\n#[", "\n[").replace("\n#n", "\nn").replace("\n#p", "\np").into_bytes();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put);
        let text = String::from_utf8_lossy(&bytes);
        let _ = config::parse("fuzz", &text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_bytes_in_a_file_do_either(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        let _ = config::load(file.path()).map_err(|error| error.to_string());
    }
}
