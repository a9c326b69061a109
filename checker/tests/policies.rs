//! Policies with errors, each with the message that it must give: `policies/NAME.toml` and `policies/NAME.err`; and what holds of all.
//!
//! `UPDATE_EXPECTED=1 cargo test -p stopbank-checker --test policies` writes the messages anew, to be read before they are committed.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::{fs, path::Path};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use stopbank_checker::policy::{self, Policy};
use toml::de::{DeTable, DeValue};

#[test]
fn every_bad_policy_gets_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let message = match Policy::read(name, &text, &mut |name| read(&folder.join(name))) {
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

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| error.kind().to_string())
}

/// A policy whose files stand where those of the shipped policies do.
fn parse(name: &str, text: &str) -> Result<Policy, policy::Errors> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    Policy::read(name, text, &mut |name| match name.strip_prefix(policy::SECRET) {
        Some(_) => Ok("0".repeat(64)),
        None => read(&folder.join(name)),
    })
}

fn schema() -> jsonschema::Validator {
    let schema = policy::schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// A policy as a validator takes it.
fn as_json(table: &DeTable<'_>) -> Value {
    let value = |value: &DeValue<'_>| -> Value {
        fn convert(value: &DeValue<'_>) -> Value {
            match value {
                DeValue::String(text) => json!(text),
                DeValue::Integer(number) => {
                    json!(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(i64::MAX))
                }
                DeValue::Float(number) => json!(number.as_str().parse::<f64>().unwrap()),
                DeValue::Boolean(flag) => json!(flag),
                DeValue::Datetime(time) => json!(time.to_string()),
                DeValue::Array(items) => items.iter().map(|item| convert(item.get_ref())).collect(),
                DeValue::Table(table) => as_json(table),
            }
        }
        convert(value)
    };
    let entries = table.iter().map(|(key, entry)| (key.get_ref().to_string(), value(entry.get_ref())));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// What ships, with its examples taken out of their comments too, and the examples of the reference.
fn good() -> Vec<(String, String)> {
    let uncommented = |text: &str| -> String {
        let line = |line: &str| {
            line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n"
        };
        text.lines().map(line).collect()
    };
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/checker.md");
    let reference = fs::read_to_string(reference).unwrap();
    let examples =
        reference.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let shipped = policy::SHIPPED.into_iter().flat_map(|(_, text)| [text.to_owned(), uncommented(text)]);
    shipped.chain(examples).enumerate().map(|(number, text)| (format!("example {number}"), text)).collect()
}

#[test]
fn what_is_shipped_and_documented_is_good_and_says_the_same_when_written_out() {
    let schema = schema();
    let good = good();
    assert!(good.len() >= 5, "{}", good.len());
    for (name, text) in good {
        let policy = parse(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        let written = policy.render();
        let again = parse("written out", &written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(again.render(), written, "{name}");
        for text in [&text, &written] {
            let instance = as_json(DeTable::parse(text).unwrap().get_ref());
            let wrong: Vec<String> = schema
                .iter_errors(&instance)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(wrong.is_empty(), "{name}: {}\n{text}", wrong.join("\n"));
        }
    }
    assert!(
        !schema.is_valid(&json!({ "routes": [] }))
            && !schema.is_valid(&json!({ "route": [{ "path": "/" }] }))
    );
}

#[test]
fn every_limit_of_the_schema_is_in_the_reference() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/checker.md");
    let reference = fs::read_to_string(reference).unwrap();
    let schema = policy::schema();
    for (group, limits) in schema["properties"]["limits"]["properties"].as_object().unwrap() {
        for limit in limits["properties"].as_object().unwrap().keys() {
            assert!(reference.contains(&format!("| `{group}.{limit}` |")), "limits.{group}.{limit}");
        }
    }
    for check in schema["properties"]["checks"]["properties"].as_object().unwrap().keys() {
        assert!(reference.contains(&format!("| `{check}` |")), "{check}");
    }
}

/// Pieces of policies, so that random texts come close to good ones.
const PIECES: &[&str] = &[
    "undeclared",
    "openapi = \"openapi.yaml\"\n",
    "responses",
    "[[pattern]]",
    "category = \"script-tag\"\n",
    "name = \"a\"\n",
    "[[enumeration]]",
    "routes = [\"/a/{b}\"]\n",
    "id = \"path:b\"\n",
    "walk = 5\n",
    "window = \"10m\"\n",
    "expression",
    "'x[^y]'",
    "patterns",
    "places = [\"query:q\"]\n",
    "schema",
    "=",
    "\"allow\"",
    "[checks]",
    "\n",
    "json",
    "\"observe\"",
    "{ mode = \"off\" }",
    "[[route]]",
    "path",
    "\"/a/{b}\"",
    "\"/{rest*}\"",
    "methods",
    "[\"GET\"]",
    "\"any\"",
    "host",
    "\"*.example.org\"",
    "[limits.json]",
    "depth",
    "5",
    "-1",
    "\"64 KiB\"",
    "limits.request.body",
    "deadline",
    "\"5ms\"",
    "fail",
    "\"open\"",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\u{1f30a}",
    "\r",
    "true",
    "1e9",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => ".{0,4}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = Policy::parse("fuzz", &text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_pieces_of_policies_do_either(pieces in prop::collection::vec(piece(), 0..40)) {
        match parse("fuzz", &pieces.join(" ")) {
            Ok(policy) => {
                let written = policy.render();
                prop_assert_eq!(parse("written out", &written).unwrap().render(), written);
            }
            Err(errors) => {
                for (line, column, diagnostic) in errors.located() {
                    prop_assert!(line >= 1 && column >= 1 && diagnostic.span.start <= diagnostic.span.end);
                }
                prop_assert!(!errors.to_string().chars().any(|c| c.is_control() && c != '\n'));
            }
        }
    }
}
