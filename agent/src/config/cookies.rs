//! Reading `syn_cookies`, and bringing it into the policy.

use std::time::Duration;

use stopbank_common::{
    gcra::{Dimension, LimitError},
    policy::{CLASS_DEFAULT, GUARD_ALWAYS, GUARD_AUTO, GUARD_OFF, Guard, Handshake, Policy, ROLE_HOST},
};
use toml::de::DeValue;

use super::{
    compile::ClassNumbers,
    document::{Diagnostics, Table, Value},
    limits,
    model::{Claim, Class, Config, CookieMode, SynCookies},
    rate::{Quantity, RateLimit},
};
use crate::lists::printable;

pub(super) const KEYS: [&str; 3] = ["mode", "above", "hold"];
pub(super) const MODES: [(&str, CookieMode); 3] =
    [("off", CookieMode::Off), ("auto", CookieMode::Auto), ("always", CookieMode::Always)];
const HOLD_HELP: &str = "allowed: a time from \"1s\" to \"1h\"";

/// `"auto"`, or `{ mode = "auto", above = "2000/s", hold = "30s" }`.
pub(super) fn read(
    value: &Value<'_>,
    claim: &Claim,
    place: &str,
    diagnostics: &mut Diagnostics,
) -> Option<SynCookies> {
    let mut cookies = SynCookies::default();
    if let DeValue::Table(_) = value.get_ref() {
        let table = Table::of("`syn_cookies`", value, &KEYS, diagnostics)?;
        cookies.mode = CookieMode::Auto;
        if let Some(value) = table.get("mode") {
            cookies.mode = diagnostics.choice("mode", value, &MODES)?;
        }
        if let Some(value) = table.get("above") {
            cookies.above = limits::rate("above", value, Quantity::Count, diagnostics)?;
        }
        if let Some(value) = table.get("hold") {
            cookies.hold = hold(value, diagnostics)?;
        }
        if cookies.mode != CookieMode::Auto
            && let Some(value) = table.get("above").or_else(|| table.get("hold"))
        {
            let help = "they say when `mode = \"auto\"` begins and ends: leave them out";
            diagnostics.push(value.span(), "`above` and `hold` without `mode = \"auto\"`", help);
        }
    } else {
        cookies.mode = diagnostics.choice("syn_cookies", value, &MODES)?;
    }
    if cookies.mode != CookieMode::Off && !matches!(claim, Claim::Tcp(_) | Claim::Rest) {
        diagnostics.push(
            value.span(),
            format!("`syn_cookies` in {place}, which is not TCP"),
            "SYNs are TCP's: set it in a class with protocol = \"tcp\"",
        );
        return None;
    }
    Some(cookies)
}

fn hold(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let text = diagnostics.string("hold", value, HOLD_HELP)?;
    let hold = humantime::parse_duration(text)
        .ok()
        .filter(|hold| (Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(hold));
    if hold.is_none() {
        diagnostics.push(value.span(), format!("`hold` is \"{}\"", printable(text, 40)), HOLD_HELP);
    }
    hold
}

/// As `stopbank config show` writes it.
pub(super) fn show(cookies: &SynCookies) -> String {
    let mode = MODES.iter().find(|(_, mode)| *mode == cookies.mode).map_or("off", |(name, _)| name);
    if cookies.mode != CookieMode::Auto {
        return format!("\"{mode}\"");
    }
    let (above, hold) = (cookies.above.show(Quantity::Count), humantime::format_duration(cookies.hold));
    format!("{{ mode = \"{mode}\", above = \"{above}\", hold = \"{hold}\" }}")
}

/// When a class's SYNs are answered with cookies.
fn guard(class: &Class) -> Result<Guard, LimitError> {
    let SynCookies { mode, above, hold } = class.syn_cookies;
    let mode = match mode {
        CookieMode::Off => return Ok(Guard::default()),
        CookieMode::Auto => GUARD_AUTO,
        CookieMode::Always => GUARD_ALWAYS,
    };
    let rate = RateLimit::with_default_burst(above, Dimension::Connections);
    Ok(Guard { mode, hold_ms: hold.as_millis() as u32, rate: rate.to_limit(Dimension::Connections)? })
}

/// Lets classes answer with cookies as far as the host takes those: `handshake` is what it makes of them.
///
/// # Errors
///
/// [`LimitError`], never for a [`Config`] that was read from a file.
pub fn arm(
    policy: &mut Policy,
    config: &Config,
    numbers: &ClassNumbers,
    handshake: Option<Handshake>,
) -> Result<(), LimitError> {
    let able = policy.role == ROLE_HOST && handshake.is_some();
    policy.handshake = handshake.unwrap_or_default();
    for class in config.all_classes() {
        let number = numbers.number(&class.name).unwrap_or(CLASS_DEFAULT);
        let mut guard = guard(class)?;
        if !able {
            guard.mode = GUARD_OFF;
        }
        policy.classes[usize::from(number)].guard = guard;
    }
    Ok(())
}
