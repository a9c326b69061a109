//! `stopbank ban export` and `import`, and those of `allow`: what one writes the other reads, with every reason and time.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use clap::Args;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{
    lists::name_errors,
    operator::operator_address,
    output::{Output, entries, notes, print},
    progress::{self, Waiting},
};
use crate::{
    control::{
        api::{ImportEntry, ImportRequest, Imported, ListEntry, ListReport},
        client::Client,
    },
    failure::{Code, Failure},
    lists::{ListName, Origin, parse_prefix, printable},
};

/// Bytes of a file that are read at most; what the agent takes in one request.
const LARGEST: u64 = 256 << 20;

/// Write the list's entries to stdout, for `import` on this host or another
///
/// Those that operators made, not the configuration's. By default as text, an entry a line, which `add -` and `[[list]]` files
/// read as well: `198.51.100.7/32 # expires=TIME added=TIME reason=TEXT`; with `-o json` one document, with `-o jsonl` an object
/// a line. Each is read by `import`, and nothing is lost on the way.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank ban export > bans.txt
  stopbank ban export -o jsonl | jq -r 'select(.reason == \"login flood\") | .prefix'
  stopbank ban export | ssh other-host sudo stopbank ban import -")]
pub(super) struct Export {}

impl Export {
    pub(super) async fn run(self, list: ListName, client: &Client, output: Output) -> Result<(), Failure> {
        let report: ListReport = {
            let _waiting = Waiting::new("asking the agent");
            client.get(&format!("/v1/lists/{}", list.name())).await?
        };
        let rows = report.entries.into_iter().filter(|entry| entry.origin != Origin::Configuration).map(row);
        match output {
            Output::Table => print(&rows.map(|row| text(&row)).collect::<String>()),
            Output::Json => print(&format!("{}\n", json(&rows.collect::<Vec<_>>(), true)?)),
            Output::Jsonl => {
                let lines: Result<Vec<String>, Failure> = rows.map(|row| json(&row, false)).collect();
                print(&lines?.iter().map(|line| format!("{line}\n")).collect::<String>())
            }
        }
    }
}

fn row(entry: ListEntry) -> ImportEntry {
    let ListEntry { prefix, reason, added, expires, .. } = entry;
    ImportEntry { prefix, reason, added, expires }
}

fn json<T: serde::Serialize>(value: &T, pretty: bool) -> Result<String, Failure> {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map_err(|error| Failure::new(Code::Failed, format!("cannot write JSON: {error}")))
}

fn text(row: &ImportEntry) -> String {
    let mut line = row.prefix.clone();
    let parts = [("expires", &row.expires), ("added", &row.added), ("reason", &row.reason)];
    for (name, value) in parts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        line.push_str(if line.contains('#') { " " } else { " # " });
        line.push_str(&format!("{name}={value}"));
    }
    line.push('\n');
    line
}

/// Add entries from a file, each with its own time and reason: all of them, or with any error none
///
/// Reads what `export` and `ls -o json` write, in any of their formats, and plain lists: an address or prefix a line, and what
/// comes after a `#` is its reason. Entries that are there already become as the file has them, entries whose time is over are
/// left out, and others on the list stay.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank ban import bans.txt
  stopbank allow import - <<< '192.0.2.0/24 # the office'
  stopbank ban export -o json | ssh other-host sudo stopbank ban import -")]
pub(super) struct Import {
    /// The file; `-` is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Take what looks like a slip: very wide prefixes, loopback, the address that you are logged in from
    #[arg(long)]
    force: bool,
}

impl Import {
    pub(super) async fn run(self, list: ListName, client: &Client, output: Output) -> Result<(), Failure> {
        let entries_read = parse(&self.read()?)?;
        let waiting = Waiting::new(format!("{} on their way into the kernel", entries(entries_read.len())));
        let request =
            ImportRequest { entries: entries_read, force: self.force, operator: operator_address() };
        let sent: Result<Imported, _> =
            client.send(Method::POST, &format!("/v1/lists/{}/import", list.name()), &request).await;
        drop(waiting);
        let imported = sent?;
        notes(&imported.notes);
        output.print(&imported, |imported| {
            let mut text = format!("{}: {} added", list.name(), entries(imported.added));
            if imported.replaced > 0 {
                text.push_str(&format!(", {} renewed", entries(imported.replaced)));
            }
            if imported.expired > 0 {
                text.push_str(&format!(", {} left out: their time is over", entries(imported.expired)));
            }
            text + "\n"
        })
    }

    fn read(&self) -> Result<String, Failure> {
        let failed = |error: io::Error| {
            let code = match error.kind() {
                io::ErrorKind::NotFound => Code::NotFound,
                io::ErrorKind::PermissionDenied => Code::Permission,
                _ => Code::Failed,
            };
            Failure::new(code, format!("cannot read {}: {error}", self.file.display()))
        };
        let mut bytes = Vec::new();
        if self.file.as_os_str() == "-" {
            io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        } else {
            let file = File::open(&self.file).map_err(failed)?;
            let bar = progress::bytes(file.metadata().map_err(failed)?.len(), "reading");
            bar.wrap_read(file).take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
            bar.finish_and_clear();
        }
        let name = self.file.display();
        if bytes.len() as u64 > LARGEST {
            let most = LARGEST >> 20;
            return Err(Failure::new(Code::Usage, format!("{name} is larger than {most} MiB"))
                .hint("a list as long as that belongs in a [[list]] of the configuration"));
        }
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::new(Code::Usage, format!("{name} is not text: byte {at} is not UTF-8"))
        })
    }
}

/// An entry as `export` or `ls` writes it; what only tells how it is now does not matter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    prefix: String,
    reason: Option<String>,
    added: Option<String>,
    expires: Option<String>,
    #[serde(rename = "origin")]
    _origin: Option<String>,
    #[serde(rename = "expires_in_seconds")]
    _expires_in_seconds: Option<f64>,
    #[serde(rename = "beaten_by")]
    _beaten_by: Option<String>,
}

/// Entries in any of the formats.
fn parse(text: &str) -> Result<Vec<ImportEntry>, Failure> {
    let (rows, errors) = if text.trim_start().starts_with(['{', '[']) {
        (from_json(text)?, Vec::new())
    } else {
        from_text(text)
    };
    if !errors.is_empty() {
        return Err(name_errors(&errors));
    }
    if rows.is_empty() {
        return Err(Failure::new(Code::Usage, "there are no entries in it"));
    }
    Ok(rows)
}

fn from_json(text: &str) -> Result<Vec<ImportEntry>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Code::Usage, format!("nothing was changed: {error}"))
            .hint("an entry is {\"prefix\": \"192.0.2.7\", \"reason\": \"…\", \"expires\": \"2026-01-31T12:00:00Z\"}; only the prefix must be there")
    };
    let mut rows = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = match value.map_err(|error| wrong(&error))? {
            Value::Object(mut fields) if fields.contains_key("entries") => {
                fields.remove("entries").unwrap_or_default()
            }
            other => other,
        };
        let values = if let Value::Array(values) = value { values } else { vec![value] };
        for value in values {
            let place = rows.len() + 1;
            let row: Row =
                serde_json::from_value(value).map_err(|error| wrong(&format!("entry {place}: {error}")))?;
            let Row { prefix, reason, added, expires, .. } = row;
            rows.push(ImportEntry { prefix, reason, added, expires });
        }
    }
    Ok(rows)
}

fn from_text(text: &str) -> (Vec<ImportEntry>, Vec<String>) {
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for (i, line) in text.lines().enumerate() {
        let (prefix, comment) = line.split_once('#').unwrap_or((line, ""));
        if prefix.trim().is_empty() {
            continue;
        }
        match parse_prefix(prefix) {
            Ok(prefix) => {
                let mut row = ImportEntry { prefix: prefix.to_string(), ..ImportEntry::default() };
                read_comment(comment, &mut row);
                rows.push(row);
            }
            Err(error) => errors.push(format!("line {}: {}", i + 1, printable(&error.to_string(), 200))),
        }
    }
    (rows, errors)
}

/// `expires=TIME added=TIME reason=TEXT`, each where there is one; anything else is a reason.
fn read_comment(comment: &str, row: &mut ImportEntry) {
    let mut rest = comment.trim_start();
    loop {
        if let Some(reason) = rest.strip_prefix("reason=") {
            row.reason = Some(reason.to_owned());
            return;
        }
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "expires" if row.expires.is_none() => row.expires = Some(value.to_owned()),
            "added" if row.added.is_none() => row.added = Some(value.to_owned()),
            _ => break,
        }
        rest = after;
    }
    let reason = rest.trim();
    if !reason.is_empty() {
        row.reason = Some(reason.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(prefix: &str, reason: Option<&str>, expires: Option<&str>) -> ImportEntry {
        ImportEntry {
            prefix: prefix.to_owned(),
            reason: reason.map(str::to_owned),
            added: expires.map(|_| "2026-11-27T20:00:00.001Z".to_owned()),
            expires: expires.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_exported_is_imported() {
        let rows = [
            entry("192.0.2.7/32", None, None),
            entry("192.0.2.8/32", Some("login flood"), None),
            entry("2001:db8::/32", None, Some("2026-11-28T00:00:00.123Z")),
            entry(
                "192.0.2.9/32",
                Some("reason=  expires=never # \"quoted\" ü "),
                Some("2027-01-01T00:00:00.000Z"),
            ),
        ];
        let as_text: String = rows.iter().map(text).collect();
        assert_eq!(parse(&as_text).unwrap(), rows, "{as_text}");
        assert_eq!(parse(&json(&rows, true).unwrap()).unwrap(), rows);
        let lines: String = rows.iter().map(|row| json(row, false).unwrap() + "\n").collect();
        assert_eq!(parse(&lines).unwrap(), rows);
        let report = serde_json::json!({ "entries": [
            { "prefix": "192.0.2.8/32", "reason": "login flood", "origin": "operator", "beaten_by": "allow" },
        ]});
        assert_eq!(parse(&report.to_string()).unwrap(), rows[1..2]);
    }

    #[test]
    fn plain_lists_are_read_and_errors_name_the_line() {
        let plain = "# seen today\n192.0.2.7\n\n  2001:db8::/32   # the office\n";
        let rows = parse(plain).unwrap();
        assert_eq!((rows[0].prefix.as_str(), &rows[0].reason), ("192.0.2.7/32", &None));
        assert_eq!(rows[1].reason.as_deref(), Some("the office"));
        for (text, expected) in [
            ("192.0.2.7\n192.0.2.999\n", "line 2: `192.0.2.999`"),
            ("# nothing\n", "no entries"),
            ("[{\"prefix\": \"192.0.2.7\"}, {\"prefx\": 1}]", "entry 2: unknown field `prefx`"),
            ("{\"prefix\": \"192.0.2.7\"}\n{\"prefix\"", "line 2 column 9"),
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.code, Code::Usage);
            assert!(failure.to_string().contains(expected), "{failure}");
        }
    }
}
