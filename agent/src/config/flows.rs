//! `[flows]`: the table of a gateway.

use std::time::Duration;

use super::{
    document::{Diagnostics, Table, Value},
    model::Flows,
};

pub(super) const KEYS: [&str; 2] = ["lines", "learn"];

pub(super) fn read(value: &Value<'_>, flows: &mut Flows, diagnostics: &mut Diagnostics) {
    let Some(table) = Table::of("[flows]", value, &KEYS, diagnostics) else { return };
    if let Some(value) = table.get("lines") {
        let help = "allowed: a power of two from 1024 (64 KiB) to 16777216 (1 GiB); a line holds eight flows";
        if let Some(lines) = diagnostics.integer("lines", value, 1 << 10..=1 << 24, help) {
            let lines = u32::try_from(lines).unwrap_or(u32::MAX);
            if lines.is_power_of_two() {
                flows.lines = lines;
            } else {
                let message = format!("`lines` is {lines}, which is not a power of two");
                diagnostics.push(value.span(), message, help);
            }
        }
    }
    if let Some(value) = table.get("learn") {
        let help = "allowed: \"0s\" to \"1h\", such as learn = \"60s\"";
        let Some(text) = diagnostics.string("learn", value, help) else { return };
        match humantime::parse_duration(text) {
            Ok(learn) if learn <= Duration::from_secs(3_600) && learn.subsec_nanos() == 0 => {
                flows.learn = learn;
            }
            _ => diagnostics.push(value.span(), "`learn` is no time within an hour, in seconds", help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Role, parse};

    #[test]
    fn a_gateway_and_its_table() {
        let text = "role = \"gateway\"\n[flows]\nlines = 4096\nlearn = \"2m\"\n";
        let config = parse("test", text).unwrap();
        assert_eq!(config.role, Role::Gateway);
        assert_eq!(config.flows, Flows { lines: 4096, learn: Duration::from_secs(120) });
        assert_eq!(parse("test", &crate::config::render(&config)).unwrap(), config);
    }

    #[test]
    fn what_it_cannot_be() {
        for (text, says) in [
            ("lines = 5000", "not a power of two"),
            ("lines = 512", "lines"),
            ("learn = \"2h\"", "within an hour"),
            ("learn = \"1.5s\"", "within an hour"),
            ("learn = 60", "learn"),
            ("size = 1", "size"),
        ] {
            let error = parse("test", &format!("[flows]\n{text}\n")).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
