//! Who may vouch for a client: `[[issuer]]`, `[keys]`, `[certificates]`, and what the server behind is told of it, `[identity_header]`.

mod access;
mod credentials;
mod issuer;
mod render;

use std::{ops::Range, sync::Arc};

pub use access::{Access, Bind, Id};
pub(crate) use credentials::IDENTITY_HEADER;
pub use credentials::{ApiKeys, Certificates, IdentityHeader, SanKind};
pub use issuer::{Introspection, Issuer, KeySource, KeyUrl};

pub(super) use access::{KEYS as ACCESS_KEYS, read as read_access};
pub(super) use credentials::{CERTIFICATE_KEYS, HEADER_KEYS, KEY_KEYS, SANS};
pub(super) use issuer::{INTROSPECTION_KEYS, ISSUER_KEYS, URL_KEYS};
pub(super) use render::{access as render_access, identities as render};

use super::document::{Diagnostics, Table, Value};
use crate::text::printable;

/// What proves who asks, as routes name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Prover {
    /// A token of the issuer of this number.
    Issuer(usize),
    /// An API key.
    Key,
    /// A client certificate.
    Certificate,
}

/// Names that no issuer may have.
pub(super) const KEY: &str = "key";
pub(super) const CERTIFICATE: &str = "certificate";
/// Most issuers.
const MOST_ISSUERS: usize = 64;
/// What challenges call the protected space (RFC 9110, section 11.5), unless the policy has another name.
const REALM: &str = "api";

/// All who may vouch for a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identities {
    /// Issuers of tokens, in the order of the policy's text.
    pub issuers: Vec<Issuer>,
    /// API keys.
    pub keys: Option<ApiKeys>,
    /// Client certificates.
    pub certificates: Option<Certificates>,
    /// What the server behind is told.
    pub header: Option<IdentityHeader>,
    /// What challenges call the protected space.
    pub realm: String,
}

impl Default for Identities {
    fn default() -> Self {
        Self { issuers: Vec::new(), keys: None, certificates: None, header: None, realm: REALM.to_owned() }
    }
}

impl Identities {
    /// What routes call it.
    pub fn name(&self, prover: Prover) -> &str {
        match prover {
            Prover::Issuer(number) => self.issuers.get(number).map_or("", |issuer| &issuer.name),
            Prover::Key => KEY,
            Prover::Certificate => CERTIFICATE,
        }
    }

    /// Whether anything in it goes by what outlives a request.
    pub const fn is_empty(&self) -> bool {
        self.issuers.is_empty() && self.keys.is_none() && self.certificates.is_none()
    }

    fn named(&self, name: &str) -> Option<Prover> {
        match name {
            KEY => self.keys.is_some().then_some(Prover::Key),
            CERTIFICATE => self.certificates.is_some().then_some(Prover::Certificate),
            _ => self.issuers.iter().position(|issuer| &*issuer.name == name).map(Prover::Issuer),
        }
    }
}

/// Reads what stands at the top of the file.
pub(super) fn read(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Arc<Identities> {
    let mut identities = Identities::default();
    if let Some(value) = table.get("issuer") {
        let blocks = diagnostics.array("issuer", value, "issuers are blocks that begin with [[issuer]]");
        if blocks.len() > MOST_ISSUERS {
            diagnostics.push(
                value.span(),
                format!("more than {MOST_ISSUERS} issuers"),
                "one policy, few issuers",
            );
        }
        for block in blocks.iter().take(MOST_ISSUERS) {
            let Some(issuer) = issuer::read(block, diagnostics) else { continue };
            let name = &issuer.name;
            if identities.issuers.iter().any(|other| other.name == *name) {
                diagnostics.push(
                    block.span(),
                    format!("two issuers are called \"{name}\""),
                    "`name` tells them apart",
                );
            }
            identities.issuers.push(issuer);
        }
    }
    identities.keys = table.get("keys").and_then(|value| credentials::keys(value, diagnostics));
    identities.certificates =
        table.get("certificates").and_then(|value| credentials::certificates(value, diagnostics));
    identities.header =
        table.get("identity_header").and_then(|value| credentials::header(value, diagnostics));
    if let Some(value) = table.get("realm") {
        let help = "realm = \"api\": letters, digits, spaces, `.`, `_` and `-`";
        if let Some(realm) = diagnostics.string("realm", value, help) {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b" ._-".contains(&byte);
            if (1..=64).contains(&realm.len()) && realm.bytes().all(fits) {
                realm.clone_into(&mut identities.realm);
            } else {
                diagnostics.push(value.span(), format!("`realm` is \"{}\"", printable(realm, 64)), help);
            }
        }
    }
    Arc::new(identities)
}

/// A text that is neither empty nor endless, and has no control characters.
fn text(what: &str, value: &Value<'_>, help: &str, diagnostics: &mut Diagnostics) -> Option<String> {
    const LONGEST: usize = 1_024;
    let text = diagnostics.string(what, value, help)?;
    if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
        let wrong = format!("`{what}` is empty, longer than {LONGEST} bytes, or has control characters");
        diagnostics.push(value.span(), wrong, help);
        return None;
    }
    Some(text.to_owned())
}

/// Texts, of which there is at least one.
fn texts(what: &str, value: &Value<'_>, help: &str, diagnostics: &mut Diagnostics) -> Vec<String> {
    let items = diagnostics.array(what, value, help);
    if items.is_empty() && value.get_ref().is_array() {
        diagnostics.push(value.span(), format!("`{what}` is empty"), help);
    }
    items.iter().filter_map(|item| text(what, item, help, diagnostics)).collect()
}

/// A span of time in whole seconds.
pub(super) fn seconds(
    what: &str,
    value: &Value<'_>,
    (least, most): (u64, u64),
    diagnostics: &mut Diagnostics,
) -> Option<u64> {
    let shown = |seconds| humantime::format_duration(std::time::Duration::from_secs(seconds));
    let help = format!("allowed: \"{}\" to \"{}\", in whole seconds", shown(least), shown(most));
    let text = diagnostics.string(what, value, &help)?;
    let read = humantime::parse_duration(text).ok().filter(|time| time.subsec_nanos() == 0);
    match read.map(|time| time.as_secs()) {
        Some(seconds) if (least..=most).contains(&seconds) => Some(seconds),
        _ => {
            diagnostics.push(value.span(), format!("`{what}` is \"{}\"", printable(text, 40)), help);
            None
        }
    }
}

/// A URL that is asked: by HTTPS, or on this host itself.
fn url(what: &str, value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    const HELP: &str = "url = \"https://issuer.example/keys\"; http:// only to 127.0.0.1, [::1] and localhost: what comes from there is trusted";
    let text = text(what, value, HELP, diagnostics)?;
    let rest = text.strip_prefix("https://").map(|rest| (rest, true));
    let rest = rest.or_else(|| text.strip_prefix("http://").map(|rest| (rest, false)));
    let good = rest.is_some_and(|(rest, secure)| {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let local = [authority, host].iter().any(|host| matches!(*host, "127.0.0.1" | "[::1]" | "localhost"));
        crate::fields::is_authority(authority.as_bytes())
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
            && (secure || local)
    });
    if !good {
        diagnostics.push(value.span(), format!("`{what}` is \"{}\"", printable(&text, 60)), HELP);
    }
    good.then_some(text)
}

/// A key that must be there.
fn missing(span: Range<usize>, what: &str, key: &str, help: &str, diagnostics: &mut Diagnostics) {
    diagnostics.push(span, format!("{what} without `{key}`"), help);
}
