//! CORS: which pages of other origins may read answers (Fetch Standard, section 3.2).
//!
//! A preflight is answered here and goes no further. What is answered is what the policy says, never an echo of what was asked.

use serde::Deserialize;

use super::Origin;
use crate::{Reason, Request, request::is_token, text::printable, verdict::Headers};

/// Most headers that a preflight may ask for, and that a policy may name.
const MOST_HEADERS: usize = 64;
/// Longest time that a browser may keep an answer: Firefox's own bound; Chromium's is two hours.
pub(crate) const LONGEST_AGE: u32 = 86_400;

/// Which pages may do what.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorsRule {
    /// Origins that may.
    pub origins: Vec<Origin>,
    /// Whether any origin may, `null` too; never with credentials.
    pub any: bool,
    /// Whether `Origin: null` may: sandboxed frames and the like, which any site can make; never with credentials.
    pub null: bool,
    /// Methods that they may use.
    pub methods: Vec<String>,
    /// Headers that they may send beside those that need no asking.
    pub headers: Vec<String>,
    /// Headers of answers that they may read beside those that need no asking.
    pub expose: Vec<String>,
    /// Whether with cookies and other credentials.
    pub credentials: bool,
    /// For how long browsers may keep the answer to a preflight, in seconds.
    pub max_age: u32,
    /// Whether pages of the internet may ask this server in a private network.
    pub private_network: bool,
}

/// What is wrong with a rule, and what is allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct CorsError(String);

/// What a request is to CORS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// No preflight: it is to be judged as any request, and its answer gets these headers.
    Request(Headers),
    /// A preflight that is granted: 204 with these headers.
    Granted(Headers),
    /// A preflight that is refused: 403 with these headers, which grant nothing.
    Refused(Denied, Headers),
}

/// Why a preflight is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// Its origin is not allowed, or none.
    #[error("its origin is not allowed")]
    Origin,
    /// The method is not allowed.
    #[error("the method that it asks for is not allowed")]
    Method,
    /// A header is not allowed, or the list of them is none.
    #[error("a header that it asks for is not allowed")]
    Header,
    /// It would lead from the internet into a private network.
    #[error("it would lead into a private network")]
    PrivateNetwork,
    /// One of its headers stands twice.
    #[error("one of its headers stands twice")]
    Repeated,
}

impl Denied {
    /// As verdicts have it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Origin => Reason::CorsOrigin,
            Self::Method => Reason::CorsMethod,
            Self::Header => Reason::CorsHeader,
            Self::PrivateNetwork => Reason::CorsPrivateNetwork,
            Self::Repeated => Reason::CorsRepeated,
        }
    }
}

/// A rule that was checked, ready to answer.
#[derive(Clone, Debug)]
pub struct Cors {
    rule: CorsRule,
}

/// The method that a preflight asks for (Fetch Standard, section 4.8); `None` of any other request.
pub fn asked_method<'r>(request: &'r Request<'_>) -> Option<&'r [u8]> {
    let method = request.values("access-control-request-method").next()?;
    (request.method == b"OPTIONS" && request.values("origin").next().is_some()).then_some(method)
}

impl Cors {
    /// # Errors
    ///
    /// What is wrong with the rule.
    pub fn new(mut rule: CorsRule) -> Result<Self, CorsError> {
        let fail = |wrong: String| Err(CorsError(wrong));
        if rule.credentials && (rule.any || rule.null) {
            return fail(
                "`credentials` with `any` or `null` would let every site act as its reader; name `origins`"
                    .to_owned(),
            );
        }
        if rule.max_age > LONGEST_AGE {
            return fail(format!("`max_age` is out of range; allowed: 0 to {LONGEST_AGE} seconds"));
        }
        for (key, names) in [("methods", &rule.methods), ("headers", &rule.headers), ("expose", &rule.expose)]
        {
            if names.len() > MOST_HEADERS {
                return fail(format!("`{key}` has more than {MOST_HEADERS} entries"));
            }
            // `*` is a token, and would mean all of them.
            if let Some(bad) = names.iter().find(|name| !is_token(name.as_bytes()) || *name == "*") {
                return fail(format!(
                    "`{key}` has \"{}\", which is no name; each is named",
                    printable(bad, 40)
                ));
            }
        }
        rule.headers.iter_mut().for_each(|name| name.make_ascii_lowercase());
        Ok(Self { rule })
    }

    /// The rule.
    pub const fn rule(&self) -> &CorsRule {
        &self.rule
    }

    /// Answers a preflight, or says what the answer to another request gets.
    pub fn answer(&self, request: &Request<'_>) -> Answer {
        if asked_method(request).is_some() {
            return self.preflight(request);
        }
        let mut headers = self.vary("Origin");
        let mut origins = request.values("origin");
        if let (Some(origin), None) = (origins.next().and_then(|origin| self.granted(origin)), origins.next())
        {
            headers.extend(self.allow(origin));
            if !self.rule.expose.is_empty() {
                headers.push(own("access-control-expose-headers", self.rule.expose.join(", ")));
            }
        }
        Answer::Request(headers)
    }

    fn preflight(&self, request: &Request<'_>) -> Answer {
        // Whatever it depends on is named, or a cache would give one origin's answer to another.
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, \
            Access-Control-Request-Private-Network";
        let mut headers = self.vary(vary);
        match self.judge(request) {
            Err(denied) => Answer::Refused(denied, headers),
            Ok(origin) => {
                headers.extend(self.allow(origin));
                headers.push(own("access-control-allow-methods", self.rule.methods.join(", ")));
                if !self.rule.headers.is_empty() {
                    headers.push(own("access-control-allow-headers", self.rule.headers.join(", ")));
                }
                headers.push(own("access-control-max-age", self.rule.max_age.to_string()));
                if request.values("access-control-request-private-network").next().is_some() {
                    headers.push(own("access-control-allow-private-network", "true".to_owned()));
                }
                Answer::Granted(headers)
            }
        }
    }

    /// The origin to allow, if all that a preflight asks for is.
    fn judge(&self, request: &Request<'_>) -> Result<String, Denied> {
        let single = |name| {
            let mut values = request.values(name);
            let first = values.next();
            if values.next().is_some() { Err(Denied::Repeated) } else { Ok(first) }
        };
        let origin = single("origin")?.and_then(|origin| self.granted(origin)).ok_or(Denied::Origin)?;
        let method = single("access-control-request-method")?.ok_or(Denied::Method)?;
        if !self.rule.methods.iter().any(|allowed| allowed.as_bytes() == method) {
            return Err(Denied::Method);
        }
        let list = single("access-control-request-headers")?.unwrap_or_default();
        let mut names =
            list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
        let allowed =
            |name: &[u8]| self.rule.headers.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(name));
        if !names.by_ref().take(MOST_HEADERS).all(allowed) || names.next().is_some() {
            return Err(Denied::Header);
        }
        if single("access-control-request-private-network")?.is_some() && !self.rule.private_network {
            return Err(Denied::PrivateNetwork);
        }
        Ok(origin)
    }

    /// What `Access-Control-Allow-Origin` says to an origin, if it may.
    fn granted(&self, origin: &[u8]) -> Option<String> {
        let named = self.rule.origins.iter().find(|one| one.as_str().as_bytes() == origin);
        match named {
            Some(named) => Some(named.to_string()),
            None if self.rule.any => Some("*".to_owned()),
            None if self.rule.null && origin == b"null" => Some("null".to_owned()),
            None => None,
        }
    }

    fn allow(&self, origin: String) -> Headers {
        let credentials = (self.rule.credentials && origin != "*")
            .then(|| own("access-control-allow-credentials", "true".to_owned()));
        [own("access-control-allow-origin", origin)].into_iter().chain(credentials).collect()
    }

    fn vary(&self, what: &str) -> Headers {
        vec![own("vary", what.to_owned())]
    }
}

fn own(name: &str, value: String) -> (String, String) {
    (name.to_owned(), value)
}
