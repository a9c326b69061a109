//! Patterns that a policy looks for: shipped categories, and the operator's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::document::{Diagnostics, Table, Value};
use crate::{
    patterns::{At, Limits, Pattern, Patterns, Where, categories, shipped},
    text::printable,
};

/// Keys of a pattern's table.
pub(super) const KEYS: [&str; 4] = ["name", "category", "expression", "places"];

/// Most patterns, a category counted as one.
const MOST: usize = 1_000;
/// Longest name, in bytes.
const LONGEST_NAME: usize = 64;
/// Characters of the text that messages repeat.
const ECHO: usize = 200;

const HELP: &str = "category = \"sql-injection\", or name = \"no-tags\" and expression = '<[a-z]'";
const EXPRESSION_HELP: &str =
    "expressions are those of the regex crate, over bytes: no look-around, no back-references";
const NAME_HELP: &str = "a name is letters, digits, hyphens, dots and underscores, at most 64";
const PLACE_HELP: &str = "for example \"path\", \"query:q\", \"header\", \"cookie\", \"form:comment\", \"json:$.user.name\", \"xml://item/@id\", \"graphql\", \"body\"";

/// A pattern, or a category of them, as the policy has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatternRule {
    /// What verdicts and routes call it.
    pub name: String,
    /// The shipped category that it stands for.
    pub category: Option<String>,
    /// The expression, where it is the operator's own.
    pub expression: Option<String>,
    /// Where it is looked for; where it says nothing, everywhere in a request, or in responses if that is what the category is for.
    pub places: Vec<String>,
}

/// The patterns of a policy, compiled.
#[derive(Clone, Debug)]
pub(super) struct Catalogue {
    pub(super) rules: Vec<PatternRule>,
    compiled: Arc<Patterns>,
    /// Of each rule, whether it is for requests and whether for responses.
    sides: BTreeMap<String, (bool, bool)>,
}

/// Those of a policy's patterns that are looked for on a route.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    compiled: Arc<Patterns>,
    /// `None`: all.
    pub(super) only: Option<BTreeSet<String>>,
    /// Whether one is looked for in requests.
    pub(crate) in_requests: bool,
    /// Whether one is looked for in responses.
    pub(crate) in_responses: bool,
}

impl Catalogue {
    /// What is looked for where these are named; `None` for all.
    pub(super) fn select(&self, only: Option<BTreeSet<String>>) -> Selected {
        let chosen = |name: &String| only.as_ref().is_none_or(|only| only.contains(name));
        let sides = || self.sides.iter().filter(|(name, _)| chosen(name)).map(|(_, sides)| *sides);
        Selected {
            in_requests: sides().any(|(requests, _)| requests),
            in_responses: sides().any(|(_, responses)| responses),
            compiled: Arc::clone(&self.compiled),
            only,
        }
    }
}

impl Selected {
    /// Shows `found` each pattern that is in a value, and where the first one of its table ends.
    pub(crate) fn search<'p>(&'p self, at: &At<'_>, value: &[u8], found: &mut dyn FnMut(&'p str, usize)) {
        self.compiled.search(at, value, &mut |pattern, end| {
            if self.only.as_ref().is_none_or(|only| only.contains(rule_of(pattern))) {
                found(&pattern.name, end);
            }
        });
    }
}

/// The rule that a compiled pattern comes from: one of a category has it as its category, and the operator's own have none, so that they
/// are searched together.
fn rule_of(pattern: &Pattern) -> &str {
    if pattern.category.is_empty() { &pattern.name } else { &pattern.category }
}

/// What `[[pattern]]` says.
pub(super) fn read(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Catalogue> {
    let blocks = diagnostics.array("pattern", value, "patterns are blocks that begin with [[pattern]]");
    if blocks.len() > MOST {
        diagnostics.push(value.span(), format!("more than {MOST} patterns"), "`|` makes one of several");
    }
    let before = diagnostics.0.len();
    let (mut rules, mut compiled, mut sides) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut spans: Vec<Range<usize>> = Vec::new();
    for block in blocks.iter().take(MOST) {
        let Some((rule, patterns, span)) = pattern(block, diagnostics) else { continue };
        let everywhere = |side: fn(&Pattern) -> bool| patterns.iter().any(side);
        let response = everywhere(|pattern| pattern.places.contains(&Where::Response));
        let request = everywhere(|pattern| {
            pattern.places.is_empty() || pattern.places.iter().any(|place| *place != Where::Response)
        });
        if sides.insert(rule.name.clone(), (request, response)).is_some() {
            let name = format!("another pattern is called \"{}\"", rule.name);
            diagnostics.push(span.clone(), name, "name = \"…\" tells them apart");
        }
        spans.extend(patterns.iter().map(|_| span.clone()));
        compiled.extend(patterns);
        rules.push(rule);
    }
    if diagnostics.0.len() > before {
        return None;
    }
    let names: Vec<String> = compiled.iter().map(|pattern| pattern.name.clone()).collect();
    match Patterns::compile(compiled, &Limits::default()) {
        Ok(compiled) => Some(Catalogue { rules, compiled: Arc::new(compiled), sides }),
        Err(error) => {
            let place = error.name().and_then(|wrong| names.iter().position(|name| name == wrong));
            let span = place.and_then(|place| spans.get(place).cloned()).unwrap_or_else(|| value.span());
            diagnostics.push(span, printable(&error.to_string(), ECHO), EXPRESSION_HELP);
            None
        }
    }
}

/// A rule, what is looked for, and where that stands.
fn pattern(
    block: &Value<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(PatternRule, Vec<Pattern>, Range<usize>)> {
    let table = Table::of("[[pattern]]", block, &KEYS, diagnostics)?;
    let places = places(&table, diagnostics);
    let name = match table.get("name") {
        None => None,
        Some(value) => {
            let name = diagnostics.string("name", value, NAME_HELP)?;
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(known) {
                diagnostics.push(
                    value.span(),
                    format!("\"{}\" is no name", printable(name, ECHO)),
                    NAME_HELP,
                );
                return None;
            }
            Some(name.to_owned())
        }
    };
    let (text, mut patterns, span, category, expression);
    match (table.get("category"), table.get("expression")) {
        (Some(value), None) => {
            let names: Vec<(&str, &str)> =
                categories().iter().map(|category| (category.name, category.name)).collect();
            text = diagnostics.choice("category", value, &names)?;
            patterns = shipped(text).unwrap_or_default();
            (span, category, expression) = (value.span(), Some(text.to_owned()), None);
        }
        (None, Some(value)) => {
            text = diagnostics.string("expression", value, HELP)?;
            let Some(name) = name.clone() else {
                diagnostics.push(table.span(), "a pattern without `name`", HELP);
                return None;
            };
            let own = (String::new(), text.to_owned());
            patterns = vec![Pattern { name, category: own.0, expression: own.1, places: Vec::new() }];
            (span, category, expression) = (value.span(), None, Some(text.to_owned()));
        }
        (both, _) => {
            let what = if both.is_some() {
                "a category and an expression"
            } else {
                "neither category nor expression"
            };
            diagnostics.push(table.span(), format!("a pattern with {what}"), HELP);
            return None;
        }
    }
    let name = name.unwrap_or_else(|| text.to_owned());
    for pattern in &mut patterns {
        if category.is_some() {
            // `sql-injection/tautology`, under the name that the policy has for it.
            let own = pattern.name.split_once('/').map_or("", |(_, own)| own);
            pattern.name = format!("{name}/{own}");
            pattern.category.clone_from(&name);
        }
        let named: Vec<Where> = places.iter().map(|(_, place)| place.clone()).collect();
        if !named.is_empty() {
            pattern.places = named;
        }
        if let Err(error) = Patterns::check(pattern, &Limits::default()) {
            diagnostics.push(span, printable(&error.to_string(), ECHO), EXPRESSION_HELP);
            return None;
        }
    }
    let places = places.into_iter().map(|(text, _)| text).collect();
    Some((PatternRule { name, category, expression, places }, patterns, span))
}

fn places(table: &Table<'_, '_>, diagnostics: &mut Diagnostics) -> Vec<(String, Where)> {
    let Some(value) = table.get("places") else { return Vec::new() };
    let items = diagnostics.array("places", value, PLACE_HELP);
    if items.is_empty() && value.get_ref().is_array() {
        diagnostics.push(value.span(), "`places` is empty", "left out: everywhere in a request");
    }
    let mut places = Vec::new();
    for item in items {
        let Some(text) = diagnostics.string("places", item, PLACE_HELP) else { continue };
        match Where::parse(text) {
            Ok(Where::Header(Some(name))) if crate::values::is_passed_over(&name) => diagnostics.push(
                item.span(),
                format!("`{}` is no matter of values", printable(text, ECHO)),
                "it is a credential, or says how the request is framed; cookies are \"cookie\" and \"cookie:NAME\"",
            ),
            Ok(place) => places.push((text.to_owned(), place)),
            Err(error) => {
                diagnostics.push(item.span(), printable(&error.to_string(), ECHO), PLACE_HELP);
            }
        }
    }
    places
}

/// The names that `patterns` lists.
pub(super) fn names(
    value: &Value<'_>,
    catalogue: Option<&Catalogue>,
    diagnostics: &mut Diagnostics,
) -> BTreeSet<String> {
    const HELP: &str = "patterns = [\"no-tags\"]: names of [[pattern]]s; [] for none";
    let known: Vec<(&str, &str)> = catalogue
        .map(|catalogue| {
            catalogue.rules.iter().map(|rule| (rule.name.as_str(), rule.name.as_str())).collect()
        })
        .unwrap_or_default();
    let mut chosen = BTreeSet::new();
    for item in diagnostics.array("patterns", value, HELP) {
        if known.is_empty() {
            diagnostics.push(item.span(), "there are no [[pattern]]s of such a name", HELP);
        } else if let Some(name) = diagnostics.choice("patterns", item, &known) {
            chosen.insert(name.to_owned());
        }
    }
    chosen
}
