//! The JSON Schema of configurations, against the reader of configurations.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::{collections::BTreeSet, fs, path::Path};

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use stopbank::config::{self, ConfigError, DropIn, Sources};
use toml::de::{DeTable, DeValue};

fn validator() -> Validator {
    let schema = config::schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// A configuration as a validator takes it.
fn json(text: &str) -> Value {
    let table = DeTable::parse(text).unwrap();
    table_to_json(table.get_ref())
}

fn table_to_json(table: &DeTable<'_>) -> Value {
    let entries =
        table.iter().map(|(key, value)| (key.get_ref().to_string(), value_to_json(value.get_ref())));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn value_to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => json!(number),
            Err(_) => json!(f64::MAX),
        },
        DeValue::Float(number) => json!(number.as_str().parse::<f64>().unwrap()),
        DeValue::Boolean(flag) => json!(flag),
        DeValue::Datetime(time) => json!(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| value_to_json(item.get_ref())).collect(),
        DeValue::Table(table) => table_to_json(table),
    }
}

fn assert_valid(validator: &Validator, what: &str, text: &str) {
    let wrong: Vec<String> = validator
        .iter_errors(&json(text))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{what}: {}\n{text}", wrong.join("\n"));
}

/// The shipped file with its examples taken out of their comments.
fn uncommented() -> String {
    let line = |line: &str| {
        let line = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
        format!("{line}\n")
    };
    config::DEFAULT.lines().map(line).collect()
}

fn examples() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = fs::read_to_string(path).unwrap();
    let example = |text: &str| {
        // Limits are shown without the table that they stand in.
        let table = if text.starts_with("packets") { "[default.per_source]\n" } else { "" };
        format!("{table}{}", text.split("```").next().unwrap())
    };
    text.split("```toml\n").skip(1).map(example).collect()
}

#[test]
fn what_is_shipped_and_documented_is_valid_by_the_schema() {
    let validator = validator();
    for (what, text) in [("as shipped", config::DEFAULT.to_owned()), ("with its examples", uncommented())] {
        assert_valid(&validator, what, &text);
        // As it is written out: other forms of the same.
        assert_valid(&validator, what, &config::render(&config::parse(what, &text).unwrap()));
    }
    let examples = examples();
    assert!(examples.len() >= 9);
    for text in examples {
        assert_valid(&validator, "an example", &text);
        assert_valid(&validator, "an example", &config::render(&config::parse("example", &text).unwrap()));
    }
}

#[test]
fn unknown_keys_and_wrong_types_are_not() {
    let validator = validator();
    for name in
        ["unknown-keys", "wrong-types", "near-misses", "interfaces", "rates", "tunnels-types", "agent"]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/configs/{name}.toml"));
        let text = fs::read_to_string(path).unwrap();
        assert!(!validator.is_valid(&json(&text)), "{name}");
    }
}

/// Where an object stands: keys, and `None` for an element of an array.
type Steps = Vec<Option<String>>;

/// TOML in which a value stands at a place.
fn at(steps: &[Option<String>], value: &str) -> String {
    let [Some(first), rest @ ..] = steps else { return format!("{value}\n") };
    let inner = rest.iter().rev().fold(value.to_owned(), |inner, step| match step {
        Some(key) => format!("{{ {key} = {inner} }}"),
        None => format!("[{inner}]"),
    });
    format!("{first} = {inner}\n")
}

/// The keys that the reader allows where it finds one that it does not; `None` if it takes no table there.
fn allowed(text: &str) -> Option<BTreeSet<String>> {
    let Err(ConfigError::Invalid(invalid)) = config::parse("walk", text) else {
        panic!("taken for good: {text}");
    };
    let unknown = invalid.diagnostics.iter().find(|found| found.message.starts_with("unknown key `zzz`"))?;
    let keys = unknown.help[0].strip_prefix("allowed: ").unwrap();
    Some(keys.split(", ").map(str::to_owned).collect())
}

/// Every object of the schema, with its place.
fn objects<'s>(schema: &'s Value, place: &mut Steps, found: &mut Vec<(Steps, &'s Map<String, Value>)>) {
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], json!(false), "{place:?}");
        found.push((place.clone(), properties));
        for (key, value) in properties {
            place.push(Some(key.clone()));
            objects(value, place, found);
            place.pop();
        }
    }
    if !schema["items"].is_null() {
        place.push(None);
        objects(&schema["items"], place, found);
        place.pop();
    }
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        objects(one, place, found);
    }
}

#[test]
fn schema_and_reader_know_the_same_keys() {
    let schema = config::schema();
    let mut found = Vec::new();
    objects(&schema, &mut Vec::new(), &mut found);
    assert!(found.len() > 25, "{}", found.len());
    let places: BTreeSet<Steps> = found.iter().map(|(place, _)| place.clone()).collect();
    for (place, properties) in &found {
        let text = if place.is_empty() { "zzz = 1\n".to_owned() } else { at(place, "{ zzz = 1 }") };
        let keys: BTreeSet<String> = properties.keys().cloned().collect();
        assert_eq!(allowed(&text), Some(keys), "at {place:?}");
        // A table that the reader takes in one of these keys must be known here as well.
        for (key, value) in *properties {
            let described = value["description"].is_string() || value["items"]["description"].is_string();
            assert!(described, "{place:?} {key} has no description");
            for element in [false, true] {
                let mut within = place.clone();
                within.push(Some(key.clone()));
                within.extend(element.then_some(None));
                let taken = allowed(&at(&within, "{ zzz = 1 }")).is_some();
                assert_eq!(taken, places.contains(&within), "{within:?}");
            }
        }
    }
}

#[test]
fn what_is_an_array_of_tables_in_the_schema_adds_up_over_files() {
    for (key, value) in config::schema()["properties"].as_object().unwrap() {
        let (is_block, is_table) =
            (value["items"]["properties"].is_object(), value["properties"].is_object());
        let text = if is_block {
            format!("[[{key}]]\n")
        } else if is_table {
            format!("[{key}]\n")
        } else {
            format!("{key} = 1\n")
        };
        let drop_ins = vec![DropIn { name: "a.toml".to_owned(), text: text.clone() }];
        let sources = Sources { drop_ins, ..Sources::single("main.toml", text) };
        let said = config::parse_sources(&sources).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(said.contains("is set in two files"), !is_block && !is_table, "{key}: {said}");
    }
}
