//! Tags, attributes and namespaces (XML, section 3.1; Namespaces, sections 2, 3 and 6).

use std::borrow::Cow;

use super::{Child, Element, Name, Node, Reader, Visitor, names};
use crate::Reason;

/// What the prefix `xml` is bound to, and nothing else may be.
const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// What the prefix `xmlns` is bound to, and nothing may be.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

type Attributes<'r> = Vec<(Name<'r>, Cow<'r, str>)>;

impl<'r> Reader<'r, '_> {
    /// A start tag, or one of an empty element.
    pub(super) fn start_tag(&mut self, visit: Visitor<'_, 'r>) -> Result<(), Reason> {
        self.expect("<")?;
        let name = self.name()?;
        if name.local.len() > self.limits.element_name_length {
            return Err(Reason::XmlNameLength);
        }
        self.end_text(visit)?;
        self.count(Child::Element)?;
        if self.open.len() >= self.limits.depth {
            return Err(Reason::XmlDepth);
        }
        self.open.push(name);
        self.elements.push(Element::default());
        let mut attributes = Attributes::new();
        let empty = loop {
            let apart = self.white_space();
            if self.take(">") {
                break false;
            }
            if self.take("/>") {
                break true;
            }
            if !apart {
                return Err(Reason::XmlSyntax);
            }
            let attribute = self.attribute()?;
            attributes.push(attribute);
            self.limit_attributes(&attributes)?;
        };
        self.resolve(name, &attributes)?;
        visit(&self.open, &Node::Element)?;
        for (name, value) in attributes {
            visit(&self.open, &Node::Attribute(name, value))?;
        }
        if empty {
            self.close();
        }
        Ok(())
    }

    /// An end tag behind its `</`.
    pub(super) fn end_tag(&mut self, visit: Visitor<'_, 'r>) -> Result<(), Reason> {
        let name = self.name()?;
        if self.open.last() != Some(&name) {
            return Err(Reason::XmlSyntax);
        }
        self.white_space();
        self.expect(">")?;
        self.end_text(visit)?;
        self.close();
        Ok(())
    }

    /// Closes an element: the namespaces that it declares are out of scope then.
    fn close(&mut self) {
        self.open.pop();
        let Some(element) = self.elements.pop() else { return };
        for prefix in element.declared {
            if let Some(bindings) = self.scope.get_mut(prefix) {
                bindings.pop();
            }
        }
    }

    /// A qualified name.
    fn name(&mut self) -> Result<Name<'r>, Reason> {
        let name = names::name(self.rest());
        if name.is_empty() {
            return Err(Reason::XmlSyntax);
        }
        self.at += name.len();
        let name = Name::qualified(name).ok_or(Reason::XmlNamespace)?;
        // What a document cannot choose has no length to be limited.
        let prefix = if matches!(name.prefix, "xml" | "xmlns") { "" } else { name.prefix };
        if prefix.len() > self.limits.prefix_length {
            return Err(Reason::XmlNameLength);
        }
        Ok(name)
    }

    /// An attribute (production 41); a declaration of a namespace is bound.
    fn attribute(&mut self) -> Result<(Name<'r>, Cow<'r, str>), Reason> {
        let name = self.name()?;
        self.node()?;
        self.white_space();
        self.expect("=")?;
        self.white_space();
        let value = self.value()?;
        if let Some(prefix) = declares(name) {
            if prefix.len() > self.limits.prefix_length {
                return Err(Reason::XmlNameLength);
            }
            if value.len() > self.limits.namespace_length {
                return Err(Reason::XmlNamespaceLength);
            }
            self.bind(prefix, value.clone())?;
        } else if name.local.len() > self.limits.attribute_name_length {
            return Err(Reason::XmlNameLength);
        } else if value.len() > self.limits.attribute_length {
            return Err(Reason::XmlAttributeLength);
        }
        Ok((name, value))
    }

    /// A value in its quotes, as an application gets it (section 3.3.3).
    fn value(&mut self) -> Result<Cow<'r, str>, Reason> {
        let Some(quote @ (b'"' | b'\'')) = self.peek() else { return Err(Reason::XmlSyntax) };
        self.at += 1;
        let mut value: Option<String> = None;
        loop {
            let rest = self.rest();
            let end = memchr::memchr3(quote, b'&', b'<', rest.as_bytes()).ok_or(Reason::XmlSyntax)?;
            let piece = spaces(rest.get(..end).ok_or(Reason::XmlSyntax)?);
            self.at += end;
            match self.peek() {
                Some(b'&') => {
                    let value = value.get_or_insert_default();
                    value.push_str(&piece);
                    value.push(self.reference()?);
                }
                Some(b'<') => return Err(Reason::XmlSyntax),
                _ => {
                    self.at += 1;
                    return Ok(match value {
                        Some(value) => Cow::Owned(value + &piece),
                        None => piece,
                    });
                }
            }
        }
    }

    fn limit_attributes(&self, attributes: &[(Name<'r>, Cow<'r, str>)]) -> Result<(), Reason> {
        let namespaces = self.elements.last().map_or(0, |element| element.declared.len());
        if namespaces > self.limits.namespaces {
            return Err(Reason::XmlNamespaces);
        }
        if attributes.len() - namespaces > self.limits.attributes {
            Err(Reason::XmlAttributes)
        } else {
            Ok(())
        }
    }

    /// Binds a prefix to a namespace from the element on that was opened last.
    fn bind(&mut self, prefix: &'r str, namespace: Cow<'r, str>) -> Result<(), Reason> {
        let good = match prefix {
            "xmlns" => false,
            "xml" => namespace == XML,
            // To undeclare a prefix is for version 1.1.
            _ => namespace != XML && namespace != XMLNS && (prefix.is_empty() || !namespace.is_empty()),
        };
        if !good {
            return Err(Reason::XmlNamespace);
        }
        self.scope.entry(prefix).or_default().push(namespace);
        if let Some(element) = self.elements.last_mut() {
            element.declared.push(prefix);
        }
        Ok(())
    }

    /// The namespace of a prefix.
    fn namespace(&self, prefix: &str) -> Result<&str, Reason> {
        match (prefix, self.scope.get(prefix).and_then(|bindings| bindings.last())) {
            ("xml", _) => Ok(XML),
            ("xmlns", _) | (_, None) => Err(Reason::XmlNamespace),
            (_, Some(namespace)) => Ok(namespace),
        }
    }

    /// Holds an element's prefixes against those that are declared, and its attributes against one another, as they are written and as they
    /// are resolved.
    fn resolve(&self, name: Name<'r>, attributes: &[(Name<'r>, Cow<'r, str>)]) -> Result<(), Reason> {
        if !name.prefix.is_empty() {
            self.namespace(name.prefix)?;
        }
        let mut written: Vec<Name<'r>> = attributes.iter().map(|(name, _)| *name).collect();
        written.sort_unstable();
        if has_twice(&written) {
            return Err(Reason::XmlAttributeRepeated);
        }
        let prefixed = written.iter().filter(|name| !name.prefix.is_empty() && declares(**name).is_none());
        let resolved = prefixed.map(|name| Ok((name.local, self.namespace(name.prefix)?)));
        let mut resolved = resolved.collect::<Result<Vec<(&str, &str)>, Reason>>()?;
        resolved.sort_unstable();
        if has_twice(&resolved) { Err(Reason::XmlAttributeRepeated) } else { Ok(()) }
    }
}

/// Whether two that follow one another are alike.
fn has_twice<T: PartialEq>(sorted: &[T]) -> bool {
    sorted.windows(2).any(|two| matches!(two, [one, other] if one == other))
}

/// The prefix that an attribute of this name declares a namespace for; empty for the default namespace.
fn declares(name: Name<'_>) -> Option<&str> {
    match (name.prefix, name.local) {
        ("", "xmlns") => Some(""),
        ("xmlns", prefix) => Some(prefix),
        _ => None,
    }
}

/// White space in an attribute's value is spaces, and a CR LF one.
fn spaces(piece: &str) -> Cow<'_, str> {
    if piece.contains(['\t', '\n', '\r']) {
        Cow::Owned(piece.replace("\r\n", " ").replace(['\t', '\n', '\r'], " "))
    } else {
        Cow::Borrowed(piece)
    }
}
