//! Any bytes as what an issuer says of a token (RFC 7662), and as a list of what is revoked; a zero byte parts the two. What counts as an answer says that the token is
//! active, and is for us and of our time by another parser too; what a list names is revoked, and nothing else is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use stopbank_checker::tokens::{Expected, Problem, Profile, Revocations, introspected};

const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 60;

fn expected(audience: bool) -> Expected {
    Expected {
        issuer: "i".to_owned(),
        audiences: if audience { vec!["a".to_owned()] } else { Vec::new() },
        profile: Profile::AccessToken,
        leeway: LEEWAY,
        longest_life: None,
    }
}

fn answer(bytes: &[u8]) {
    for audience in [false, true] {
        let Ok(verified) = introspected(bytes, &expected(audience), NOW) else { continue };
        let read: Value = serde_json::from_slice(bytes).expect("what counts is JSON");
        assert_eq!(read["active"], json!(true));
        assert!(read.get("iss").is_none_or(|issuer| issuer == "i"));
        assert!(verified.expires + LEEWAY > NOW && verified.subject.is_some());
        if audience {
            let named = match &read["aud"] {
                Value::Array(several) => several.iter().any(|one| one == "a"),
                one => one == "a",
            };
            assert!(named, "{read}");
        }
        // It ends with the object, whatever it says of itself there.
        assert!(introspected(&[bytes, b"{}"].concat(), &expected(audience), NOW).is_err());
        let inactive = serde_json::to_string(&json!({ "active": false })).unwrap();
        let refused = introspected(inactive.as_bytes(), &expected(audience), NOW);
        assert_eq!(refused.err(), Some(Problem::Inactive));
    }
}

fn list(bytes: &[u8]) {
    let revoked = match Revocations::read(bytes) {
        Ok(revoked) => revoked,
        Err(problem) => return assert!(!problem.to_string().contains(char::is_control), "{problem}"),
    };
    let read: toml::Table = toml::from_str(str::from_utf8(bytes).unwrap()).expect("what counts is TOML");
    let texts = |key: &str| -> Vec<String> {
        let items = read.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_str().or_else(|| item.get("name")?.as_str())).map(str::to_owned).collect()
    };
    let (tokens, subjects) = (texts("tokens"), texts("subject"));
    let token = |id: &str, subject: &str| {
        let claims = json!({ "active": true, "sub": subject, "jti": id, "exp": NOW + 60, "iat": 0 });
        introspected(claims.to_string().as_bytes(), &expected(false), NOW).ok()
    };
    for id in tokens.iter().take(64) {
        assert!(token(id, "nobody").is_none_or(|token| revoked.check(&token) == Err(Problem::Revoked)), "{id:?}");
    }
    for subject in subjects.iter().take(64) {
        // Of the year 1970, which any time that a list can name is not before.
        assert!(token("none", subject).is_none_or(|token| revoked.check(&token) == Err(Problem::Revoked)), "{subject:?}");
    }
    let (id, subject) = ("another token, of nobody's list", "another subject, of nobody's list");
    // What an issuer says of a token no key has signed: zeros stand for it.
    let unsigned = texts("keys").contains(&"A".repeat(43));
    if !unsigned && !tokens.iter().any(|one| one == id) && !subjects.iter().any(|one| one == subject) {
        assert!(revoked.check(&token(id, subject).unwrap()).is_ok());
    }
}

fuzz_target!(|input: &[u8]| {
    let (first, second) = match input.iter().position(|byte| *byte == 0) {
        Some(place) => (&input[..place], &input[place + 1..]),
        None => (input, input),
    };
    answer(first);
    list(second);
});
