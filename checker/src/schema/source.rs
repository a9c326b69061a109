//! The text of a specification as a tree that knows its lines: what is wrong in it can be pointed at.

use std::fmt;

use super::number;
use crate::json::{self, Event, Scalar, Step};

/// Bytes of a specification's text.
pub(super) const LONGEST: usize = 64 << 20;
/// Values in all, and containers within one another.
pub(super) const MOST: usize = 4_000_000;
pub(super) const DEEPEST: usize = 96;

/// What is wrong in a specification, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// A JSON pointer (RFC 6901) to it; empty for the whole.
    pub pointer: String,
    /// Its line, from 1; 0 where it is not known.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: u32,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    /// As JSON writes it.
    Number(String),
    String(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// An entry of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|(other, _)| other == name).map(|(_, node)| node)
    }

    /// The entries of an object; none of anything else.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Value::Object(entries) = &self.value { entries } else { &[] }
    }

    /// The elements of an array; none of anything else.
    pub(super) fn elements(&self) -> &[Self] {
        if let Value::Array(elements) = &self.value { elements } else { &[] }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// The text of an entry.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    /// Whether an entry is `true`.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Self { value: Value::Boolean(true), .. }))
    }

    /// What a pointer points to, from here.
    pub(super) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            node = match &node.value {
                Value::Object(_) => node.get(&step)?,
                Value::Array(elements) => elements.get(step.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// The line of what a pointer points to, or of the nearest thing around it.
    pub(super) fn line_of(&self, pointer: &str) -> u32 {
        let mut pointer = pointer;
        loop {
            if let Some(node) = self.at(pointer) {
                return node.line;
            }
            pointer = pointer.rsplit_once('/').map_or("", |(before, _)| before);
        }
    }

    /// The value, where all of its numbers can be kept.
    pub(super) fn to_json(&self) -> Result<serde_json::Value, String> {
        Ok(match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(value) => (*value).into(),
            Value::Number(text) => match number::of_schema(text) {
                Some(number) => serde_json::Value::Number(number),
                None => return Err(format!("{text} is no number of 64 bits, and no double is exactly it")),
            },
            Value::String(text) => text.clone().into(),
            Value::Array(elements) => {
                elements.iter().map(Self::to_json).collect::<Result<Vec<_>, _>>()?.into()
            }
            Value::Object(entries) => entries
                .iter()
                .map(|(name, node)| Ok((name.clone(), node.to_json()?)))
                .collect::<Result<serde_json::Map<_, _>, String>>()?
                .into(),
        })
    }
}

/// A step of a pointer, escaped.
pub(super) fn step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Builds a tree in the order of its text.
#[derive(Default)]
pub(super) struct Builder {
    /// Containers that are open, each with its name in the one around it.
    open: Vec<(Option<String>, Node)>,
    pub(super) root: Option<Node>,
}

impl Builder {
    pub(super) fn open(&mut self, name: Option<String>, node: Node) {
        self.open.push((name, node));
    }

    pub(super) fn close(&mut self) {
        if let Some((name, node)) = self.open.pop() {
            self.append(name, node);
        }
    }

    pub(super) fn append(&mut self, name: Option<String>, node: Node) {
        match (self.open.last_mut().map(|(_, node)| &mut node.value), name) {
            (Some(Value::Object(entries)), Some(name)) => entries.push((name, node)),
            (Some(Value::Array(elements)), _) => elements.push(node),
            _ => self.root = Some(node),
        }
    }
}

/// Reads JSON, or YAML where it does not begin with a brace.
///
/// # Errors
///
/// The first [`Problem`].
pub(super) fn read(text: &str) -> Result<Node, Problem> {
    let problem = |line, message: String| Problem { pointer: String::new(), line, message };
    if text.len() > LONGEST {
        return Err(problem(0, format!("longer than {} MiB", LONGEST >> 20)));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') { json(text) } else { super::yaml::read(text) }
}

fn json(text: &str) -> Result<Node, Problem> {
    let limits = json::Limits {
        depth: DEEPEST,
        entries: MOST,
        name_length: 64 << 10,
        elements: MOST,
        string_length: LONGEST,
        number_length: 64,
        values: MOST,
        ..json::Limits::default()
    };
    let mut builder = Builder::default();
    let (mut line, mut counted) = (1, 0);
    let read = json::events(text.as_bytes(), &limits, &mut |path, event, at| {
        let passed = text.as_bytes().get(counted..at).unwrap_or_default();
        line += u32::try_from(memchr::memchr_iter(b'\n', passed).count()).unwrap_or_default();
        counted = counted.max(at);
        let name = path.last().and_then(|step| match step {
            Step::Name(name) => Some(name.clone().into_owned()),
            Step::Element(_) => None,
        });
        let node = |value| Node { line, value };
        match event {
            Event::Open { object: true } => builder.open(name, node(Value::Object(Vec::new()))),
            Event::Open { object: false } => builder.open(name, node(Value::Array(Vec::new()))),
            Event::Close => builder.close(),
            Event::Name => {}
            Event::Scalar(scalar) => builder.append(
                name,
                node(match scalar {
                    Scalar::Null => Value::Null,
                    Scalar::Boolean(value) => Value::Boolean(*value),
                    Scalar::Number(text) => Value::Number((*text).to_owned()),
                    Scalar::String(text) => Value::String(text.clone().into_owned()),
                }),
            ),
        }
        Ok(())
    });
    match (read, builder.root) {
        (Ok(()), Some(root)) => Ok(root),
        (Err(reason), _) => Err(Problem {
            pointer: String::new(),
            line,
            message: format!("behind this line: {}", reason.description()),
        }),
        (Ok(()), None) => Err(Problem { pointer: String::new(), line, message: "it is empty".to_owned() }),
    }
}
