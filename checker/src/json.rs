//! JSON (RFC 8259) read strictly and within limits, without building anything: values are shown as they come.
//!
//! Strict means that no two parsers can differ: UTF-8 only, no byte order mark, no name twice in an object, no half of a surrogate pair, and
//! nothing behind the value.

use std::{borrow::Cow, collections::BTreeSet};

use crate::Reason;

/// What JSON may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Containers within one another.
    pub depth: usize,
    /// Entries of an object.
    pub entries: usize,
    /// Bytes of an entry's name, decoded.
    pub name_length: usize,
    /// Elements of an array.
    pub elements: usize,
    /// Bytes of a string, decoded.
    pub string_length: usize,
    /// Characters of a number.
    pub number_length: usize,
    /// Values in all, containers included.
    pub values: usize,
    /// Whether an object may have a name twice.
    pub repeated_names: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 32,
            entries: 10_000,
            name_length: 256,
            elements: 10_000,
            string_length: 256 << 10,
            number_length: 64,
            values: 100_000,
            repeated_names: false,
        }
    }
}

/// A value that is no container.
#[derive(Clone, PartialEq, Debug)]
pub enum Scalar<'r> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// As it is written.
    Number(&'r str),
    /// Decoded.
    String(Cow<'r, str>),
}

/// A step from a container to what is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<'r> {
    /// An object's entry.
    Name(Cow<'r, str>),
    /// An array's element.
    Element(usize),
}

/// What is shown of JSON, in the order of the bytes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Event<'e, 'r> {
    /// An object or an array begins.
    Open {
        /// Whether it is an object.
        object: bool,
    },
    /// The container that was opened last ends.
    Close,
    /// An object's entry begins, whose name is the last of the steps.
    Name,
    /// A value that is no container.
    Scalar(&'e Scalar<'r>),
}

/// Is shown an event, the steps that lead to it, and the byte at which the value begins (for [`Event::Close`]: behind which it ends, for
/// [`Event::Name`]: behind the colon). Its error ends the reading.
pub type Visit<'v, 'r> = dyn FnMut(&[Step<'r>], Event<'_, 'r>, usize) -> Result<(), Reason> + 'v;

/// Reads all of `bytes` as one value, and shows `visit` each scalar with the steps that lead to it.
///
/// # Errors
///
/// The [`Reason`] to refuse it; the first one in the order of the bytes.
pub fn read<'r>(
    bytes: &'r [u8],
    limits: &Limits,
    visit: &mut dyn FnMut(&[Step<'r>], &Scalar<'r>),
) -> Result<(), Reason> {
    events(bytes, limits, &mut |steps, event, _| {
        if let Event::Scalar(scalar) = event {
            visit(steps, scalar);
        }
        Ok(())
    })
}

/// Reads all of `bytes` as one value, and shows `visit` all that there is.
///
/// # Errors
///
/// The [`Reason`] to refuse it, the first one in the order of the bytes, or what `visit` has returned.
pub fn events<'r>(bytes: &'r [u8], limits: &Limits, visit: &mut Visit<'_, 'r>) -> Result<(), Reason> {
    let text = str::from_utf8(bytes).map_err(|_| Reason::JsonUtf8)?;
    let mut reader =
        Reader { text, at: 0, limits, values: 0, path: Vec::new(), names: Vec::new(), spare: None };
    reader.white_space();
    reader.value(visit)?;
    while !reader.path.is_empty() {
        reader.onwards(visit)?;
    }
    reader.white_space();
    if reader.at == text.len() { Ok(()) } else { Err(Reason::JsonSyntax) }
}

/// Names of an object that were seen: a few are compared, of many there is an order.
#[derive(Default)]
struct Names<'r> {
    few: Vec<Cow<'r, str>>,
    many: BTreeSet<Cow<'r, str>>,
}

/// Up to how many names are compared one by one.
const FEW: usize = 16;

impl<'r> Names<'r> {
    fn count(&self) -> usize {
        self.few.len() + self.many.len()
    }

    fn emptied(mut self) -> Self {
        self.few.clear();
        self.many.clear();
        self
    }

    /// Whether it is a new one.
    fn insert(&mut self, name: Cow<'r, str>) -> bool {
        if self.few.contains(&name) {
            return false;
        }
        if self.few.len() < FEW {
            if self.few.is_empty() {
                self.few.reserve(FEW);
            }
            self.few.push(name);
            return true;
        }
        self.many.insert(name)
    }
}

struct Reader<'r, 'l> {
    text: &'r str,
    at: usize,
    limits: &'l Limits,
    values: usize,
    /// A step for each container that is open: what of it was read last.
    path: Vec<Step<'r>>,
    /// The names of each object that is open.
    names: Vec<Names<'r>>,
    /// Those of the object that was closed last, emptied: the next one has their memory.
    spare: Option<Names<'r>>,
}

/// Whether what stands in a string as it is comes to an end here.
const fn is_end(byte: u8) -> bool {
    matches!(byte, 0..b' ' | b'"' | b'\\')
}

/// How many bytes stand in a string as they are. Eight at a time: each of these differences has the highest bit of a byte set where that byte is
/// an end and none before it is (Warren, Hacker's Delight, section 6-1).
fn as_it_is(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, rest) = text.as_chunks();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let ends = below(word, b' ') | equal(word, b'"') | equal(word, b'\\');
        if ends != 0 {
            return number * 8 + ends.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + rest.iter().position(|&byte| is_end(byte)).unwrap_or(rest.len())
}

impl<'r> Reader<'r, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// A value: a scalar is shown, a container is opened up to its first value, or closed if it is empty.
    fn value(&mut self, visit: &mut Visit<'_, 'r>) -> Result<(), Reason> {
        loop {
            self.values += 1;
            if self.values > self.limits.values {
                return Err(Reason::JsonValues);
            }
            let container = match self.peek() {
                Some(b'{') => true,
                Some(b'[') => false,
                _ => {
                    let start = self.at;
                    let scalar = self.scalar()?;
                    return visit(&self.path, Event::Scalar(&scalar), start);
                }
            };
            if self.path.len() >= self.limits.depth {
                return Err(Reason::JsonDepth);
            }
            visit(&self.path, Event::Open { object: container }, self.at)?;
            self.at += 1;
            self.white_space();
            if self.take(if container { b'}' } else { b']' }) {
                return visit(&self.path, Event::Close, self.at);
            }
            if container {
                self.names.push(self.spare.take().unwrap_or_default());
                let name = self.name()?;
                self.path.push(Step::Name(name));
                visit(&self.path, Event::Name, self.at)?;
            } else {
                self.element(0)?;
                self.path.push(Step::Element(0));
            }
        }
    }

    /// What follows a value in the container that is open: another value, or its end.
    fn onwards(&mut self, visit: &mut Visit<'_, 'r>) -> Result<(), Reason> {
        self.white_space();
        let another = self.take(b',');
        match self.path.pop() {
            Some(Step::Element(number)) if another => {
                self.element(number + 1)?;
                self.white_space();
                self.path.push(Step::Element(number + 1));
                self.value(visit)
            }
            Some(Step::Name(_)) if another => {
                self.white_space();
                let name = self.name()?;
                self.path.push(Step::Name(name));
                visit(&self.path, Event::Name, self.at)?;
                self.value(visit)
            }
            Some(Step::Element(_)) if self.take(b']') => visit(&self.path, Event::Close, self.at),
            Some(Step::Name(_)) if self.take(b'}') => {
                self.spare = self.names.pop().map(Names::emptied);
                visit(&self.path, Event::Close, self.at)
            }
            _ => Err(Reason::JsonSyntax),
        }
    }

    fn element(&self, number: usize) -> Result<(), Reason> {
        if number >= self.limits.elements { Err(Reason::JsonElements) } else { Ok(()) }
    }

    /// A name and its colon, up to the value.
    fn name(&mut self) -> Result<Cow<'r, str>, Reason> {
        let name = self.string(self.limits.name_length, Reason::JsonNameLength)?;
        let limits = self.limits;
        let names = self.names.last_mut().ok_or(Reason::JsonSyntax)?;
        if names.count() >= limits.entries {
            return Err(Reason::JsonEntries);
        }
        if !names.insert(name.clone()) && !limits.repeated_names {
            return Err(Reason::JsonRepeated);
        }
        self.white_space();
        if !self.take(b':') {
            return Err(Reason::JsonSyntax);
        }
        self.white_space();
        Ok(name)
    }

    fn scalar(&mut self) -> Result<Scalar<'r>, Reason> {
        let rest = &self.text[self.at..];
        for (word, scalar) in
            [("null", Scalar::Null), ("true", Scalar::Boolean(true)), ("false", Scalar::Boolean(false))]
        {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(scalar);
            }
        }
        match self.peek() {
            Some(b'"') => {
                self.string(self.limits.string_length, Reason::JsonStringLength).map(Scalar::String)
            }
            _ => self.number().map(Scalar::Number),
        }
    }

    fn number(&mut self) -> Result<&'r str, Reason> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return Err(Reason::JsonSyntax);
        }
        if self.take(b'.') && self.digits() == 0 {
            return Err(Reason::JsonSyntax);
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            if self.digits() == 0 {
                return Err(Reason::JsonSyntax);
            }
        }
        if self.at - start > self.limits.number_length {
            return Err(Reason::JsonNumberLength);
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    /// A string, decoded. `longest` bytes at most, or `too_long`.
    fn string(&mut self, longest: usize, too_long: Reason) -> Result<Cow<'r, str>, Reason> {
        if !self.take(b'"') {
            return Err(Reason::JsonSyntax);
        }
        let start = self.at;
        let mut decoded: Option<String> = None;
        let mut copied = start;
        loop {
            match self.peek() {
                None | Some(0..b' ') => return Err(Reason::JsonSyntax),
                Some(b'"') => break,
                Some(b'\\') => {
                    let piece = &self.text[copied..self.at];
                    let character = self.escape()?;
                    copied = self.at;
                    let decoded = decoded.get_or_insert_default();
                    decoded.push_str(piece);
                    decoded.push(character);
                }
                Some(_) => {
                    self.at += as_it_is(&self.text.as_bytes()[self.at..]);
                }
            }
        }
        let piece = &self.text[copied..self.at];
        self.at += 1;
        let string = match decoded {
            None => Cow::Borrowed(piece),
            Some(mut decoded) => {
                decoded.push_str(piece);
                Cow::Owned(decoded)
            }
        };
        if string.len() > longest { Err(too_long) } else { Ok(string) }
    }

    fn escape(&mut self) -> Result<char, Reason> {
        let kind = self.text.as_bytes().get(self.at + 1).copied();
        self.at += 2;
        Ok(match kind {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(Reason::JsonSyntax),
        })
    }

    /// What follows `\u`: one unit of UTF-16, or two that make a pair.
    fn unicode(&mut self) -> Result<char, Reason> {
        let first = self.unit()?;
        let code = match first {
            0xd800..0xdc00 => {
                if !(self.take(b'\\') && self.take(b'u')) {
                    return Err(Reason::JsonUtf8);
                }
                match self.unit()? {
                    second @ 0xdc00..0xe000 => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return Err(Reason::JsonUtf8),
                }
            }
            other => other,
        };
        char::from_u32(code).ok_or(Reason::JsonUtf8)
    }

    fn unit(&mut self) -> Result<u32, Reason> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Reason::JsonSyntax)?;
        let unit = digits.iter().try_fold(0, |unit, &byte| Some(unit * 16 + char::from(byte).to_digit(16)?));
        self.at += 4;
        unit.ok_or(Reason::JsonSyntax)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
