//! Inputs for the fuzz targets to begin with: a folder for each, below the one that is named. `cargo xtask fuzz` runs it.
//!
//! They come from the corpora of bypasses, from ordinary requests in every coding, from policies and specifications of the tree, and from
//! public data, where that is beside the workspace. What is written is the same each time, but for signatures.
//!
//! `cargo run -p stopbank-checker --example fuzz_seeds -- DIRECTORY`
#![expect(clippy::unwrap_used, reason = "seeds that cannot be made are none")]
#![expect(dead_code, reason = "the tests need more of these")]

#[path = "../../tests/corpus/mod.rs"]
mod corpus;
#[path = "../../src/proxy/ext_authz/messages.rs"]
mod messages;
mod ordinary;
#[path = "../../src/proxy/ext_authz/question.rs"]
mod question;
mod questions;
#[path = "../../tests/tokens/sign.rs"]
mod sign;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ordinary::{HEADS, POSTS};
use serde_json::{Value, json};
use stopbank_checker::{patterns, tokens::Algorithm};

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];
/// As many values of public lists are taken for a target as make no run begin with a minute of reading.
const VALUES: usize = 500;

/// Inputs by target.
#[derive(Default)]
struct Seeds(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Seeds {
    fn add(&mut self, target: &'static str, input: impl Into<Vec<u8>>) {
        self.0.entry(target).or_default().push(input.into());
    }

    /// Every file in a folder of the tree whose name ends so.
    fn folder(&mut self, target: &'static str, folder: &str, end: &str) {
        for file in files(&root().join(folder), end) {
            self.add(target, fs::read(file).unwrap());
        }
    }

    fn write(&self, directory: &Path) {
        for (target, inputs) in &self.0 {
            let directory = directory.join(target);
            let _ = fs::remove_dir_all(&directory);
            fs::create_dir_all(&directory).unwrap();
            for (number, input) in inputs.iter().enumerate() {
                fs::write(directory.join(format!("{number:04}")), input).unwrap();
            }
            println!("{target}: {} seeds", inputs.len());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Public data, or a folder that is not there.
fn data() -> PathBuf {
    root().join("../shared/data")
}

/// Files of a folder by name; none where there is none.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.retain(|path| path.to_str().is_some_and(|path| path.ends_with(end)));
    files.sort();
    files
}

fn main() {
    let directory = std::env::args().nth(1).expect("a directory to write to");
    let mut seeds = Seeds::default();
    requests(&mut seeds);
    http2(&mut seeds);
    bodies(&mut seeds);
    values(&mut seeds);
    written_by_operators(&mut seeds);
    seeds.add("spoe", questions::hello());
    questions::questions().into_iter().for_each(|question| seeds.add("spoe", question));
    questions::of_envoy(POSTS).into_iter().for_each(|question| seeds.add("ext_authz", question));
    specifications(&mut seeds);
    answers(&mut seeds);
    tokens(&mut seeds);
    certified(&mut seeds);
    seeds.write(Path::new(&directory));
}

/// Requests of HTTP/1 as bytes: as they are sent, and as the target `forward` has them.
fn requests(seeds: &mut Seeds) {
    let mut all: Vec<Vec<u8>> = corpus::requests().iter().map(corpus::Case::bytes).collect();
    for head in HEADS {
        let lines = [&head[..1], &["Host: a.example"], &head[1..], &["\r\n"]].concat();
        all.push(lines.join("\r\n").into_bytes());
    }
    for post in POSTS {
        let head =
            format!("POST {} HTTP/1.1\r\nHost: a.example\r\nContent-Type: {}\r\n", post.path, post.kind);
        let with = |more: &str, body: &[u8]| [head.as_bytes(), more.as_bytes(), b"\r\n\r\n", body].concat();
        let length = post.body.len();
        all.push(with(&format!("Content-Length: {length}"), post.body.as_bytes()));
        let chunks = format!("{length:x}\r\n{}\r\n0\r\n\r\n", post.body);
        all.push(with("Transfer-Encoding: chunked", chunks.as_bytes()));
        for coding in CODINGS {
            let body = corpus::put_through(post.body.as_bytes(), coding);
            all.push(with(&format!("Content-Encoding: {coding}\r\nContent-Length: {}", body.len()), &body));
        }
    }
    for bytes in all {
        seeds.add("forward", [&[40, 0, 1], &*bytes].concat());
        seeds.add("request", bytes);
    }
    for answer in corpus::answers() {
        seeds.add("forward", [&[40, 0, 0], &*answer.bytes()].concat());
    }
}

fn http2(seeds: &mut Seeds) {
    let mut add = |method: &[u8], target: &[u8], fields: &[(&[u8], &[u8])], body: &[u8]| {
        let fields = fields.iter().flat_map(|&(name, value)| [name, value]);
        let head: Vec<&[u8]> = [method, target].into_iter().chain(fields).collect();
        seeds.add("http2", [&head.join(&0xff)[..], &[0xff; 2], body].concat());
    };
    for case in corpus::http2() {
        let request = case.request();
        let fields: Vec<(&[u8], &[u8])> = request.headers.iter().map(|one| (one.name, one.value)).collect();
        add(request.method, request.target, &fields, &request.body);
    }
    for post in POSTS {
        let kind: (&[u8], &[u8]) = (b"content-type", post.kind.as_bytes());
        add(b"POST", post.path.as_bytes(), &[(b"host", b"a.example"), kind], post.body.as_bytes());
        for coding in CODINGS {
            let fields = [(&b"host"[..], &b"a.example"[..]), kind, (b"content-encoding", coding.as_bytes())];
            add(b"PUT", post.path.as_bytes(), &fields, &corpus::put_through(post.body.as_bytes(), coding));
        }
    }
}

/// Each reader of bodies, targets and cookies by its number in the target `bodies`; XML and GraphQL.
fn bodies(seeds: &mut Seeds) {
    let mut add = |which: u8, declared: &str, bytes: &[u8]| {
        seeds.add("bodies", [&[which], declared.as_bytes(), b"\n", bytes].concat());
    };
    for file in files(&data().join("json-test-suite/test_parsing"), ".json") {
        let text = fs::read(file).unwrap();
        if text.len() <= 4 << 10 {
            add(0, "", &text);
        }
    }
    for post in POSTS {
        let body = post.body.as_bytes();
        add(0, "", body);
        add(1, post.kind, body);
        add(5, post.kind, body);
        for coding in CODINGS {
            add(4, coding, &corpus::put_through(body, coding));
            add(
                4,
                &format!("{coding}, gzip"),
                &corpus::put_through(&corpus::put_through(body, coding), "gzip"),
            );
        }
    }
    for case in corpus::requests() {
        let bytes = case.bytes();
        let head = String::from_utf8_lossy(&bytes).into_owned();
        add(2, "", head.split(' ').nth(1).unwrap_or_default().as_bytes());
        let headers = head.split("\r\n").filter_map(|line| line.split_once(": "));
        for (name, value) in headers {
            match name.to_ascii_lowercase().as_str() {
                "cookie" => add(3, "", value.as_bytes()),
                "content-type" => {
                    let body = head.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                    add(if value.contains("multipart") { 1 } else { 5 }, value, body.as_bytes());
                }
                _ => {}
            }
        }
    }
    for post in POSTS {
        if post.kind.ends_with("xml") {
            seeds.add("xml", post.body);
        }
        if post.path == "/graphql" {
            seeds.add("graphql", post.body);
        }
    }
}

/// Values, some of them attacks, for what reads one value.
fn values(seeds: &mut Seeds) {
    let text = fs::read_to_string(root().join("checker/tests/detection.json")).unwrap();
    let mut values = Vec::new();
    strings(&serde_json::from_str(&text).unwrap(), &mut values);
    let lists = files(&data().join("libinjection"), ".txt");
    let mut lines: Vec<String> = Vec::new();
    for list in lists.into_iter().chain([data().join("httpparams/payload_train.csv")]) {
        let text = fs::read(list).unwrap_or_default();
        lines.extend(
            String::from_utf8_lossy(&text).lines().filter(|line| line.len() <= 512).map(str::to_owned),
        );
    }
    values.extend(lines.into_iter().step_by(lines_apart(&data())).take(VALUES));
    for (number, value) in values.iter().enumerate() {
        let kind = u8::try_from(number % 5).unwrap();
        seeds.add("inject", [&[kind], value.as_bytes()].concat());
        if number % 5 == 0 {
            seeds.add("patterns", value.as_bytes());
        }
    }
    for category in patterns::categories() {
        for pattern in patterns::shipped(category.name).unwrap() {
            seeds.add("patterns", format!("query:q\n{}", pattern.expression));
        }
    }
    let secrets = [
        "card 4111 1111 1111 1111, 5500-0000-0000-0004; iban DE89 3704 0044 0532 0130 00".to_owned(),
        format!(
            "Authorization: Bearer {}.{}.c2ln\r\nBasic dXNlcjpwYXNz",
            "eyJhbGciOiJub25lIn0", "eyJhIjoxfQ"
        ),
        format!(
            "{}{} {}{} {}{}",
            "AKIA",
            "IOSFODNN7EXAMPLE",
            "ghp_",
            "a".repeat(36),
            "sk_live_",
            "b".repeat(24)
        ),
        format!(
            "-----BEGIN {0}-----\nMIIEow==\n-----END {0}-----\na@example.org +353 1 555 0147",
            "PRIVATE KEY"
        ),
        "{\"card\":4111111111111111,\"t\":[\"xoxb-1-2-abcdefghijkl\"]}".to_owned(),
    ];
    for secret in secrets {
        seeds.add("mask", [&[7, 0], secret.as_bytes()].concat());
    }
}

/// How far apart the lines are that are taken of the lists.
fn lines_apart(data: &Path) -> usize {
    if data.is_dir() { 40_000 / VALUES } else { 1 }
}

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Object(entries) => entries.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

fn written_by_operators(seeds: &mut Seeds) {
    seeds.folder("policy", "checker/policies", ".toml");
    seeds.folder("policy", "checker/tests/policies", ".toml");
    // Without the shipped patterns: they take their third of a second to compile, and the sanitizers' sixteen times that.
    let everything = fs::read_to_string(root().join("fuzz/everything.toml")).unwrap();
    let patterns = everything.find("[[pattern]]\ncategory").unwrap();
    seeds.add("policy", &everything[..patterns]);
    seeds.folder("config", "agent/tests/configs", ".toml");
    let proxy = fs::read_to_string(root().join("checker/config/proxy.toml")).unwrap();
    let all: Vec<&str> = proxy
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line))
        .collect();
    seeds.add("proxy_config", all.join("\n"));
    seeds.add("proxy_config", proxy);
}

/// A text, a zero byte, and a body that is held against it.
fn specifications(seeds: &mut Seeds) {
    for name in ["src/schema/tests/pets.yaml", "policies/openapi.yaml"] {
        let text = fs::read(root().join("checker").join(name)).unwrap();
        for post in POSTS.iter().filter(|post| post.path.starts_with("/v1/")) {
            seeds.add("specification", [&text, &b"\0"[..], post.body.as_bytes()].concat());
        }
    }
    for (folder, dialect) in [
        ("draft2020-12", "https://json-schema.org/draft/2020-12/schema"),
        ("draft7", "http://json-schema.org/draft-07/schema#"),
    ] {
        for file in files(&data().join("json-schema-test-suite").join(folder), ".json") {
            let groups: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            for group in groups.as_array().unwrap().iter().take(4) {
                let content = json!({ "application/json": { "schema": group["schema"] } });
                let operation = json!({ "requestBody": { "content": content }, "responses": {} });
                let document = json!({
                    "openapi": "3.1.0", "info": { "title": "a", "version": "1" }, "jsonSchemaDialect": dialect,
                    "paths": { "/a": { "post": operation } },
                });
                seeds.add("specification", format!("{document}\0{}", group["tests"][0]["data"]));
            }
        }
    }
}

/// What an issuer says of a token, beside a list of what is revoked; and what a client adds to the question of a server in front.
fn answers(seeds: &mut Seeds) {
    let good = json!({
        "active": true, "iss": "i", "aud": ["a"], "sub": "s", "client_id": "c", "exp": sign::NOW + 60, "iat": sign::NOW, "jti": "j",
        "scope": "read write", "cnf": { "x5t#S256": "k" },
    });
    let thumbprint = "A".repeat(42) + "E";
    let list = format!(
        "tokens = [\"j\"]\nkeys = [\"{thumbprint}\"]\n[[subject]]\nname = \"s\"\nissued = 1700000000\n"
    );
    for answer in [good, json!({ "active": false }), json!({ "active": true, "aud": "a", "username": "u" })] {
        seeds.add("answers", format!("{answer}\0{list}"));
    }
    for more in [
        "Cookie: a=b",
        "Upgrade: websocket",
        "X-Original-URI: /b",
        "Content-Length: 3",
        "Authorization: Bearer a",
    ] {
        seeds.add("auth_request", more);
    }
}

/// A token, a set of keys, a URI.
fn tokens(seeds: &mut Seeds) {
    let claims = json!({ "iss": "i", "aud": ["a"], "sub": "s", "exp": sign::NOW + 60, "iat": sign::NOW, "jti": "j", "cnf": { "jkt": "k" } });
    for algorithm in Algorithm::ALL {
        let signer = sign::Signer::new(algorithm, "key");
        let set = json!({ "keys": [signer.jwk()] });
        let token = signer.token(&json!({ "typ": "JWT" }), &claims);
        seeds.add("token", format!("{token}\0{set}\0https://a.example/b"));
        let proof =
            json!({ "jti": "j", "htm": "GET", "htu": "https://a.example/b", "iat": sign::NOW, "ath": "x" });
        let proof = signer.token(&json!({ "typ": "dpop+jwt", "jwk": signer.jwk() }), &proof);
        seeds.add("token", format!("{proof}\0{set}\0https://a.example/b"));
    }
    let Ok(text) = fs::read(data().join("wycheproof/json_web_signature_test.json")) else { return };
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    for group in vectors["testGroups"].as_array().unwrap() {
        let keys = json!({ "keys": [group["private"], group["public"]] });
        for test in group["tests"].as_array().unwrap().iter().take(3) {
            seeds.add("token", format!("{}\0{keys}\0a.example", test["jws"].as_str().unwrap_or_default()));
        }
    }
}

/// Answers of OCSP about a certificate, of which the serial number is what counts.
fn certified(seeds: &mut Seeds) {
    let der = |tag: u8, parts: &[&[u8]]| {
        let inner = parts.concat();
        let length = u8::try_from(inner.len()).unwrap();
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [head, inner].concat()
    };
    let serial = der(2, &[&[1, 2, 3]]);
    let certificate = der(0x30, &[&der(0x30, &[&der(0xa0, &[&der(2, &[&[2]])]), &serial])]);
    let time = der(0x18, &[b"20260101000000Z"]);
    for status in [&[0x80, 0][..], &[0xa1, 0], &[0x82, 0]] {
        let hash = der(4, &[&[7; 20]]);
        let of = der(0x30, &[&der(0x30, &[]), &hash, &hash, &serial]);
        let one = der(0x30, &[&of, status, &time, &der(0xa0, &[&time])]);
        let data = der(0x30, &[&der(0xa2, &[&hash]), &time, &der(0x30, &[&one])]);
        let basic = der(0x30, &[&data, &der(0x30, &[]), &der(3, &[&[0]])]);
        let kind = der(6, &[b"\x2b\x06\x01\x05\x05\x07\x30\x01\x01"]);
        let body = der(0xa0, &[&der(0x30, &[&kind, &der(4, &[&basic])])]);
        let answer = der(0x30, &[&der(10, &[&[0]]), &body]);
        let found = stopbank_checker::ocsp::read(&answer, &certificate);
        assert_eq!(found.is_ok(), status[0] == 0x80, "{found:?}");
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        seeds.add("ocsp", [&length[..], &answer, &certificate].concat());
    }
}
