//! The policy: which requests there may be, which checks judge them, and within which limits.
//!
//! [`Policy::parse`] reads a text of TOML and checks all of it; what it gives is never changed. The text is at most [`LARGEST`] bytes.

mod brakes;
mod cross_site;
mod document;
mod enumeration;
mod error;
mod held;
mod identity;
mod masking;
mod openapi;
mod patterns;
mod rates;
mod read;
mod render;
mod response;
mod route;
mod schema;
mod settings;
mod websocket;

use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

pub use brakes::{BrakePolicy, Named, Whence};
pub use cross_site::{FormToken, SECRET, Sites};
pub use enumeration::EnumerationPolicy;
pub use error::{Diagnostic, Errors};
pub(crate) use held::Held;
pub(crate) use identity::IDENTITY_HEADER;
pub use identity::{
    Access, ApiKeys, Bind, Certificates, Id, Identities, IdentityHeader, Introspection, Issuer, KeySource,
    KeyUrl, Prover, SanKind,
};
pub use masking::{Masking, Reading};
pub use openapi::OpenApi;
pub use patterns::PatternRule;
pub use rates::RateRule;
pub use schema::schema;
pub use websocket::WebSocket;
pub(crate) use websocket::check as websocket;

use crate::{
    Check, Reason, cross_site::cors::Cors, engine::Limits, http1, schema::Specification,
    security_headers::Headers, target, verdict::Kind,
};
use held::Limiters;
use patterns::{Catalogue, Selected};
use route::{Found, Methods, Part, Router};

/// Largest text of a policy, in bytes.
pub const LARGEST: usize = 1 << 20;

/// The policies that come with the checker: name and text.
pub const SHIPPED: [(&str, &str); 2] = [
    ("generic", include_str!("../../policies/generic.toml")),
    ("api", include_str!("../../policies/api.toml")),
];

/// Gives the text of a file that a policy names, or says why it cannot. Behind [`SECRET`] stands the name of a secret.
pub type Load<'l> = dyn FnMut(&str) -> Result<String, String> + 'l;

/// What a check does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Nothing.
    Off,
    /// It says what it finds.
    Observe,
    /// It refuses.
    Enforce,
}

impl Mode {
    /// As the policy has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// What becomes of a request that a check could not judge: it ran out of time, or the body could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fail {
    /// It goes on, and is noted.
    Open,
    /// It is refused.
    Closed,
}

impl Fail {
    /// As the policy has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// How a check is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// What it does.
    pub mode: Mode,
    /// What becomes of a request that it could not judge.
    pub fail: Fail,
    /// By when it must be done, counted from when the request began to be judged. `None`: there is no deadline.
    pub deadline: Option<Duration>,
}

impl Default for Rule {
    fn default() -> Self {
        Self { mode: Mode::Enforce, fail: Fail::Closed, deadline: None }
    }
}

/// How a route's requests are judged.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: [Rule; Check::ALL.len()],
    /// Its limits.
    pub limits: Limits,
    /// What it says of answers: nothing, or what is wrong with them. They are never refused.
    pub responses: Mode,
    /// What the check `schema` goes by.
    pub(crate) specification: Option<Arc<Specification>>,
    /// What is masked in answers.
    pub masking: Masking,
    /// Which headers answers get, and which they lose.
    pub headers: Arc<Headers>,
    /// Whether, and for whom, connections may become WebSockets.
    pub websocket: Option<WebSocket>,
    /// What the check `cross-site` goes by.
    pub sites: Arc<Sites>,
    /// Which pages of other origins may read answers.
    pub cors: Option<Arc<Cors>>,
    /// Rates that hold here.
    pub(crate) rates: Arc<[Held<RateRule>]>,
    /// Brakes that hold here.
    pub(crate) brakes: Arc<[Held<BrakePolicy>]>,
    /// How many objects one may ask for here.
    pub(crate) enumerations: Arc<[Held<EnumerationPolicy>]>,
    /// What the check `patterns` looks for.
    pub(crate) patterns: Option<Arc<Selected>>,
    /// What is demanded of who asks.
    pub access: Arc<Access>,
    /// Who may vouch for them: the policy's.
    pub(crate) identities: Arc<Identities>,
}

impl Default for Rules {
    fn default() -> Self {
        let mut rules = Self {
            rules: Default::default(),
            limits: Limits::default(),
            responses: Mode::Off,
            specification: None,
            masking: Masking::default(),
            headers: Arc::default(),
            websocket: None,
            sites: Arc::default(),
            cors: None,
            rates: Arc::default(),
            brakes: Arc::default(),
            enumerations: Arc::default(),
            patterns: None,
            access: Arc::default(),
            identities: Arc::default(),
        };
        // It has nothing to go by yet, and which sites may send what only the policy knows.
        rules.of_mut(Check::Schema).mode = Mode::Off;
        rules.of_mut(Check::CrossSite).mode = Mode::Off;
        rules
    }
}

impl Rules {
    /// How a check is run.
    pub fn of(&self, check: Check) -> Rule {
        self.rules.get(check as usize).copied().unwrap_or_default()
    }

    fn of_mut(&mut self, check: Check) -> &mut Rule {
        // `rules` has a place for each check.
        &mut self.rules[check as usize]
    }

    /// Whether a check does anything.
    pub fn is_on(&self, check: Check) -> bool {
        let has_work = match check {
            Check::Patterns => self.patterns.as_ref().is_some_and(|patterns| patterns.in_requests),
            Check::Rates => !self.rates.is_empty(),
            Check::Brakes => !self.brakes.is_empty(),
            _ => true,
        };
        has_work && self.of(check).mode != Mode::Off
    }

    /// What counts requests here: `rate`, `brake` or `enumeration`, what it is called, and what it does.
    pub fn counted(&self) -> impl Iterator<Item = (&'static str, &str, Mode)> {
        let rates = self.rates.iter().map(|held| ("rate", held.rule.rule.name.as_str(), held.rule.mode));
        let brakes = self.brakes.iter().map(|held| ("brake", held.rule.name.as_str(), held.rule.mode));
        let enumerations = self.enumerations.iter();
        let enumerations = enumerations.map(|held| ("enumeration", held.rule.name.as_str(), held.rule.mode));
        rates.chain(brakes).chain(enumerations)
    }

    /// Whether bodies of responses are looked into for patterns.
    pub(crate) fn looks_into_responses(&self) -> bool {
        self.of(Check::Patterns).mode != Mode::Off
            && self.patterns.as_ref().is_some_and(|patterns| patterns.in_responses)
    }

    /// Whether a check of values does.
    pub fn judges_values(&self) -> bool {
        Check::ALL.iter().any(|check| check.kind() == Kind::Values && self.is_on(*check))
    }

    /// Headers that only a front end may set: they say who asks.
    pub fn identity_headers(&self) -> Vec<&str> {
        let mut names = vec![IDENTITY_HEADER];
        names.extend(self.identities.header.as_ref().map(|header| &*header.name));
        names
    }

    /// Headers of a client that do not go on: what only a front end may say of who asks, and the credential, unless it is to be forwarded.
    pub fn kept_back(&self) -> Vec<&str> {
        let identities = &self.identities;
        let mut names = self.identity_headers();
        let demanded = !self.access.identity.is_empty() && self.of(Check::Identity).mode == Mode::Enforce;
        if demanded && !self.access.forward_credential {
            names.extend(["authorization", "dpop"]);
            names.extend(identities.keys.as_ref().map(|keys| &*keys.header));
        }
        names
    }

    /// Whether the head alone is not enough. Where it is, a body may be streamed past the checker, up to its limit.
    pub fn needs_body(&self) -> bool {
        Check::ALL.iter().any(|check| matches!(check.kind(), Kind::Body | Kind::Values) && self.is_on(*check))
            || (self.access.needs_body()
                || self.enumerations.iter().any(|held| matches!(held.rule.id, Id::Body(_))))
                && self.is_on(Check::Authorisation)
    }
}

/// A route.
#[derive(Clone, Debug)]
pub struct Route {
    host: String,
    path: String,
    parts: Vec<Part>,
    methods: Methods,
    rules: Rules,
    /// Of the specification that it comes from.
    operation: Option<usize>,
}

impl Route {
    /// The host, in lower case; `*` for any.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The template of its path, as the policy has it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its methods; empty for any.
    pub fn methods(&self) -> &[String] {
        match &self.methods {
            Methods::Any => &[],
            Methods::These(methods) => methods,
        }
    }

    /// How its requests are judged.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The operation of the specification that it is, as [`Specification::operations`] counts; `None` where the policy itself declares it.
    pub const fn operation(&self) -> Option<usize> {
        self.operation
    }

    /// What its placeholders stand for in a path that is of this route: name and segment, for `{rest*}` the first one that it takes.
    pub fn placeholders<'s>(
        &'s self,
        segments: &'s [Cow<'_, str>],
    ) -> impl Iterator<Item = (&'s str, &'s str)> {
        self.parts.iter().zip(segments).flat_map(|(part, segment)| match part {
            Part::Literal(_) => Vec::new(),
            Part::One(name) | Part::Rest(name) => vec![(name.as_str(), segment.as_ref())],
            Part::Mixed(pattern, names) => {
                let mut values = Vec::new();
                pattern.fits(segment, &mut values);
                names.iter().map(String::as_str).zip(values).collect()
            }
        })
    }
}

impl Route {
    /// All that a placeholder stands for in a path that is of this route; of `{rest*}` every segment that it takes.
    pub(crate) fn placeholder<'s>(
        &'s self,
        segments: &'s [Cow<'_, str>],
        name: &str,
    ) -> Option<Cow<'s, str>> {
        let is_rest = |part: &Part| matches!(part, Part::Rest(one) if one == name);
        if let Some(first) = self.parts.iter().position(is_rest) {
            return segments.get(first..).filter(|rest| !rest.is_empty()).map(|rest| rest.join("/").into());
        }
        let mut named = self.placeholders(segments).filter(|(one, _)| *one == name);
        named.next().map(|(_, value)| value.into())
    }
}

/// A policy, all of it checked.
#[derive(Clone, Debug)]
pub struct Policy {
    undeclared: Mode,
    default: Rules,
    routes: Vec<Route>,
    router: Router,
    openapi: Option<OpenApi>,
    patterns: Option<Catalogue>,
    limiters: Limiters,
    /// What is read of a request before its route is known: its body may be as long as that of any route.
    widest: http1::Limits,
}

impl Policy {
    /// Reads a policy that names no other files; `file` is what messages call it.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Errors> {
        Self::read(file, text, &mut |_| Err("files beside the policy cannot be read here".to_owned()))
    }

    /// Reads a policy; `file` is what messages call it, and `load` gives the text of a file that it names.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, and with those files.
    pub fn read(file: &str, text: &str, load: &mut Load<'_>) -> Result<Self, Errors> {
        read::policy(file, text, load)
    }

    /// One of the [`SHIPPED`] policies, by its name with or without `.toml`.
    pub fn shipped(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".toml").unwrap_or(name);
        let (file, text) = SHIPPED.into_iter().find(|(shipped, _)| *shipped == name)?;
        Self::parse(file, text).ok()
    }

    /// A policy that has these limits and enforces every check on any route.
    pub fn with_limits(limits: Limits) -> Self {
        let default = Rules { limits, ..Rules::default() };
        Self::new(Mode::Off, default, Vec::new(), Router::default())
    }

    fn new(undeclared: Mode, default: Rules, routes: Vec<Route>, router: Router) -> Self {
        let body = |rules: &Rules| rules.limits.request.body;
        let longest = routes.iter().map(|route| body(&route.rules)).chain([body(&default)]).max();
        let widest = http1::Limits { body: longest.unwrap_or_default(), ..default.limits.request };
        let limiters = Limiters::default();
        Self { undeclared, default, routes, router, openapi: None, patterns: None, limiters, widest }
    }

    /// Its routes, in the order of its text, and behind them those of its specification.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether it gives a check what that goes by; most need nothing.
    pub fn provides_for(&self, check: Check) -> bool {
        match check {
            Check::CrossSite => {
                let mut rules = self.routes.iter().map(Route::rules).chain([&self.default]);
                rules.any(|rules| rules.is_on(check))
            }
            Check::Schema => self.openapi.is_some(),
            Check::Patterns => self.patterns.is_some(),
            Check::Rates => !self.rates().is_empty(),
            Check::Brakes => !self.brakes().is_empty(),
            _ => true,
        }
    }

    /// The patterns that it looks for, in the order of its text.
    pub fn patterns(&self) -> &[PatternRule] {
        self.patterns.as_ref().map(|patterns| patterns.rules.as_slice()).unwrap_or_default()
    }

    /// Its rates, in the order of its text.
    pub fn rates(&self) -> &[Arc<RateRule>] {
        &self.limiters.rates
    }

    /// Its brakes, in the order of its text.
    pub fn brakes(&self) -> &[Arc<BrakePolicy>] {
        &self.limiters.brakes
    }

    /// How many objects one may ask for, in the order of its text.
    pub fn enumerations(&self) -> &[Arc<EnumerationPolicy>] {
        &self.limiters.enumerations
    }

    /// Bytes that its rates, brakes and enumerations take, however many identities there are.
    pub fn memory(&self) -> usize {
        let rates = self.rates().iter().map(|rate| rate.rule.memory());
        let brakes = self.brakes().iter().map(|brake| brake.rule.memory());
        rates.chain(brakes).chain(self.enumerations().iter().map(|one| one.rule.memory())).sum()
    }

    /// The specification that it names.
    pub const fn openapi(&self) -> Option<&OpenApi> {
        self.openapi.as_ref()
    }

    /// Who may vouch for clients.
    pub fn identities(&self) -> &Identities {
        &self.default.identities
    }

    /// How requests are judged that no route is for, where these are not refused.
    pub const fn default_rules(&self) -> &Rules {
        &self.default
    }

    /// What becomes of requests that no route is for: `Enforce` refuses them.
    pub const fn undeclared(&self) -> Mode {
        self.undeclared
    }

    /// By what a request is read before its route is known.
    pub const fn request_limits(&self) -> &http1::Limits {
        &self.widest
    }

    /// By what a target is read before its route is known.
    pub(crate) const fn target_limits(&self) -> target::Limits {
        let limits = &self.default.limits.target;
        target::Limits {
            parameters: usize::MAX,
            repeated: true,
            semicolons: limits.semicolons,
            segments: limits.segments,
            segment_length: limits.segment_length,
            name_length: usize::MAX,
            value_length: usize::MAX,
        }
    }

    /// The route of a request, or why it has none.
    pub(crate) fn route(
        &self,
        host: &[u8],
        segments: &[Cow<'_, str>],
        method: &[u8],
    ) -> Result<usize, Reason> {
        match self.router.find(host, segments, method) {
            Found::Route(route) => Ok(route),
            Found::OtherMethods => Err(Reason::MethodUndeclared),
            Found::Nothing => Err(Reason::RouteUndeclared),
        }
    }

    /// Whether a route of this path, whatever its methods, demands to know who asks.
    pub(crate) fn demands_identity_at(&self, host: &[u8], segments: &[Cow<'_, str>]) -> bool {
        let methods: BTreeSet<&String> = self.routes.iter().flat_map(Route::methods).collect();
        methods.into_iter().any(|method| {
            let route = self.route(host, segments, method.as_bytes()).ok();
            let route = route.and_then(|route| self.routes.get(route));
            route.is_some_and(|route| !route.rules.access.identity.is_empty())
        })
    }

    /// How requests of a route are judged; those of none, where it is `None`.
    pub fn rules(&self, route: Option<usize>) -> &Rules {
        route.and_then(|route| self.routes.get(route)).map_or(&self.default, Route::rules)
    }

    /// All of it, with every check and limit written out.
    pub fn render(&self) -> String {
        render::render(self)
    }
}
