//! Which headers go on, in both directions (RFC 9110, section 7.6.1), and which the proxy adds.

use std::{io::Write as _, net::IpAddr};

use ipnet::IpNet;

use crate::{
    Field, Headers as Given, Reason, Request, Version,
    response::Response,
    security_headers::{Change, Headers},
};

/// Headers of one connection, whether `Connection` names them or not.
const HOP_BY_HOP: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a client could say of where it comes from, beside `x-forwarded-…`, and the id that is given here.
const OURS: [&str; 7] = [
    "cf-connecting-ip",
    "client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-real-ip",
    "x-request-id",
];

/// By what a client asks for something else than the whole answer, uncompressed.
const PARTIAL: [&str; 3] = ["accept-encoding", "if-range", "range"];

/// What an answer says of its bytes, and is true no more where some are masked.
const OF_BYTES: [&str; 5] = ["accept-ranges", "content-digest", "content-md5", "digest", "repr-digest"];

/// Options of `Connection` that concern the connection alone.
const OPTIONS: [&[u8]; 5] = [b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"];

fn is_one_of(field: &Field<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| field.is(name))
}

/// Members of a list of tokens, over all headers of that name.
fn members<'s>(headers: &'s [Field<'_>], name: &'s str) -> impl Iterator<Item = &'s [u8]> {
    headers
        .iter()
        .filter(move |field| field.is(name))
        .flat_map(|field| field.value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// What a request asks of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wishes {
    /// The connection is to stay.
    pub keep_alive: bool,
    /// It is to become a WebSocket.
    pub websocket: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub waits: bool,
}

/// Reads them, strictly: what would be judged here and be missing behind is refused.
///
/// # Errors
///
/// [`Reason::ConnectionOption`] or [`Reason::Expectation`].
pub fn wishes(request: &Request<'_>) -> Result<Wishes, Reason> {
    let (mut close, mut keep, mut upgrade) = (false, false, false);
    for option in members(&request.headers, "connection") {
        if !OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(option)) {
            return Err(Reason::ConnectionOption);
        }
        close |= option.eq_ignore_ascii_case(b"close");
        keep |= option.eq_ignore_ascii_case(b"keep-alive");
        upgrade |= option.eq_ignore_ascii_case(b"upgrade");
    }
    let mut expectations = members(&request.headers, "expect");
    let waits = match (expectations.next(), expectations.next()) {
        (None, _) => false,
        (Some(one), None) if one.eq_ignore_ascii_case(b"100-continue") => request.version == Version::Http11,
        _ => return Err(Reason::Expectation),
    };
    let keep_alive = !close && (keep || request.version != Version::Http10);
    let mut protocols = members(&request.headers, "upgrade");
    let websocket = upgrade
        && request.version == Version::Http11
        && request.method == b"GET"
        && protocols.any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
    Ok(Wishes { keep_alive, websocket, waits })
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'s> {
    /// Who has connected.
    pub peer: IpAddr,
    /// Over TLS.
    pub tls: bool,
    /// Whom to believe.
    pub trusted: &'s [IpNet],
}

impl Source<'_> {
    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// Whether the client speaks TLS, as far as is known: with the proxy itself, or with one that is trusted and says so.
    pub fn is_secure(&self, headers: &[Field<'_>]) -> bool {
        let said = || members(headers, "x-forwarded-proto").last().map(<[u8]>::to_ascii_lowercase);
        self.tls || (self.trusts(self.peer) && said().is_some_and(|said| said == b"https"))
    }

    /// The client's address: the peer's, or where that is a trusted proxy the last one in X-Forwarded-For that is none.
    pub fn client(&self, headers: &[Field<'_>]) -> IpAddr {
        if self.trusted.is_empty() || !self.trusts(self.peer) {
            return self.peer;
        }
        let named: Vec<&[u8]> = members(headers, "x-forwarded-for").collect();
        let mut client = self.peer;
        for name in named.iter().rev() {
            // What no address is was not written by a proxy that deserves trust; the one that passed it on is the last that is known.
            let address = str::from_utf8(name).ok().and_then(|name| name.parse::<IpAddr>().ok());
            let Some(address) = address else { break };
            client = address.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// How a request goes on.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'o> {
    /// Its id.
    pub id: &'o str,
    /// Bytes of its body; `None` where they are not known yet, and it goes on in chunks.
    pub length: Option<usize>,
    /// Whether the connection is to become a WebSocket.
    pub websocket: bool,
    /// Whether the answer is to come whole and uncompressed, since it is to be read here.
    pub readable: bool,
    /// Headers of the client that stay here: credentials, and what only the proxy may say. In lower case.
    pub removed: &'o [&'o str],
    /// A header that says who asks.
    pub identity: Option<(&'o str, &'o str)>,
}

/// Appends to `out` the head of the HTTP/1.1 request that goes to the upstream. The request has passed the engine, so that no line break is in any part
/// of it.
pub fn write_request(out: &mut Vec<u8>, request: &Request<'_>, source: &Source<'_>, onward: &Onward<'_>) {
    let Onward { id, length, websocket, readable, removed, identity } = *onward;
    let trusted = source.trusts(source.peer);
    out.extend_from_slice(request.method);
    out.push(b' ');
    out.extend_from_slice(request.target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for field in &request.headers {
        if is_one_of(field, &HOP_BY_HOP) || is_claim(field, trusted) {
            continue;
        }
        if readable && is_one_of(field, &PARTIAL) || removed.iter().any(|name| is_as_read(field.name, name)) {
            continue;
        }
        line(out, field.name, field.value);
    }
    match length {
        None => line(out, b"transfer-encoding", b"chunked"),
        Some(0) if request.values("content-length").next().is_none() && !has_content(request.method) => {}
        Some(length) => line(out, b"content-length", length.to_string().as_bytes()),
    }
    if readable {
        line(out, b"accept-encoding", b"identity");
    }
    out.extend_from_slice(b"x-forwarded-for: ");
    if trusted {
        for hop in members(&request.headers, "x-forwarded-for") {
            out.extend_from_slice(String::from_utf8_lossy(hop).as_bytes());
            out.extend_from_slice(b", ");
        }
    }
    // A vector takes all that is written.
    let _ = write!(out, "{}", source.peer);
    out.extend_from_slice(b"\r\n");
    if !(trusted && request.values("x-forwarded-proto").next().is_some()) {
        line(out, b"x-forwarded-proto", if source.tls { b"https" } else { b"http" });
    }
    line(out, b"x-request-id", id.as_bytes());
    if let Some((name, value)) = identity {
        line(out, name.as_bytes(), value.as_bytes());
    }
    let via: &[u8] = match request.version {
        Version::Http10 => b"1.0 stopbank",
        Version::Http11 => b"1.1 stopbank",
        Version::Http2 => b"2 stopbank",
    };
    line(out, b"via", via);
    if websocket {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether it says where a request comes from, or is the id that is given here: nothing that this client may say.
fn is_claim(field: &Field<'_>, trusted: bool) -> bool {
    let forwarded = field.name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"));
    let kept = trusted && (field.is("x-forwarded-proto") || field.is("x-forwarded-host"));
    is_one_of(field, &OURS) || (forwarded && !kept)
}

/// Names, in lower case, of a request's headers that stay here where another server passes it on, as [`write_request`] would leave them out.
/// `x-forwarded-for` and `x-forwarded-proto` are that server's own.
pub fn held_back(request: &Request<'_>, source: &Source<'_>, removed: &[&str]) -> Vec<String> {
    let trusted = source.trusts(source.peer);
    let mut names = Vec::new();
    for field in &request.headers {
        let of_server = field.is("x-forwarded-for") || field.is("x-forwarded-proto");
        let stays = is_claim(field, trusted) && !of_server;
        if stays || removed.iter().any(|name| is_as_read(field.name, name)) {
            let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// What `x-forwarded-for` is to say where another server passes a request on, that may have written down already who has connected to it; `None` where it says so.
pub fn hops_behind(request: &Request<'_>, source: &Source<'_>) -> Option<String> {
    let peer = source.peer.to_string();
    let trusted = source.trusts(source.peer);
    let named = members(&request.headers, "x-forwarded-for");
    let mut hops: Vec<String> =
        named.map(|hop| String::from_utf8_lossy(hop).into_owned()).filter(|_| trusted).collect();
    if hops.last() == Some(&peer) {
        return None;
    }
    hops.push(peer);
    Some(hops.join(", "))
}

/// Whether a server behind may read one name as the other: case does not count, and CGI-like servers take an underscore for a hyphen.
fn is_as_read(sent: &[u8], name: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    sent.iter().copied().map(plain).eq(name.bytes().map(plain))
}

/// Methods whose requests have a length even where it is 0 (RFC 9110, section 8.6).
fn has_content(method: &[u8]) -> bool {
    matches!(method, b"POST" | b"PUT" | b"PATCH")
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What the verdict and the policy make of an answer's headers.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'s> {
    /// Which are set and removed, whatever the request was.
    pub headers: &'s Headers,
    /// Those of the verdict.
    pub given: &'s Given,
    /// Whether CORS is the policy's: what the server behind says of it goes.
    pub cors: bool,
    /// Whether it goes over TLS.
    pub secure: bool,
    /// Whether what it says of its bytes holds no more.
    pub masked: bool,
}

/// Headers of the verdict that stand beside those of the server behind: each says something of its own.
pub const BESIDE: [&str; 3] = ["vary", "set-cookie", "www-authenticate"];

/// Headers of an answer that the client gets. Those of the connection are the caller's, and so is the length.
pub fn answered<'s>(response: &'s Response<'s>, answered: &Answered<'s>) -> Vec<Field<'s>> {
    let Answered { headers, given, cors, secure, masked } = *answered;
    let of_cors = |field: &Field<'_>| {
        field.name.get(..15).is_some_and(|start| start.eq_ignore_ascii_case(b"access-control-"))
    };
    let goes = |field: &Field<'_>| (masked && is_one_of(field, &OF_BYTES)) || (cors && of_cors(field));
    let mut fields: Vec<Field<'_>> = kept(response).filter(|field| !goes(field)).copied().collect();
    for (name, value) in given {
        fields.retain(|field| BESIDE.contains(&name.as_str()) || !field.is(name));
        fields.push(Field { name: name.as_bytes(), value: value.as_bytes() });
    }
    let has = |name: &str| response.headers.iter().any(|field| field.is(name));
    for change in headers.changes(secure, has) {
        let (Change::Set(name, _) | Change::Remove(name)) = change;
        fields.retain(|field| !field.is(name));
        if let Change::Set(name, value) = change {
            fields.push(Field { name: name.as_bytes(), value: value.as_bytes() });
        }
    }
    fields
}

/// Headers of an answer that are not of the connection.
fn kept<'s>(response: &'s Response<'s>) -> impl Iterator<Item = &'s Field<'s>> {
    let named: Vec<&[u8]> = members(&response.headers, "connection").collect();
    response.headers.iter().filter(move |field| {
        !is_one_of(field, &HOP_BY_HOP)
            && !field.is("x-request-id")
            && !named.iter().any(|name| name.eq_ignore_ascii_case(field.name))
    })
}

/// Whether the upstream keeps the connection.
pub fn is_kept_alive(response: &Response<'_>) -> bool {
    let has = |wanted: &[u8]| {
        members(&response.headers, "connection").any(|option| option.eq_ignore_ascii_case(wanted))
    };
    !has(b"close") && (response.version == Version::Http11 || has(b"keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{self, Limits};

    const ONWARD: Onward<'_> =
        Onward { id: "1", length: Some(0), websocket: false, readable: false, removed: &[], identity: None };

    fn written(request: &Request<'_>, source: &Source<'_>, onward: &Onward<'_>) -> String {
        let mut out = Vec::new();
        write_request(&mut out, request, source, onward);
        String::from_utf8(out).unwrap()
    }

    fn forwarded(head: &str, peer: &str, trusted: &[IpNet]) -> String {
        let text = format!("{head}\r\n\r\n");
        let (request, _) = http1::head(text.as_bytes(), &Limits::default()).unwrap();
        written(&request, &Source { peer: peer.parse().unwrap(), tls: true, trusted }, &ONWARD)
    }

    #[test]
    fn headers_of_the_connection_and_claims_of_the_client_stay_here() {
        let written = forwarded(
            "GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, TE\r\nTE: trailers\r\nUpgrade: h2c\r\nForwarded: for=1\r\n\
             X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Prefix: /x\r\nX-Real-IP: 1\r\nX-Request-Id: mine\r\nAccept: */*",
            "198.51.100.7",
            &[],
        );
        assert_eq!(
            written,
            "GET /a?b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nx-forwarded-for: 198.51.100.7\r\nx-forwarded-proto: https\r\n\
             x-request-id: 1\r\nvia: 1.1 stopbank\r\n\r\n"
        );
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_the_last_stranger_is_the_client() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9, 203.0.113.5, 10.0.0.2\r\nX-Forwarded-Proto: http";
        let written = forwarded(head, "10.0.0.1", &trusted);
        assert!(
            written.contains("x-forwarded-for: 192.0.2.9, 203.0.113.5, 10.0.0.2, 10.0.0.1\r\n"),
            "{written}"
        );
        assert!(written.contains("X-Forwarded-Proto: http\r\n") && !written.contains("https"), "{written}");
        for (peer, list, client) in [
            ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
            ("10.0.0.1", "192.0.2.9, ::ffff:203.0.113.5, ::ffff:10.0.0.2", "203.0.113.5"),
            ("10.0.0.1", "192.0.2.9, nonsense, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("198.51.100.7", "192.0.2.9", "198.51.100.7"),
        ] {
            let source = Source { peer: peer.parse().unwrap(), tls: false, trusted: &trusted };
            let headers = [Field { name: b"x-forwarded-for", value: list.as_bytes() }];
            assert_eq!(source.client(&headers).to_string(), client, "{peer} {list}");
        }
    }

    #[test]
    fn what_stays_here_does_so_however_it_is_spelled() {
        let names = ["X-Who", "x-who", "X_Who", "x_WHO", "x-whom", "x-wh"];
        let headers = names.map(|name| Field { name: name.as_bytes(), value: b"1" }).to_vec();
        let request = Request {
            method: b"GET",
            target: b"/",
            version: Version::Http11,
            headers,
            body: (&[][..]).into(),
        };
        let source = Source { peer: "192.0.2.1".parse().unwrap(), tls: false, trusted: &[] };
        let onward = Onward { removed: &["x-who"], identity: Some(("x-who", "alice")), ..ONWARD };
        let text = written(&request, &source, &onward).to_lowercase();
        assert_eq!(text.matches("who: ").count(), 1, "{text}");
        assert!(text.contains("x-who: alice\r\n") && text.contains("x-whom: 1\r\nx-wh: 1\r\n"), "{text}");
    }

    #[test]
    fn what_connection_may_name_is_a_closed_set() {
        let wishes = |headers: &str| {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            wishes(&http1::head(text.as_bytes(), &Limits::default()).unwrap().0)
        };
        for name in ["Authorization", "cookie", "close, x-forwarded-for", "host", "content-length"] {
            assert_eq!(wishes(&format!("Connection: {name}\r\n")), Err(Reason::ConnectionOption), "{name}");
        }
        assert_eq!(wishes("Expect: 200-ok\r\n"), Err(Reason::Expectation));
        let found =
            wishes("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nExpect: 100-Continue\r\n");
        assert_eq!(found, Ok(Wishes { keep_alive: true, websocket: true, waits: true }));
        // An upgrade that Connection does not name, or to something else, is none.
        assert!(!wishes("Upgrade: websocket\r\n").unwrap().websocket);
        assert!(!wishes("Connection: upgrade\r\nUpgrade: h2c\r\n").unwrap().websocket);
    }

    #[test]
    fn an_answer_that_is_read_here_is_asked_for_whole_and_uncompressed() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\nRange: bytes=0-7\r\nIf-Range: \"a\"\r\nAccept: */*\r\n\r\n";
        let (request, _) = http1::head(text.as_bytes(), &Limits::default()).unwrap();
        let source = Source { peer: "192.0.2.1".parse().unwrap(), tls: false, trusted: &[] };
        let onward = Onward { length: None, readable: true, ..ONWARD };
        assert_eq!(
            written(&request, &source, &onward),
            "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\ntransfer-encoding: chunked\r\naccept-encoding: identity\r\n\
             x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: http\r\nx-request-id: 1\r\nvia: 1.1 stopbank\r\n\r\n"
        );
    }

    #[test]
    fn an_answers_connection_headers_and_banners_stay_here() {
        let text = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 3\r\nX-Kept: 1\r\nDigest: a\r\n\r\n";
        let response = crate::response::head(text, &Limits::default()).unwrap();
        let names = |headers: &Headers, secure, masked| -> Vec<String> {
            let given = Given::new();
            let fields =
                answered(&response, &Answered { headers, given: &given, cors: false, secure, masked });
            fields.iter().map(|field| String::from_utf8_lossy(field.name).into_owned()).collect()
        };
        assert_eq!(names(&Headers::basic(), false, true), ["X-Kept", "x-content-type-options"]);
        let secure = ["X-Kept", "Digest", "strict-transport-security", "x-content-type-options"];
        assert_eq!(names(&Headers::basic(), true, false), secure);
        assert_eq!(names(&Headers::NONE, true, false), ["Server", "X-Kept", "Digest"]);
        assert!(is_kept_alive(&response));
    }

    #[test]
    fn what_the_verdict_says_of_cors_stands_for_what_the_server_behind_says() {
        let text = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nACCESS-control-Max-Age: 1\r\nVary: Accept\r\nRateLimit: a\r\n\r\n";
        let response = crate::response::head(text, &Limits::default()).unwrap();
        let given =
            [("vary", "Origin"), ("access-control-allow-origin", "https://a.example"), ("ratelimit", "b")];
        let given: Given =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let shown = |cors| -> Vec<String> {
            let headers = Headers::NONE;
            let answered = answered(
                &response,
                &Answered { headers: &headers, given: &given, cors, secure: false, masked: false },
            );
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            answered.iter().map(|field| format!("{}: {}", text(field.name), text(field.value))).collect()
        };
        let own = [
            "Vary: Accept",
            "vary: Origin",
            "access-control-allow-origin: https://a.example",
            "ratelimit: b",
        ];
        assert_eq!(shown(true), own);
        assert_eq!(shown(false)[0], "ACCESS-control-Max-Age: 1");
    }

    #[test]
    fn a_trusted_proxy_says_whether_the_client_speaks_tls() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        for (peer, tls, said, secure) in [
            ("10.0.0.1", false, "https", true),
            ("10.0.0.1", false, "https, http", false),
            ("10.0.0.1", false, "", false),
            ("192.0.2.1", false, "https", false),
            ("192.0.2.1", true, "http", true),
        ] {
            let source = Source { peer: peer.parse().unwrap(), tls, trusted: &trusted };
            let headers = [Field { name: b"X-Forwarded-Proto", value: said.as_bytes() }];
            assert_eq!(source.is_secure(&headers), secure, "{peer} {tls} {said}");
        }
    }
}
