//! What rates, brakes and enumerations know of identities.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ring::hmac;

use super::Seed;
use crate::{
    Policy,
    engine::Attempted,
    policy::{BrakePolicy, EnumerationPolicy},
    rates::{Brake, Enumeration, Health, Key, Rates, Time},
};

/// The tables of a policy's rates, brakes and enumerations.
pub(super) struct Counting {
    pub(super) rates: Rates,
    pub(super) brakes: Vec<(Arc<BrakePolicy>, Arc<Brake>)>,
    enumerations: Vec<(Arc<EnumerationPolicy>, Arc<Enumeration>)>,
    /// What random numbers are drawn from, and how many were.
    random: hmac::Key,
    drawn: Arc<AtomicU64>,
}

impl Counting {
    /// For a policy. Rules that were there before go on with what they knew.
    pub(super) fn new(policy: &Policy, seed: &Seed, before: Option<&Self>) -> Self {
        let key = |purpose: &str| {
            let [first, ..] = *seed.key(purpose).as_chunks::<16>().0 else { return Key([0; 16]) };
            Key(first)
        };
        let rules = policy.rates().iter().map(|rate| rate.rule.clone()).collect();
        // The policy has checked them. Of rules that there are not, none admits anything.
        let rates = Rates::after(rules, key("rates"), before.map(|before| &before.rates))
            .unwrap_or_else(|_| Rates::none(key("rates")));
        let brake = |policy: &Arc<BrakePolicy>| {
            let mut same = before.into_iter().flat_map(|before| &before.brakes);
            let same = same.find(|(other, _)| other.name == policy.name && other.rule == policy.rule);
            let brake = same.map(|(_, brake)| Arc::clone(brake));
            let key = || key(&format!("brake {}", policy.name));
            (Arc::clone(policy), brake.unwrap_or_else(|| Arc::new(Brake::new(policy.rule.clone(), key()))))
        };
        let enumeration = |policy: &Arc<EnumerationPolicy>| {
            let mut same = before.into_iter().flat_map(|before| &before.enumerations);
            let same = same.find(|(other, _)| other.name == policy.name && other.rule == policy.rule);
            let key = || key(&format!("enumeration {}", policy.name));
            let new = || Arc::new(Enumeration::new(policy.rule.clone(), key()));
            (Arc::clone(policy), same.map_or_else(new, |(_, known)| Arc::clone(known)))
        };
        Self {
            rates,
            enumerations: policy.enumerations().iter().map(enumeration).collect(),
            brakes: policy.brakes().iter().map(brake).collect(),
            random: hmac::Key::new(hmac::HMAC_SHA256, &seed.key("random")),
            drawn: before.map(|before| Arc::clone(&before.drawn)).unwrap_or_default(),
        }
    }

    /// 16 bytes that nobody foresees, and that come once.
    fn random(&self) -> [u8; 16] {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let drawn = hmac::sign(&self.random, &number.to_le_bytes());
        drawn.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Notes what has become of an attempt: `status` is that of the upstream's answer, `None` where there was none.
    pub(super) fn answered(&self, attempted: &Attempted, status: Option<u16>, time: Time) {
        let Some((policy, brake)) = self.brakes.get(attempted.brake) else { return };
        let attempt = attempted.attempt();
        match status {
            Some(status) if policy.failures.contains(&status) => {}
            Some(200..=399) => brake.succeeded(&attempt, time.monotonic),
            _ => brake.unjudged(&attempt, time.monotonic),
        }
    }

    /// How each rule is doing: `rate`, `brake` or `enumeration`, its name, and that. Looks at every slot of the tables.
    pub(super) fn health(&self, time: Time) -> impl Iterator<Item = (&'static str, &str, Health)> {
        let rates = self.rates.health(time).map(|(rule, health)| ("rate", rule.name.as_str(), health));
        let now = time.monotonic;
        let brakes = self.brakes.iter();
        let brakes = brakes.map(move |(policy, brake)| ("brake", policy.name.as_str(), brake.health(now)));
        let enumerations = self.enumerations.iter();
        let enumerations =
            enumerations.map(move |(policy, one)| ("enumeration", policy.name.as_str(), one.health(now)));
        rates.chain(brakes).chain(enumerations)
    }
}

impl super::State {
    /// Its rates.
    pub(crate) const fn rates(&self) -> &Rates {
        &self.counting.rates
    }

    /// 16 bytes that nobody foresees, and that come once.
    pub(crate) fn random(&self) -> [u8; 16] {
        self.counting.random()
    }

    /// One of its brakes.
    pub(crate) fn brake(&self, place: usize) -> Option<&Brake> {
        self.counting.brakes.get(place).map(|(_, brake)| &**brake)
    }

    /// One of its enumerations.
    pub(crate) fn enumeration(&self, place: usize) -> Option<&Enumeration> {
        self.counting.enumerations.get(place).map(|(_, enumeration)| &**enumeration)
    }

    /// Notes what has become of an attempt at a login: `status` is that of the upstream's answer, `None` where there was none.
    pub fn answered(&self, attempted: &Attempted, status: Option<u16>, time: Time) {
        self.counting.answered(attempted, status, time);
    }

    /// How each rate, brake and enumeration is doing: `rate`, `brake` or `enumeration`, its name, and that. Looks at every slot of the tables.
    pub fn health(&self, time: Time) -> impl Iterator<Item = (&'static str, &str, Health)> {
        self.counting.health(time)
    }
}
