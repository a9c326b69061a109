//! Rules as they are written, and the limiters that come of them.

use std::{
    collections::BTreeMap,
    fmt,
    hash::Hasher as _,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Deserialize;

use siphasher::sip::SipHasher13;

use super::{
    Ask, Charge, Rate, Ruling, Time,
    quota::Quota,
    spike::Spike,
    table::{Key, TableState},
};

/// Most identities that a table may be for.
const MOST_IDENTITIES: usize = 1 << 26;
/// Identities of a table where the rule does not say. A rolling window takes twenty times the memory.
const IDENTITIES: usize = 1 << 17;
const IDENTITIES_ROLLING: usize = 1 << 14;
/// Most classes of a rule.
const MOST_CLASSES: usize = 64;
/// Most units that a request may cost.
const MOST_WEIGHT: u32 = 10_000;
/// Longest name of a rule or class, in bytes.
const LONGEST_NAME: usize = 64;

/// What tells those apart that have an allowance each.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The access token.
    Token,
    /// The API key.
    Key,
    /// The subject of a token.
    Subject,
    /// The client certificate.
    Certificate,
    /// The route: all who ask for it have one allowance together.
    Route,
    /// The client's address.
    Address,
    /// A claim of a token, by its name.
    Claim(String),
    /// The session, by the name of its cookie. Whoever makes up values for it is somebody else each time: a rule by address holds him.
    Session(String),
}

impl By {
    /// As rules and evidence have it; of a claim and a session without its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Key => "key",
            Self::Subject => "subject",
            Self::Certificate => "certificate",
            Self::Route => "route",
            Self::Address => "address",
            Self::Claim(_) => "claim",
            Self::Session(_) => "session",
        }
    }
}

/// Which windows a quota has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// The calendar's, in UTC: minutes, hours, days, weeks from Monday, months.
    #[default]
    Calendar,
    /// Any span of time of that length.
    Rolling,
    /// From an identity's first request on; the next begins with the first request after it.
    Flexible,
}

/// A rate or a quota of every identity.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is called, also in answers: letters in lower case, digits, `-`, `_` and `.`.
    pub name: String,
    /// Whose allowance it is.
    pub by: By,
    /// Spike arrest: `5/s` is one every 200 ms. This or `quota`.
    pub spike: Option<Rate>,
    /// Of spike arrest: units that may come at once. 1 unless it is set.
    pub burst: Option<u32>,
    /// A quota. This or `spike`.
    pub quota: Option<Rate>,
    /// Of a quota: its windows. The calendar's unless it is set.
    pub window: Option<Window>,
    /// Allowances of classes (plans, tiers), in place of `spike` or `quota`.
    #[serde(default)]
    pub classes: BTreeMap<String, Rate>,
    /// Units that a request costs. 1 unless it is set.
    pub weight: Option<u32>,
    /// Units that a request costs, by its method.
    #[serde(default)]
    pub weights: BTreeMap<String, u32>,
    /// How many identities are kept apart at the same time, for each class. 131,072 unless it is set; of rolling windows 16,384.
    pub identities: Option<usize>,
    /// Of `address`: bits of IPv4 addresses that tell clients apart. 32 unless it is set.
    pub ipv4_prefix: Option<u8>,
    /// The same of IPv6: 64 unless it is set, since whoever has one address has as many.
    pub ipv6_prefix: Option<u8>,
}

/// What is wrong with a rule: which, what, and what is allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("rule \"{rule}\": {wrong}")]
pub struct RuleError {
    rule: String,
    wrong: String,
}

impl Rule {
    /// Units that a request with this method costs.
    pub fn weight(&self, method: &str) -> u32 {
        self.weights.get(method).copied().or(self.weight).unwrap_or(1)
    }

    /// How many identities are kept apart, for each class.
    pub fn tracked(&self) -> usize {
        let usual = if self.window == Some(Window::Rolling) { IDENTITIES_ROLLING } else { IDENTITIES };
        self.identities.unwrap_or(usual)
    }

    /// Bytes that its tables take, whatever is in them.
    pub fn memory(&self) -> usize {
        let one = if self.spike.is_some() {
            Spike::memory_for(self.tracked())
        } else {
            Quota::memory_for(self.window.unwrap_or_default(), self.tracked())
        };
        one.saturating_mul(1 + self.classes.len())
    }

    /// The network that an address counts as.
    pub fn network(&self, address: IpAddr) -> ipnet::IpNet {
        let address = address.to_canonical();
        let (most, bits) = match address {
            IpAddr::V4(_) => (32, self.ipv4_prefix.unwrap_or(32)),
            IpAddr::V6(_) => (128, self.ipv6_prefix.unwrap_or(64)),
        };
        ipnet::IpNet::new(address, bits.min(most)).map_or_else(|_| address.into(), |network| network.trunc())
    }

    /// Whether all of it is right.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), RuleError> {
        let all = self.spike.iter().chain(&self.quota).chain(self.classes.values());
        let checked = self.check().and_then(|()| all.copied().try_for_each(|rate| self.check_rate(rate)));
        checked.map_err(|wrong| RuleError { rule: crate::text::printable(&self.name, 40), wrong })
    }

    fn check_rate(&self, rate: Rate) -> Result<(), String> {
        if self.spike.is_some() {
            return Spike::limit(rate, self.burst.unwrap_or(1)).map(|_| ()).map_err(|_| {
                format!("{rate} with this burst takes longer than two years to be whole again")
            });
        }
        if Quota::is_possible(rate, self.window.unwrap_or_default()) {
            return Ok(());
        }
        Err(format!("{rate} needs `window = \"calendar\"`: months differ in length"))
    }

    fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err(format!("its name is no name: 1 to {LONGEST_NAME} of a-z, 0-9, `-`, `_` and `.`"));
        }
        if self.spike.is_some() == self.quota.is_some() {
            return Err("it needs `spike = \"5/s\"` or `quota = \"1000/day\"`, and not both".to_owned());
        }
        if self.burst.is_some() && self.spike.is_none() {
            return Err("`burst` goes with `spike`; a quota may be used up at once".to_owned());
        }
        if self.window.is_some() && self.quota.is_none() {
            return Err("`window` goes with `quota`; spike arrest has none".to_owned());
        }
        let prefixed = self.ipv4_prefix.is_some() || self.ipv6_prefix.is_some();
        if prefixed && self.by != By::Address {
            return Err("`ipv4_prefix` and `ipv6_prefix` go with `by = \"address\"`".to_owned());
        }
        let empty = |name: &str| name.is_empty() || name.len() > LONGEST_NAME;
        if matches!(&self.by, By::Claim(name) | By::Session(name) if empty(name)) {
            return Err(format!("`by` names nothing, or something longer than {LONGEST_NAME} bytes"));
        }
        if let Some(class) = self.classes.keys().find(|class| !is_name(class)) {
            let class = crate::text::printable(class, 40);
            return Err(format!(
                "class \"{class}\" is no name: 1 to {LONGEST_NAME} of a-z, 0-9, `-`, `_` and `.`"
            ));
        }
        if self.classes.len() > MOST_CLASSES {
            return Err(format!("it has more than {MOST_CLASSES} classes"));
        }
        if self.identities.is_some_and(|many| !(1..=MOST_IDENTITIES).contains(&many)) {
            return Err(format!("`identities` is out of range; allowed: 1 to {MOST_IDENTITIES}"));
        }
        self.check_weights()
    }

    /// What can never pass is an error here, and no surprise later.
    fn check_weights(&self) -> Result<(), String> {
        if self.burst == Some(0) {
            return Err("`burst` is 0: nothing would pass; allowed: 1 or more".to_owned());
        }
        let quotas = self.quota.iter().chain(self.classes.values()).map(|rate| rate.count);
        let most = match self.spike {
            Some(_) => self.burst.unwrap_or(1),
            None => quotas.min().unwrap_or(1),
        };
        for weight in self.weights.values().chain(&self.weight).copied() {
            if weight > MOST_WEIGHT {
                return Err(format!("weight {weight} is out of range; allowed: 0 to {MOST_WEIGHT}"));
            }
            if weight > most {
                let what = if self.spike.is_some() { "burst" } else { "smallest quota" };
                return Err(format!("weight {weight} is more than its {what}, {most}: it would never pass"));
            }
        }
        Ok(())
    }

    fn limiter(&self, rate: Rate, class: Option<&str>, key: Key) -> Option<Limiter> {
        // Names have no slash: no two tables have the same salt.
        let salt = class.map_or_else(|| self.name.clone(), |class| format!("{}/{class}", self.name));
        if self.spike.is_some() {
            let made = Spike::new(rate, self.burst.unwrap_or(1), key, &salt, self.tracked());
            return made.ok().map(Limiter::Spike);
        }
        Quota::new(rate, self.window.unwrap_or_default(), key, &salt, self.tracked()).map(Limiter::Quota)
    }

    /// Whether what is known of identities by one is known by the other.
    fn has_tables_of(&self, other: &Self) -> bool {
        let shape =
            |rule: &Self| (rule.spike.is_some(), rule.burst, rule.window.unwrap_or_default(), rule.tracked());
        let whose = |rule: &Self| (rule.name.clone(), rule.by.clone(), rule.ipv4_prefix, rule.ipv6_prefix);
        shape(self) == shape(other) && whose(self) == whose(other)
    }

    fn rate(&self) -> Option<Rate> {
        self.spike.or(self.quota)
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(allowed)
}

enum Limiter {
    Spike(Spike),
    Quota(Quota),
}

impl Limiter {
    fn judge(&self, ask: &Ask<'_>, time: Time, charge: Charge) -> Ruling {
        match self {
            Self::Spike(spike) => spike.judge(ask.identity, ask.weight, time.monotonic, charge),
            Self::Quota(quota) => quota.judge(ask.identity, ask.weight, time, charge),
        }
    }

    fn table(&self) -> TableState {
        match self {
            Self::Spike(spike) => spike.table_state(),
            Self::Quota(quota) => quota.table_state(),
        }
    }

    fn occupied(&self, time: Time) -> usize {
        match self {
            Self::Spike(spike) => spike.occupied(time.monotonic),
            Self::Quota(quota) => quota.occupied(time),
        }
    }
}

struct Limiters {
    rule: Rule,
    own: Arc<Limiter>,
    /// Sorted by name.
    classes: Vec<(String, Rate, Arc<Limiter>)>,
    counts: Arc<Counts>,
}

impl Limiters {
    fn all(&self) -> impl Iterator<Item = &Limiter> {
        std::iter::once(&*self.own).chain(self.classes.iter().map(|(_, _, limiter)| &**limiter))
    }
}

/// What a rule has said.
#[derive(Default)]
struct Counts {
    admitted: AtomicU64,
    refused: AtomicU64,
}

/// How a rule is doing, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// Requests that it has admitted, since it began.
    pub admitted: u64,
    /// Requests that it has refused.
    pub refused: u64,
    /// Identities that were forgotten for others before their time.
    pub forgotten: u64,
    /// Identities that something is known of now.
    pub occupied: u64,
    /// Identities that there is room for.
    pub room: u64,
    /// Bytes of its tables.
    pub memory: u64,
}

/// Rules, and what they know. All of it may be used by many threads at once.
pub struct Rates {
    rules: Vec<Limiters>,
    key: Key,
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rules.iter().map(|one| &one.rule)).finish()
    }
}

impl Rates {
    /// Takes all the memory that they will ever have. `key` is random, and secret.
    ///
    /// # Errors
    ///
    /// What is wrong with the first rule that is wrong.
    pub fn new(rules: Vec<Rule>, key: Key) -> Result<Self, RuleError> {
        Self::after(rules, key, None)
    }

    /// The same, where others were in force before: rules of the same name, identities and shape go on with what these knew. Of a class whose
    /// allowance is another one now, nothing is known.
    ///
    /// # Errors
    ///
    /// What is wrong with the first rule that is wrong.
    pub fn after(rules: Vec<Rule>, key: Key, before: Option<&Self>) -> Result<Self, RuleError> {
        let before = before.filter(|before| before.key.0 == key.0);
        let mut made: Vec<Limiters> = Vec::with_capacity(rules.len());
        for rule in rules {
            rule.validate()?;
            if made.iter().any(|other| other.rule.name == rule.name) {
                let rule = crate::text::printable(&rule.name, 40);
                return Err(RuleError { rule, wrong: "another rule has this name".to_owned() });
            }
            let mut same = before.into_iter().flat_map(|before| &before.rules);
            let same = same.find(|other| other.rule.has_tables_of(&rule));
            let Some(rate) = rule.rate() else { continue };
            let kept =
                same.filter(|other| other.rule.rate() == Some(rate)).map(|other| Arc::clone(&other.own));
            let Some(own) = kept.or_else(|| rule.limiter(rate, None, key).map(Arc::new)) else { continue };
            let class = |(name, rate): (&String, &Rate)| {
                let mut known = same.into_iter().flat_map(|other| &other.classes);
                let kept = known.find(|(other, before, _)| other == name && before == rate);
                let kept = kept.map(|(_, _, limiter)| Arc::clone(limiter));
                let limiter = kept.or_else(|| rule.limiter(*rate, Some(name), key).map(Arc::new))?;
                Some((name.clone(), *rate, limiter))
            };
            let classes = rule.classes.iter().filter_map(class).collect();
            let counts = same.map(|other| Arc::clone(&other.counts)).unwrap_or_default();
            made.push(Limiters { rule, own, classes, counts });
        }
        Ok(Self { rules: made, key })
    }

    /// No rules: whatever is asked is refused.
    pub const fn none(key: Key) -> Self {
        Self { rules: Vec::new(), key }
    }

    /// The rules, in the order in which [`Ask::rule`] counts them.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|one| &one.rule)
    }

    /// Bytes of the tables, whatever is in them.
    pub fn memory(&self) -> usize {
        self.rules.iter().flat_map(Limiters::all).map(|limiter| limiter.table().memory).sum()
    }

    /// How each rule is doing. Looks at every slot of the tables.
    pub fn health(&self, time: Time) -> impl Iterator<Item = (&Rule, Health)> {
        self.rules.iter().map(move |one| {
            let mut health = Health {
                admitted: one.counts.admitted.load(Ordering::Relaxed),
                refused: one.counts.refused.load(Ordering::Relaxed),
                ..Health::default()
            };
            for limiter in one.all() {
                let table = limiter.table();
                health.forgotten += table.forgotten;
                health.memory += table.memory as u64;
                health.room += table.room as u64;
                health.occupied += limiter.occupied(time) as u64;
            }
            (&one.rule, health)
        })
    }

    /// An identity as logs have it: eight digits that tell it from others while the process runs, and say nothing else of it.
    pub fn pseudonym(&self, identity: &[u8]) -> String {
        let mut hasher = SipHasher13::new_with_key(&self.key.0);
        hasher.write(b"pseudonym");
        hasher.write(identity);
        format!("{:08x}", hasher.finish() >> 32)
    }

    /// Judges a request, and uses up nothing.
    pub fn ask(&self, asks: &[Ask<'_>], time: Time) -> Vec<Ruling> {
        asks.iter().map(|ask| self.one(ask, time, Charge::No)).collect()
    }

    /// Judges a request by all rules that are for it. It passes if all admit it, and only then do they charge it: what is refused uses
    /// up nothing. Rules that there are not admit nothing.
    ///
    /// Two requests that come at once may both be found good, and one be refused as they are charged: then some of its rules have
    /// charged it.
    pub fn judge(&self, asks: &[Ask<'_>], time: Time) -> Vec<Ruling> {
        let mut rulings: Vec<Ruling> = Vec::with_capacity(asks.len());
        // One rule needs not be asked beforehand.
        if asks.len() > 1 {
            rulings.extend(asks.iter().map(|ask| self.one(ask, time, Charge::No)));
            if rulings.iter().any(|ruling| !ruling.admitted) {
                self.count(asks, &rulings, false);
                return rulings;
            }
            rulings.clear();
        }
        rulings.extend(asks.iter().map(|ask| self.one(ask, time, Charge::Yes)));
        self.count(asks, &rulings, true);
        rulings
    }

    /// Counts what rules have said: those that refuse, and if they were charged those that admit.
    fn count(&self, asks: &[Ask<'_>], rulings: &[Ruling], charged: bool) {
        for (ask, ruling) in asks.iter().zip(rulings) {
            let Some(Limiters { counts, .. }) = self.rules.get(ask.rule) else { continue };
            if !ruling.admitted {
                counts.refused.fetch_add(1, Ordering::Relaxed);
            } else if charged {
                counts.admitted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn one(&self, ask: &Ask<'_>, time: Time, charge: Charge) -> Ruling {
        let Some(one) = self.rules.get(ask.rule) else { return Ruling::NEVER };
        let class = ask.class.and_then(|class| {
            let place = one.classes.binary_search_by(|(name, ..)| name.as_str().cmp(class)).ok()?;
            one.classes.get(place)
        });
        class.map_or(&one.own, |(_, _, limiter)| limiter).judge(ask, time, charge)
    }
}

impl Ruling {
    /// Of a rule that there is not.
    const NEVER: Self = Self {
        admitted: false,
        quota: 0,
        window: std::time::Duration::ZERO,
        remaining: 0,
        reset: std::time::Duration::ZERO,
        retry: None,
    };
}
