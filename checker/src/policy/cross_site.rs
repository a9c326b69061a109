//! `cross-site` and `cors`: which other sites' pages may send requests, and which may read answers.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{
    Load,
    document::{Diagnostics, Table, Value},
    render::{string, strings},
};
use crate::{
    cross_site::{
        Origin, SiteRule,
        cors::{Cors, CorsRule, LONGEST_AGE},
        double_submit::Signer,
    },
    request::is_token,
    text::printable,
};

pub(super) const KEYS: [&str; 8] =
    ["own", "origins", "null", "same_site", "no_links", "frames", "anonymous", "token"];
pub(super) const TOKEN_KEYS: [&str; 5] = ["secret", "session", "cookie", "header", "max_age"];
pub(super) const CORS_KEYS: [&str; 9] =
    ["origins", "any", "null", "methods", "headers", "expose", "credentials", "max_age", "private_network"];

/// What [`super::Load`] gets before the name of a secret.
pub const SECRET: &str = "secret:";
const TOKEN: &str = "token = { secret = \"csrf.key\", session = \"the session's cookie\" }";

/// Methods that a page of another origin may use where the policy does not name any: those for which browsers ask nobody.
const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
const ORIGINS: &str = "origins = [\"https://app.example.org\"]";

/// What the check `cross-site` goes by.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sites {
    /// One's own origins; where there are none, the one that the request's `Host` names.
    pub own: Vec<Origin>,
    /// Which others may.
    pub rule: SiteRule,
    /// Whether requests are judged too with which no credential comes that browsers send by themselves, as logins do.
    pub anonymous: bool,
    /// The token that proves that one of our own pages sends a form.
    pub token: Option<Arc<FormToken>>,
}

/// A token that comes in a cookie and beside it, bound to a session.
pub struct FormToken {
    /// The secret, as the policy names it.
    pub secret: String,
    /// The cookie that the session is known by.
    pub session: String,
    /// The cookie that the token comes in.
    pub cookie: String,
    /// The header that it comes in again.
    pub header: String,
    /// For how long one counts, in seconds.
    pub max_age: u32,
    /// Issues them, and knows them again.
    pub signer: Signer,
}

impl FormToken {
    fn shown(&self) -> (&str, &str, &str, &str, u32) {
        (&self.secret, &self.session, &self.cookie, &self.header, self.max_age)
    }
}

impl PartialEq for FormToken {
    fn eq(&self, other: &Self) -> bool {
        self.shown() == other.shown()
    }
}

impl Eq for FormToken {}

impl fmt::Debug for FormToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "FormToken{:?}", self.shown())
    }
}

/// `[cross-site]`.
pub(super) fn read(
    value: &Value<'_>,
    sites: &mut Arc<Sites>,
    load: &mut Load<'_>,
    diagnostics: &mut Diagnostics,
) {
    let Some(table) = Table::of("cross-site", value, &KEYS, diagnostics) else { return };
    let mut made = Sites::clone(sites);
    for (key, list) in [("own", &mut made.own), ("origins", &mut made.rule.origins)] {
        origins(&table, key, list, diagnostics);
    }
    for (key, flag) in [
        ("null", &mut made.rule.null),
        ("same_site", &mut made.rule.same_site),
        ("no_links", &mut made.rule.no_links),
        ("frames", &mut made.rule.frames),
        ("anonymous", &mut made.anonymous),
    ] {
        set_flag(&table, key, flag, diagnostics);
    }
    if let Some(value) = table.get("token") {
        made.token = match value.get_ref().as_bool() {
            Some(false) => None,
            _ => token(value, load, diagnostics).map(Arc::new),
        };
    }
    *sites = Arc::new(made);
}

fn token(value: &Value<'_>, load: &mut Load<'_>, diagnostics: &mut Diagnostics) -> Option<FormToken> {
    let table = Table::of("token", value, &TOKEN_KEYS, diagnostics)?;
    for key in ["secret", "session"] {
        if table.get(key).is_none() {
            diagnostics.push(value.span(), format!("`token` without `{key}`"), TOKEN);
        }
    }
    let text = |key: &str, usual: &str, diagnostics: &mut Diagnostics| {
        let Some(value) = table.get(key) else { return Some(usual.to_owned()) };
        let text = diagnostics.string(key, value, TOKEN)?;
        if key != "secret" && !is_token(text.as_bytes()) {
            let wrong = format!("`{key}` is \"{}\", which is no name", printable(text, 40));
            diagnostics.push(value.span(), wrong, TOKEN);
        }
        Some(text.to_owned())
    };
    let session = text("session", "", diagnostics)?;
    let cookie = text("cookie", "__Host-csrf", diagnostics)?;
    let header = text("header", "x-csrf-token", diagnostics)?.to_ascii_lowercase();
    let max_age = table.get("max_age");
    let max_age = max_age.and_then(|value| diagnostics.whole("max_age", value, 60..=2_592_000, "seconds"));
    let place = table.get("secret")?;
    let secret = text("secret", "", diagnostics)?;
    // Read as secrets are, which others on the host cannot.
    let read = load(&format!("{SECRET}{secret}")).map(Zeroizing::new);
    let signer = read.and_then(|read| {
        Signer::new(&[read.trim_end().as_bytes()]).ok_or_else(|| "it is shorter than 32 bytes".to_owned())
    });
    match signer {
        Ok(signer) => {
            Some(FormToken { secret, session, cookie, header, max_age: max_age.unwrap_or(43_200), signer })
        }
        Err(wrong) => {
            let wrong = format!("`secret`: {}", printable(&wrong, 300));
            diagnostics.push(place.span(), wrong, "openssl rand -hex 32 > csrf.key; chmod 600 csrf.key");
            None
        }
    }
}

/// `false`, or `[cors]`.
pub(super) fn read_cors(value: &Value<'_>, cors: &mut Option<Arc<Cors>>, diagnostics: &mut Diagnostics) {
    if let Some(flag) = value.get_ref().as_bool() {
        *cors = None;
        if flag {
            diagnostics.push(value.span(), "`cors` is true; it must be false, or a table", ORIGINS);
        }
        return;
    }
    let Some(table) = Table::of("cors", value, &CORS_KEYS, diagnostics) else { return };
    let usual =
        || CorsRule { methods: METHODS.map(str::to_owned).to_vec(), max_age: 600, ..CorsRule::default() };
    let mut rule = cors.as_ref().map_or_else(usual, |cors| cors.rule().clone());
    origins(&table, "origins", &mut rule.origins, diagnostics);
    for (key, list) in
        [("methods", &mut rule.methods), ("headers", &mut rule.headers), ("expose", &mut rule.expose)]
    {
        let help = format!("names: {key} = [\"…\"]");
        let Some(value) = table.get(key) else { continue };
        let items = diagnostics.array(key, value, &help);
        *list =
            items.iter().filter_map(|item| diagnostics.string(key, item, &help)).map(str::to_owned).collect();
    }
    for (key, flag) in [
        ("any", &mut rule.any),
        ("null", &mut rule.null),
        ("credentials", &mut rule.credentials),
        ("private_network", &mut rule.private_network),
    ] {
        set_flag(&table, key, flag, diagnostics);
    }
    if let Some(value) = table.get("max_age")
        && let Some(seconds) = diagnostics.whole("max_age", value, 0..=LONGEST_AGE, "seconds")
    {
        rule.max_age = seconds;
    }
    match Cors::new(rule) {
        Ok(made) => *cors = Some(Arc::new(made)),
        Err(error) => diagnostics.push(value.span(), format!("`cors`: {error}"), ORIGINS),
    }
}

fn set_flag(table: &Table<'_, '_>, key: &str, flag: &mut bool, diagnostics: &mut Diagnostics) {
    let read = table.get(key).and_then(|value| diagnostics.flag(key, value));
    *flag = read.unwrap_or(*flag);
}

fn origins(table: &Table<'_, '_>, key: &str, list: &mut Vec<Origin>, diagnostics: &mut Diagnostics) {
    let Some(value) = table.get(key) else { return };
    list.clear();
    for item in diagnostics.array(key, value, ORIGINS) {
        let Some(text) = diagnostics.string(key, item, ORIGINS) else { continue };
        match text.parse::<Origin>() {
            Ok(origin) => list.push(origin),
            Err(error) => diagnostics.push(item.span(), printable(&error.to_string(), 300), ORIGINS),
        }
    }
}

/// As a policy has them; nothing where they are the same as `default`.
pub(super) fn render(text: &mut String, prefix: &str, sites: &Sites, default: Option<&Sites>) {
    if default.unwrap_or(&Sites::default()) == sites {
        return;
    }
    let Sites { own, rule: SiteRule { origins, null, same_site, no_links, frames }, anonymous, token } =
        sites;
    let _ = writeln!(
        text,
        "\n[{prefix}cross-site]\nown = {}\norigins = {}\nnull = {null}\nsame_site = {same_site}\nno_links = {no_links}\n\
         frames = {frames}\nanonymous = {anonymous}",
        listed(own),
        listed(origins),
    );
    let had = default.is_some_and(|default| default.token.is_some());
    let _ = match token {
        Some(token) => writeln!(
            text,
            "token = {{ secret = {}, session = {}, cookie = {}, header = {}, max_age = {} }}",
            string(&token.secret),
            string(&token.session),
            string(&token.cookie),
            string(&token.header),
            token.max_age
        ),
        None if had => writeln!(text, "token = false"),
        None => Ok(()),
    };
}

/// The same of CORS.
pub(super) fn render_cors(text: &mut String, prefix: &str, cors: Option<&Cors>, default: Option<&Cors>) {
    if cors.map(Cors::rule) == default.map(Cors::rule) {
        return;
    }
    let Some(cors) = cors else { return };
    let rule = cors.rule();
    let names = |names: &[String]| strings(names.iter().map(String::as_str));
    let _ = writeln!(
        text,
        "\n[{prefix}cors]\norigins = {}\nany = {}\nnull = {}\nmethods = {}\nheaders = {}\nexpose = {}\ncredentials = {}\nmax_age = {}\n\
         private_network = {}",
        listed(&rule.origins),
        rule.any,
        rule.null,
        names(&rule.methods),
        names(&rule.headers),
        names(&rule.expose),
        rule.credentials,
        rule.max_age,
        rule.private_network
    );
}

/// What says that a route is without what stands at the top.
pub(super) fn render_no_cors(text: &mut String, cors: Option<&Cors>, default: Option<&Cors>) {
    if cors.is_none() && default.is_some() {
        let _ = writeln!(text, "cors = false");
    }
}

fn listed(origins: &[Origin]) -> String {
    let origins: Vec<String> = origins.iter().map(|origin| string(origin.as_str())).collect();
    format!("[{}]", origins.join(", "))
}
