//! `stopbank-checker token inspect`, run as a user runs it.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use stopbank_checker::tokens::Algorithm;

use crate::{
    jwt::claims,
    sign::{Signer, encode},
};

/// Exit code, and all that was said.
fn inspect(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stopbank-checker"))
        .args(["token", "inspect"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_token_is_explained_without_showing_it_or_whom_it_is_of() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let signer = Signer::new(Algorithm::Es256, "key-1");
    let file = std::env::temp_dir().join(format!("stopbank-keys-{}.json", std::process::id()));
    std::fs::write(&file, json!({ "keys": [signer.jwk(), { "kty": "XX", "kid": "odd" }] }).to_string())
        .unwrap();
    let jwks = file.to_str().unwrap();
    let times = json!({ "iat": now - 10, "exp": now + 300, "email": "alice@a.example", "roles": ["x", "y"] });
    let token = signer.token(&json!({ "typ": "at+jwt" }), &claims(&times));
    let all = ["--jwks", jwks, "--issuer", "https://issuer.example", "--audience", "https://api.example"];
    let (code, said) = inspect(&all, &format!("{token}\n"));
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "alg        ES256",
        "kid        key-1",
        "iss        \"https://issuer.example\"",
        "(in ",
        "signature  right",
        "email      a string of 15 bytes",
        "roles      an array of 2",
        "note       key 2 (odd) is left out",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    for secret in ["alice", token.rsplit('.').next().unwrap(), "t-1"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
    // Without keys it is explained, but not called right.
    let (code, said) = inspect(&[], &token);
    assert!(
        code == Some(1) && said.contains("not checked: no --jwks") && !said.contains("refused"),
        "{said}"
    );
    for (arguments, input, part) in [
        (&all[..], signer.token(&json!({}), &claims(&json!({ "exp": now - 400 }))), "refused    expired: "),
        (
            &all[..4],
            signer.token(&json!({}), &claims(&json!({ "iss": "b", "exp": now + 9 }))),
            "refused    issuer: ",
        ),
        (
            &["--jwks", jwks, "--type", "at+jwt"],
            signer.token(&json!({}), &claims(&times)),
            "refused    token-type: ",
        ),
        (
            &all[..2],
            Signer::new(Algorithm::Es256, "key-1").token(&json!({}), &claims(&times)),
            "refused    signature: ",
        ),
        (&all[..2], format!("{}.e30.", encode("{\"alg\":\"none\"}")), "refused    algorithm-none: "),
        (&all[..2], format!("{}x", "a".repeat(9_000)), "refused    token-length: "),
        (&all[..2], "a.b.c.d.e".to_owned(), "refused    token-encrypted: "),
        (&[], "\n".to_owned(), "there is no token on standard input"),
        (&["--jwks", "/nonexistent"], String::new(), "cannot read /nonexistent"),
        (&["--jwks", jwks, "--algorithm", "RS256"], String::new(), "no key of the set can be used"),
    ] {
        let (code, said) = inspect(arguments, &input);
        assert!(code == Some(1) && said.contains(part), "{part}: {code:?} {said}");
    }
    // A control character in a name does not reach the terminal.
    let odd = signer.raw(r#"{"alg":"ES256"}"#, r#"{"a\u001b[2J":"\u001b[2J","scope":"\u001b[2J"}"#);
    assert!(!inspect(&[], &odd).1.contains('\u{1b}'));
    assert_eq!(inspect(&[&token], "").0, Some(2), "an argument is no token");
    std::fs::remove_file(file).unwrap();
}
