//! How tokens are got, and what becomes of them.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    World,
    provider::{API, OPAQUE, Provider},
    servers::wait_until,
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("access tokens by client credentials are verified whatever they are signed with", client_credentials),
    ("a person's token by the code flow says who it is, and the ID token opens nothing", code_flow),
    ("what the provider has revoked is not served past the time that its answers count", revocation),
];

fn client_credentials() {
    let mut world = World::verifying("scopes = [\"read\"]");
    for (name, algorithm) in [("e", "ES256"), ("r", "RS256"), ("p", "PS256"), ("d", "EdDSA")] {
        world.provider.publishes(&[(name, algorithm), ("k-1", "ES256")]);
        let token = world.provider.token("machine", API, &[]);
        // Nobody has asked for longer than the cool-down.
        std::thread::sleep(Duration::from_secs(3));
        let (status, answer) = world.get(&format!("Authorization: Bearer {token}\r\n"));
        assert_eq!(status, 200, "{algorithm}: {answer}");
        let seen = String::from_utf8(world.behind.request().unwrap()).unwrap();
        let told = seen.lines().find_map(|line| line.strip_prefix("x-stopbank-identity: ")).unwrap();
        let told: Value = serde_json::from_str(told).unwrap();
        assert_eq!((&told["kind"], &told["sub"]), (&"token".into(), &"machine".into()), "{told}");
        assert!(!seen.contains(&token), "the token stays here");
        let (rest, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(world.status(&format!("{rest}.{}", signature.to_lowercase())), 401);
    }
    // One that cannot be verified, of an issuer that is not asked.
    assert_eq!(world.status(&world.provider.token("machine", OPAQUE, &[])), 401);
    let form = [("grant_type", "client_credentials"), ("scope", "write"), ("resource", API)];
    let other = world.provider.asked("/token", "machine", &form, &[]);
    let (status, answer) =
        world.get(&format!("Authorization: Bearer {}\r\n", other["access_token"].as_str().unwrap()));
    assert_eq!(status, 403);
    assert!(answer.contains("error=\"insufficient_scope\"") && answer.contains("scope=\"read\""), "{answer}");
}

fn code_flow() {
    let world = World::verifying("");
    let tokens = world.provider.code_flow("alice@example.org", None);
    let of = |name: &str| tokens[name].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned();
    assert_eq!(world.status(&of("access_token")), 200);
    let seen = String::from_utf8(world.behind.request().unwrap()).unwrap();
    assert!(
        seen.contains("\"sub\":\"alice@example.org\"") && seen.contains("\"scope\":\"read write\""),
        "{seen}"
    );
    // Of the same issuer, by the same key, of the same person (RFC 8725, section 3.11; RFC 9068, section 4).
    let (status, answer) = world.get(&format!("Authorization: Bearer {}\r\n", of("id_token")));
    assert_eq!(status, 401);
    assert!(answer.contains("error=\"invalid_token\""), "{answer}");
    assert!(world.behind.another().is_none());
    // Who has stolen the code alone gets no token: it is the provider that refuses.
    let stolen = world.provider.code_flow("alice@example.org", Some(&"a".repeat(43)));
    assert_eq!(stolen["error"], "invalid_grant", "{stolen}");
}

fn revocation() {
    let provider = Provider::start();
    // The least that is allowed.
    let issuer = format!(
        "audiences = [\"{OPAQUE}\"]\nintrospection = {{ url = \"{}\", ca = \"{}\", client = \"checker\", secret = \"asked\", cache = \"5s\" }}",
        provider.url("/token/introspection"),
        provider.files.path("ca.pem")
    );
    let world = World::of(provider, "", &issuer, false);
    let [revoked, other] = [(); 2].map(|()| world.provider.token("machine", OPAQUE, &[]));
    assert_eq!((world.status(&revoked), world.status(&other), world.status("made-up")), (200, 200, 401));
    // One for another audience, which the provider calls active.
    let answer = world.provider.asked("/token/revocation", "machine", &[("token", &revoked)], &[]);
    assert_eq!(answer, Value::Null);
    let began = Instant::now();
    wait_until("the revoked token to be refused", || {
        assert_eq!(world.status(&other), 200, "a valid one is never refused");
        world.status(&revoked) == 401
    });
    let passed = began.elapsed();
    println!("a revoked token was refused after {passed:.1?}, with answers that count for 5 s");
    assert!(passed < Duration::from_secs(7), "{passed:?}");
    for _ in 0..20 {
        assert_eq!((world.status(&revoked), world.status(&other)), (401, 200));
        std::thread::sleep(Duration::from_millis(100));
    }
}
