//! A request as it came: nothing is changed, decoded or left out.

/// A version of HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// A header or trailer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'r> {
    /// As it was sent; compared without regard to case.
    pub name: &'r [u8],
    /// Without the white space around it.
    pub value: &'r [u8],
}

impl Field<'_> {
    /// Whether it has this name; `name` in lower case.
    pub const fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request<'r> {
    /// `GET`, `POST`, ….
    pub method: &'r [u8],
    /// The request target (RFC 9112, section 3.2), for HTTP/2 `:path`.
    pub target: &'r [u8],
    /// The version.
    pub version: Version,
    /// Headers, in their order. HTTP/2's `:authority` is a `host` among them.
    pub headers: Vec<Field<'r>>,
    /// The body without its transfer coding, but with its content codings.
    pub body: std::borrow::Cow<'r, [u8]>,
}

impl Request<'_> {
    /// Values of the headers with a name (in lower case).
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.headers.iter().filter(move |field| field.is(name)).map(|field| field.value)
    }
}

/// Whether all bytes are of a token (RFC 9110, section 5.6.2), and there are some.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN_BYTES[usize::from(byte)])
}

const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(
            byte as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
                | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
        );
        byte += 1;
    }
    table
};
