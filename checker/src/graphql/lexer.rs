//! Tokens of GraphQL (September 2025, section 2.1).

use std::borrow::Cow;

use crate::Reason;

/// A token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token<'r> {
    /// One of `! $ & ( ) : = @ [ ] { | }`, and `.` for `...`.
    Sign(u8),
    Name(&'r str),
    Integer(&'r str),
    Float,
    /// Decoded. Of a block the indentation is kept, which is taken off by servers.
    String(Cow<'r, str>),
    End,
}

pub(super) struct Lexer<'r> {
    text: &'r str,
    at: usize,
    /// How many tokens may still come.
    left: usize,
}

impl<'r> Lexer<'r> {
    /// Of a document with `tokens` tokens at most.
    pub(super) fn new(text: &'r str, tokens: usize) -> Self {
        Self { text: text.strip_prefix('\u{feff}').unwrap_or(text), at: 0, left: tokens }
    }

    fn rest(&self) -> &'r str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, what: &str) -> bool {
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    /// Goes over all bytes of a kind. How many they were.
    fn skip(&mut self, kind: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.peek().is_some_and(&kind) {
            self.at += 1;
        }
        self.at - start
    }

    /// The next token.
    pub(super) fn token(&mut self) -> Result<Token<'r>, Reason> {
        self.ignored()?;
        let Some(first) = self.peek() else { return Ok(Token::End) };
        self.left = self.left.checked_sub(1).ok_or(Reason::GraphQlTokens)?;
        match first {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|' | b'}' => {
                self.at += 1;
                Ok(Token::Sign(first))
            }
            b'.' if self.take("...") => Ok(Token::Sign(b'.')),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let start = self.at;
                self.skip(continues_name);
                Ok(Token::Name(self.text.get(start..self.at).unwrap_or("")))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'"' if self.take("\"\"\"") => self.block().map(Token::String),
            b'"' => self.string().map(Token::String),
            _ => Err(Reason::GraphQlSyntax),
        }
    }

    /// White space, commas and comments.
    fn ignored(&mut self) -> Result<(), Reason> {
        loop {
            self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b','));
            if self.peek() != Some(b'#') {
                return Ok(());
            }
            self.skip(|byte| !matches!(byte, b'\n' | b'\r') && is_source(byte));
            if self.peek().is_some_and(|byte| !is_source(byte)) {
                return Err(Reason::GraphQlSyntax);
            }
        }
    }

    fn number(&mut self) -> Result<Token<'r>, Reason> {
        let start = self.at;
        self.take("-");
        if !self.take("0") && self.digits() == 0 {
            return Err(Reason::GraphQlSyntax);
        }
        let end = self.at;
        if self.take(".") && self.digits() == 0 {
            return Err(Reason::GraphQlSyntax);
        }
        if self.take("e") || self.take("E") {
            let _sign = self.take("+") || self.take("-");
            if self.digits() == 0 {
                return Err(Reason::GraphQlSyntax);
            }
        }
        // What may not follow: `0xF1` and `1.2.3` are read by some as two.
        if self.peek().is_some_and(|byte| byte == b'.' || continues_name(byte)) {
            return Err(Reason::GraphQlSyntax);
        }
        if self.at > end {
            return Ok(Token::Float);
        }
        Ok(Token::Integer(self.text.get(start..end).unwrap_or("")))
    }

    fn digits(&mut self) -> usize {
        self.skip(|byte| byte.is_ascii_digit())
    }

    /// A string, from its quote on.
    fn string(&mut self) -> Result<Cow<'r, str>, Reason> {
        self.at += 1;
        let mut decoded: Option<String> = None;
        loop {
            let start = self.at;
            self.skip(|byte| !matches!(byte, b'"' | b'\\' | b'\n' | b'\r') && is_source(byte));
            let piece = self.text.get(start..self.at).unwrap_or("");
            if self.take("\"") {
                return Ok(match decoded {
                    Some(decoded) => Cow::Owned(decoded + piece),
                    None => Cow::Borrowed(piece),
                });
            }
            if !self.take("\\") {
                return Err(Reason::GraphQlSyntax);
            }
            let character = self.escape()?;
            let decoded = decoded.get_or_insert_default();
            decoded.push_str(piece);
            decoded.push(character);
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, Reason> {
        let kind = self.peek();
        self.at += 1;
        Ok(match kind {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(Reason::GraphQlSyntax),
        })
    }

    /// What follows `\u`: digits in braces, one unit of UTF-16, or two that make a pair.
    fn unicode(&mut self) -> Result<char, Reason> {
        if self.take("{") {
            let start = self.at;
            self.skip(|byte| byte.is_ascii_hexdigit());
            let digits = self.text.get(start..self.at).unwrap_or("");
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| self.take("}"));
            return code.and_then(char::from_u32).ok_or(Reason::GraphQlSyntax);
        }
        let first = self.unit()?;
        let code = match first {
            0xd800..0xdc00 if self.take("\\u") => match self.unit()? {
                second @ 0xdc00..0xe000 => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => return Err(Reason::GraphQlSyntax),
            },
            other => other,
        };
        char::from_u32(code).ok_or(Reason::GraphQlSyntax)
    }

    fn unit(&mut self) -> Result<u32, Reason> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Reason::GraphQlSyntax)?;
        let unit = digits.iter().try_fold(0, |unit, &byte| Some(unit * 16 + char::from(byte).to_digit(16)?));
        self.at += 4;
        unit.ok_or(Reason::GraphQlSyntax)
    }

    /// A string in three quotes, behind them.
    fn block(&mut self) -> Result<Cow<'r, str>, Reason> {
        let rest = self.rest().as_bytes();
        let mut end = 0;
        loop {
            let quote =
                memchr::memchr(b'"', rest.get(end..).unwrap_or_default()).ok_or(Reason::GraphQlSyntax)?;
            end += quote;
            if !rest.get(end..).is_some_and(|rest| rest.starts_with(b"\"\"\"")) {
                end += 1;
            } else if end > 0 && rest.get(end - 1) == Some(&b'\\') {
                end += 3;
            } else {
                break;
            }
        }
        let block = self.rest().get(..end).unwrap_or("");
        self.at += end + 3;
        if !block.bytes().all(is_source) {
            return Err(Reason::GraphQlSyntax);
        }
        const ESCAPED: &str = "\\\"\"\"";
        Ok(if block.contains(ESCAPED) { block.replace(ESCAPED, "\"\"\"").into() } else { block.into() })
    }
}

/// Whether it may stand in a document: tabs and line ends are all controls that may.
const fn is_source(byte: u8) -> bool {
    byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r')
}

const fn continues_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
