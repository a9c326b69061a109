//! The corpus of credentials through the real proxy, over HTTP/1.1 and over HTTP/2: what is refused reaches nobody, and no token makes anybody connect to
//! where it points.

use std::{collections::BTreeMap, fs, net::TcpListener};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stopbank_checker::tokens::Algorithm;

use crate::{
    frames::{Client, Ended},
    identity::{by_file_of, key},
    issuer::claims,
    servers::{Proxy, Recorder, good, wait_until},
    sign::{Signer, encode},
};

pub(crate) const TESTS: &[(&str, fn())] =
    &[("bypasses of credentials are refused for their rules over HTTP/1.1 and HTTP/2", all)];

const CASES: &str = include_str!("../corpus/tokens.toml");
const HEADER: &str = r#"{"alg":"ES256","kid":"curve","typ":"at+jwt"}"#;

#[derive(Deserialize)]
struct All {
    case: Vec<Case>,
}

/// See the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    class: String,
    name: String,
    #[serde(default = "nothing")]
    values: Vec<String>,
    header: Option<String>,
    claims: Option<String>,
    with: Option<String>,
    without: Option<String>,
    #[serde(default = "curve")]
    signer: String,
    token: Option<String>,
    #[serde(default = "bearer")]
    head: Vec<String>,
    target: Option<String>,
    body: Option<String>,
    reason: String,
    rule: Option<String>,
    http2: Option<String>,
    #[serde(default)]
    passes: Vec<String>,
    why: String,
}

fn nothing() -> Vec<String> {
    vec![String::new()]
}

fn curve() -> String {
    "curve".to_owned()
}

fn bearer() -> Vec<String> {
    vec!["Authorization: Bearer {token}".to_owned()]
}

/// What cases are made of.
struct Maker {
    curve: Signer,
    rsa: Signer,
    edwards: Signer,
    attacker: Signer,
    /// API key.
    key: String,
    /// Where nobody may connect to.
    port: u16,
    now: u64,
}

/// A request that is to be refused.
struct Sent {
    target: String,
    head: Vec<String>,
    body: Option<String>,
}

/// DER of a type and what it holds.
fn der(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inner = parts.concat();
    let length = u16::try_from(inner.len()).unwrap().to_be_bytes();
    let head = match inner.len() {
        0..=127 => vec![kind, length[1]],
        128..=255 => vec![kind, 0x81, length[1]],
        _ => vec![kind, 0x82, length[0], length[1]],
    };
    [head, inner].concat()
}

fn pem(name: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n")).into_bytes()
}

impl Maker {
    fn signer(&self, name: &str) -> &Signer {
        match name {
            "curve" => &self.curve,
            "rsa" => &self.rsa,
            "edwards" => &self.edwards,
            "attacker" => &self.attacker,
            other => panic!("no signer {other}"),
        }
    }

    /// A member of a key, as bytes.
    fn member(&self, signer: &str, name: &str) -> Vec<u8> {
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        URL_SAFE_NO_PAD.decode(self.signer(signer).jwk()[name].as_str().unwrap()).unwrap()
    }

    /// What everybody knows, as the secret of an HMAC.
    fn secret(&self, name: &str) -> Vec<u8> {
        if let Some(text) = name.strip_prefix("text:") {
            return text.as_bytes().to_vec();
        }
        let n = [&[0][..], &self.member("rsa", "n")].concat();
        let pkcs1 = der(0x30, &[&der(2, &[&n]), &der(2, &[&self.member("rsa", "e")])]);
        let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
        let rsa = der(0x30, &[algorithm, &der(3, &[&[0], &pkcs1])]);
        let point = [&[4][..], &self.member("curve", "x"), &self.member("curve", "y")].concat();
        let algorithm =
            b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
        let curve = der(0x30, &[algorithm, &der(3, &[&[0], &point])]);
        let x = self.member("edwards", "x");
        let edwards = der(0x30, &[b"\x30\x05\x06\x03\x2b\x65\x70", &der(3, &[&[0], &x])]);
        match name {
            "rsa-spki-pem" => pem("PUBLIC KEY", &rsa),
            "rsa-spki-pem-bare" => pem("PUBLIC KEY", &rsa).trim_ascii_end().to_vec(),
            "rsa-spki-der" => rsa,
            "rsa-pkcs1-pem" => pem("RSA PUBLIC KEY", &pkcs1),
            "rsa-pkcs1-der" => pkcs1,
            "rsa-n" => self.member("rsa", "n"),
            "rsa-n-text" => self.rsa.jwk()["n"].as_str().unwrap().as_bytes().to_vec(),
            "rsa-jwk" => self.rsa.jwk().to_string().into_bytes(),
            "set" => self.keys().into_bytes(),
            "curve-spki-pem" => pem("PUBLIC KEY", &curve),
            "curve-spki-der" => curve,
            "curve-point" => point,
            "curve-x" => self.member("curve", "x"),
            "edwards-spki-pem" => pem("PUBLIC KEY", &edwards),
            "edwards-x" => x,
            "empty" => Vec::new(),
            "zeros" => vec![0; 32],
            other => panic!("no secret {other}"),
        }
    }

    /// What the issuer publishes.
    fn keys(&self) -> String {
        json!({ "keys": [self.curve.jwk(), self.rsa.jwk(), self.edwards.jwk()] }).to_string()
    }

    fn sign(&self, signer: &str, header: &str, message: &[u8]) -> Vec<u8> {
        let Some(secret) = signer.strip_prefix("hmac ") else { return self.signer(signer).sign(message) };
        let algorithm = match header {
            long if long.contains("HS384") => Algorithm::Hs384,
            long if long.contains("HS512") => Algorithm::Hs512,
            _ => Algorithm::Hs256,
        };
        Signer::with_secret(algorithm, "forger", self.secret(secret)).sign(message)
    }

    fn good(&self) -> Map<String, Value> {
        let claims = claims(&json!({ "iat": self.now - 10, "exp": self.now + 300 }));
        claims.as_object().unwrap().clone()
    }

    fn valid(&self) -> String {
        self.curve.raw(HEADER, Value::Object(self.good()).to_string())
    }

    /// A text with what everything but the case itself says.
    fn filled(&self, text: &str, value: &str) -> String {
        let mut text = text.replace("{value}", value);
        for (number, part) in value.split(',').enumerate() {
            text = text.replace(&format!("{{value.{number}}}"), part);
        }
        if text.contains("{valid}") {
            text = text.replace("{valid}", &self.valid());
        }
        let members = |claims: Map<String, Value>| {
            let text = Value::Object(claims).to_string();
            text[1..text.len() - 1].to_owned()
        };
        let mut endless = self.good();
        endless.remove("exp");
        text.replace("{good}", &members(self.good()))
            .replace("{good-without-exp}", &members(endless))
            .replace("{now}", &self.now.to_string())
            .replace("{later}", &(self.now + 3_600).to_string())
            .replace("{attacker}", &self.port.to_string())
            .replace("{jwk}", &self.attacker.jwk().to_string())
            .replace("{key}", &self.key)
            .replace("{key-upper}", &self.key.to_uppercase())
            .replace("{key-other}", &self.key.chars().rev().collect::<String>())
    }

    /// The token of a case.
    fn token(&self, case: &Case, value: &str) -> String {
        let header = self.filled(case.header.as_deref().unwrap_or(HEADER), value);
        let mut members = self.good();
        if let Some(with) = &case.with {
            let with: Map<String, Value> = serde_json::from_str(&self.filled(with, value)).unwrap();
            members.extend(with);
        }
        if let Some(without) = &case.without {
            members.remove(&self.filled(without, value)).unwrap();
        }
        let claims = case.claims.as_deref().map(|claims| self.filled(claims, value));
        let claims = claims.unwrap_or_else(|| Value::Object(members).to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signer = self.filled(&case.signer, value);
        let signature = self.sign(&signer, &header, signed.as_bytes());
        let text = encode(&signature);
        let whole = format!("{signed}.{text}");
        let Some(template) = &case.token else { return whole };
        let (header, claims) = signed.split_once('.').unwrap();
        self.filled(template, value)
            .replace("{token}", &whole)
            .replace("{header}", header)
            .replace("{claims}", claims)
            .replace("{signature}", &text)
            .replace("{signature-bits}", &with_bits_left_over(&text))
            .replace(
                "{signature-der}",
                &encode(der(0x30, &[&integer(&signature[..32]), &integer(&signature[32..])])),
            )
            .replace("{signature-longer}", &encode([&signature[..], &[0]].concat()))
            .replace("{signature-shorter}", &encode(&signature[..63]))
            .replace("{signature-twice}", &encode(signature.repeat(2)))
            .replace("{signature-zeros}", &encode([0; 64]))
            .replace("{signature-order}", &encode([0xff; 64]))
    }

    /// The request of a case, and the token in it.
    fn request(&self, case: &Case, value: &str) -> Sent {
        let token = self.token(case, value);
        let fill = |text: &str| self.filled(text, value).replace("{token}", &token);
        Sent {
            target: case.target.as_deref().map_or_else(|| "/7".to_owned(), fill),
            head: case.head.iter().map(|line| fill(line)).collect(),
            body: case.body.as_deref().map(fill),
        }
    }
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    der(2, &[&[0], bytes])
}

/// The last character with one of the bits set that belong to no byte.
fn with_bits_left_over(text: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = text.split_at(text.len() - 1);
    let at = alphabet.find(last).unwrap();
    format!("{rest}{}", &alphabet[at | 1..][..1])
}

impl Sent {
    fn http1(&self) -> Vec<u8> {
        let method = if self.body.is_some() { "POST" } else { "GET" };
        let body = self.body.as_deref().map_or_else(String::new, |body| {
            format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len())
        });
        let connection = if self.head.iter().any(|line| line.starts_with("Connection:")) {
            ""
        } else {
            "Connection: close\r\n"
        };
        format!(
            "{method} {} HTTP/1.1\r\nHost: a\r\n{}\r\n{body}{connection}\r\n{}",
            self.target,
            self.head.join("\r\n"),
            self.body.as_deref().unwrap_or_default()
        )
        .into_bytes()
    }

    /// Names in small letters, and values as they stand.
    fn http2(&self) -> Vec<(String, String)> {
        let method = if self.body.is_some() { "POST" } else { "GET" };
        let pseudo = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", &self.target)];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut fields: Vec<_> = pseudo.into_iter().map(own).collect();
        for line in &self.head {
            let (name, value) = line.split_once(':').unwrap();
            fields.push((name.to_lowercase(), value.strip_prefix(' ').unwrap_or(value).to_owned()));
        }
        if self.body.is_some() {
            fields.push(own(("content-type", "application/x-www-form-urlencoded")));
        }
        fields
    }
}

/// What was said to a request: the id of the refusal and its reason.
enum Said {
    Refused(String, String),
    Reset,
    Passed,
}

fn said(body: &[u8]) -> Said {
    let Ok(problem) = serde_json::from_slice::<Value>(body) else { return Said::Passed };
    let of = |name: &str| problem[name].as_str().unwrap().to_owned();
    assert!((400..500).contains(&problem["status"].as_u64().unwrap()), "{problem}");
    Said::Refused(of("request_id"), of("reason"))
}

fn http1(proxy: &Proxy, sent: &Sent) -> Said {
    let answer = proxy.answers(&sent.http1());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    assert_eq!(head.starts_with("HTTP/1.1 200 "), body == "ok", "{answer}");
    said(body.as_bytes())
}

fn http2(proxy: &Proxy, sent: &Sent) -> Said {
    let mut client = Client::connect(proxy.connect());
    client.request(&sent.http2(), sent.body.as_deref().unwrap_or_default().as_bytes(), &[]);
    match client.ended(1) {
        Ended::Answered(body) => said(&body),
        Ended::Reset | Ended::Closed => Said::Reset,
    }
}

/// The rules of all refusals that were logged, by id.
fn rules(proxy: &Proxy) -> BTreeMap<String, Option<String>> {
    let text = fs::read_to_string(proxy.directory.file("audit")).unwrap();
    // The last line may be half written.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let rule = |line: &Value| line["evidence"]["rule"].as_str().map(str::to_owned);
    lines.map(|line| (line["request_id"].as_str().unwrap_or_default().to_owned(), rule(&line))).collect()
}

/// A refusal of a case, to be looked up in the log.
struct Refused {
    id: String,
    what: String,
    rule: Option<String>,
}

/// Holds what was said to a request against its case: what is wrong, or the refusal.
fn held(
    case: &Case,
    what: &str,
    said: Said,
    passes: bool,
    behind: &Recorder,
) -> Result<Option<Refused>, String> {
    match said {
        Said::Passed if passes => {
            let seen = String::from_utf8(behind.request().unwrap()).unwrap();
            if seen.contains("admin") { Err(format!("{what} went on: {seen}")) } else { Ok(None) }
        }
        Said::Refused(id, reason) if !passes => {
            if !(case.reason == "any" || case.reason == reason) {
                return Err(format!("{what} was refused: {reason}"));
            }
            Ok(Some(Refused { id, what: what.to_owned(), rule: case.rule.clone() }))
        }
        Said::Reset if case.reason == "any" => Ok(None),
        Said::Passed => Err(format!("{what} passed")),
        Said::Reset => Err(format!("{what} was reset")),
        Said::Refused(_, reason) => Err(format!("{what} was refused: {reason}")),
    }
}

fn all() {
    let behind = Recorder::start(|_| good("ok"));
    let attacked = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut maker = Maker {
        curve: Signer::new(Algorithm::Es256, "curve"),
        rsa: Signer::new(Algorithm::Rs256, "rsa"),
        edwards: Signer::new(Algorithm::Ed25519, "edwards"),
        attacker: Signer::new(Algorithm::Es256, "curve"),
        key: String::new(),
        port: attacked.local_addr().unwrap().port(),
        now: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
    };
    let mut setup = by_file_of(&maker.keys(), "identity_header = true", behind.port);
    setup.rest.push_str("[refusals]\nreason = true\n");
    setup.listen = "h2c = true".to_owned();
    let proxy = setup.start();
    maker.key = key(&proxy);
    let all: All = toml::from_str(CASES).unwrap();
    let mut results = Vec::new();
    for case in &all.case {
        assert!(!case.class.is_empty() && case.why.ends_with('.'), "{}", case.name);
        let good = case.reason == "allow";
        for value in &case.values {
            let request = maker.request(case, value);
            let what = |over| format!("{} over {over}: {value:?}", case.name);
            let passes = good || case.passes.contains(value);
            results.push(held(case, &what("HTTP/1.1"), http1(&proxy, &request), passes, &behind));
            if case.http2.as_deref() != Some("none") {
                results.push(held(case, &what("HTTP/2"), http2(&proxy, &request), good, &behind));
            }
        }
    }
    let sent = results.len();
    let (refused, mut wrong): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let refused: Vec<Refused> = refused.into_iter().flatten().flatten().collect();
    wait_until("the log", || rules(&proxy).len() >= refused.len());
    let rules = rules(&proxy);
    for Refused { id, what, rule } in refused {
        let found = rules.get(&id).unwrap_or_else(|| panic!("{what} is not in the log"));
        if rule.is_some() && *found != rule {
            wrong.push(Err(format!("{what}: the rule is {found:?}")));
        }
    }
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{} of {sent}:\n{}", wrong.len(), wrong.join("\n"));
    attacked.set_nonblocking(true).unwrap();
    assert!(attacked.accept().is_err(), "somebody has connected to where a token points");
    assert!(behind.another().is_none(), "one that was refused has reached the server");
    println!("{} cases, {sent} requests", all.case.len());
}
