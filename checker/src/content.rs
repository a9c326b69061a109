//! What a body is, by what it is declared as and by what it looks like. The two must agree: a server behind may go by either.

use crate::Reason;

/// What a body is read as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// There is no body.
    Empty,
    /// JSON.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`.
    Multipart,
    /// Something that has no structure which is known here.
    Opaque,
}

/// What a body is read as. `declared`: the value of Content-Type; `body`: after its content codings.
///
/// # Errors
///
/// [`Reason::ContentTypeInvalid`], or [`Reason::ContentMismatch`] where it looks like something else than it is declared as.
pub fn of(declared: Option<&[u8]>, body: &[u8]) -> Result<Content, Reason> {
    let declared = declared.map(essence).transpose()?;
    if body.is_empty() {
        return Ok(Content::Empty);
    }
    let (declared, looks) = (declared.as_deref(), looks_like(body));
    let read_as = match declared {
        Some(essence) if is_json(essence) => Content::Json,
        Some("application/x-www-form-urlencoded") => Content::Form,
        Some("multipart/form-data") => Content::Multipart,
        // Parts of which nobody knows what they are.
        Some(essence) if essence.starts_with("multipart/") => return Err(Reason::ContentMismatch),
        Some(_) => Content::Opaque,
        None => return Ok(as_it_looks(body)),
    };
    if looks == Content::Opaque || looks == read_as { Ok(read_as) } else { Err(Reason::ContentMismatch) }
}

/// What a body is read as where nothing is declared, or something that does not count.
pub(crate) fn as_it_looks(body: &[u8]) -> Content {
    looks_like(body)
}

/// Type and subtype in lower case (RFC 9110, section 8.3.1).
fn essence(value: &[u8]) -> Result<String, Reason> {
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let mut parts = essence.split(|&byte| byte == b'/');
    let (Some(kind), Some(subtype), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Reason::ContentTypeInvalid);
    };
    if !crate::request::is_token(kind) || !crate::request::is_token(subtype) {
        return Err(Reason::ContentTypeInvalid);
    }
    Ok(String::from_utf8_lossy(essence).to_ascii_lowercase())
}

/// RFC 6839, section 3.1.
fn is_json(essence: &str) -> bool {
    matches!(essence, "application/json" | "text/json") || essence.ends_with("+json")
}

/// What a lenient parser would take it for.
fn looks_like(body: &[u8]) -> Content {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    match body {
        [b'{', .., b'}'] | [b'[', .., b']'] => Content::Json,
        [b'-', b'-', .., b'-', b'-'] if contains_disposition(body) => Content::Multipart,
        _ => Content::Opaque,
    }
}

fn contains_disposition(body: &[u8]) -> bool {
    const NAME: &[u8] = b"content-disposition:";
    body.windows(NAME.len()).any(|window| window.eq_ignore_ascii_case(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(declared: &str, body: &str) -> Result<Content, Reason> {
        of((!declared.is_empty()).then_some(declared.as_bytes()), body.as_bytes())
    }

    #[test]
    fn a_body_is_what_it_is_declared_as_and_looks_like() {
        for (declared, body, read) in [
            ("", "", Ok(Content::Empty)),
            ("application/json", "", Ok(Content::Empty)),
            ("application/json", "{}", Ok(Content::Json)),
            ("Application/JSON; charset=utf-8", "1", Ok(Content::Json)),
            ("application/problem+json", "{}", Ok(Content::Json)),
            ("", " {\"a\":1} ", Ok(Content::Json)),
            ("application/x-www-form-urlencoded", "a=b", Ok(Content::Form)),
            ("application/x-www-form-urlencoded", "{\"a\":1}", Err(Reason::ContentMismatch)),
            ("multipart/form-data; boundary=b", "--b--", Ok(Content::Multipart)),
            ("multipart/mixed; boundary=b", "--b--", Err(Reason::ContentMismatch)),
            ("multipart/form-data; boundary=b", "{}", Err(Reason::ContentMismatch)),
            (
                "text/plain",
                "--b\r\nCONTENT-Disposition: form-data; name=\"a\"\r\n\r\n--b--",
                Err(Reason::ContentMismatch),
            ),
            (
                "application/json",
                "--b\r\nContent-Disposition: form-data\r\n\r\n--b--",
                Err(Reason::ContentMismatch),
            ),
            ("text/plain", "{\"a\":1}", Err(Reason::ContentMismatch)),
            ("text/plain", "\u{feff}[1]", Err(Reason::ContentMismatch)),
            ("text/plain", "hello {you}", Ok(Content::Opaque)),
            ("", "hello", Ok(Content::Opaque)),
            ("application", "a", Err(Reason::ContentTypeInvalid)),
            ("application/json, text/plain", "{}", Err(Reason::ContentTypeInvalid)),
            ("application/js on", "{}", Err(Reason::ContentTypeInvalid)),
        ] {
            assert_eq!(content(declared, body), read, "{declared:?} {body:?}");
        }
    }
}
