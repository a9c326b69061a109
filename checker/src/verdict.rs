//! What the engine says of a request.

use crate::{Identity, Place, Reason, engine::Attempted, sensitive};

/// What is to become of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It is forwarded as it came.
    Allow,
    /// It is refused.
    Refuse,
    /// It is answered here, with the verdict's status and headers and no body, and not forwarded.
    Answer,
}

impl Action {
    /// As verdicts have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Refuse => "refuse",
            Self::Answer => "answer",
        }
    }
}

/// What a check needs, and whether it can be done without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Without it nothing else can be judged: always enforced.
    Always,
    /// Decided by `undeclared`, not by a mode of its own.
    Route,
    /// The head of a request.
    Head,
    /// The structure of a body.
    Body,
    /// Every value of a request.
    Values,
}

/// Declares the checks once: name, kind and what it does.
macro_rules! checks {
    ($($variant:ident, $name:literal, $kind:ident, $about:literal;)*) => {
        /// A group of rules that are switched on and off together.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Check {
            $(#[doc = $about] $variant,)*
        }

        impl Check {
            /// Every check, in the order in which a request goes through them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As verdicts and the policy have it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it needs.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }

            /// What it does, for people.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }
        }
    };
}

checks! {
    Framing, "framing", Always, "Where a request ends, and what its headers are.";
    Target, "target", Always, "The target: a path that can be read in one way only.";
    Route, "route", Route, "Whether the policy declares the path and the method.";
    Identity, "identity", Head, "Who asks: tokens, API keys and client certificates, on routes that demand one.";
    Authorisation, "authorisation", Head, "Whether who asks may: scopes, audiences, claims, ids that must be the identity's own, and how many it may ask for.";
    Query, "query", Head, "Parameters of the query: how many, and whether one stands twice.";
    Cookies, "cookies", Head, "Cookies: their syntax, how many, how long.";
    Rates, "rates", Head, "How often one may ask: rates and quotas of the policy.";
    CrossSite, "cross-site", Head, "Requests that another site made a browser send, and preflights of CORS.";
    Coding, "coding", Body, "The body's content coding, and what it becomes by decoding.";
    Content, "content", Body, "Whether the body is what it is declared as.";
    Json, "json", Body, "Structure and limits of JSON.";
    Xml, "xml", Body, "Structure and limits of XML.";
    GraphQl, "graphql", Body, "Documents of GraphQL: what they ask for, on routes that are endpoints of it.";
    Form, "form", Body, "Form fields.";
    Multipart, "multipart", Body, "Forms of parts.";
    Schema, "schema", Body, "Parameters and bodies against the specification that the policy names, and answers where these are observed.";
    Brakes, "brakes", Body, "Guessing at logins: who has failed waits before the next attempt.";
    Patterns, "patterns", Values, "Regular expressions that the policy looks for in values: shipped categories, and its own.";
    Injection, "injection", Values, "Values that say something in a language that a program behind may read: SQL, HTML, a shell's and others.";
    Connection, "connection", Always, "The client's connection: how slow it may be, what it may become. Of the proxy alone.";
    Upstream, "upstream", Always, "The server behind, and its answers. Of the proxy alone.";
}

/// What a check has found, for logs and for `explain`: never more of the value than that needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// Where, as [`Place`] is displayed: `json /user/name`, `query q`, `path 2`.
    pub place: String,
    /// The rule that says so; within a check that has only one, empty.
    pub rule: String,
    /// How sure it is, in a measure of the check's own; 0 where there is none.
    pub score: u16,
    /// What was found: decoded, masked, escaped and cut; empty where it may be secret.
    pub text: String,
}

impl Evidence {
    /// What `rule` found in `text`, the decoded value at `place`, or a part of it.
    pub fn new(place: &Place<'_>, rule: &str, score: u16, text: &str) -> Box<Self> {
        let text = if place.is_secret() { String::new() } else { sensitive::evidence_text(text) };
        Box::new(Self { place: place.to_string(), rule: rule.to_owned(), score, text })
    }
}

/// What one check says against a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// Why.
    pub reason: Reason,
    /// What it goes by, where it is more than the reason says.
    pub evidence: Option<Box<Evidence>>,
}

/// What the engine says of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What is to become of it.
    pub action: Action,
    /// The status that the answer carries; 0 where the request is allowed, and the server behind answers.
    pub status: u16,
    /// Why it is refused.
    pub reason: Option<Reason>,
    /// The check that refused it, or answered it.
    pub check: Option<Check>,
    /// What that goes by.
    pub evidence: Option<Box<Evidence>>,
    /// Who asks.
    pub identity: Option<Box<Identity>>,
    /// The route that it is for, as [`crate::Policy::routes`] counts; `None` where there is none, or it is not known yet.
    pub route: Option<usize>,
    /// The operation of the policy's specification that it calls, as [`crate::schema::Specification::operations`] counts.
    pub operation: Option<usize>,
    /// What checks that only observe say against it: the first few.
    pub observed: Vec<Finding>,
    /// Headers that the answer gets, whoever gives it. Those named `vary` and `set-cookie` stand beside what the server behind says, others in
    /// its place.
    pub headers: Headers,
    /// It is refused for want of something that is being fetched: when that is there, it may be judged again.
    pub waits: bool,
    /// An attempt at a login that a brake has let through: what becomes of it is to be told ([`crate::State::answered`]).
    pub attempt: Option<Box<Attempted>>,
}

/// Headers of an answer: names in lower case, and values.
pub type Headers = Vec<(String, String)>;

impl Verdict {
    /// Nothing speaks against it.
    pub const ALLOWED: Self = Self {
        action: Action::Allow,
        status: 0,
        reason: None,
        check: None,
        evidence: None,
        identity: None,
        route: None,
        operation: None,
        observed: Vec::new(),
        headers: Vec::new(),
        waits: false,
        attempt: None,
    };

    /// A check refuses it.
    pub fn refused(check: Check, reason: Reason) -> Self {
        Self {
            action: Action::Refuse,
            status: reason.status(),
            reason: Some(reason),
            check: Some(check),
            ..Self::ALLOWED
        }
    }

    /// Whether it is forwarded.
    pub fn is_allowed(&self) -> bool {
        self.action == Action::Allow
    }
}

impl From<Finding> for Verdict {
    fn from(finding: Finding) -> Self {
        Self { evidence: finding.evidence, ..Self::refused(finding.check, finding.reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_shows_no_secret_and_no_more_than_a_line() {
        let of = |place: Place<'_>| Evidence::new(&place, "rule", 7, "' OR 1=1\n--").text;
        assert_eq!(of(Place::Query("q")), "' OR 1=1\\n--");
        assert_eq!(of(Place::Cookie("q")), "");
        assert_eq!(of(Place::Header(b"Authorization")), "");
        let long = Evidence::new(&Place::Body, "rule", 0, &"é".repeat(100_000));
        assert!((120..=128).contains(&long.text.len()), "{}", long.text);
        let card = Evidence::new(&Place::Body, "rule", 0, "' or card = 4111111111111111--");
        assert_eq!(card.text, "' or card = XXXXXXXXXXXX1111--");
    }

    #[test]
    fn checks_are_counted_in_their_order() {
        for (number, check) in Check::ALL.iter().enumerate() {
            assert_eq!(*check as usize, number);
            assert!(check.about().ends_with('.'));
        }
    }
}
