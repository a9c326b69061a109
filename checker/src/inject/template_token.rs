//! Tokens of a template's expressions, and what is nothing but literals.

use super::is_word;

/// Tokens of an expression that are read, at most.
const MOST: usize = 256;

/// What an expression is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token<'t> {
    Word(&'t [u8]),
    Number,
    /// A string, without its quotes.
    Text(&'t [u8]),
    Sign(u8),
}

use Token::{Number, Sign, Text, Word};

/// Literals and an operator, and nothing else but a filter: what is computed shows that something computes.
pub(super) fn computes(tokens: &[Token<'_>]) -> bool {
    let operand = |token: &Token<'_>| matches!(token, Number | Text(_));
    let operator = |token: &Token<'_>| matches!(token, Sign(b'*' | b'+' | b'-' | b'/' | b'%' | b'^' | b'~'));
    let end = tokens.iter().position(|token| *token == Sign(b'|')).unwrap_or(tokens.len());
    let tokens = &tokens[..end];
    let known =
        tokens.iter().all(|token| operand(token) || operator(token) || matches!(token, Sign(b'(' | b')')));
    let operators = tokens.iter().filter(|token| operator(token)).count();
    // A date or a range is no sum, and neither are texts that are joined.
    let dated = operators > 1 && tokens.iter().all(|token| matches!(token, Number | Sign(b'-' | b'/')));
    let long = tokens.iter().any(|token| matches!(token, Text(text) if text.len() > 16));
    let first = tokens.iter().find(|token| !matches!(token, Sign(b'(')));
    known
        && tokens.contains(&Number)
        && operators > 0
        && !dated
        && !long
        && tokens.len() <= 24
        && first.is_some_and(operand)
        && tokens.iter().filter(|token| operand(token)).count() > 1
}

/// Reads an expression, in lower case.
pub(super) fn tokens(inner: &[u8]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = inner.get(at) {
        let rest = &inner[at..];
        let length = match byte {
            0..=b' ' => 1,
            b'0'..=b'9' => {
                tokens.push(Number);
                rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count()
            }
            b'a'..=b'z' | b'_' | b'$' | 0x80.. => {
                let length =
                    rest.iter().take_while(|byte| is_word(**byte) || matches!(**byte, b'$' | 0x80..)).count();
                tokens.push(Word(&rest[..length]));
                length
            }
            b'\'' | b'"' => {
                let length = memchr::memchr(byte, &rest[1..]).unwrap_or(rest.len() - 1);
                tokens.push(Text(&rest[1..=length]));
                length + 2
            }
            sign => {
                tokens.push(Sign(sign));
                1
            }
        };
        if tokens.len() >= MOST {
            break;
        }
        at += length;
    }
    tokens
}
