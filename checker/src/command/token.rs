//! `stopbank-checker token`: what a token says, and why it is refused.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::Value;
use stopbank_checker::{
    printable,
    tokens::{
        Algorithm, Explained, KeySet, LARGEST_SET, LONGEST_TOKEN, Profile, Rules, Thumbprint, Wanted, explain,
    },
};

/// Characters of a value that are shown.
const SHOWN: usize = 120;
/// Claims that say nothing secret of anybody; of the others, there is what they are.
const PLAIN: [&str; 7] = ["acr", "amr", "aud", "azp", "client_id", "iss", "scope"];
const DATES: [&str; 4] = ["iat", "nbf", "exp", "auth_time"];

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Explain a token, and why it would be refused
    ///
    /// The token is read from standard input, and from nowhere else: arguments are seen by everybody on the host. Of its claims, those are shown that say
    /// nothing of a person, of the others their type and length.
    #[command(after_help = "\
Examples:
  stopbank-checker token inspect < token
  stopbank-checker token inspect --jwks keys.json --issuer https://issuer.example --audience https://api.example < token

Exit codes: 0 the signature is right and nothing speaks against the token, 1 otherwise: also where no keys were given.")]
    Inspect {
        /// The issuer's keys, as JSON (RFC 7517)
        #[arg(long, value_name = "FILE")]
        jwks: Option<PathBuf>,
        /// What `iss` is to be; left out, it is not checked
        #[arg(long)]
        issuer: Option<String>,
        /// What is to be in `aud`, once or more; left out, it is not checked
        #[arg(long)]
        audience: Vec<String>,
        /// The kind: `at+jwt` (an access token by RFC 9068), `jwt`, or another `typ`; left out, it is the token's
        #[arg(long = "type", value_name = "TYPE")]
        typ: Option<String>,
        /// An algorithm that is allowed, once or more; left out, every one whose verifier cannot sign. With HS256 and the like, the file may hold secrets
        #[arg(long, value_name = "ALG", value_parser = algorithm)]
        algorithm: Vec<Algorithm>,
        /// By how much clocks may differ, at most 5 minutes
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
        leeway: Duration,
    },
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::of(name)
        .ok_or_else(|| format!("it is none of {}", Algorithm::ALL.map(Algorithm::name).join(", ")))
}

impl TokenCommand {
    /// Success where the token would be accepted.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self::Inspect { jwks, issuer, audience, typ, algorithm, leeway } = self;
        let keys = jwks.as_deref().map(|file| keys(file, algorithm)).transpose()?;
        let token = token()?;
        let profile = typ.map(|typ| match &*typ.to_ascii_lowercase() {
            "at+jwt" => Profile::AccessToken,
            "jwt" => Profile::Jwt,
            other => Profile::Typed(other.to_owned()),
        });
        let wanted = Wanted { issuer, audiences: audience, profile, leeway: leeway.as_secs() };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        let explained = explain(&token, keys.as_ref(), &wanted, now);
        let mut out = io::stdout().lock();
        show(&mut out, &token, &explained, now)?;
        show_checks(&mut out, &explained, keys.as_ref(), &wanted)?;
        let accepted = explained.problems.is_empty() && explained.signer.is_some();
        Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn token() -> Result<String> {
    let mut bytes = Vec::new();
    // One byte too many is enough to know; a line feed may follow.
    io::stdin()
        .lock()
        .take(LONGEST_TOKEN as u64 + 3)
        .read_to_end(&mut bytes)
        .context("cannot read the token")?;
    while let Some(b'\n' | b'\r') = bytes.last() {
        bytes.pop();
    }
    match String::from_utf8(bytes) {
        Ok(token) if token.is_empty() => bail!("there is no token on standard input"),
        Ok(token) => Ok(token),
        Err(_) => bail!("what is on standard input is no text"),
    }
}

fn keys(file: &Path, algorithms: Vec<Algorithm>) -> Result<KeySet> {
    let name = printable(&file.display().to_string(), SHOWN);
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).with_context(|| format!("cannot read {name}"))?;
    opened
        .take(LARGEST_SET as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {name}"))?;
    let secrets = algorithms.iter().any(|algorithm| algorithm.is_symmetric());
    let rules = if algorithms.is_empty() { Rules::default() } else { Rules { algorithms, secrets } };
    KeySet::read(&bytes, &rules).with_context(|| format!("cannot use {name}"))
}

fn show(out: &mut impl io::Write, token: &str, explained: &Explained, now: u64) -> Result<()> {
    writeln!(out, "length     {} bytes", token.len())?;
    let Some(header) = &explained.header else { return Ok(()) };
    writeln!(out, "alg        {}", header.algorithm.name())?;
    for (name, value) in [("kid", &header.key_id), ("typ", &header.typ)] {
        writeln!(
            out,
            "{name:<10} {}",
            value.as_deref().map_or("none".to_owned(), |value| printable(value, SHOWN))
        )?;
    }
    for (name, value) in explained.claims.iter().flatten() {
        let name = printable(name, 40);
        let value = match value {
            Value::Number(_) if DATES.contains(&&*name) => date(value, now),
            _ if PLAIN.contains(&&*name) => printable(&value.to_string(), SHOWN),
            Value::String(text) => format!("a string of {} bytes", text.len()),
            Value::Array(items) => format!("an array of {}", items.len()),
            Value::Object(members) => {
                let names: Vec<&str> = members.keys().map(String::as_str).collect();
                format!("an object with {}", printable(&names.join(", "), SHOWN))
            }
            Value::Number(_) => "a number".to_owned(),
            Value::Bool(_) => "true or false".to_owned(),
            Value::Null => "null".to_owned(),
        };
        writeln!(out, "{name:<10} {value}")?;
    }
    Ok(())
}

fn date(value: &Value, now: u64) -> String {
    let Some(seconds) = value.as_f64().filter(|seconds| (0.0..=253_402_300_799.0).contains(seconds)) else {
        return "a number that is no date".to_owned();
    };
    let seconds = seconds as u64;
    let apart = humantime::format_duration(Duration::from_secs(seconds.abs_diff(now)));
    let when = if seconds > now { format!("in {apart}") } else { format!("{apart} ago") };
    format!("{} ({when})", humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)))
}

fn show_checks(
    out: &mut impl io::Write,
    explained: &Explained,
    keys: Option<&KeySet>,
    wanted: &Wanted,
) -> Result<()> {
    for note in keys.into_iter().flat_map(KeySet::notes) {
        writeln!(out, "note       {note}")?;
    }
    match (&explained.signer, keys) {
        (Some(thumbprint), _) => {
            writeln!(out, "signature  right, by the key with the thumbprint {}", hex(thumbprint))?;
        }
        (None, None) => writeln!(out, "signature  not checked: no --jwks")?,
        (None, Some(_)) => {}
    }
    if wanted.issuer.is_none() {
        writeln!(out, "issuer     not checked: no --issuer")?;
    }
    if wanted.audiences.is_empty() {
        writeln!(out, "audience   not checked: no --audience")?;
    }
    for problem in &explained.problems {
        writeln!(out, "refused    {}: {}", problem.name(), problem.description())?;
    }
    Ok(())
}

fn hex(thumbprint: &Thumbprint) -> String {
    thumbprint.iter().map(|byte| format!("{byte:02x}")).collect()
}
