//! What looks like a secret is left out, wherever it comes from: a line of the configuration that an error quotes, a reason
//! that an operator gave, a line of the log.
//!
//! Better too much than too little: whatever follows a word such as `password` to the end of its line goes.

use serde_json::Value;

/// What stands in place of a secret.
pub(super) const LEFT_OUT: &str = "[left out]";

/// Parts of names whose values are secret, in lower case and without `-` and `_`.
const NAMES: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "credential",
    "authorization",
    "bearer",
    "salt",
];

/// A JSON value: names that are secret lose their values, and texts what is secret in them.
pub(super) fn value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(self::text(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(self::value).collect()),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(name, value)| {
                let value = if is_secret(&name) { LEFT_OUT.into() } else { self::value(value) };
                (name, value)
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

/// A text, line by line.
pub(super) fn text(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
    // A name, then what says that its value follows.
    for (at, _) in line.match_indices(['=', ':', ' ']) {
        let before = line[..at].trim_end();
        let name =
            before.rsplit(|c: char| !c.is_alphanumeric() && !"-_\"'`".contains(c)).next().unwrap_or(before);
        if is_secret(name) && !line[at + 1..].trim().is_empty() {
            let name = without_urls(&line[..=at]);
            return format!("{} {LEFT_OUT}{end}", name.trim_end());
        }
    }
    without_urls(line) + end
}

fn is_secret(name: &str) -> bool {
    let name: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    NAMES.iter().any(|secret| name.contains(secret))
}

/// Who asks, and what is asked, goes from every URL: `https://user:password@host/path?key=…` keeps host and path.
fn without_urls(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c)).unwrap_or(after.len());
        let (url, next) = after.split_at(end);
        let (authority, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.push_str(&format!("{LEFT_OUT}@{host}")),
            None => shown.push_str(authority),
        }
        match path.split_once('?') {
            Some((path, _)) => shown.push_str(&format!("{path}?{LEFT_OUT}")),
            None => shown.push_str(path),
        }
        rest = next;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        for (given, left) in [
            ("api_token = \"hunter2\"", "api_token [left out]"),
            (" 3 | \"db-password\" = \"hunter2\"", " 3 | \"db-password\" [left out]"),
            ("Authorization: Bearer hunter2", "Authorization: [left out]"),
            ("login with password hunter2 failed", "login with password [left out]"),
            (
                "see https://me:hunter2@example.org/a?key=hunter2 now",
                "see https://[left out]@example.org/a?[left out] now",
            ),
            ("https://example.org/list.txt", "https://example.org/list.txt"),
            ("syn_cookies = \"auto\"", "syn_cookies = \"auto\""),
            ("a token", "a token"),
            (
                "packets = \"2000/s\"\nSECRET_KEY=hunter2\nmode = \"enforce\"\n",
                "packets = \"2000/s\"\nSECRET_KEY= [left out]\nmode = \"enforce\"\n",
            ),
        ] {
            assert_eq!(text(given), left);
        }
        let given = serde_json::json!({"reason": "password: hunter2", "token": ["hunter2"], "rate": 5, "list": [{"salt": 7}]});
        let left = serde_json::json!({"reason": "password: [left out]", "token": "[left out]", "rate": 5, "list": [{"salt": "[left out]"}]});
        assert_eq!(value(given), left);
    }
}
