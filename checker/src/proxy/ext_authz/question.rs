//! The request that Envoy asks about, out of its message. What Envoy's message does not say in one way only is not guessed.

use std::{borrow::Cow, net::IpAddr};

use bytes::Bytes;
use prost::Message as _;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use stopbank_checker::{
    Field, Reason, Request, Version,
    http1::{self, Framing},
};

use super::messages::{CheckRequest, HttpRequest};

/// In front of each message: whether it is compressed, and its length (gRPC over HTTP/2, “Length-Prefixed-Message”).
const PREFIX: usize = 5;
/// Where Envoy says whether it shows all of a body. What a client sends by that name it leaves out.
const PARTIAL: &[u8] = b"x-envoy-auth-partial-body";

/// Why a request cannot be judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unclear {
    pub(crate) reason: Reason,
    /// What of the message is not as it is to be.
    pub(crate) rule: &'static str,
}

const fn unclear(rule: &'static str) -> Unclear {
    Unclear { reason: Reason::FrontEnd, rule }
}

/// A request and where it comes from.
#[derive(Debug)]
pub(crate) struct Question {
    /// Who has connected to Envoy: address and port.
    pub(crate) source: (IpAddr, u16),
    /// Whether that is over TLS, as far as Envoy knows.
    pub(crate) secure: bool,
    /// The certificate that was shown to Envoy.
    pub(crate) certificate: Option<CertificateDer<'static>>,
    http: HttpRequest,
    version: Version,
    /// Without those that HTTP/2 writes with a colon.
    headers: Vec<(Bytes, Bytes)>,
    /// What Envoy says of the body.
    partial: Vec<Bytes>,
}

impl Question {
    /// Reads what came as the one message of a call. `text`: whether headers and the body may come as text.
    ///
    /// Memory is in proportion to the message: at the most 150 times as much, for headers without name and value.
    pub(crate) fn read(call: &Bytes, text: bool) -> Result<Self, Unclear> {
        let Some((&[compressed, a, b, c, d], message)) = call.split_first_chunk::<PREFIX>() else {
            return Err(unclear("message"));
        };
        // No compression was offered, and a call has one message.
        if compressed != 0 || usize::try_from(u32::from_be_bytes([a, b, c, d])) != Ok(message.len()) {
            return Err(unclear("message"));
        }
        let message = CheckRequest::decode(call.slice(PREFIX..)).map_err(|_| unclear("message"))?;
        let attributes = message.attributes.unwrap_or_default();
        let mut http = attributes.request.and_then(|request| request.http).ok_or(unclear("request"))?;
        let source = attributes.source.unwrap_or_default();
        let address = source.address.and_then(|address| address.socket_address).ok_or(unclear("address"))?;
        let ip = str::from_utf8(&address.address).ok().and_then(|text| text.parse::<IpAddr>().ok());
        let ip = ip.ok_or(unclear("address"))?;
        if !text && !http.body.is_empty() {
            return Err(unclear("text"));
        }
        let fields = fields(&mut http, text)?;
        let (pseudo, headers): (Vec<_>, Vec<_>) =
            fields.into_iter().partition(|(name, _)| name.starts_with(b":"));
        // An Envoy that is told to show some headers only shows none of these, and leaves out others as well.
        for (name, value) in
            [(b":method".as_slice(), &http.method), (b":path", &http.path), (b":authority", &http.host)]
        {
            let mut named = pseudo.iter().filter(|(one, _)| *one == name).map(|(_, value)| value);
            if named.next().map_or(b"".as_slice(), |value| value) != *value || named.next().is_some() {
                return Err(unclear("headers"));
            }
        }
        let (partial, headers): (Vec<_>, Vec<_>) =
            headers.into_iter().partition(|(name, _)| *name == PARTIAL);
        let version = version(&http.protocol, &headers).ok_or(unclear("protocol"))?;
        Ok(Self {
            source: (ip.to_canonical(), u16::try_from(address.port).unwrap_or_default()),
            secure: http.scheme.eq_ignore_ascii_case(b"https"),
            certificate: certificate(&source.certificate)?,
            http,
            version,
            headers,
            partial: partial.into_iter().map(|(_, value)| value).collect(),
        })
    }

    /// The request, without its body.
    pub(crate) fn request(&self) -> Request<'_> {
        let host = &*self.http.host;
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        if !host.is_empty() {
            headers.push(Field { name: b"host", value: host });
        }
        for (name, value) in &self.headers {
            // One that says something else is one too many.
            if !(name.eq_ignore_ascii_case(b"host") && value.eq_ignore_ascii_case(host)) {
                headers.push(Field { name, value });
            }
        }
        Request {
            method: &self.http.method,
            target: &self.http.path,
            version: self.version,
            headers,
            body: Cow::Borrowed(&[]),
        }
    }

    /// The body, all of it; `None` where Envoy shows none: there is none, or it is not told to show it.
    ///
    /// # Errors
    ///
    /// [`Reason::BodyPartial`] where it is not all of it, and [`Reason::FrontEnd`] where Envoy contradicts itself.
    pub(crate) fn body(&self) -> Result<Option<&Bytes>, Unclear> {
        let HttpRequest { body, raw_body, size, .. } = &self.http;
        let shown = match (raw_body.is_empty(), body.is_empty()) {
            (false, false) => return Err(unclear("body")),
            (true, _) => body,
            (false, true) => raw_body,
        };
        let partial = Unclear { reason: Reason::BodyPartial, rule: "partial" };
        match self.partial.iter().map(|value| &**value).collect::<Vec<_>>()[..] {
            [] if shown.is_empty() => return Ok(None),
            [b"false"] => {}
            [b"true"] => return Err(partial),
            _ => return Err(unclear("partial")),
        }
        let length = i64::try_from(shown.len()).unwrap_or(i64::MAX);
        match self.announced()? {
            Some(announced) if announced > shown.len() => Err(partial),
            Some(announced) if announced < shown.len() => Err(unclear("length")),
            _ if *size > length => Err(partial),
            _ => Ok(Some(shown)),
        }
    }

    /// Whether the request's head says that a body follows.
    pub(crate) fn announces_body(&self) -> bool {
        let chunked = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding"));
        chunked || self.announced() != Ok(None) && self.announced() != Ok(Some(0))
    }

    /// The length that the request's head has.
    fn announced(&self) -> Result<Option<usize>, Unclear> {
        let lengths = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
        let lengths: Vec<Field<'_>> = lengths.map(|(name, value)| Field { name, value }).collect();
        match http1::framing(self.version, &lengths) {
            _ if lengths.is_empty() => Ok(None),
            Ok(Framing::Length(length)) => Ok(Some(length)),
            Ok(Framing::Chunked) => Ok(None),
            Err(reason) => Err(Unclear { reason, rule: "length" }),
        }
    }
}

/// All headers, in the form in which they came.
fn fields(http: &mut HttpRequest, text: bool) -> Result<Vec<(Bytes, Bytes)>, Unclear> {
    let texts = std::mem::take(&mut http.headers);
    let Some(raw) = http.header_map.take() else {
        return if text {
            Ok(texts.into_iter().map(|entry| (entry.key, entry.value)).collect())
        } else {
            Err(unclear("text"))
        };
    };
    if !texts.is_empty() || raw.headers.iter().any(|one| !one.value.is_empty() && !one.raw_value.is_empty()) {
        return Err(unclear("headers"));
    }
    let value = |value: Bytes, raw: Bytes| if raw.is_empty() { value } else { raw };
    Ok(raw.headers.into_iter().map(|one| (one.key, value(one.value, one.raw_value))).collect())
}

/// As which version it is judged. A WebSocket over HTTP/2 (RFC 8441) Envoy writes as HTTP/1.1 would have it.
fn version(protocol: &[u8], headers: &[(Bytes, Bytes)]) -> Option<Version> {
    let upgrades = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"upgrade"));
    match protocol {
        b"HTTP/1.0" => Some(Version::Http10),
        b"HTTP/1.1" => Some(Version::Http11),
        b"HTTP/2" | b"HTTP/3" if upgrades => Some(Version::Http11),
        b"HTTP/2" | b"HTTP/3" => Some(Version::Http2),
        _ => None,
    }
}

/// The certificate out of PEM that is written as in a URL.
fn certificate(text: &[u8]) -> Result<Option<CertificateDer<'static>>, Unclear> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut pem = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| str::from_utf8(two).ok()).filter(|_| byte == b'%');
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        pem.push(octet.unwrap_or(byte));
        rest = if octet.is_some() { &after[2..] } else { after };
    }
    CertificateDer::from_pem_slice(&pem).map(Some).map_err(|_| unclear("certificate"))
}

#[cfg(test)]
mod tests {
    use super::super::messages::{
        Address, Asked, Attributes, Entry, HeaderMap, RawHeader, SocketAddress, Source,
    };
    use super::*;

    /// A POST of three bytes, as Envoy asks about it.
    fn good() -> CheckRequest {
        let headers = [
            (":authority", "a.example"),
            (":path", "/items?q=1"),
            (":method", "POST"),
            (":scheme", "https"),
            ("content-length", "3"),
            ("x-envoy-auth-partial-body", "false"),
        ];
        let raw = |(key, value): (&str, &str)| RawHeader {
            key: Bytes::copy_from_slice(key.as_bytes()),
            raw_value: Bytes::copy_from_slice(value.as_bytes()),
            ..RawHeader::default()
        };
        let http = HttpRequest {
            method: "POST".into(),
            path: "/items?q=1".into(),
            host: "a.example".into(),
            scheme: "https".into(),
            protocol: "HTTP/1.1".into(),
            size: 3,
            raw_body: "abc".into(),
            header_map: Some(HeaderMap { headers: headers.map(raw).to_vec() }),
            ..HttpRequest::default()
        };
        let socket_address = Some(SocketAddress { address: "192.0.2.7".into(), port: 1234 });
        let source = Source { address: Some(Address { socket_address }), ..Source::default() };
        CheckRequest {
            attributes: Some(Attributes { source: Some(source), request: Some(Asked { http: Some(http) }) }),
        }
    }

    fn call(message: &CheckRequest) -> Bytes {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &message].concat().into()
    }

    /// What is read of a message that is different in one way.
    fn changed(change: impl FnOnce(&mut HttpRequest), text: bool) -> Result<Question, Unclear> {
        let mut message = good();
        change(message.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap());
        Question::read(&call(&message), text)
    }

    fn set(http: &mut HttpRequest, name: &str, value: &str) {
        let map = http.header_map.as_mut().unwrap();
        map.headers.retain(|one| one.key != name.as_bytes());
        map.headers.push(RawHeader {
            key: Bytes::copy_from_slice(name.as_bytes()),
            raw_value: Bytes::copy_from_slice(value.as_bytes()),
            ..RawHeader::default()
        });
    }

    #[test]
    fn the_request_is_what_envoy_shows() {
        let question = changed(|_| {}, false).unwrap();
        let request = question.request();
        assert_eq!(
            (request.method, request.target, request.version),
            (&b"POST"[..], &b"/items?q=1"[..], Version::Http11)
        );
        let headers: Vec<_> = request.headers.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(headers, [(&b"host"[..], &b"a.example"[..]), (b"content-length", b"3")]);
        assert_eq!(question.body(), Ok(Some(&Bytes::from("abc"))));
        assert!(question.secure && question.source == ("192.0.2.7".parse().unwrap(), 1234));
    }

    #[test]
    fn a_part_of_a_body_is_none() {
        let partial = Err(Unclear { reason: Reason::BodyPartial, rule: "partial" });
        for (name, value) in [("x-envoy-auth-partial-body", "true"), ("content-length", "4")] {
            assert_eq!(
                changed(|http| set(http, name, value), false).unwrap().body(),
                partial,
                "{name}: {value}"
            );
        }
        assert_eq!(changed(|http| http.size = 4, false).unwrap().body(), partial);
        let nothing_of_it = |http: &mut HttpRequest| http.raw_body = Bytes::new();
        assert_eq!(changed(nothing_of_it, false).unwrap().body(), partial);
    }

    #[test]
    fn what_contradicts_itself_is_not_guessed() {
        for (name, value) in
            [("x-envoy-auth-partial-body", "1"), ("content-length", "2"), ("content-length", "3, 3")]
        {
            changed(|http| set(http, name, value), false).unwrap().body().expect_err(value);
        }
        // A body that Envoy says nothing of.
        let silent = |http: &mut HttpRequest| {
            http.header_map.as_mut().unwrap().headers.retain(|one| one.key != PARTIAL);
        };
        assert_eq!(changed(silent, false).unwrap().body(), Err(unclear("partial")));
        let both = |http: &mut HttpRequest| http.body = "abc".into();
        assert_eq!(changed(both, true).unwrap().body(), Err(unclear("body")));
        let changes: [fn(&mut HttpRequest); 6] = [
            |http| set(http, ":path", "/other"),
            |http| set(http, ":method", "GET"),
            |http| http.host = "b.example".into(),
            |http| http.header_map.as_mut().unwrap().headers.retain(|one| !one.key.starts_with(b":")),
            |http| http.headers.push(Entry::default()),
            |http| {
                http.header_map.as_mut().unwrap().headers.iter_mut().for_each(|one| one.value = "a".into());
            },
        ];
        for change in changes {
            assert_eq!(changed(change, true).err(), Some(unclear("headers")));
        }
        assert_eq!(changed(|http| http.protocol = "HTTP/4".into(), false).err(), Some(unclear("protocol")));
    }

    #[test]
    fn text_is_taken_only_where_it_is_allowed() {
        let as_text = |http: &mut HttpRequest| {
            let raw = http.header_map.take().unwrap();
            http.headers =
                raw.headers.into_iter().map(|one| Entry { key: one.key, value: one.raw_value }).collect();
            http.body = std::mem::take(&mut http.raw_body);
        };
        assert_eq!(changed(as_text, false).err(), Some(unclear("text")));
        assert_eq!(changed(as_text, true).unwrap().body(), Ok(Some(&Bytes::from("abc"))));
    }

    #[test]
    fn a_second_host_is_one_too_many() {
        let hosts = |value: &str| {
            let question = changed(|http| set(http, "host", value), false).unwrap();
            question.request().values("host").count()
        };
        assert_eq!((hosts("A.example"), hosts("b.example")), (1, 2));
    }

    #[test]
    fn a_websocket_over_http_2_is_one() {
        let over = |http: &mut HttpRequest| http.protocol = "HTTP/2".into();
        assert_eq!(changed(over, false).unwrap().version, Version::Http2);
        let upgrade = |http: &mut HttpRequest| {
            over(http);
            set(http, "upgrade", "websocket");
        };
        assert_eq!(changed(upgrade, false).unwrap().version, Version::Http11);
    }

    #[test]
    fn what_is_no_message_and_who_has_no_address_is_refused() {
        let good = call(&good());
        for bytes in [
            &good[..4],
            &good[..good.len() - 1],
            &[&good[..], b"\0"].concat(),
            b"\x01\0\0\0\0",
            b"\0\0\0\0\x01\xff",
        ] {
            assert_eq!(Question::read(&Bytes::copy_from_slice(bytes), false).err(), Some(unclear("message")));
        }
        assert_eq!(Question::read(&Bytes::from_static(&[0; 5]), false).err(), Some(unclear("request")));
        let mut message = self::good();
        message.attributes.as_mut().unwrap().source = None;
        assert_eq!(Question::read(&call(&message), false).err(), Some(unclear("address")));
    }
}
