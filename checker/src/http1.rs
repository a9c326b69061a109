//! One HTTP/1 request out of bytes (RFC 9112), strictly: what two servers could take for two different requests is none.

use std::borrow::Cow;

use crate::{Field, Reason, Request, Version, request::is_token, stream::Chunks};

/// How large a request may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the request line's target.
    pub target: usize,
    /// Headers.
    pub headers: usize,
    /// Bytes of one header: its name and its value.
    pub header: usize,
    /// Bytes of all headers.
    pub head: usize,
    /// Bytes of the body, without its transfer coding.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { target: 8 << 10, headers: 100, header: 8 << 10, head: 32 << 10, body: 1 << 20 }
    }
}

/// Longest method, in bytes.
const LONGEST_METHOD: usize = 32;

/// Reads a request that is all of `bytes`.
///
/// # Errors
///
/// The [`Reason`] to refuse it; the first one in the order of the bytes.
pub fn read<'r>(bytes: &'r [u8], limits: &Limits) -> Result<Request<'r>, Reason> {
    let mut rest = bytes;
    let (mut request, framing) = take_head(&mut rest, limits)?;
    request.body = match framing {
        Framing::Length(length) => Cow::Borrowed(sized(&mut rest, length, limits)?),
        Framing::Chunked => Cow::Owned(chunked(&mut rest, limits)?),
    };
    if rest.is_empty() { Ok(request) } else { Err(Reason::ExcessData) }
}

/// Reads a request's head that is all of `bytes`, with the empty line that ends it, and says where the body ends that is to follow. The
/// request has no body yet.
///
/// # Errors
///
/// The [`Reason`] to refuse it, as [`read`] would: also for a length beyond the limit.
pub fn head<'r>(bytes: &'r [u8], limits: &Limits) -> Result<(Request<'r>, Framing), Reason> {
    let mut rest = bytes;
    let (request, framing) = take_head(&mut rest, limits)?;
    match framing {
        _ if !rest.is_empty() => Err(Reason::ExcessData),
        Framing::Length(length) if length > limits.body => Err(Reason::BodyLength),
        _ => Ok((request, framing)),
    }
}

fn take_head<'r>(rest: &mut &'r [u8], limits: &Limits) -> Result<(Request<'r>, Framing), Reason> {
    let (method, target, version) = request_line(line(rest, limits.target + LONGEST_METHOD + 16)?, limits)?;
    let headers = headers(rest, limits)?;
    let framing = framing(version, &headers)?;
    Ok((Request { method, target, version, headers, body: Cow::Borrowed(&[]) }, framing))
}

/// Holds the head of a request that another part has read (HTTP/2) against the limits.
pub(crate) fn within(request: &Request<'_>, limits: &Limits) -> Result<(), Reason> {
    if !is_token(request.method) || request.method.len() > LONGEST_METHOD {
        return Err(Reason::Method);
    }
    if request.target.len() > limits.target {
        return Err(Reason::TargetLength);
    }
    if request.headers.len() > limits.headers {
        return Err(Reason::HeaderCount);
    }
    // Names, values and what HTTP/1 has around them.
    let lengths = || request.headers.iter().map(|field| field.name.len() + field.value.len());
    if lengths().any(|length| length > limits.header)
        || lengths().map(|length| length + 4).sum::<usize>() > limits.head
    {
        return Err(Reason::HeaderLength);
    }
    Ok(())
}

/// Where a body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// After so many bytes.
    Length(usize),
    /// After the last chunk.
    Chunked,
}

/// By which rule the body ends. Also what holds for a request that another part has read: there must be one rule.
///
/// # Errors
///
/// [`Reason::LengthRepeated`], [`Reason::LengthInvalid`], [`Reason::LengthAndChunked`] or [`Reason::TransferEncoding`].
pub fn framing(version: Version, headers: &[Field<'_>]) -> Result<Framing, Reason> {
    let mut length = None;
    for field in headers.iter().filter(|field| field.is("content-length")) {
        // `5, 5` and a second header that says the same are allowed to be taken for one; not all servers do.
        if length.replace(content_length(field.value)?).is_some() {
            return Err(Reason::LengthRepeated);
        }
    }
    let mut codings = headers.iter().filter(|field| field.is("transfer-encoding"));
    match (codings.next(), length) {
        (None, length) => Ok(Framing::Length(length.unwrap_or(0))),
        (Some(_), Some(_)) => Err(Reason::LengthAndChunked),
        (Some(coding), None) => {
            let plain = version == Version::Http11 && coding.value.eq_ignore_ascii_case(b"chunked");
            if plain && codings.next().is_none() {
                Ok(Framing::Chunked)
            } else {
                Err(Reason::TransferEncoding)
            }
        }
    }
}

fn content_length(value: &[u8]) -> Result<usize, Reason> {
    if value.contains(&b',') {
        return Err(Reason::LengthRepeated);
    }
    decimal(value).ok_or(Reason::LengthInvalid)
}

/// Digits and nothing else: no sign, no space, at most 15 of them.
fn decimal(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    text.iter().try_fold(0_usize, |number, byte| match byte {
        b'0'..=b'9' => Some(number * 10 + usize::from(byte - b'0')),
        _ => None,
    })
}

/// Takes a line off, which must end with CR LF and be no longer than `longest`; without these two.
pub(crate) fn line<'r>(rest: &mut &'r [u8], longest: usize) -> Result<&'r [u8], Reason> {
    let within = &rest[..rest.len().min(longest + 2)];
    let Some(end) = memchr::memchr2(b'\r', b'\n', within) else {
        return Err(if rest.len() > longest { Reason::HeaderLength } else { Reason::CutShort });
    };
    let found = match (rest[end], rest.get(end + 1)) {
        (b'\n', _) => Err(Reason::BareLineFeed),
        (_, Some(b'\n')) => Ok(&rest[..end]),
        (_, None) => Err(Reason::CutShort),
        (_, Some(_)) => Err(Reason::BareCarriageReturn),
    }?;
    *rest = &rest[end + 2..];
    Ok(found)
}

fn request_line<'r>(line: &'r [u8], limits: &Limits) -> Result<(&'r [u8], &'r [u8], Version), Reason> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::RequestLine);
    };
    if !is_token(method) || method.len() > LONGEST_METHOD {
        return Err(Reason::Method);
    }
    if target.is_empty() {
        return Err(Reason::RequestLine);
    }
    if target.len() > limits.target {
        return Err(Reason::TargetLength);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ if version.starts_with(b"HTTP/") => return Err(Reason::HttpVersion),
        _ => return Err(Reason::RequestLine),
    };
    Ok((method, target, version))
}

pub(crate) fn headers<'r>(rest: &mut &'r [u8], limits: &Limits) -> Result<Vec<Field<'r>>, Reason> {
    // Most requests have no more.
    let mut headers = Vec::with_capacity(limits.headers.min(16));
    let mut head = 0;
    loop {
        let line = line(rest, limits.header + 2)?;
        if line.is_empty() {
            return Ok(headers);
        }
        if headers.len() == limits.headers {
            return Err(Reason::HeaderCount);
        }
        head += line.len() + 2;
        if head > limits.head {
            return Err(Reason::HeaderLength);
        }
        headers.push(field(line)?);
    }
}

fn field(line: &[u8]) -> Result<Field<'_>, Reason> {
    if matches!(line[0], b' ' | b'\t') {
        return Err(Reason::HeaderFolding);
    }
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Reason::HeaderName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(Reason::HeaderName);
    }
    Ok(Field { name, value: trimmed(value) })
}

/// Without spaces and tabs around it.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn sized<'r>(rest: &mut &'r [u8], length: usize, limits: &Limits) -> Result<&'r [u8], Reason> {
    if length > limits.body {
        return Err(Reason::BodyLength);
    }
    let (body, after) = rest.split_at_checked(length).ok_or(Reason::CutShort)?;
    *rest = after;
    Ok(body)
}

/// The chunks put together.
fn chunked(rest: &mut &[u8], limits: &Limits) -> Result<Vec<u8>, Reason> {
    let (mut chunks, mut body) = (Chunks::of_request(), Vec::new());
    let taken = chunks.feed(rest, &mut body, limits.body)?;
    *rest = &rest[taken..];
    if chunks.is_done() { Ok(body) } else { Err(Reason::CutShort) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> Option<Reason> {
        read(bytes, &Limits::default()).err()
    }

    #[test]
    fn a_plain_request_is_read_as_it_is() {
        let request = read(
            b"POST /a?b=c HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3 \r\n\r\nabc",
            &Limits::default(),
        )
        .unwrap();
        assert_eq!((request.method, request.target), (&b"POST"[..], &b"/a?b=c"[..]));
        assert_eq!(request.version, Version::Http11);
        assert_eq!(request.values("content-length").collect::<Vec<_>>(), [b"3"]);
        assert_eq!(&*request.body, b"abc");
    }

    #[test]
    fn chunks_are_put_together() {
        let request = read(
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n",
            &Limits::default(),
        );
        assert_eq!(&*request.unwrap().body, b"abc0123456789");
    }

    #[test]
    fn what_two_servers_would_end_in_two_places_is_refused() {
        let head = |headers: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
        for (headers, body, reason) in [
            ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc", Reason::LengthRepeated),
            ("Content-Length: 3, 3\r\n", "abc", Reason::LengthRepeated),
            ("Content-Length: +3\r\n", "abc", Reason::LengthInvalid),
            ("Content-Length: 0x3\r\n", "abc", Reason::LengthInvalid),
            ("Content-Length:\r\n", "", Reason::LengthInvalid),
            ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", Reason::LengthAndChunked),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
                Reason::TransferEncoding,
            ),
            ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", Reason::TransferEncoding),
            ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", Reason::TransferEncoding),
            ("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n", Reason::TransferEncoding),
            ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n", Reason::HeaderName),
            ("Transfer-Encoding: chunked\r\n", "3\nabc\r\n0\r\n\r\n", Reason::BareLineFeed),
            ("Transfer-Encoding: chunked\r\n", "3;x=y\r\nabc\r\n0\r\n\r\n", Reason::Chunk),
            ("Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n", Reason::Chunk),
            ("Transfer-Encoding: chunked\r\n", "3 \r\nabc\r\n0\r\n\r\n", Reason::Chunk),
            ("Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n", Reason::Chunk),
            ("Transfer-Encoding: chunked\r\n", "fffffffff\r\nabc", Reason::Chunk),
            ("Transfer-Encoding: chunked\r\n", "0\r\nX: y\r\n\r\n", Reason::Trailer),
            ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", Reason::CutShort),
            ("Content-Length: 3\r\n", "abcGET / HTTP/1.1\r\n\r\n", Reason::ExcessData),
            ("Content-Length: 4\r\n", "abc", Reason::CutShort),
            ("", "abc", Reason::ExcessData),
            ("X: a\r\n b\r\n", "", Reason::HeaderFolding),
            ("X: a\nY: b\r\n", "", Reason::BareLineFeed),
            ("X: a\rY: b\r\n", "", Reason::BareCarriageReturn),
            (": a\r\n", "", Reason::HeaderName),
            ("X\r\n", "", Reason::HeaderName),
            ("X\0: a\r\n", "", Reason::HeaderName),
        ] {
            assert_eq!(refused(head(headers, body).as_bytes()), Some(reason), "{headers:?} {body:?}");
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(refused(old), Some(Reason::TransferEncoding));
    }

    #[test]
    fn a_request_line_has_two_spaces_and_a_known_version() {
        for (line, reason) in [
            ("GET / HTTP/1.1 ", Reason::RequestLine),
            ("GET  / HTTP/1.1", Reason::RequestLine),
            ("GET /", Reason::RequestLine),
            (" GET / HTTP/1.1", Reason::RequestLine),
            ("GET\t/\tHTTP/1.1", Reason::RequestLine),
            ("GET / HTTP/2.0", Reason::HttpVersion),
            ("GET / HTTP/1.10", Reason::HttpVersion),
            ("GET / http/1.1", Reason::RequestLine),
            ("G(T / HTTP/1.1", Reason::Method),
            ("", Reason::RequestLine),
        ] {
            assert_eq!(refused(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()), Some(reason), "{line:?}");
        }
    }

    #[test]
    fn every_beginning_of_a_request_is_cut_short() {
        let whole = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(refused(&whole[..end]), Some(Reason::CutShort), "{end}");
        }
        assert_eq!(refused(whole), None);
    }

    #[test]
    fn what_is_too_large_is_refused_and_never_partly_read() {
        let limits = Limits { target: 4, headers: 2, header: 10, head: 20, body: 5 };
        for (text, reason) in [
            ("GET /abcd HTTP/1.1\r\n\r\n", Reason::TargetLength),
            ("GET / HTTP/1.1\r\na: 1\r\nb: 1\r\nc: 1\r\n\r\n", Reason::HeaderCount),
            ("GET / HTTP/1.1\r\na: 123456789012\r\n\r\n", Reason::HeaderLength),
            ("GET / HTTP/1.1\r\na: 12345678\r\nb: 12345678\r\n\r\n", Reason::HeaderLength),
            ("GET / HTTP/1.1\r\nContent-Length: 6\r\n\r\n123456", Reason::HeaderLength),
        ] {
            assert_eq!(read(text.as_bytes(), &limits).err(), Some(reason), "{text:?}");
        }
        let body = Limits { body: 5, ..Limits::default() };
        for text in [
            "POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\n123456",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            assert_eq!(read(text.as_bytes(), &body).err(), Some(Reason::BodyLength), "{text:?}");
        }
    }
}
