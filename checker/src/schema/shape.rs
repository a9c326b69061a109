//! How a text becomes a value: a parameter and a form's field are text, and their schema says what of.

use std::borrow::Cow;

use super::{
    dialect::Schemas,
    document::{Builder, Content},
    source::{Node, Value, step},
};

/// Kinds of values, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Types(u8);

impl Types {
    const STRING: u8 = 1;
    const NUMBER: u8 = 2;
    const INTEGER: u8 = 4;
    const BOOLEAN: u8 = 8;
    const NULL: u8 = 16;
    const ARRAY: u8 = 32;
    const OBJECT: u8 = 64;

    const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    pub(super) const fn has_array(self) -> bool {
        self.has(Self::ARRAY)
    }

    pub(super) const fn has_object(self) -> bool {
        self.has(Self::OBJECT)
    }

    /// Whether it may be one that is no container; one that says nothing may.
    pub(super) const fn has_scalar(self) -> bool {
        self.0 == 0 || self.has(!(Self::ARRAY | Self::OBJECT))
    }

    fn add(&mut self, name: &str) {
        self.0 |= match name {
            "string" => Self::STRING,
            "number" => Self::NUMBER,
            "integer" => Self::INTEGER,
            "boolean" => Self::BOOLEAN,
            "null" => Self::NULL,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => 0,
        };
    }

    /// What a text may be, the most particular first. A string is always among them where nothing else is, so that something can be judged.
    pub(super) fn readings<'t>(self, text: &Cow<'t, str>) -> Vec<Content<'t>> {
        let mut readings = Vec::with_capacity(2);
        let any = self.0 == 0;
        // JSON's form for integers only: what else reads one as what is not known.
        if (self.has(Self::NUMBER) || any) && is_number(text) || self.has(Self::INTEGER) && is_integer(text) {
            readings.push(Content::Number(text.clone()));
        }
        if (self.has(Self::BOOLEAN) || any) && matches!(&**text, "true" | "false") {
            readings.push(Content::Boolean(text == "true"));
        }
        if self.has(Self::NULL) && (text.is_empty() || text == "null") {
            readings.push(Content::Null);
        }
        if self.has(Self::STRING) || any || readings.is_empty() {
            readings.push(Content::String(text.clone()));
        }
        readings
    }

    /// What a text is where there can be no second reading.
    pub(super) fn reading<'t>(self, text: &Cow<'t, str>) -> Content<'t> {
        self.readings(text).swap_remove(0)
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain && !digits.is_empty() && (digits == "0" || !digits.starts_with('0')) && digits.len() <= 64
}

/// RFC 8259, section 6.
fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_integer(whole)
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
        && super::number::is_judged(text)
}

/// What a field may be, and what is in it.
#[derive(Clone, Default, Debug)]
pub(super) struct Field {
    pub(super) types: Types,
    /// What an array's elements may be.
    pub(super) items: Types,
}

/// What a value may be, and what its fields are if it is an object.
#[derive(Clone, Default, Debug)]
pub(super) struct Shape {
    pub(super) itself: Field,
    pub(super) fields: Vec<(String, Field)>,
    /// The fields that have no name here.
    pub(super) others: Field,
}

impl Shape {
    pub(super) fn field(&self, name: &str) -> &Field {
        self.fields.iter().find(|(other, _)| other == name).map_or(&self.others, |(_, field)| field)
    }

    pub(super) fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|(other, _)| other == name)
    }

    /// Reads a schema, with what it consists of.
    pub(super) fn read<'s>(schemas: &mut Schemas<'s>, node: &'s Node, pointer: &str) -> Self {
        let mut shape = Self { itself: field(schemas, node, pointer), ..Self::default() };
        each_part(schemas, node, pointer, 0, &mut |schemas, part, pointer| {
            for (name, entry) in part.get("properties").map(Node::entries).unwrap_or_default() {
                let found = field(schemas, entry, &format!("{pointer}/properties/{}", step(name)));
                if !shape.has_field(name) {
                    shape.fields.push((name.clone(), found));
                }
            }
            if let Some(more) = part.get("additionalProperties") {
                shape.others = field(schemas, more, &format!("{pointer}/additionalProperties"));
            }
        });
        shape
    }
}

fn field<'s>(schemas: &mut Schemas<'s>, node: &'s Node, pointer: &str) -> Field {
    let mut found = Field { types: types(schemas, node, pointer), items: Types::default() };
    if found.types.has_array() {
        each_part(schemas, node, pointer, 0, &mut |schemas, part, pointer| {
            if let Some(items) = part.get("items") {
                found.items.0 |= types(schemas, items, &format!("{pointer}/items")).0;
            }
        });
    }
    found
}

/// The types that a schema names anywhere.
fn types<'s>(schemas: &mut Schemas<'s>, node: &'s Node, pointer: &str) -> Types {
    let mut types = Types::default();
    each_part(schemas, node, pointer, 0, &mut |_, part, _| {
        match part.get("type").map(|kind| &kind.value) {
            Some(Value::String(name)) => types.add(name),
            Some(Value::Array(names)) => names.iter().filter_map(Node::text).for_each(|name| types.add(name)),
            _ => {}
        }
        if part.is("nullable") {
            types.add("null");
        }
    });
    types
}

/// Shows the schema and those that the same value is held against.
fn each_part<'s>(
    schemas: &mut Schemas<'s>,
    node: &'s Node,
    pointer: &str,
    depth: usize,
    show: &mut dyn FnMut(&mut Schemas<'s>, &'s Node, &str),
) {
    // Deeper than this nobody nests what says the type of a parameter.
    if depth == 6 {
        return;
    }
    let Some((node, pointer)) = schemas.resolve(node, pointer) else { return };
    show(schemas, node, &pointer);
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for (number, part) in node.get(keyword).map(Node::elements).unwrap_or_default().iter().enumerate() {
            each_part(schemas, part, &format!("{pointer}/{keyword}/{number}"), depth + 1, show);
        }
    }
}

/// Texts as an array of what its elements may be.
pub(super) fn array<'t>(
    builder: &mut Builder<'t>,
    items: Types,
    texts: impl IntoIterator<Item = Cow<'t, str>>,
) {
    builder.open(false);
    for text in texts {
        builder.scalar(items.reading(&text));
    }
    builder.close();
}
