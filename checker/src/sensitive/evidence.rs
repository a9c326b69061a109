//! What of a value may stand in evidence and logs.

use std::{fmt::Write as _, sync::LazyLock};

use super::{Counts, Sensitive, WINDOW};

/// Bytes of evidence.
const LONGEST: usize = 128;
/// Bytes that are shown before what it is about.
const BEFORE: usize = 96;
/// What says that there is more.
const MORE: &str = "…";

/// What is masked in every log.
static SENSITIVE: LazyLock<Sensitive> = LazyLock::new(Sensitive::default);

/// The beginning of the text, of `longest` bytes at most, with what is sensitive in it masked.
pub fn masked(text: &str, longest: usize) -> String {
    // What is masked is decided by what follows it, too.
    let beginning = text.get(..text.floor_char_boundary(longest.saturating_add(WINDOW))).unwrap_or(text);
    let masked = SENSITIVE.mask(beginning.as_bytes(), &mut Counts::default());
    let mut masked = String::from_utf8_lossy(&masked).into_owned();
    masked.truncate(masked.floor_char_boundary(longest));
    masked
}

/// The text as evidence has it: masked, on one line, 128 bytes at most.
///
/// Control characters, those that turn the direction of what follows, and backslashes are escaped as Rust does it.
pub fn text(text: &str) -> String {
    // One more than there is room for, to know that there is more.
    let masked = masked(text, LONGEST + char::MAX.len_utf8());
    shown(String::with_capacity(LONGEST), &masked)
}

/// What stands around byte `at` of a text, as evidence has it: its beginning where that has it.
pub fn around(text: &str, at: usize) -> String {
    if at <= LONGEST {
        return self::text(text);
    }
    // All that is before it may decide what it is.
    let until = text.get(..text.floor_char_boundary(at + LONGEST + WINDOW)).unwrap_or(text);
    let masked = SENSITIVE.mask(until.as_bytes(), &mut Counts::default());
    let from = text.floor_char_boundary(at - BEFORE);
    let masked = masked.get(from..).unwrap_or_default();
    shown(MORE.to_owned(), &String::from_utf8_lossy(masked))
}

/// What is masked already, behind what `evidence` has: on one line, 128 bytes at most.
fn shown(mut evidence: String, masked: &str) -> String {
    // How long it was when it still had room for more to be said.
    let mut room = evidence.len();
    for character in masked.chars() {
        let before = evidence.len();
        if character == '\\' || character.is_control() || is_invisible(character) {
            let _ = write!(evidence, "{}", character.escape_default());
        } else {
            evidence.push(character);
        }
        if evidence.len() > LONGEST {
            evidence.truncate(room.min(before));
            evidence.push_str(MORE);
            return evidence;
        }
        if evidence.len() + MORE.len() <= LONGEST {
            room = evidence.len();
        }
    }
    evidence
}

/// What changes how other text is shown: directions, joiners, and line and paragraph separators.
const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}
