//! Characters and names (XML, sections 2.2 and 2.3; Namespaces, section 4).

/// A qualified name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Name<'r> {
    /// The prefix; empty where there is none.
    pub prefix: &'r str,
    /// What follows the prefix.
    pub local: &'r str,
}

impl std::fmt::Display for Name<'_> {
    /// As it is written.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.prefix.is_empty() {
            write!(out, "{}:", self.prefix)?;
        }
        out.write_str(self.local)
    }
}

impl<'r> Name<'r> {
    /// Divides a name (production 5) into prefix and local part: `None` if it has more than one colon, or one at an end, or before what begins
    /// no name.
    pub(super) fn qualified(name: &'r str) -> Option<Self> {
        let Some((prefix, local)) = name.split_once(':') else {
            return Some(Self { prefix: "", local: name });
        };
        let good =
            !prefix.is_empty() && !local.contains(':') && local.chars().next().is_some_and(begins_name);
        good.then_some(Self { prefix, local })
    }
}

/// The name (production 5) at the beginning of `text`; empty if there is none.
pub(super) fn name(text: &str) -> &str {
    let mut characters = text.char_indices();
    if !characters.next().is_some_and(|(_, first)| begins_name(first)) {
        return "";
    }
    let end =
        characters.find(|&(_, character)| !continues_name(character)).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or("")
}

/// Production 4.
pub(super) const fn begins_name(character: char) -> bool {
    matches!(character,
        ':' | '_' | 'A'..='Z' | 'a'..='z'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// Production 4a.
const fn continues_name(character: char) -> bool {
    matches!(character,
        '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
        || begins_name(character)
}

/// Production 2.
pub(super) const fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether a document may have each of them: in UTF-8 those that it may not are controls and U+FFFE and U+FFFF.
pub(super) fn are_characters(text: &str) -> bool {
    let controls = text.bytes().any(|byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r'));
    !controls && memchr::memchr_iter(0xef, text.as_bytes()).all(|at| is_character_at(text, at))
}

fn is_character_at(text: &str, at: usize) -> bool {
    text.get(at..).and_then(|rest| rest.chars().next()).is_some_and(is_character)
}
