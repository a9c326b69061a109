//! A policy, what outlives its requests, and files that are in memory.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use serde_json::{Value, json};
use stopbank_checker::{
    Policy, Reason, State, Verdict,
    engine::{self, Context},
    keys::{Entry, Hasher, Keys, RANDOM, generate, parse},
    rates::Time,
    secret::Secret,
    state::{Files, Seed},
    tokens::Algorithm,
};

use crate::sign::{NOW, Signer, merge, random};

#[derive(Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<String, Vec<u8>>);

impl Files for Memory {
    fn read(&mut self, file: &str) -> Result<Option<Vec<u8>>, String> {
        self.0.get(file).cloned().map(Some).ok_or_else(|| format!("{file} is missing"))
    }

    fn secret(&mut self, file: &str) -> Result<Secret, String> {
        self.0.get(file).cloned().map(Secret::new).ok_or_else(|| format!("{file} is missing"))
    }
}

pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) state: State,
    pub(crate) files: Mutex<Memory>,
    pub(crate) main: Signer,
    /// A key of the list.
    pub(crate) key: String,
}

/// Two issuers whose keys are in files, a list of keys, certificates.
pub(crate) const PROVERS: &str = r#"
[[issuer]]
name = "main"
issuer = "https://issuer.example"
audiences = ["https://api.example"]
algorithms = ["ES256"]
keys = { file = "keys.json" }
revoked = "revoked.toml"

[[issuer]]
name = "other"
issuer = "https://other.example"
audiences = ["https://api.example"]
algorithms = ["HS256"]
profile = "jwt"
keys = { secret = "other.secret" }

[keys]
file = "keys.toml"

[certificates]
ca = "ca.pem"
"#;

impl World {
    /// `route`: what the route `/{id}` says beside its path.
    pub(crate) fn new(route: &str) -> Self {
        Self::of(&format!("{PROVERS}\n[[route]]\npath = \"/{{id}}\"\nmethods = \"any\"\n{route}\n"))
    }

    pub(crate) fn of(policy: &str) -> Self {
        let main = Signer::new(Algorithm::Es256, "k-1");
        let secret = random(32);
        let key = generate("sbk", &random(RANDOM).try_into().unwrap()).unwrap().to_string();
        let mut keys = Keys::default();
        let hash = Hasher::new(&secret).unwrap().hash(key.as_bytes());
        let id = parse(key.as_bytes()).unwrap().id.to_owned();
        let entry = Entry {
            id,
            name: "billing".to_owned(),
            class: Some("gold".to_owned()),
            created: 1,
            expires: None,
            hash,
        };
        keys.add(entry).unwrap();
        let files = Memory(BTreeMap::from([
            ("keys.json".to_owned(), json!({ "keys": [main.jwk()] }).to_string().into_bytes()),
            ("revoked.toml".to_owned(), Vec::new()),
            ("other.secret".to_owned(), vec![7; 32]),
            ("asked.secret".to_owned(), b"s3 cret".to_vec()),
            ("keys.toml".to_owned(), keys.to_text().into_bytes()),
            ("keys.toml.secret".to_owned(), secret),
            ("ca.pem".to_owned(), crate::credentials::certificates().0.clone()),
        ]));
        let policy = Policy::parse("test", policy).unwrap_or_else(|errors| panic!("{errors}"));
        let mut files = files;
        let state = State::new(&policy, &Seed::new(&[1; 32]), None, &mut files, NOW).unwrap();
        Self { policy, state, files: Mutex::new(files), main, key }
    }

    /// A token of the first issuer.
    pub(crate) fn token(&self, changes: &Value) -> String {
        self.main.token(&json!({ "typ": "at+jwt" }), &claims(changes))
    }

    pub(crate) fn judge(&self, head: &str, change: impl FnOnce(&mut Context<'_>)) -> Verdict {
        self.judge_at(NOW, head, change)
    }

    pub(crate) fn judge_at(&self, now: u64, head: &str, change: impl FnOnce(&mut Context<'_>)) -> Verdict {
        let time = Time { monotonic: Duration::from_secs(now), wall: Duration::from_secs(now) };
        let mut context =
            Context { time: Some(time), state: Some(&self.state), secure: true, ..Context::default() };
        change(&mut context);
        let (head, body) = head.split_once("\n\n").unwrap_or((head, ""));
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head: String = head.lines().map(|line| format!("{line}\r\n")).collect();
        engine::check_bytes(format!("{head}{length}\r\n{body}").as_bytes(), &context, &self.policy)
    }

    /// A GET of `/7` with these headers.
    pub(crate) fn get(&self, headers: &str) -> Verdict {
        self.judge(&format!("GET /7 HTTP/1.1\nHost: api.example\n{headers}"), |_| {})
    }
}

/// Claims of an access token by RFC 9068, changed.
pub(crate) fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": "https://api.example", "sub": "alice", "client_id": "app",
        "iat": NOW - 10, "exp": NOW + 300, "jti": "t-1", "scope": "read write",
    });
    merge(&mut claims, changes);
    claims
}

/// Reason and rule of a refusal.
pub(crate) fn said(verdict: &Verdict) -> (Option<Reason>, &str) {
    (verdict.reason, verdict.evidence.as_deref().map_or("", |evidence| &evidence.rule))
}

/// The values of a header of the answer.
pub(crate) fn header<'v>(verdict: &'v Verdict, name: &str) -> Vec<&'v str> {
    verdict.headers.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str()).collect()
}
