//! Requests that values are put into, as browsers and clients write them.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::encode;

/// Where in a request a value is put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Context {
    Query,
    Form,
    Json,
    Header,
    Cookie,
    Path,
}

impl Context {
    /// All but the query, in which every value is judged anyway.
    pub(crate) const OTHERS: [Self; 5] = [Self::Form, Self::Json, Self::Header, Self::Cookie, Self::Path];

    /// As sets are named by it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Form => "form",
            Self::Json => "json",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Path => "path",
        }
    }
}

/// What is done to a value before it is put into a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrap {
    Plain,
    /// Base64 (RFC 4648, section 4), padded.
    Base64,
    /// Percent-encoded; being put into a query encodes it a second time.
    DoubleUrl,
}

impl Wrap {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Base64, Self::DoubleUrl];

    /// What is put behind the name of a set.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Base64 => "+base64",
            Self::DoubleUrl => "+double-url",
        }
    }

    pub(crate) fn apply(self, value: &str) -> String {
        match self {
            Self::Plain => value.to_owned(),
            Self::Base64 => STANDARD.encode(value),
            Self::DoubleUrl => encode::url(value),
        }
    }
}

/// Longest value that is put into a query, percent-encoded: longer ones go by form, as people would send them.
const LONGEST_QUERY: usize = 6_000;

/// What every request has besides its target and body.
const HEADERS: &str = "Host: api.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: */*\r\n";

/// A request with `value`. `None` where it cannot stand there: no client writes control characters or other than ASCII into a header.
pub(crate) fn request(context: Context, value: &str) -> Option<Vec<u8>> {
    let encoded = encode::url(value);
    Some(match context {
        Context::Query if encoded.len() <= LONGEST_QUERY => get(&format!("/search?q={encoded}&page=2"), ""),
        Context::Query | Context::Form => {
            post("application/x-www-form-urlencoded", &format!("title={}&lang=en", encode::form_value(value)))
        }
        Context::Json => post(
            "application/json",
            &serde_json::json!({ "id": 17, "title": value, "draft": false }).to_string(),
        ),
        Context::Header => {
            let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.trim() == value;
            if !plain || value.len() > LONGEST_QUERY {
                return None;
            }
            get("/items", &format!("X-Client-Note: {value}\r\n"))
        }
        Context::Cookie if encoded.len() <= 4_000 => {
            get("/items", &format!("Cookie: lang=en; note={encoded}\r\n"))
        }
        Context::Path if encoded.len() <= LONGEST_QUERY => get(&format!("/items/{encoded}/details"), ""),
        Context::Cookie | Context::Path => return None,
    })
}

/// A GET request; `more` are whole lines of headers.
pub(crate) fn get(target: &str, more: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\n{HEADERS}{more}\r\n").into_bytes()
}

/// A POST request.
pub(crate) fn post(content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /items HTTP/1.1\r\n{HEADERS}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(context: Context, value: &str) -> String {
        String::from_utf8(request(context, value).unwrap()).unwrap()
    }

    #[test]
    fn a_value_stands_where_it_is_put() {
        assert!(text(Context::Query, "a' b").starts_with("GET /search?q=a%27%20b&page=2 HTTP/1.1\r\n"));
        assert!(text(Context::Path, "a/b").starts_with("GET /items/a%2Fb/details HTTP/1.1\r\n"));
        assert!(text(Context::Header, "a' b").contains("\r\nX-Client-Note: a' b\r\n"));
        assert!(text(Context::Cookie, "a;b").contains("; note=a%3Bb\r\n"));
        assert!(text(Context::Form, "a' b").ends_with("\r\n\r\ntitle=a%27+b&lang=en"));
        assert!(
            text(Context::Json, "a\"b").ends_with("\r\n\r\n{\"draft\":false,\"id\":17,\"title\":\"a\\\"b\"}")
        );
        assert!(text(Context::Query, &"x".repeat(LONGEST_QUERY + 1)).starts_with("POST "));
    }

    #[test]
    fn a_header_has_no_line_end_and_no_edge_of_spaces() {
        for value in ["a\r\nb: c", "\u{e9}", " a", "a\t"] {
            assert_eq!(request(Context::Header, value), None, "{value:?}");
        }
    }

    #[test]
    fn values_are_wrapped_as_attackers_wrap_them() {
        assert_eq!(Wrap::Base64.apply("' or 1=1"), "JyBvciAxPTE=");
        assert!(text(Context::Query, &Wrap::DoubleUrl.apply("'")).contains("?q=%2527&"));
    }
}
