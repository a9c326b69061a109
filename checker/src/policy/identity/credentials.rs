//! `[keys]`, `[certificates]` and `[identity_header]`.

use super::{missing, text, texts};
use crate::{
    keys,
    policy::document::{Diagnostics, Table, Value},
    request::is_token,
    text::printable,
};

pub(in crate::policy) const KEY_KEYS: [&str; 4] = ["file", "secret", "header", "prefix"];
pub(in crate::policy) const CERTIFICATE_KEYS: [&str; 3] = ["names", "ca", "allow"];
pub(in crate::policy) const HEADER_KEYS: [&str; 2] = ["name", "secret"];
/// Kinds of names that certificates have.
pub(in crate::policy) const SANS: [(&str, SanKind); 2] = [("uri", SanKind::Uri), ("dns", SanKind::Dns)];

const KEYS_HELP: &str = "file = \"keys.toml\": the list that `stopbank-checker keys` keeps";

/// API keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKeys {
    /// The list.
    pub file: String,
    /// What keys are hashed with: a file, or the service manager's.
    pub secret: String,
    /// The header that a key comes in, in lower case.
    pub header: String,
    /// What keys begin with; any where it is missing.
    pub prefix: Option<String>,
}

/// Names of a certificate (RFC 5280, section 4.2.1.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SanKind {
    /// `uniformResourceIdentifier`: SPIFFE IDs, for example.
    Uri,
    /// `dNSName`.
    Dns,
}

/// Client certificates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificates {
    /// The kinds of names that identities are taken from, the first that a certificate has.
    pub names: Vec<SanKind>,
    /// A file with the authorities whose certificates count here: one of these, out of those that the listener trusts, has signed. `None`: any of
    /// them.
    pub ca: Option<String>,
    /// The names that count; a `*` at the end stands for anything. Empty: all.
    pub allow: Vec<String>,
}

/// What the server behind is told of who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityHeader {
    /// In which header, in lower case.
    pub name: String,
    /// What it is signed with: a file, or the service manager's.
    pub secret: Option<String>,
}

/// The header where the policy does not say. Clients cannot send it, whether it is used or not.
pub(crate) const IDENTITY_HEADER: &str = "x-stopbank-identity";

pub(super) fn keys(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<ApiKeys> {
    let table = Table::of("[keys]", value, &KEY_KEYS, diagnostics)?;
    let Some(file) = table.get("file") else {
        missing(table.span(), "[keys]", "file", KEYS_HELP, diagnostics);
        return None;
    };
    let file = text("file", file, KEYS_HELP, diagnostics)?;
    let secret = table.get("secret").and_then(|value| text("secret", value, KEYS_HELP, diagnostics));
    let header = match table.get("header") {
        Some(value) => header_name("header", value, diagnostics)?,
        None => "x-api-key".to_owned(),
    };
    let prefix = table.get("prefix").and_then(|value| {
        let help = "prefix = \"sbk\": 1 to 16 of a-z and 0-9";
        let prefix = diagnostics.string("prefix", value, help)?;
        if !keys::is_prefix(prefix) {
            diagnostics.push(value.span(), format!("`prefix` is \"{}\"", printable(prefix, 40)), help);
        }
        Some(prefix.to_owned())
    });
    Some(ApiKeys { secret: secret.unwrap_or_else(|| format!("{file}.secret")), file, header, prefix })
}

/// Headers that say something else already.
const TAKEN: [&str; 11] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "dpop",
    "origin",
    "x-request-id",
];

fn header_name(what: &str, value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let help = format!(
        "{what} = \"x-api-key\": letters, digits and hyphens, and none that says something else already"
    );
    let text = diagnostics.string(what, value, &help)?;
    let name = text.to_ascii_lowercase();
    // What has an underscore no request can bring.
    let good = name.len() <= 64
        && is_token(name.as_bytes())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !TAKEN.contains(&&*name)
        && !name.starts_with("x-forwarded-");
    if !good {
        diagnostics.push(value.span(), format!("`{what}` is \"{}\"", printable(text, 64)), help);
    }
    good.then_some(name)
}

pub(super) fn certificates(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Certificates> {
    let table = Table::of("[certificates]", value, &CERTIFICATE_KEYS, diagnostics)?;
    let names = match table.get("names") {
        None => SANS.map(|(_, kind)| kind).to_vec(),
        Some(value) => {
            let items = diagnostics.array("names", value, "names = [\"uri\", \"dns\"]");
            if items.is_empty() && value.get_ref().is_array() {
                diagnostics.push(value.span(), "`names` is empty", "names = [\"uri\", \"dns\"]");
            }
            items.iter().filter_map(|item| diagnostics.choice("names", item, &SANS)).collect()
        }
    };
    let ca = table.get("ca").and_then(|value| text("ca", value, "ca = \"clients.pem\"", diagnostics));
    let allow = table.get("allow").map(|value| {
        texts(
            "allow",
            value,
            "allow = [\"spiffe://example.org/api/*\", \"billing.example.org\"]",
            diagnostics,
        )
    });
    Some(Certificates { names, ca, allow: allow.unwrap_or_default() })
}

pub(super) fn header(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<IdentityHeader> {
    if value.get_ref().as_bool() == Some(true) {
        return Some(IdentityHeader { name: IDENTITY_HEADER.to_owned(), secret: None });
    }
    if value.get_ref().as_bool() == Some(false) {
        return None;
    }
    let table = Table::of("identity_header", value, &HEADER_KEYS, diagnostics)?;
    let name = match table.get("name") {
        Some(value) => header_name("name", value, diagnostics)?,
        None => IDENTITY_HEADER.to_owned(),
    };
    let help = "secret = \"credential:NAME\": 32 random bytes or more, which the server behind has too";
    let secret = table.get("secret").and_then(|value| text("secret", value, help, diagnostics));
    Some(IdentityHeader { name, secret })
}
