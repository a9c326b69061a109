//! Tokens that are bound to a key (RFC 9449) or a certificate (RFC 8705) of their client's.

use serde_json::{Value, json};
use stopbank_checker::tokens::Algorithm;

use crate::{
    World, keys_of,
    provider::{API, Provider},
    sign::{Signer, encode, merge, random},
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a token that is bound to a key is good with a new proof by that key alone", proofs),
    ("a token that is bound to a certificate is good on its connections alone", certificates),
];

/// A proof (RFC 9449, section 4.2) for now, changed.
fn proof(signer: &Signer, method: &str, url: &str, changes: &Value) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut jwk = signer.jwk();
    merge(&mut jwk, &json!({ "alg": null, "kid": null }));
    let mut body = json!({ "jti": encode(random(12)), "htm": method, "htu": url, "iat": now });
    merge(&mut body, changes);
    signer.token(&json!({ "typ": "dpop+jwt", "jwk": jwk, "kid": null }), &body)
}

fn proofs() {
    let world = World::verifying("");
    let [client, thief] = ["client", "thief"].map(|id| Signer::new(Algorithm::Es256, id));
    let asking = format!("DPoP: {}", proof(&client, "POST", &world.provider.url("/token"), &json!({})));
    let token = world.provider.token("proving", API, &["-H", &asking]);
    let ath = encode(ring::digest::digest(&ring::digest::SHA256, token.as_bytes()));
    let by = |signer: &Signer, changes: Value| {
        let mut all = json!({ "ath": ath });
        merge(&mut all, &changes);
        format!("DPoP: {}\r\n", proof(signer, "GET", "http://a/7", &all))
    };
    let bound = format!("Authorization: DPoP {token}\r\n");
    let good = by(&client, json!({}));
    assert_eq!(world.get(&format!("{bound}{good}")).0, 200);
    assert_eq!(world.get(&format!("{bound}{}", by(&client, json!({})))).0, 200);
    assert!(world.behind.request().is_some() && world.behind.request().is_some());
    for (what, headers) in [
        ("the same proof again", format!("{bound}{good}")),
        ("no proof", bound.clone()),
        ("as a bearer token", format!("Authorization: Bearer {token}\r\n")),
        (
            "as a bearer token, with a proof",
            format!("Authorization: Bearer {token}\r\n{}", by(&client, json!({}))),
        ),
        ("another's proof", format!("{bound}{}", by(&thief, json!({})))),
        ("for another method", format!("{bound}{}", by(&client, json!({ "htm": "POST" })))),
        ("for another place", format!("{bound}{}", by(&client, json!({ "htu": "http://a/8" })))),
        ("of an hour ago", format!("{bound}{}", by(&client, json!({ "iat": 1_700_000_000 })))),
        ("for another token", format!("{bound}{}", by(&client, json!({ "ath": encode([0; 32]) })))),
        ("for no token", format!("{bound}{}", by(&client, json!({ "ath": null })))),
        ("that for the provider", format!("{bound}{asking}\r\n")),
    ] {
        let (status, answer) = world.get(&headers);
        assert_eq!(status, 401, "{what}: {answer}");
        assert!(answer.contains("\r\nwww-authenticate: DPoP "), "{what}: {answer}");
    }
    let two = format!("{bound}{}{}", by(&client, json!({})), by(&client, json!({})));
    assert!(matches!(world.get(&two).0, 400 | 401), "two proofs");
    assert!(world.behind.another().is_none());
    // A token that is bound to nothing is none for the scheme of proofs.
    let free = world.provider.token("machine", API, &[]);
    let ath = encode(ring::digest::digest(&ring::digest::SHA256, free.as_bytes()));
    let headers = format!("Authorization: DPoP {free}\r\n{}", by(&client, json!({ "ath": ath })));
    assert_eq!(world.get(&headers).0, 401);
}

fn certificates() {
    let provider = Provider::start();
    provider.files.issue("other");
    let issuer = keys_of(&provider);
    let world = World::of(provider, "", &issuer, true);
    let files = &world.provider.files;
    let authority = files.path("ca.pem");
    let [own, other] = ["client", "other"]
        .map(|name| (files.path(&format!("{name}.pem")), files.path(&format!("{name}.key"))));
    let token = world.provider.token("certified", API, &["--cert", &own.0, "--key", &own.1]);
    let bearer = format!("Authorization: Bearer {token}");
    let asked = |more: &[&str]| {
        let arguments = ["--cacert", &authority, "-H", &bearer, "-o", "/dev/null", "-w", "%{http_code}"];
        String::from_utf8(world.proxy.curl(&[&arguments, more].concat(), "/7").stdout).unwrap()
    };
    assert_eq!(asked(&["--cert", &own.0, "--key", &own.1]), "200");
    assert_eq!(asked(&["--cert", &own.0, "--key", &own.1, "--http2"]), "200");
    assert_eq!(asked(&["--cert", &other.0, "--key", &other.1]), "401", "another's certificate");
    assert_eq!(asked(&[]), "401", "no certificate");
    // Another one by the same key and of the same name is another certificate.
    files.issue("client");
    assert_eq!(asked(&["--cert", &own.0, "--key", &own.1]), "401", "a new certificate");
}
