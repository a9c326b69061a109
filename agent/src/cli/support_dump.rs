//! `stopbank support-dump`.

mod host;
mod redact;

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tokio::time::timeout;

use super::{Global, output::Output, wait};
use crate::{
    config::Config,
    control::client::Client,
    daemon::configuration_at,
    doctor::{self, Subject},
    failure::{Code, Failure},
};

/// Write what support needs to know into one file, without secrets; needs no agent
///
/// Status, counters, limits, the configuration in force with every key written out, sizes of lists, what `stopbank doctor`
/// finds, the kernel's version, interfaces, and the latest lines of the journal. It holds addresses: of interfaces, of the
/// configuration, of the latest drops. It holds no entries of lists that operators made, no environment, no keys of the
/// kernel's hash tables, and what looks like a password, key or token is left out. README in the file says what is missing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank support-dump                                 stopbank-support-20260102-030405.tar.gz, readable by you alone
  stopbank support-dump --out /root/case-17.tar.gz
  stopbank support-dump --out - | ssh elsewhere 'cat > dump.tar.gz'
  tar -xzOf FILE --wildcards '*/README'                 what it holds, and what is missing

Look at it before you send it. Exit code 1: the file is there already, or cannot be written.")]
pub(super) struct SupportDump {
    /// The file, which must not be there yet; `-` is stdout
    #[arg(long, value_name = "FILE.tar.gz")]
    out: Option<PathBuf>,
    /// Configuration that names interfaces, and the agent's socket [default: /etc/stopbank/stopbank.toml]
    #[arg(short, long, value_name = "FILE", env = "STOPBANK_CONFIG")]
    config: Option<PathBuf>,
}

/// What an agent is asked for: name of the file, path.
const ASKED: [(&str, &str); 11] = [
    ("status.json", "/v1/status"),
    ("interfaces.json", "/v1/interfaces"),
    ("drops.json", "/v1/drops?by=all"),
    ("signatures.json", "/v1/signatures"),
    ("limits.json", "/v1/limits"),
    ("list-files.json", "/v1/list-files"),
    ("mode.json", "/v1/mode"),
    ("top.json", "/v1/top?limit=50"),
    ("events.json", "/v1/events?limit=100"),
    ("effective.toml", "/v1/config"),
    ("lists.json", "/v1/lists"),
];
/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was collected.
struct Collected {
    files: Vec<(&'static str, String)>,
    missing: Vec<String>,
}

impl Collected {
    fn take(&mut self, name: &'static str, found: Result<String, String>) {
        match found {
            // In JSON it is the values that are looked at, see `pretty`: a line cut short would be none.
            Ok(json) if name.ends_with(".json") => self.files.push((name, json)),
            Ok(text) => self.files.push((name, redact::text(&text))),
            Err(why) => self.missing.push(redact::text(&format!("{name}: {why}"))),
        }
    }
}

impl SupportDump {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let stem = format!("stopbank-support-{}", stamp());
        let file = self.out.clone().unwrap_or_else(|| PathBuf::from(format!("{stem}.tar.gz")));
        // Before anything is collected, which takes some seconds.
        let mut out = open(&file)?;
        let mut collected = Collected { files: Vec::new(), missing: Vec::new() };
        let client = self.config.as_deref().map_or_else(|| global.client(), |file| global.client_of(file));
        wait(async {
            ask(&client, &mut collected).await;
            Ok(())
        })?;
        self.look(&mut collected);
        let readme = readme(&collected);
        collected.files.insert(0, ("README", readme));
        write(&mut out, &stem, &collected.files).map_err(|error| cannot_write(&file, &error))?;
        drop(out);
        if file.as_os_str() == "-" {
            return Ok(());
        }
        let told = serde_json::json!({
            "file": file.display().to_string(),
            "contents": collected.files.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            "missing": collected.missing,
        });
        super::output::notes(&match global.output {
            Output::Table => collected.missing.iter().map(|missing| format!("missing: {missing}")).collect(),
            Output::Json | Output::Jsonl => Vec::new(),
        });
        global.output.print(&told, |_| format!("{}: {} files\n", file.display(), collected.files.len()))
    }

    /// What needs no agent.
    fn look(&self, collected: &mut Collected) {
        collected.take("host.txt", Ok(host::host()));
        collected.take("interfaces.txt", Ok(host::interfaces()));
        collected.take("journal.txt", host::journal());
        let config = configuration_at(self.config.as_deref()).unwrap_or_else(|failure| {
            collected.missing.push(redact::text(&format!("the configuration: {}", failure.message)));
            Config::builtin()
        });
        let report = serde_json::to_value(doctor::examine(&Subject::of(&config)));
        collected.take("doctor.json", report.map(pretty).map_err(|error| error.to_string()));
    }
}

/// What an agent tells, if one does.
async fn ask(client: &Client, collected: &mut Collected) {
    for (name, path) in ASKED {
        let found = match name {
            "lists.json" => sizes(client).await,
            "effective.toml" => get(client, path).await.and_then(|answer| {
                // The text as it was written has comments, and whatever else: what is in force says it all.
                answer["effective"].as_str().map(str::to_owned).ok_or_else(|| "not in the answer".to_owned())
            }),
            _ => get(client, path).await.map(pretty),
        };
        let unreachable = found.as_ref().is_err_and(|why| why.starts_with("no agent answers"));
        collected.take(name, found);
        if unreachable {
            collected.missing.push("everything else that an agent tells".to_owned());
            return;
        }
    }
}

async fn get(client: &Client, path: &str) -> Result<Value, String> {
    match timeout(PATIENCE, client.get::<Value>(path)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// How many entries each list has, by origin; who is on it is nobody's business.
async fn sizes(client: &Client) -> Result<String, String> {
    let mut lists = serde_json::Map::new();
    for list in crate::lists::ListName::ALL {
        let report = get(client, &format!("/v1/lists/{}", list.name())).await?;
        let entries = report["entries"].as_array().map_or(&[][..], Vec::as_slice);
        let mut origins = serde_json::Map::new();
        for entry in entries {
            let origin = entry["origin"].as_str().unwrap_or("?").to_owned();
            let count = origins.get(&origin).and_then(Value::as_u64).unwrap_or(0);
            origins.insert(origin, (count + 1).into());
        }
        lists.insert(list.name().to_owned(), Value::Object(origins));
    }
    Ok(pretty(Value::Object(lists)))
}

fn pretty(value: Value) -> String {
    // A value always has a text.
    format!("{:#}\n", redact::value(value))
}

fn readme(collected: &Collected) -> String {
    let mut text = format!(
        "stopbank {}, collected {}\n\nWhat looks like a secret is left out, as `{}`.\n\nContents:\n",
        env!("CARGO_PKG_VERSION"),
        humantime::format_rfc3339_seconds(SystemTime::now()),
        redact::LEFT_OUT,
    );
    for (name, found) in &collected.files {
        text.push_str(&format!("  {name} ({} bytes)\n", found.len()));
    }
    text.push_str("\nMissing:\n");
    for missing in &collected.missing {
        text.push_str(&format!("  {missing}\n"));
    }
    if collected.missing.is_empty() {
        text.push_str("  nothing\n");
    }
    text
}

/// `20260102-030405`, UTC.
fn stamp() -> String {
    let text = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    text.replace(['-', ':', 'Z'], "").replace('T', "-")
}

/// Readable by its owner alone from the very beginning, and never something that was there before.
fn open(file: &Path) -> Result<Box<dyn Write>, Failure> {
    if file.as_os_str() == "-" {
        if io::stdout().is_terminal() {
            return Err(Failure::new(Code::Usage, "a terminal can make nothing of a compressed archive")
                .hint("name a file with --out, or pipe it on"));
        }
        return Ok(Box::new(io::stdout().lock()));
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match opened {
        Ok(opened) => Ok(Box::new(opened)),
        Err(error) => Err(cannot_write(file, &error)),
    }
}

fn cannot_write(file: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => Code::Permission,
        _ => Code::Failed,
    };
    Failure::new(code, format!("cannot write {}: {error}", file.display()))
}

fn write(out: &mut dyn Write, directory: &str, files: &[(&'static str, String)]) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now);
        archive.append_data(&mut header, format!("{directory}/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.flush()
}

/// Text of a file under /proc or /sys, without its last line's end; `-` if there is none.
fn word(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).map_or_else(|_| "-".to_owned(), |text| text.trim_end().to_owned())
}
