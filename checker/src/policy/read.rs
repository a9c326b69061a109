//! From the document to the [`Policy`]: what may stand where, and what it means.

use std::sync::Arc;

use toml::{Spanned, de::DeTable};

use super::{
    Errors, Fail, Id, LARGEST, Load, Mode, Policy, Route, Rule, Rules, cross_site,
    document::{Diagnostics, Table, Value, quoted},
    error::{Diagnostic, line_of},
    held, identity, masking, openapi,
    patterns::{self, Catalogue},
    response,
    route::{self, Methods, Part, Router},
    settings::SETTINGS,
    websocket,
};
use crate::{Check, request::is_token, text::printable, verdict::Kind};

/// Most routes.
pub(super) const MOST_ROUTES: usize = 10_000;
/// Longest method, in bytes.
const LONGEST_METHOD: usize = 32;

/// Keys that stand at the top of the file alone, those that do so in a route alone, and, beside those of [`identity::ACCESS_KEYS`], those that may stand in both.
const ROOT_KEYS: [&str; 12] = [
    "undeclared",
    "realm",
    "identity_header",
    "issuer",
    "keys",
    "certificates",
    "openapi",
    "rate",
    "brake",
    "enumeration",
    "pattern",
    "route",
];
const ROUTE_KEYS: [&str; 3] = ["host", "path", "methods"];
const RULE_KEYS: [&str; 11] = [
    "fail",
    "deadline",
    "responses",
    "patterns",
    "websocket",
    "cross-site",
    "cors",
    "checks",
    "limits",
    "masking",
    "response",
];

/// All keys of a table that says how requests are judged.
fn keys(own: &[&'static str]) -> Vec<&'static str> {
    [own, &identity::ACCESS_KEYS, &RULE_KEYS].concat()
}

pub(super) const CHECK_KEYS: [&str; 3] = ["mode", "fail", "deadline"];

/// Choices.
pub(super) const UNDECLARED: [(&str, Mode); 3] =
    [("refuse", Mode::Enforce), ("observe", Mode::Observe), ("allow", Mode::Off)];
pub(super) const MODES: [(&str, Mode); 3] =
    [("off", Mode::Off), ("observe", Mode::Observe), ("enforce", Mode::Enforce)];
pub(super) const FAILS: [(&str, Fail); 2] = [("open", Fail::Open), ("closed", Fail::Closed)];

pub(super) const RESPONSES: [(&str, Mode); 2] = [("off", Mode::Off), ("observe", Mode::Observe)];

/// Checks that have a mode.
pub(super) fn switched() -> impl Iterator<Item = Check> {
    Check::ALL.iter().copied().filter(|check| !matches!(check.kind(), Kind::Always | Kind::Route))
}

/// Tables below `limits`, those of a route or all.
pub(super) fn groups(of_routes: bool) -> Vec<&'static str> {
    let mut groups: Vec<&str> = SETTINGS
        .iter()
        .filter(|setting| setting.of_routes || !of_routes)
        .map(|setting| setting.group)
        .collect();
    groups.dedup();
    groups
}

/// Keys of a table below `limits`, those of a route or all.
pub(super) fn limit_keys(group: &str, of_routes: bool) -> Vec<&'static str> {
    let of_group =
        |setting: &&super::settings::Setting| setting.group == group && (setting.of_routes || !of_routes);
    SETTINGS.iter().filter(of_group).map(|setting| setting.name).collect()
}

pub(super) fn policy(file: &str, text: &str, load: &mut Load<'_>) -> Result<Policy, Errors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let errors = |mut diagnostics: Vec<Diagnostic>| {
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        Errors { file: file.to_owned(), text: text.to_owned(), diagnostics }
    };
    let mut diagnostics = Diagnostics::default();
    if text.len() > LARGEST {
        diagnostics.push(
            0..0,
            format!("larger than {} KiB", LARGEST >> 10),
            "a policy is no place for lists",
        );
        return Err(errors(diagnostics.0));
    }
    let (document, wrong) = DeTable::parse_recoverable(text);
    for error in wrong {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let span = error.span().unwrap_or_default();
        diagnostics.push_all(span, format!("not TOML: {}", printable(&message, 200)), Vec::new());
    }
    if !diagnostics.0.is_empty() {
        return Err(errors(diagnostics.0));
    }
    let policy = root(text, &document, load, &mut diagnostics);
    if diagnostics.0.is_empty() { Ok(policy) } else { Err(errors(diagnostics.0)) }
}

fn root(
    text: &str,
    document: &Spanned<DeTable<'_>>,
    load: &mut Load<'_>,
    diagnostics: &mut Diagnostics,
) -> Policy {
    let table = Table::root(document, &keys(&ROOT_KEYS), diagnostics);
    let mut default = Rules::default();
    let undeclared = table
        .get("undeclared")
        .and_then(|value| diagnostics.choice("undeclared", value, &UNDECLARED))
        .unwrap_or(Mode::Enforce);
    default.identities = identity::read(&table, diagnostics);
    let openapi = table.get("openapi").map(|value| (value, openapi::read(value, load, diagnostics)));
    if let Some((_, openapi)) = &openapi {
        default.of_mut(Check::Schema).mode = Mode::Enforce;
        default.specification = openapi.as_ref().map(|openapi| Arc::clone(&openapi.specification));
        default.responses = Mode::Observe;
    }
    let catalogue = table.get("pattern").and_then(|value| patterns::read(value, diagnostics));
    if let Some(catalogue) = &catalogue {
        let all = catalogue.select(None);
        if all.in_responses {
            default.responses = Mode::Observe;
        }
        default.patterns = Some(Arc::new(all));
    }
    let has = Has {
        openapi: openapi.is_some(),
        patterns: catalogue.as_ref(),
        broken: catalogue.is_none() && table.get("pattern").is_some(),
    };
    rules(&table, None, has, &mut default, load, diagnostics);
    let (mut routes, mut router, mut lines) = (Vec::new(), Router::default(), Vec::new());
    if let Some(value) = table.get("route") {
        let blocks = diagnostics.array("route", value, "routes are blocks that begin with [[route]]");
        if blocks.len() > MOST_ROUTES {
            diagnostics.push(
                value.span(),
                format!("more than {MOST_ROUTES} routes"),
                "`{id}` and `{rest*}` take many paths together",
            );
        }
        for block in blocks.iter().take(MOST_ROUTES) {
            let Some((span, route)) = route(block, &default, has, load, diagnostics) else { continue };
            let number = routes.len();
            if let Err(other) = router.add(&route.host, &route.parts, route.methods.clone(), number) {
                let line = lines.get(other).copied().unwrap_or_default();
                diagnostics.push(
                    span.clone(),
                    "another route has the same host, path and one of the methods",
                    format!("it is on line {line}; names of placeholders tell no routes apart"),
                );
            }
            lines.push(line_of(text, span.start));
            routes.push(route);
        }
    }
    let openapi = openapi.and_then(|(value, openapi)| {
        let openapi = openapi?;
        if let Err(wrong) = openapi::declare(&openapi.specification, &default, &mut routes, &mut router) {
            diagnostics.push(
                value.span(),
                wrong,
                "`undeclared` and routes with `{rest*}` take many paths together",
            );
        }
        Some(openapi)
    });
    let limiters = held::read(&table, &mut default, &mut routes, diagnostics);
    Policy { openapi, patterns: catalogue, limiters, ..Policy::new(undeclared, default, routes, router) }
}

/// What the policy gives its checks to go by.
#[derive(Clone, Copy)]
struct Has<'p> {
    openapi: bool,
    patterns: Option<&'p Catalogue>,
    /// Whether there are patterns which cannot be used.
    broken: bool,
}

/// A route, and where its path stands.
fn route(
    block: &Value<'_>,
    default: &Rules,
    has: Has<'_>,
    load: &mut Load<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(std::ops::Range<usize>, Route)> {
    const PATH_HELP: &str = "path = \"/accounts/{id}/files/{rest*}\"";
    let table = Table::of("[[route]]", block, &keys(&ROUTE_KEYS), diagnostics)?;
    let mut rules_of = default.clone();
    rules(&table, Some(default), has, &mut rules_of, load, diagnostics);
    let host = match table.get("host") {
        None => "*".to_owned(),
        Some(value) => {
            let help = "allowed: \"api.example.org\", \"*.example.org\", \"192.0.2.1\", \"[2001:db8::1]\"";
            let text = diagnostics.string("host", value, help).unwrap_or("*");
            route::host(text).unwrap_or_else(|wrong| {
                diagnostics.push(value.span(), format!("`host` {wrong}"), help);
                "*".to_owned()
            })
        }
    };
    let methods = methods(&table, diagnostics);
    let Some(value) = table.get("path") else {
        diagnostics.push(table.span(), "a route without `path`", PATH_HELP);
        return None;
    };
    let path = diagnostics.string("path", value, PATH_HELP)?;
    let parts = route::template(path)
        .map_err(|wrong| diagnostics.push(value.span(), format!("`path` {wrong}"), PATH_HELP))
        .ok()?;
    for bind in table.get("bind").iter().flat_map(|_| &rules_of.access.bind) {
        let names: Vec<&str> = parts.iter().flat_map(Part::names).collect();
        if let Id::Path(name) = &bind.id
            && !names.contains(&name.as_str())
        {
            let help = format!("placeholders of the path: {}", quoted(&names));
            let span = table.get("bind").map_or_else(|| table.span(), Value::span);
            diagnostics.push(span, format!("the path has no placeholder \"{}\"", printable(name, 64)), help);
        }
    }
    let path = path.to_owned();
    Some((value.span(), Route { host, path, parts, methods: methods?, rules: rules_of, operation: None }))
}

fn methods(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Option<Methods> {
    const HELP: &str = "methods = [\"GET\", \"HEAD\"], or methods = \"any\"";
    let Some(value) = table.get("methods") else {
        diagnostics.push(table.span(), "a route without `methods`", HELP);
        return None;
    };
    if value.get_ref().as_str() == Some("any") {
        return Some(Methods::Any);
    }
    let items = diagnostics.array("methods", value, HELP);
    if items.is_empty() && value.get_ref().is_array() {
        diagnostics.push(value.span(), "`methods` is empty", HELP);
    }
    let mut methods: Vec<String> = Vec::new();
    for item in items {
        let method = diagnostics.string("methods", item, HELP)?;
        if !is_token(method.as_bytes()) || method.len() > LONGEST_METHOD {
            diagnostics.push(item.span(), format!("\"{}\" is no method", printable(method, 40)), HELP);
        } else if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let upper = format!("did you mean \"{}\"?", method.to_ascii_uppercase());
            diagnostics.push(
                item.span(),
                format!("\"{method}\" has lower case; methods tell case apart"),
                upper,
            );
        } else if methods.iter().any(|one| one == method) {
            diagnostics.push(item.span(), format!("\"{method}\" stands twice"), HELP);
        } else {
            methods.push(method.to_owned());
        }
    }
    (!methods.is_empty()).then_some(Methods::These(methods))
}

/// What stands at the top of the file and in each route, from `fail` to `websocket`. `default`: what a route goes by.
fn rules(
    table: &Table<'_, '_>,
    default: Option<&Rules>,
    has: Has<'_>,
    rules: &mut Rules,
    load: &mut Load<'_>,
    diagnostics: &mut Diagnostics,
) {
    let fail = table.get("fail").and_then(|value| diagnostics.choice("fail", value, &FAILS));
    let deadline = table.get("deadline").and_then(|value| diagnostics.time("deadline", value));
    for rule in &mut rules.rules {
        rule.fail = fail.unwrap_or(rule.fail);
        rule.deadline = deadline.or(rule.deadline);
    }
    if let Some(mode) =
        table.get("responses").and_then(|value| diagnostics.choice("responses", value, &RESPONSES))
    {
        rules.responses = mode;
    }
    if let Some(value) = table.get("patterns").filter(|_| !has.broken) {
        let names = patterns::names(value, has.patterns, diagnostics);
        rules.patterns = has.patterns.map(|catalogue| Arc::new(catalogue.select(Some(names))));
    }
    if let Some(value) = table.get("cross-site") {
        // As a specification does, so that nobody writes it and is not protected.
        rules.of_mut(Check::CrossSite).mode = Mode::Enforce;
        cross_site::read(value, &mut rules.sites, load, diagnostics);
    }
    if let Some(value) = table.get("cors") {
        cross_site::read_cors(value, &mut rules.cors, diagnostics);
    }
    let identities = Arc::clone(&rules.identities);
    identity::read_access(table, default.is_none(), &identities, &mut rules.access, diagnostics);
    if let Some(value) = table.get("checks") {
        checks(value, has, rules, diagnostics);
    }
    if let Some(value) = table.get("limits") {
        limits(value, default.is_some(), rules, diagnostics);
    }
    rules.masking.fail = fail.unwrap_or(rules.masking.fail);
    if let Some(value) = table.get("masking") {
        masking::read(value, &mut rules.masking, diagnostics);
    }
    if let Some(value) = table.get("response") {
        response::read(value, &mut rules.headers, diagnostics);
    }
    if let Some(value) = table.get("websocket") {
        websocket::read(value, &mut rules.websocket, diagnostics);
    }
}

fn checks(value: &Value<'_>, has: Has<'_>, rules: &mut Rules, diagnostics: &mut Diagnostics) {
    let names: Vec<&str> = switched().map(Check::name).collect();
    let fixed: Vec<&str> =
        Check::ALL.iter().map(|check| check.name()).filter(|name| !names.contains(name)).collect();
    if Table::but_for("checks", value, &names, &fixed, diagnostics).is_none() {
        return;
    }
    for (key, value) in value.get_ref().as_table().into_iter().flatten() {
        let name = key.get_ref().as_ref();
        let Some(check) = Check::ALL.iter().copied().find(|check| check.name() == name) else { continue };
        match check.kind() {
            Kind::Always => diagnostics.push(
                key.span(),
                format!("`{name}` is always enforced"),
                "what cannot be read in one way only cannot be judged at all",
            ),
            Kind::Route => diagnostics.push(
                key.span(),
                "`route` is no check with a mode of its own",
                "undeclared = \"refuse\", \"observe\" or \"allow\" at the top of the file",
            ),
            Kind::Head | Kind::Body | Kind::Values => {
                rule(name, value, rules.of_mut(check), diagnostics);
                if openapi::is_missing(check, rules.of(check).mode, has.openapi) {
                    rules.of_mut(check).mode = Mode::Off;
                    diagnostics.push(
                        key.span(),
                        "`schema` has no specification to go by",
                        "openapi = \"openapi.yaml\" at the top of the file",
                    );
                }
            }
        }
    }
}

/// `"enforce"`, or a table.
fn rule(name: &str, value: &Value<'_>, rule: &mut Rule, diagnostics: &mut Diagnostics) {
    if value.get_ref().is_table() {
        let Some(table) = Table::of(&format!("checks.{name}"), value, &CHECK_KEYS, diagnostics) else {
            return;
        };
        let mode = table.get("mode").and_then(|value| diagnostics.choice("mode", value, &MODES));
        let fail = table.get("fail").and_then(|value| diagnostics.choice("fail", value, &FAILS));
        let deadline = table.get("deadline").and_then(|value| diagnostics.time("deadline", value));
        *rule = Rule {
            mode: mode.unwrap_or(rule.mode),
            fail: fail.unwrap_or(rule.fail),
            deadline: deadline.or(rule.deadline),
        };
        return;
    }
    rule.mode = diagnostics.choice(name, value, &MODES).unwrap_or(rule.mode);
}

fn limits(value: &Value<'_>, of_route: bool, rules: &mut Rules, diagnostics: &mut Diagnostics) {
    let groups_here = groups(of_route);
    let Some(table) = Table::of("limits", value, &groups_here, diagnostics) else { return };
    for group in groups_here {
        let Some(value) = table.get(group) else { continue };
        let what = format!("limits.{group}");
        let of_group = || SETTINGS.iter().filter(|setting| setting.group == group);
        let elsewhere: Vec<&str> =
            of_group().filter(|setting| of_route && !setting.of_routes).map(|setting| setting.name).collect();
        let allowed = limit_keys(group, of_route);
        let Some(table) = Table::but_for(&what, value, &allowed, &elsewhere, diagnostics) else { continue };
        for setting in of_group() {
            let Some(value) = table.get(setting.name) else { continue };
            if of_route && !setting.of_routes {
                diagnostics.push(
                    value.span(),
                    format!("`{}` of {what} cannot be a route's own", setting.name),
                    "it is needed before the route is known: set it at the top of the file",
                );
            } else if let Some(set) = diagnostics.limit(setting, value) {
                setting.set(&mut rules.limits, set);
            }
        }
    }
}
