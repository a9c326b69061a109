//! What headers must be whoever has read them: HTTP/1 out of bytes, or HTTP/2 by a library.

use crate::{Field, Reason, Request, Version, request::is_token};

/// Headers that mean one thing, and may stand once. (Content-Length, Content-Type and Host have reasons of their own.)
const SINGLETONS: [&str; 11] = [
    "authorization",
    "content-encoding",
    "content-location",
    "content-range",
    "expect",
    "from",
    "if-match",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "referer",
];

/// Holds a request's headers against the rules that every server shares, or should.
///
/// # Errors
///
/// The [`Reason`] to refuse it.
pub fn check(request: &Request<'_>) -> Result<(), Reason> {
    for field in &request.headers {
        name(field)?;
        value(field)?;
    }
    for singleton in SINGLETONS {
        if request.values(singleton).nth(1).is_some() {
            return Err(Reason::SingletonRepeated);
        }
    }
    if request.values("content-type").nth(1).is_some() {
        return Err(Reason::ContentTypeRepeated);
    }
    host(request)
}

/// How long headers may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lengths {
    /// Bytes of a name.
    pub name: usize,
    /// Bytes of a value.
    pub value: usize,
    /// Bytes of the value of single headers, by name, in place of `value`.
    pub values: Vec<(String, usize)>,
}

impl Default for Lengths {
    /// Those that carry tokens, addresses and cookies are the longest that clients send.
    fn default() -> Self {
        let single =
            [("accept-encoding", 512), ("accept-language", 1_024), ("content-type", 512), ("host", 263)];
        Self {
            name: 128,
            value: 8 << 10,
            values: single.map(|(name, length)| (name.to_owned(), length)).to_vec(),
        }
    }
}

/// Holds the lengths of a request's headers against their limits, each header's against its own where it has one.
///
/// # Errors
///
/// [`Reason::HeaderNameLength`] or [`Reason::HeaderValueLength`].
pub fn lengths(request: &Request<'_>, limits: &Lengths) -> Result<(), Reason> {
    for field in &request.headers {
        if field.name.len() > limits.name {
            return Err(Reason::HeaderNameLength);
        }
        let own = limits.values.iter().find(|(name, _)| field.name.eq_ignore_ascii_case(name.as_bytes()));
        if field.value.len() > own.map_or(limits.value, |(_, length)| *length) {
            return Err(Reason::HeaderValueLength);
        }
    }
    Ok(())
}

fn name(field: &Field<'_>) -> Result<(), Reason> {
    if !is_token(field.name) {
        return Err(Reason::HeaderName);
    }
    if field.name.contains(&b'_') {
        return Err(Reason::HeaderUnderscore);
    }
    // A token may have more; but some servers leave such a header out, and others make an underscore of each of those bytes.
    if field.name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
        Ok(())
    } else {
        Err(Reason::HeaderName)
    }
}

/// Visible ASCII, spaces, tabs and bytes beyond ASCII (RFC 9110, section 5.5); no white space around them, which HTTP/1.1 would strip from what
/// HTTP/2 has brought (RFC 9113, section 8.2.1).
pub(crate) fn value(field: &Field<'_>) -> Result<(), Reason> {
    let control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    let padded = matches!(field.value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']);
    if padded || field.value.iter().any(control) { Err(Reason::HeaderValue) } else { Ok(()) }
}

fn host(request: &Request<'_>) -> Result<(), Reason> {
    let mut hosts = request.values("host");
    let Some(host) = hosts.next() else {
        return if request.version == Version::Http10 { Ok(()) } else { Err(Reason::HostMissing) };
    };
    if hosts.next().is_some() {
        return Err(Reason::HostRepeated);
    }
    if is_authority(host) { Ok(()) } else { Err(Reason::HostInvalid) }
}

/// Whether it is a name or an address, and perhaps a port. Names have letters, digits, hyphens, underscores and dots; what else RFC 3986
/// allows in one (percent signs, semicolons, …) no host is called.
pub fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
            let literal = std::str::from_utf8(&rest[..end])
                .ok()
                .and_then(|text| text.parse::<std::net::Ipv6Addr>().ok());
            if literal.is_none() {
                return false;
            }
            match &rest[end + 1..] {
                [] => return true,
                [b':', port @ ..] => return is_port(port),
                _ => return false,
            }
        }
        _ => match text.iter().position(|&byte| byte == b':') {
            Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
            None => (text, None),
        },
    };
    let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !host.is_empty() && host.len() <= 253 && host.iter().all(named) && port.is_none_or(is_port)
}

fn is_port(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u16>().ok());
    text.first().is_some_and(u8::is_ascii_digit) && text.len() <= 5 && number.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(version: Version, headers: &[(&str, &str)]) -> Result<(), Reason> {
        let headers = headers
            .iter()
            .map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() })
            .collect();
        check(&Request { method: b"GET", target: b"/", version, headers, body: (&b""[..]).into() })
    }

    #[test]
    fn headers_that_servers_read_in_two_ways_are_refused() {
        let host = ("Host", "example.org");
        for (headers, reason) in [
            (vec![host, ("X_Forwarded_For", "192.0.2.1")], Reason::HeaderUnderscore),
            (vec![host, ("X", "a\0b")], Reason::HeaderValue),
            (vec![host, ("X", "a\r\nY: b")], Reason::HeaderValue),
            (vec![host, ("X", "a\u{7f}")], Reason::HeaderValue),
            (vec![host, ("X", " a")], Reason::HeaderValue),
            (vec![host, ("X", "a\t")], Reason::HeaderValue),
            (vec![host, ("X Y", "a")], Reason::HeaderName),
            (vec![host, ("X.Forwarded.For", "192.0.2.1")], Reason::HeaderName),
            (
                vec![host, ("Authorization", "Bearer a"), ("authorization", "Bearer b")],
                Reason::SingletonRepeated,
            ),
            (
                vec![host, ("Content-Type", "text/plain"), ("content-type", "text/plain")],
                Reason::ContentTypeRepeated,
            ),
            (vec![host, host], Reason::HostRepeated),
            (vec![], Reason::HostMissing),
        ] {
            assert_eq!(checked(Version::Http11, &headers), Err(reason), "{headers:?}");
        }
        assert_eq!(checked(Version::Http11, &[host, ("X", "a\tb é"), ("X", "c")]), Ok(()));
        assert_eq!(checked(Version::Http10, &[]), Ok(()));
        assert_eq!(checked(Version::Http2, &[]), Err(Reason::HostMissing));
    }

    #[test]
    fn a_header_is_as_long_as_its_own_limit_or_the_common_one_allows() {
        let limits = Lengths { name: 4, value: 3, values: vec![("X-Id".to_owned(), 5)] };
        let of = |name: &str, value: &str| {
            let headers = vec![Field { name: name.as_bytes(), value: value.as_bytes() }];
            let body = (&b""[..]).into();
            lengths(
                &Request { method: b"GET", target: b"/", version: Version::Http11, headers, body },
                &limits,
            )
        };
        assert_eq!(of("abcd", "123"), Ok(()));
        assert_eq!(of("abcde", ""), Err(Reason::HeaderNameLength));
        assert_eq!(of("abcd", "1234"), Err(Reason::HeaderValueLength));
        assert_eq!(of("x-ID", "12345"), Ok(()));
        assert_eq!(of("x-id", "123456"), Err(Reason::HeaderValueLength));
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in ["a", "a.example", "192.0.2.1:80", "[2001:db8::1]", "[::1]:8443", "my_service:1"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:",
            "a:+80",
            "a:80:80",
            "a:65536",
            "a/b",
            "a@b",
            "a b",
            "a,b",
            "[::1",
            "[::1]x",
            "[::1%25eth0]",
            "[1.2.3.4]",
            "a\\b",
            "a?b",
            "a#b",
            "a%2eb",
            "é",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
