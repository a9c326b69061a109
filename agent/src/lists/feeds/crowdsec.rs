//! CrowdSec's decisions, as its command line and its API give them.
//!
//! Taken are bans of addresses and ranges. A decision's duration counts from when the file was written.

use std::time::Duration;

use serde::Deserialize;

use super::{FeedError, Parsed, Wanted, add, lines, prefix, shown};

#[derive(Deserialize)]
struct Decision {
    value: Option<String>,
    scope: Option<String>,
    duration: Option<String>,
    r#type: Option<String>,
    /// `cscli` gives alerts, each with its decisions.
    decisions: Option<Vec<Self>>,
}

/// A JSON array of decisions or of alerts; `null` when there are none.
pub(super) fn json(bytes: &[u8], wanted: &Wanted) -> Result<Parsed, FeedError> {
    let all: Option<Vec<Decision>> = serde_json::from_slice(bytes)
        .map_err(|error| FeedError::at(error.line(), format!("it is no JSON of this format: {error}")))?;
    let mut parsed = Parsed::default();
    for item in all.into_iter().flatten() {
        match item.decisions {
            Some(decisions) => decisions.iter().try_for_each(|one| take(&mut parsed, one, wanted))?,
            None => take(&mut parsed, &item, wanted)?,
        }
    }
    Ok(parsed)
}

/// A table with a header.
pub(super) fn csv(bytes: &[u8], wanted: &Wanted) -> Result<Parsed, FeedError> {
    let mut parsed = Parsed::default();
    let mut columns: Option<[Option<usize>; 4]> = None;
    for line in lines(bytes) {
        let (number, line) = line?;
        if line.is_empty() {
            continue;
        }
        let fields = fields(line).ok_or_else(|| FeedError::at(number, "a quotation mark is not closed"))?;
        let Some([value, scope, duration, kind]) = columns else {
            let column = |names: [&str; 3]| fields.iter().position(|name| names.contains(&name.as_str()));
            let found = [
                column(["value", "ip", "value"]),
                column(["scope", "scope_type", "scope"]),
                column(["duration", "expiration", "duration"]),
                column(["type", "action", "decision_type"]),
            ];
            if found[0].is_none() {
                return Err(FeedError::at(
                    number,
                    "the first line must name the columns, `value` among them",
                ));
            }
            columns = Some(found);
            continue;
        };
        let field = |at: Option<usize>| at.and_then(|at| fields.get(at)).cloned();
        let Some(value) = field(value) else { return Err(FeedError::at(number, "it has too few columns")) };
        // `cscli decisions list -o raw` writes `Ip:192.0.2.7`.
        let (prefixed, value) = match value.split_once(':') {
            Some((scope @ ("Ip" | "Range" | "ip" | "range" | "Country" | "AS"), value)) => {
                (Some(scope.to_owned()), value.to_owned())
            }
            _ => (None, value),
        };
        let decision = Decision {
            value: Some(value),
            scope: prefixed.or_else(|| field(scope)),
            duration: field(duration),
            r#type: field(kind),
            decisions: None,
        };
        take(&mut parsed, &decision, wanted).map_err(|error| FeedError { line: Some(number), ..error })?;
    }
    Ok(parsed)
}

fn take(parsed: &mut Parsed, decision: &Decision, wanted: &Wanted) -> Result<(), FeedError> {
    let is = |field: &Option<String>, names: &[&str]| {
        field.as_ref().is_none_or(|text| names.iter().any(|name| text.eq_ignore_ascii_case(name)))
    };
    if !is(&decision.scope, &["ip", "range", ""]) || !is(&decision.r#type, &["ban", ""]) {
        parsed.skipped += 1;
        return Ok(());
    }
    let Some(value) = &decision.value else { return Err(FeedError::new("a decision has no `value`")) };
    if let Some(text) = decision.duration.as_deref().filter(|text| !text.is_empty()) {
        let left = duration(text)
            .ok_or_else(|| FeedError::new(format!("`{}` is no duration such as 3h59m10s", shown(text))))?;
        let Some(end) = left.and_then(|left| wanted.end(left)) else {
            parsed.skipped += 1;
            return Ok(());
        };
        parsed.expires = Some(parsed.expires.map_or(end, |before| before.min(end)));
    }
    add(parsed, prefix(value).map_err(FeedError::new)?, wanted)
}

/// As Go writes durations, `3h59m10.5s`; `Some(None)` for one that is over (`-3s`).
#[expect(clippy::option_option, reason = "not understood, over, or so long")]
fn duration(text: &str) -> Option<Option<Duration>> {
    let (over, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, length) = [
            ("ms", 1e-3),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("ns", 1e-9),
            ("h", 3600.0),
            ("m", 60.0),
            ("s", 1.0),
            ("d", 86_400.0),
        ]
        .into_iter()
        .find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        seconds += number * length;
    }
    let left = Duration::try_from_secs_f64(seconds).ok()?;
    Some((!over && !left.is_zero()).then_some(left))
}

/// The fields of a line of CSV (RFC 4180, without line breaks in fields).
fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field).trim().to_owned()),
            c => field.push(c),
        }
    }
    fields.push(field.trim().to_owned());
    (!quoted).then_some(fields)
}
