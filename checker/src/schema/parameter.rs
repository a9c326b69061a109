//! Parameters: how they are written (OpenAPI, "Style Values"), and whether what is written is valid.

use std::borrow::Cow;

use super::{
    Call, Failure, Specification, Violation,
    document::{self, Builder},
    shape::{Shape, array},
};
use crate::Reason;

/// Where a parameter stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Location {
    /// In a segment of the path.
    Path,
    /// In the query.
    Query,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
}

impl Location {
    /// As OpenAPI has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        [Self::Path, Self::Query, Self::Header, Self::Cookie]
            .into_iter()
            .find(|location| location.name() == name)
    }
}

/// How a value that is no scalar is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    /// Commas between, in paths and headers.
    Simple,
    /// Commas between, or a parameter for each.
    Form,
    SpaceDelimited,
    PipeDelimited,
    /// `name[entry]`.
    DeepObject,
    /// JSON.
    Content,
}

impl Style {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "simple" => Self::Simple,
            "form" => Self::Form,
            "spaceDelimited" => Self::SpaceDelimited,
            "pipeDelimited" => Self::PipeDelimited,
            "deepObject" => Self::DeepObject,
            _ => return None,
        })
    }

    pub(super) const fn fits(self, location: Location) -> bool {
        match self {
            Self::Simple => matches!(location, Location::Path | Location::Header),
            Self::Form => matches!(location, Location::Query | Location::Cookie),
            Self::SpaceDelimited | Self::PipeDelimited | Self::DeepObject => {
                matches!(location, Location::Query)
            }
            Self::Content => true,
        }
    }

    const fn delimiter(self) -> char {
        match self {
            Self::SpaceDelimited => ' ',
            Self::PipeDelimited => '|',
            _ => ',',
        }
    }
}

/// A parameter of an operation.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: Location,
    /// Whether it must.
    pub required: bool,
    pub(super) allow_empty: bool,
    pub(super) style: Style,
    pub(super) explode: bool,
    pub(super) schema: usize,
    pub(super) shape: Shape,
}

impl Parameter {
    /// Whether a query's parameter of that name belongs to it.
    pub(super) fn owns(&self, name: &str) -> bool {
        if self.style == Style::DeepObject {
            return entry_of(name, &self.name).is_some();
        }
        name == self.name || (self.is_spread() && self.shape.has_field(name))
    }

    /// Whether it is an object whose entries are parameters of their own.
    fn is_spread(&self) -> bool {
        self.explode && self.style == Style::Form && self.shape.itself.types.has_object()
    }

    fn violation(&self, failure: Failure) -> Violation {
        Violation {
            reason: if failure.spent { Reason::SchemaWork } else { Reason::SchemaParameter },
            place: format!("{} {}", self.location.name(), crate::sensitive::evidence_text(&self.name)),
            pointer: failure.pointer,
            keyword: failure.keyword,
        }
    }

    /// Judges it. `values`: what stands under its name, or under those of its entries.
    pub(super) fn check(
        &self,
        specification: &Specification,
        values: &[(&str, Cow<'_, str>)],
    ) -> Result<(), Violation> {
        if values.is_empty() {
            return if self.required { Err(self.violation(Failure::of("required"))) } else { Ok(()) };
        }
        if let ([(_, text)], true) = (values, self.allow_empty)
            && text.is_empty()
        {
            return Ok(());
        }
        let mut last = Failure::of("type");
        for document in self.documents(values) {
            match specification.validate(&document) {
                Ok(()) => return Ok(()),
                Err(failure) => last = failure,
            }
        }
        Err(self.violation(last))
    }

    /// Everything that the text may say.
    fn documents<'t>(&self, values: &[(&'t str, Cow<'t, str>)]) -> Vec<document::Document<'t>> {
        let builder = || Builder::new(self.schema);
        let mut documents = Vec::new();
        if self.style == Style::DeepObject || self.is_spread() {
            documents.extend(self.object_of_parameters(values));
            if self.style == Style::DeepObject {
                return documents;
            }
        }
        let own: Vec<&Cow<'t, str>> =
            values.iter().filter(|(name, _)| *name == self.name).map(|(_, text)| text).collect();
        let types = self.shape.itself.types;
        if types.has_array() && !own.is_empty() {
            let mut builder = builder();
            match &own[..] {
                [text] if !(self.explode && self.style == Style::Form) => {
                    array(&mut builder, self.shape.itself.items, split(text, self.style.delimiter()));
                }
                texts => {
                    array(&mut builder, self.shape.itself.items, texts.iter().map(|text| (*text).clone()));
                }
            }
            documents.push(builder.finish());
        }
        if let [text] = own[..] {
            if types.has_object() && !self.is_spread() {
                documents.extend(self.object_of_list(text));
            }
            if types.has_scalar() {
                documents.extend(types.readings(text).into_iter().map(|content| {
                    let mut builder = builder();
                    builder.scalar(content);
                    builder.finish()
                }));
            }
        }
        documents
    }

    /// `a=1&b=2`, or `name[a]=1&name[b]=2`.
    fn object_of_parameters<'t>(&self, values: &[(&'t str, Cow<'t, str>)]) -> Option<document::Document<'t>> {
        let mut builder = Builder::new(self.schema);
        builder.open(true);
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in values {
            let entry = match self.style {
                Style::DeepObject => entry_of(name, &self.name)?,
                _ => name,
            };
            // In its own place all that has this name is taken.
            if names.contains(&entry) {
                continue;
            }
            names.push(entry);
            builder.name(Cow::Borrowed(entry));
            let field = self.shape.field(entry);
            let texts = values.iter().filter(|(other, _)| other == name).map(|(_, text)| text.clone());
            if field.types.has_array() {
                array(&mut builder, field.items, texts);
            } else {
                let mut texts = texts;
                let (Some(text), None) = (texts.next(), texts.next()) else { return None };
                builder.scalar(field.types.reading(&text));
            }
        }
        builder.close();
        Some(builder.finish())
    }

    /// `a,1,b,2`, or `a=1,b=2`.
    fn object_of_list<'t>(&self, text: &Cow<'t, str>) -> Option<document::Document<'t>> {
        let mut builder = Builder::new(self.schema);
        builder.open(true);
        let mut pieces = split(text, self.style.delimiter());
        let mut names = std::collections::HashSet::new();
        while let Some(piece) = pieces.next() {
            let (name, value) = if self.explode && self.style == Style::Simple {
                let (name, value) = piece.split_once('=')?;
                (Cow::Owned(name.to_owned()), Cow::Owned(value.to_owned()))
            } else {
                (piece, pieces.next()?)
            };
            if !names.insert(name.clone()) {
                return None;
            }
            let types = self.shape.field(&name).types;
            builder.name(name);
            builder.scalar(types.reading(&value));
        }
        builder.close();
        Some(builder.finish())
    }

    /// Judges a value that is JSON.
    pub(super) fn check_content(
        &self,
        specification: &Specification,
        text: &str,
        limits: &crate::json::Limits,
    ) -> Result<(), Violation> {
        let mut builder = Builder::new(self.schema);
        document::read(&mut builder, text.as_bytes(), limits)
            .map_err(|reason| self.violation(Failure::of(reason.name())))?;
        specification.validate(&builder.finish()).map_err(|failure| self.violation(failure))
    }
}

/// `entry` of `name[entry]`.
fn entry_of<'n>(name: &'n str, parameter: &str) -> Option<&'n str> {
    name.strip_prefix(parameter)?
        .strip_prefix('[')?
        .strip_suffix(']')
        .filter(|entry| !entry.contains(['[', ']']))
}

fn split<'t>(text: &Cow<'t, str>, delimiter: char) -> std::vec::IntoIter<Cow<'t, str>> {
    let pieces: Vec<Cow<'t, str>> = match text {
        Cow::Borrowed(text) => text.split(delimiter).map(Cow::Borrowed).collect(),
        Cow::Owned(text) => text.split(delimiter).map(|piece| Cow::Owned(piece.to_owned())).collect(),
    };
    pieces.into_iter()
}

/// Judges all parameters of an operation. `path`: names and values of those in the path.
pub(super) fn check(
    specification: &Specification,
    parameters: &[Parameter],
    path: &[(&str, &str)],
    call: &Call<'_, '_>,
) -> Result<(), Violation> {
    let cookies = cookies(call);
    for parameter in parameters {
        let values: Vec<(&str, Cow<'_, str>)> = match parameter.location {
            Location::Path => named(path.iter().map(|(name, value)| (*name, *value)), parameter),
            Location::Query => named(call.query.iter().map(|(name, value)| (&**name, &**value)), parameter),
            Location::Cookie => named(cookies.iter().copied(), parameter),
            Location::Header => header(parameter, call)?,
        };
        match (&values[..], parameter.style) {
            ([(_, text)], Style::Content) => parameter.check_content(specification, text, call.limits)?,
            ([], _) | (_, Style::Content) if values.is_empty() => parameter.check(specification, &[])?,
            (_, Style::Content) => return Err(parameter.violation(Failure::of("repeated"))),
            _ => parameter.check(specification, &values)?,
        }
    }
    if specification.options.allow_undeclared_query {
        return Ok(());
    }
    let declared = |name: &str| {
        specification.parts.query_keys.iter().any(|key| key == name)
            || parameters
                .iter()
                .any(|parameter| parameter.location == Location::Query && parameter.owns(name))
    };
    match call.query.iter().find(|(name, _)| !declared(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Violation {
            reason: Reason::SchemaUndeclaredParameter,
            place: format!("query {}", crate::sensitive::evidence_text(name)),
            pointer: String::new(),
            keyword: "undeclared".to_owned(),
        }),
    }
}

fn named<'t>(
    all: impl Iterator<Item = (&'t str, &'t str)>,
    parameter: &Parameter,
) -> Vec<(&'t str, Cow<'t, str>)> {
    all.filter(|(name, _)| parameter.owns(name)).map(|(name, value)| (name, Cow::Borrowed(value))).collect()
}

/// A header's lines are one list (RFC 9110, section 5.3).
fn header<'t>(
    parameter: &'t Parameter,
    call: &Call<'_, 't>,
) -> Result<Vec<(&'t str, Cow<'t, str>)>, Violation> {
    let lines =
        call.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(parameter.name.as_bytes()));
    let texts = lines.map(|field| str::from_utf8(field.value)).collect::<Result<Vec<_>, _>>();
    let texts = texts.map_err(|_| parameter.violation(Failure::of("utf-8")))?;
    let value = match texts[..] {
        [] => return Ok(Vec::new()),
        [text] => Cow::Borrowed(text),
        _ => Cow::Owned(texts.join(",")),
    };
    // White space around commas is no part of what stands between them.
    let value = if parameter.shape.itself.types.has_array() && value.contains([' ', '\t']) {
        Cow::Owned(value.split(',').map(str::trim).collect::<Vec<_>>().join(","))
    } else {
        value
    };
    Ok(vec![(&parameter.name, value)])
}

/// RFC 6265, section 4.2.1. One that is not UTF-8 is none that can be judged.
fn cookies<'t>(call: &Call<'_, 't>) -> Vec<(&'t str, &'t str)> {
    let mut cookies = Vec::new();
    for field in call.headers.iter().filter(|field| field.is("cookie")) {
        let Ok(text) = str::from_utf8(field.value) else { continue };
        cookies.extend(text.split(';').filter_map(|pair| pair.trim().split_once('=')));
    }
    cookies
}
