//! `cross-site` and `cors`: which other sites' pages may send requests, and which may read answers.

use std::{fmt::Write as _, sync::Arc};

use super::{
    document::{Diagnostics, Table, Value},
    render::{string, strings},
};
use crate::{
    cross_site::{
        Origin, SiteRule,
        cors::{Cors, CorsRule, LONGEST_AGE},
    },
    text::printable,
};

pub(super) const KEYS: [&str; 7] = ["own", "origins", "null", "same_site", "no_links", "frames", "anonymous"];
pub(super) const CORS_KEYS: [&str; 9] =
    ["origins", "any", "null", "methods", "headers", "expose", "credentials", "max_age", "private_network"];

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
}

/// `[cross-site]`.
pub(super) fn read(value: &Value<'_>, sites: &mut Arc<Sites>, diagnostics: &mut Diagnostics) {
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
    *sites = Arc::new(made);
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
    let Sites { own, rule: SiteRule { origins, null, same_site, no_links, frames }, anonymous } = sites;
    let _ = writeln!(
        text,
        "\n[{prefix}cross-site]\nown = {}\norigins = {}\nnull = {null}\nsame_site = {same_site}\nno_links = {no_links}\n\
         frames = {frames}\nanonymous = {anonymous}",
        listed(own),
        listed(origins),
    );
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
