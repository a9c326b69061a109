//! The binary, run as a user runs it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stopbank-checker"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have said what is wrong before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn printed(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn one_raw_request_has_one_verdict_and_its_exit_code() {
    let good = run(&["check", "--request", "-"], b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!((good.status.code(), printed(&good)[0]["action"].as_str()), (Some(0), Some("allow")));
    let bad = run(&["check", "--request", "-"], b"GET /a//b HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let verdict = &printed(&bad)[0];
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(
        (verdict["reason"].as_str(), verdict["check"].as_str()),
        (Some("empty-segment"), Some("target"))
    );
    assert_eq!(verdict["status"].as_u64(), Some(400));
}

#[test]
fn lines_of_json_keep_what_came_with_them() {
    // "GET / HTTP/1.1\r\nHost: a\r\n\r\n", and the same without a Host.
    let lines = b"{\"raw\":\"R0VUIC8gSFRUUC8xLjENCkhvc3Q6IGENCg0K\",\"id\":7}\n\n{\"id\":8,\"raw\":\"R0VUIC8gSFRUUC8xLjENCg0K\"}\n";
    let output = run(&["check", "--request", "-"], lines);
    let verdicts = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((verdicts[0]["id"].as_u64(), verdicts[0]["action"].as_str()), (Some(7), Some("allow")));
    assert_eq!((verdicts[1]["id"].as_u64(), verdicts[1]["reason"].as_str()), (Some(8), Some("host-missing")));
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_it() {
    for (arguments, input, code, said) in [
        (&["check", "--request", "/nonexistent"][..], &b""[..], 1, "cannot open /nonexistent"),
        (&["check", "--request", "-"], b"{\"raw\":\"*\"}", 1, "line 1: `raw` is not base64"),
        (&["check", "--request", "-"], b"{\"id\":1}", 1, "line 1 is no JSON object with a member `raw`"),
        (&["check"], b"", 2, "--request"),
    ] {
        let output = run(arguments, input);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(said) && output.stdout.is_empty(), "{stderr}");
    }
}
