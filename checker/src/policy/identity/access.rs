//! What a route demands of who asks: `identity`, `scopes`, `audiences`, `claims`, `acr`, `amr`, `max_age`, `bind`.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Identities, Prover, seconds, text, texts};
use crate::{
    policy::document::{Diagnostics, Table, Value, quoted},
    text::printable,
};

pub(in crate::policy) const KEYS: [&str; 9] =
    ["identity", "scopes", "audiences", "claims", "acr", "amr", "max_age", "bind", "forward_credential"];
/// Keys of an entry of `bind`.
const BIND_KEYS: [&str; 2] = ["id", "claim"];
const BIND_HELP: &str = "bind = [{ id = \"path:id\", claim = \"account\" }]; ids: \"path:NAME\", \"query:NAME\", \"body:/json/pointer\"";
const IDENTITY_HELP: &str =
    "identity = [\"main\", \"key\"]: one of these; [[\"main\", \"certificate\"]]: both; []: anyone";

/// What a route demands of who asks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Access {
    /// One of these must be proven, each by all that it names. Empty: anyone may ask, and nothing else here counts.
    pub identity: Vec<Vec<Prover>>,
    /// Scopes, all of which it takes.
    pub scopes: Vec<String>,
    /// Audiences, one of which it takes, beside those that its issuer demands.
    pub audiences: Vec<String>,
    /// Claims, each of which must have one of the values.
    pub claims: BTreeMap<String, Vec<String>>,
    /// Classes of authentication (`acr`), one of which it takes (RFC 9470).
    pub acr: Vec<String>,
    /// Methods of authentication (`amr`, RFC 8176), all of which it takes.
    pub amr: Vec<String>,
    /// How long ago the user may have been authenticated (`auth_time`), in seconds.
    pub max_age: Option<u64>,
    /// What must be the same.
    pub bind: Vec<Bind>,
    /// Whether the server behind gets the credential.
    pub forward_credential: bool,
}

/// An id in the request that must be one of a claim's values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bind {
    /// Where it stands.
    pub id: Id,
    /// The claim.
    pub claim: String,
}

/// Where an id stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Id {
    /// The placeholder of this name.
    Path(String),
    /// The parameter of this name, which stands once.
    Query(String),
    /// A value in JSON (RFC 6901).
    Body(String),
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(name) => write!(out, "path:{name}"),
            Self::Query(name) => write!(out, "query:{name}"),
            Self::Body(pointer) => write!(out, "body:{pointer}"),
        }
    }
}

impl Id {
    /// Where an id stands; `help` says what is allowed.
    pub(in crate::policy) fn read(
        key: &str,
        value: &Value<'_>,
        help: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let written = text(key, value, help, diagnostics)?;
        let read = Self::of(&written);
        if read.is_none() {
            diagnostics.push(value.span(), format!("`{key}` is \"{}\"", printable(&written, 60)), help);
        }
        read
    }

    fn of(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "path" if !rest.is_empty() => Some(Self::Path(rest.to_owned())),
            "query" if !rest.is_empty() => Some(Self::Query(rest.to_owned())),
            "body" if rest.starts_with('/') => Some(Self::Body(rest.to_owned())),
            _ => None,
        }
    }
}

impl Access {
    /// Whether anything of it is in the body.
    pub fn needs_body(&self) -> bool {
        !self.identity.is_empty() && self.bind.iter().any(|bind| matches!(bind.id, Id::Body(_)))
    }
}

/// What stands at the top of the file or in a route; `access` is what it goes by otherwise.
pub(in crate::policy) fn read(
    table: &Table<'_, '_>,
    is_top: bool,
    identities: &Identities,
    access: &mut Arc<Access>,
    diagnostics: &mut Diagnostics,
) {
    if KEYS.iter().all(|key| table.get(key).is_none()) {
        return;
    }
    let mut read = Access::clone(access);
    if let Some(value) = table.get("identity") {
        read.identity = identity(value, identities, diagnostics);
    }
    for (key, list) in [
        ("scopes", &mut read.scopes),
        ("audiences", &mut read.audiences),
        ("acr", &mut read.acr),
        ("amr", &mut read.amr),
    ] {
        if let Some(value) = table.get(key) {
            *list = names(key, value, diagnostics);
        }
    }
    if let Some(value) = table.get("claims") {
        read.claims = claims(value, diagnostics);
    }
    if let Some(value) = table.get("max_age") {
        read.max_age = seconds("max_age", value, (1, 31_536_000), diagnostics);
    }
    if let Some(value) = table.get("bind") {
        let items = diagnostics.array("bind", value, BIND_HELP);
        read.bind = items.iter().filter_map(|item| bind(item, diagnostics)).collect();
    }
    if let Some(value) = table.get("forward_credential") {
        read.forward_credential = diagnostics.flag("forward_credential", value).unwrap_or_default();
    }
    let own = KEYS.iter().skip(1).find(|key| table.get(key).is_some());
    // At the top, demands may stand for routes that name who asks.
    let for_routes = is_top && table.get("identity").is_some();
    if let Some(key) = own.filter(|_| read.identity.is_empty() && !for_routes) {
        diagnostics.push(
            table.get(key).map_or_else(|| table.span(), Value::span),
            format!("`{key}` where anyone may ask"),
            IDENTITY_HELP,
        );
    }
    *access = Arc::new(read);
}

/// Scopes and their like: characters of RFC 6749, section 3.3, since they are told in challenges.
fn names(what: &str, value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<String> {
    let help =
        format!("{what} = [\"read\"]; [] for none: printable ASCII without spaces, quotes and backslashes");
    let mut read = Vec::new();
    for item in diagnostics.array(what, value, &help) {
        let Some(name) = text(what, item, &help, diagnostics) else { continue };
        if name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
            read.push(name);
        } else {
            diagnostics.push(item.span(), format!("\"{}\" is no name", printable(&name, 60)), &*help);
        }
    }
    read
}

fn claims(value: &Value<'_>, diagnostics: &mut Diagnostics) -> BTreeMap<String, Vec<String>> {
    const HELP: &str = "claims = { role = [\"admin\", \"auditor\"], tenant = [\"7\"] }";
    let Some(table) = value.get_ref().as_table() else {
        diagnostics.wrong_type("claims", value, "a table", HELP);
        return BTreeMap::new();
    };
    let entries = table
        .iter()
        .map(|(name, value)| (name.get_ref().to_string(), texts("claims", value, HELP, diagnostics)));
    entries.collect()
}

fn identity(value: &Value<'_>, identities: &Identities, diagnostics: &mut Diagnostics) -> Vec<Vec<Prover>> {
    let mut read = Vec::new();
    for item in diagnostics.array("identity", value, IDENTITY_HELP) {
        let together = match item.get_ref().as_array() {
            Some(together) => {
                together.iter().filter_map(|item| prover(item, identities, diagnostics)).collect()
            }
            None => Vec::from_iter(prover(item, identities, diagnostics)),
        };
        let issuers = together.iter().filter(|prover| matches!(prover, Prover::Issuer(_))).count();
        if issuers > 1 {
            let help = "a request has one token: [\"one\", \"other\"] takes that of either";
            diagnostics.push(item.span(), "two issuers together", help);
        }
        if !together.is_empty() {
            read.push(together);
        }
    }
    read
}

fn prover(item: &Value<'_>, identities: &Identities, diagnostics: &mut Diagnostics) -> Option<Prover> {
    let name = diagnostics.string("identity", item, IDENTITY_HELP)?;
    let prover = identities.named(name);
    if prover.is_none() {
        let known: Vec<&str> = identities.issuers.iter().map(|issuer| &*issuer.name).collect();
        let help = match name {
            super::KEY => "it needs [keys] at the top of the file".to_owned(),
            super::CERTIFICATE => "it needs [certificates] at the top of the file".to_owned(),
            _ => format!("issuers of this policy: {}", quoted(&known)),
        };
        diagnostics.push(item.span(), format!("nobody is called \"{}\"", printable(name, 64)), help);
    }
    prover
}

fn bind(item: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Bind> {
    let table = Table::of("bind", item, &BIND_KEYS, diagnostics)?;
    let (Some(id), Some(claim)) = (table.get("id"), table.get("claim")) else {
        diagnostics.push(table.span(), "`bind` without `id` or `claim`", BIND_HELP);
        return None;
    };
    let id = Id::read("id", id, BIND_HELP, diagnostics)?;
    Some(Bind { id, claim: text("claim", claim, BIND_HELP, diagnostics)? })
}
