//! What the checker must detect and must let pass whatever it becomes: a few attacks of each class and everyday values, through the
//! command line. How well it does on large sets is measured by `cargo xtask score`.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Sets {
    /// By class.
    attacks: BTreeMap<String, Vec<String>>,
    benign: Vec<String>,
}

fn sets() -> Sets {
    serde_json::from_str(include_str!("detection.json")).unwrap()
}

/// Every byte escaped that has to be, in a query.
fn in_query(value: &str) -> Vec<u8> {
    let mut escaped = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").unwrap();
        }
    }
    format!("GET /search?q={escaped} HTTP/1.1\r\nHost: a.example\r\n\r\n").into_bytes()
}

fn in_json(value: &str) -> Vec<u8> {
    let body = json!({ "title": value }).to_string();
    format!("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// The values that are refused, each as it stands in a request of `put`.
fn refused(values: &[String], put: impl Fn(&str) -> Vec<u8>) -> Vec<&str> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stopbank-checker"))
        .args(["check", "--request", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String =
        values.iter().map(|value| format!("{}\n", json!({ "raw": STANDARD.encode(put(value)) }))).collect();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let verdicts: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(verdicts.len(), values.len());
    let refused = values.iter().zip(verdicts).filter(|(_, verdict)| verdict["action"] == "refuse");
    refused.map(|(value, _)| value.as_str()).collect()
}

#[test]
fn everyday_values_pass_in_queries_and_in_json() {
    let benign = sets().benign;
    assert_eq!(refused(&benign, in_query), Vec::<&str>::new());
    assert_eq!(refused(&benign, in_json), Vec::<&str>::new());
}

#[test]
fn attacks_of_each_class_are_refused_in_queries_and_in_json() {
    let attacks: Vec<String> = sets().attacks.into_values().flatten().collect();
    assert!(attacks.len() > 150);
    for put in [in_query, in_json] {
        let refused = refused(&attacks, put);
        let missed: Vec<&str> =
            attacks.iter().map(String::as_str).filter(|value| !refused.contains(value)).collect();
        assert_eq!(missed, Vec::<&str>::new());
    }
}
