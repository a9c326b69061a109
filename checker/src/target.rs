//! The request target: a path of segments, and the query's parameters, each decoded once (RFC 3986).

use std::borrow::Cow;

use crate::Reason;

/// What a target may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Parameters of the query.
    pub parameters: usize,
    /// Whether a parameter may stand twice. Servers take the first, the last, or both joined by a comma.
    pub repeated: bool,
    /// Whether segments may have parameters of their own (`;`).
    pub semicolons: bool,
    /// Segments of the path.
    pub segments: usize,
    /// Bytes of a segment, decoded.
    pub segment_length: usize,
    /// Bytes of a parameter's name, decoded.
    pub name_length: usize,
    /// Bytes of a parameter's value, decoded.
    pub value_length: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parameters: 256,
            repeated: true,
            semicolons: false,
            segments: 64,
            segment_length: 1 << 10,
            name_length: 256,
            value_length: 256 << 10,
        }
    }
}

impl Limits {
    /// Those of a target that was held against its own already.
    pub(crate) const WIDEST: Self = Self {
        parameters: usize::MAX,
        repeated: true,
        semicolons: true,
        segments: usize::MAX,
        segment_length: usize::MAX,
        name_length: usize::MAX,
        value_length: usize::MAX,
    };
}

/// A target that can be read in one way only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target<'r> {
    /// The segments, decoded: of `/a%20b/c` these are `a b` and `c`; of `/` there is none, and `/a/` ends with an empty one.
    pub segments: Vec<Cow<'r, str>>,
    /// The query's parameters in their order, decoded (`+` is a space).
    pub query: Parameters<'r>,
}

impl<'r> Target<'r> {
    /// Reads a target.
    ///
    /// # Errors
    ///
    /// The [`Reason`] to refuse it.
    pub fn read(method: &[u8], target: &'r [u8], limits: &Limits) -> Result<Self, Reason> {
        if target == b"*" && method == b"OPTIONS" {
            return Ok(Self { segments: Vec::new(), query: Vec::new() });
        }
        let text = characters(target)?;
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        let Some(path) = path.strip_prefix('/') else { return Err(Reason::TargetForm) };
        Ok(Self { segments: segments(path, limits)?, query: parameters(query.unwrap_or(""), limits)? })
    }
}

/// The path without the query, decoded, so that it compares as its segments do. For a target that has passed [`Target::read`], in which no slash
/// is encoded.
pub fn path(target: &[u8]) -> Cow<'_, [u8]> {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let decoded = str::from_utf8(path).ok().and_then(|path| decode(path, false));
    match decoded {
        Some(Cow::Owned(path)) => Cow::Owned(path.into_bytes()),
        Some(Cow::Borrowed(_)) | None => Cow::Borrowed(path),
    }
}

/// Only what a URL may consist of.
fn characters(target: &[u8]) -> Result<&str, Reason> {
    for (place, byte) in target.iter().enumerate() {
        match byte {
            b'%' if !is_escape(&target[place..]) => return Err(Reason::PercentEncoding),
            b'#' => return Err(Reason::Fragment),
            // Brackets, braces and bars are no characters of a URL, but browsers send them in queries as they are typed.
            b'!' | b'$'..=b';' | b'=' | b'?'..=b'Z' | b'[' | b']' | b'_' | b'a'..=b'~' => {}
            _ => return Err(Reason::TargetCharacter),
        }
    }
    str::from_utf8(target).map_err(|_| Reason::TargetCharacter)
}

fn segments<'r>(path: &'r str, limits: &Limits) -> Result<Vec<Cow<'r, str>>, Reason> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let mut parts = path.split('/').peekable();
    let mut segments = Vec::new();
    while let Some(part) = parts.next() {
        if part.is_empty() && parts.peek().is_some() {
            return Err(Reason::EmptySegment);
        }
        if segments.len() == limits.segments {
            return Err(Reason::SegmentCount);
        }
        segments.push(segment(part, limits)?);
    }
    Ok(segments)
}

fn segment<'r>(part: &'r str, limits: &Limits) -> Result<Cow<'r, str>, Reason> {
    let decoded = decode(part, false).ok_or(Reason::PathUtf8)?;
    if matches!(part, "." | "..") || matches!(&*decoded, "." | "..") {
        return Err(Reason::PathTraversal);
    }
    if decoded.contains(['/', '\\']) {
        return Err(Reason::EncodedSlash);
    }
    if !decoded.is_ascii() && is_traversal_by_look(&decoded) {
        return Err(Reason::PathTraversal);
    }
    if decoded.chars().any(char::is_control) {
        return Err(Reason::EncodedControl);
    }
    if !limits.semicolons && decoded.contains(';') {
        return Err(Reason::PathParameter);
    }
    if part.contains('%') && is_encoded(&decoded) {
        return Err(Reason::PathEncodedTwice);
    }
    if decoded.len() > limits.segment_length {
        return Err(Reason::SegmentLength);
    }
    Ok(decoded)
}

/// Whether dots and slashes come out of it where a server normalises to Unicode's compatibility forms (UAX #15, NFKC), or maps to a code page
/// that has only the plain ones. Slashes alone are letters of titles; with dots between them they lead elsewhere.
fn is_traversal_by_look(segment: &str) -> bool {
    let mut plain = String::with_capacity(segment.len());
    for character in segment.chars() {
        match character {
            '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => plain.push('.'),
            '\u{2025}' => plain.push_str(".."),
            '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' | '\u{fe68}' | '\u{ff3c}' => plain.push('/'),
            other => plain.push(other),
        }
    }
    plain.split('/').any(|part| matches!(part, "." | ".."))
}

/// Whether it begins with a percent sign and two hexadecimal digits.
fn is_escape(text: &[u8]) -> bool {
    matches!(text, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Whether one of these is in it.
fn is_encoded(text: &str) -> bool {
    text.as_bytes().windows(3).any(is_escape)
}

/// Reads the fields of a form (`application/x-www-form-urlencoded`).
///
/// # Errors
///
/// The [`Reason`] to refuse it.
pub fn form<'r>(body: &'r [u8], limits: &Limits) -> Result<Parameters<'r>, Reason> {
    for (place, byte) in body.iter().enumerate() {
        match byte {
            b'%' if !is_escape(&body[place..]) => return Err(Reason::PercentEncoding),
            b'!'..=b'~' => {}
            _ => return Err(Reason::FormCharacter),
        }
    }
    parameters(str::from_utf8(body).map_err(|_| Reason::FormCharacter)?, limits)
}

/// Names and values, decoded, in their order.
pub type Parameters<'r> = Vec<(Cow<'r, str>, Cow<'r, str>)>;

fn parameters<'r>(query: &'r str, limits: &Limits) -> Result<Parameters<'r>, Reason> {
    let mut parameters = Parameters::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        if parameters.len() == limits.parameters {
            return Err(Reason::QueryCount);
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let both = decode(name, true).zip(decode(value, true));
        parameters.push(both.ok_or(Reason::QueryUtf8)?);
    }
    within(&parameters, limits).map(|()| parameters)
}

/// Holds parameters that were read by wider limits against others.
pub(crate) fn within(parameters: &[(Cow<'_, str>, Cow<'_, str>)], limits: &Limits) -> Result<(), Reason> {
    if parameters.len() > limits.parameters {
        return Err(Reason::QueryCount);
    }
    if parameters.iter().any(|(name, _)| name.len() > limits.name_length) {
        return Err(Reason::QueryNameLength);
    }
    if parameters.iter().any(|(_, value)| value.len() > limits.value_length) {
        return Err(Reason::QueryValueLength);
    }
    if !limits.repeated && parameters.len() > 1 {
        let mut names: Vec<&str> = parameters.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err(Reason::QueryRepeated);
        }
    }
    Ok(())
}

/// Decodes percent signs once, and with `form` plus signs too. `None` if it is not UTF-8 then: overlong forms and surrogates are not
/// (RFC 3629). Each percent sign has its two digits.
fn decode(text: &str, form: bool) -> Option<Cow<'_, str>> {
    if !text.contains(|character| character == '%' || (form && character == '+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            b'+' if form => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str) -> Result<Target<'_>, Reason> {
        Target::read(b"GET", target.as_bytes(), &Limits::default())
    }

    #[test]
    fn a_target_is_its_segments_and_parameters() {
        let target = read("/users/J%C3%B6rg%20O'Neil/?q=a+b%26c&empty=&flag&x=1%2B1").unwrap();
        assert_eq!(target.segments, ["users", "Jörg O'Neil", ""]);
        let query: Vec<(&str, &str)> = target.query.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(query, [("q", "a b&c"), ("empty", ""), ("flag", ""), ("x", "1+1")]);
        assert!(read("/").unwrap().segments.is_empty());
        assert!(Target::read(b"OPTIONS", b"*", &Limits::default()).is_ok());
    }

    #[test]
    fn what_servers_would_resolve_in_two_ways_is_refused() {
        for (target, reason) in [
            ("", Reason::TargetForm),
            ("*", Reason::TargetForm),
            ("a/b", Reason::TargetForm),
            ("http://a/b", Reason::TargetForm),
            ("//a", Reason::EmptySegment),
            ("/a//b", Reason::EmptySegment),
            ("/a/../b", Reason::PathTraversal),
            ("/a/..", Reason::PathTraversal),
            ("/./a", Reason::PathTraversal),
            ("/a/%2e%2E/b", Reason::PathTraversal),
            ("/a/.%2e/b", Reason::PathTraversal),
            ("/a%2fb", Reason::EncodedSlash),
            ("/a%5Cb", Reason::EncodedSlash),
            ("/..%2f..%2fetc/passwd", Reason::EncodedSlash),
            ("/a%00b", Reason::EncodedControl),
            ("/a%0d%0ab", Reason::EncodedControl),
            ("/a%252fb", Reason::PathEncodedTwice),
            ("/a%c0%afb", Reason::PathUtf8),
            ("/a%ed%a0%80", Reason::PathUtf8),
            ("/a%ff", Reason::PathUtf8),
            ("/a;b=c/d", Reason::PathParameter),
            ("/a%3bb", Reason::PathParameter),
            ("/a#b", Reason::Fragment),
            ("/a%", Reason::PercentEncoding),
            ("/a%2", Reason::PercentEncoding),
            ("/a%u002f", Reason::PercentEncoding),
            ("/a?b=%zz", Reason::PercentEncoding),
            ("/a b", Reason::TargetCharacter),
            ("/a\\b", Reason::TargetCharacter),
            ("/a\"b", Reason::TargetCharacter),
            ("/a<b", Reason::TargetCharacter),
            ("/é", Reason::TargetCharacter),
            ("/a?b=%c0%af", Reason::QueryUtf8),
        ] {
            assert_eq!(read(target), Err(reason), "{target}");
        }
    }

    #[test]
    fn names_of_files_with_dots_and_percent_signs_are_no_traversal() {
        for target in ["/a..b", "/...", "/.well-known/x", "/100%25", "/a/..b/c..", "/~user/a,b;"] {
            let limits = Limits { semicolons: true, ..Limits::default() };
            assert!(Target::read(b"GET", target.as_bytes(), &limits).is_ok(), "{target}");
        }
    }

    #[test]
    fn parameters_are_counted_and_may_have_to_be_single() {
        let limits = Limits { parameters: 2, repeated: false, ..Limits::default() };
        let read = |target: &'static str| Target::read(b"GET", target.as_bytes(), &limits).err();
        assert_eq!(read("/?a=1&b=2"), None);
        assert_eq!(read("/?a=1&b=2&c=3"), Some(Reason::QueryCount));
        assert_eq!(read("/?a=1&%61=2"), Some(Reason::QueryRepeated));
    }

    #[test]
    fn numbers_and_lengths_are_limited_after_decoding() {
        let limits =
            Limits { segments: 2, segment_length: 3, name_length: 2, value_length: 3, ..Limits::default() };
        let read = |target: &'static str| Target::read(b"GET", target.as_bytes(), &limits).err();
        assert_eq!(read("/%61bc/d?%61b=%61bc"), None);
        assert_eq!(read("/a/b/"), Some(Reason::SegmentCount));
        assert_eq!(read("/abcd"), Some(Reason::SegmentLength));
        assert_eq!(read("/?abc=1"), Some(Reason::QueryNameLength));
        assert_eq!(read("/?a=bcde"), Some(Reason::QueryValueLength));
        assert_eq!(form(b"abc=1", &limits).err(), Some(Reason::QueryNameLength));
    }
}
