//! What goes into the JSON file: a flat list of rows, each with its `section` and its `config`.

use serde_json::{Map, Value, json};

use crate::features::Config;

/// Begins a row.
pub(crate) fn row(section: &str, config: Config, rest: Value) -> Value {
    let mut row = Map::new();
    row.insert("section".to_owned(), json!(section));
    row.insert("config".to_owned(), json!(config.name()));
    if let Value::Object(rest) = rest {
        row.extend(rest);
    }
    Value::Object(row)
}

/// To three digits behind the point: more says nothing, and less hides a ratio.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// What a section hands back.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) markdown: String,
    pub(crate) rows: Vec<Value>,
}
