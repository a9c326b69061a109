//! `check`: requests out of a file, a verdict for each.

use std::{
    io::{self, BufRead as _, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stopbank_checker::{
    Action, Check, Evidence, Policy, Reason, State, Verdict,
    engine::{self, Context},
    rates::Time,
    schema::Operation,
    state::Seed,
};

use crate::files::Disk;

/// Largest request, or line with one, that is read.
const LARGEST: u64 = 64 << 20;

/// Judge requests out of a file: a line of JSON for each
///
/// The file is one request as HTTP/1 sends it, or a line of JSON for each request whose member `raw` is that in base64. Other members are
/// printed again with the verdict, so that it can be told which request it is about.
///
/// Members that are read: `time` (RFC 3339, or seconds since 1970), by which rates and brakes are judged from one line to the next, `client` (its
/// address), and `answer` (the status by which the server behind has answered). Requests count as having come over TLS.
///
/// A verdict has `action` (allow, refuse, answer), `status`, `reason`, `check`, `description`, `route` (host and path of the route that it is for),
/// `operation` (of the policy's specification),
/// `evidence` (place, rule, score and text) where a check has more to say than its reason, and `observed`: the same of checks that only
/// observe; and `headers` where the answer gets some. Deadlines play no part here, so that a request has the same verdict each time.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  printf 'GET /a/../b HTTP/1.1\\r\\nHost: example.org\\r\\n\\r\\n' | stopbank-checker check --request -
  stopbank-checker check --policy policy.toml --request requests.ndjson | jq -r .reason | sort | uniq -c")]
pub(crate) struct CheckCommand {
    /// The policy: a file, or one that comes with the checker
    #[arg(long, value_name = "POLICY", default_value = "generic")]
    policy: PathBuf,
    /// The file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// When the requests are judged: seconds since 1970, or like 2026-11-28T07:21:43Z; left out, now
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Duration>,
}

fn time(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let time = humantime::parse_rfc3339_weak(text).map_err(|error| error.to_string())?;
    time.duration_since(UNIX_EPOCH).map_err(|_| "it is before 1970".to_owned())
}

impl CheckCommand {
    /// Whether no request of the file is refused.
    pub(crate) fn run(&self) -> Result<bool> {
        let mut session = Session::of(self)?;
        let file = &self.request;
        let name = file.display();
        let input: Box<dyn Read> = if file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(std::fs::File::open(file).with_context(|| format!("cannot open {name}"))?)
        };
        let mut input = io::BufReader::new(input);
        let mut out = io::stdout().lock();
        // No method begins with a brace.
        if input.fill_buf().with_context(|| format!("cannot read {name}"))?.first() != Some(&b'{') {
            let mut bytes = Vec::new();
            input.take(LARGEST + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
            if bytes.len() as u64 > LARGEST {
                bail!("{name} is larger than {} MiB", LARGEST >> 20);
            }
            return judge(&bytes, Map::new(), &mut session, &mut out);
        }
        let mut all = true;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = (&mut input).take(LARGEST + 1).read_until(b'\n', &mut line);
            if read.with_context(|| format!("cannot read {name}"))? == 0 {
                break;
            }
            if line.len() as u64 > LARGEST {
                bail!("{name}: line {number} is longer than {} MiB", LARGEST >> 20);
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let one: Line = serde_json::from_slice(&line)
                .with_context(|| format!("{name}: line {number} is no JSON object with a member `raw`"))?;
            let bytes = STANDARD
                .decode(&one.raw)
                .with_context(|| format!("{name}: line {number}: `raw` is not base64"))?;
            let judged = judge(&bytes, one.rest, &mut session, &mut out);
            all &= judged.with_context(|| format!("{name}: line {number}"))?;
        }
        Ok(all)
    }
}

/// A line of a file of requests.
#[derive(Deserialize)]
struct Line {
    raw: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What requests of one file are judged with: what is known of identities goes from one to the next.
struct Session {
    policy: Policy,
    state: State,
    /// Since 1970: of the first request, and of the last.
    begin: Option<Duration>,
    last: Duration,
}

impl Session {
    fn of(command: &CheckCommand) -> Result<Self> {
        let policy = super::load(&command.policy)?;
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| anyhow!("the system has no random bytes"))?;
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last = command.now.unwrap_or_else(now);
        let mut files = Disk::beside(&command.policy);
        let state = State::new(&policy, &Seed::new(&random), None, &mut files, last.as_secs());
        Ok(Self { policy, state: state.map_err(Error::msg)?, begin: None, last })
    }

    /// The time of a request: what it says, or that of the one before it.
    fn time(&mut self, said: Option<&Value>) -> Result<Time> {
        if let Some(said) = said {
            let text = said.as_str().and_then(|text| humantime::parse_rfc3339_weak(text).ok());
            let since = text.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let number = || said.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            self.last = since
                .or_else(number)
                .context("`time` is neither like \"2026-01-31T12:00:00.5Z\" nor seconds since 1970")?;
        }
        let begin = *self.begin.get_or_insert(self.last);
        Ok(Time { monotonic: self.last.saturating_sub(begin), wall: self.last })
    }
}

/// Prints the verdict on a request, with what came with it. Whether it is not refused.
fn judge(
    bytes: &[u8],
    mut line: Map<String, Value>,
    session: &mut Session,
    out: &mut impl Write,
) -> Result<bool> {
    let time = session.time(line.get("time"))?;
    let client = line.get("client").and_then(Value::as_str).and_then(|client| client.parse().ok());
    let Session { policy, state, .. } = session;
    let context =
        Context { client, secure: true, time: Some(time), state: Some(state), ..Context::default() };
    let verdict = engine::check_bytes(bytes, &context, policy);
    if let Some(attempt) = &verdict.attempt {
        let answer = line.get("answer").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        state.answered(attempt, answer, time);
    }
    for (key, value) in members(&verdict, policy) {
        line.insert(key.to_owned(), value);
    }
    if !verdict.headers.is_empty() {
        let headers = verdict.headers.iter().map(|(name, value)| (name.clone(), json!(value)));
        line.insert("headers".to_owned(), Value::Object(headers.collect()));
    }
    writeln!(out, "{}", Value::Object(line))?;
    Ok(verdict.action != Action::Refuse)
}

/// A verdict as JSON.
pub(crate) fn members(verdict: &Verdict, policy: &Policy) -> [(&'static str, Value); 10] {
    let Verdict {
        action, status, reason, check, evidence: found, identity, route, operation, observed, ..
    } = verdict;
    let route = route.and_then(|route| policy.routes().get(route));
    let observed: Vec<Value> = observed
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check.name(),
                "reason": finding.reason.name(),
                "evidence": finding.evidence.as_deref().map(evidence),
            })
        })
        .collect();
    [
        ("action", json!(action.name())),
        ("status", json!((*status != 0).then_some(status))),
        ("reason", json!(reason.map(Reason::name))),
        ("check", json!(check.map(Check::name))),
        ("description", json!(reason.map(Reason::description))),
        ("identity", json!(identity.as_deref().map(crate::proxy::identity))),
        ("route", json!(route.map(|route| format!("{}{}", route.host(), route.path())))),
        ("operation", json!(operation.and_then(|number| operation_name(policy, number)))),
        ("evidence", json!(found.as_deref().map(evidence))),
        ("observed", json!(observed)),
    ]
}

fn operation_name(policy: &Policy, number: usize) -> Option<String> {
    policy.openapi()?.specification().operations().get(number).map(Operation::name)
}

fn evidence(evidence: &Evidence) -> Value {
    let Evidence { place, rule, score, text } = evidence;
    json!({ "place": place, "rule": rule, "score": score, "text": text })
}
