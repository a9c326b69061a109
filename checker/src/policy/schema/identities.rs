//! `[[issuer]]`, `[keys]`, `[certificates]`, and what routes demand of who asks.

use serde_json::{Map, Value, json};

use super::{described, object};
use crate::{
    policy::identity::{
        CERTIFICATE_KEYS, HEADER_KEYS, INTROSPECTION_KEYS, ISSUER_KEYS, KEY_KEYS, SANS, URL_KEYS,
    },
    tokens::Algorithm,
};

type Entry = (String, Value);

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn texts() -> Value {
    json!({ "type": "array", "items": text() })
}

fn time() -> Value {
    json!({ "type": "string", "pattern": r"^\s*([0-9]+\s*[a-zA-Z]+\s*)+$" })
}

fn table<const N: usize>(keys: [&str; N], value: impl Fn(&str) -> Value) -> Map<String, Value> {
    keys.into_iter().map(|key| (key.to_owned(), value(key))).collect()
}

/// What stands at the top of the file alone.
pub(super) fn all() -> Vec<Entry> {
    let issuers = json!({ "type": "array", "items": issuer() });
    let keys = table(KEY_KEYS, |_| text());
    let certificates = table(CERTIFICATE_KEYS, |key| match key {
        "names" => json!({ "type": "array", "minItems": 1, "items": { "enum": SANS.map(|(name, _)| name) } }),
        "ca" => text(),
        _ => json!({ "type": "array", "minItems": 1, "items": text() }),
    });
    let header = object(table(HEADER_KEYS, |_| text()), &[]);
    let header = json!({ "anyOf": [{ "type": "boolean" }, header] });
    vec![
        ("realm".to_owned(), described("What challenges call the protected space", text())),
        ("issuer".to_owned(), described("Whose tokens are accepted", issuers)),
        ("keys".to_owned(), described("API keys", object(keys, &["file"]))),
        ("certificates".to_owned(), described("Client certificates", object(certificates, &[]))),
        ("identity_header".to_owned(), described("What the server behind is told of who asks", header)),
    ]
}

fn issuer() -> Value {
    let algorithms =
        json!({ "type": "array", "minItems": 1, "items": { "enum": Algorithm::ALL.map(Algorithm::name) } });
    let keys = table(URL_KEYS, |key| match key {
        "file" | "secret" | "url" | "ca" => text(),
        _ => time(),
    });
    let introspection = table(INTROSPECTION_KEYS, |key| if key == "cache" { time() } else { text() });
    let properties = table(ISSUER_KEYS, |key| match key {
        "audiences" => json!({ "type": "array", "minItems": 1, "items": text() }),
        "algorithms" => algorithms.clone(),
        "leeway" | "longest_life" => time(),
        "keys" => object(keys.clone(), &[]),
        "introspection" => object(introspection.clone(), &["url", "client", "secret"]),
        "bound" | "dpop_nonce" => json!({ "type": "boolean" }),
        "cache" => json!({ "type": "integer", "minimum": 0 }),
        _ => text(),
    });
    object(properties, &["name", "issuer"])
}

/// What stands at the top and in each route.
pub(super) fn access() -> Vec<Entry> {
    let together = json!({ "type": "array", "minItems": 1, "items": text() });
    let bind = object(table(["id", "claim"], |_| text()), &["id", "claim"]);
    let claims = json!({ "type": "object", "additionalProperties": { "type": "array", "minItems": 1, "items": text() } });
    let one = |key: &str, about: &str, value: Value| (key.to_owned(), described(about, value));
    vec![
        one(
            "identity",
            "Who may ask: names of issuers, key, certificate; one of these, or those that are in a list together",
            json!({ "type": "array", "items": { "anyOf": [text(), together] } }),
        ),
        one("scopes", "Scopes, all of which it takes", texts()),
        one("audiences", "Audiences, one of which it takes", texts()),
        one("claims", "Claims, each of which must have one of the values", claims),
        one("acr", "Classes of authentication, one of which it takes", texts()),
        one("amr", "Methods of authentication, all of which it takes", texts()),
        one("max_age", "How long ago the user may have been authenticated", time()),
        one("bind", "Ids that must be one of a claim's values", json!({ "type": "array", "items": bind })),
        one(
            "forward_credential",
            "Whether the server behind gets the credential",
            json!({ "type": "boolean" }),
        ),
    ]
}
