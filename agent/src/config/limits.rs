//! Reading rates, bursts and sets of limits.

use stopbank_common::gcra::{Dimension, LimitError};
use toml::de::DeValue;

use super::{
    document::{Diagnostics, Table, Value},
    model::{Claim, Class, LimitSet, dimension_name},
    rate::{LEAST_BYTES, Quantity, Rate, RateLimit, parse_amount, parse_rate},
};
use crate::lists::printable;

/// Reads `per_source` and `total` of a class.
pub(super) fn of_class(table: &Table<'_, '_>, name: &str, class: &mut Class, diagnostics: &mut Diagnostics) {
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
        let set = set(&place, value, &class.claim, diagnostics);
        *(if per_source { &mut class.per_source } else { &mut class.total }) = set;
    }
}

fn set(place: &str, value: &Value<'_>, claim: &Claim, diagnostics: &mut Diagnostics) -> LimitSet {
    let mut set = LimitSet::default();
    let keys = Dimension::ALL.map(dimension_name);
    let Some(table) = Table::of(place, value, &keys, diagnostics) else { return set };
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
    set
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
            let table = Table::of(&format!("`{key}`"), value, &["rate", "burst"], diagnostics)?;
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
