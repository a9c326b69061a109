//! `[masking]`: what is masked in answers, on which routes, and in which of them.

use std::{fmt::Write as _, sync::Arc};

use super::{
    Fail, Mode,
    document::{Diagnostics, Table, Value, quoted},
    read::{FAILS, MODES},
    render::{string, strings},
};
use crate::{
    request::is_token,
    response::Response,
    sensitive::{Kind, Sensitive},
    text::printable,
};

pub(super) const KEYS: [&str; 5] = ["mode", "kinds", "types", "fail", "patterns"];

/// Types of answers that are texts, and hold what people and programs read.
const TYPES: [&str; 9] = [
    "application/json",
    "application/*+json",
    "application/xml",
    "application/*+xml",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "application/javascript",
    "application/graphql",
    "text/*",
];

/// Beginnings of charsets in which ASCII is written in other bytes than its own, or as something else in between.
const OTHER_CHARSETS: [&str; 9] =
    ["utf-16", "utf-32", "utf-7", "ucs", "iso-10646", "iso-2022", "ibm", "cp037", "ebcdic"];

/// What is masked in the answers of a route.
#[derive(Clone, Debug)]
pub struct Masking {
    /// Whether it is looked for, and whether it is masked then.
    pub mode: Mode,
    /// What becomes of an answer in which it cannot be looked for: passed on and noted, or not passed on.
    pub fail: Fail,
    sensitive: Arc<Sensitive>,
    kinds: Vec<Kind>,
    patterns: Vec<(String, String)>,
    types: Arc<[String]>,
}

impl Default for Masking {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            fail: Fail::Closed,
            sensitive: Arc::default(),
            kinds: Sensitive::KINDS.to_vec(),
            patterns: Vec::new(),
            types: TYPES.iter().map(|&one| one.to_owned()).collect(),
        }
    }
}

/// How an answer's body is read for what is to be masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Not at all.
    Not,
    /// As a text.
    Text,
    /// As a text whose parts must not wait for the next one: server-sent events.
    Events,
    /// It ought to be, and cannot.
    Unreadable,
}

impl Masking {
    /// What is looked for.
    pub const fn sensitive(&self) -> &Arc<Sensitive> {
        &self.sensitive
    }

    /// Whether upstreams are to be asked for whole answers that are not compressed.
    pub fn is_on(&self) -> bool {
        self.mode != Mode::Off
    }

    /// How the body of an answer is read that has one.
    pub fn reading(&self, response: &Response<'_>) -> Reading {
        if !self.is_on() {
            return Reading::Not;
        }
        let mut types = response.headers.iter().filter(|field| field.is("content-type")).peekable();
        let partial = response.status == 206;
        // A part of an answer, and one of whose type nothing is said, may be anything.
        let concerned = partial || types.peek().is_none() || types.any(|field| self.concerns(field.value));
        if !concerned {
            return Reading::Not;
        }
        let coded = response
            .headers
            .iter()
            .filter(|field| field.is("content-encoding"))
            .any(|field| !field.value.eq_ignore_ascii_case(b"identity"));
        let mut types = response.headers.iter().filter(|field| field.is("content-type"));
        if partial || coded || types.clone().any(|field| has_other_charset(field.value)) {
            return Reading::Unreadable;
        }
        if types.any(|field| essence(field.value).eq_ignore_ascii_case(b"text/event-stream")) {
            return Reading::Events;
        }
        Reading::Text
    }

    fn concerns(&self, content_type: &[u8]) -> bool {
        let essence = essence(content_type).to_ascii_lowercase();
        let Some((family, kind)) = str::from_utf8(&essence).ok().and_then(|text| text.split_once('/')) else {
            return true;
        };
        self.types.iter().filter_map(|one| one.split_once('/')).any(|(of, what)| {
            (of == "*" || of == family)
                && what.strip_prefix('*').map_or(what == kind, |end| kind.ends_with(end))
        })
    }
}

/// A type without its parameters.
fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

fn has_other_charset(content_type: &[u8]) -> bool {
    let mut parameters = content_type.split(|&byte| byte == b';').skip(1).map(<[u8]>::trim_ascii);
    parameters.any(|parameter| {
        let lower = parameter.to_ascii_lowercase();
        let Some(charset) = lower.strip_prefix(b"charset=") else { return false };
        let charset = charset.strip_prefix(b"\"").unwrap_or(charset);
        OTHER_CHARSETS.iter().any(|other| charset.starts_with(other.as_bytes()))
    })
}

/// `"enforce"`, or a table.
pub(super) fn read(value: &Value<'_>, masking: &mut Masking, diagnostics: &mut Diagnostics) {
    if !value.get_ref().is_table() {
        masking.mode = diagnostics.choice("masking", value, &MODES).unwrap_or(masking.mode);
        return;
    }
    let Some(table) = Table::of("masking", value, &KEYS, diagnostics) else { return };
    let mode = table.get("mode").and_then(|value| diagnostics.choice("mode", value, &MODES));
    let fail = table.get("fail").and_then(|value| diagnostics.choice("fail", value, &FAILS));
    masking.mode = mode.unwrap_or(masking.mode);
    masking.fail = fail.unwrap_or(masking.fail);
    if let Some(value) = table.get("types") {
        masking.types = types(value, diagnostics).into();
    }
    if let Some(value) = table.get("kinds") {
        let choices = Kind::BUILT_IN.map(|kind| (kind.name(), kind));
        let help = format!("allowed: {}", quoted(&choices.map(|(name, _)| name)));
        let items = diagnostics.array("kinds", value, &help);
        masking.kinds = items.iter().filter_map(|item| diagnostics.choice("kinds", item, &choices)).collect();
    }
    let mut changed = table.get("kinds").is_some();
    let mut span = value.span();
    if let Some(value) = table.get("patterns") {
        (changed, span) = (true, value.span());
        masking.patterns = patterns(value, diagnostics);
    }
    if changed {
        match Sensitive::new(&masking.kinds, &masking.patterns) {
            Ok(sensitive) => masking.sensitive = Arc::new(sensitive),
            Err(error) => diagnostics.push(
                span,
                printable(&error.to_string(), 300),
                "patterns match from 1 to 512 bytes, and do not look at where the text begins or ends",
            ),
        }
    }
}

fn types(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<String> {
    const HELP: &str =
        "allowed: types like \"application/json\", \"application/*+json\", \"text/*\", \"*/*\"";
    let part = |part: &str| {
        let name = part.strip_prefix('*').unwrap_or(part);
        (name.is_empty() && part == "*") || (is_token(name.as_bytes()) && !name.contains('*'))
    };
    let mut types = Vec::new();
    for item in diagnostics.array("types", value, HELP) {
        let Some(text) = diagnostics.string("types", item, HELP) else { continue };
        if text.split_once('/').is_some_and(|(family, kind)| part(family) && part(kind)) {
            types.push(text.to_ascii_lowercase());
        } else {
            diagnostics.push(item.span(), format!("\"{}\" is no type", printable(text, 60)), HELP);
        }
    }
    types
}

fn patterns(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<(String, String)> {
    const HELP: &str = "[masking.patterns], and below it lines like order = 'ORD-[0-9]{8}'";
    let Some(table) = value.get_ref().as_table() else {
        diagnostics.wrong_type("patterns", value, "a table", HELP);
        return Vec::new();
    };
    let mut patterns = Vec::new();
    for (key, value) in table {
        let pattern = diagnostics.string("patterns", value, HELP);
        patterns.extend(pattern.map(|pattern| (key.get_ref().to_string(), pattern.to_owned())));
    }
    patterns
}

/// All of it, as a policy has it; nothing where it is the same as `default`.
pub(super) fn render(text: &mut String, prefix: &str, masking: &Masking, default: Option<&Masking>) {
    let about =
        |of: &Masking| (of.mode, of.fail, of.kinds.clone(), of.patterns.clone(), Arc::clone(&of.types));
    if default.is_some_and(|default| about(default) == about(masking)) {
        return;
    }
    let kinds: Vec<&str> = masking.kinds.iter().map(|kind| kind.name()).collect();
    let _ = writeln!(
        text,
        "\n[{prefix}masking]\nmode = \"{}\"\nfail = \"{}\"\nkinds = {}\ntypes = {}",
        masking.mode.name(),
        masking.fail.name(),
        strings(kinds),
        strings(masking.types.iter().map(String::as_str))
    );
    if default.is_some() || !masking.patterns.is_empty() {
        let patterns =
            masking.patterns.iter().map(|(name, pattern)| format!("{} = {}", string(name), string(pattern)));
        let _ = writeln!(text, "patterns = {{ {} }}", patterns.collect::<Vec<_>>().join(", "));
    }
}
