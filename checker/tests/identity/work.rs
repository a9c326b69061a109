//! What is fetched: keys by their URL, and what an issuer says of tokens. And files that change.

use serde_json::{Value, json};
use stopbank_checker::{
    Reason, State, Verdict,
    state::{Seed, Work},
    tokens::Algorithm,
};

use crate::{
    sign::{NOW, Signer, encode},
    world::{World, claims, said},
};

const FETCHED: &str = r#"
[[issuer]]
name = "main"
issuer = "https://issuer.example"
audiences = ["https://api.example"]
keys = { url = "https://issuer.example/keys", refresh = "5m", cool_down = "30s", stale_if_error = "1h" }
[[route]]
path = "/7"
methods = "any"
identity = ["main"]
"#;

pub(crate) const ASKED: &str = r#"
[[issuer]]
name = "main"
issuer = "https://issuer.example"
audiences = ["https://api.example"]
introspection = { url = "https://issuer.example/introspect", client = "check er", secret = "asked.secret", cache = "30s" }
[[route]]
path = "/7"
methods = "any"
identity = ["main"]
"#;

fn at(world: &World, now: u64, token: &str) -> Verdict {
    world.judge_at(now, &format!("GET /7 HTTP/1.1\nHost: a\nAuthorization: Bearer {token}"), |_| {})
}

fn one(world: &World) -> Work {
    let mut work = world.state.take_work();
    assert_eq!(work.len(), 1);
    work.pop().unwrap()
}

fn set(signers: &[&Signer]) -> Vec<u8> {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

#[test]
fn keys_are_fetched_once_for_all_who_wait_and_rotate() {
    let world = World::of(FETCHED);
    let token = world.token(&json!({}));
    for _ in 0..3 {
        let verdict = at(&world, NOW, &token);
        assert_eq!(
            (said(&verdict), verdict.waits),
            ((Some(Reason::IdentityUnavailable), "keys-unavailable"), true)
        );
    }
    let work = one(&world);
    let ask = work.ask().unwrap();
    assert_eq!(
        (ask.url, ask.form.is_some(), ask.authorization.is_some()),
        ("https://issuer.example/keys", false, false)
    );
    work.done(Some(&set(&[&world.main])), NOW).unwrap();
    assert!(at(&world, NOW, &token).is_allowed());
    // The next key is unknown, and fetched; behind that, no other one within the cool-down.
    let next = Signer::new(Algorithm::Es256, "k-2");
    let rotated = next.token(&json!({ "typ": "at+jwt" }), &claims(&json!({})));
    assert!(at(&world, NOW + 31, &rotated).waits);
    one(&world).done(Some(&set(&[&world.main, &next])), NOW + 31).unwrap();
    assert!(at(&world, NOW + 31, &rotated).is_allowed());
    let stranger =
        Signer::new(Algorithm::Es256, "k-3").token(&json!({ "typ": "at+jwt" }), &claims(&json!({})));
    for second in 32..61 {
        let verdict = at(&world, NOW + second, &stranger);
        assert_eq!((said(&verdict), verdict.waits), ((Some(Reason::TokenRefused), "key-unknown"), false));
    }
    assert!(world.state.take_work().is_empty());
}

#[test]
fn while_the_issuer_is_down_the_keys_that_were_there_count_and_not_for_ever() {
    let world = World::of(FETCHED);
    world.state.due(NOW);
    one(&world).done(Some(&set(&[&world.main])), NOW).unwrap();
    let lasting = world.token(&json!({ "exp": NOW + 10_000 }));
    for now in (NOW..NOW + 3_900).step_by(10) {
        assert!(at(&world, now, &lasting).is_allowed(), "{}", now - NOW);
        world.state.due(now);
        for work in world.state.take_work() {
            let _ = work.done(None, now);
        }
    }
    assert_eq!(said(&at(&world, NOW + 3_900, &lasting)).0, Some(Reason::IdentityUnavailable));
    let counts = world.state.counts();
    assert!(
        counts.iter().any(|(name, what, count)| name == "main" && *what == "keys-not-fetched" && *count > 5)
    );
    // What is no set leaves the old one in force.
    let world = World::of(FETCHED);
    world.state.due(NOW);
    one(&world).done(Some(&set(&[&world.main])), NOW).unwrap();
    world.state.due(NOW + 300);
    assert!(one(&world).done(Some(b"<html>"), NOW + 300).is_err());
    assert!(at(&world, NOW + 301, &lasting).reason == Some(Reason::TokenRefused), "another world's key");
    assert!(at(&world, NOW + 301, &world.token(&json!({ "exp": NOW + 999 }))).is_allowed());
}

#[test]
fn an_issuer_is_asked_once_about_a_token_and_its_answer_counts_for_a_while() {
    let world = World::of(ASKED);
    let opaque = "opaque-1";
    for _ in 0..3 {
        let verdict = at(&world, NOW, opaque);
        assert_eq!(
            (said(&verdict), verdict.waits),
            ((Some(Reason::IdentityUnavailable), "introspection-unavailable"), true)
        );
    }
    let work = one(&world);
    let ask = work.ask().unwrap();
    assert_eq!(ask.form.as_deref().map(String::as_str), Some("token_type_hint=access_token&token=opaque-1"));
    let basic = ask.authorization.as_ref().unwrap().strip_prefix("Basic ").unwrap().to_owned();
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.decode(basic).unwrap();
    assert_eq!(pair, b"check+er:s3+cret", "RFC 6749, section 2.3.1");
    let mut good = claims(&json!({ "active": true, "scope": "read" }));
    work.done(Some(good.to_string().as_bytes()), NOW).unwrap();
    let verdict = at(&world, NOW + 1, opaque);
    assert_eq!(verdict.identity.and_then(|one| one.subject).as_deref(), Some("alice"));
    assert!(at(&world, NOW + 29, opaque).is_allowed() && world.state.take_work().is_empty());
    // It was revoked meanwhile, which is known within the time that an answer counts.
    assert!(at(&world, NOW + 30, opaque).waits);
    good["active"] = json!(false);
    one(&world).done(Some(good.to_string().as_bytes()), NOW + 30).unwrap();
    assert_eq!(said(&at(&world, NOW + 31, opaque)), (Some(Reason::TokenRefused), "token-inactive"));
    assert!(world.state.take_work().is_empty());
}

#[test]
fn a_token_that_the_issuers_server_turns_down_keeps_no_other_from_being_asked_about() {
    let world = World::of(ASKED);
    // A firewall in front of the issuer, for example, that takes it for an attack.
    let attack = "../../etc/passwd";
    assert!(at(&world, NOW, attack).waits);
    one(&world).turned_down(NOW);
    assert_eq!(said(&at(&world, NOW, attack)), (Some(Reason::TokenRefused), "token-inactive"));
    assert!(world.state.take_work().is_empty(), "it is not asked about at once again");
    let good = claims(&json!({ "active": true })).to_string();
    assert!(at(&world, NOW, "opaque").waits);
    one(&world).done(Some(good.as_bytes()), NOW).unwrap();
    assert!(at(&world, NOW, "opaque").is_allowed());
    assert!(at(&world, NOW + 2, attack).waits);
}

#[test]
fn an_answer_about_a_token_is_read_strictly() {
    for (changes, rule) in [
        (json!({ "active": "true" }), "introspection-unavailable"),
        (json!({ "active": null }), "introspection-unavailable"),
        (json!({ "active": false }), "token-inactive"),
        (json!({ "iss": "https://else.example" }), "token-inactive"),
        (json!({ "aud": "else" }), "token-inactive"),
        (json!({ "aud": null }), "token-inactive"),
        (json!({ "exp": NOW - 31 }), "token-inactive"),
        (json!({ "nbf": NOW + 99 }), "token-inactive"),
        (json!({ "exp": "1900000000" }), "token-inactive"),
        (json!({ "sub": null, "client_id": null }), "token-inactive"),
    ] {
        let world = World::of(ASKED);
        assert!(at(&world, NOW, "opaque").waits);
        let mut answer = claims(&json!({ "active": true }));
        crate::sign::merge(&mut answer, &changes);
        let _ = one(&world).done(Some(answer.to_string().as_bytes()), NOW);
        let verdict = at(&world, NOW, "opaque");
        assert_eq!(said(&verdict).1, rule, "{changes}");
        assert!(!verdict.waits, "an issuer that cannot be asked is left alone for a moment");
    }
}

#[test]
fn an_answer_about_a_token_does_not_outlive_the_token() {
    // RFC 7662, section 4: "MUST NOT be cached beyond the time indicated" by `exp`.
    let world = World::of(ASKED);
    assert!(at(&world, NOW, "opaque").waits);
    let answer = claims(&json!({ "active": true, "exp": NOW + 5 })).to_string();
    one(&world).done(Some(answer.as_bytes()), NOW).unwrap();
    assert!(at(&world, NOW + 4, "opaque").is_allowed());
    let verdict = at(&world, NOW + 5, "opaque");
    assert!(!verdict.is_allowed() && verdict.waits, "it is asked about again");
}

#[test]
fn what_an_issuer_says_of_a_binding_counts_as_if_the_token_said_it() {
    // RFC 8705, section 3.2, and RFC 9449, section 6.2.
    for (confirmation, rule) in [
        (json!({ "x5t#S256": encode([1; 32]) }), "binding-certificate"),
        (json!({ "jkt": encode([1; 32]) }), "binding-scheme"),
        (json!({ "kid": "k" }), "token-inactive"),
        (json!("k"), "token-inactive"),
    ] {
        let world = World::of(ASKED);
        assert!(at(&world, NOW, "opaque").waits);
        let answer = claims(&json!({ "active": true, "cnf": confirmation })).to_string();
        let _ = one(&world).done(Some(answer.as_bytes()), NOW);
        assert_eq!(said(&at(&world, NOW, "opaque")), (Some(Reason::TokenRefused), rule), "{confirmation}");
    }
}

#[test]
fn the_keys_of_one_issuer_verify_no_token_of_another() {
    // RFC 8725, section 3.8: keys belong to the issuer.
    let second =
        FETCHED.replace("name = \"main\"", "name = \"second\"").replace("issuer.example", "second.example");
    let second = second.split("[[route]]").next().unwrap();
    let world = World::of(&format!(
        "{second}{}",
        FETCHED.replace("identity = [\"main\"]", "identity = [\"main\", \"second\"]")
    ));
    let other = Signer::new(Algorithm::Es256, "k-1");
    let of_second = json!({ "iss": "https://second.example" });
    assert!(
        at(&world, NOW, &world.token(&json!({}))).waits && at(&world, NOW, &world.token(&of_second)).waits
    );
    for work in world.state.take_work() {
        let keys = if work.issuer() == "main" { set(&[&world.main]) } else { set(&[&other]) };
        work.done(Some(&keys), NOW).unwrap();
    }
    let by = |signer: &Signer, changes: &Value| {
        at(&world, NOW, &signer.token(&json!({ "typ": "at+jwt" }), &claims(changes)))
    };
    assert!(by(&world.main, &json!({})).is_allowed() && by(&other, &of_second).is_allowed());
    for verdict in [by(&world.main, &of_second), by(&other, &json!({}))] {
        assert_eq!(said(&verdict), (Some(Reason::TokenRefused), "signature"));
    }
}

#[test]
fn questions_to_an_issuer_are_bounded_in_number() {
    let world = World::of(ASKED);
    let waiting = (0..1_000).filter(|number| at(&world, NOW, &format!("opaque-{number}")).waits).count();
    assert_eq!((waiting, world.state.take_work().len()), (64, 64));
    // They are given up, and others asked, when their time is over.
    assert!(at(&world, NOW + 10, "opaque-x").waits);
}

#[test]
fn files_that_change_count_at_once_and_bad_ones_change_nothing() {
    let world = World::new("identity = [\"main\", \"key\"]");
    let bring = |file: &str, bytes: &[u8]| {
        let mut files = world.files.lock().unwrap();
        files.0.insert(file.to_owned(), bytes.to_vec());
        world.state.bring(&mut *files, NOW)
    };
    let (token, other) = (world.token(&json!({})), world.token(&json!({ "jti": "t-2", "sub": "bob" })));
    assert!(at(&world, NOW, &token).is_allowed() && at(&world, NOW, &other).is_allowed());
    assert!(bring("revoked.toml", b"tokens = [\"t-1\"]").is_empty());
    assert_eq!(said(&at(&world, NOW, &token)), (Some(Reason::TokenRefused), "revoked"));
    assert!(at(&world, NOW, &other).is_allowed());
    let wrong = bring("revoked.toml", b"token = [\"t-1\"]");
    assert!(wrong.len() == 1 && wrong[0].starts_with("issuer `main`: revoked.toml: "), "{wrong:?}");
    assert!(!at(&world, NOW, &token).is_allowed(), "what was in force stays in force");
    assert!(bring("revoked.toml", b"[[subject]]\nname = \"bob\"\n").is_empty());
    assert!(at(&world, NOW, &token).is_allowed() && !at(&world, NOW, &other).is_allowed());
    let jwk = world.main.jwk();
    let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
    let thumbprint = encode(ring::digest::digest(&ring::digest::SHA256, thumbprint.as_bytes()));
    assert!(bring("revoked.toml", format!("keys = [\"{thumbprint}\"]").as_bytes()).is_empty());
    assert!(!at(&world, NOW, &token).is_allowed());
    assert!(bring("revoked.toml", b"").is_empty());
    let key = format!("X-Api-Key: {}", world.key);
    assert!(world.get(&key).is_allowed());
    assert!(bring("keys.toml", b"").is_empty());
    assert_eq!(said(&world.get(&key)), (Some(Reason::KeyRefused), "key-unknown"));
    let next = Signer::new(Algorithm::Es256, "k-2");
    assert!(bring("keys.json", &set(&[&next])).is_empty());
    assert_eq!(said(&at(&world, NOW, &token)), (Some(Reason::TokenRefused), "key-unknown"), "withdrawn");
    assert!(at(&world, NOW, &next.token(&json!({ "typ": "at+jwt" }), &claims(&json!({})))).is_allowed());
}

#[test]
fn what_two_policies_have_in_common_outlives_a_reload() {
    let world = World::of(FETCHED);
    world.state.due(NOW);
    one(&world).done(Some(&set(&[&world.main])), NOW).unwrap();
    let seed = Seed::new(&[1; 32]);
    let again = |policy: &str| {
        let policy = stopbank_checker::Policy::parse("again", policy).unwrap();
        State::new(&policy, &seed, Some(&world.state), &mut *world.files.lock().unwrap(), NOW).unwrap()
    };
    let same = again(&FETCHED.replace("identity = [\"main\"]", "identity = [\"main\"]\nscopes = [\"read\"]"));
    same.due(NOW + 1);
    assert!(same.take_work().is_empty(), "its keys are there");
    let other = again(&FETCHED.replace("cool_down = \"30s\"", "cool_down = \"31s\""));
    other.due(NOW + 1);
    assert_eq!(other.take_work().len(), 1, "another issuer's keys are its own");
}
