//! Schemas of OpenAPI 3.0 and 3.1, gathered and written as JSON Schema: each once, under its number, with its references to others by number.
//!
//! Of 3.0 (section 4.7.24), which is a dialect of its own: `nullable` lets null through whatever else the schema says, as those who write it mean; a
//! boolean `exclusiveMinimum` goes by `minimum`; what stands beside `$ref` counts for nothing. Of both: `readOnly` entries must not be sent and
//! `writeOnly` ones not be answered, nor need they be; `discriminator` picks the one schema of `oneOf` or `anyOf` that counts.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value as Json, json};

use super::{
    Options, patterns,
    source::{Node, Problem, Value, step},
};

/// Which way a body goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Direction {
    Request,
    Response,
}

/// Schemas that may be gathered.
const MOST: usize = 200_000;
/// References that are followed one after the other, where nothing but a reference stands there.
const LONGEST_CHAIN: usize = 32;
/// Problems that are told.
pub(super) const MOST_PROBLEMS: usize = 50;
/// The dialects of 3.1 that are known, by the URI that names them, and what validates them.
const DIALECTS: [(&str, &str); 6] = [
    ("https://spec.openapis.org/oas/3.1/dialect/base", "https://json-schema.org/draft/2020-12/schema"),
    ("https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema"),
    ("https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2019-09/schema"),
    ("http://json-schema.org/draft-07/schema", "http://json-schema.org/draft-07/schema#"),
    ("http://json-schema.org/draft-06/schema", "http://json-schema.org/draft-06/schema#"),
    ("http://json-schema.org/draft-04/schema", "http://json-schema.org/draft-04/schema#"),
];

/// What a schema's keyword has for its value.
enum Kind {
    Schema,
    Schemas,
    Named,
    /// Schemas by name, or lists of names.
    Dependencies,
    Plain,
    /// Says nothing about what is valid.
    Note,
    Unknown,
}

fn kind(keyword: &str) -> Kind {
    match keyword {
        "additionalProperties" | "not" | "items" => Kind::Schema,
        "allOf" | "anyOf" | "oneOf" => Kind::Schemas,
        "properties" => Kind::Named,
        "multipleOf" | "maximum" | "exclusiveMaximum" | "minimum" | "exclusiveMinimum" | "maxLength"
        | "minLength" | "pattern" | "maxItems" | "minItems" | "uniqueItems" | "maxProperties"
        | "minProperties" | "required" | "enum" | "type" | "format" => Kind::Plain,
        _ => Kind::Unknown,
    }
}

/// Those of 3.1 beside.
fn kind_of_31(keyword: &str) -> Kind {
    match keyword {
        "if"
        | "then"
        | "else"
        | "contains"
        | "propertyNames"
        | "unevaluatedItems"
        | "unevaluatedProperties"
        | "additionalItems" => Kind::Schema,
        "prefixItems" => Kind::Schemas,
        "patternProperties" | "dependentSchemas" => Kind::Named,
        "dependencies" => Kind::Dependencies,
        "const" | "minContains" | "maxContains" | "dependentRequired" | "contentEncoding" => Kind::Plain,
        "$schema" | "$comment" | "$defs" | "definitions" | "$vocabulary" | "contentMediaType"
        | "contentSchema" => Kind::Note,
        other => kind(other),
    }
}

/// The schemas of a specification, as far as they were asked for.
pub(super) struct Schemas<'s> {
    root: &'s Node,
    options: &'s Options,
    /// Whether it is 3.0.
    old: bool,
    dialect: &'static str,
    numbers: HashMap<(String, Direction), usize>,
    /// For each number, where the schema stands, which way it goes, and what it is.
    found: Vec<(String, Direction, &'s Node)>,
    pub(super) problems: Vec<Problem>,
    /// Patterns by how they stand there: specifications repeat them.
    patterns: HashMap<String, Result<String, String>>,
}

impl<'s> Schemas<'s> {
    pub(super) fn new(root: &'s Node, options: &'s Options, old: bool) -> Self {
        let mut schemas = Self {
            root,
            options,
            old,
            dialect: DIALECTS[0].1,
            numbers: HashMap::new(),
            found: Vec::new(),
            problems: Vec::new(),
            patterns: HashMap::new(),
        };
        if let Some(name) = root.text_of("jsonSchemaDialect").filter(|_| !old) {
            match known_dialect(name) {
                Some(dialect) => schemas.dialect = dialect,
                None => schemas.problem("/jsonSchemaDialect", "a dialect that is not known"),
            }
        }
        schemas
    }

    pub(super) fn problem(&mut self, pointer: &str, message: impl Into<String>) {
        if self.problems.len() < MOST_PROBLEMS {
            let line = self.root.line_of(pointer);
            self.problems.push(Problem { pointer: pointer.to_owned(), line, message: message.into() });
        }
    }

    /// What a node stands for, and where that is: references are followed. A problem, where there is nothing.
    pub(super) fn resolve(&mut self, node: &'s Node, pointer: &str) -> Option<(&'s Node, String)> {
        let (mut node, mut pointer) = (node, pointer.to_owned());
        for _ in 0..LONGEST_CHAIN {
            let Some(reference) = node.text_of("$ref") else { return Some((node, pointer)) };
            (node, pointer) = self.follow(reference, &pointer)?;
        }
        self.problem(&pointer, "references that lead to each other only, or too many of them");
        None
    }

    fn follow(&mut self, reference: &str, pointer: &str) -> Option<(&'s Node, String)> {
        let target = reference.strip_prefix('#').and_then(decode);
        let Some(target) = target.filter(|target| target.is_empty() || target.starts_with('/')) else {
            self.problem(
                pointer,
                format!("reference {reference:?} leads out of the document, or is no JSON pointer: only `#/…` is read"),
            );
            return None;
        };
        let found = self.root.at(&target);
        if found.is_none() {
            self.problem(pointer, format!("reference {reference:?} leads to nothing"));
        }
        Some((found?, target))
    }

    /// The number of a schema.
    pub(super) fn number(&mut self, node: &'s Node, pointer: &str, direction: Direction) -> usize {
        let next = self.found.len();
        let number = *self.numbers.entry((pointer.to_owned(), direction)).or_insert(next);
        if number == next {
            self.found.push((pointer.to_owned(), direction, node));
        }
        number
    }

    /// All that was asked for and what that refers to, in one schema for an object whose entries are named by number; and where each stands.
    pub(super) fn finish(mut self) -> (Json, Vec<String>, Vec<Problem>) {
        let asked = self.found.len();
        let mut definitions = Map::new();
        let mut number = 0;
        while let Some((pointer, direction, node)) = self.found.get(number).cloned() {
            if number == MOST {
                self.problem(&pointer, format!("more than {MOST} schemas"));
                break;
            }
            let schema = self.schema(node, &pointer, direction, &BTreeSet::new());
            definitions.insert(number.to_string(), schema);
            number += 1;
        }
        let entries: Map<String, Json> =
            (0..asked).map(|number| (number.to_string(), reference(number))).collect();
        let whole = json!({ "$schema": self.dialect, "$defs": definitions, "properties": entries });
        (whole, self.found.into_iter().map(|(pointer, ..)| pointer).collect(), self.problems)
    }

    /// One schema. `unneeded`: entries that may be missing although they are required.
    fn schema(
        &mut self,
        node: &'s Node,
        pointer: &str,
        direction: Direction,
        unneeded: &BTreeSet<String>,
    ) -> Json {
        let entries = match &node.value {
            Value::Object(entries) => entries,
            Value::Boolean(value) => return (*value).into(),
            _ => {
                self.problem(pointer, "a schema is an object");
                return true.into();
            }
        };
        let referred = node.text_of("$ref").and_then(|name| {
            let (target, target_pointer) = self.follow(name, pointer)?;
            Some(reference(self.number(target, &target_pointer, direction)))
        });
        if self.old && node.get("$ref").is_some() {
            return referred.unwrap_or_else(|| true.into());
        }
        let mut unneeded = unneeded.clone();
        self.hidden(node, pointer, direction, &mut unneeded, 0);
        let mut schema = Map::new();
        if let Some(Json::Object(referred)) = referred {
            schema.extend(referred);
        }
        let chosen = self.discriminator(node, pointer, direction);
        for (keyword, value) in entries {
            let place = format!("{pointer}/{}", step(keyword));
            if chosen.is_some() && matches!(keyword.as_str(), "oneOf" | "anyOf") {
                continue;
            }
            if let Some(value) = self.keyword(keyword, value, &place, direction, &unneeded) {
                schema.insert(keyword.clone(), value);
            }
        }
        self.narrow(node, &mut schema);
        if let Some(Json::Array(more)) = chosen {
            match schema.get_mut("allOf") {
                Some(Json::Array(all)) => all.extend(more),
                _ => drop(schema.insert("allOf".to_owned(), more.into())),
            }
        }
        if self.old && node.is("nullable") { nullable(schema) } else { schema.into() }
    }

    /// One keyword's value; `None` where it says nothing.
    fn keyword(
        &mut self,
        keyword: &str,
        value: &'s Node,
        place: &str,
        direction: Direction,
        unneeded: &BTreeSet<String>,
    ) -> Option<Json> {
        match if self.old { kind(keyword) } else { kind_of_31(keyword) } {
            Kind::Schema if matches!(value.value, Value::Array(_)) => {
                Some(self.schemas(value, place, direction, &BTreeSet::new()).into())
            }
            Kind::Schema => Some(self.schema(value, place, direction, &BTreeSet::new())),
            Kind::Schemas => Some(self.schemas(value, place, direction, unneeded).into()),
            Kind::Named | Kind::Dependencies => Some(self.named(keyword, value, place, direction)),
            Kind::Plain => self.plain(keyword, value, place, unneeded),
            Kind::Note => {
                if keyword == "$schema"
                    && value.text().and_then(known_dialect).is_none_or(|dialect| dialect != self.dialect)
                {
                    self.problem(place, "another dialect than that of the document");
                }
                None
            }
            Kind::Unknown => {
                if !self.old && keyword.starts_with('$') && keyword != "$ref" {
                    self.problem(place, format!("{keyword} is not supported: refer by `#/…`"));
                }
                None
            }
        }
    }

    fn schemas(
        &mut self,
        value: &'s Node,
        place: &str,
        direction: Direction,
        unneeded: &BTreeSet<String>,
    ) -> Vec<Json> {
        let all = value.elements().iter().enumerate();
        all.map(|(number, node)| self.schema(node, &format!("{place}/{number}"), direction, unneeded))
            .collect()
    }

    fn named(&mut self, keyword: &str, value: &'s Node, place: &str, direction: Direction) -> Json {
        let mut named = Map::new();
        for (name, node) in value.entries() {
            let place = format!("{place}/{}", step(name));
            let hidden = keyword == "properties" && self.is_hidden(node, &place, direction);
            let schema = if hidden {
                json!({ "not": { "$comment": HIDDEN } })
            } else if matches!(node.value, Value::Array(_)) && keyword == "dependencies" {
                node.to_json().unwrap_or_default()
            } else {
                self.schema(node, &place, direction, &BTreeSet::new())
            };
            let name = if keyword == "patternProperties" { self.pattern(name, &place) } else { name.clone() };
            named.insert(name, schema);
        }
        named.into()
    }

    fn plain(
        &mut self,
        keyword: &str,
        value: &'s Node,
        place: &str,
        unneeded: &BTreeSet<String>,
    ) -> Option<Json> {
        if let (true, Value::Boolean(_)) = (self.old && keyword.starts_with("exclusive"), &value.value) {
            return None;
        }
        if let ("pattern", Some(text)) = (keyword, value.text()) {
            return Some(self.pattern(text, place).into());
        }
        let mut value = match value.to_json() {
            Ok(value) => value,
            Err(message) => {
                self.problem(place, message);
                return None;
            }
        };
        if let ("required", Json::Array(names)) = (keyword, &mut value) {
            names.retain(|name| !name.as_str().is_some_and(|name| unneeded.contains(name)));
            // None at all is no list to draft 4.
            if names.is_empty() {
                return None;
            }
        }
        Some(value)
    }

    fn pattern(&mut self, pattern: &str, place: &str) -> String {
        if !self.patterns.contains_key(pattern) {
            self.patterns.insert(pattern.to_owned(), patterns::translate(pattern));
        }
        match self.patterns.get(pattern).cloned() {
            Some(Ok(translated)) => translated,
            Some(Err(message)) => {
                self.problem(place, message);
                String::new()
            }
            None => String::new(),
        }
    }

    /// What the formats of integers say (section 4.4 of 3.1), and 3.0's limits that are boolean.
    fn narrow(&self, node: &Node, schema: &mut Map<String, Json>) {
        let range = match node.text_of("format") {
            Some("int32") => Some(json!({ "minimum": i32::MIN, "maximum": i32::MAX })),
            Some("int64") => Some(json!({ "minimum": i64::MIN, "maximum": i64::MAX })),
            _ => None,
        };
        if let Some(range) = range {
            match schema.get_mut("allOf") {
                Some(Json::Array(all)) => all.push(range),
                _ => drop(schema.insert("allOf".to_owned(), vec![range].into())),
            }
        }
        if self.old {
            for (limit, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
                if node.is(exclusive)
                    && let Some(limit) = schema.remove(limit)
                {
                    schema.insert(exclusive.to_owned(), limit);
                }
            }
        }
    }

    /// Whether an entry must not go this way.
    fn is_hidden(&mut self, node: &'s Node, place: &str, direction: Direction) -> bool {
        let (mark, counts) = match direction {
            Direction::Request => ("readOnly", !self.options.allow_read_only),
            Direction::Response => ("writeOnly", true),
        };
        counts
            && (node.is(mark)
                || (node.get("$ref").is_some()
                    && self.resolve(node, place).is_some_and(|(node, _)| node.is(mark))))
    }

    /// Adds the names of entries that must not go this way, of the schema and of all that it consists of.
    fn hidden(
        &mut self,
        node: &'s Node,
        pointer: &str,
        direction: Direction,
        names: &mut BTreeSet<String>,
        depth: usize,
    ) {
        if let Some(entries) = node.get("properties") {
            for (name, entry) in entries.entries() {
                if self.is_hidden(entry, &format!("{pointer}/properties/{}", step(name)), direction) {
                    names.insert(name.clone());
                }
            }
        }
        // Deeper than this nobody nests what belongs together.
        if depth == 4 {
            return;
        }
        for part in node.get("allOf").map(Node::elements).unwrap_or_default() {
            if let Some((part, pointer)) = self.resolve(part, pointer) {
                self.hidden(part, &pointer, direction, names, depth + 1);
            }
        }
    }

    /// What `discriminator` says (section 4.8.25), where every schema that it picks from is a reference: which one counts is told by the entry alone.
    fn discriminator(&mut self, node: &'s Node, pointer: &str, direction: Direction) -> Option<Json> {
        let discriminator = node.get("discriminator")?;
        let entry = discriminator.text_of("propertyName")?;
        let (keyword, alternatives) =
            ["oneOf", "anyOf"].iter().find_map(|keyword| Some((keyword, node.get(keyword)?)))?;
        // Before draft 7 there is no `if`.
        if self.dialect.ends_with("draft-04/schema#") || self.dialect.ends_with("draft-06/schema#") {
            return None;
        }
        let mut by_name: Vec<(String, usize)> = Vec::new();
        let mut targets = Vec::new();
        for (number, alternative) in alternatives.elements().iter().enumerate() {
            let reference = alternative.text_of("$ref")?;
            let (target, place) = self.follow(reference, &format!("{pointer}/{keyword}/{number}"))?;
            let schema = self.number(target, &place, direction);
            if let Some(name) = place.strip_prefix("/components/schemas/") {
                by_name.push((name.replace("~1", "/").replace("~0", "~"), schema));
            }
            targets.push((place, schema));
        }
        for (name, target) in discriminator.get("mapping").map(Node::entries).unwrap_or_default() {
            let place = format!("{pointer}/discriminator/mapping/{}", step(name));
            let target = target.text()?;
            let component = format!("#/components/schemas/{}", step(target));
            let full = if target.starts_with('#') { target } else { component.as_str() };
            let (_, target) = self.follow(full, &place)?;
            let Some((_, schema)) = targets.iter().find(|(place, _)| *place == target) else {
                self.problem(&place, format!("{full} is none of {keyword}"));
                continue;
            };
            by_name.retain(|(other, _)| other != name);
            by_name.push((name.clone(), *schema));
        }
        let names: Vec<&String> = by_name.iter().map(|(name, _)| name).collect();
        let mut all = vec![json!({
            "type": "object", "required": [entry], "properties": { entry: { "enum": names } }
        })];
        all.extend(by_name.iter().map(|(name, schema)| {
            json!({ "if": { "properties": { entry: { "const": name } } }, "then": reference(*schema) })
        }));
        Some(all.into())
    }
}

/// What stands in the `not` of an entry that must not be sent, or not be answered.
const HIDDEN: &str = "must not go this way";

fn reference(number: usize) -> Json {
    json!({ "$ref": format!("#/$defs/{number}") })
}

fn known_dialect(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix('#').unwrap_or(name);
    DIALECTS.iter().find(|(known, _)| *known == name).map(|(_, dialect)| *dialect)
}

/// 3.0's `nullable`.
fn nullable(mut schema: Map<String, Json>) -> Json {
    let plain =
        !["enum", "allOf", "anyOf", "oneOf", "not"].iter().any(|keyword| schema.contains_key(*keyword));
    match schema.get_mut("type") {
        Some(kind @ Json::String(_)) if plain => {
            *kind = json!([kind.take(), "null"]);
            schema.into()
        }
        _ => json!({ "anyOf": [{ "type": "null" }, schema] }),
    }
}

/// A fragment without its percent signs (RFC 6901, section 6).
fn decode(fragment: &str) -> Option<String> {
    if !fragment.contains('%') {
        return Some(fragment.to_owned());
    }
    let mut decoded = Vec::with_capacity(fragment.len());
    let mut bytes = fragment.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok()
}
