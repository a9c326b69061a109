//! The policy as JSON Schema (draft 2020-12), for editors and other people's checks. It goes by the reader's own tables; what a schema
//! cannot say (that two routes take the same requests, that a placeholder has its name twice) only the reader knows.

use serde_json::{Map, Value, json};

use super::{
    brakes, cross_site, enumeration, masking, rates, read, response,
    settings::{SETTINGS, Setting, Unit},
};
use crate::cross_site::cors::LONGEST_AGE;
use crate::patterns::categories;
use crate::sensitive::Kind;

mod identities;

const TIME: &str = r"^\s*[0-9]+\s*m?s$";
const SIZE: &str = r"^\s*[0-9]+\s*(B|KiB|MiB|GiB)\s*$";

/// The schema of a whole policy.
pub fn schema() -> Value {
    let names = |choices: &[&str]| json!({ "enum": choices });
    let mut root = judged(false);
    root.insert(
        "undeclared".to_owned(),
        described(
            "What becomes of requests that no route is for",
            names(&read::UNDECLARED.map(|(name, _)| name)),
        ),
    );
    root.insert("openapi".to_owned(), openapi());
    root.extend(identities::all());
    root.insert("pattern".to_owned(), json!({ "type": "array", "items": pattern() }));
    root.insert("rate".to_owned(), json!({ "type": "array", "items": rates::schema() }));
    root.insert("brake".to_owned(), json!({ "type": "array", "items": brakes::schema() }));
    root.insert("enumeration".to_owned(), json!({ "type": "array", "items": enumeration::schema() }));
    root.insert("route".to_owned(), json!({ "type": "array", "items": route() }));
    let mut schema = object(root, &[]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["$id"] = json!("urn:stopbank:checker-policy:1");
    schema["title"] = json!("A policy of stopbank-checker");
    schema
}

fn pattern() -> Value {
    let names: Vec<&str> = categories().iter().map(|category| category.name).collect();
    let place = json!({ "type": "string", "pattern": "^(path|query|header|cookie|form|json|xml|graphql|body|response)(:.+)?$" });
    let table = Map::from_iter([
        (
            "name".to_owned(),
            described(
                "What verdicts and routes call it",
                json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }),
            ),
        ),
        (
            "category".to_owned(),
            described("A category that comes with the checker", json!({ "enum": names })),
        ),
        (
            "expression".to_owned(),
            described("A regular expression of linear time, over bytes", json!({ "type": "string" })),
        ),
        (
            "places".to_owned(),
            described("Where it is looked for", json!({ "type": "array", "minItems": 1, "items": place })),
        ),
    ]);
    let mut pattern = object(table, &[]);
    pattern["oneOf"] = json!([{ "required": ["category"] }, { "required": ["name", "expression"] }]);
    pattern
}

fn openapi() -> Value {
    let file = json!({ "type": "string" });
    let base = json!({ "type": "string", "pattern": "^/[^{]*$" });
    let flag = json!({ "type": "boolean" });
    let table = Map::from_iter([
        ("file".to_owned(), file.clone()),
        ("base".to_owned(), described("Instead of the paths of its servers: where its paths stand", base)),
        (
            "undeclared_query".to_owned(),
            described("Whether parameters of the query may be sent that it does not declare", flag.clone()),
        ),
        ("read_only".to_owned(), described("Whether entries may be sent that are readOnly", flag)),
    ]);
    described(
        "A specification of OpenAPI 3.0 or 3.1, by its file's name from the policy's folder",
        json!({ "anyOf": [file, object(table, &["file"])] }),
    )
}

fn route() -> Value {
    let mut properties = judged(true);
    properties
        .insert("host".to_owned(), described("The host, *.name, or * for any", json!({ "type": "string" })));
    let path = json!({ "type": "string", "pattern": "^/" });
    properties.insert(
        "path".to_owned(),
        described("Segments, {name} for one, {name*} at the end for the rest", path),
    );
    let token = json!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Z-]{1,32}$" });
    let methods = json!({ "anyOf": [{ "const": "any" }, { "type": "array", "minItems": 1, "uniqueItems": true, "items": token }] });
    properties.insert("methods".to_owned(), methods);
    object(properties, &["path", "methods"])
}

/// What stands at the top and in each route.
fn judged(of_route: bool) -> Map<String, Value> {
    let fail = json!({ "enum": read::FAILS.map(|(name, _)| name) });
    let time = json!({ "type": "string", "pattern": TIME });
    let mode = json!({ "enum": read::MODES.map(|(name, _)| name) });
    let table: Map<String, Value> = read::CHECK_KEYS
        .iter()
        .map(|key| {
            let value = match *key {
                "mode" => &mode,
                "fail" => &fail,
                _ => &time,
            };
            ((*key).to_owned(), value.clone())
        })
        .collect();
    let rule = json!({ "anyOf": [&mode, object(table, &[])] });
    let checks = read::switched()
        .map(|check| (check.name().to_owned(), described(check.about().trim_end_matches('.'), rule.clone())))
        .collect();
    let limits = read::groups(of_route)
        .into_iter()
        .map(|group| {
            let of_group = |setting: &&Setting| setting.group == group && (setting.of_routes || !of_route);
            let keys =
                SETTINGS.iter().filter(of_group).map(|setting| (setting.name.to_owned(), limit(setting)));
            (group.to_owned(), object(keys.collect(), &[]))
        })
        .collect();
    Map::from_iter([
        (
            "fail".to_owned(),
            described("What becomes of a request that a check could not judge", fail.clone()),
        ),
        ("deadline".to_owned(), described("By when each check must be done", time)),
        (
            "responses".to_owned(),
            described(
                "Whether it is said what is wrong with answers",
                json!({ "enum": read::RESPONSES.map(|(name, _)| name) }),
            ),
        ),
        (
            "patterns".to_owned(),
            described(
                "Names of patterns: those that are looked for",
                json!({ "type": "array", "items": { "type": "string" } }),
            ),
        ),
        ("checks".to_owned(), object(checks, &[])),
    ])
    .into_iter()
    .chain(identities::access())
    .chain([
        ("limits".to_owned(), object(limits, &[])),
        ("masking".to_owned(), masked(&mode, &fail)),
        ("response".to_owned(), headers()),
        ("websocket".to_owned(), websocket()),
        ("cross-site".to_owned(), sites()),
        ("cors".to_owned(), cors()),
    ])
    .collect()
}

fn masked(mode: &Value, fail: &Value) -> Value {
    let kinds = json!({ "enum": Kind::BUILT_IN.map(Kind::name) });
    let properties = masking::KEYS.map(|key| {
        let value = match key {
            "mode" => mode.clone(),
            "fail" => fail.clone(),
            "kinds" => json!({ "type": "array", "items": kinds }),
            "types" => json!({ "type": "array", "items": { "type": "string", "pattern": "^[^/]+/[^/]+$" } }),
            _ => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        };
        (key.to_owned(), value)
    });
    let table = object(Map::from_iter(properties), &[]);
    described("What is masked in answers", json!({ "anyOf": [mode, table] }))
}

fn headers() -> Value {
    let preset = json!({ "enum": response::PRESETS.map(|(name, _)| name) });
    let properties = response::KEYS.map(|key| {
        let value = match key {
            "preset" => preset.clone(),
            "set" | "default" => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            _ => json!({ "type": "array", "items": { "type": "string" } }),
        };
        (key.to_owned(), value)
    });
    let table = object(Map::from_iter(properties), &[]);
    described("Headers that answers get and lose", json!({ "anyOf": [preset, table] }))
}

fn websocket() -> Value {
    let origins = json!({ "type": "array", "items": { "type": "string", "pattern": r"^(\*|[Hh][Tt][Tt][Pp][Ss]?://.+)$" } });
    let table = object(Map::from_iter([("origins".to_owned(), origins)]), &[]);
    described(
        "Whether, and for pages of which sites, connections may become WebSockets",
        json!({ "anyOf": [{ "type": "boolean" }, table] }),
    )
}

fn origins() -> Value {
    json!({ "type": "array", "items": { "type": "string", "pattern": "^https?://[^/ ]+$" } })
}

fn sites() -> Value {
    let properties = cross_site::KEYS.map(|key| {
        let value = match key {
            "own" | "origins" => origins(),
            "token" => json!({ "anyOf": [{ "const": false }, form_token()] }),
            _ => json!({ "type": "boolean" }),
        };
        (key.to_owned(), value)
    });
    described("Which other sites' pages may send requests", object(Map::from_iter(properties), &[]))
}

fn form_token() -> Value {
    let properties = cross_site::TOKEN_KEYS.map(|key| {
        let value = if key == "max_age" { "integer" } else { "string" };
        (key.to_owned(), json!({ "type": value }))
    });
    object(Map::from_iter(properties), &["secret", "session"])
}

fn cors() -> Value {
    let properties = cross_site::CORS_KEYS.map(|key| {
        let value = match key {
            "origins" => origins(),
            "methods" | "headers" | "expose" => json!({ "type": "array", "items": { "type": "string" } }),
            "max_age" => json!({ "type": "integer", "minimum": 0, "maximum": LONGEST_AGE }),
            _ => json!({ "type": "boolean" }),
        };
        (key.to_owned(), value)
    });
    let table = object(Map::from_iter(properties), &[]);
    described(
        "Which pages of other origins may read answers",
        json!({ "anyOf": [{ "const": false }, table] }),
    )
}

fn limit(setting: &Setting) -> Value {
    let (least, most) = setting.range;
    let number = json!({ "type": "integer", "minimum": least, "maximum": most });
    let size = json!({ "anyOf": [&number, { "type": "string", "pattern": SIZE }] });
    let value = match setting.unit {
        Unit::Count => number,
        Unit::Size => size,
        Unit::Flag => json!({ "type": "boolean" }),
        Unit::Counts => json!({ "type": "object", "additionalProperties": number }),
        Unit::Sizes => json!({ "type": "object", "additionalProperties": size }),
        Unit::Names => json!({ "type": "array", "maxItems": most, "items": { "type": "string" } }),
    };
    described(setting.about, value)
}

fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    let mut table = json!({ "type": "object", "additionalProperties": false });
    table["properties"] = Value::Object(properties);
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn described(about: &str, mut value: Value) -> Value {
    value["description"] = json!(about);
    value
}
