//! Rules as they are written, and the limiters that come of them.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

use super::{Ask, Charge, Rate, Ruling, Time, quota::Quota, spike::Spike, table::Key};

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
    /// The session.
    Session,
    /// The client certificate.
    Certificate,
    /// The route: all who ask for it have one allowance together.
    Route,
    /// The client's address.
    Address,
    /// A claim of a token, by its name.
    Claim(String),
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

    fn limiter(&self, rate: Rate, class: Option<&str>, key: Key) -> Result<Limiter, String> {
        // Names have no slash: no two tables have the same salt.
        let salt = class.map_or_else(|| self.name.clone(), |class| format!("{}/{class}", self.name));
        if self.spike.is_some() {
            let identities = self.identities.unwrap_or(IDENTITIES);
            return Spike::new(rate, self.burst.unwrap_or(1), key, &salt, identities)
                .map(Limiter::Spike)
                .map_err(|_| {
                    format!("{rate} with this burst takes longer than two years to be whole again")
                });
        }
        let window = self.window.unwrap_or_default();
        let usual = if window == Window::Rolling { IDENTITIES_ROLLING } else { IDENTITIES };
        Quota::new(rate, window, key, &salt, self.identities.unwrap_or(usual))
            .map(Limiter::Quota)
            .ok_or_else(|| format!("{rate} needs `window = \"calendar\"`: months differ in length"))
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

    fn memory(&self) -> usize {
        match self {
            Self::Spike(spike) => spike.memory(),
            Self::Quota(quota) => quota.memory(),
        }
    }
}

struct Limiters {
    rule: Rule,
    own: Limiter,
    /// Sorted by name.
    classes: Vec<(String, Limiter)>,
}

/// Rules, and what they know. All of it may be used by many threads at once.
pub struct Rates {
    rules: Vec<Limiters>,
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
        let mut made: Vec<Limiters> = Vec::with_capacity(rules.len());
        for rule in rules {
            let wrong = |wrong| RuleError { rule: crate::text::printable(&rule.name, 40), wrong };
            rule.check().map_err(wrong)?;
            if made.iter().any(|other| other.rule.name == rule.name) {
                return Err(wrong("another rule has this name".to_owned()));
            }
            let Some(rate) = rule.spike.or(rule.quota) else { continue };
            let own = rule.limiter(rate, None, key).map_err(wrong)?;
            let class = |(name, rate): (&String, &Rate)| {
                Ok((name.clone(), rule.limiter(*rate, Some(name), key).map_err(wrong)?))
            };
            let classes = rule.classes.iter().map(class).collect::<Result<_, RuleError>>()?;
            made.push(Limiters { rule, own, classes });
        }
        Ok(Self { rules: made })
    }

    /// The rules, in the order in which [`Ask::rule`] counts them.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|one| &one.rule)
    }

    /// Bytes of the tables, whatever is in them.
    pub fn memory(&self) -> usize {
        let limiters = |one: &Limiters| {
            one.own.memory() + one.classes.iter().map(|(_, limiter)| limiter.memory()).sum::<usize>()
        };
        self.rules.iter().map(limiters).sum()
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
                return rulings;
            }
            rulings.clear();
        }
        rulings.extend(asks.iter().map(|ask| self.one(ask, time, Charge::Yes)));
        rulings
    }

    fn one(&self, ask: &Ask<'_>, time: Time, charge: Charge) -> Ruling {
        let Some(one) = self.rules.get(ask.rule) else { return Ruling::NEVER };
        let class = ask.class.and_then(|class| {
            let place = one.classes.binary_search_by(|(name, _)| name.as_str().cmp(class)).ok()?;
            one.classes.get(place)
        });
        class.map_or(&one.own, |(_, limiter)| limiter).judge(ask, time, charge)
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
