//! Where in a request a value stands.

use std::{
    fmt::{self, Write as _},
    iter,
};

use crate::{json::Step, sensitive, text, xml::Name};

/// Where in a request a value stands. It is displayed as evidence has it: `json /user/name`, `query q`, `path 2`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place<'r> {
    /// A segment of the path, counted from 1.
    Path(usize),
    /// The value of a query's parameter with this name.
    Query(&'r str),
    /// The name of a query's parameter.
    QueryName,
    /// The value of a header with this name.
    Header(&'r [u8]),
    /// The value of a cookie with this name.
    Cookie(&'r str),
    /// The value of a form's field with this name.
    Form(&'r str),
    /// The name of a form's field, or of a part.
    FormName,
    /// The text of a part with this name.
    Part(&'r str),
    /// The name of a file, in a part with this name.
    PartFile(&'r str),
    /// A string in JSON, by the steps that lead to it.
    Json(&'r [Step<'r>]),
    /// A number in JSON, as it is written, by the steps that lead to it.
    JsonNumber(&'r [Step<'r>]),
    /// A name in JSON, which is the last of the steps.
    JsonName(&'r [Step<'r>]),
    /// Text within an element of XML, by the elements that are open.
    XmlText(&'r [Name<'r>]),
    /// The value of an attribute in XML, by the elements that are open and its name.
    XmlAttribute(&'r [Name<'r>], Name<'r>),
    /// The value of an argument in GraphQL with this name.
    GraphQl(&'r str),
    /// Text of a body that has no structure which is known here.
    Body,
}

/// Characters of a name or a JSON pointer that are shown.
const LONGEST: usize = 96;

/// What a name holds behind which something secret stands. Rather one too many: all that is lost is a text in a log.
const SECRET: [&str; 10] = [
    "authoriz",
    "token",
    "secret",
    "passw",
    "passphrase",
    "credential",
    "cookie",
    "session",
    "signature",
    "apikey",
];
/// The same, of which a name must have a whole word.
const SECRET_WORDS: [&str; 8] = ["auth", "key", "pwd", "pin", "cvv", "cvc", "otp", "jwt"];

impl Place<'_> {
    /// Whether what stands there is, or by its name may be, something that no log may have: a cookie, a credential.
    pub fn is_secret(&self) -> bool {
        match self {
            Self::Cookie(_) => true,
            Self::Header(name) => sounds_secret(name),
            Self::Query(name) | Self::Form(name) | Self::Part(name) | Self::GraphQl(name) => {
                sounds_secret(name.as_bytes())
            }
            Self::XmlText(open) => open.iter().any(|name| sounds_secret(name.local.as_bytes())),
            Self::XmlAttribute(_, name) => sounds_secret(name.local.as_bytes()),
            // A list of secrets has its name further up.
            Self::Json(steps) | Self::JsonNumber(steps) => {
                steps.iter().any(|step| matches!(step, Step::Name(name) if sounds_secret(name.as_bytes())))
            }
            Self::Path(_)
            | Self::QueryName
            | Self::FormName
            | Self::PartFile(_)
            | Self::JsonName(_)
            | Self::Body => false,
        }
    }
}

fn sounds_secret(name: &[u8]) -> bool {
    let holds =
        |word: &&str| name.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()));
    let is_word = |part: &[u8]| SECRET_WORDS.iter().any(|word| part.eq_ignore_ascii_case(word.as_bytes()));
    SECRET.iter().any(holds) || name.split(|byte| !byte.is_ascii_alphanumeric()).any(is_word)
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |f: &mut fmt::Formatter<'_>, kind: &str, name: &str| {
            write!(f, "{kind} {}", text::printable(&sensitive::masked(name, 4 * LONGEST), LONGEST))
        };
        match self {
            Self::Path(segment) => write!(f, "path {segment}"),
            Self::Query(parameter) => name(f, "query", parameter),
            Self::QueryName => f.write_str("query name"),
            Self::Header(header) => name(f, "header", &String::from_utf8_lossy(header).to_ascii_lowercase()),
            Self::Cookie(cookie) => name(f, "cookie", cookie),
            Self::Form(field) => name(f, "form", field),
            Self::FormName => f.write_str("form name"),
            Self::Part(part) => name(f, "part", part),
            Self::PartFile(_) => f.write_str("file name"),
            Self::Json(steps) | Self::JsonNumber(steps) => {
                f.write_str("json ")?;
                pointer(f, steps)
            }
            Self::JsonName(steps) => {
                f.write_str("json name ")?;
                pointer(f, steps)
            }
            Self::XmlText(open) => name(f, "xml", open.last().map_or("", |element| element.local)),
            Self::XmlAttribute(_, attribute) => name(f, "xml attribute", attribute.local),
            Self::GraphQl(argument) => name(f, "graphql", argument),
            Self::Body => f.write_str("body"),
        }
    }
}

/// A JSON pointer (RFC 6901), of which no more than a log needs is shown. That to the whole document is empty.
fn pointer(f: &mut fmt::Formatter<'_>, steps: &[Step<'_>]) -> fmt::Result {
    let mut left = LONGEST;
    for step in steps {
        let name = match step {
            // Attackers name things as they like, and clients as they should not.
            Step::Name(name) => sensitive::masked(name, 4 * LONGEST),
            Step::Element(element) => element.to_string(),
        };
        for character in iter::once('/').chain(name.chars().flat_map(escaped)) {
            if left == 0 {
                return f.write_char('…');
            }
            left -= 1;
            text::escape(character).try_for_each(|one| f.write_char(one))?;
        }
    }
    Ok(())
}

/// RFC 6901, section 3.
fn escaped(character: char) -> impl Iterator<Item = char> {
    let (first, second) = match character {
        '~' => ('~', Some('0')),
        '/' => ('~', Some('1')),
        other => (other, None),
    };
    iter::once(first).chain(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_in_words_and_as_a_pointer() {
        let steps = [Step::Name("a/b~c".into()), Step::Element(12), Step::Name("é\n".into())];
        for (place, shown) in [
            (Place::Path(2), "path 2"),
            (Place::Query("q"), "query q"),
            (Place::Header(b"User-Agent"), "header user-agent"),
            (Place::Cookie("sid\u{1b}"), "cookie sid\\u{1b}"),
            (Place::Json(&steps), "json /a~1b~0c/12/é\\u{a}"),
            (Place::JsonName(&steps[..1]), "json name /a~1b~0c"),
            (Place::Json(&[]), "json "),
            (Place::Body, "body"),
        ] {
            assert_eq!(place.to_string(), shown);
        }
    }

    #[test]
    fn a_long_name_floods_no_log() {
        let long = "/".repeat(10_000);
        let steps = [Step::Name("x".repeat(LONGEST - 1).into())];
        assert_eq!(Place::Json(&steps).to_string().len(), LONGEST + 5);
        for steps in [vec![Step::Name(long.as_str().into())], vec![Step::Element(7); 5_000]] {
            let shown = Place::Json(&steps).to_string();
            assert!(shown.ends_with('…') && shown.chars().count() == LONGEST + 6, "{shown}");
        }
        assert!(Place::Query(&long).to_string().chars().count() < LONGEST + 10);
    }

    #[test]
    fn what_sounds_secret_is() {
        let steps = [Step::Name("passwords".into()), Step::Element(1)];
        for secret in [
            Place::Cookie("a"),
            Place::Header(b"X-API-Key"),
            Place::Header(b"Proxy-Authorization"),
            Place::Query("access_TOKEN"),
            Place::Form("new_password"),
            Place::Json(&steps),
        ] {
            assert!(secret.is_secret(), "{secret}");
        }
        for plain in [
            Place::Query("author"),
            Place::Query("monkey"),
            Place::Header(b"User-Agent"),
            Place::Path(1),
            Place::Json(&steps[1..]),
        ] {
            assert!(!plain.is_secret(), "{plain}");
        }
    }
}
