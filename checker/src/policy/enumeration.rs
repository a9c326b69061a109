//! `[[enumeration]]`: how many objects one may ask for, where their ids can be held against no claim.

use std::{fmt::Write as _, sync::Arc};

use serde_json::{Map, Value as Json, json};

use super::{
    Id, Mode, Route,
    brakes::{name, texts},
    document::{Diagnostics, Table, Value, quoted},
    held::Placed,
    identity::seconds,
    read::MODES,
    render::{string, strings},
};
use crate::{rates::EnumerationRule, text::printable};

/// Most of them: each holds memory.
const MOST: usize = 16;
const KEYS: [&str; 9] = ["name", "routes", "id", "distinct", "walk", "step", "window", "identities", "mode"];
const NAME: &str = "name = \"documents\": 1 to 64 of a-z, 0-9, `-`, `_` and `.`";
const ROUTES: &str = "routes = [\"/documents/{number}\"]: paths as routes have them";
const ID: &str = "allowed: \"path:NAME\", \"query:NAME\", \"body:/json/pointer\"";
const BOUNDS: &str = "distinct = 200: ids in a window; walk = 50: steps in a row from one to the next";
/// Most ids, and steps, that may be allowed, and how far a step may go.
const MOST_IDS: u32 = 1_000_000;
const FARTHEST: u32 = 1_000;
/// Most that are kept apart: a GiB.
const MOST_IDENTITIES: u32 = 1 << 20;
/// Shortest and longest window, in seconds.
const WINDOWS: (u64, u64) = (2, 30 * 86_400);

/// How many objects one may ask for, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnumerationPolicy {
    /// What it is called.
    pub name: String,
    /// Templates of the routes that it holds for, together.
    pub routes: Vec<String>,
    /// Where the id of an object stands.
    pub id: Id,
    /// What it does.
    pub mode: Mode,
    /// How much is too much.
    pub rule: EnumerationRule,
}

impl Placed for EnumerationPolicy {
    const KEY: &'static str = "enumeration";

    fn read(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<Self> {
        let help = "enumerations are blocks that begin with [[enumeration]]";
        let blocks = diagnostics.array(Self::KEY, value, help);
        if blocks.len() > MOST {
            diagnostics.push(value.span(), format!("more than {MOST} enumerations"), ROUTES);
        }
        let mut all: Vec<Self> = Vec::new();
        for block in blocks.iter().take(MOST) {
            let Some(one) = enumeration(block, diagnostics) else { continue };
            if all.iter().any(|other| other.name == one.name) {
                diagnostics.push(block.span(), "another enumeration has this name", NAME);
            }
            all.push(one);
        }
        all
    }

    fn routes(&self) -> Option<&[String]> {
        Some(&self.routes)
    }

    fn fits(&self, route: &Route) -> Result<(), String> {
        let names: Vec<&str> = route.parts.iter().flat_map(super::Part::names).collect();
        match &self.id {
            Id::Path(name) if !names.contains(&name.as_str()) => Err(format!(
                "the path \"{}\" has no placeholder \"{}\"; it has: {}",
                printable(&route.path, 60),
                printable(name, 64),
                quoted(&names)
            )),
            _ => Ok(()),
        }
    }
}

fn enumeration(block: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<EnumerationPolicy> {
    let table = Table::of("[[enumeration]]", block, &KEYS, diagnostics)?;
    for (key, help) in [("name", NAME), ("routes", ROUTES), ("id", ID)] {
        if table.get(key).is_none() {
            diagnostics.push(table.span(), format!("an enumeration without `{key}`"), help);
        }
    }
    if table.get("distinct").or_else(|| table.get("walk")).is_none() {
        diagnostics.push(table.span(), "an enumeration with neither `distinct` nor `walk`", BOUNDS);
    }
    let name = name(table.get("name")?, NAME, diagnostics)?;
    let routes = texts("routes", table.get("routes")?, ROUTES, diagnostics);
    let rule = rule(&table, diagnostics);
    let mode = table.get("mode").and_then(|value| diagnostics.choice("mode", value, &MODES));
    let value = table.get("id")?;
    let id = Id::read("id", value, ID, diagnostics)?;
    Some(EnumerationPolicy { name, routes, id, mode: mode.unwrap_or(Mode::Enforce), rule })
}

fn rule(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> EnumerationRule {
    let plain = EnumerationRule::default();
    let mut whole = |key: &str, most: u32, unit: &str| {
        table.get(key).and_then(|value| diagnostics.whole(key, value, 1..=most, unit))
    };
    let (distinct, walk) = (whole("distinct", MOST_IDS, "ids"), whole("walk", MOST_IDS, "steps"));
    let (step, identities) = (whole("step", FARTHEST, ""), whole("identities", MOST_IDENTITIES, ""));
    let window = table.get("window").and_then(|value| seconds("window", value, WINDOWS, diagnostics));
    EnumerationRule {
        distinct,
        walk,
        step: step.unwrap_or(plain.step),
        window: window.unwrap_or(plain.window),
        identities: identities.map_or(plain.identities, |number| number as usize),
    }
}

/// As a policy has them.
pub(super) fn render(text: &mut String, all: &[Arc<EnumerationPolicy>]) {
    for one in all {
        let EnumerationPolicy { name, routes, id, mode, rule } = &**one;
        let _ = writeln!(
            text,
            "\n[[enumeration]]\nname = {}\nroutes = {}\nid = {}\nmode = \"{}\"",
            string(name),
            strings(routes.iter().map(String::as_str)),
            string(&id.to_string()),
            mode.name(),
        );
        for (key, number) in [("distinct", rule.distinct), ("walk", rule.walk)] {
            let _ = number.map(|number| writeln!(text, "{key} = {number}"));
        }
        let _ = writeln!(
            text,
            "step = {}\nwindow = \"{}s\"\n# {} bytes of memory\nidentities = {}",
            rule.step,
            rule.window,
            rule.memory(),
            rule.identities
        );
    }
}

/// As JSON Schema has them.
pub(super) fn schema() -> Json {
    let number = |most: u64| json!({ "type": "integer", "minimum": 1, "maximum": most });
    let properties = KEYS.map(|key| {
        let value = match key {
            "name" => json!({ "type": "string", "pattern": "^[a-z0-9._-]{1,64}$" }),
            "routes" => json!({ "type": "array", "minItems": 1, "items": { "type": "string" } }),
            "id" => json!({ "type": "string", "pattern": "^(path:.+|query:.+|body:/.*)$" }),
            "window" => json!({ "type": "string" }),
            "mode" => json!({ "enum": MODES.map(|(name, _)| name) }),
            "step" => number(FARTHEST.into()),
            "identities" => number(MOST_IDENTITIES.into()),
            _ => number(MOST_IDS.into()),
        };
        (key.to_owned(), value)
    });
    let mut schema = json!({
        "type": "object",
        "required": ["name", "routes", "id"],
        "anyOf": [{ "required": ["distinct"] }, { "required": ["walk"] }],
        "additionalProperties": false,
    });
    schema["properties"] = Json::Object(Map::from_iter(properties));
    schema
}
