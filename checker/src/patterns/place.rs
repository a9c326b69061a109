//! Where a pattern is looked for, and where a value stands.

use crate::{json::Step, xml::Name};

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum At<'p> {
    /// A segment of the path.
    Path,
    /// A parameter of the query, by name.
    Query(&'p str),
    /// The name of one.
    QueryName,
    /// A header, by name.
    Header(&'p [u8]),
    /// A cookie, by name.
    Cookie(&'p str),
    /// A form's field, or a part or the name of its file, by name.
    Form(&'p str),
    /// The name of one.
    FormName,
    /// A scalar of JSON, by the steps that lead to it; or the name of an entry, which is the last step.
    Json(&'p [Step<'p>]),
    /// A text of XML, by the elements that are open.
    XmlText(&'p [Name<'p>]),
    /// An attribute of XML, by the elements that are open and its name.
    XmlAttribute(&'p [Name<'p>], Name<'p>),
    /// A string in a document of GraphQL, by its argument.
    GraphQl(&'p str),
    /// A body that has no structure which is known.
    Body,
    /// The body of a response.
    Response,
}

/// Every kind of place but a response, a bit each.
pub(super) const REQUEST: u16 = 0x1ff;

impl At<'_> {
    /// A bit for each kind of place.
    pub(super) const fn kind(&self) -> u16 {
        match self {
            Self::Path => 1,
            Self::Query(_) | Self::QueryName => 2,
            Self::Header(_) => 4,
            Self::Cookie(_) => 8,
            Self::Form(_) | Self::FormName => 16,
            Self::Json(_) => 32,
            Self::XmlText(_) | Self::XmlAttribute(..) => 64,
            Self::GraphQl(_) => 128,
            Self::Body => 256,
            Self::Response => 512,
        }
    }
}

/// Where a pattern is looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Where {
    /// `path`: the segments of the path.
    Path,
    /// `query` or `query:NAME`: parameters of the query; their names, too, where none is named.
    Query(Option<String>),
    /// `header` or `header:NAME`.
    Header(Option<String>),
    /// `cookie` or `cookie:NAME`.
    Cookie(Option<String>),
    /// `form` or `form:NAME`: fields of forms and of forms of parts; their names, too, where none is named.
    Form(Option<String>),
    /// `json` or `json:PATH`: what a JSONPath selects and all that is in it.
    Json(Vec<JsonStep>),
    /// `xml` or `xml:PATH`: what an XPath selects: with an attribute at its end this, else the texts and attributes of its elements and of all
    /// that is in them.
    Xml(Vec<XmlStep>),
    /// `graphql` or `graphql:ARGUMENT`: strings in documents.
    GraphQl(Option<String>),
    /// `body`: bodies that have no structure which is known.
    Body,
    /// `response`: bodies of responses.
    Response,
}

/// A step of a JSONPath (RFC 9535): `..` before it, and what it selects.
pub type JsonStep = (bool, JsonTest);
/// A step of an XPath (1.0, section 2.5): `//` before it, and what it selects.
pub type XmlStep = (bool, XmlTest);

/// What a step of a JSONPath selects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JsonTest {
    /// `.*`, `[*]`.
    Any,
    /// `.name`, `['name']`.
    Name(String),
    /// `[number]`.
    Element(usize),
}

/// What a step of an XPath selects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum XmlTest {
    /// `*`.
    Element,
    /// `name` (whatever its prefix is), `prefix:name`.
    Named(String),
    /// `@*`.
    Attribute,
    /// `@name`, `@prefix:name`.
    NamedAttribute(String),
}

/// Why a place cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("place `{place}`, byte {at}: {what}")]
pub struct PlaceError {
    /// The place.
    pub place: String,
    /// Where in it, in bytes, from 0.
    pub at: usize,
    /// What is wrong, and what there could be.
    pub what: &'static str,
}

/// Most steps of a path.
const STEPS: usize = 60;

impl Where {
    /// Reads a place as policies have it.
    ///
    /// # Errors
    ///
    /// A [`PlaceError`].
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
        let start = kind.len() + 1;
        let error = |at: usize, what| PlaceError { place: text.to_owned(), at, what };
        if name == Some("") {
            return Err(error(start, "a name or a path has to follow the colon"));
        }
        let named = name.map(str::to_owned);
        let path = |(at, what): (usize, _)| error(start + at, what);
        Ok(match kind {
            "query" => Self::Query(named),
            "header" => Self::Header(named),
            "cookie" => Self::Cookie(named),
            "form" => Self::Form(named),
            "graphql" => Self::GraphQl(named),
            "json" => Self::Json(json_path(name.unwrap_or("$")).map_err(path)?),
            "xml" => Self::Xml(name.map_or(Ok(Vec::new()), xml_path).map_err(path)?),
            "path" | "body" | "response" if name.is_some() => {
                return Err(error(kind.len(), "it has no name"));
            }
            "path" => Self::Path,
            "body" => Self::Body,
            "response" => Self::Response,
            _ => {
                let known =
                    "it is none of path, query, header, cookie, form, json, xml, graphql, body and response";
                return Err(error(0, known));
            }
        })
    }

    pub(super) const fn kind(&self) -> u16 {
        match self {
            Self::Path => At::Path,
            Self::Query(_) => At::QueryName,
            Self::Header(_) => At::Header(b""),
            Self::Cookie(_) => At::Cookie(""),
            Self::Form(_) => At::FormName,
            Self::Json(_) => At::Json(&[]),
            Self::Xml(_) => At::XmlText(&[]),
            Self::GraphQl(_) => At::GraphQl(""),
            Self::Body => At::Body,
            Self::Response => At::Response,
        }
        .kind()
    }

    /// Whether a value that stands there is meant.
    pub(super) fn covers(&self, at: &At<'_>) -> bool {
        let named =
            |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        match (self, at) {
            (Self::Query(wanted), At::Query(name))
            | (Self::Cookie(wanted), At::Cookie(name))
            | (Self::Form(wanted), At::Form(name))
            | (Self::GraphQl(wanted), At::GraphQl(name)) => named(wanted, name),
            (Self::Query(None), At::QueryName) | (Self::Form(None), At::FormName) => true,
            (Self::Header(wanted), At::Header(name)) => {
                wanted.as_deref().is_none_or(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()))
            }
            (Self::Json(steps), At::Json(path)) => leads(steps, path.iter(), json_step),
            (Self::Xml(steps), At::XmlText(open)) => {
                leads(steps, open.iter().map(|name| (name, false)), xml_step)
            }
            (Self::Xml(steps), At::XmlAttribute(open, name)) => {
                leads(steps, open.iter().map(|name| (name, false)).chain([(name, true)]), xml_step)
            }
            (Self::Path, At::Path) | (Self::Body, At::Body) | (Self::Response, At::Response) => true,
            _ => false,
        }
    }
}

/// Whether steps lead to what stands at the end of a path, or to something around it. All states of the steps are followed at once.
fn leads<T, S>(steps: &[(bool, T)], path: impl Iterator<Item = S>, is: impl Fn(&T, &S) -> bool) -> bool {
    let last = 1_u64 << steps.len();
    let mut states = 1_u64;
    for place in path {
        let mut next = states & last;
        for (number, (anywhere, test)) in steps.iter().enumerate() {
            if states & (1 << number) == 0 {
                continue;
            }
            if *anywhere {
                next |= 1 << number;
            }
            if is(test, &place) {
                next |= 2 << number;
            }
        }
        states = next;
    }
    states & last != 0
}

fn json_step(test: &JsonTest, step: &&Step<'_>) -> bool {
    match (test, step) {
        (JsonTest::Any, _) => true,
        (JsonTest::Name(wanted), Step::Name(name)) => wanted == name,
        (JsonTest::Element(wanted), Step::Element(number)) => wanted == number,
        _ => false,
    }
}

fn xml_step(test: &XmlTest, &(name, attribute): &(&Name<'_>, bool)) -> bool {
    let (wanted, is_attribute) = match test {
        XmlTest::Element => (None, false),
        XmlTest::Named(wanted) => (Some(wanted), false),
        XmlTest::Attribute => (None, true),
        XmlTest::NamedAttribute(wanted) => (Some(wanted), true),
    };
    let alike = |wanted: &String| match wanted.split_once(':') {
        Some((prefix, local)) => name.prefix == prefix && name.local == local,
        None => name.local == wanted,
    };
    attribute == is_attribute && wanted.is_none_or(alike)
}

type PathError = (usize, &'static str);

/// Names, wildcards, numbers and descendants of a JSONPath.
fn json_path(text: &str) -> Result<Vec<JsonStep>, PathError> {
    let at = |rest: &str| text.len() - rest.len();
    let mut rest = text.strip_prefix('$').ok_or((0, "a JSONPath begins with $"))?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let start = at(rest);
        let anywhere = rest.strip_prefix("..");
        let dotted = anywhere.or_else(|| rest.strip_prefix('.'));
        let bracketed = if dotted.is_none() || anywhere.is_some() {
            dotted.unwrap_or(rest).strip_prefix('[')
        } else {
            None
        };
        let test;
        (test, rest) = match (bracketed, dotted) {
            (Some(inner), _) => {
                bracket(inner).ok_or((start, "in brackets there is *, a number or a quoted name"))?
            }
            (None, Some(dotted)) => {
                let end = dotted.find(['.', '[']).unwrap_or(dotted.len());
                let (name, rest) = dotted.split_at(end);
                let plain = |character: char| {
                    character.is_alphanumeric() || character == '_' || !character.is_ascii()
                };
                match name {
                    "*" => (JsonTest::Any, rest),
                    _ if !name.is_empty() && name.chars().all(plain) => {
                        (JsonTest::Name(name.to_owned()), rest)
                    }
                    _ => {
                        return Err((
                            start,
                            "behind a dot there is * or a name; other names stand in brackets and quotes",
                        ));
                    }
                }
            }
            (None, None) => return Err((start, "a step begins with a dot or a bracket")),
        };
        steps.push((anywhere.is_some(), test));
        if steps.len() > STEPS {
            return Err((start, "there are too many steps"));
        }
    }
    Ok(steps)
}

/// What stands in brackets, behind the first of them, and what follows them.
fn bracket(inner: &str) -> Option<(JsonTest, &str)> {
    if let Some(rest) = inner.strip_prefix("*]") {
        return Some((JsonTest::Any, rest));
    }
    let quote = inner.chars().next().filter(|first| matches!(first, '\'' | '"'));
    if let Some(quote) = quote {
        let (name, rest) = inner.get(1..)?.split_once(quote)?;
        // Nothing in quotes is escaped here.
        let good = !name.contains('\\');
        return Some((JsonTest::Name(name.to_owned()), rest.strip_prefix(']')?)).filter(|_| good);
    }
    let (number, rest) = inner.split_once(']')?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| digits).map(|number| (JsonTest::Element(number), rest))
}

/// Elements, attributes and descendants of an XPath in its abbreviated form.
fn xml_path(text: &str) -> Result<Vec<XmlStep>, PathError> {
    let mut rest = text;
    let mut steps: Vec<XmlStep> = Vec::new();
    while !rest.is_empty() {
        let start = text.len() - rest.len();
        let anywhere = rest.strip_prefix("//");
        let inner =
            anywhere.or_else(|| rest.strip_prefix('/')).ok_or((start, "a step begins with / or //"))?;
        if matches!(steps.last(), Some((_, XmlTest::Attribute | XmlTest::NamedAttribute(_)))) {
            return Err((start, "an attribute is the last step"));
        }
        let (step, after) = inner.split_at(inner.find('/').unwrap_or(inner.len()));
        rest = after;
        let is_name = |name: &str| {
            let known = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
            name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(known)
        };
        let test = match (step, step.strip_prefix('@')) {
            ("*", _) => XmlTest::Element,
            (_, Some("*")) => XmlTest::Attribute,
            (_, Some(name)) if is_name(name) => XmlTest::NamedAttribute(name.to_owned()),
            (name, None) if is_name(name) => XmlTest::Named(name.to_owned()),
            _ => {
                return Err((
                    start,
                    "a step is *, a name, @* or @name; there are no axes, functions or predicates",
                ));
            }
        };
        steps.push((anywhere.is_some(), test));
        if steps.len() > STEPS {
            return Err((start, "there are too many steps"));
        }
    }
    Ok(steps)
}
