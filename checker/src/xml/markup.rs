//! What is no tag: the declaration, texts, references, comments, CDATA sections and processing instructions.

use std::borrow::Cow;

use super::{Child, Node, Reader, Visitor, names};
use crate::Reason;

impl<'r> Reader<'r, '_> {
    /// The XML declaration (section 2.8), if there is one.
    pub(super) fn declaration(&mut self) -> Result<(), Reason> {
        const START: &str = "<?xml";
        let follows = self.text.as_bytes().get(START.len());
        if !self.rest().starts_with(START) || !follows.is_some_and(u8::is_ascii_whitespace) {
            return Ok(());
        }
        self.at = START.len();
        let version = self.pseudo_attribute("version")?.ok_or(Reason::XmlSyntax)?;
        let encoding = self.pseudo_attribute("encoding")?;
        let alone = self.pseudo_attribute("standalone")?;
        self.white_space();
        self.expect("?>")?;
        if !matches!(alone, None | Some("yes" | "no")) {
            return Err(Reason::XmlSyntax);
        }
        // Where a parser goes by another encoding, it reads other characters than were read here; version 1.1 has other names and line ends.
        if version != "1.0" || !encoding.is_none_or(|encoding| encoding.eq_ignore_ascii_case("utf-8")) {
            return Err(Reason::XmlDeclaration);
        }
        Ok(())
    }

    fn pseudo_attribute(&mut self, name: &str) -> Result<Option<&'r str>, Reason> {
        let start = self.at;
        if !self.white_space() || !self.take(name) {
            self.at = start;
            return Ok(None);
        }
        self.white_space();
        self.expect("=")?;
        self.white_space();
        let quote = if self.take("\"") {
            "\""
        } else {
            self.expect("'")?;
            "'"
        };
        self.up_to(quote).map(Some)
    }

    /// What may stand before and behind the root (production 27).
    pub(super) fn outside(&mut self, visit: Visitor<'_, 'r>) -> Result<(), Reason> {
        loop {
            self.white_space();
            if self.take("<!--") {
                self.comment(visit)?;
            } else if self.take("<?") {
                self.instruction(visit)?;
            } else if self.rest().starts_with("<!DOCTYPE") {
                return Err(Reason::XmlDtd);
            } else {
                return Ok(());
            }
        }
    }

    /// The next piece of an element's content (production 43), or its end tag.
    pub(super) fn content(&mut self, visit: Visitor<'_, 'r>) -> Result<(), Reason> {
        if self.peek() != Some(b'<') {
            return self.text();
        }
        if self.take("<![CDATA[") {
            return self.section();
        }
        self.in_text = false;
        if self.take("</") {
            return self.end_tag(visit);
        }
        if self.take("<!--") {
            return self.comment(visit);
        }
        if self.take("<?") {
            return self.instruction(visit);
        }
        self.start_tag(visit)
    }

    /// A text up to the next markup (production 14).
    fn text(&mut self) -> Result<(), Reason> {
        self.begin_text()?;
        loop {
            let rest = self.rest();
            let end = memchr::memchr2(b'<', b'&', rest.as_bytes()).ok_or(Reason::XmlSyntax)?;
            let piece = rest.get(..end).ok_or(Reason::XmlSyntax)?;
            if memchr::memmem::find(piece.as_bytes(), b"]]>").is_some() {
                return Err(Reason::XmlSyntax);
            }
            self.at += end;
            self.add_text(line_ends(piece))?;
            if self.peek() == Some(b'<') {
                return Ok(());
            }
            let character = self.reference()?;
            self.add_text(Cow::Owned(character.to_string()))?;
        }
    }

    /// A CDATA section behind its start (section 2.7), which is text.
    fn section(&mut self) -> Result<(), Reason> {
        self.begin_text()?;
        let section = self.up_to("]]>")?;
        self.add_text(line_ends(section))
    }

    /// Counts a text, unless it goes on with what the last piece of content was.
    fn begin_text(&mut self) -> Result<(), Reason> {
        if self.in_text {
            return Ok(());
        }
        self.in_text = true;
        self.count(Child::Text)
    }

    fn add_text(&mut self, piece: Cow<'r, str>) -> Result<(), Reason> {
        let text = match self.pending.take() {
            Some(before) => Cow::Owned(before.into_owned() + &piece),
            None => piece,
        };
        let length = text.len();
        self.pending = Some(text);
        if length > self.limits.text_length { Err(Reason::XmlTextLength) } else { Ok(()) }
    }

    /// Shows the text that came before a tag.
    pub(super) fn end_text(&mut self, visit: Visitor<'_, 'r>) -> Result<(), Reason> {
        self.pending.take().map_or(Ok(()), |text| visit(&self.open, &Node::Text(text)))
    }

    /// A reference to a character or to a predefined entity (section 4.1), from its `&` on.
    pub(super) fn reference(&mut self) -> Result<char, Reason> {
        self.expect("&")?;
        if self.take("#") {
            let (digits, radix) =
                if self.take("x") { (self.up_to(";")?, 16) } else { (self.up_to(";")?, 10) };
            return character(digits, radix).ok_or(Reason::XmlSyntax);
        }
        let name = names::name(self.rest());
        self.at += name.len();
        if name.is_empty() {
            return Err(Reason::XmlSyntax);
        }
        self.expect(";")?;
        Ok(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "apos" => '\'',
            "quot" => '"',
            _ => return Err(Reason::XmlEntity),
        })
    }

    /// A comment behind its start (section 2.5).
    fn comment(&mut self, visit: Visitor<'_, 'r>) -> Result<(), Reason> {
        self.count(Child::Comment)?;
        let comment = self.up_to("--")?;
        self.expect(">")?;
        if comment.len() > self.limits.comment_length {
            return Err(Reason::XmlCommentLength);
        }
        visit(&self.open, &Node::Comment(comment))
    }

    /// A processing instruction behind its start (section 2.6).
    fn instruction(&mut self, visit: Visitor<'_, 'r>) -> Result<(), Reason> {
        self.count(Child::Instruction)?;
        let target = names::name(self.rest());
        self.at += target.len();
        if target.is_empty() || target.eq_ignore_ascii_case("xml") {
            return Err(Reason::XmlSyntax);
        }
        if target.contains(':') {
            return Err(Reason::XmlNamespace);
        }
        if target.len() > self.limits.instruction_name_length {
            return Err(Reason::XmlNameLength);
        }
        let data = if self.white_space() {
            self.up_to("?>")?
        } else {
            self.expect("?>")?;
            ""
        };
        if data.len() > self.limits.instruction_length {
            return Err(Reason::XmlInstructionLength);
        }
        visit(&self.open, &Node::Instruction(target, data))
    }
}

/// The character that these digits stand for, if a document may have it.
fn character(digits: &str, radix: u32) -> Option<char> {
    if digits.is_empty() {
        return None;
    }
    let code = digits.chars().try_fold(0_u32, |code, digit| {
        Some(code.saturating_mul(radix).saturating_add(digit.to_digit(radix)?))
    })?;
    char::from_u32(code).filter(|&character| names::is_character(character))
}

/// Line ends as an application gets them (section 2.11).
fn line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}
