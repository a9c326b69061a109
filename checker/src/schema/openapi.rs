//! The document of OpenAPI 3.0 and 3.1: its operations, and what each takes and answers.

use std::collections::HashSet;

use super::{
    Operation, Options, Parts,
    body::{Body, Media},
    dialect::{Direction, Schemas},
    parameter::{Location, Parameter, Style},
    shape::Shape,
    source::{Node, Problem, Value, step},
};

/// Methods that a path may have (OpenAPI, "Path Item Object").
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// What a response is held against.
#[derive(Clone, Debug)]
pub(super) struct Response {
    /// `200`, `2XX` or `default`.
    pub(super) status: String,
    pub(super) body: Body,
}

/// What is read of a path or an operation while it is gone through.
struct Reader<'s> {
    schemas: Schemas<'s>,
    parts: Parts,
}

/// Reads a document.
///
/// # Errors
///
/// All [`Problem`]s, as far as one does not hide another.
pub(super) fn read<'s>(
    root: &'s Node,
    options: &'s Options,
) -> Result<(Parts, serde_json::Value, Vec<String>), Vec<Problem>> {
    let version = match root.get("openapi").map(|node| &node.value) {
        Some(Value::String(text) | Value::Number(text)) => text.as_str(),
        _ => "",
    };
    let old = match version.split('.').take(2).collect::<Vec<_>>()[..] {
        ["3", "0"] => true,
        ["3", "1"] => false,
        _ => {
            let message = match root.text_of("swagger") {
                Some(version) => format!("OpenAPI {version} is not read: convert it to 3.0 or 3.1"),
                None => format!("`openapi` must be 3.0 or 3.1, and is {version:?}"),
            };
            let line = root.line_of("/openapi");
            return Err(vec![Problem { pointer: "/openapi".to_owned(), line, message }]);
        }
    };
    let mut reader = Reader { schemas: Schemas::new(root, options, old), parts: Parts::default() };
    let info = root.get("info");
    let text = |name| info.and_then(|info| info.text_of(name)).unwrap_or_default().to_owned();
    (reader.parts.title, reader.parts.version) = (text("title"), text("version"));
    reader.bases(root, options);
    reader.query_keys(root);
    for (template, item) in root.get("paths").map(Node::entries).unwrap_or_default() {
        if !template.starts_with("x-") {
            reader.path(template, item);
        }
    }
    if reader.parts.operations.is_empty() {
        reader.schemas.problem("/paths", "no operation is declared");
    }
    let Reader { schemas, parts } = reader;
    let (whole, places, problems) = schemas.finish();
    if problems.is_empty() { Ok((parts, whole, places)) } else { Err(problems) }
}

impl<'s> Reader<'s> {
    /// The paths below which the operations stand: of the operator, or of the servers that the document names.
    fn bases(&mut self, root: &Node, options: &Options) {
        let mut bases: Vec<String> = match &options.base {
            Some(base) => vec![base.clone()],
            None => root
                .get("servers")
                .map(Node::elements)
                .unwrap_or_default()
                .iter()
                .filter_map(|server| server.text_of("url").map(|url| base_of(url, server.get("variables"))))
                .collect(),
        };
        if bases.is_empty() {
            bases.push(String::new());
        }
        let bases = bases.iter().map(|base| {
            base.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        });
        for base in bases {
            if !self.parts.bases.contains(&base) {
                self.parts.bases.push(base);
            }
        }
    }

    /// Keys that are sent in the query (OpenAPI, "Security Scheme Object").
    fn query_keys(&mut self, root: &Node) {
        let schemes = root.at("/components/securitySchemes").map(Node::entries).unwrap_or_default();
        let keys = schemes.iter().filter(|(_, scheme)| scheme.text_of("in") == Some("query"));
        self.parts.query_keys =
            keys.filter_map(|(_, scheme)| scheme.text_of("name")).map(str::to_owned).collect();
    }

    fn path(&mut self, template: &str, item: &'s Node) {
        let pointer = format!("/paths/{}", step(template));
        let Some((item, pointer)) = self.schemas.resolve(item, &pointer) else { return };
        let names = match self.parts.paths.add(template) {
            Ok(names) => names.to_vec(),
            Err(message) => {
                self.schemas.problem(&pointer, message);
                return;
            }
        };
        let shared = self.parameters(item, &pointer);
        let mut operations = Vec::new();
        for method in METHODS {
            let Some(node) = item.get(method) else { continue };
            let pointer = format!("{pointer}/{method}");
            let mut parameters = self.parameters(node, &pointer);
            // Those of the operation stand over those of the path.
            for other in &shared {
                let same = |one: &Parameter| (&one.name, one.location) == (&other.name, other.location);
                if !parameters.iter().any(same) {
                    parameters.push(other.clone());
                }
            }
            self.path_parameters(&names, &parameters, &pointer);
            operations.push((method.to_ascii_uppercase(), self.parts.operations.len()));
            let operation = Operation {
                method: method.to_ascii_uppercase(),
                path: template.to_owned(),
                id: node.text_of("operationId").map(str::to_owned),
                parameters,
                body: self.request_body(node, &pointer),
                responses: self.responses(node, &pointer),
            };
            self.parts.operations.push(operation);
        }
        self.parts.templates.push(operations);
    }

    /// What is in braces must be declared, and the other way round.
    fn path_parameters(&mut self, names: &[String], parameters: &[Parameter], pointer: &str) {
        let declared: HashSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter.location == Location::Path)
            .map(|parameter| parameter.name.as_str())
            .collect();
        for name in names.iter().filter(|name| !declared.contains(name.as_str())) {
            self.schemas.problem(pointer, format!("path parameter {name:?} is not declared"));
        }
        for name in declared.iter().filter(|name| !names.iter().any(|other| other == *name)) {
            self.schemas.problem(pointer, format!("path parameter {name:?} is not in the path"));
        }
    }

    fn parameters(&mut self, node: &'s Node, pointer: &str) -> Vec<Parameter> {
        let mut parameters: Vec<Parameter> = Vec::new();
        let all = node.get("parameters").map(Node::elements).unwrap_or_default();
        for (number, node) in all.iter().enumerate() {
            let pointer = format!("{pointer}/parameters/{number}");
            if let Some(parameter) = self.parameter(node, &pointer) {
                let same = |other: &Parameter| {
                    (&other.name, other.location) == (&parameter.name, parameter.location)
                };
                if parameters.iter().any(same) {
                    self.schemas.problem(&pointer, format!("{:?} is declared twice", parameter.name));
                }
                parameters.push(parameter);
            }
        }
        parameters
    }

    fn parameter(&mut self, node: &'s Node, pointer: &str) -> Option<Parameter> {
        let (node, pointer) = self.schemas.resolve(node, pointer)?;
        let Some((name, location)) = node.text_of("name").zip(node.text_of("in").and_then(Location::of_name))
        else {
            self.schemas
                .problem(&pointer, "a parameter has a name, and `in` is path, query, header or cookie");
            return None;
        };
        // Others say what these are (OpenAPI, "Parameter Object").
        let reserved = ["accept", "content-type", "authorization"];
        if location == Location::Header && reserved.contains(&name.to_ascii_lowercase().as_str()) {
            return None;
        }
        let (style, explode) = self.style(node, &pointer, location)?;
        let (schema, place) = match (node.get("schema"), node.get("content").map(Node::entries)) {
            (Some(schema), None) => (schema, format!("{pointer}/schema")),
            (None, Some([(kind, media)])) if media.get("schema").is_some() => {
                (media.get("schema")?, format!("{pointer}/content/{}/schema", step(kind)))
            }
            _ => {
                self.schemas
                    .problem(&pointer, "a parameter has either a schema, or content of one type with one");
                return None;
            }
        };
        Some(Parameter {
            name: name.to_owned(),
            location,
            required: node.is("required") || location == Location::Path,
            allow_empty: node.is("allowEmptyValue") && location == Location::Query,
            style,
            explode,
            schema: self.schemas.number(schema, &place, Direction::Request),
            shape: Shape::read(&mut self.schemas, schema, &place),
        })
    }

    fn style(&mut self, node: &Node, pointer: &str, location: Location) -> Option<(Style, bool)> {
        if let Some(content) = node.get("content") {
            let kind = content.entries().first().map_or("", |(kind, _)| kind.as_str());
            if kind == "application/json" || kind.ends_with("+json") {
                return Some((Style::Content, false));
            }
            self.schemas.problem(
                pointer,
                format!("content of type {kind:?} cannot be read in a parameter: only JSON"),
            );
            return None;
        }
        let default = match location {
            Location::Path | Location::Header => Style::Simple,
            Location::Query | Location::Cookie => Style::Form,
        };
        let style = match node.text_of("style") {
            None => default,
            Some(name) => match Style::of_name(name).filter(|style| style.fits(location)) {
                Some(style) => style,
                None => {
                    self.schemas
                        .problem(pointer, format!("style {name:?} is not read in {}", location.name()));
                    return None;
                }
            },
        };
        let explode = match node.get("explode").map(|node| &node.value) {
            Some(Value::Boolean(explode)) => *explode,
            _ => style == Style::Form,
        };
        Some((style, explode))
    }

    fn request_body(&mut self, node: &'s Node, pointer: &str) -> Option<Body> {
        let pointer = format!("{pointer}/requestBody");
        let (node, pointer) = self.schemas.resolve(node.get("requestBody")?, &pointer)?;
        Some(Body { required: node.is("required"), media: self.media(node, &pointer, Direction::Request) })
    }

    fn media(&mut self, node: &'s Node, pointer: &str, direction: Direction) -> Vec<Media> {
        let mut all = Vec::new();
        for (kind, media) in node.get("content").map(Node::entries).unwrap_or_default() {
            let place = format!("{pointer}/content/{}", step(kind));
            let Some(essence) = super::body::essence(kind.as_bytes()).filter(|essence| essence.contains('/'))
            else {
                self.schemas.problem(&place, "no media type");
                continue;
            };
            let place = format!("{place}/schema");
            let (schema, shape) = match media.get("schema") {
                Some(schema) => (
                    Some(self.schemas.number(schema, &place, direction)),
                    Shape::read(&mut self.schemas, schema, &place),
                ),
                None => (None, Shape::default()),
            };
            all.push(Media { essence, schema, shape });
        }
        all
    }

    fn responses(&mut self, node: &'s Node, pointer: &str) -> Vec<Response> {
        let mut responses = Vec::new();
        for (status, node) in node.get("responses").map(Node::entries).unwrap_or_default() {
            let pointer = format!("{pointer}/responses/{}", step(status));
            if status.starts_with("x-") {
                continue;
            }
            if let Some((node, pointer)) = self.schemas.resolve(node, &pointer) {
                let body = Body { required: false, media: self.media(node, &pointer, Direction::Response) };
                responses.push(Response { status: status.to_ascii_uppercase(), body });
            }
        }
        responses
    }
}

/// The path of a server's URL, with its variables' defaults.
fn base_of(url: &str, variables: Option<&Node>) -> String {
    let mut url = url.to_owned();
    for (name, variable) in variables.map(Node::entries).unwrap_or_default() {
        url = url.replace(&format!("{{{name}}}"), variable.text_of("default").unwrap_or_default());
    }
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url.as_str(),
    };
    path.split(['?', '#']).next().unwrap_or_default().to_owned()
}
