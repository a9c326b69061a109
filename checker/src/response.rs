//! The head of an HTTP/1 answer (RFC 9112), as strictly as a request's: what is passed on must end in one place for everyone.

use crate::{
    Field, Reason, Version, fields,
    http1::{self, Framing, Limits},
};

/// An answer's head.
#[derive(Clone, Debug)]
pub struct Response<'r> {
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// From 100 to 599.
    pub status: u16,
    /// Headers, in their order.
    pub headers: Vec<Field<'r>>,
}

/// Where an answer's body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// There is none, whatever the headers say.
    Empty,
    /// After so many bytes.
    Length(usize),
    /// After the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// Reads a head that is all of `bytes`, with the empty line that ends it.
///
/// # Errors
///
/// [`Reason::StatusLine`], or what a request's head is refused for.
pub fn head<'r>(bytes: &'r [u8], limits: &Limits) -> Result<Response<'r>, Reason> {
    let mut rest = bytes;
    let (version, status) = status_line(http1::line(&mut rest, limits.header)?).ok_or(Reason::StatusLine)?;
    let headers = http1::headers(&mut rest, limits)?;
    for field in &headers {
        fields::value(field)?;
    }
    if rest.is_empty() { Ok(Response { version, status, headers }) } else { Err(Reason::ExcessData) }
}

fn status_line(line: &[u8]) -> Option<(Version, u16)> {
    let (version, rest) = match line.split_at_checked(9)? {
        (b"HTTP/1.1 ", rest) => (Version::Http11, rest),
        (b"HTTP/1.0 ", rest) => (Version::Http10, rest),
        _ => return None,
    };
    // The phrase may be missing, and its space with it (which is wrong, and harmless).
    let (digits, phrase) = rest.split_at_checked(3)?;
    let status = digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Some(number * 10 + u16::from(digit - b'0')),
        _ => None,
    })?;
    let plain = matches!(phrase, [] | [b' ', ..]);
    (plain && (100..600).contains(&status)).then_some((version, status))
}

/// Where the body ends of an answer to a request with this method (RFC 9112, section 6.3).
///
/// # Errors
///
/// What two readers could end in two places: [`Reason::LengthRepeated`], [`Reason::LengthInvalid`], [`Reason::LengthAndChunked`] or
/// [`Reason::TransferEncoding`].
pub fn ending(method: &[u8], response: &Response<'_>) -> Result<Ending, Reason> {
    let framing = http1::framing(response.version, &response.headers)?;
    if method == b"HEAD" || matches!(response.status, 100..=199 | 204 | 304) {
        return Ok(Ending::Empty);
    }
    Ok(match framing {
        Framing::Chunked => Ending::Chunked,
        Framing::Length(length) if response.headers.iter().any(|field| field.is("content-length")) => {
            Ending::Length(length)
        }
        Framing::Length(_) => Ending::Close,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, text: &str) -> Result<(u16, Ending), Reason> {
        let response = head(text.as_bytes(), &Limits::default())?;
        Ok((response.status, ending(method.as_bytes(), &response)?))
    }

    #[test]
    fn an_answer_ends_where_its_head_says() {
        for (method, text, expected) in [
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", (200, Ending::Length(3))),
            ("GET", "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", (200, Ending::Chunked)),
            ("GET", "HTTP/1.0 404 Not Found\r\n\r\n", (404, Ending::Close)),
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", (200, Ending::Empty)),
            ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", (304, Ending::Empty)),
            ("GET", "HTTP/1.1 204 \r\n\r\n", (204, Ending::Empty)),
        ] {
            assert_eq!(read(method, text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn an_answer_that_could_end_in_two_places_is_refused() {
        for (text, reason) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", Reason::LengthRepeated),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                Reason::LengthAndChunked,
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Reason::TransferEncoding),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Reason::TransferEncoding),
            ("HTTP/1.1 200 OK\r\nX: a\n\r\n", Reason::BareLineFeed),
            ("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", Reason::HeaderName),
            ("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", Reason::HeaderValue),
            ("HTTP/1.1 200 OK\r\n X: a\r\n\r\n", Reason::HeaderFolding),
            ("HTTP/1.1 2000 OK\r\n\r\n", Reason::StatusLine),
            ("HTTP/1.1 099 OK\r\n\r\n", Reason::StatusLine),
            ("HTTP/2 200\r\n\r\n", Reason::StatusLine),
            ("200 OK\r\n\r\n", Reason::StatusLine),
            ("HTTP/1.1 200 OK\r\n\r\nX", Reason::ExcessData),
        ] {
            assert_eq!(read("GET", text), Err(reason), "{text:?}");
        }
    }
}
