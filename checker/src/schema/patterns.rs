//! The regular expressions of schemas: ECMA-262's, as far as an engine of linear time can run them.

use regex_syntax::hir::Look;

/// Bytes of a pattern as it is compiled.
pub(super) const SIZE: usize = 4 << 20;

/// The pattern as it is compiled: word boundaries are those of ASCII, as ECMA-262 has them, and as the engine is fast with.
///
/// # Errors
///
/// Why it cannot be used.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let translated = boundaries(pattern);
    let unusable = |why: &str| format!("pattern {pattern:?} cannot be used: {why}");
    let rust =
        jsonschema_regex::to_rust_regex(&translated).map_err(|()| unusable("it is no regular expression"))?;
    let hir = regex_syntax::parse(&rust).map_err(|error| {
        let why = match &error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            _ => "it is no regular expression".to_owned(),
        };
        unusable(&format!("{why} (only what takes linear time is run)"))
    })?;
    let looks = hir.properties().look_set();
    if [Look::WordUnicode, Look::WordUnicodeNegate].into_iter().any(|look| looks.contains(look)) {
        return Err(unusable("it has a word boundary in a place where it cannot be made one of ASCII"));
    }
    regex::RegexBuilder::new(&rust)
        .size_limit(SIZE)
        .dfa_size_limit(SIZE)
        .build()
        .map_err(|_| unusable("it becomes too large"))?;
    Ok(translated)
}

/// Writes `\b` and `\B` outside of classes as those of ASCII.
fn boundaries(pattern: &str) -> String {
    let mut written = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    let mut in_class = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(boundary @ ('b' | 'B')) if !in_class => {
                    written.push_str("(?-u:\\");
                    written.push(boundary);
                    written.push(')');
                }
                // In a class it is the backspace.
                Some('b') => written.push_str("\\x08"),
                Some(escaped) => written.extend(['\\', escaped]),
                None => written.push('\\'),
            },
            other => {
                in_class = (in_class || other == '[') && other != ']';
                written.push(other);
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_run_in_linear_time_or_not_at_all() {
        for (pattern, translated) in [
            (r"^[a-z]+$", r"^[a-z]+$"),
            (r"\bab\b", r"(?-u:\b)ab(?-u:\b)"),
            (r"[\b]", r"[\x08]"),
            (r"a\B", r"a(?-u:\B)"),
            (r"^\d{3}-\w+\.$", r"^\d{3}-\w+\.$"),
        ] {
            assert_eq!(translate(pattern).as_deref(), Ok(translated));
        }
        for (pattern, why) in [
            (r"^(?=a)b", "look-around"),
            (r"^(?!a)b", "look-around"),
            (r"(a)\1", "backreferences"),
            ("(", "no regular expression"),
            (r"(\w{1,1000}){1,1000}", "too large"),
        ] {
            let error = translate(pattern).unwrap_err();
            assert!(error.contains(why) && error.contains(pattern.get(..1).unwrap()), "{error}");
        }
    }
}
