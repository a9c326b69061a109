//! GraphQL over HTTP: the documents of a request read strictly (September 2025, without definitions of types), and measured.
//!
//! Fragments are measured where they are spread, once each, so that those which spread one another many times over cost nothing to measure.

mod document;
mod lexer;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Reason,
    content::Content,
    json::{self, Scalar, Step},
};
use document::{Definition, Document, Kind, Measure, Parser, Spread, whole};

/// What a request may ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Whether requests are to carry GraphQL, and nothing else. Elsewhere only bodies of `application/graphql` are held against the limits.
    pub endpoint: bool,
    /// Fields within one another, fragments expanded; so is every number of fields below.
    pub depth: usize,
    /// Fields of an operation.
    pub fields: usize,
    /// Fields of an operation that are in no other.
    pub root_fields: usize,
    /// Fields of an operation that have an alias.
    pub aliases: usize,
    /// Directives of an operation.
    pub directives: usize,
    /// Tokens of a document.
    pub tokens: usize,
    /// Variables of an operation.
    pub variables: usize,
    /// Operations in a document, of which a request names one.
    pub operations: usize,
    /// Documents in a request, as an array of JSON.
    pub batch: usize,
    /// The cost of all documents of a request: the weights of their fields, each multiplied with the elements that the lists around it ask for.
    pub cost: usize,
    /// Weights of fields by name; others weigh 1.
    pub weights: Vec<(String, usize)>,
    /// Arguments, and entries of objects in them, that say how many elements a list is asked for.
    pub multipliers: Vec<String>,
    /// Elements that lists are taken to have which no such argument stands at, by the field's name.
    pub lists: Vec<(String, usize)>,
    /// Whether the schema may be asked for (`__schema`, `__type`).
    pub introspection: bool,
    /// Whether there may be mutations; never by another method than POST.
    pub mutations: bool,
    /// Whether there may be subscriptions.
    pub subscriptions: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            endpoint: false,
            depth: 12,
            fields: 500,
            root_fields: 20,
            aliases: 30,
            directives: 30,
            tokens: 4_000,
            variables: 64,
            operations: 10,
            batch: 5,
            cost: 10_000,
            weights: Vec::new(),
            multipliers: ["first", "last", "limit"].map(str::to_owned).to_vec(),
            lists: Vec::new(),
            introspection: false,
            mutations: true,
            subscriptions: false,
        }
    }
}

/// Whom the strings of a document are shown to, each with the name of its argument. Its error ends the reading.
pub type Visitor<'v> = &'v mut dyn FnMut(&str, &str) -> Result<(), Reason>;

/// Where a request may carry GraphQL.
#[derive(Clone, Copy, Debug)]
pub struct Carrier<'r> {
    /// `GET`, `POST`, ….
    pub method: &'r [u8],
    /// The parameters of its target's query.
    pub query: &'r [(Cow<'r, str>, Cow<'r, str>)],
    /// What its body is.
    pub content: Content,
    /// Its body, after its content codings.
    pub body: &'r [u8],
}

/// How many elements a variable asks for: as an argument, and by what is in it. 0 where it says nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Asked {
    own: usize,
    within: usize,
}

/// What a request gives for variables, by name.
type Variables = BTreeMap<String, Asked>;

/// A document with what is given for its variables.
#[derive(Default)]
struct Posted {
    query: Option<String>,
    variables: Variables,
}

/// Reads and measures the documents of a request to a GraphQL endpoint, and shows `visit` the strings in them.
///
/// A document is the `query` of a JSON object or of each object of an array, a body of `application/graphql`, or the parameter `query` of a
/// request without body: one of these, since servers differ in which one they prefer. A document that is named by its hash alone is refused.
///
/// # Errors
///
/// The [`Reason`] to refuse it, or what `visit` has returned.
pub fn check(
    carrier: &Carrier<'_>,
    limits: &Limits,
    json: &json::Limits,
    visit: Visitor<'_>,
) -> Result<(), Reason> {
    let in_target = carrier.query.iter().any(|(name, _)| member(name) != Member::Other);
    let posted = match (carrier.method, carrier.content) {
        (b"OPTIONS", Content::Empty) if !in_target => return Ok(()),
        (b"GET" | b"HEAD" | b"POST", Content::Empty) => vec![from_target(carrier, limits, json)?],
        (b"POST", _) if in_target => return Err(Reason::GraphQlRequest),
        (b"POST", Content::Json) => from_json(carrier.body, limits, json)?,
        (b"POST", Content::GraphQl) => {
            let query = str::from_utf8(carrier.body).map_err(|_| Reason::GraphQlSyntax)?;
            vec![Posted { query: Some(query.to_owned()), ..Posted::default() }]
        }
        _ => return Err(Reason::GraphQlRequest),
    };
    if posted.len() > limits.batch {
        return Err(Reason::GraphQlBatch);
    }
    let mut cost = 0_usize;
    for Posted { query, variables } in &posted {
        let text = query.as_deref().ok_or(Reason::GraphQlRequest)?;
        cost = cost.saturating_add(document(text, variables, carrier.method == b"POST", limits, visit)?);
    }
    if cost > limits.cost { Err(Reason::GraphQlCost) } else { Ok(()) }
}

/// What a member of a request, or a parameter of its target, is to a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Query,
    Variables,
    Known,
    /// Some servers take it for one of these, without regard to case.
    Disguised,
    Other,
}

fn member(name: &str) -> Member {
    match name {
        "query" => Member::Query,
        "variables" => Member::Variables,
        "operationName" | "extensions" => Member::Known,
        _ if ["query", "variables", "operationName", "extensions"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known)) =>
        {
            Member::Disguised
        }
        _ => Member::Other,
    }
}

fn from_target(carrier: &Carrier<'_>, limits: &Limits, json: &json::Limits) -> Result<Posted, Reason> {
    let mut posted = Posted::default();
    let mut seen = BTreeSet::new();
    for (name, value) in carrier.query {
        let member = member(name);
        if member == Member::Disguised || (member != Member::Other && !seen.insert(name)) {
            return Err(Reason::GraphQlRequest);
        }
        match member {
            Member::Query => posted.query = Some(value.clone().into_owned()),
            Member::Variables => {
                json::read(value.as_bytes(), json, &mut |path, scalar| {
                    give(&mut posted.variables, path, scalar, limits);
                })?;
            }
            _ => {}
        }
    }
    Ok(posted)
}

/// The documents of an object, or of an array of objects.
fn from_json(body: &[u8], limits: &Limits, json: &json::Limits) -> Result<Vec<Posted>, Reason> {
    let mut posted: BTreeMap<usize, Posted> = BTreeMap::new();
    let mut good = true;
    json::read(body, json, &mut |path, scalar| {
        let (number, path) = match path {
            [Step::Element(number), path @ ..] => (*number, path),
            path => (0, path),
        };
        let [Step::Name(name), path @ ..] = path else {
            good = false;
            return;
        };
        let one = posted.entry(number).or_default();
        match (member(name), path, scalar) {
            (Member::Query, [], Scalar::String(query)) if one.query.is_none() => {
                one.query = Some(query.clone().into_owned());
            }
            (Member::Variables, [], Scalar::Null) | (Member::Known | Member::Other, ..) => {}
            (Member::Variables, [Step::Name(_), ..], _) => give(&mut one.variables, path, scalar, limits),
            _ => good = false,
        }
    })?;
    // An object without scalars is not shown, and has no document.
    good &= posted.keys().copied().eq(0..posted.len());
    if good && !posted.is_empty() { Ok(posted.into_values().collect()) } else { Err(Reason::GraphQlRequest) }
}

/// Notes what a variable asks for. `path` begins with its name.
fn give(variables: &mut Variables, path: &[Step<'_>], scalar: &Scalar<'_>, limits: &Limits) {
    let [Step::Name(name), inner @ ..] = path else { return };
    let asked = variables.entry(name.clone().into_owned()).or_default();
    let Scalar::Number(number) = scalar else { return };
    // A number that is written with a fraction or an exponent is as large as can be: servers may take it for a whole one.
    let number = if number.contains(['.', 'e', 'E']) { usize::MAX } else { whole(number) };
    match inner {
        [] => asked.own = asked.own.max(number),
        [.., Step::Name(last)] if limits.multipliers.iter().any(|known| known == last) => {
            asked.within = asked.within.max(number);
        }
        _ => {}
    }
}

/// Reads a document, and holds its operations against the limits. Returns the cost of the most expensive one.
fn document(
    text: &str,
    variables: &Variables,
    may_change: bool,
    limits: &Limits,
    visit: Visitor<'_>,
) -> Result<usize, Reason> {
    let (mut document, defaults) =
        Parser::new(text, limits, variables, BTreeMap::new(), visit)?.document()?;
    // A fragment may be read before the operation which says what its variables are.
    if !defaults.is_empty() && !document.fragments.is_empty() {
        document = Parser::new(text, limits, variables, defaults, &mut |_, _| Ok(()))?.document()?.0;
    }
    if document.operations.len() > limits.operations {
        return Err(Reason::GraphQlOperations);
    }
    let fragments = fragments(&document)?;
    let mut cost = 0;
    for (kind, definition) in &document.operations {
        let allowed = match kind {
            Kind::Query => true,
            Kind::Mutation => limits.mutations && may_change,
            Kind::Subscription => limits.subscriptions,
        };
        if !allowed {
            return Err(Reason::GraphQlKind);
        }
        let mut total = definition.own;
        for spread in &definition.spreads {
            let fragment = fragments.get(spread.fragment).ok_or(Reason::GraphQlFragment)?;
            total.add(spread, fragment);
        }
        total.within(limits)?;
        cost = cost.max(total.cost);
    }
    Ok(cost)
}

impl Measure {
    /// Adds a fragment that is spread.
    fn add(&mut self, spread: &Spread<'_>, fragment: &Self) {
        self.depth = self.depth.max(spread.depth.saturating_add(fragment.depth));
        self.fields = self.fields.saturating_add(fragment.fields);
        if spread.depth == 0 {
            self.roots = self.roots.saturating_add(fragment.roots);
        }
        self.aliases = self.aliases.saturating_add(fragment.aliases);
        self.directives = self.directives.saturating_add(fragment.directives);
        self.cost = self.cost.saturating_add(spread.factor.saturating_mul(fragment.cost));
    }

    fn within(&self, limits: &Limits) -> Result<(), Reason> {
        for (measured, limit, reason) in [
            (self.depth, limits.depth, Reason::GraphQlDepth),
            (self.fields, limits.fields, Reason::GraphQlFields),
            (self.roots, limits.root_fields, Reason::GraphQlRootFields),
            (self.aliases, limits.aliases, Reason::GraphQlAliases),
            (self.directives, limits.directives, Reason::GraphQlDirectives),
            (self.cost, limits.cost, Reason::GraphQlCost),
        ] {
            if measured > limit {
                return Err(reason);
            }
        }
        Ok(())
    }
}

/// Measures every fragment with those that it spreads: each once, after those.
fn fragments<'d>(document: &'d Document<'_>) -> Result<BTreeMap<&'d str, Measure>, Reason> {
    let mut measured: BTreeMap<&str, Measure> = BTreeMap::new();
    let mut begun: BTreeSet<&str> = BTreeSet::new();
    for name in document.fragments.keys() {
        // The fragments that wait for others, each with how many of its spreads were added.
        let mut waiting: Vec<(&str, &Definition<'_>, usize, Measure)> = Vec::new();
        let mut next = Some(*name).filter(|name| !measured.contains_key(name));
        loop {
            if let Some(name) = next.take() {
                let definition = document.fragments.get(name).ok_or(Reason::GraphQlFragment)?;
                if !begun.insert(name) {
                    return Err(Reason::GraphQlFragment);
                }
                waiting.push((name, definition, 0, definition.own));
            }
            let Some((name, definition, added, sum)) = waiting.last_mut() else { break };
            match definition.spreads.get(*added) {
                Some(spread) => match measured.get(spread.fragment) {
                    Some(fragment) => {
                        sum.add(spread, fragment);
                        *added += 1;
                    }
                    None => next = Some(spread.fragment),
                },
                None => {
                    measured.insert(name, *sum);
                    waiting.pop();
                }
            }
        }
    }
    Ok(measured)
}

#[cfg(test)]
mod tests;
