//! `[[rate]]`: how often one may.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use serde_json::{Map, Value as Json, json};

use super::{
    Mode, Prover, Route,
    brakes::texts,
    document::{Diagnostics, Table, Value},
    held::Placed,
    read::MODES,
    render::{string, strings},
};
use crate::{
    rates::{By, Rate, Rule, Window},
    text::printable,
};

/// Most rules: each holds memory, and is asked for each request.
const MOST: usize = 64;
const KEYS: [&str; 15] = [
    "name",
    "by",
    "spike",
    "burst",
    "quota",
    "window",
    "classes",
    "weight",
    "weights",
    "identities",
    "ipv4_prefix",
    "ipv6_prefix",
    "routes",
    "headers",
    "mode",
];
const RATE: &str = "spike = \"5/s\", or quota = \"1000/day\"";
const ROUTES: &str = "routes = [\"/accounts/{id}\"]: paths as routes have them";
const BY: &str = "allowed: \"token\", \"key\", \"subject\", \"certificate\", \"route\", \"address\", { claim = \"tenant\" }, \
    { session = \"the cookie's name\" }";
const BY_WORDS: [&str; 6] = ["token", "key", "subject", "certificate", "route", "address"];
const WINDOWS: [(&str, Window); 3] =
    [("calendar", Window::Calendar), ("rolling", Window::Rolling), ("flexible", Window::Flexible)];

/// A rule, and where it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateRule {
    /// The rule itself.
    pub rule: Rule,
    /// What it does where it is exceeded.
    pub mode: Mode,
    /// Whether answers say what is left also where the request is not refused.
    pub headers: bool,
    /// Templates of the routes that it holds for; `None`: all requests.
    pub routes: Option<Vec<String>>,
}

impl Placed for RateRule {
    const KEY: &'static str = "rate";

    fn read(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<Self> {
        let blocks = diagnostics.array(Self::KEY, value, "rates are blocks that begin with [[rate]]");
        if blocks.len() > MOST {
            diagnostics.push(
                value.span(),
                format!("more than {MOST} rates"),
                "`classes` and `weights` tell requests apart within one",
            );
        }
        let mut rates: Vec<Self> = Vec::new();
        for block in blocks.iter().take(MOST) {
            let Some(rate) = rate(block, diagnostics) else { continue };
            let earlier = rates.iter().any(|other| other.rule.name == rate.rule.name);
            let wrong = if earlier {
                Some("another rate has this name".to_owned())
            } else {
                rate.rule.validate().err().map(|error| error.to_string())
            };
            match wrong {
                Some(wrong) => diagnostics.push(block.span(), printable(&wrong, 300), RATE),
                None => rates.push(rate),
            }
        }
        rates
    }

    fn routes(&self) -> Option<&[String]> {
        self.routes.as_deref()
    }

    /// Whoever is not known is not counted.
    fn fits(&self, route: &Route) -> Result<(), String> {
        let mut provers = route.rules.access.identity.iter().flatten();
        let known = match self.rule.by {
            By::Token => provers.any(|prover| matches!(prover, Prover::Issuer(_))),
            By::Key => provers.any(|prover| *prover == Prover::Key),
            By::Subject | By::Claim(_) => provers.next().is_some(),
            By::Certificate | By::Route | By::Address | By::Session(_) => true,
        };
        let wrong = || {
            let (name, path) = (printable(&self.rule.name, 40), printable(&route.path, 60));
            format!(
                "`{name}` counts by {}, of which \"{path}\" demands none (`identity`)",
                self.rule.by.name()
            )
        };
        if known { Ok(()) } else { Err(wrong()) }
    }
}

fn rate(block: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<RateRule> {
    let table = Table::of("[[rate]]", block, &KEYS, diagnostics)?;
    let mut rule = Rule {
        name: String::new(),
        by: By::Address,
        spike: None,
        burst: None,
        quota: None,
        window: None,
        classes: BTreeMap::new(),
        weight: None,
        weights: BTreeMap::new(),
        identities: None,
        ipv4_prefix: None,
        ipv6_prefix: None,
    };
    for (key, help) in [("name", "name = \"writes\""), ("by", BY)] {
        if table.get(key).is_none() {
            diagnostics.push(table.span(), format!("a rate without `{key}`"), help);
        }
    }
    rule.name = diagnostics.string("name", table.get("name")?, "name = \"writes\"")?.to_owned();
    rule.by = by(table.get("by")?, diagnostics)?;
    for (key, into) in [("spike", &mut rule.spike), ("quota", &mut rule.quota)] {
        *into = table.get(key).and_then(|value| amount(key, value, diagnostics));
    }
    rule.window = table.get("window").and_then(|value| diagnostics.choice("window", value, &WINDOWS));
    for (key, into) in [("burst", &mut rule.burst), ("weight", &mut rule.weight)] {
        *into = table.get(key).and_then(|value| diagnostics.whole(key, value, 0..=u32::MAX, ""));
    }
    rule.identities =
        table.get("identities").and_then(|value| diagnostics.whole("identities", value, 1..=1 << 26, ""));
    rule.ipv4_prefix =
        table.get("ipv4_prefix").and_then(|value| diagnostics.whole("ipv4_prefix", value, 1..=32, "bits"));
    rule.ipv6_prefix =
        table.get("ipv6_prefix").and_then(|value| diagnostics.whole("ipv6_prefix", value, 1..=128, "bits"));
    for (name, value) in entries("classes", &table, diagnostics) {
        rule.classes.extend(amount("classes", value, diagnostics).map(|rate| (name, rate)));
    }
    for (name, value) in entries("weights", &table, diagnostics) {
        rule.weights
            .extend(diagnostics.whole("weights", value, 0..=10_000, "").map(|weight: u32| (name, weight)));
    }
    let mode = table.get("mode").and_then(|value| diagnostics.choice("mode", value, &MODES));
    let headers = table.get("headers").and_then(|value| diagnostics.flag("headers", value));
    let routes = table.get("routes").map(|value| texts("routes", value, ROUTES, diagnostics));
    Some(RateRule { rule, mode: mode.unwrap_or(Mode::Enforce), headers: headers.unwrap_or(false), routes })
}

fn by(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<By> {
    if value.get_ref().is_table() {
        let table = Table::of("by", value, &["claim", "session"], diagnostics)?;
        let named = |key: &str, diagnostics: &mut Diagnostics| {
            table.get(key).and_then(|value| diagnostics.string(key, value, BY)).map(str::to_owned)
        };
        let found = (named("claim", diagnostics), named("session", diagnostics));
        return match found {
            (Some(claim), None) => Some(By::Claim(claim)),
            (None, Some(cookie)) => Some(By::Session(cookie)),
            _ => {
                diagnostics.push(value.span(), "`by` names neither a claim nor a session, or both", BY);
                None
            }
        };
    }
    let choices: Vec<(&str, usize)> = BY_WORDS.iter().copied().zip(0..).collect();
    Some(match diagnostics.choice("by", value, &choices)? {
        0 => By::Token,
        1 => By::Key,
        2 => By::Subject,
        3 => By::Certificate,
        4 => By::Route,
        _ => By::Address,
    })
}

fn amount(key: &str, value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Rate> {
    let text = diagnostics.string(key, value, RATE)?;
    let read = text.parse::<Rate>();
    read.map_err(|error| diagnostics.push(value.span(), format!("`{key}`: {error}"), RATE)).ok()
}

/// Entries of a table whose keys are names of one's own.
fn entries<'v, 'i>(
    key: &str,
    table: &Table<'v, 'i>,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, &'v Value<'i>)> {
    let Some(value) = table.get(key) else { return Vec::new() };
    let Some(entries) = value.get_ref().as_table() else {
        diagnostics.wrong_type(
            key,
            value,
            "a table",
            "classes = { gold = \"100/s\" }, weights = { POST = 2 }",
        );
        return Vec::new();
    };
    entries.iter().map(|(name, value)| (name.get_ref().to_string(), value)).collect()
}

/// As a policy has them.
pub(super) fn render(text: &mut String, rates: &[Arc<RateRule>]) {
    for rate in rates {
        let RateRule { rule, mode, headers, routes } = &**rate;
        let by = match &rule.by {
            By::Claim(claim) => format!("{{ claim = {} }}", string(claim)),
            By::Session(cookie) => format!("{{ session = {} }}", string(cookie)),
            other => string(other.name()),
        };
        let _ = writeln!(
            text,
            "\n[[rate]]\nname = {}\nby = {by}\nmode = \"{}\"\nheaders = {headers}",
            string(&rule.name),
            mode.name()
        );
        for (key, rate) in [("spike", rule.spike), ("quota", rule.quota)] {
            let _ = rate.map(|rate| writeln!(text, "{key} = \"{rate}\""));
        }
        let prefixes = [("ipv4_prefix", rule.ipv4_prefix), ("ipv6_prefix", rule.ipv6_prefix)];
        let prefixes = prefixes.map(|(key, prefix)| (key, prefix.map(u32::from)));
        for (key, number) in [("burst", rule.burst), ("weight", rule.weight)].into_iter().chain(prefixes) {
            let _ = number.map(|number| writeln!(text, "{key} = {number}"));
        }
        let _ = writeln!(text, "# {} bytes of memory", rule.memory());
        let _ = writeln!(text, "identities = {}", rule.tracked());
        if rule.quota.is_some() {
            let window = WINDOWS.into_iter().find(|(_, window)| *window == rule.window.unwrap_or_default());
            let _ = window.map(|(name, _)| writeln!(text, "window = \"{name}\""));
        }
        let classes: Vec<String> =
            rule.classes.iter().map(|(name, rate)| format!("{} = \"{rate}\"", string(name))).collect();
        let weights: Vec<String> =
            rule.weights.iter().map(|(name, weight)| format!("{} = {weight}", string(name))).collect();
        for (key, entries) in [("classes", classes), ("weights", weights)] {
            if !entries.is_empty() {
                let _ = writeln!(text, "{key} = {{ {} }}", entries.join(", "));
            }
        }
        if let Some(routes) = routes {
            let _ = writeln!(text, "routes = {}", strings(routes.iter().map(String::as_str)));
        }
    }
}

/// As JSON Schema has them.
pub(super) fn schema() -> Json {
    let rate = json!({ "type": "string", "pattern": r"^\s*[0-9]+\s*[kM]?\s*/\s*[0-9]*\s*[a-z]+\s*$" });
    let number = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string" });
    let table = |entry: &str| json!({ "type": "object", "required": [entry], "additionalProperties": false, "properties": { entry: { "type": "string" } } });
    let properties = KEYS.map(|key| {
        let value = match key {
            "by" => json!({ "anyOf": [{ "enum": BY_WORDS }, table("claim"), table("session")] }),
            "spike" | "quota" => rate.clone(),
            "window" => json!({ "enum": WINDOWS.map(|(name, _)| name) }),
            "classes" => json!({ "type": "object", "additionalProperties": rate }),
            "weights" => json!({ "type": "object", "additionalProperties": number }),
            "routes" => json!({ "type": "array", "minItems": 1, "items": text }),
            "headers" => json!({ "type": "boolean" }),
            "mode" => json!({ "enum": MODES.map(|(name, _)| name) }),
            "name" => json!({ "type": "string", "pattern": "^[a-z0-9._-]{1,64}$" }),
            _ => number.clone(),
        };
        (key.to_owned(), value)
    });
    let mut schema = json!({ "type": "object", "required": ["name", "by"], "additionalProperties": false });
    schema["properties"] = Json::Object(Map::from_iter(properties));
    schema["oneOf"] = json!([{ "required": ["spike"] }, { "required": ["quota"] }]);
    schema
}
