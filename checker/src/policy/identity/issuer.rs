//! `[[issuer]]`: whose tokens are accepted, and how they are verified.

use std::sync::Arc;

use super::{missing, seconds, text, texts, url};
use crate::{
    policy::document::{Diagnostics, Table, Value},
    text::printable,
    tokens::{Algorithm, MOST_LEEWAY, Profile, Times},
};

pub(in crate::policy) const ISSUER_KEYS: [&str; 13] = [
    "name",
    "issuer",
    "audiences",
    "algorithms",
    "profile",
    "leeway",
    "longest_life",
    "keys",
    "introspection",
    "revoked",
    "bound",
    "dpop_nonce",
    "cache",
];
pub(in crate::policy) const URL_KEYS: [&str; 8] =
    ["file", "secret", "url", "ca", "refresh", "cool_down", "stale_if_error", "retry"];
pub(in crate::policy) const INTROSPECTION_KEYS: [&str; 5] = ["url", "client", "secret", "ca", "cache"];
/// Profiles that have a name; another one is the type itself.
pub(super) const PROFILES: [(&str, Profile); 2] =
    [("access-token", Profile::AccessToken), ("jwt", Profile::Jwt)];

const KEYS_HELP: &str = "keys = { url = \"https://issuer.example/keys\" }, { file = \"keys.json\" }, or for HS256 and its like { secret = \"credential:NAME\" }";
const INTROSPECTION_HELP: &str = "introspection = { url = \"https://issuer.example/introspect\", client = \"checker\", secret = \"credential:NAME\" }";
/// Most tokens that are remembered, and those where nothing is said.
const MOST_CACHED: usize = 1 << 20;
const CACHED: usize = 16 << 10;
/// Seconds of a day, and of a year.
const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

/// Whose tokens are accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issuer {
    /// What routes call it.
    pub name: Arc<str>,
    /// `iss`, to the letter.
    pub issuer: String,
    /// Of these, `aud` names one. Empty only where tokens are introspected.
    pub audiences: Vec<String>,
    /// The algorithms that keys may be for.
    pub algorithms: Vec<Algorithm>,
    /// Which kind of token.
    pub profile: Profile,
    /// By how much clocks may differ, in seconds.
    pub leeway: u64,
    /// Longest life of a token, in seconds.
    pub longest_life: Option<u64>,
    /// Where its keys are. `None`: its tokens are introspected.
    pub keys: Option<KeySource>,
    /// Who is asked about tokens that cannot be verified here (RFC 7662).
    pub introspection: Option<Introspection>,
    /// A file with what is revoked.
    pub revoked: Option<String>,
    /// Whether a token must be bound to a key or a certificate of its client's.
    pub bound: bool,
    /// Whether proofs must hold a nonce of this server's (RFC 9449, section 9).
    pub dpop_nonce: bool,
    /// Verified tokens that are remembered.
    pub cache: usize,
}

/// Where the keys of an issuer are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// A set of public keys (RFC 7517) in a file.
    File(String),
    /// A secret in a file, or the service manager's.
    Secret(String),
    /// A set of public keys that is fetched.
    Url(KeyUrl),
}

/// Keys that are fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyUrl {
    /// From where.
    pub url: String,
    /// Authorities that the server's certificate comes from; the system's where it is missing.
    pub ca: Option<String>,
    /// When.
    pub times: Times,
}

/// Who is asked about a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Introspection {
    /// Where.
    pub url: String,
    /// As whom.
    pub client: String,
    /// By which secret: a file, or the service manager's.
    pub secret: String,
    /// Authorities that the server's certificate comes from; the system's where it is missing.
    pub ca: Option<String>,
    /// How long an answer counts, in seconds.
    pub cache: u64,
}

pub(super) fn read(block: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Issuer> {
    let table = Table::of("[[issuer]]", block, &ISSUER_KEYS, diagnostics)?;
    let name = name(&table, diagnostics);
    let issuer = match table.get("issuer") {
        Some(value) => {
            text("issuer", value, "issuer = \"https://issuer.example\": `iss`, to the letter", diagnostics)
        }
        None => {
            missing(table.span(), "an issuer", "issuer", "issuer = \"https://issuer.example\"", diagnostics);
            None
        }
    };
    let keys = table.get("keys").map(|value| keys(value, diagnostics));
    let introspection = table.get("introspection").map(|value| introspection(value, diagnostics));
    if keys.is_none() && introspection.is_none() {
        diagnostics.push_all(
            table.span(),
            "an issuer with neither `keys` nor `introspection`",
            vec![KEYS_HELP.to_owned(), INTROSPECTION_HELP.to_owned()],
        );
    }
    let (keys, introspection) = (keys.flatten(), introspection.flatten());
    let algorithms = algorithms(&table, keys.as_ref(), diagnostics);
    let audiences = table
        .get("audiences")
        .map(|value| texts("audiences", value, "audiences = [\"https://api.example\"]", diagnostics));
    if audiences.is_none() && table.get("keys").is_some() {
        let help = "audiences = [\"https://api.example\"]: who takes any audience takes tokens that are meant for others (RFC 8725, section 3.9)";
        missing(table.span(), "an issuer", "audiences", help, diagnostics);
    }
    let profile = table.get("profile").and_then(|value| profile(value, diagnostics));
    let leeway =
        table.get("leeway").and_then(|value| seconds("leeway", value, (0, MOST_LEEWAY), diagnostics));
    let longest_life =
        table.get("longest_life").and_then(|value| seconds("longest_life", value, (1, YEAR), diagnostics));
    let file = "revoked = \"revoked.toml\"";
    let revoked = table.get("revoked").and_then(|value| text("revoked", value, file, diagnostics));
    let mut flag = |key| table.get(key).and_then(|value| diagnostics.flag(key, value)).unwrap_or_default();
    let (bound, dpop_nonce) = (flag("bound"), flag("dpop_nonce"));
    let cache = table.get("cache").and_then(|value| cache(value, diagnostics)).unwrap_or(CACHED);
    Some(Issuer {
        name: name?,
        issuer: issuer?,
        audiences: audiences.unwrap_or_default(),
        algorithms,
        profile: profile.unwrap_or(Profile::AccessToken),
        leeway: leeway.unwrap_or(30),
        longest_life,
        keys,
        introspection,
        revoked,
        bound,
        dpop_nonce,
        cache,
    })
}

fn name(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Option<Arc<str>> {
    const HELP: &str = "name = \"main\": 1 to 64 letters, digits, `.`, `_` and `-`; routes call it so";
    let Some(value) = table.get("name") else {
        missing(table.span(), "an issuer", "name", HELP, diagnostics);
        return None;
    };
    let name = diagnostics.string("name", value, HELP)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if matches!(name, super::KEY | super::CERTIFICATE) {
        diagnostics.push(
            value.span(),
            format!("no issuer may be called \"{name}\""),
            "routes call API keys and client certificates so",
        );
        return None;
    }
    if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
        diagnostics.push(value.span(), format!("`name` is \"{}\"", printable(name, 64)), HELP);
        return None;
    }
    Some(name.into())
}

fn algorithms(
    table: &Table<'_, '_>,
    keys: Option<&KeySource>,
    diagnostics: &mut Diagnostics,
) -> Vec<Algorithm> {
    let wants_secret = matches!(keys, Some(KeySource::Secret(_)));
    let allowed: Vec<(&str, Algorithm)> = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| keys.is_none() || algorithm.is_symmetric() == wants_secret)
        .map(|algorithm| (algorithm.name(), algorithm))
        .collect();
    let Some(value) = table.get("algorithms") else {
        if wants_secret {
            let help = "algorithms = [\"HS256\"]: the one that the secret is for";
            missing(table.span(), "an issuer with a secret", "algorithms", help, diagnostics);
        }
        return if keys.is_some() { Algorithm::ASYMMETRIC.to_vec() } else { Vec::new() };
    };
    let items = diagnostics.array("algorithms", value, "algorithms = [\"ES256\"]");
    let mut read = Vec::new();
    for item in items {
        read.extend(diagnostics.choice("algorithms", item, &allowed));
    }
    if wants_secret && items.len() != 1 || items.is_empty() && value.get_ref().is_array() {
        let help = "algorithms = [\"ES256\"], or of a secret the one that it is for";
        diagnostics.push(value.span(), "`algorithms` is empty, or has more than a secret can be for", help);
    }
    read
}

fn profile(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Profile> {
    const HELP: &str = "profile = \"access-token\" (RFC 9068; the default), \"jwt\", or the `typ` of the tokens, in lower case without application/";
    let text = text("profile", value, HELP, diagnostics)?;
    if let Some((_, profile)) = PROFILES.into_iter().find(|(name, _)| *name == text) {
        return Some(profile);
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+.-".contains(&byte);
    // A near miss of a name is no type.
    if !text.bytes().all(plain) || !text.contains('+') {
        diagnostics.push(value.span(), format!("`profile` is \"{}\"", printable(&text, 40)), HELP);
        return None;
    }
    Some(Profile::Typed(text))
}

fn cache(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<usize> {
    let help =
        format!("allowed: 0 to {MOST_CACHED}: tokens that are remembered when they have been verified");
    let number = value.get_ref().as_integer();
    let number = number.and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok());
    let number = number.filter(|number| *number <= MOST_CACHED);
    if number.is_none() {
        diagnostics.push(value.span(), "`cache` is no whole number, or out of range", help);
    }
    number
}

fn keys(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<KeySource> {
    let table = Table::of("keys", value, &URL_KEYS, diagnostics)?;
    let sources = ["file", "secret", "url"].map(|key| table.get(key).map(|value| (key, value)));
    let mut given = sources.into_iter().flatten();
    let (Some((kind, source)), None) = (given.next(), given.next()) else {
        diagnostics.push(table.span(), "`keys` have one of `file`, `secret` and `url`", KEYS_HELP);
        return None;
    };
    let defaults = Times::default();
    let mut time = |key, range, default| {
        table.get(key).and_then(|value| seconds(key, value, range, diagnostics)).unwrap_or(default)
    };
    let times = Times {
        fresh: time("refresh", (10, 30 * DAY), defaults.fresh),
        stale: time("stale_if_error", (0, 30 * DAY), defaults.stale),
        cool_down: time("cool_down", (1, DAY), defaults.cool_down),
        retry: time("retry", (1, DAY), defaults.retry),
        timeout: defaults.timeout,
    };
    if kind == "url" {
        let ca = table.get("ca").map(|value| text("ca", value, "ca = \"ca.pem\"", diagnostics));
        let url = url("url", source, diagnostics)?;
        return Some(KeySource::Url(KeyUrl { url, ca: ca.flatten(), times }));
    }
    if let Some(of_url) = URL_KEYS.iter().skip(3).find_map(|key| table.get(key)) {
        diagnostics.push(of_url.span(), format!("of keys out of a {kind} nothing is fetched"), KEYS_HELP);
    }
    let name = text(kind, source, KEYS_HELP, diagnostics)?;
    Some(if kind == "file" { KeySource::File(name) } else { KeySource::Secret(name) })
}

fn introspection(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Introspection> {
    let table = Table::of("introspection", value, &INTROSPECTION_KEYS, diagnostics)?;
    for key in ["url", "client", "secret"].into_iter().filter(|key| table.get(key).is_none()) {
        missing(table.span(), "`introspection`", key, INTROSPECTION_HELP, diagnostics);
    }
    let url = table.get("url").and_then(|value| url("url", value, diagnostics));
    let mut named = |key| table.get(key).and_then(|value| text(key, value, INTROSPECTION_HELP, diagnostics));
    let (client, secret, ca) = (named("client"), named("secret"), named("ca"));
    let cache = table.get("cache").and_then(|value| seconds("cache", value, (5, DAY), diagnostics));
    Some(Introspection { url: url?, client: client?, secret: secret?, ca, cache: cache.unwrap_or(30) })
}
