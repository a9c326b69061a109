//! What HAProxy says of a request: the arguments of its message, which `spoe-message` of its configuration names.

use std::{borrow::Cow, net::IpAddr};

use stopbank_checker::{Field, Reason, Request, Version};

use super::{
    frame::Message,
    wire::{Malformed, Reader, Value},
};

/// The message.
pub(crate) const NAME: &[u8] = b"stopbank-request";
/// What must be there once, and two that may be missing.
const ARGUMENTS: [&[u8]; 14] = [
    b"src",
    b"secure",
    b"method",
    b"version",
    b"target",
    b"headers",
    b"whole",
    b"last",
    b"held",
    b"length",
    b"size",
    b"body",
    b"certificate",
    b"verified",
];
const NEEDED: usize = 12;

/// What HAProxy's start lines have beside method, target and version, in bytes (`struct htx_sl`), and its marks of the end of headers and of trailers.
const START_LINE: usize = 20;
const VERSION: usize = 8;
const MARK: usize = 1;

/// A request, as far as it is shown.
#[derive(Debug)]
pub(crate) struct Question<'q> {
    /// Who has connected to HAProxy.
    pub(crate) client: IpAddr,
    /// Over TLS.
    pub(crate) secure: bool,
    /// The certificate that it has shown, which HAProxy has verified (DER).
    pub(crate) certificate: Option<&'q [u8]>,
    /// The request, with its body where that is whole.
    pub(crate) request: Request<'q>,
    pub(crate) shown: Shown,
}

/// How much of the body is in the question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    Whole,
    /// No more than a beginning, which is left out.
    Part,
    /// The same, and its head says where the rest ends, with nothing behind it.
    PartOfLength,
    /// Trailers are behind it.
    Trailers,
}

impl<'q> Question<'q> {
    /// Reads it. No more headers are read than `most` and one, so that one too many is seen.
    ///
    /// # Errors
    ///
    /// [`Reason::FrontEnd`] where an argument is missing, there twice or of another type, and [`Reason::HttpVersion`].
    pub(crate) fn read(messages: &[Message<'q>], most: usize) -> Result<Self, Reason> {
        let [message] = messages else { return Err(Reason::FrontEnd) };
        if message.name != NAME {
            return Err(Reason::FrontEnd);
        }
        let mut found = [None; ARGUMENTS.len()];
        for (name, value) in &message.arguments {
            let known = ARGUMENTS.iter().zip(&mut found).find(|(known, _)| *known == name);
            if known.is_some_and(|(_, place)| place.replace(*value).is_some()) {
                return Err(Reason::FrontEnd);
            }
        }
        if found.iter().take(NEEDED).any(Option::is_none) {
            return Err(Reason::FrontEnd);
        }
        Self::of(found.map(|value| value.unwrap_or(Value::Null)), most)
    }

    fn of(found: [Value<'q>; ARGUMENTS.len()], most: usize) -> Result<Self, Reason> {
        let [
            Value::Address(client),
            Value::Boolean(secure),
            Value::Text(method),
            Value::Text(version),
            Value::Text(url),
            Value::Binary(headers),
            Value::Boolean(whole),
            Value::Text(last),
            held,
            length,
            size,
            body,
            certificate,
            verified,
        ] = found
        else {
            return Err(Reason::FrontEnd);
        };
        let version = match version {
            b"1.0" => Version::Http10,
            b"1.1" => Version::Http11,
            b"2.0" | b"3.0" => Version::Http2,
            _ => return Err(Reason::HttpVersion),
        };
        let headers = fields(headers, most).map_err(|_| Reason::FrontEnd)?;
        let number = |value: Value<'_>| {
            let number = value.number().and_then(|number| usize::try_from(number).ok());
            number.ok_or(Reason::FrontEnd)
        };
        let (held, length, size) = (number(held)?, number(length)?, number(size)?);
        let body = match body {
            Value::Null => &[],
            body => body.bytes().ok_or(Reason::FrontEnd)?,
        };
        let headers_held: usize = headers.iter().map(|field| field.name.len() + field.value.len()).sum();
        let without_trailers =
            START_LINE + VERSION + method.len() + url.len() + headers_held + body.len() + 2 * MARK;
        let sized = headers.iter().any(|field| field.is("content-length"));
        let shown =
            match last {
                _ if !whole || length != size || length != body.len() => {
                    if sized && version != Version::Http2 { Shown::PartOfLength } else { Shown::Part }
                }
                b"HTX_BLK_EOH" | b"HTX_BLK_DATA" => Shown::Whole,
                b"HTX_BLK_EOT" if held == without_trailers => Shown::Whole,
                b"HTX_BLK_EOT" => Shown::Trailers,
                _ => return Err(Reason::FrontEnd),
            };
        let body = if shown == Shown::Whole { body } else { &[] };
        let target = target(version, method, url);
        if method.is_empty() || target.is_empty() {
            return Err(Reason::FrontEnd);
        }
        Ok(Self {
            client: client.to_canonical(),
            secure,
            certificate: certificate.bytes().filter(|_| verified.number() == Some(0)),
            request: Request { method, target, version, headers, body: Cow::Borrowed(body) },
            shown,
        })
    }
}

/// The target. HAProxy makes a URL of HTTP/2's pseudo-headers, and passes its path on; what a client of HTTP/1 has sent as a URL stays one.
fn target<'q>(version: Version, method: &[u8], url: &'q [u8]) -> &'q [u8] {
    if version != Version::Http2 || url.starts_with(b"/") {
        return url;
    }
    let Some(scheme) = url.windows(3).position(|three| three == b"://") else { return url };
    let rest = url.get(scheme + 3..).unwrap_or_default();
    match rest.iter().position(|byte| matches!(byte, b'/' | b'?')) {
        Some(path) => rest.get(path..).unwrap_or_default(),
        None if method == b"OPTIONS" => b"*",
        None => b"/",
    }
}

/// Headers in HAProxy's binary form (`req.hdrs_bin`): names and values by turns, and two empty ones at the end. Of those beyond `most` one is read.
fn fields(bytes: &[u8], most: usize) -> Result<Vec<Field<'_>>, Malformed> {
    let (mut reader, mut fields) = (Reader::new(bytes), Vec::new());
    loop {
        let (name, value) = (reader.string()?, reader.string()?);
        match (name.is_empty(), value.is_empty()) {
            (true, true) if reader.rest().is_empty() => return Ok(fields),
            (true, _) => return Err(Malformed),
            (false, _) => fields.push(Field { name, value }),
        }
        if fields.len() > most {
            return Ok(fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::spoe::wire::put_string;

    fn binary(headers: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in headers.iter().chain(&[("", "")]) {
            put_string(&mut out, name.as_bytes());
            put_string(&mut out, value.as_bytes());
        }
        out
    }

    /// A request by POST with a body of three bytes, as HAProxy 2.6 has shown it.
    fn arguments<'q>(headers: &'q [u8]) -> Vec<(&'q [u8], Value<'q>)> {
        vec![
            (b"src", Value::Address("192.0.2.1".parse().unwrap())),
            (b"secure", Value::Boolean(false)),
            (b"method", Value::Text(b"POST")),
            (b"version", Value::Text(b"1.1")),
            (b"target", Value::Text(b"/c")),
            (b"headers", Value::Binary(headers)),
            (b"whole", Value::Boolean(true)),
            (b"last", Value::Text(b"HTX_BLK_EOT")),
            (b"held", Value::Int64(68)),
            (b"length", Value::Int64(3)),
            (b"size", Value::Int64(3)),
            (b"body", Value::Binary(b"abc")),
            (b"certificate", Value::Null),
            (b"verified", Value::Null),
        ]
    }

    const CHUNKED: [(&str, &str); 2] = [("host", "h"), ("transfer-encoding", "chunked")];

    /// Reads the question with some arguments in place of others.
    fn read(headers: &[(&str, &str)], changes: &[(&[u8], Value<'_>)]) -> Result<(String, Shown), Reason> {
        let headers = binary(headers);
        let mut all = arguments(&headers);
        for (name, value) in changes {
            all.iter_mut().filter(|(known, _)| known == name).for_each(|(_, place)| *place = *value);
        }
        let messages = [Message { name: NAME, arguments: all }];
        let question = Question::read(&messages, 10)?;
        let request = &question.request;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = [request.method, request.target, &request.body].map(text).join(" ");
        Ok((format!("{said} {}", question.certificate.map_or(0, <[u8]>::len)), question.shown))
    }

    #[test]
    fn a_request_is_what_haproxy_says() {
        assert_eq!(read(&CHUNKED, &[]), Ok(("POST /c abc 0".to_owned(), Shown::Whole)));
        let sized = [("host", "h"), ("content-length", "3")];
        let data: (&[u8], _) = (b"last", Value::Text(b"HTX_BLK_DATA"));
        assert_eq!(read(&sized, &[data]), Ok(("POST /c abc 0".to_owned(), Shown::Whole)));
    }

    #[test]
    fn what_is_not_all_of_a_body_is_none() {
        let sized = [("host", "h"), ("content-length", "3")];
        for change in [
            (&b"whole"[..], Value::Boolean(false)),
            (b"length", Value::Int64(2)),
            (b"size", Value::Int64(4)),
            (b"body", Value::Binary(b"ab")),
            (b"body", Value::Null),
        ] {
            assert_eq!(read(&CHUNKED, &[change]), Ok(("POST /c  0".to_owned(), Shown::Part)), "{change:?}");
            assert_eq!(read(&sized, &[change]).map(|(_, shown)| shown), Ok(Shown::PartOfLength));
            let http2: (&[u8], _) = (b"version", Value::Text(b"2.0"));
            assert_eq!(read(&sized, &[change, http2]).map(|(_, shown)| shown), Ok(Shown::Part));
        }
    }

    #[test]
    fn trailers_show_in_what_haproxy_holds() {
        // `X-Stopbank-Identity: q` behind the body, as HAProxy 2.6 has counted it.
        let held: (&[u8], _) = (b"held", Value::Int64(88));
        assert_eq!(read(&CHUNKED, &[held]).map(|(_, shown)| shown), Ok(Shown::Trailers));
    }

    #[test]
    fn what_is_missing_there_twice_or_of_another_type_is_not_guessed() {
        let headers = binary(&CHUNKED);
        let all = arguments(&headers);
        let read = |arguments: Vec<_>| {
            Question::read(&[Message { name: NAME, arguments }], 10).map(|question| question.secure)
        };
        assert_eq!(read(all.clone()), Ok(false));
        for number in 0..NEEDED {
            let mut without = all.clone();
            let one = without.remove(number);
            assert_eq!(read(without.clone()), Err(Reason::FrontEnd), "{one:?}");
            without.extend([one, one]);
            assert_eq!(read(without.clone()), Err(Reason::FrontEnd), "{one:?}");
            without.truncate(all.len() - 1);
            let other = matches!(one.1, Value::Null | Value::Address(_));
            without.push((one.0, if other { Value::Text(b"1") } else { Value::Address([0; 4].into()) }));
            assert_eq!(read(without), Err(Reason::FrontEnd), "{one:?}");
        }
        assert_eq!(read(all[..NEEDED].to_vec()), Ok(false));
        let message = Message { name: NAME, arguments: all };
        let other = Message { name: b"other", ..message.clone() };
        for messages in [&[][..], &[message.clone(), message][..], &[other]] {
            assert_eq!(Question::read(messages, 10).err(), Some(Reason::FrontEnd));
        }
    }

    #[test]
    fn a_certificate_counts_where_haproxy_has_verified_it() {
        let shown: (&[u8], _) = (b"certificate", Value::Binary(b"12345"));
        for (verified, length) in [(Value::Int64(0), "5"), (Value::Int64(18), "0"), (Value::Null, "0")] {
            let said = read(&CHUNKED, &[shown, (b"verified", verified)]).unwrap().0;
            assert!(said.ends_with(length), "{verified:?} {said}");
        }
    }

    #[test]
    fn a_target_is_the_path_of_http2_and_as_it_came_of_http1() {
        for (version, method, url, expected) in [
            (Version::Http11, "GET", "http://h/x?y", "http://h/x?y"),
            (Version::Http2, "GET", "https://h/x?y", "/x?y"),
            (Version::Http2, "GET", "/x?y=://z/", "/x?y=://z/"),
            (Version::Http2, "GET", "https://h?y", "?y"),
            (Version::Http2, "OPTIONS", "https://h", "*"),
            (Version::Http2, "GET", "https://h", "/"),
        ] {
            assert_eq!(target(version, method.as_bytes(), url.as_bytes()), expected.as_bytes(), "{url}");
        }
    }

    #[test]
    fn headers_end_with_two_empty_strings_and_nothing_else() {
        let good = binary(&[("a", "b"), ("c", "")]);
        assert_eq!(fields(&good, 10).map(|fields| fields.len()), Ok(2));
        for end in 0..good.len() {
            assert_eq!(fields(&good[..end], 10), Err(Malformed), "{end}");
        }
        assert_eq!(fields(&[&good[..], b"\0"].concat(), 10), Err(Malformed));
        assert_eq!(fields(b"\0\x01a\0\0", 10), Err(Malformed));
        let many = binary(&[("a", "b"); 50]);
        assert_eq!(fields(&many, 10).map(|fields| fields.len()), Ok(11));
    }
}
