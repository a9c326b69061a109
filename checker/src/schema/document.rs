//! What is held against a schema: a value as a list of nodes, whose numbers are as they were written, and which counts how often it is looked at.
//!
//! A validator that is given this can neither see what was not sent nor go on for ever: when the work that its length allows is done, all of it looks
//! like `null`, and whatever recursion goes on ends.

use std::{borrow::Cow, cell::Cell};

use jsonschema::{
    JsonType,
    json::{Array, Json, Node as JsonNode, NodeIdentity, Object},
};
use serde_json::Value;

use super::number::{self, Number};
use crate::{
    Reason,
    json::{self, Event, Scalar, Step},
};

/// Containers within one another.
pub(super) const DEEPEST: usize = 64;
/// Looks at a node that any document allows, and more for each of its bytes. A look takes some 10 ns, so 1 KiB takes 1 ms at most.
const WORK: u64 = 20_000;
const WORK_PER_BYTE: u64 = 64;
/// Objects with more entries have an index.
const FEW: usize = 8;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Content<'d> {
    Null,
    Boolean(bool),
    Number(Cow<'d, str>),
    String(Cow<'d, str>),
    /// A file: a string of which only the length is known.
    File(usize),
    Array {
        first: u32,
        length: usize,
    },
    Object {
        first: u32,
        length: usize,
        /// Entries in the order of their names, where there are many.
        index: Box<[u32]>,
    },
}

#[derive(Debug)]
struct Entry<'d> {
    name: Cow<'d, str>,
    content: Content<'d>,
    /// What stands in the same container next; 0 for nothing.
    next: u32,
}

/// A value to be held against a schema: the one entry of an object, under the schema's number.
#[derive(Debug)]
pub(super) struct Document<'d> {
    entries: Vec<Entry<'d>>,
    work: Cell<u64>,
}

/// Builds a document in the order of its text.
pub(super) struct Builder<'d> {
    entries: Vec<Entry<'d>>,
    /// Containers that are open, and what stands in each last.
    open: Vec<(u32, u32)>,
    name: Cow<'d, str>,
    bytes: u64,
}

impl<'d> Builder<'d> {
    /// For a value that is held against the schema of this number.
    pub(super) fn new(schema: usize) -> Self {
        let mut builder = Self { entries: Vec::new(), open: Vec::new(), name: Cow::Borrowed(""), bytes: 0 };
        builder.open(true);
        builder.name(Cow::Owned(schema.to_string()));
        builder
    }

    /// The name of the next entry of an object.
    pub(super) fn name(&mut self, name: Cow<'d, str>) {
        self.bytes += name.len() as u64;
        self.name = name;
    }

    /// The next value, if it is no container.
    pub(super) fn scalar(&mut self, content: Content<'d>) {
        self.bytes += match &content {
            Content::Number(text) | Content::String(text) => 1 + text.len() as u64,
            _ => 1,
        };
        self.append(content);
    }

    /// A container begins.
    pub(super) fn open(&mut self, object: bool) {
        let content = if object {
            Content::Object { first: 0, length: 0, index: Box::default() }
        } else {
            Content::Array { first: 0, length: 0 }
        };
        let number = self.append(content);
        self.open.push((number, 0));
    }

    /// The container that was opened last ends.
    pub(super) fn close(&mut self) {
        let Some((container, _)) = self.open.pop() else { return };
        let Some(Entry { content: Content::Object { first, length, .. }, .. }) =
            self.entries.get(container as usize)
        else {
            return;
        };
        if *length <= FEW {
            return;
        }
        let mut order = Vec::with_capacity(*length);
        let mut at = *first;
        while let Some(entry) = self.entries.get(at as usize).filter(|_| at != 0) {
            order.push(at);
            at = entry.next;
        }
        let name = |at: &u32| self.entries.get(*at as usize).map(|entry| &*entry.name);
        order.sort_by(|left, right| name(left).cmp(&name(right)));
        if let Some(Entry { content: Content::Object { index, .. }, .. }) =
            self.entries.get_mut(container as usize)
        {
            *index = order.into_boxed_slice();
        }
    }

    fn append(&mut self, content: Content<'d>) -> u32 {
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.bytes += 1;
        self.entries.push(Entry { name: std::mem::take(&mut self.name), content, next: 0 });
        let Some((container, last)) = self.open.last_mut() else { return number };
        let before = std::mem::replace(last, number);
        if before != 0
            && let Some(before) = self.entries.get_mut(before as usize)
        {
            before.next = number;
        }
        if let Some(container) = self.entries.get_mut(*container as usize)
            && let Content::Array { first, length } | Content::Object { first, length, .. } =
                &mut container.content
        {
            if *length == 0 {
                *first = number;
            }
            *length += 1;
        }
        number
    }

    /// Whatever is open ends.
    pub(super) fn finish(mut self) -> Document<'d> {
        while !self.open.is_empty() {
            self.close();
        }
        let document = Document { entries: self.entries, work: Cell::new(0) };
        document.allow(WORK + WORK_PER_BYTE * self.bytes);
        document
    }
}

/// Reads JSON as the value that a builder has next.
///
/// # Errors
///
/// The [`Reason`] to refuse it: what it is as JSON, too deep, or a number that cannot be judged.
pub(super) fn read<'d>(
    builder: &mut Builder<'d>,
    bytes: &'d [u8],
    limits: &json::Limits,
) -> Result<(), Reason> {
    let limits = json::Limits { depth: limits.depth.min(DEEPEST), repeated_names: false, ..*limits };
    let mut judged = true;
    json::events(bytes, &limits, &mut |path, event, _| {
        if let (Some(Step::Name(name)), Event::Open { .. } | Event::Scalar(_)) = (path.last(), event) {
            builder.name(name.clone());
        }
        match event {
            Event::Open { object } => builder.open(object),
            Event::Close => builder.close(),
            Event::Name => {}
            Event::Scalar(scalar) => builder.scalar(match scalar {
                Scalar::Null => Content::Null,
                Scalar::Boolean(value) => Content::Boolean(*value),
                Scalar::Number(text) => {
                    judged &= number::is_judged(text);
                    Content::Number(Cow::Borrowed(text))
                }
                Scalar::String(text) => Content::String(text.clone()),
            }),
        }
        if judged { Ok(()) } else { Err(Reason::SchemaNumber) }
    })
}

impl Document<'_> {
    /// The whole.
    pub(super) fn root(&self) -> Node<'_> {
        Node { document: self, number: 0 }
    }

    /// The value alone.
    pub(super) fn value(&self) -> Node<'_> {
        Node { document: self, number: 1 }
    }

    /// Whether more work was needed than is allowed.
    pub(super) fn is_spent(&self) -> bool {
        self.work.get() == 0
    }

    /// Sets how much work is allowed from here on.
    pub(super) fn allow(&self, work: u64) {
        self.work.set(work);
    }

    /// The work that is left.
    pub(super) fn left(&self) -> u64 {
        self.work.get()
    }

    fn charge(&self, work: u64) -> bool {
        self.work.set(self.work.get().saturating_sub(work));
        self.work.get() > 0
    }

    fn entry(&self, number: u32) -> Option<&Entry<'_>> {
        self.entries.get(number as usize).filter(|_| self.charge(1))
    }
}

/// A node of a document.
#[derive(Clone, Copy)]
pub(super) struct Node<'d> {
    document: &'d Document<'d>,
    number: u32,
}

impl<'d> Node<'d> {
    fn content(self) -> &'d Content<'d> {
        self.document.entry(self.number).map_or(&Content::Null, |entry| &entry.content)
    }

    fn children(self) -> Children<'d> {
        let (first, length) = match self.content() {
            Content::Array { first, length } | Content::Object { first, length, .. } => (*first, *length),
            _ => (0, 0),
        };
        Children { document: self.document, next: first, length }
    }

    /// The value as a text that is the same for equal values.
    fn write(self, out: &mut String) {
        match self.content() {
            Content::Null => out.push_str("null"),
            Content::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Content::Number(text) => match Decimal::read(text) {
                Some(number) => number.write(out),
                None => out.push_str(text),
            },
            Content::String(text) => write_string(text, out),
            Content::File(length) => out.push_str(&format!("\"{length}")),
            Content::Array { .. } => {
                out.push('[');
                for (_, child) in self.children() {
                    child.write(out);
                    out.push(',');
                }
                out.push(']');
            }
            Content::Object { .. } => {
                let mut entries: Vec<_> = self.children().collect();
                entries.sort_by_key(|(name, _)| *name);
                out.push('{');
                for (name, child) in entries {
                    write_string(name, out);
                    out.push(':');
                    child.write(out);
                }
                out.push('}');
            }
        }
    }

    fn equals(self, expected: &Value) -> bool {
        match (self.content(), expected) {
            (Content::Null, Value::Null) => true,
            (Content::Boolean(value), Value::Bool(expected)) => value == expected,
            (Content::Number(text), Value::Number(expected)) => {
                number::are_equal(text, &expected.to_string())
            }
            (Content::String(text), Value::String(expected)) => text == expected,
            (Content::Array { length, .. }, Value::Array(expected)) => {
                *length == expected.len()
                    && self.children().zip(expected).all(|((_, child), expected)| child.equals(expected))
            }
            (Content::Object { length, .. }, Value::Object(expected)) => {
                *length == expected.len()
                    && self.children().all(|(name, child)| {
                        expected.get(name).is_some_and(|expected| child.equals(expected))
                    })
            }
            _ => false,
        }
    }
}

use number::Decimal;

/// With its length before it, nothing in it can be taken for what stands around it.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(&text.len().to_string());
    out.push(':');
    out.push_str(text);
}

/// What stands in a container, with names where it is an object.
pub(super) struct Children<'d> {
    document: &'d Document<'d>,
    next: u32,
    length: usize,
}

impl<'d> Iterator for Children<'d> {
    type Item = (&'d str, Node<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next;
        let entry = self.document.entry(number).filter(|_| number != 0)?;
        self.next = entry.next;
        Some((&entry.name, Node { document: self.document, number }))
    }
}

/// The representation as the validator knows it.
#[derive(Debug)]
pub(super) enum Representation {}

impl Json for Representation {
    type Node<'d> = Node<'d>;
    type PreparedKey = Box<str>;
    type StringBuffer = ();
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Node<'_>) -> T) -> T {
        let content = Content::String(Cow::Borrowed(string));
        let entries = vec![Entry { name: Cow::Borrowed(""), content, next: 0 }];
        let work = Cell::new(WORK + WORK_PER_BYTE * string.len() as u64);
        f(Document { entries, work }.root())
    }
}

impl<'d> JsonNode<'d, Representation> for Node<'d> {
    type Object = Entries<'d>;
    type Array = Elements<'d>;
    type Number = Number<'d>;

    fn as_object(&self) -> Option<Entries<'d>> {
        matches!(self.content(), Content::Object { .. }).then_some(Entries(*self))
    }

    fn as_array(&self) -> Option<Elements<'d>> {
        matches!(self.content(), Content::Array { .. }).then_some(Elements(*self))
    }

    fn as_string(&self) -> Option<Cow<'d, str>> {
        match self.content() {
            Content::String(text) => {
                // What looks at a string reads all of it.
                self.document.charge(text.len() as u64 / 32);
                Some(Cow::Borrowed(text))
            }
            Content::File(_) => Some(Cow::Borrowed("")),
            _ => None,
        }
    }

    fn as_number(&self) -> Option<Number<'d>> {
        match self.content() {
            Content::Number(text) => Some(Number(text)),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.content() {
            Content::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self.content(), Content::Null)
    }

    fn json_type(&self) -> JsonType {
        match self.content() {
            Content::Null => JsonType::Null,
            Content::Boolean(_) => JsonType::Boolean,
            Content::Number(_) => JsonType::Number,
            Content::String(_) | Content::File(_) => JsonType::String,
            Content::Array { .. } => JsonType::Array,
            Content::Object { .. } => JsonType::Object,
        }
    }

    fn string_length(&self) -> Option<u64> {
        match self.content() {
            Content::File(length) => Some(*length as u64),
            _ => self.as_string().map(|text| text.chars().count() as u64),
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        self.equals(expected)
    }

    // Errors say where and why, never what.
    fn to_value(&self) -> Cow<'d, Value> {
        Cow::Owned(Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::tagged(std::ptr::from_ref(self.document).addr(), self.number))
    }
}

/// The entries of an object.
pub(super) struct Entries<'d>(Node<'d>);

impl<'d> Object<'d, Representation> for Entries<'d> {
    type Node = Node<'d>;
    type MemberName = &'d str;
    type MembersIter = Children<'d>;

    fn len(&self) -> usize {
        self.0.children().length
    }

    fn get(&self, key: &Box<str>) -> Option<Node<'d>> {
        let document = self.0.document;
        let Content::Object { index, .. } = self.0.content() else { return None };
        if index.is_empty() {
            return self.0.children().find(|(name, _)| **name == **key).map(|(_, node)| node);
        }
        let name = |number: &u32| document.entries.get(*number as usize).map_or("", |entry| &entry.name);
        let place = index.binary_search_by(|number| name(number).cmp(key)).ok()?;
        index.get(place).map(|&number| Node { document, number })
    }

    fn members(&self) -> Children<'d> {
        self.0.children()
    }
}

/// The elements of an array.
pub(super) struct Elements<'d>(Node<'d>);

impl<'d> Array<'d, Representation> for Elements<'d> {
    type Node = Node<'d>;
    type ElementsIter = std::iter::Map<Children<'d>, fn((&'d str, Node<'d>)) -> Node<'d>>;

    fn len(&self) -> usize {
        self.0.children().length
    }

    fn elements(&self) -> Self::ElementsIter {
        self.0.children().map(|(_, node)| node)
    }

    fn is_unique(&self) -> bool {
        let mut seen = std::collections::HashSet::new();
        self.0.children().all(|(_, node)| {
            let mut text = String::new();
            node.write(&mut text);
            node.document.charge(text.len() as u64 / 16);
            seen.insert(text)
        })
    }
}
