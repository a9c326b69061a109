//! What a body is, by what it is declared as and by what it looks like. The two must agree: a server behind may go by either.

use crate::Reason;

/// What a body is read as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// There is no body.
    Empty,
    /// JSON.
    Json,
    /// XML.
    Xml,
    /// A document of GraphQL (`application/graphql`).
    GraphQl,
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
/// [`Reason::ContentTypeInvalid`], [`Reason::ContentMismatch`] where it looks like something else than it is declared as, or
/// [`Reason::ContentCharset`] where it is to be read as characters that are not UTF-8.
pub fn of(declared: Option<&[u8]>, body: &[u8]) -> Result<Content, Reason> {
    let essence = declared.map(essence).transpose()?;
    if body.is_empty() {
        return Ok(Content::Empty);
    }
    let read_as = match essence.as_deref() {
        Some(essence) => agreed(essence, looks_like(body))?,
        None => as_it_looks(body),
    };
    if read_as != Content::Opaque && !declared.is_none_or(is_unicode) {
        return Err(Reason::ContentCharset);
    }
    Ok(read_as)
}

/// What a body is read as where nothing is declared, or something that does not count.
pub(crate) fn as_it_looks(body: &[u8]) -> Content {
    match looks_like(body) {
        Looks::Json => Content::Json,
        Looks::Xml | Looks::Markup => Content::Xml,
        Looks::Multipart => Content::Multipart,
        Looks::Opaque => Content::Opaque,
    }
}

/// What a body is read as that is declared as one thing and looks like one.
fn agreed(essence: &str, looks: Looks) -> Result<Content, Reason> {
    let (read_as, like) = match essence {
        _ if is_json(essence) => (Content::Json, Looks::Json),
        _ if is_xml(essence) => (Content::Xml, Looks::Xml),
        // A selection of GraphQL has the braces of JSON.
        "application/graphql" => (Content::GraphQl, Looks::Json),
        "application/x-www-form-urlencoded" => (Content::Form, Looks::Opaque),
        "multipart/form-data" => (Content::Multipart, Looks::Multipart),
        // Parts of which nobody knows what they are.
        _ if essence.starts_with("multipart/") => return Err(Reason::ContentMismatch),
        _ => (Content::Opaque, Looks::Opaque),
    };
    // Any markup is what XML may look like, and text may be markup (HTML, or prose that quotes a tag) as long as it does not announce XML.
    let markup = looks == Looks::Markup && (read_as == Content::Xml || essence.starts_with("text/"));
    if looks == like || looks == Looks::Opaque || markup { Ok(read_as) } else { Err(Reason::ContentMismatch) }
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

/// RFC 7303, sections 4.2 and 9.1.
fn is_xml(essence: &str) -> bool {
    matches!(essence, "application/xml" | "text/xml" | "application/xml-external-parsed-entity")
        || essence.ends_with("+xml")
}

/// Whether each charset that a Content-Type names is UTF-8 or what UTF-8 contains. A server that goes by another one reads what was not
/// inspected: in UTF-7, `+ADw-` is `<`.
fn is_unicode(declared: &[u8]) -> bool {
    declared.split(|&byte| byte == b';').skip(1).all(|parameter| {
        let mut sides = parameter.splitn(2, |&byte| byte == b'=').map(<[u8]>::trim_ascii);
        let (name, value) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        !name.eq_ignore_ascii_case(b"charset")
            || [&b"utf-8"[..], b"utf8", b"us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
    })
}

/// What a body looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Looks {
    Json,
    /// It announces XML.
    Xml,
    /// It begins and ends as XML and HTML do.
    Markup,
    Multipart,
    Opaque,
}

/// What a lenient parser would take it for.
fn looks_like(body: &[u8]) -> Looks {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    match body {
        [b'{', .., b'}'] | [b'[', .., b']'] => Looks::Json,
        [b'-', b'-', .., b'-', b'-'] if contains_disposition(body) => Looks::Multipart,
        _ if announces_xml(body) => Looks::Xml,
        [b'<', b'!' | b'?' | b'_' | b':' | b'a'..=b'z' | b'A'..=b'Z' | 0x80.., .., b'>'] => Looks::Markup,
        _ => Looks::Opaque,
    }
}

/// Whether it begins with an XML declaration, in UTF-8 or another encoding that parsers guess (XML, appendix F), or with a document type
/// other than the one of HTML.
fn announces_xml(body: &[u8]) -> bool {
    const DECLARATIONS: [&[u8]; 4] = [b"<?xml", b"<\0?\0", b"\0<\0?", b"\x4c\x6f\xa7\x94"];
    const TYPE: &[u8] = b"<!DOCTYPE";
    let unmarked = body.strip_prefix(b"\xff\xfe").or_else(|| body.strip_prefix(b"\xfe\xff")).unwrap_or(body);
    if DECLARATIONS.iter().any(|start| unmarked.starts_with(start)) {
        return true;
    }
    let Some((start, rest)) = body.split_at_checked(TYPE.len()) else { return false };
    let name = rest.trim_ascii_start();
    let html = name.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"html"))
        && name.get(4..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b">"));
    start.eq_ignore_ascii_case(TYPE) && !html
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
            ("application/xml", "<a/>", Ok(Content::Xml)),
            ("text/xml; charset=\"UTF-8\"", "<?xml version=\"1.0\"?><a/>", Ok(Content::Xml)),
            ("application/soap+xml", " <a/>", Ok(Content::Xml)),
            ("application/xml", "hello", Ok(Content::Xml)),
            ("application/xml", "{}", Err(Reason::ContentMismatch)),
            ("application/json", "<a/>", Err(Reason::ContentMismatch)),
            ("application/x-www-form-urlencoded", "<a>b=c</a>", Err(Reason::ContentMismatch)),
            ("application/octet-stream", "<a>b</a>", Err(Reason::ContentMismatch)),
            ("application/graphql", "{ a }", Ok(Content::GraphQl)),
            ("application/graphql", "query { a }", Ok(Content::GraphQl)),
            ("application/graphql", "<a/>", Err(Reason::ContentMismatch)),
            ("text/graphql", "{ a }", Err(Reason::ContentMismatch)),
            ("", "<a>b</a>", Ok(Content::Xml)),
            ("", "\u{feff}<?xml version='1.0'?><a/>", Ok(Content::Xml)),
            ("", "a < b", Ok(Content::Opaque)),
            ("text/html", "<p>Hello</p>", Ok(Content::Opaque)),
            ("text/html", "<!doctype html>\n<p>Hello</p>", Ok(Content::Opaque)),
            ("text/plain", "<jane@example.org>", Ok(Content::Opaque)),
            ("text/markdown", "<b>Hello</b>, <i>world</i>", Ok(Content::Opaque)),
            ("text/plain", "<- see above", Ok(Content::Opaque)),
            ("text/html", "<!DOCTYPE html SYSTEM 'http://a.example/a'><p/>", Err(Reason::ContentMismatch)),
            ("text/plain", "\n<?xml version='1.0'?><a/>", Err(Reason::ContentMismatch)),
            ("text/plain", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", Err(Reason::ContentMismatch)),
            ("text/plain", "\u{0}<\u{0}?\u{0}x\u{0}m\u{0}l", Err(Reason::ContentMismatch)),
            ("application/json; charset=utf-16", "{}", Err(Reason::ContentCharset)),
            ("application/xml; charset=utf-7", "<a/>", Err(Reason::ContentCharset)),
            ("application/xml;charset=utf-8;CharSet=ibm037", "<a/>", Err(Reason::ContentCharset)),
            ("text/plain; charset=iso-8859-1", "hello", Ok(Content::Opaque)),
            ("application", "a", Err(Reason::ContentTypeInvalid)),
            ("application/json, text/plain", "{}", Err(Reason::ContentTypeInvalid)),
            ("application/js on", "{}", Err(Reason::ContentTypeInvalid)),
        ] {
            assert_eq!(content(declared, body), read, "{declared:?} {body:?}");
        }
    }
}
