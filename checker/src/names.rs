//! Names that programs behind take for one another. Whoever looks for one of them in what a client has sent must not miss the others.

/// As parameters and fields of forms are looked up: by some without regard to case (ASP.NET), and by PHP with an underscore for each point, space and bracket, up to a
/// NUL, without spaces in front, and of `id[]` as `id`.
pub(crate) fn is_same_parameter(sent: &str, wanted: &str) -> bool {
    let (sent, wanted) = (bare(sent), bare(wanted));
    if sent.is_ascii() && wanted.is_ascii() {
        // Asked of every parameter of every request.
        let plain = |one| if matches!(one, b' ' | b'.' | b'[') { b'_' } else { one.to_ascii_lowercase() };
        return sent.len() == wanted.len() && sent.bytes().map(plain).eq(wanted.bytes().map(plain));
    }
    parameter(sent).eq(parameter(wanted))
}

/// As entries of JSON are looked up: by some without regard to case (Go's encoding/json, System.Text.Json).
pub(crate) fn is_same_entry(sent: &str, wanted: &str) -> bool {
    sent == wanted || folded(sent.chars()).eq(folded(wanted.chars()))
}

/// A parameter's name up to a NUL, without what makes it a list's.
fn bare(name: &str) -> &str {
    let name = name.split('\0').next().unwrap_or_default().trim();
    name.strip_suffix("[]").unwrap_or(name)
}

fn parameter(name: &str) -> impl Iterator<Item = char> {
    let plain = |one| if matches!(one, ' ' | '.' | '[') { '_' } else { one };
    folded(name.chars().map(plain))
}

/// Capital letters first: so the long s and the sign of Kelvin become what Unicode's simple case folding makes of them.
fn folded(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    text.flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_program_takes_for_the_same_is() {
        for sent in [
            "user_id",
            "User_ID",
            "user.id",
            "user id",
            " user_id",
            "user_id[]",
            "user_id\0x",
            "uſer_id",
            "user[id",
        ] {
            assert!(is_same_parameter(sent, "user_id"), "{sent}");
        }
        for other in ["userid", "user_id2", "user-id", "x.user_id", "", "user_id[x]"] {
            assert!(!is_same_parameter(other, "user_id"), "{other}");
        }
        for sent in ["key", "KEY", "\u{212a}ey"] {
            assert!(is_same_entry(sent, "key"), "{sent}");
        }
        for other in ["k.y", "key ", "key[]", "keys", ""] {
            assert!(!is_same_entry(other, "key"), "{other}");
        }
    }
}
