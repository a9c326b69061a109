//! What becomes of a response's headers: those that tell browsers to be careful are set, those that tell attackers what runs there go.
//!
//! What stands in front of anything gets what no site misses ([`Headers::basic`]); an API, which no browser shows, all that OWASP's Secure Headers
//! project recommends for one ([`Headers::api`]).

/// What is to be done with one header of a response. Names are in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<'c> {
    /// It stands there once, with this value, whatever stood there before.
    Set(&'c str, &'c str),
    /// It goes.
    Remove(&'c str),
}

/// A header that is set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether it stands over what the upstream says. Otherwise the upstream knows better.
    pub replace: bool,
}

/// What becomes of a response's headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers {
    /// Headers that are set.
    pub set: Vec<Header>,
    /// Names, in lower case, of headers that are removed.
    pub remove: Vec<String>,
}

/// Name and value of what is set in front of anything: a site that is served over TLS has TLS, and is shown as the types that it declares.
const BASIC: [(&str, &str, bool); 2] =
    [("strict-transport-security", "max-age=31536000", false), ("x-content-type-options", "nosniff", true)];

/// The same for an API.
const API: [(&str, &str, bool); 8] = [
    ("strict-transport-security", "max-age=31536000; includeSubDomains", true),
    ("x-content-type-options", "nosniff", true),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'", false),
    ("referrer-policy", "no-referrer", false),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()", false),
    ("cross-origin-opener-policy", "same-origin", false),
    ("cross-origin-resource-policy", "same-origin", false),
    ("x-frame-options", "DENY", false),
];

/// What says which program, in which version, has answered.
const REMOVE: [&str; 14] = [
    "server",
    "x-powered-by",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-generator",
    "x-drupal-cache",
    "x-runtime",
    "x-version",
    "x-powered-cms",
    "x-server",
    "x-backend-server",
    "x-served-by",
    "x-varnish",
    "via",
];

impl Default for Headers {
    /// [`Headers::basic`].
    fn default() -> Self {
        Self::basic()
    }
}

/// Why a header cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The name is none.
    #[error("{0:?} is no name of a header, in lower case")]
    Name(String),
    /// The value is none.
    #[error("the value of {0:?} holds control characters, or others than ASCII has")]
    Value(String),
    /// It says how the body is framed.
    #[error("{0:?} is the connection's, and not to be set or removed")]
    Framing(String),
}

/// What says where a response ends, and how it is transferred.
const FRAMING: [&str; 8] = [
    "connection",
    "content-length",
    "content-encoding",
    "content-type",
    "keep-alive",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Headers {
    /// What breaks no site: banners go, types hold, and over TLS browsers are told to stay there, unless the upstream tells them.
    pub fn basic() -> Self {
        Self::of(&BASIC)
    }

    /// What an API sends, whose answers are no pages and belong in none.
    pub fn api() -> Self {
        Self::of(&API)
    }

    fn of(set: &[(&str, &str, bool)]) -> Self {
        let header = |&(name, value, replace): &(&str, &str, bool)| Header {
            name: name.to_owned(),
            value: value.to_owned(),
            replace,
        };
        let mut made = Self {
            set: set.iter().map(header).collect(),
            remove: REMOVE.iter().map(|&name| name.to_owned()).collect(),
        };
        made.sort();
        made
    }

    /// Puts names in their order, so that what means the same is the same.
    pub(crate) fn sort(&mut self) {
        self.set.sort_by(|one, other| one.name.cmp(&other.name));
        self.remove.sort();
    }

    /// Neither sets nor removes any.
    pub const NONE: Self = Self { set: Vec::new(), remove: Vec::new() };

    /// Whether the names and values can stand in a response.
    ///
    /// # Errors
    ///
    /// The first one that cannot.
    pub fn check(&self) -> Result<(), HeaderError> {
        for name in self.set.iter().map(|header| &header.name).chain(&self.remove) {
            let known = crate::request::is_token(name.as_bytes());
            if !known || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(HeaderError::Name(name.clone()));
            }
            if FRAMING.contains(&name.as_str()) {
                return Err(HeaderError::Framing(name.clone()));
            }
        }
        let bad = |header: &&Header| !header.value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        self.set.iter().find(bad).map_or(Ok(()), |header| Err(HeaderError::Value(header.name.clone())))
    }

    /// What is to be done. `has` says whether a response has a header of that name; `secure` whether it goes over TLS: without it,
    /// `strict-transport-security` must not be sent (RFC 6797, section 7.2).
    pub fn changes<'c>(
        &'c self,
        secure: bool,
        has: impl Fn(&str) -> bool + 'c,
    ) -> impl Iterator<Item = Change<'c>> {
        let removed = self.remove.iter().map(|name| Change::Remove(name));
        let kept = move |header: &&Header| header.replace || !has(&header.name);
        let transport = |header: &Header| header.name == "strict-transport-security";
        let set = self.set.iter().filter(move |header| secure || !transport(header)).filter(kept);
        removed.chain(set.map(|header| Change::Set(&header.name, &header.value)))
    }

    /// Does it to a list of headers, whose names may be in any case.
    pub fn apply(&self, secure: bool, headers: &mut Vec<(String, Vec<u8>)>) {
        let before: Vec<String> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        for change in self.changes(secure, |name| before.iter().any(|other| other == name)) {
            let (Change::Set(name, _) | Change::Remove(name)) = change;
            headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            if let Change::Set(name, value) = change {
                headers.push((name.to_owned(), value.as_bytes().to_vec()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(headers: &Headers, secure: bool, before: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut list: Vec<_> =
            before.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        headers.apply(secure, &mut list);
        list.into_iter().map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect()
    }

    #[test]
    fn banners_go_and_careful_headers_come() {
        let before = [
            ("Server", "nginx/1.22.1"),
            ("X-Powered-By", "PHP/5.6"),
            ("Content-Type", "text/html"),
            ("Content-Security-Policy", "default-src 'self'"),
            ("X-Content-Type-Options", "none"),
            ("x-content-type-options", "of two"),
        ];
        let after = applied(&Headers::api(), true, &before);
        let values = |name: &str| -> Vec<&str> {
            let named = after.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            named.map(|(_, value)| value.as_str()).collect()
        };
        assert!(values("server").is_empty() && values("x-powered-by").is_empty());
        assert_eq!(values("content-type"), ["text/html"]);
        assert_eq!(values("content-security-policy"), ["default-src 'self'"]);
        assert_eq!(values("x-content-type-options"), ["nosniff"]);
        assert_eq!(values("strict-transport-security"), ["max-age=31536000; includeSubDomains"]);
        assert_eq!(values("referrer-policy"), ["no-referrer"]);
        let plain = applied(&Headers::api(), false, &before);
        assert!(!plain.iter().any(|(name, _)| name == "strict-transport-security"));
        assert_eq!(applied(&Headers::NONE, true, &before[..1]).len(), 1);
        let basic =
            applied(&Headers::basic(), true, &[("Strict-Transport-Security", "max-age=0"), ("Server", "a")]);
        let expected = [("Strict-Transport-Security", "max-age=0"), ("x-content-type-options", "nosniff")];
        assert_eq!(basic, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_cannot_stand_in_a_response_is_refused() {
        assert!(Headers::api().check().is_ok() && Headers::basic().check().is_ok());
        let with = |name: &str, value: &str| Headers {
            set: vec![Header { name: name.to_owned(), value: value.to_owned(), replace: true }],
            remove: Vec::new(),
        };
        for (headers, why) in [
            (with("X-Upper", "a"), "lower case"),
            (with("x y", "a"), "no name"),
            (with("x-a", "a\r\nset-cookie: b"), "control characters"),
            (with("transfer-encoding", "chunked"), "connection's"),
            (Headers { remove: vec!["content-length".to_owned()], ..Headers::NONE }, "connection's"),
        ] {
            let error = headers.check().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
