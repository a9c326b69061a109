//! Bodies: of which type they may be, and whether what is in them is valid.

use std::borrow::Cow;

use super::{
    Failure, Specification, Violation,
    document::{self, Builder, Content},
    shape::{Field, Shape},
};
use crate::{Reason, json, multipart, target};

/// What a body of one type is held against.
#[derive(Clone, Debug)]
pub(super) struct Media {
    /// Type and subtype in lower case, either of which may be `*`.
    pub(super) essence: String,
    /// The schema's number.
    pub(super) schema: Option<usize>,
    pub(super) shape: Shape,
}

/// What may be sent, by type.
#[derive(Clone, Default, Debug)]
pub(super) struct Body {
    pub(super) required: bool,
    pub(super) media: Vec<Media>,
}

/// A body as it is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent<'r> {
    pub(super) content_type: Option<&'r [u8]>,
    pub(super) bytes: &'r [u8],
    pub(super) json: &'r json::Limits,
    pub(super) form: &'r target::Limits,
    pub(super) multipart: &'r multipart::Limits,
}

/// How a type's bodies are read.
enum Reading {
    Json,
    Form,
    Multipart,
    Text,
    /// Its presence is all that is judged.
    Opaque,
}

fn reading(essence: &str) -> Reading {
    match essence {
        "application/json" | "text/json" => Reading::Json,
        "application/x-www-form-urlencoded" => Reading::Form,
        "multipart/form-data" => Reading::Multipart,
        _ if essence.ends_with("+json") => Reading::Json,
        _ if essence.starts_with("text/") && essence != "text/xml" => Reading::Text,
        _ => Reading::Opaque,
    }
}

fn violation(reason: Reason, what: &str, keyword: &str) -> Violation {
    Violation { reason, place: what.to_owned(), pointer: String::new(), keyword: keyword.to_owned() }
}

impl Body {
    /// Judges a body. `what` is it called in evidence.
    pub(super) fn check(
        &self,
        specification: &Specification,
        sent: Sent<'_>,
        what: &str,
    ) -> Result<(), Violation> {
        if sent.bytes.is_empty() && sent.content_type.is_none() {
            let missing = self.required && !self.media.is_empty();
            return if missing { Err(violation(Reason::SchemaBody, what, "required")) } else { Ok(()) };
        }
        let essence = sent.content_type.and_then(essence).unwrap_or_default();
        let Some(media) = self.media(&essence) else {
            return Err(violation(Reason::SchemaContentType, what, "content"));
        };
        let Some(schema) = media.schema else { return Ok(()) };
        let mut builder = Builder::new(schema);
        let refused = |reason: Reason| violation(Reason::SchemaBody, what, reason.name());
        match reading(&essence) {
            Reading::Json => document::read(&mut builder, sent.bytes, sent.json).map_err(refused)?,
            Reading::Form => {
                let fields = target::form(sent.bytes, sent.form).map_err(refused)?;
                let fields = fields.into_iter().map(|(name, value)| (name, Item::Text(value))).collect();
                object(&mut builder, &media.shape, fields, sent.json).map_err(refused)?;
            }
            Reading::Multipart => {
                let content_type = sent.content_type.unwrap_or_default();
                let parts = multipart::read(content_type, sent.bytes, sent.multipart).map_err(refused)?;
                let fields = parts.iter().map(|part| (Cow::Borrowed(part.name), item(part))).collect();
                object(&mut builder, &media.shape, fields, sent.json).map_err(refused)?;
            }
            Reading::Text => match str::from_utf8(sent.bytes) {
                Ok(text) => builder.scalar(media.shape.itself.types.reading(&Cow::Borrowed(text))),
                Err(_) => return Err(violation(Reason::SchemaBody, what, "utf-8")),
            },
            Reading::Opaque => return Ok(()),
        }
        specification.validate(&builder.finish()).map_err(|failure| failure.in_body(what))
    }

    /// Whether bodies of a type are declared.
    pub(super) fn takes(&self, content_type: &[u8]) -> bool {
        self.media(&essence(content_type).unwrap_or_default()).is_some()
    }

    /// What is declared for a type: the most particular that covers it (OpenAPI, "Media Type" ranges).
    fn media(&self, essence: &str) -> Option<&Media> {
        let kind = essence.split_once('/').map_or("", |(kind, _)| kind);
        let covers = |range: &str| match range.split_once('/') {
            Some(("*", "*")) => true,
            Some((range, "*")) => range == kind,
            _ => false,
        };
        self.media.iter().find(|media| media.essence == essence).or_else(|| {
            self.media.iter().filter(|media| covers(&media.essence)).max_by_key(|media| media.essence.len())
        })
    }
}

impl Failure {
    fn in_body(self, what: &str) -> Violation {
        let reason = match (self.spent, what) {
            (true, _) => Reason::SchemaWork,
            (false, RESPONSE) => Reason::SchemaResponse,
            (false, _) => Reason::SchemaBody,
        };
        let place =
            if self.pointer.is_empty() { what.to_owned() } else { format!("{what} {}", self.pointer) };
        Violation { reason, place, pointer: self.pointer, keyword: self.keyword }
    }
}

/// What bodies are called in evidence.
pub(super) const REQUEST: &str = "body";
pub(super) const RESPONSE: &str = "response";

/// Type and subtype in lower case.
pub(super) fn essence(value: &[u8]) -> Option<String> {
    let essence = value.split(|&byte| byte == b';').next()?.trim_ascii();
    str::from_utf8(essence).ok().map(str::to_ascii_lowercase)
}

/// A field of a form.
enum Item<'r> {
    Text(Cow<'r, str>),
    Json(&'r [u8]),
    File(usize),
}

fn item<'r>(part: &multipart::Part<'r>) -> Item<'r> {
    let essence = part.content_type.and_then(|value| essence(value.as_bytes()));
    match (part.file, essence.as_deref().map(reading), str::from_utf8(part.body)) {
        (Some(_), ..) => Item::File(part.body.len()),
        (None, Some(Reading::Json), _) => Item::Json(part.body),
        (None, _, Ok(text)) => Item::Text(Cow::Borrowed(text)),
        (None, ..) => Item::File(part.body.len()),
    }
}

/// A form as an object: what stands in it several times, or is declared as one, is an array.
fn object<'r>(
    builder: &mut Builder<'r>,
    shape: &Shape,
    fields: Vec<(Cow<'r, str>, Item<'r>)>,
    limits: &json::Limits,
) -> Result<(), Reason> {
    let mut order: Vec<Cow<'r, str>> = Vec::new();
    let mut by_name: std::collections::HashMap<Cow<'r, str>, Vec<Item<'r>>> =
        std::collections::HashMap::new();
    for (name, item) in fields {
        if !by_name.contains_key(&name) {
            order.push(name.clone());
        }
        by_name.entry(name).or_default().push(item);
    }
    builder.open(true);
    for name in order {
        let items = by_name.remove(&name).unwrap_or_default();
        let field = shape.field(&name);
        builder.name(name);
        let mut items = items.into_iter();
        match (items.next(), items.len()) {
            (Some(item), 0) if !field.types.has_array() => value(builder, field, item, limits)?,
            (Some(item), 0) if matches!(item, Item::Json(_)) => value(builder, field, item, limits)?,
            (Some(first), _) => {
                let texts: Vec<Item<'_>> = std::iter::once(first).chain(items).collect();
                let element = Field { types: field.items, ..Field::default() };
                builder.open(false);
                for item in texts {
                    value(builder, &element, item, limits)?;
                }
                builder.close();
            }
            (None, _) => builder.scalar(Content::Null),
        }
    }
    builder.close();
    Ok(())
}

fn value<'r>(
    builder: &mut Builder<'r>,
    field: &Field,
    item: Item<'r>,
    limits: &json::Limits,
) -> Result<(), Reason> {
    match item {
        Item::File(length) => builder.scalar(Content::File(length)),
        Item::Json(bytes) => document::read(builder, bytes, limits)?,
        // An object in a form is JSON (OpenAPI, "Encoding Object").
        Item::Text(Cow::Borrowed(text)) if field.types.has_object() && text.trim_start().starts_with('{') => {
            document::read(builder, text.as_bytes(), limits)?;
        }
        Item::Text(text) if field.types.has_object() && text.trim_start().starts_with('{') => {
            // What was decoded does not live as long as the document: objects in forms are rare, and judged as text where they need decoding.
            builder.scalar(Content::String(text));
        }
        Item::Text(text) => builder.scalar(field.types.reading(&text)),
    }
    Ok(())
}
