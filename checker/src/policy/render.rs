//! A policy with everything written out, as TOML that gives the same policy again.

use std::fmt::Write as _;

use super::{
    PatternRule, Policy, Rule, Rules, brakes, cross_site, enumeration, identity, masking, rates, read,
    response, settings::SETTINGS, websocket,
};
use crate::text::printable;

pub(super) fn render(policy: &Policy) -> String {
    let mut text = String::new();
    let undeclared = read::UNDECLARED.into_iter().find(|(_, mode)| *mode == policy.undeclared);
    let _ = writeln!(text, "undeclared = \"{}\"", undeclared.map_or("refuse", |(name, _)| name));
    if let Some(openapi) = policy.openapi() {
        let base = openapi.options.base.iter().map(|base| format!(", base = {}", string(base)));
        let _ = writeln!(
            text,
            "openapi = {{ file = {}{}, undeclared_query = {}, read_only = {} }}",
            string(&openapi.file),
            base.collect::<String>(),
            openapi.options.allow_undeclared_query,
            openapi.options.allow_read_only
        );
    }
    responses(&mut text, &policy.default, None);
    websocket::render(&mut text, policy.default.websocket.as_ref(), None);
    selected(&mut text, &policy.default, None);
    let identities = policy.identities();
    let _ = writeln!(text, "realm = {}", string(&identities.realm));
    identity::render_access(&mut text, &policy.default.access, None, identities);
    patterns(&mut text, policy);
    rates::render(&mut text, policy.rates());
    brakes::render(&mut text, policy.brakes());
    enumeration::render(&mut text, policy.enumerations());
    identity::render(&mut text, identities);
    rules(&mut text, "", &policy.default, None);
    for route in policy.routes.iter().filter(|route| route.operation.is_none()) {
        let _ =
            writeln!(text, "\n[[route]]\nhost = {}\npath = {}", string(route.host()), string(route.path()));
        let methods: Vec<String> = route.methods().iter().map(|method| string(method)).collect();
        let _ = match methods.as_slice() {
            [] => writeln!(text, "methods = \"any\""),
            these => writeln!(text, "methods = [{}]", these.join(", ")),
        };
        responses(&mut text, &route.rules, Some(&policy.default));
        let websocket = policy.default.websocket.as_ref();
        websocket::render(&mut text, route.rules.websocket.as_ref(), Some(websocket));
        cross_site::render_no_cors(&mut text, route.rules.cors.as_deref(), policy.default.cors.as_deref());
        selected(&mut text, &route.rules, Some(&policy.default));
        identity::render_access(&mut text, &route.rules.access, Some(&policy.default.access), identities);
        rules(&mut text, "route.", &route.rules, Some(&policy.default));
    }
    operations(&mut text, policy);
    text
}

/// What comes from the specification, which is no text of the policy.
fn operations(text: &mut String, policy: &Policy) {
    let Some(openapi) = policy.openapi() else { return };
    let _ = writeln!(text, "\n# Routes of {}, for any host:", comment(&openapi.file));
    for route in policy.routes.iter().filter(|route| route.operation.is_some()) {
        let _ = writeln!(text, "#   {} {}", comment(&route.methods().join(" ")), comment(route.path()));
    }
}

/// A text that ends no line.
fn comment(text: &str) -> String {
    printable(text, 200)
}

/// Which patterns are looked for, where these are not all, or others than by `default`.
fn selected(text: &mut String, rules: &Rules, default: Option<&Rules>) {
    let only = |rules: &Rules| rules.patterns.as_ref().and_then(|selected| selected.only.clone());
    let (here, before) = (only(rules), default.and_then(only));
    if let Some(names) = here.filter(|names| before.as_ref() != Some(names)) {
        let _ = writeln!(text, "patterns = {}", strings(names.iter().map(String::as_str)));
    }
}

fn patterns(text: &mut String, policy: &Policy) {
    for PatternRule { name, category, expression, places } in policy.patterns() {
        let _ = writeln!(text, "\n[[pattern]]\nname = {}", string(name));
        if let Some(category) = category {
            let _ = writeln!(text, "# `stopbank-checker patterns {category}` shows its expressions.");
        }
        for (key, value) in [("category", category), ("expression", expression)] {
            let _ = value.as_ref().map(|value| writeln!(text, "{key} = {}", string(value)));
        }
        if !places.is_empty() {
            let _ = writeln!(text, "places = {}", strings(places.iter().map(String::as_str)));
        }
    }
}

fn responses(text: &mut String, rules: &Rules, default: Option<&Rules>) {
    if default.is_none_or(|default| default.responses != rules.responses) {
        let _ = writeln!(text, "responses = \"{}\"", rules.responses.name());
    }
}

/// Checks and limits: all, or those in which a route differs from `default`.
fn rules(text: &mut String, prefix: &str, rules: &Rules, default: Option<&Rules>) {
    let mut lines = String::new();
    for check in read::switched() {
        let rule = rules.of(check);
        if default.is_none_or(|default| default.of(check) != rule) {
            let _ = writeln!(lines, "{} = {}", check.name(), show(rule));
        }
    }
    section(text, &format!("{prefix}checks"), &lines);
    for group in read::groups(false) {
        lines.clear();
        for setting in SETTINGS.iter().filter(|setting| setting.group == group) {
            let value = setting.shown(&rules.limits);
            if default.is_none_or(|default| setting.shown(&default.limits) != value) {
                let _ = writeln!(lines, "{} = {value}", setting.name);
            }
        }
        section(text, &format!("{prefix}limits.{group}"), &lines);
    }
    cross_site::render(text, prefix, &rules.sites, default.map(|default| &*default.sites));
    let cors = default.and_then(|default| default.cors.as_deref());
    cross_site::render_cors(text, prefix, rules.cors.as_deref(), cors);
    masking::render(text, prefix, &rules.masking, default.map(|default| &default.masking));
    response::render(text, prefix, &rules.headers, default.map(|default| &*default.headers));
}

fn section(text: &mut String, name: &str, lines: &str) {
    if !lines.is_empty() {
        let _ = write!(text, "\n[{name}]\n{lines}");
    }
}

fn show(Rule { mode, fail, deadline }: Rule) -> String {
    let deadline = deadline.map(|deadline| format!(", deadline = \"{}ms\"", deadline.as_millis()));
    format!("{{ mode = \"{}\", fail = \"{}\"{} }}", mode.name(), fail.name(), deadline.unwrap_or_default())
}

/// An array of basic strings.
pub(super) fn strings<'s>(texts: impl IntoIterator<Item = &'s str>) -> String {
    format!("[{}]", texts.into_iter().map(string).collect::<Vec<_>>().join(", "))
}

/// A basic string of TOML.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            other if other.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(other));
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}
