//! Proofs of possession (RFC 9449), tokens that are bound (RFC 8705), where a credential stands and how a refusal is answered (RFC 6750).

use serde_json::{Value, json};
use stopbank_checker::{
    Field, Request, Version,
    tokens::{
        Algorithm, Challenge, Confirmation, Nonces, Problem, Profile, Proof, ProofRules, Replays, Scheme,
        Target, Verified, certificate_thumbprint, check_binding, check_proof, credential, verify,
    },
};

use crate::{
    jwt::{claims, expected},
    sign::{NOW, Signer, encode, merge, random},
};

const TARGET: Target<'static> =
    Target { method: "POST", scheme: "https", authority: "api.example", path: "/orders/1" };

fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

/// The key as a proof brings it.
fn bare(signer: &Signer) -> Value {
    let mut jwk = signer.jwk();
    merge(&mut jwk, &json!({ "alg": null, "kid": null }));
    jwk
}

fn proof(signer: &Signer, token: &str, header: &Value, changes: &Value) -> String {
    let mut head = json!({ "alg": signer.algorithm.name(), "typ": "dpop+jwt", "jwk": bare(signer) });
    let mut body = json!({
        "jti": "p-1", "htm": "POST", "htu": "https://api.example/orders/1", "iat": NOW,
        "ath": encode(sha256(token.as_bytes())),
    });
    merge(&mut head, header);
    merge(&mut body, changes);
    signer.raw(head.to_string(), body.to_string())
}

fn check(text: &str) -> Result<Proof, Problem> {
    check_proof(text, &TARGET, "token", None, &ProofRules::default(), NOW)
}

#[test]
fn each_step_of_section_4_3_is_taken() {
    let signer = Signer::new(Algorithm::Es256, "");
    let of = |header: Value, body: Value| check(&proof(&signer, "token", &header, &body)).err();
    assert_eq!(of(json!({}), json!({})), None);
    let other = Signer::new(Algorithm::Es256, "");
    let mut private = bare(&signer);
    private["d"] = encode(random(32)).into();
    for (step, header, body, problem) in [
        (3, json!({}), json!({ "jti": null }), Problem::Proof),
        (3, json!({}), json!({ "jti": "" }), Problem::Proof),
        (3, json!({}), json!({ "jti": "j".repeat(257) }), Problem::Proof),
        (3, json!({}), json!({ "jti": 1 }), Problem::Proof),
        (3, json!({}), json!({ "htm": null }), Problem::Proof),
        (3, json!({}), json!({ "htu": null }), Problem::Proof),
        (3, json!({}), json!({ "iat": null }), Problem::Proof),
        (3, json!({}), json!({ "iat": NOW.to_string() }), Problem::Proof),
        (3, json!({}), json!({ "ath": null }), Problem::Proof),
        (4, json!({ "typ": "JWT" }), json!({}), Problem::Proof),
        (4, json!({ "typ": null }), json!({}), Problem::Proof),
        (5, json!({ "alg": "none" }), json!({}), Problem::Proof),
        (5, json!({ "alg": "HS256" }), json!({}), Problem::Proof),
        (5, json!({ "alg": "ES384" }), json!({}), Problem::ProofKey),
        (6, json!({ "jwk": bare(&other) }), json!({}), Problem::ProofSignature),
        (6, json!({ "jwk": null }), json!({}), Problem::Proof),
        (6, json!({ "jwk": "a" }), json!({}), Problem::Proof),
        (6, json!({ "jku": "https://a.example" }), json!({}), Problem::Proof),
        (7, json!({ "jwk": private }), json!({}), Problem::ProofKey),
        (7, json!({ "jwk": { "kty": "oct", "k": encode([1; 32]) } }), json!({}), Problem::ProofKey),
        (8, json!({}), json!({ "htm": "GET" }), Problem::ProofTarget),
        (8, json!({}), json!({ "htm": "post" }), Problem::ProofTarget),
        (9, json!({}), json!({ "htu": "https://api.example/orders/2" }), Problem::ProofTarget),
        (9, json!({}), json!({ "htu": "http://api.example/orders/1" }), Problem::ProofTarget),
        (9, json!({}), json!({ "htu": "https://api.example@a.example/orders/1" }), Problem::ProofTarget),
        (11, json!({}), json!({ "iat": NOW - 60 }), Problem::ProofTime),
        (11, json!({}), json!({ "iat": NOW + 6 }), Problem::ProofTime),
        (11, json!({}), json!({ "iat": 0 }), Problem::ProofTime),
        (12, json!({}), json!({ "ath": encode(sha256(b"another")) }), Problem::ProofToken),
        (12, json!({}), json!({ "ath": "" }), Problem::Proof),
    ] {
        assert_eq!(of(header.clone(), body.clone()), Some(problem), "step {step}: {header} {body}");
    }
    for body in [
        json!({ "iat": NOW - 59 }),
        json!({ "iat": NOW + 5 }),
        // Without query and fragment, normalised.
        json!({ "htu": "HTTPS://API.example:443/%6frders/./1?a=b#c" }),
    ] {
        assert_eq!(of(json!({}), body), None);
    }
    // Step 2: one token and no more.
    let good = proof(&signer, "token", &json!({}), &json!({}));
    for text in [format!("{good},{good}"), format!("{good} "), String::new(), good.replace('.', "")] {
        assert_eq!(check(&text).err(), Some(Problem::Proof));
    }
    // Other algorithms, where they are allowed: no RSA by PKCS #1 here.
    for (algorithm, problem) in [
        (Algorithm::Ed25519, None),
        (Algorithm::Ps256, None),
        (Algorithm::Rs256, Some(Problem::ProofKey)),
        (Algorithm::Es512, Some(Problem::ProofKey)),
    ] {
        assert_eq!(
            check(&proof(&Signer::new(algorithm, ""), "token", &json!({}), &json!({}))).err(),
            problem
        );
    }
}

#[test]
fn a_nonce_is_demanded_where_one_is_given_out_and_ends() {
    let signer = Signer::new(Algorithm::Ed25519, "");
    let nonces = Nonces::new(&[7; 32], 60);
    let first = nonces.current(NOW);
    let with = |nonce: Value| proof(&signer, "token", &json!({}), &json!({ "nonce": nonce }));
    let judge = |text: &str, now: u64| {
        let rules = ProofRules { oldest: 1_000, ..ProofRules::default() };
        check_proof(text, &TARGET, "token", Some(&nonces.accepted(now)), &rules, now).err()
    };
    assert_eq!(judge(&with(json!(first)), NOW), None);
    assert_eq!(judge(&with(json!(first)), NOW + 60), None);
    for (text, now) in
        [(with(json!(first)), NOW + 120), (with(Value::Null), NOW), (with(json!("guessed")), NOW)]
    {
        assert_eq!(judge(&text, now), Some(Problem::NonceMissing));
    }
    assert_eq!(judge(&with(json!(1)), NOW), Some(Problem::Proof));
    assert_ne!(first, Nonces::new(&[8; 32], 60).current(NOW));
}

#[test]
fn a_proof_counts_once_and_asking_does_not_use_it() {
    let signer = Signer::new(Algorithm::Ed25519, "");
    let of = |signer: &Signer, id: &str| {
        check(&proof(signer, "token", &json!({}), &json!({ "jti": id }))).unwrap()
    };
    let (first, second) = (of(&signer, "a"), of(&signer, "b"));
    let mut replays = Replays::new(4, 2);
    // RFC 9449, section 11.1; a question of a proxy before the request consumes nothing.
    assert_eq!((replays.look(&first, NOW), replays.look(&first, NOW)), (Ok(()), Ok(())));
    assert_eq!(replays.take(&first, NOW), Ok(()));
    assert_eq!(replays.take(&first, NOW + 59), Err(Problem::ProofReplayed));
    assert_eq!(replays.look(&first, NOW + 59), Err(Problem::ProofReplayed));
    assert_eq!(replays.take(&second, NOW), Ok(()));
    // Of one key there is room for two; others are not shut out.
    assert_eq!(replays.take(&of(&signer, "c"), NOW), Err(Problem::ProofsFull));
    let others: Vec<Signer> = (0..3).map(|_| Signer::new(Algorithm::Ed25519, "")).collect();
    // The same name by another key is another proof.
    assert_eq!(replays.take(&of(&others[0], "a"), NOW), Ok(()));
    assert_eq!(replays.take(&of(&others[1], "a"), NOW), Ok(()));
    assert_eq!(replays.take(&of(&others[2], "a"), NOW), Err(Problem::ProofsFull), "rather than one twice");
    assert_eq!(replays.count(), 4);
    // A minute later those are too old anyway, and forgotten.
    let later = proof(&others[2], "token", &json!({}), &json!({ "iat": NOW + 60, "jti": "z" }));
    let later = check_proof(&later, &TARGET, "token", None, &ProofRules::default(), NOW + 60).unwrap();
    assert_eq!((replays.take(&later, NOW + 60), replays.count()), (Ok(()), 1));
}

#[test]
fn a_bound_token_is_of_no_use_to_who_has_stolen_it() {
    let (issuer, client, thief) = (
        Signer::new(Algorithm::Es256, "k"),
        Signer::new(Algorithm::Es256, "client"),
        Signer::new(Algorithm::Es256, "thief"),
    );
    let keys = client.keys();
    let jkt = encode(keys.iter().next().unwrap().thumbprint());
    let certificate = certificate_thumbprint(b"a certificate");
    let issued = |confirmation: Value| -> (String, Verified) {
        let text = issuer.token(&json!({ "typ": "at+jwt" }), &claims(&json!({ "cnf": confirmation })));
        let verified = verify(&text, &issuer.keys(), &expected(Profile::AccessToken), NOW).unwrap();
        (text, verified)
    };
    let proven = |signer: &Signer, token: &str| {
        check_proof(
            &proof(signer, token, &json!({}), &json!({})),
            &TARGET,
            token,
            None,
            &ProofRules::default(),
            NOW,
        )
        .unwrap()
    };
    let (text, bound) = issued(json!({ "jkt": jkt }));
    let (by_client, by_thief) = (proven(&client, &text), proven(&thief, &text));
    for (scheme, proof, answer) in [
        (Scheme::DPoP, Some(&by_client), Ok(())),
        (Scheme::DPoP, Some(&by_thief), Err(Problem::BindingKey)),
        (Scheme::DPoP, None, Err(Problem::BindingKey)),
        // RFC 9449, section 7.2: no downgrade.
        (Scheme::Bearer, None, Err(Problem::BindingScheme)),
        (Scheme::Bearer, Some(&by_client), Err(Problem::BindingScheme)),
    ] {
        assert_eq!(check_binding(&bound, scheme, None, proof), answer);
    }
    // RFC 8705, section 3.
    let (_, by_certificate) = issued(json!({ "x5t#S256": encode(certificate) }));
    let other = certificate_thumbprint(b"another");
    for (shown, answer) in [
        (Some(&certificate), Ok(())),
        (Some(&other), Err(Problem::BindingCertificate)),
        (None, Err(Problem::BindingCertificate)),
    ] {
        assert_eq!(check_binding(&by_certificate, Scheme::Bearer, shown, None), answer);
    }
    // Both at once: both hold.
    let (text, both) = issued(json!({ "jkt": jkt, "x5t#S256": encode(certificate), "more": 1 }));
    let proof = proven(&client, &text);
    assert_eq!(check_binding(&both, Scheme::DPoP, Some(&certificate), Some(&proof)), Ok(()));
    assert_eq!(check_binding(&both, Scheme::DPoP, None, Some(&proof)), Err(Problem::BindingCertificate));
    let plain = verify(
        &issuer.token(&json!({ "typ": "at+jwt" }), &claims(&json!({}))),
        &issuer.keys(),
        &expected(Profile::AccessToken),
        NOW,
    );
    let plain = plain.unwrap();
    assert_eq!(plain.confirmation, Confirmation::default());
    assert_eq!(check_binding(&plain, Scheme::Bearer, None, None), Ok(()));
    assert_eq!(check_binding(&plain, Scheme::DPoP, None, Some(&proof)), Err(Problem::BindingScheme));
}

fn request<'r>(headers: &'r [(&'r str, &'r str)]) -> Request<'r> {
    let headers = headers
        .iter()
        .map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() })
        .collect();
    Request { method: b"GET", target: b"/", version: Version::Http11, headers, body: (&b""[..]).into() }
}

#[test]
fn a_request_has_one_credential_in_one_place() {
    let of = |headers: &[(&str, &str)], parameters: &[&str]| {
        let request = request(headers);
        credential(&request, parameters.iter().copied())
            .map(|found| format!("{:?} {} {:?}", found.scheme, found.token, found.proof))
    };
    let found = |text: &str| Ok(text.to_owned());
    // RFC 6750, section 2.1; RFC 9110, section 11.1: the scheme in any case.
    assert_eq!(of(&[("authorization", "Bearer a.b-c_~+/==")], &["q"]), found("Bearer a.b-c_~+/== None"));
    assert_eq!(of(&[("Authorization", "bEARER  abc")], &[]), found("Bearer abc None"));
    assert_eq!(of(&[("authorization", "DPoP abc"), ("dpop", "p")], &[]), found("DPoP abc Some(\"p\")"));
    let good = ("authorization", "Bearer abc");
    for (headers, parameters, problem) in [
        (&[][..], &[][..], Problem::CredentialMissing),
        (&[good, good], &[], Problem::CredentialTwice),
        (&[good, ("AUTHORIZATION", "Basic eDp5")], &[], Problem::CredentialTwice),
        (&[("authorization", "Basic eDp5")], &[], Problem::CredentialScheme),
        // RFC 6750, section 2, and RFC 9700, section 4.3.2.
        (&[good], &["a", "access_token"], Problem::CredentialPlace),
        (&[], &["access_token"], Problem::CredentialPlace),
        (&[good], &["Access_Token "], Problem::CredentialPlace),
        (&[("authorization", "Bearer")], &[], Problem::CredentialSyntax),
        (&[("authorization", "Bearer ")], &[], Problem::CredentialSyntax),
        (&[("authorization", "Bearer ==")], &[], Problem::CredentialSyntax),
        (&[("authorization", "Bearer a b")], &[], Problem::CredentialSyntax),
        (&[("authorization", "Bearer a,Bearer b")], &[], Problem::CredentialSyntax),
        (&[("authorization", "Bearer a, Basic b")], &[], Problem::CredentialSyntax),
        (&[("authorization", "Bearer \"abc\"")], &[], Problem::CredentialSyntax),
        (&[("authorization", "Bearer\tabc")], &[], Problem::CredentialSyntax),
        (&[("authorization", "Bearer a=b")], &[], Problem::CredentialSyntax),
        (&[("authorization", "Bearer abc\u{e9}")], &[], Problem::CredentialSyntax),
        (&[("authorization", "DPoP abc")], &[], Problem::Proof),
        // RFC 9449, section 4.3, step 1.
        (&[("authorization", "DPoP abc"), ("dpop", "p"), ("DPoP", "q")], &[], Problem::ProofTwice),
    ] {
        assert_eq!(of(headers, parameters), Err(problem), "{headers:?} {parameters:?}");
    }
}

#[test]
fn a_refusal_is_answered_as_the_standards_have_it() {
    let both = Challenge {
        realm: "a\"p\\i",
        schemes: &[Scheme::Bearer, Scheme::DPoP],
        algorithms: &[Algorithm::Es256, Algorithm::Ps256],
        scope: Some("read write"),
    };
    // RFC 6750, section 3.1: without a credential no error is named.
    assert_eq!(
        Problem::CredentialMissing.challenges(None, &both),
        ["Bearer realm=\"api\"", "DPoP realm=\"api\", algs=\"ES256 PS256\""]
    );
    assert_eq!(
        Problem::Expired.challenges(Some(Scheme::Bearer), &both),
        [
            "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"The token has expired.\"",
            "DPoP realm=\"api\", algs=\"ES256 PS256\""
        ]
    );
    let alone = Challenge { schemes: &[Scheme::Bearer], ..both };
    assert_eq!(
        Problem::Scope.challenges(Some(Scheme::Bearer), &alone),
        [
            "Bearer realm=\"api\", error=\"insufficient_scope\", error_description=\"The token does not cover what is asked for.\", scope=\"read write\""
        ]
    );
    // RFC 9449, sections 7.1 and 9: errors of proofs are DPoP's.
    for (problem, error) in
        [(Problem::ProofReplayed, "invalid_dpop_proof"), (Problem::NonceMissing, "use_dpop_nonce")]
    {
        let said = problem.challenges(Some(Scheme::DPoP), &both);
        assert_eq!(said[0], "Bearer realm=\"api\"");
        assert!(said[1].starts_with(&format!("DPoP realm=\"api\", error=\"{error}\"")), "{said:?}");
        assert_eq!(problem.status(), 401);
    }
    assert!(Problem::KeysUnavailable.challenges(None, &both).is_empty());
    for (problem, status, error) in [
        (Problem::CredentialMissing, 401, None),
        (Problem::CredentialTwice, 400, Some("invalid_request")),
        (Problem::Signature, 401, Some("invalid_token")),
        (Problem::BindingScheme, 401, Some("invalid_token")),
        (Problem::Scope, 403, Some("insufficient_scope")),
        (Problem::ProofsFull, 503, None),
    ] {
        assert_eq!((problem.status(), problem.error()), (status, error));
    }
}
