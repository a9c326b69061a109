//! XML 1.0 (fifth edition) with namespaces (Namespaces in XML 1.0, third edition), read strictly, within limits, in one pass and without
//! building anything: nodes are shown as they come.
//!
//! Strict means well-formed to the letter, UTF-8 only, version 1.0 only, and no document type: what entities can do (grow without bound, read
//! files, call servers) they do out of it. The five predefined entities and references to characters are all that is left.

mod markup;
mod names;
mod tag;

use std::{borrow::Cow, collections::BTreeMap};

use crate::Reason;
pub use names::Name;

/// What XML may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of an element's name, without its prefix.
    pub element_name_length: usize,
    /// Bytes of an attribute's name, without its prefix.
    pub attribute_name_length: usize,
    /// Bytes of a prefix.
    pub prefix_length: usize,
    /// Bytes of a processing instruction's target.
    pub instruction_name_length: usize,
    /// Elements within one another.
    pub depth: usize,
    /// Attributes of an element, declarations of namespaces not among them.
    pub attributes: usize,
    /// Namespaces that an element declares.
    pub namespaces: usize,
    /// Elements that are children of one element.
    pub child_elements: usize,
    /// Texts that are children of one element; white space between tags is a text.
    pub child_texts: usize,
    /// Comments that are children of one element, or beside the root.
    pub child_comments: usize,
    /// Processing instructions that are children of one element, or beside the root.
    pub child_instructions: usize,
    /// Bytes of a text, decoded.
    pub text_length: usize,
    /// Bytes of an attribute's value, decoded.
    pub attribute_length: usize,
    /// Bytes of a namespace's name (a URI), decoded.
    pub namespace_length: usize,
    /// Bytes of a comment.
    pub comment_length: usize,
    /// Bytes of a processing instruction's data.
    pub instruction_length: usize,
    /// Elements, attributes, texts, comments and instructions in all.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            element_name_length: 128,
            attribute_name_length: 128,
            prefix_length: 64,
            instruction_name_length: 64,
            depth: 32,
            attributes: 64,
            namespaces: 32,
            child_elements: 10_000,
            child_texts: 10_001,
            child_comments: 100,
            child_instructions: 10,
            text_length: 256 << 10,
            attribute_length: 16 << 10,
            namespace_length: 512,
            comment_length: 4 << 10,
            instruction_length: 1 << 10,
            nodes: 100_000,
        }
    }
}

impl Limits {
    /// Those of a document that is read for its values alone: its own length is what limits it.
    pub(crate) const WIDEST: Self = {
        const MOST: usize = usize::MAX;
        Self {
            element_name_length: MOST,
            attribute_name_length: MOST,
            prefix_length: MOST,
            instruction_name_length: MOST,
            depth: MOST,
            attributes: MOST,
            namespaces: MOST,
            child_elements: MOST,
            child_texts: MOST,
            child_comments: MOST,
            child_instructions: MOST,
            text_length: MOST,
            attribute_length: MOST,
            namespace_length: MOST,
            comment_length: MOST,
            instruction_length: MOST,
            nodes: MOST,
        }
    };
}

/// What is shown. The names of the elements that are open come with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node<'r> {
    /// An element, whose name is the last of those that are open.
    Element,
    /// An attribute of that element, or a declaration of a namespace; the value as an application gets it.
    Attribute(Name<'r>, Cow<'r, str>),
    /// A text: references decoded, CDATA sections taken in. Comments and processing instructions do not divide what is shown, because an
    /// application that asks for an element's text does not see them.
    Text(Cow<'r, str>),
    /// A comment.
    Comment(&'r str),
    /// A processing instruction: target and data.
    Instruction(&'r str, &'r str),
}

/// Whom nodes are shown to. Its error ends the reading.
pub type Visitor<'v, 'r> = &'v mut dyn FnMut(&[Name<'r>], &Node<'r>) -> Result<(), Reason>;

/// Reads all of `bytes` as one document, and shows `visit` each node with the names of the elements that are open, outermost first.
///
/// Time is linear in the input, up to the logarithm of the number of attributes of an element and of namespaces in scope.
///
/// # Errors
///
/// The [`Reason`] to refuse it: the first one in the order of the bytes, after those of characters; or what `visit` has returned.
pub fn read<'r>(bytes: &'r [u8], limits: &Limits, visit: Visitor<'_, 'r>) -> Result<(), Reason> {
    let text = str::from_utf8(bytes).map_err(|_| Reason::XmlUtf8)?;
    if !names::are_characters(text) {
        return Err(Reason::XmlSyntax);
    }
    // A byte order mark is the encoding's signature (section 4.3.3), and no part of the document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        text,
        at: 0,
        limits,
        nodes: 0,
        open: Vec::new(),
        elements: vec![Element::default()],
        scope: BTreeMap::new(),
        pending: None,
        in_text: false,
    };
    reader.declaration()?;
    reader.outside(visit)?;
    reader.start_tag(visit)?;
    while !reader.open.is_empty() {
        reader.content(visit)?;
    }
    reader.outside(visit)?;
    if reader.at == text.len() { Ok(()) } else { Err(Reason::XmlSyntax) }
}

/// What is to be known of an element that is open.
#[derive(Default)]
struct Element<'r> {
    elements: usize,
    texts: usize,
    comments: usize,
    instructions: usize,
    /// The prefixes that it declares; the empty one is the default namespace's.
    declared: Vec<&'r str>,
}

struct Reader<'r, 'l> {
    text: &'r str,
    at: usize,
    limits: &'l Limits,
    nodes: usize,
    /// The names of the elements that are open.
    open: Vec<Name<'r>>,
    /// One for the document, and one for each element that is open.
    elements: Vec<Element<'r>>,
    /// The namespaces that each prefix was bound to, the last of which counts.
    scope: BTreeMap<&'r str, Vec<Cow<'r, str>>>,
    /// The text that is to be shown when the next tag comes.
    pending: Option<Cow<'r, str>>,
    /// Whether the last piece of content was text.
    in_text: bool,
}

/// A kind of child that is counted.
#[derive(Clone, Copy)]
enum Child {
    Element,
    Text,
    Comment,
    Instruction,
}

impl<'r> Reader<'r, '_> {
    fn rest(&self) -> &'r str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes over `what` if it comes next. Whether it did.
    fn take(&mut self, what: &str) -> bool {
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    fn expect(&mut self, what: &str) -> Result<(), Reason> {
        if self.take(what) { Ok(()) } else { Err(Reason::XmlSyntax) }
    }

    /// Goes over what is before `end`, and over `end`; returns the former.
    fn up_to(&mut self, end: &str) -> Result<&'r str, Reason> {
        let rest = self.rest();
        let found = memchr::memmem::find(rest.as_bytes(), end.as_bytes()).ok_or(Reason::XmlSyntax)?;
        self.at += found + end.len();
        rest.get(..found).ok_or(Reason::XmlSyntax)
    }

    /// Goes over white space. Whether there was some.
    fn white_space(&mut self) -> bool {
        let start = self.at;
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.at > start
    }

    /// Counts a node, and a child of the element that is open.
    fn count(&mut self, child: Child) -> Result<(), Reason> {
        self.node()?;
        let limits = self.limits;
        let parent = self.elements.last_mut().ok_or(Reason::XmlSyntax)?;
        let (count, limit) = match child {
            Child::Element => (&mut parent.elements, limits.child_elements),
            Child::Text => (&mut parent.texts, limits.child_texts),
            Child::Comment => (&mut parent.comments, limits.child_comments),
            Child::Instruction => (&mut parent.instructions, limits.child_instructions),
        };
        *count += 1;
        if *count > limit { Err(Reason::XmlChildren) } else { Ok(()) }
    }

    fn node(&mut self) -> Result<(), Reason> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes { Err(Reason::XmlNodes) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
