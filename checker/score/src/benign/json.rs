//! JSON: whole bodies, and the strings in them.

use std::{collections::BTreeSet, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Larger bodies are left out: they are data sets, not requests.
const LARGEST_BODY: usize = 96 << 10;
/// Shorter ones say nothing.
const SMALLEST_BODY: usize = 24;

/// Members whose objects are what an API is sent or answers.
const EXAMPLES: [&str; 12] = [
    "example", "examples", "value", "input", "output", "request", "response", "payload", "body", "data",
    "event", "detail",
];

/// The bodies of a document: itself where it is no larger than a request, the elements of an array that is, and what it gives for examples.
pub(super) fn bodies(text: &str, each: &mut dyn FnMut(String)) {
    let Some(value) = parse(text) else { return };
    if !value.is_object() && !value.is_array() {
        return;
    }
    let mut body = |text: String| {
        if (SMALLEST_BODY..=LARGEST_BODY).contains(&text.len()) {
            each(text);
        }
    };
    if text.len() <= LARGEST_BODY {
        body(text.to_owned());
    } else if let Value::Array(elements) = &value {
        elements.iter().filter(|element| element.is_object()).for_each(|element| body(element.to_string()));
    }
    examples(&value, &mut body);
}

fn examples(value: &Value, body: &mut dyn FnMut(String)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if EXAMPLES.contains(&name.as_str())
                    && member.as_object().is_some_and(|inner| inner.len() >= 2)
                {
                    body(member.to_string());
                }
                examples(member, body);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| examples(element, body)),
        _ => {}
    }
}

/// The strings of a document.
pub(super) fn strings(text: &str, each: &mut dyn FnMut(&str)) {
    fn walk(value: &Value, each: &mut dyn FnMut(&str)) {
        match value {
            Value::String(text) => each(text),
            Value::Array(elements) => elements.iter().for_each(|element| walk(element, each)),
            Value::Object(members) => members.values().for_each(|member| walk(member, each)),
            _ => {}
        }
    }
    if let Some(value) = parse(text) {
        walk(&value, each);
    }
}

/// JSON that has no name twice: the checker refuses what has, and rightly.
fn parse(text: &str) -> Option<Value> {
    serde_json::from_str::<Distinct>(text).ok()?;
    serde_json::from_str(text).ok()
}

/// Any JSON without a repeated name.
struct Distinct;

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Distinct {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, Self)) = members.next_entry::<String, Self>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name twice"));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_gives_itself_and_its_examples() {
        let text =
            r#"{"paths": {"/a": {"example": {"name": "O'Brien", "age": 4}, "x": {"example": "no object"}}}}"#;
        let mut found = Vec::new();
        bodies(text, &mut |body| found.push(body));
        assert_eq!(found, [text, r#"{"age":4,"name":"O'Brien"}"#]);
    }

    #[test]
    fn a_large_array_gives_its_elements() {
        let element = format!("{{\"text\":\"{}\"}}", "x".repeat(1000));
        let text = format!("[{}]", vec![element.as_str(); 200].join(","));
        let mut found = Vec::new();
        bodies(&text, &mut |body| found.push(body));
        assert_eq!((found.len(), found[0].as_str()), (200, element.as_str()));
    }

    #[test]
    fn broken_json_and_repeated_names_give_nothing() {
        for text in [
            "{\"a\": \"1111111111111111111\", \"a\": 2}",
            "{\"a\": \"11111111111111111111\"",
            "\"just a string of some length\"",
        ] {
            bodies(text, &mut |body| panic!("{body}"));
        }
        let mut found = Vec::new();
        strings("{\"a\": [\"b\", {\"c\": \"d\"}], \"e\": 1}", &mut |text| found.push(text.to_owned()));
        assert_eq!(found, ["b", "d"]);
    }
}
