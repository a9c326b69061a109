//! Reading rates, bursts and sets of limits.

use stopbank_common::gcra::{Dimension, LimitError};
use toml::de::DeValue;

use super::{
    cookies,
    document::{Diagnostics, Table, Value},
    model::{Claim, Class, LimitSet, PrefixLength, PrefixLimits, dimension_name},
    rate::{LEAST_BYTES, Quantity, Rate, RateLimit, parse_amount, parse_rate},
};
use crate::lists::printable;

/// Keys of a class, those apart that say what it claims.
pub(super) const CLASS_KEYS: [&str; 7] =
    ["closed", "observe", "signatures", "per_source", "per_prefix", "total", "syn_cookies"];

/// Keys of limits beside what they count.
pub(super) const TOTAL_KEYS: [&str; 1] = ["proven"];
pub(super) const PREFIX_KEYS: [&str; 2] = ["ipv4", "ipv6"];
/// Keys of one limit.
pub(super) const LIMIT_KEYS: [&str; 2] = ["rate", "burst"];

/// What limits count, by name.
pub(super) fn dimensions() -> [&'static str; 3] {
    Dimension::ALL.map(dimension_name)
}

/// Reads what a class does with its packets.
pub(super) fn of_class(table: &Table<'_, '_>, name: &str, class: &mut Class, diagnostics: &mut Diagnostics) {
    if let Some(value) = table.get("closed") {
        class.closed = diagnostics.boolean("closed", value).unwrap_or(false);
    }
    if let Some(value) = table.get("observe") {
        class.observe = diagnostics.boolean("observe", value).unwrap_or(false);
    }
    if let Some(value) = table.get("per_prefix") {
        class.per_prefix = per_prefix(value, &class.claim, diagnostics);
    }
    if let Some(value) = table.get("syn_cookies") {
        let place = if name == "default" { "[default]" } else { "a [[class]]" };
        class.syn_cookies = cookies::read(value, &class.claim, place, diagnostics).unwrap_or_default();
    }
    for (key, per_source) in [("per_source", true), ("total", false)] {
        let Some(value) = table.get(key) else { continue };
        let place = if name == "default" { format!("[default.{key}]") } else { format!("[class.{key}]") };
        if class.closed {
            diagnostics.push(
                value.span(),
                format!("class `{name}` is closed and has limits in {place}"),
                "a closed class drops everything: take away `closed` or the limits",
            );
            continue;
        }
        let more: &[&str] = if per_source { &[] } else { &TOTAL_KEYS };
        let Some((table, set)) = set(&place, value, more, &class.claim, diagnostics) else { continue };
        *(if per_source { &mut class.per_source } else { &mut class.total }) = set;
        if let Some(value) = table.get("proven")
            && let Some(percent) = percent("proven", value, diagnostics)
        {
            class.proven_share = percent;
        }
    }
}

/// `"50%"`.
pub(super) fn percent(key: &str, value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<u8> {
    const HELP: &str = "allowed: \"0%\" to \"90%\": the part of the total that proven sources have first";
    let text = diagnostics.string(key, value, HELP)?;
    let number = text.strip_suffix('%').and_then(|digits| digits.trim().parse().ok()).filter(|n| *n <= 90);
    if number.is_none() {
        diagnostics.push(value.span(), format!("`{key}` is \"{}\"", printable(text, 40)), HELP);
    }
    number
}

/// `[[class.per_prefix]]`.
fn per_prefix(value: &Value<'_>, claim: &Claim, diagnostics: &mut Diagnostics) -> Vec<PrefixLimits> {
    let help =
        "write a block for each length:  [[class.per_prefix]]  ipv4 = 24  ipv6 = 48  packets = \"20k/s\"";
    let mut found: Vec<PrefixLimits> = Vec::new();
    for item in diagnostics.array("per_prefix", value, help) {
        let place = "[[class.per_prefix]]";
        let Some((table, limits)) = set(place, item, &PREFIX_KEYS, claim, diagnostics) else { continue };
        let mut bits = |key, allowed: std::ops::RangeInclusive<u64>| {
            let help = format!("allowed: {} to {} (bits of the address)", allowed.start(), allowed.end());
            let bits = diagnostics.integer(key, table.get(key)?, allowed, &help)?;
            u8::try_from(bits).ok()
        };
        let length = PrefixLength { ipv4: bits("ipv4", 8..=31), ipv6: bits("ipv6", 16..=127) };
        if length.ipv4.is_none() && length.ipv6.is_none() {
            diagnostics.push(table.span(), "this [[class.per_prefix]] has no length", help);
        } else if found.iter().any(|other| other.length == length) {
            diagnostics.push(table.span(), "this prefix length stands twice", "give each length one block");
        } else if limits.is_empty() {
            diagnostics.push(table.span(), "this [[class.per_prefix]] limits nothing", help);
        } else {
            found.push(PrefixLimits { length, limits });
        }
    }
    found
}

/// A table of limits, and what they are.
pub(super) fn set<'v, 'i>(
    place: &str,
    value: &'v Value<'i>,
    more: &[&str],
    claim: &Claim,
    diagnostics: &mut Diagnostics,
) -> Option<(Table<'v, 'i>, LimitSet)> {
    let mut set = LimitSet::default();
    let keys: Vec<&str> = dimensions().into_iter().chain(more.iter().copied()).collect();
    let table = Table::of(place, value, &keys, diagnostics)?;
    for dimension in Dimension::ALL {
        let key = dimension_name(dimension);
        let Some(value) = table.get(key) else { continue };
        if dimension == Dimension::Connections && !matches!(claim, Claim::Tcp(_) | Claim::Rest) {
            diagnostics.push(
                value.span(),
                format!("`connections` in {place} can never count: the class is not TCP"),
                "connections are TCP segments with SYN and without ACK; limit `packets` or `bytes` here",
            );
            continue;
        }
        *set.get_mut(dimension) = limit(key, value, dimension, diagnostics);
    }
    Some((table, set))
}

/// `"2000/s"`, or `{ rate = "2000/s", burst = 4000 }`.
fn limit(
    key: &str,
    value: &Value<'_>,
    dimension: Dimension,
    diagnostics: &mut Diagnostics,
) -> Option<RateLimit> {
    let quantity = Quantity::from(dimension);
    let (rate_value, burst_value) = match value.get_ref() {
        DeValue::Table(_) => {
            let table = Table::of(&format!("`{key}`"), value, &LIMIT_KEYS, diagnostics)?;
            let burst = table.get("burst");
            let Some(rate) = table.get("rate") else {
                diagnostics.push(value.span(), format!("`{key}` has no `rate`"), quantity.rate_help());
                return None;
            };
            (rate, burst)
        }
        _ => (value, None),
    };
    let rate = rate(key, rate_value, quantity, diagnostics)?;
    let mut limit = RateLimit::with_default_burst(rate, dimension);
    if let Some(value) = burst_value {
        limit.burst = burst(key, value, dimension, diagnostics)?;
    }
    if let Err(error) = limit.to_limit(dimension) {
        let (message, help) = explain(error);
        diagnostics.push(value.span(), format!("`{key}`: {message}"), help);
        return None;
    }
    Some(limit)
}

/// A rate.
pub(super) fn rate(
    key: &str,
    value: &Value<'_>,
    quantity: Quantity,
    diagnostics: &mut Diagnostics,
) -> Option<Rate> {
    let text = diagnostics.string(key, value, quantity.rate_help())?;
    match parse_rate(text, quantity) {
        Ok(rate) => Some(rate),
        Err(why) => {
            let message = format!("`{key}` is \"{}\": {why}", printable(text, 40));
            diagnostics.push(value.span(), message, quantity.rate_help());
            None
        }
    }
}

fn burst(key: &str, value: &Value<'_>, dimension: Dimension, diagnostics: &mut Diagnostics) -> Option<u64> {
    let quantity = Quantity::from(dimension);
    let burst = match value.get_ref() {
        DeValue::String(text) => match parse_amount(text, quantity) {
            Ok(burst) => burst,
            Err(why) => {
                let message = format!("`burst` of `{key}` is \"{}\": {why}", printable(text, 40));
                diagnostics.push(value.span(), message, quantity.amount_help());
                return None;
            }
        },
        _ => diagnostics.integer("burst", value, 0..=u64::MAX, quantity.amount_help())?,
    };
    if burst == 0 {
        diagnostics.push(
            value.span(),
            format!("`burst` of `{key}` is zero, so that nothing would ever pass"),
            quantity.amount_help(),
        );
        return None;
    }
    if dimension == Dimension::Bytes && burst < LEAST_BYTES {
        diagnostics.push(
            value.span(),
            format!("`burst` of `{key}` is {burst} bytes, so that a full Ethernet frame would never pass"),
            format!("allowed: at least {LEAST_BYTES}; 64KiB and more where receive offload (GRO, LRO) merges packets"),
        );
        return None;
    }
    Some(burst)
}

fn explain(error: LimitError) -> (&'static str, &'static str) {
    match error {
        LimitError::Zero => ("the rate is zero", "close the class instead: closed = true"),
        LimitError::TooFast => (
            "the rate is higher than the kernel's arithmetic can hold",
            "allowed: at most 1000G/s; leave it out for no limit",
        ),
        LimitError::TooSlow => (
            "the rate is too low, or the burst too long, for the kernel's arithmetic",
            "allowed: bursts that the rate refills within two years; a smaller burst is probably meant",
        ),
    }
}
