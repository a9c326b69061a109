//! `multipart/form-data` (RFC 7578), strictly: no text before, between or after the parts, no quoting that two parsers undo in two ways, and no
//! header that few know.

use crate::{Reason, request::is_token};

/// What a form of parts may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Parts.
    pub parts: usize,
    /// Bytes of a part's name, and of a file's name.
    pub name_length: usize,
    /// Bytes of a part that is no file.
    pub field: usize,
    /// Bytes of a file.
    pub file: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parts: 128, name_length: 128, field: 256 << 10, file: 1 << 20 }
    }
}

/// Longest boundary (RFC 2046, section 5.1.1).
const LONGEST_BOUNDARY: usize = 70;
/// Bytes of a part's headers.
const LONGEST_HEAD: usize = 2 << 10;

/// A part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'r> {
    /// The field's name.
    pub name: &'r str,
    /// The file's name; `None` for a field that is no file.
    pub file: Option<&'r str>,
    /// The value of its Content-Type.
    pub content_type: Option<&'r str>,
    /// What it holds.
    pub body: &'r [u8],
}

/// Reads all parts. `content_type`: the value of the header.
///
/// # Errors
///
/// The [`Reason`] to refuse it; the first one in the order of the bytes.
pub fn read<'r>(content_type: &'r [u8], body: &'r [u8], limits: &Limits) -> Result<Vec<Part<'r>>, Reason> {
    let boundary = boundary(content_type)?;
    // What stands before each part but the first, and at the end; the CR LF belongs to it.
    let delimiter = [b"\r\n--", boundary].concat();
    let mut rest = body.strip_prefix(&delimiter[2..]).ok_or(Reason::MultipartFraming)?;
    let mut parts = Vec::new();
    loop {
        rest = match rest {
            [b'-', b'-', end @ ..] if end.is_empty() || end == b"\r\n" => return Ok(parts),
            [b'\r', b'\n', part @ ..] => part,
            _ => return Err(Reason::MultipartFraming),
        };
        if parts.len() == limits.parts {
            return Err(Reason::MultipartParts);
        }
        let end = find(rest, &delimiter).ok_or(Reason::MultipartFraming)?;
        parts.push(part(&rest[..end], limits)?);
        rest = &rest[end + delimiter.len()..];
    }
}

/// The one boundary that the header names. Quotes are taken off where nothing in them is escaped.
fn boundary(content_type: &[u8]) -> Result<&[u8], Reason> {
    let mut found = None;
    for parameter in content_type.split(|&byte| byte == b';').skip(1) {
        let parameter = parameter.trim_ascii();
        let Some(equals) = parameter.iter().position(|&byte| byte == b'=') else {
            return Err(Reason::MultipartBoundary);
        };
        let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
        if !name.eq_ignore_ascii_case(b"boundary") {
            continue;
        }
        let value = match value {
            [b'"', inner @ .., b'"'] => inner,
            plain if is_token(plain) => plain,
            _ => return Err(Reason::MultipartBoundary),
        };
        if found.replace(value).is_some() {
            return Err(Reason::MultipartBoundary);
        }
    }
    // Fewer bytes than RFC 2046 allows: what browsers and libraries choose, and nothing that would have to be quoted.
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'\'' | b'+' | b'_' | b'-' | b'.');
    match found {
        Some(boundary) if (1..=LONGEST_BOUNDARY).contains(&boundary.len()) && boundary.iter().all(known) => {
            Ok(boundary)
        }
        _ => Err(Reason::MultipartBoundary),
    }
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(within, what)
}

fn part<'r>(part: &'r [u8], limits: &Limits) -> Result<Part<'r>, Reason> {
    let head = find(&part[..part.len().min(LONGEST_HEAD)], b"\r\n\r\n").ok_or(Reason::MultipartHeader)?;
    let (head, body) = (&part[..head], &part[head + 4..]);
    let head = str::from_utf8(head).map_err(|_| Reason::MultipartHeader)?;
    let (mut disposition, mut content_type) = (None, None);
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or(Reason::MultipartHeader)?;
        if value.chars().any(char::is_control) {
            return Err(Reason::MultipartHeader);
        }
        let place = match name.to_ascii_lowercase().as_str() {
            "content-disposition" => &mut disposition,
            "content-type" => &mut content_type,
            // Content-Transfer-Encoding is what bodies were hidden by (RFC 7578, section 4.7); others nobody sends.
            _ => return Err(Reason::MultipartHeader),
        };
        if place.replace(value.trim()).is_some() {
            return Err(Reason::MultipartHeader);
        }
    }
    // Parts within a part, with names and files of their own, are read by some (RFC 7578, section 4.3, does without them).
    if content_type
        .is_some_and(|value| value.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/")))
    {
        return Err(Reason::MultipartHeader);
    }
    let (name, file) = form_data(disposition.ok_or(Reason::MultipartHeader)?)?;
    if name.len().max(file.map_or(0, str::len)) > limits.name_length {
        return Err(Reason::MultipartName);
    }
    if body.len() > if file.is_some() { limits.file } else { limits.field } {
        return Err(Reason::MultipartLength);
    }
    Ok(Part { name, file, content_type, body })
}

/// `form-data; name="…"; filename="…"`, in this order or the other, each once.
fn form_data(value: &str) -> Result<(&str, Option<&str>), Reason> {
    let mut rest = value.strip_prefix("form-data").ok_or(Reason::MultipartHeader)?;
    let (mut name, mut file) = (None, None);
    while !rest.is_empty() {
        let (key, after) = rest
            .strip_prefix(';')
            .and_then(|rest| rest.trim_start().split_once("=\""))
            .ok_or(Reason::MultipartHeader)?;
        let (quoted, after) = after.split_once('"').ok_or(Reason::MultipartHeader)?;
        // A backslash escapes for some and belongs to the name for others.
        if quoted.contains('\\') {
            return Err(Reason::MultipartName);
        }
        let place = match key {
            "name" => &mut name,
            "filename" => &mut file,
            // `filename*` is not for forms (RFC 7578, section 4.2), and servers that read it prefer it.
            _ => return Err(Reason::MultipartHeader),
        };
        if place.replace(quoted).is_some() {
            return Err(Reason::MultipartHeader);
        }
        rest = after.trim_start();
    }
    if file.is_some_and(|file| file.contains('/') || matches!(file, "." | "..")) {
        return Err(Reason::MultipartName);
    }
    Ok((name.ok_or(Reason::MultipartHeader)?, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=b";

    fn refused(body: &str) -> Option<Reason> {
        read(TYPE, body.as_bytes(), &Limits::default()).err()
    }

    #[test]
    fn fields_and_files_are_told_apart() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nJörg\r\n--b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nx--b-\r\n\r\n--b--\r\n";
        let parts = read(TYPE, body.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(
            parts,
            [
                Part { name: "a", file: None, content_type: None, body: "Jörg".as_bytes() },
                Part { name: "f", file: Some("x.txt"), content_type: Some("text/plain"), body: b"x--b-\r\n" },
            ]
        );
        assert_eq!(read(TYPE, b"--b--", &Limits::default()), Ok(vec![]));
    }

    #[test]
    fn what_parsers_split_in_two_ways_is_refused() {
        let part = |head: &str| format!("--b\r\n{head}\r\n\r\nv\r\n--b--\r\n");
        for (body, reason) in [
            ("preamble\r\n--b--\r\n".to_owned(), Reason::MultipartFraming),
            ("--b--\r\nepilogue".to_owned(), Reason::MultipartFraming),
            ("--b \r\n\r\n\r\n--b--".to_owned(), Reason::MultipartFraming),
            (
                "--b\nContent-Disposition: form-data; name=\"a\"\n\nv\n--b--".to_owned(),
                Reason::MultipartFraming,
            ),
            (
                "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv".to_owned(),
                Reason::MultipartFraming,
            ),
            (part("Content-Disposition: form-data"), Reason::MultipartHeader),
            (part("Content-Disposition: attachment; name=\"a\""), Reason::MultipartHeader),
            (part("Content-Disposition: form-data; name=a"), Reason::MultipartHeader),
            (part("Content-Disposition: form-data; name=\"a\"; name=\"b\""), Reason::MultipartHeader),
            (
                part("Content-Disposition: form-data; name=\"a\"; filename*=\"UTF-8''b\""),
                Reason::MultipartHeader,
            ),
            (part("Content-Disposition: form-data; name=\"a\\\"; filename=\"b\""), Reason::MultipartName),
            (part("Content-Disposition: form-data; name=\"a\"; filename=\"../b\""), Reason::MultipartName),
            (
                part("Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64"),
                Reason::MultipartHeader,
            ),
            (
                part(
                    "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
                ),
                Reason::MultipartHeader,
            ),
            (part("Content-Disposition: form-data;\r\n name=\"a\""), Reason::MultipartHeader),
            (part("Content-Type: text/plain"), Reason::MultipartHeader),
        ] {
            assert_eq!(refused(&body), Some(reason), "{body:?}");
        }
    }

    #[test]
    fn there_is_one_boundary_without_tricks() {
        let body = b"--b--";
        for (header, good) in [
            ("multipart/form-data; boundary=b", true),
            ("multipart/form-data; boundary=\"b\"", true),
            ("multipart/form-data;charset=utf-8;Boundary=b", true),
            ("multipart/form-data", false),
            ("multipart/form-data; boundary=", false),
            ("multipart/form-data; boundary=b; boundary=c", false),
            ("multipart/form-data; boundary=\"b\\\"\"", false),
            ("multipart/form-data; boundary=b c", false),
            ("multipart/form-data; boundary = b", false),
        ] {
            assert_eq!(read(header.as_bytes(), body, &Limits::default()).is_ok(), good, "{header}");
        }
    }

    #[test]
    fn each_limit_holds() {
        let limits = Limits { parts: 1, name_length: 2, field: 3, file: 4 };
        let part = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n")
        };
        for (parts, reason) in [
            (part("name=\"ab\"", "abc"), None),
            (part("name=\"ab\"; filename=\"c\"", "abcd"), None),
            (part("name=\"abc\"", "abc"), Some(Reason::MultipartName)),
            (part("name=\"a\"; filename=\"abc\"", ""), Some(Reason::MultipartName)),
            (part("name=\"ab\"", "abcd"), Some(Reason::MultipartLength)),
            (part("name=\"ab\"; filename=\"c\"", "abcde"), Some(Reason::MultipartLength)),
            (part("name=\"a\"", "") + &part("name=\"b\"", ""), Some(Reason::MultipartParts)),
        ] {
            let body = parts.clone() + "--b--";
            assert_eq!(read(TYPE, body.as_bytes(), &limits).err(), reason, "{parts:?}");
        }
    }
}
