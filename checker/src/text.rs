//! What attackers wrote, as people may see it.

/// The text with control characters escaped, so that nothing of a request reaches a terminal raw, and cut to `longest` characters (an
/// escaped one is one), behind which an ellipsis stands.
pub fn printable(text: &str, longest: usize) -> String {
    let mut shown: String = text.chars().take(longest).flat_map(escape).collect();
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

/// One character as people may see it.
pub(crate) fn escape(character: char) -> impl Iterator<Item = char> {
    // Bidirectional overrides are no control characters to `char`, but they reorder what a terminal shows.
    let hidden = character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let escaped = hidden.then(|| character.escape_unicode());
    let plain = (!hidden).then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_that_moves_a_cursor_is_left() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}b", 20), "a\\u{1b}[31m\\u{202e}b");
        assert_eq!(printable("漢字漢字", 3), "漢字漢…");
        assert_eq!(printable("abc", 3), "abc");
    }
}
