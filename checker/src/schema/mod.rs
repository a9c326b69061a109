//! Requests and responses held against a specification: OpenAPI 3.0 and 3.1, compiled once.
//!
//! What a specification does not declare is refused, and what it declares is judged as it says: paths, methods, parameters, types of bodies, and what
//! is in them. References lead no further than the document; patterns are run by an engine of linear time; and what a body may cost is bounded by its
//! length, however the schema nests its alternatives. Numbers are judged as they are written: exactly where they are
//! integers of 64 bits, and where they are compared with one another; against limits as doubles otherwise. Integers that are neither are refused.

mod body;
mod dialect;
mod document;
mod json_schema;
mod number;
mod openapi;
mod parameter;
pub(crate) mod paths;
mod patterns;
mod shape;
mod source;
#[cfg(test)]
mod tests;
mod yaml;

use std::borrow::Cow;

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};

use self::{
    body::{Body, REQUEST, RESPONSE, Sent},
    document::{Document, Representation},
    openapi::Response,
    paths::Paths,
};
pub use self::{
    json_schema::{Dialect, JsonSchema},
    parameter::{Location, Parameter},
    source::Problem,
};
use crate::{Field, Reason, json, multipart, target};

/// What of a specification is held against requests, and how strictly.
#[derive(Clone, Default, Debug)]
pub struct Options {
    /// The path below which its paths stand, instead of those of the servers that it names: `/v1`.
    pub base: Option<String>,
    /// Whether parameters of the query may be sent that are not declared.
    pub allow_undeclared_query: bool,
    /// Whether entries may be sent that are `readOnly`.
    pub allow_read_only: bool,
}

/// An operation: a path with a method.
#[derive(Clone, Debug)]
pub struct Operation {
    /// `GET`, `POST`, ….
    pub method: String,
    /// The template of its path, as the document has it.
    pub path: String,
    /// Its name, if it has one.
    pub id: Option<String>,
    /// Its parameters, those of the path among them.
    pub parameters: Vec<Parameter>,
    body: Option<Body>,
    responses: Vec<Response>,
}

impl Operation {
    /// What it is called: its name, or method and path.
    pub fn name(&self) -> String {
        self.id.clone().unwrap_or_else(|| format!("{} {}", self.method, self.path))
    }

    /// The types of bodies that it takes.
    pub fn content_types(&self) -> impl Iterator<Item = &str> {
        self.body.iter().flat_map(|body| &body.media).map(|media| media.essence.as_str())
    }

    /// The statuses that it answers with, as the document has them.
    pub fn statuses(&self) -> impl Iterator<Item = &str> {
        self.responses.iter().map(|response| response.status.as_str())
    }
}

/// What is read of a document, beside its schemas.
#[derive(Debug, Default)]
struct Parts {
    title: String,
    version: String,
    /// The segments before each path: one of these.
    bases: Vec<Vec<String>>,
    /// Parameters of the query that every operation may have.
    query_keys: Vec<String>,
    paths: Paths,
    /// For each template, its methods and the numbers of their operations.
    templates: Vec<Vec<(String, usize)>>,
    operations: Vec<Operation>,
}

/// A specification, compiled.
#[derive(Debug)]
pub struct Specification {
    parts: Parts,
    options: Options,
    validator: Validator<Representation>,
}

/// A request as it is judged: decoded, but as it was sent otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c, 'r> {
    /// `GET`, `POST`, ….
    pub method: &'r [u8],
    /// The path's segments, as [`target::Target`] has them.
    pub segments: &'r [Cow<'r, str>],
    /// The parameters of the query.
    pub query: &'r [(Cow<'r, str>, Cow<'r, str>)],
    /// The headers.
    pub headers: &'r [Field<'r>],
    /// The body without its codings.
    pub body: &'r [u8],
    /// How JSON is read.
    pub limits: &'c json::Limits,
    /// How forms are read.
    pub form: &'c target::Limits,
    /// How forms of parts are read.
    pub multipart: &'c multipart::Limits,
}

/// Why a request or response is not as the specification says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The reason to refuse it.
    pub reason: Reason,
    /// Where: `query limit`, `body /user/name`, ….
    pub place: String,
    /// A JSON pointer into the value; empty for the whole. Names of entries are what was sent: masked, and cut to what evidence may hold.
    pub pointer: String,
    /// The keyword of the schema that it does not comply with, or what was wrong before a schema could be looked at. Never the value.
    pub keyword: String,
}

/// The operation that a request calls.
#[derive(Clone, Debug)]
pub struct Called<'s> {
    /// Its number, as [`Specification::operations`] counts.
    pub operation: usize,
    /// Names and values of the parameters in its path.
    path: Vec<(&'s str, &'s str)>,
}

/// Why a value is not valid.
struct Failure {
    pointer: String,
    keyword: String,
    /// Whether it could not be judged for the work that it would take.
    spent: bool,
}

impl Failure {
    fn of(keyword: &str) -> Self {
        Self { pointer: String::new(), keyword: keyword.to_owned(), spent: false }
    }
}

impl Specification {
    /// Reads a document of OpenAPI 3.0 or 3.1, in JSON or YAML, and compiles what it says.
    ///
    /// # Errors
    ///
    /// All [`Problem`]s that do not hide one another, each with its place.
    pub fn read(text: &str, options: &Options) -> Result<Self, Vec<Problem>> {
        let root = source::read(text).map_err(|problem| vec![problem])?;
        let (parts, schema, places) = openapi::read(&root, options)?;
        let built = json_schema::options().build(&schema);
        let validator = built.map_err(|error| {
            let place = |pointer: &str| {
                let pointer = origin(pointer, &places);
                (root.line_of(&pointer), pointer)
            };
            json_schema::problems(&schema, &error, &place)
        })?;
        Ok(Self { parts, options: options.clone(), validator })
    }

    /// What the document is called, and its own version.
    pub fn title(&self) -> (&str, &str) {
        (&self.parts.title, &self.parts.version)
    }

    /// Its operations, in the order of the document.
    pub fn operations(&self) -> &[Operation] {
        &self.parts.operations
    }

    /// The paths below which its paths stand, by their segments.
    pub(crate) fn bases(&self) -> &[Vec<String>] {
        &self.parts.bases
    }

    /// Judges a request, and says which operation it calls.
    ///
    /// # Errors
    ///
    /// The first [`Violation`]: path, method, parameters, body, in this order.
    pub fn check_request(&self, call: &Call<'_, '_>) -> Result<usize, Violation> {
        let called = self.called(call)?;
        self.check_parameters(&called, call)?;
        self.check_body(called.operation, call)?;
        Ok(called.operation)
    }

    /// Judges the parameters of a request, the body aside.
    ///
    /// # Errors
    ///
    /// The first [`Violation`].
    pub fn check_parameters(&self, called: &Called<'_>, call: &Call<'_, '_>) -> Result<(), Violation> {
        match self.parts.operations.get(called.operation) {
            Some(operation) => parameter::check(self, &operation.parameters, &called.path, call),
            None => Err(undeclared(Reason::SchemaUndeclaredPath)),
        }
    }

    /// Judges the body of a request to an operation by this number; path and query of `call` play no part.
    ///
    /// # Errors
    ///
    /// The first [`Violation`].
    pub fn check_body(&self, operation: usize, call: &Call<'_, '_>) -> Result<(), Violation> {
        let Some(operation) = self.parts.operations.get(operation) else {
            return Err(undeclared(Reason::SchemaUndeclaredPath));
        };
        let content_type =
            call.headers.iter().find(|field| field.is("content-type")).map(|field| field.value);
        let sent = Sent {
            content_type,
            bytes: call.body,
            json: call.limits,
            form: call.form,
            multipart: call.multipart,
        };
        match &operation.body {
            Some(body) => body.check(self, sent, REQUEST),
            None if call.body.is_empty() => Ok(()),
            None => {
                let keyword = "undeclared".to_owned();
                let (reason, place) = (Reason::SchemaBody, REQUEST.to_owned());
                Err(Violation { reason, place, pointer: String::new(), keyword })
            }
        }
    }

    /// The operation that a request calls: of those whose path and method fit, that with the most literal path.
    ///
    /// # Errors
    ///
    /// [`Reason::SchemaUndeclaredPath`] or [`Reason::SchemaUndeclaredOperation`].
    pub fn called<'s>(&'s self, call: &Call<'_, 's>) -> Result<Called<'s>, Violation> {
        let segments: Vec<&'s str> = call.segments.iter().map(|segment| &**segment).collect();
        let method = str::from_utf8(call.method).unwrap_or_default();
        let (mut found, mut known) = (None, false);
        for base in &self.parts.bases {
            let below = segments.get(..base.len()).filter(|before| before.iter().eq(base.iter()));
            let Some(rest) = below.and_then(|_| segments.get(base.len()..)) else { continue };
            self.parts.paths.find(rest, &mut |template, values| {
                known = true;
                let operation = self.parts.templates.get(template).and_then(|methods| {
                    let named = |name: &str| methods.iter().find(|(other, _)| other == name);
                    // What answers GET answers HEAD (RFC 9110, section 9.3.2).
                    named(method).or_else(|| if method == "HEAD" { named("GET") } else { None })
                });
                if let Some((_, operation)) = operation {
                    let names = self.parts.paths.names(template).iter().map(String::as_str);
                    let path = names.zip(values.iter().copied()).collect();
                    found = Some(Called { operation: *operation, path });
                }
                found.is_some()
            });
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Err(undeclared(if known { Reason::SchemaUndeclaredOperation } else { Reason::SchemaUndeclaredPath }))
    }

    /// Judges a response to an operation, of which [`Specification::check_request`] has the number. `body` is without its codings; where it is
    /// `None`, nothing is known of it, and only status and type are judged.
    ///
    /// # Errors
    ///
    /// The first [`Violation`]: status, type, body.
    pub fn check_response(
        &self,
        operation: usize,
        status: u16,
        content_type: Option<&[u8]>,
        body: Option<&[u8]>,
        limits: &json::Limits,
    ) -> Result<(), Violation> {
        let Some(operation) = self.parts.operations.get(operation) else { return Ok(()) };
        let (exact, range) = (status.to_string(), format!("{}XX", status / 100));
        let declared = [exact.as_str(), range.as_str(), "DEFAULT"]
            .into_iter()
            .find_map(|name| operation.responses.iter().find(|response| response.status == name));
        let wrong = |keyword: &str| Violation {
            reason: Reason::SchemaResponse,
            place: RESPONSE.to_owned(),
            pointer: String::new(),
            keyword: keyword.to_owned(),
        };
        let Some(response) = declared else { return Err(wrong("status")) };
        let Some(bytes) = body else {
            let declared = content_type.is_none_or(|value| response.body.takes(value));
            return if declared { Ok(()) } else { Err(wrong("content")) };
        };
        if bytes.is_empty() {
            return Ok(());
        }
        if response.body.media.is_empty() {
            return Err(wrong("undeclared"));
        }
        let (form, multipart) = (target::Limits::default(), multipart::Limits::default());
        let sent = Sent { content_type, bytes, json: limits, form: &form, multipart: &multipart };
        response
            .body
            .check(self, sent, RESPONSE)
            .map_err(|violation| Violation { reason: Reason::SchemaResponse, ..violation })
    }

    /// Holds a value against the schema that its document names.
    fn validate(&self, document: &Document<'_>) -> Result<(), Failure> {
        judge(&self.validator, document, document.root()).map_err(|failure| {
            // The first step is the schema's number.
            let pointer = failure.pointer.trim_start_matches('/').split_once('/');
            let pointer = pointer.map(|(_, rest)| format!("/{rest}")).unwrap_or_default();
            Failure { pointer: crate::sensitive::evidence_text(&pointer), ..failure }
        })
    }
}

/// Holds a node of a document against a schema.
fn judge(
    validator: &Validator<Representation>,
    document: &Document<'_>,
    node: document::Node<'_>,
) -> Result<(), Failure> {
    let work = document.left();
    let spent = || Failure { spent: true, ..Failure::of("work") };
    let valid = validator.is_valid(node);
    if document.is_spent() {
        return Err(spent());
    }
    if valid {
        return Ok(());
    }
    // Once more, to know why.
    document.allow(work);
    match validator.validate(node) {
        _ if document.is_spent() => Err(spent()),
        Ok(()) => Err(Failure::of("schema")),
        Err(error) => {
            let error = deepest(&error);
            let keyword = match error.kind() {
                ValidationErrorKind::Not { schema } if schema.get("$comment").is_some() => "readOnly",
                kind => kind.keyword(),
            };
            Err(Failure { pointer: error.instance_path().as_str().to_owned(), ..Failure::of(keyword) })
        }
    }
}

/// Of what every alternative says, what is furthest in the value: that alternative was meant most likely.
fn deepest<'e, 'v>(error: &'e ValidationError<'v>) -> &'e ValidationError<'v> {
    let depth = |error: &ValidationError<'_>| error.instance_path().as_str().matches('/').count();
    let mut deepest: &ValidationError<'_> = error;
    // Alternatives within alternatives; the validator has been through all of them.
    for _ in 0..document::DEEPEST {
        let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) =
            deepest.kind()
        else {
            break;
        };
        let Some(inner) = context.iter().flatten().max_by_key(|error| depth(error)) else { break };
        if depth(inner) <= depth(deepest) {
            break;
        }
        deepest = inner;
    }
    deepest
}

fn undeclared(reason: Reason) -> Violation {
    Violation { reason, place: "path".to_owned(), pointer: String::new(), keyword: "undeclared".to_owned() }
}

/// Where in the document a place of the gathered schemas stands: below `/$defs/7` is what is below the seventh's place.
fn origin(place: &str, places: &[String]) -> String {
    let Some(rest) = place.strip_prefix("/$defs/") else { return String::new() };
    let (number, rest) = rest.split_once('/').map_or((rest, ""), |(number, rest)| (number, rest));
    let origin = number.parse::<usize>().ok().and_then(|number| places.get(number));
    let Some(origin) = origin else { return String::new() };
    if rest.is_empty() { origin.clone() } else { format!("{origin}/{rest}") }
}
