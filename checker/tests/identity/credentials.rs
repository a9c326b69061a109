//! One credential in one place, and each that is not good refused for its own reason.

use std::{fs, process::Command, sync::OnceLock};

use serde_json::json;
use stopbank_checker::{IdentityKind, Reason, engine::Context, tokens::Algorithm};

use crate::{
    sign::{NOW, Signer, encode, random},
    world::{World, claims, header, said},
};

/// An authority (PEM), and in DER: a client's certificate of it with names, one without, and one with the same names of another authority.
pub(crate) fn certificates() -> &'static (Vec<u8>, [Vec<u8>; 3]) {
    static MADE: OnceLock<(Vec<u8>, [Vec<u8>; 3])> = OnceLock::new();
    MADE.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        let openssl = |arguments: &[&str]| {
            let said = Command::new("openssl").args(arguments).current_dir(&place).output().unwrap();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        };
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30000"];
        for name in ["ca", "stranger"] {
            let (key, out) = (format!("{name}.key"), format!("{name}.pem"));
            openssl(&[&["req", "-x509", "-subj", "/CN=authority", "-keyout", &key, "-out", &out], &curve[..]].concat());
        }
        let names = "subjectAltName=URI:spiffe://example.org/billing,DNS:billing.example.org\nextendedKeyUsage=clientAuth\n";
        let of = |authority: &str, extensions: &str| {
            fs::write(place.path().join("extensions"), extensions).unwrap();
            let (ca, key) = (format!("{authority}.pem"), format!("{authority}.key"));
            openssl(&[&["req", "-subj", "/CN=client", "-keyout", "key", "-out", "request"], &curve[..5]].concat());
            openssl(&[
                "x509", "-req", "-in", "request", "-CA", &ca, "-CAkey", &key, "-CAcreateserial", "-days", "30000",
                "-outform", "DER", "-out", "der", "-extfile", "extensions",
            ]);
            fs::read(place.path().join("der")).unwrap()
        };
        let client = of("ca", names);
        let plain = of("ca", "extendedKeyUsage=clientAuth\n");
        let stranger = of("stranger", names);
        (fs::read(place.path().join("ca.pem")).unwrap(), [client, plain, stranger])
    })
}

#[test]
fn a_good_credential_says_who_asks() {
    let world = World::new("identity = [\"main\", \"other\", \"key\"]");
    let verdict = world.get(&format!("Authorization: Bearer {}", world.token(&json!({}))));
    let identity = verdict.identity.as_deref().unwrap_or_else(|| panic!("{verdict:?}"));
    assert_eq!((identity.kind, &*identity.issuer), (IdentityKind::Token, "main"));
    assert_eq!((identity.subject.as_deref(), identity.id.as_deref()), (Some("alice"), Some("t-1")));
    assert!(!format!("{verdict:?}").contains("ey"), "a token in a verdict: {verdict:?}");
    let other = Signer::with_secret(Algorithm::Hs256, "x", vec![7; 32]);
    let token = other.token(&json!({ "kid": null }), &claims(&json!({ "iss": "https://other.example" })));
    let verdict = world.get(&format!("Authorization: bearer {token}"));
    assert_eq!(verdict.identity.as_deref().map(|one| &*one.issuer), Some("other"), "{verdict:?}");
    let verdict = world.get(&format!("X-Api-Key: {}", world.key));
    let identity = verdict.identity.as_deref().unwrap();
    assert_eq!((identity.subject.as_deref(), identity.class.as_deref()), (Some("billing"), Some("gold")));
}

#[test]
fn a_credential_that_is_not_good_is_refused_for_its_reason() {
    let world = World::new("identity = [\"main\", \"key\"]");
    let (good, key) = (world.token(&json!({})), &world.key);
    let stranger = Signer::new(Algorithm::Es256, "k-2");
    let forged = Signer::new(Algorithm::Es256, "k-1");
    let typ = json!({ "typ": "at+jwt" });
    let none =
        format!("{}.{}.", encode(r#"{"alg":"none","typ":"at+jwt"}"#), encode(claims(&json!({})).to_string()));
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    use Reason::{
        CredentialForm, IdentityMissing, KeyRefused, ProofRefused, SingletonRepeated, TokenRefused,
    };
    for (headers, reason, rule) in [
        (String::new(), IdentityMissing, "credential-missing"),
        ("Authorization: Basic YTpi".to_owned(), IdentityMissing, "credential-scheme"),
        ("Authorization: Bearer".to_owned(), CredentialForm, "credential-syntax"),
        (format!("Authorization: Bearer {good}, Bearer {good}"), CredentialForm, "credential-syntax"),
        (format!("{}\n{}", bearer(&good), bearer(&good)), SingletonRepeated, ""),
        (format!("{}\nauthorization: Basic YTpi", bearer(&good)), SingletonRepeated, ""),
        (format!("{}\nX-Api-Key: {key}", bearer(&good)), CredentialForm, "credentials-two"),
        (format!("X-Api-Key: {key}\nx-API-key: {key}"), CredentialForm, "key-twice"),
        ("X-Api-Key: sbk_x".to_owned(), KeyRefused, "key-malformed"),
        (
            format!("X-Api-Key: {}", stopbank_checker::keys::generate("sbk", &[9; 40]).unwrap().as_str()),
            KeyRefused,
            "key-unknown",
        ),
        (bearer("abc"), TokenRefused, "token-serialization"),
        (bearer(&none), TokenRefused, "algorithm-none"),
        (bearer(&stranger.token(&typ, &claims(&json!({})))), TokenRefused, "key-unknown"),
        (bearer(&forged.token(&typ, &claims(&json!({})))), TokenRefused, "signature"),
        (bearer(&world.token(&json!({ "iss": "https://else.example" }))), TokenRefused, "issuer"),
        (bearer(&world.token(&json!({ "aud": "https://else.example" }))), TokenRefused, "audience"),
        (bearer(&world.token(&json!({ "exp": NOW - 60 }))), TokenRefused, "expired"),
        (bearer(&world.token(&json!({ "exp": (NOW + 300).to_string() }))), TokenRefused, "claim-type"),
        (bearer(&world.main.token(&json!({}), &claims(&json!({})))), TokenRefused, "token-type"),
        (format!("Authorization: DPoP {good}"), ProofRefused, "proof"),
    ] {
        let verdict = world.get(&headers);
        assert_eq!(said(&verdict), (Some(reason), rule), "{headers}");
        assert!(verdict.identity.is_none() && verdict.status == reason.status(), "{headers}");
        assert!(
            verdict.status != 401 || !header(&verdict, "www-authenticate").is_empty(),
            "RFC 9110, section 15.5.2: {headers}"
        );
        let text = format!("{verdict:?}");
        assert!(!text.contains(&good) && !text.contains(key.as_str()), "a credential in a verdict");
    }
    assert!(world.get(&bearer(&good)).is_allowed());
}

#[test]
fn a_token_in_the_query_or_in_a_form_is_a_credential_too_many() {
    let world = World::new(
        "identity = [\"main\"]\nchecks = { form = \"off\", injection = \"off\", json = \"off\", xml = \"off\", multipart = \"off\", content = \"off\", coding = \"off\", graphql = \"off\" }",
    );
    let bearer = format!("Host: a\nAuthorization: Bearer {}", world.token(&json!({})));
    for name in ["access_token", "Access_Token", "%61ccess_token", "access_token%20"] {
        let verdict = world.judge(&format!("GET /7?{name}=x HTTP/1.1\n{bearer}"), |_| {});
        assert_eq!(said(&verdict), (Some(Reason::CredentialForm), "credential-place"), "{name}");
        let form = format!(
            "POST /7 HTTP/1.1\n{bearer}\nContent-Type: application/x-www-form-urlencoded;charset=utf-8\n\na=b&{name}=x"
        );
        assert_eq!(
            said(&world.judge(&form, |_| {})),
            (Some(Reason::CredentialForm), "credential-place"),
            "{name}"
        );
    }
    let form = format!(
        "POST /7 HTTP/1.1\n{bearer}\nContent-Type: application/x-www-form-urlencoded\n\na=access_token"
    );
    assert!(world.judge(&form, |_| {}).is_allowed());
    assert!(world.judge(&format!("GET /7?token=x HTTP/1.1\n{bearer}"), |_| {}).is_allowed());
}

#[test]
fn without_a_state_or_a_clock_nobody_is_let_in() {
    let world = World::new("identity = [\"main\"]\nfail = \"open\"");
    let head = format!("GET /7 HTTP/1.1\nHost: a\nAuthorization: Bearer {}", world.token(&json!({})));
    let without_state = |context: &mut Context<'_>| context.state = None;
    let without_clock = |context: &mut Context<'_>| context.time = None;
    let refused = world.judge(&head, without_state);
    assert_eq!((said(&refused), refused.status), ((Some(Reason::IdentityUnavailable), "no-state"), 503));
    assert_eq!(said(&world.judge(&head, without_clock)), (Some(Reason::IdentityUnavailable), "no-clock"));
    assert!(world.judge(&head, |_| {}).is_allowed());
    // Anyone may ask elsewhere.
    let open = World::new("");
    assert!(open.judge("GET /7 HTTP/1.1\nHost: a", without_state).is_allowed());
}

#[test]
fn what_is_demanded_together_must_all_be_there() {
    let [client, ..] = &certificates().1;
    let world = World::new("identity = [[\"main\", \"key\"], [\"certificate\", \"other\"]]");
    let bearer = format!("Authorization: Bearer {}", world.token(&json!({})));
    let both = world.get(&format!("{bearer}\nX-Api-Key: {}", world.key));
    assert_eq!(
        both.identity.as_deref().map(|one| one.kind),
        Some(IdentityKind::Token),
        "the first one names who asks"
    );
    assert!(
        world.get(&bearer).reason.is_some()
            && world.get(&format!("X-Api-Key: {}", world.key)).reason.is_some()
    );
    let other = Signer::with_secret(Algorithm::Hs256, "x", vec![7; 32]);
    let token = other.token(&json!({ "kid": null }), &claims(&json!({ "iss": "https://other.example" })));
    let head = format!("GET /7 HTTP/1.1\nHost: a\nAuthorization: Bearer {token}");
    assert!(world.judge(&head, |_| {}).reason.is_some());
    let shown = [client.as_slice()];
    let verdict = judged_with(&world, &head, &shown);
    assert_eq!(
        verdict.identity.as_deref().map(|one| one.kind),
        Some(IdentityKind::Certificate),
        "{verdict:?}"
    );
}

/// Judged with the certificates that the client has shown.
fn judged_with(world: &World, head: &str, shown: &[&[u8]]) -> stopbank_checker::Verdict {
    let time = std::time::Duration::from_secs(NOW);
    let context = Context {
        time: Some(stopbank_checker::rates::Time { monotonic: time, wall: time }),
        state: Some(&world.state),
        certificates: shown,
        ..Context::default()
    };
    let text: String = head.lines().map(|line| format!("{line}\r\n")).collect();
    stopbank_checker::engine::check_bytes(format!("{text}\r\n").as_bytes(), &context, &world.policy)
}

#[test]
fn a_certificate_says_who_asks_by_its_names_if_an_authority_that_counts_has_signed_it() {
    let [client, plain, stranger] = &certificates().1;
    let world = World::new("identity = [\"certificate\"]");
    let head = "GET /7 HTTP/1.1\nHost: a";
    let verdict = judged_with(&world, head, &[client]);
    let identity = verdict.identity.as_deref().unwrap_or_else(|| panic!("{verdict:?}"));
    assert_eq!(identity.subject.as_deref(), Some("spiffe://example.org/billing"));
    assert_eq!(identity.id.as_ref().map(String::len), Some(64));
    for (shown, reason, rule) in [
        (&[][..], Reason::CertificateMissing, "certificate-missing"),
        (&[stranger.as_slice()], Reason::CertificateRefused, "certificate-authority"),
        (&[plain], Reason::CertificateRefused, "certificate-name"),
        (&[b"nonsense"], Reason::CertificateRefused, "certificate-unreadable"),
    ] {
        assert_eq!(said(&judged_with(&world, head, shown)), (Some(reason), rule));
    }
    let dns = crate::world::PROVERS
        .replace("ca = \"ca.pem\"", "ca = \"ca.pem\"\nnames = [\"dns\"]\nallow = [\"billing.*\"]");
    let route = "[[route]]\npath = \"/7\"\nmethods = \"any\"\nidentity = [\"certificate\"]";
    let world = World::of(&format!("{dns}\n{route}"));
    let subject = judged_with(&world, head, &[client]).identity.and_then(|one| one.subject);
    assert_eq!(subject.as_deref(), Some("billing.example.org"));
    let world = World::of(&format!("{}\n{route}", dns.replace("billing.*", "billing")));
    assert_eq!(said(&judged_with(&world, head, &[client])).1, "certificate-name");
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_good_with_that_one_alone() {
    let [client, plain, _] = &certificates().1;
    let world = World::new("identity = [\"main\"]");
    let thumbprint = encode(stopbank_checker::tokens::certificate_thumbprint(client));
    let token = world.token(&json!({ "cnf": { "x5t#S256": thumbprint } }));
    let head = format!("GET /7 HTTP/1.1\nHost: a\nAuthorization: Bearer {token}");
    assert!(judged_with(&world, &head, &[client]).is_allowed());
    for shown in [&[][..], &[plain.as_slice()]] {
        assert_eq!(
            said(&judged_with(&world, &head, shown)),
            (Some(Reason::TokenRefused), "binding-certificate")
        );
    }
    let bound = World::of(&format!(
        "{}\n[[route]]\npath = \"/7\"\nmethods = \"any\"\nidentity = [\"main\"]",
        crate::world::PROVERS
            .replace("keys = { file = \"keys.json\" }", "keys = { file = \"keys.json\" }\nbound = true")
    ));
    let verdict = bound.get(&format!("Authorization: Bearer {}", bound.token(&json!({}))));
    assert_eq!(said(&verdict), (Some(Reason::TokenRefused), "token-unbound"));
}

/// A proof (RFC 9449, section 4.2) by a key of its own, and the thumbprint of that (RFC 7638).
fn proof(signer: &Signer, token: &str, changes: &serde_json::Value) -> String {
    let mut jwk = signer.jwk();
    crate::sign::merge(&mut jwk, &json!({ "alg": null, "kid": null }));
    let mut body = json!({
        "jti": encode(random(12)), "htm": "GET", "htu": "https://api.example/7", "iat": NOW,
        "ath": encode(ring::digest::digest(&ring::digest::SHA256, token.as_bytes())),
    });
    crate::sign::merge(&mut body, changes);
    signer.token(&json!({ "typ": "dpop+jwt", "jwk": jwk, "kid": null }), &body)
}

fn thumbprint(signer: &Signer) -> String {
    let jwk = signer.jwk();
    let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
    encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
}

#[test]
fn a_proof_counts_once_and_for_its_own_request() {
    let world = World::new("identity = [\"main\"]");
    let client = Signer::new(Algorithm::Es256, "client");
    let token = world.token(&json!({ "cnf": { "jkt": thumbprint(&client) } }));
    let with = |proof: &str| {
        format!("GET /7?x=1 HTTP/1.1\nHost: api.example\nAuthorization: DPoP {token}\nDPoP: {proof}")
    };
    let head = with(&proof(&client, &token, &json!({})));
    for _ in 0..2 {
        assert!(
            world.judge(&head, |context| context.looks_only = true).is_allowed(),
            "a question uses nothing up"
        );
    }
    assert!(world.judge(&head, |_| {}).is_allowed());
    assert_eq!(said(&world.judge(&head, |_| {})), (Some(Reason::ProofRefused), "proof-replayed"));
    for (changes, rule) in [
        (json!({ "htm": "POST" }), "proof-target"),
        (json!({ "htu": "https://other.example/7" }), "proof-target"),
        (json!({ "htu": "http://api.example/7" }), "proof-target"),
        (json!({ "iat": NOW - 61 }), "proof-time"),
        (json!({ "ath": encode([0; 32]) }), "proof-token"),
    ] {
        let verdict = world.judge(&with(&proof(&client, &token, &changes)), |_| {});
        assert_eq!(said(&verdict), (Some(Reason::ProofRefused), rule));
        let challenges = header(&verdict, "www-authenticate");
        assert!(
            challenges
                .iter()
                .any(|one| one.starts_with("DPoP ") && one.contains("error=\"invalid_dpop_proof\"")),
            "{challenges:?}"
        );
    }
    let other = Signer::new(Algorithm::Es256, "thief");
    let verdict = world.judge(&with(&proof(&other, &token, &json!({}))), |_| {});
    assert_eq!(said(&verdict), (Some(Reason::TokenRefused), "binding-key"));
    let stolen = world.get(&format!("Authorization: Bearer {token}"));
    assert_eq!(said(&stolen), (Some(Reason::TokenRefused), "binding-scheme"), "RFC 9449, section 7.2");
}

#[test]
fn a_nonce_is_given_out_and_then_demanded() {
    let policy = crate::world::PROVERS.replace("revoked = \"revoked.toml\"", "dpop_nonce = true");
    let world =
        World::of(&format!("{policy}\n[[route]]\npath = \"/7\"\nmethods = \"any\"\nidentity = [\"main\"]"));
    let client = Signer::new(Algorithm::Es256, "client");
    let token = world.token(&json!({ "cnf": { "jkt": thumbprint(&client) } }));
    let with = |proof: &str| {
        format!("GET /7 HTTP/1.1\nHost: api.example\nAuthorization: DPoP {token}\nDPoP: {proof}")
    };
    let verdict = world.judge(&with(&proof(&client, &token, &json!({}))), |_| {});
    assert_eq!(said(&verdict), (Some(Reason::ProofNonce), "nonce-missing"));
    assert!(header(&verdict, "www-authenticate").iter().any(|one| one.contains("error=\"use_dpop_nonce\"")));
    let nonce = header(&verdict, "dpop-nonce")[0].to_owned();
    let verdict = world.judge(&with(&proof(&client, &token, &json!({ "nonce": nonce }))), |_| {});
    assert!(verdict.is_allowed() && !header(&verdict, "dpop-nonce").is_empty(), "{verdict:?}");
    // Two periods later it counts no more.
    let late = proof(&client, &token, &json!({ "nonce": nonce, "iat": NOW + 250 }));
    assert_eq!(said(&world.judge_at(NOW + 250, &with(&late), |_| {})).1, "nonce-missing");
}
