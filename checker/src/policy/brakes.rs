//! `[[brake]]`: logins where guessing is slowed.

use std::{fmt::Write as _, ops::RangeInclusive, sync::Arc};

use serde_json::{Map, Value as Json, json};

use super::{
    Mode,
    document::{Diagnostics, Table, Value},
    held::Placed,
    read::MODES,
    render::{string, strings},
};
use crate::{rates::BrakeRule, text::printable};

/// Most brakes: each holds memory.
const MOST: usize = 16;
const KEYS: [&str; 15] = [
    "name",
    "routes",
    "account",
    "credential",
    "origin",
    "failures",
    "mode",
    "free",
    "first_seconds",
    "most_seconds",
    "strangers_most_seconds",
    "shared_free",
    "forget_seconds",
    "known_seconds",
    "identities",
];
const NAME: &str = "name = \"login\": 1 to 64 of a-z, 0-9, `-`, `_` and `.`";
const ROUTES: &str = "routes = [\"/login\"]: paths as routes have them";
const FIELD: &str = "allowed: \"basic\", \"form:NAME\", \"json:/POINTER\", or a list of them";
const ORIGIN: &str = "allowed: \"address\", \"certificate\", { cookie = \"device\" }";
const ORIGINS: [&str; 2] = ["address", "certificate"];
const FAILURES: &str = "failures = [401, 403]: statuses of the upstream's answers";

/// Where a request names an account, or proves that it is its owner's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// User or password of `Authorization: Basic`.
    Basic,
    /// A field of a form, of parts or not.
    Form(String),
    /// A value of JSON, by its pointer (RFC 6901).
    Json(String),
}

/// What tells apart from where it is tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whence {
    /// The client's address, or its network of 64 bits.
    Address,
    /// The client's certificate.
    Certificate,
    /// A cookie that a device keeps.
    Cookie(String),
}

/// A brake, and where it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrakePolicy {
    /// What it is called.
    pub name: String,
    /// Templates of the routes that it holds for.
    pub routes: Vec<String>,
    /// Where the account is named: the first place that there is.
    pub account: Vec<Named>,
    /// Where the credential stands, if it is to be counted.
    pub credential: Vec<Named>,
    /// From where.
    pub origin: Whence,
    /// Statuses of answers that tell a failure.
    pub failures: Vec<u16>,
    /// What it does.
    pub mode: Mode,
    /// How it works.
    pub rule: BrakeRule,
}

impl Placed for BrakePolicy {
    const KEY: &'static str = "brake";

    fn read(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<Self> {
        let blocks = diagnostics.array(Self::KEY, value, "brakes are blocks that begin with [[brake]]");
        if blocks.len() > MOST {
            diagnostics.push(value.span(), format!("more than {MOST} brakes"), ROUTES);
        }
        let mut brakes: Vec<Self> = Vec::new();
        for block in blocks.iter().take(MOST) {
            let Some(brake) = brake(block, diagnostics) else { continue };
            if brakes.iter().any(|other| other.name == brake.name) {
                diagnostics.push(block.span(), "another brake has this name", NAME);
            }
            brakes.push(brake);
        }
        brakes
    }

    fn routes(&self) -> Option<&[String]> {
        Some(&self.routes)
    }
}

fn brake(block: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<BrakePolicy> {
    let table = Table::of("[[brake]]", block, &KEYS, diagnostics)?;
    for (key, help) in [("name", NAME), ("routes", ROUTES), ("account", FIELD)] {
        if table.get(key).is_none() {
            diagnostics.push(table.span(), format!("a brake without `{key}`"), help);
        }
    }
    let name = name(table.get("name")?, NAME, diagnostics)?;
    let routes = texts("routes", table.get("routes")?, ROUTES, diagnostics);
    let account = fields("account", table.get("account")?, diagnostics);
    let credential = table.get("credential").map(|value| fields("credential", value, diagnostics));
    let mut rule = BrakeRule::default();
    settings(&table, &mut rule, diagnostics);
    let mode = table.get("mode").and_then(|value| diagnostics.choice("mode", value, &MODES));
    Some(BrakePolicy {
        name,
        routes,
        account,
        credential: credential.unwrap_or_default(),
        origin: table.get("origin").and_then(|value| origin(value, diagnostics)).unwrap_or(Whence::Address),
        failures: table.get("failures").map_or_else(|| vec![401, 403], |value| failures(value, diagnostics)),
        mode: mode.unwrap_or(Mode::Enforce),
        rule,
    })
}

fn settings(table: &Table<'_, '_>, rule: &mut BrakeRule, diagnostics: &mut Diagnostics) {
    // A year is as long as a table needs to know anything.
    const SECONDS: RangeInclusive<u32> = 1..=366 * 86_400;
    for (key, range, into) in [
        ("free", 0..=1_000_000, &mut rule.free),
        ("first_seconds", SECONDS, &mut rule.first_seconds),
        ("most_seconds", SECONDS, &mut rule.most_seconds),
        ("strangers_most_seconds", SECONDS, &mut rule.strangers_most_seconds),
        ("shared_free", 0..=1_000_000, &mut rule.shared_free),
        ("forget_seconds", SECONDS, &mut rule.forget_seconds),
        ("known_seconds", SECONDS, &mut rule.known_seconds),
    ] {
        let read = table.get(key).and_then(|value| diagnostics.whole(key, value, range, ""));
        *into = read.unwrap_or(*into);
    }
    let read =
        table.get("identities").and_then(|value| diagnostics.whole("identities", value, 1..=1 << 26, ""));
    rule.identities = read.unwrap_or(rule.identities);
}

/// What a block is called. One that is not as names are is noted, and named so all the same.
pub(super) fn name(value: &Value<'_>, help: &str, diagnostics: &mut Diagnostics) -> Option<String> {
    let name = diagnostics.string("name", value, help)?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
        diagnostics.push(value.span(), format!("`name` is \"{}\"", printable(name, 40)), help);
    }
    Some(name.to_owned())
}

/// Some strings, one at least.
pub(super) fn texts(key: &str, value: &Value<'_>, help: &str, diagnostics: &mut Diagnostics) -> Vec<String> {
    let items = diagnostics.array(key, value, help);
    if items.is_empty() && value.get_ref().is_array() {
        diagnostics.push(value.span(), format!("`{key}` is empty"), help);
    }
    items.iter().filter_map(|item| diagnostics.string(key, item, help)).map(str::to_owned).collect()
}

/// One place, or a list of them.
fn fields(key: &str, value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<Named> {
    let items = value.get_ref().as_array().map_or(std::slice::from_ref(value), |items| &items[..]);
    let mut fields = Vec::new();
    for item in items {
        let Some(text) = diagnostics.string(key, item, FIELD) else { continue };
        let named = match text.split_once(':') {
            None if text == "basic" => Some(Named::Basic),
            Some(("form", name)) if !name.is_empty() => Some(Named::Form(name.to_owned())),
            Some(("json", pointer)) if pointer.starts_with('/') => Some(Named::Json(pointer.to_owned())),
            _ => None,
        };
        match named {
            Some(named) => fields.push(named),
            None => diagnostics.push(item.span(), format!("`{key}` is \"{}\"", printable(text, 40)), FIELD),
        }
    }
    if items.is_empty() {
        diagnostics.push(value.span(), format!("`{key}` is empty"), FIELD);
    }
    fields
}

fn origin(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Whence> {
    if value.get_ref().is_table() {
        let table = Table::of("origin", value, &["cookie"], diagnostics)?;
        let cookie = table.get("cookie").and_then(|value| diagnostics.string("cookie", value, ORIGIN));
        if cookie.is_none_or(str::is_empty) {
            diagnostics.push(value.span(), "`origin` names no cookie", ORIGIN);
        }
        return cookie.map(|cookie| Whence::Cookie(cookie.to_owned()));
    }
    let choices = [(ORIGINS[0], true), (ORIGINS[1], false)];
    diagnostics
        .choice("origin", value, &choices)
        .map(|address| if address { Whence::Address } else { Whence::Certificate })
}

fn failures(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<u16> {
    let items = diagnostics.array("failures", value, FAILURES);
    if items.is_empty() && value.get_ref().is_array() {
        diagnostics.push(value.span(), "`failures` is empty: nothing would be a failure", FAILURES);
    }
    items.iter().filter_map(|item| diagnostics.whole("failures", item, 200..=599, "")).collect()
}

/// As a policy has them.
pub(super) fn render(text: &mut String, brakes: &[Arc<BrakePolicy>]) {
    for brake in brakes {
        let named = |named: &Named| match named {
            Named::Basic => "basic".to_owned(),
            Named::Form(name) => format!("form:{name}"),
            Named::Json(pointer) => format!("json:{pointer}"),
        };
        let listed = |fields: &[Named]| {
            let fields: Vec<String> = fields.iter().map(named).collect();
            strings(fields.iter().map(String::as_str))
        };
        let origin = match &brake.origin {
            Whence::Address => string(ORIGINS[0]),
            Whence::Certificate => string(ORIGINS[1]),
            Whence::Cookie(cookie) => format!("{{ cookie = {} }}", string(cookie)),
        };
        let _ = writeln!(
            text,
            "\n[[brake]]\nname = {}\nroutes = {}\naccount = {}\norigin = {origin}\nfailures = {:?}\nmode = \"{}\"\n\
             # {} bytes of memory",
            string(&brake.name),
            strings(brake.routes.iter().map(String::as_str)),
            listed(&brake.account),
            brake.failures,
            brake.mode.name(),
            brake.rule.memory(),
        );
        if !brake.credential.is_empty() {
            let _ = writeln!(text, "credential = {}", listed(&brake.credential));
        }
        let rule = &brake.rule;
        for (key, number) in [
            ("free", rule.free),
            ("first_seconds", rule.first_seconds),
            ("most_seconds", rule.most_seconds),
            ("strangers_most_seconds", rule.strangers_most_seconds),
            ("shared_free", rule.shared_free),
            ("forget_seconds", rule.forget_seconds),
            ("known_seconds", rule.known_seconds),
        ] {
            let _ = writeln!(text, "{key} = {number}");
        }
        let _ = writeln!(text, "identities = {}", rule.identities);
    }
}

/// As JSON Schema has them.
pub(super) fn schema() -> Json {
    let field = json!({ "type": "string", "pattern": "^(basic|form:.+|json:/.*)$" });
    let fields = json!({ "anyOf": [field, { "type": "array", "minItems": 1, "items": field }] });
    let cookie = json!({ "type": "object", "required": ["cookie"], "additionalProperties": false, "properties": { "cookie": { "type": "string" } } });
    let properties = KEYS.map(|key| {
        let value = match key {
            "name" => json!({ "type": "string", "pattern": "^[a-z0-9._-]{1,64}$" }),
            "routes" => json!({ "type": "array", "minItems": 1, "items": { "type": "string" } }),
            "account" | "credential" => fields.clone(),
            "origin" => json!({ "anyOf": [{ "enum": ORIGINS }, cookie] }),
            "failures" => json!({ "type": "array", "minItems": 1, "items": { "type": "integer", "minimum": 200, "maximum": 599 } }),
            "mode" => json!({ "enum": MODES.map(|(name, _)| name) }),
            _ => json!({ "type": "integer", "minimum": 0 }),
        };
        (key.to_owned(), value)
    });
    let mut schema =
        json!({ "type": "object", "required": ["name", "routes", "account"], "additionalProperties": false });
    schema["properties"] = Json::Object(Map::from_iter(properties));
    schema
}
