//! What RFC 7515, 7519, 8725 and 9068 demand of who verifies.

use serde_json::{Value, json};
use stopbank_checker::tokens::{
    Algorithm, Expected, KeySet, LONGEST_TOKEN, Problem, Profile, Verified, issuer_of, verify,
};

use crate::sign::{NOW, Signer, encode, merge, set};

pub(crate) fn expected(profile: Profile) -> Expected {
    Expected {
        issuer: "https://issuer.example".to_owned(),
        audiences: vec!["https://api.example".to_owned(), "second".to_owned()],
        profile,
        leeway: 60,
        longest_life: None,
    }
}

/// Claims of an access token by RFC 9068, changed.
pub(crate) fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": "https://api.example", "sub": "alice", "client_id": "app",
        "iat": NOW - 10, "exp": NOW + 300, "jti": "t-1", "scope": "read write",
    });
    merge(&mut claims, changes);
    claims
}

fn access(token: &str, keys: &KeySet) -> Result<Verified, Problem> {
    verify(token, keys, &expected(Profile::AccessToken), NOW)
}

const AT: &str = "at+jwt";

#[test]
fn a_token_of_each_algorithm_is_accepted_and_every_part_of_it_counts() {
    let signers: Vec<Signer> = Algorithm::ALL.into_iter().map(|one| Signer::new(one, one.name())).collect();
    let keys = set(&signers.iter().collect::<Vec<_>>());
    for signer in &signers {
        let token = signer.token(&json!({ "typ": AT }), &claims(&json!({})));
        let verified =
            access(&token, &keys).unwrap_or_else(|problem| panic!("{:?}: {problem}", signer.algorithm));
        assert_eq!(verified.subject.as_deref(), Some("alice"));
        assert_eq!(verified.scopes().collect::<Vec<_>>(), ["read", "write"]);
        assert_eq!((verified.expires, verified.issued), (NOW + 300, Some(NOW - 10)));
        assert_eq!(issuer_of(&token).as_deref(), Ok("https://issuer.example"));
        // Any character changed: it does not decode, or says something else, or is not signed.
        for at in (0..token.len()).step_by(7) {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert!(access(str::from_utf8(&other).unwrap(), &keys).is_err(), "{:?} {at}", signer.algorithm);
        }
        for end in (0..token.len()).step_by(11) {
            assert!(access(&token[..end], &keys).is_err());
        }
    }
}

#[test]
fn each_algorithm_is_by_its_own_key_alone() {
    // RFC 8725, section 3.1; RFC 7515, section 10.7. The header says one algorithm, the key is for another.
    let signers: Vec<Signer> = Algorithm::ALL.into_iter().map(|one| Signer::new(one, "k")).collect();
    for signer in &signers {
        let token = signer.token(&json!({ "typ": AT }), &claims(&json!({})));
        for other in signers.iter().filter(|other| other.algorithm != signer.algorithm) {
            assert_eq!(access(&token, &other.keys()).err(), Some(Problem::AlgorithmMismatch));
            // Signed with one, called another.
            let token =
                other.token(&json!({ "typ": AT, "alg": signer.algorithm.name() }), &claims(&json!({})));
            assert_eq!(access(&token, &signer.keys()).err(), Some(Problem::Signature));
        }
        let namesake = Signer::new(signer.algorithm, "k");
        // All of RSA share one pair here.
        if namesake.jwk() != signer.jwk() {
            assert_eq!(access(&token, &namesake.keys()).err(), Some(Problem::Signature));
        }
    }
}

/// Section, what it demands, changes of the header, changes of the claims, and the answer. RFC 9068's tokens.
type Must = (&'static str, &'static str, fn() -> (Value, Value), Option<Problem>);

const MUSTS: &[Must] = &[
    ("RFC 9068, 4", "typ is at+jwt", || (json!({}), json!({})), None),
    (
        "RFC 9068, 4",
        "or application/at+jwt, in any case",
        || (json!({ "typ": "Application/AT+JWT" }), json!({})),
        None,
    ),
    ("RFC 9068, 4", "no typ", || (json!({ "typ": null }), json!({})), Some(Problem::Type)),
    ("RFC 9068, 4", "another typ", || (json!({ "typ": "JWT" }), json!({})), Some(Problem::Type)),
    ("RFC 7515, 4.1.9", "typ is a string", || (json!({ "typ": 1 }), json!({})), Some(Problem::Header)),
    (
        "RFC 8725, 3.12",
        "an ID token is no access token",
        || (json!({ "typ": "id+jwt" }), json!({})),
        Some(Problem::Type),
    ),
    (
        "RFC 9068, 4",
        "no algorithm none",
        || (json!({ "alg": "none" }), json!({})),
        Some(Problem::AlgorithmNone),
    ),
    ("RFC 7515, 4.1.1", "alg is there", || (json!({ "alg": null }), json!({})), Some(Problem::Header)),
    (
        "RFC 7515, 4.1.1",
        "alg is a string",
        || (json!({ "alg": ["ES256"] }), json!({})),
        Some(Problem::Header),
    ),
    (
        "RFC 7515, 4.1.1",
        "case counts",
        || (json!({ "alg": "es256" }), json!({})),
        Some(Problem::AlgorithmUnknown),
    ),
    (
        "RFC 7515, 4",
        "unknown members are ignored",
        || (json!({ "x": { "y": [1] }, "x5t": "a" }), json!({})),
        None,
    ),
    ("RFC 7515, 4.1.4", "kid is a string", || (json!({ "kid": 1 }), json!({})), Some(Problem::KeyId)),
    (
        "RFC 7515, 4.1.4",
        "kid is compared with case",
        || (json!({ "kid": "K" }), json!({})),
        Some(Problem::KeyUnknown),
    ),
    ("RFC 7515, appendix D", "without kid, keys are tried", || (json!({ "kid": null }), json!({})), None),
    (
        "RFC 7515, 4.1.11",
        "crit is understood",
        || (json!({ "crit": ["exp"], "exp": 1 }), json!({})),
        Some(Problem::Critical),
    ),
    ("RFC 7515, 4.1.11", "crit is not empty", || (json!({ "crit": [] }), json!({})), Some(Problem::Critical)),
    ("RFC 7515, 4.1.11", "crit is a list", || (json!({ "crit": "exp" }), json!({})), Some(Problem::Critical)),
    (
        "RFC 7797, 7",
        "b64 is not used",
        || (json!({ "crit": ["b64"], "b64": false }), json!({})),
        Some(Problem::Critical),
    ),
    ("RFC 7797, 6", "nor without crit", || (json!({ "b64": false }), json!({})), Some(Problem::Unencoded)),
    (
        "RFC 8725, 3.10",
        "no jku",
        || (json!({ "jku": "https://a.example" }), json!({})),
        Some(Problem::KeyInToken),
    ),
    (
        "RFC 8725, 3.10",
        "no x5u",
        || (json!({ "x5u": "https://a.example" }), json!({})),
        Some(Problem::KeyInToken),
    ),
    (
        "RFC 8725, 3.1",
        "no jwk",
        || (json!({ "jwk": { "kty": "oct" } }), json!({})),
        Some(Problem::KeyInToken),
    ),
    ("RFC 8725, 3.1", "no x5c", || (json!({ "x5c": ["MA"] }), json!({})), Some(Problem::KeyInToken)),
    ("RFC 7519, 5.2", "not nested", || (json!({ "cty": "JWT" }), json!({})), Some(Problem::Nested)),
    ("RFC 7516, 9", "not encrypted", || (json!({ "enc": "A256GCM" }), json!({})), Some(Problem::Encrypted)),
    ("RFC 8725, 3.6", "not compressed", || (json!({ "zip": "DEF" }), json!({})), Some(Problem::Compressed)),
    (
        "RFC 9068, 4",
        "iss is the issuer's",
        || (json!({}), json!({ "iss": "https://issuer.example/" })),
        Some(Problem::Issuer),
    ),
    (
        "RFC 7519, 4.1.1",
        "iss counts case",
        || (json!({}), json!({ "iss": "https://ISSUER.example" })),
        Some(Problem::Issuer),
    ),
    (
        "RFC 7519, 4.1.1",
        "iss is a string",
        || (json!({}), json!({ "iss": ["https://issuer.example"] })),
        Some(Problem::ClaimType),
    ),
    ("RFC 9068, 2.2", "iss is there", || (json!({}), json!({ "iss": null })), Some(Problem::ClaimMissing)),
    (
        "RFC 9068, 4",
        "aud names who verifies",
        || (json!({}), json!({ "aud": "https://other.example" })),
        Some(Problem::Audience),
    ),
    ("RFC 7519, 4.1.3", "aud may be a list", || (json!({}), json!({ "aud": ["x", "second"] })), None),
    (
        "RFC 7519, 4.1.3",
        "none in the list",
        || (json!({}), json!({ "aud": ["x", "https://api.example/"] })),
        Some(Problem::Audience),
    ),
    ("RFC 7519, 4.1.3", "an empty list", || (json!({}), json!({ "aud": [] })), Some(Problem::Audience)),
    (
        "RFC 7519, 4.1.3",
        "a list of strings",
        || (json!({}), json!({ "aud": ["second", 1] })),
        Some(Problem::ClaimType),
    ),
    (
        "RFC 7519, 4.1.3",
        "no object",
        || (json!({}), json!({ "aud": { "second": 1 } })),
        Some(Problem::ClaimType),
    ),
    ("RFC 8725, 3.9", "aud is there", || (json!({}), json!({ "aud": null })), Some(Problem::ClaimMissing)),
    ("RFC 9068, 2.2", "exp is there", || (json!({}), json!({ "exp": null })), Some(Problem::ClaimMissing)),
    (
        "RFC 7519, 4.1.4",
        "not on exp, with leeway",
        || (json!({}), json!({ "exp": NOW - 60 })),
        Some(Problem::Expired),
    ),
    ("RFC 7519, 4.1.4", "before exp, with leeway", || (json!({}), json!({ "exp": NOW - 59 })), None),
    (
        "RFC 7519, 4.1.4",
        "exp is a number",
        || (json!({}), json!({ "exp": "1900000000" })),
        Some(Problem::ClaimType),
    ),
    ("RFC 7519, 2", "exp may have a fraction", || (json!({}), json!({ "exp": NOW as f64 + 0.5 })), None),
    (
        "RFC 7519, 2",
        "exp is in seconds",
        || (json!({}), json!({ "exp": (NOW + 300) * 1000 })),
        Some(Problem::DateRange),
    ),
    ("RFC 7519, 2", "exp is not before 1970", || (json!({}), json!({ "exp": -1 })), Some(Problem::DateRange)),
    ("RFC 7519, 4.1.5", "not before nbf", || (json!({}), json!({ "nbf": NOW + 61 })), Some(Problem::NotYet)),
    ("RFC 7519, 4.1.5", "from nbf, with leeway", || (json!({}), json!({ "nbf": NOW + 60 })), None),
    ("RFC 7519, 4.1.5", "nbf is a number", || (json!({}), json!({ "nbf": "0" })), Some(Problem::ClaimType)),
    ("RFC 7519, 4.1.6", "iat is a number", || (json!({}), json!({ "iat": true })), Some(Problem::ClaimType)),
    (
        "RFC 7519, 4.1.6",
        "iat is not to come",
        || (json!({}), json!({ "iat": NOW + 61 })),
        Some(Problem::IssuedLater),
    ),
    ("RFC 9068, 2.2", "iat is there", || (json!({}), json!({ "iat": null })), Some(Problem::ClaimMissing)),
    ("RFC 9068, 2.2", "sub is there", || (json!({}), json!({ "sub": null })), Some(Problem::ClaimMissing)),
    (
        "RFC 9068, 2.2",
        "client_id is there",
        || (json!({}), json!({ "client_id": null })),
        Some(Problem::ClaimMissing),
    ),
    ("RFC 9068, 2.2", "jti is there", || (json!({}), json!({ "jti": null })), Some(Problem::ClaimMissing)),
    ("RFC 7519, 4.1.7", "jti is a string", || (json!({}), json!({ "jti": 1 })), Some(Problem::ClaimType)),
    (
        "RFC 7519, 4.1.2",
        "sub is a string",
        || (json!({}), json!({ "sub": { "a": 1 } })),
        Some(Problem::ClaimType),
    ),
    (
        "RFC 8693, 4.2",
        "scope is a string",
        || (json!({}), json!({ "scope": ["read"] })),
        Some(Problem::ClaimType),
    ),
    ("RFC 7800, 3.1", "cnf is an object", || (json!({}), json!({ "cnf": "a" })), Some(Problem::ClaimType)),
    (
        "RFC 7800, 3.1",
        "a binding that is unknown",
        || (json!({}), json!({ "cnf": { "kid": "a" } })),
        Some(Problem::ConfirmationUnknown),
    ),
    (
        "RFC 9449, 6.1",
        "jkt is a SHA-256",
        || (json!({}), json!({ "cnf": { "jkt": "AAAA" } })),
        Some(Problem::ClaimType),
    ),
    (
        "RFC 8705, 3.1",
        "x5t#S256 is a SHA-256",
        || (json!({}), json!({ "cnf": { "x5t#S256": 7 } })),
        Some(Problem::ClaimType),
    ),
    ("RFC 7519, 4", "unknown claims are ignored", || (json!({}), json!({ "roles": [{ "a": null }] })), None),
];

#[test]
fn every_must_of_the_standards_has_its_answer() {
    let signer = Signer::new(Algorithm::Es256, "k");
    let keys = signer.keys();
    for (section, demand, change, answer) in MUSTS {
        let (header, changes) = change();
        let mut head = json!({ "alg": "ES256", "kid": "k", "typ": AT });
        merge(&mut head, &header);
        let token = signer.raw(head.to_string(), claims(&changes).to_string());
        assert_eq!(access(&token, &keys).err(), *answer, "{section}: {demand}");
    }
}

#[test]
fn a_name_that_stands_twice_or_anything_behind_the_object_is_refused() {
    // RFC 7515, section 4, and RFC 7519, section 4: names are unique; or the last one counts, which is how two verifiers come to differ.
    let signer = Signer::new(Algorithm::Es256, "k");
    let keys = signer.keys();
    let good = claims(&json!({})).to_string();
    let header = r#"{"alg":"ES256","kid":"k","typ":"at+jwt"}"#;
    assert!(access(&signer.raw(header, &good), &keys).is_ok());
    for (header, payload, problem) in [
        (r#"{"alg":"ES256","alg":"ES256","typ":"at+jwt"}"#, &*good, Problem::Header),
        (r#"{"alg":"none","typ":"at+jwt","\u0061lg":"ES256"}"#, &good, Problem::Header),
        (r#"{"alg":"ES256","typ":"at+jwt"} {}"#, &good, Problem::Header),
        (r#"{"alg":"ES256","typ":"at+jwt",}"#, &good, Problem::Header),
        ("\u{feff}{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", &good, Problem::Header),
        (r#"["ES256"]"#, &good, Problem::Header),
        ("", &good, Problem::Header),
        (header, &good.replace('}', r#","sub":"admin"}"#), Problem::Claims),
        (header, &good.replace('}', r#","s\u0075b":"admin"}"#), Problem::Claims),
        (header, &format!("{good}x"), Problem::Claims),
        (header, &good.replace('}', r#","n":1e999}"#), Problem::Claims),
        (header, &good.replace('}', r#","s":"\ud800"}"#), Problem::Claims),
        (header, "[]", Problem::Claims),
        (header, "", Problem::Claims),
        (header, &format!("{}1{}", "[".repeat(900), "]".repeat(900)), Problem::Claims),
    ] {
        assert_eq!(access(&signer.raw(header, payload), &keys).err(), Some(problem), "{header} {payload}");
    }
}

#[test]
fn only_utf_8_is_text() {
    // RFC 8725, section 3.7; RFC 7515, section 5.2, steps 3 and 4.
    let signer = Signer::new(Algorithm::Es256, "k");
    let keys = signer.keys();
    let (header, good) = (r#"{"alg":"ES256","kid":"k","typ":"at+jwt"}"#, claims(&json!({})).to_string());
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let bad = |text: &str, byte: u8| -> Vec<u8> {
        text.replacen('k', "\u{7f}", 1).bytes().map(|one| if one == 0x7f { byte } else { one }).collect()
    };
    for other in [wide(header), bad(header, 0xff), bad(header, 0xc0), bad(header, 0)] {
        assert_eq!(access(&signer.raw(other, &good), &keys).err(), Some(Problem::Header));
    }
    let named = good.replacen("alice", "k", 1);
    for other in [wide(&good), bad(&named, 0xff), bad(&named, 0xed), bad(&named, 1)] {
        assert_eq!(access(&signer.raw(header, other), &keys).err(), Some(Problem::Claims));
    }
}

#[test]
fn what_a_token_is_made_of_is_bounded() {
    let signer = Signer::new(Algorithm::Es256, "k");
    let keys = signer.keys();
    let at = json!({ "typ": AT });
    let long = signer.token(&at, &claims(&json!({ "x": "y".repeat(LONGEST_TOKEN) })));
    assert_eq!(access(&long, &keys).err(), Some(Problem::Length));
    for (change, problem) in [
        (json!({ "kid": "k".repeat(257) }), Problem::KeyId),
        (json!({ "kid": "" }), Problem::KeyId),
        (json!({ "kid": "k\0" }), Problem::KeyId),
        (json!({ "typ": "t".repeat(257) }), Problem::Header),
        (json!({ "pad": "p".repeat(4_096) }), Problem::Header),
    ] {
        assert_eq!(access(&signer.token(&change, &claims(&json!({}))), &keys).err(), Some(problem));
    }
    let deep = signer.token(&at, &claims(&json!({ "a": [[[[[[[[1]]]]]]]] })));
    assert_eq!(access(&deep, &keys).err(), Some(Problem::Claims));
    let names = json!({ "sub": "s".repeat(1_025) });
    assert_eq!(access(&signer.token(&at, &claims(&names)), &keys).err(), Some(Problem::ClaimType));
}

#[test]
fn a_token_of_another_kind_does_not_pass() {
    // RFC 8725, sections 3.11 and 3.12.
    let signer = Signer::new(Algorithm::Es256, "k");
    let keys = signer.keys();
    let plain = json!({ "sub": null, "client_id": null, "jti": null, "iat": null, "scope": ["a"] });
    for (typ, profile, answer) in [
        (json!({}), Profile::Jwt, None),
        (json!({ "typ": "JWT" }), Profile::Jwt, None),
        (json!({ "typ": "application/jwt" }), Profile::Jwt, None),
        (json!({ "typ": AT }), Profile::Jwt, Some(Problem::Type)),
        (json!({ "typ": "dpop+jwt" }), Profile::Jwt, Some(Problem::Type)),
        (json!({ "typ": "logout+jwt" }), Profile::Jwt, Some(Problem::Type)),
        (json!({ "typ": "secevent+jwt" }), Profile::Typed("secevent+jwt".to_owned()), None),
        (json!({}), Profile::Typed("secevent+jwt".to_owned()), Some(Problem::Type)),
    ] {
        let token = signer.token(&typ, &claims(&plain));
        assert_eq!(verify(&token, &keys, &expected(profile), NOW).err(), answer, "{typ}");
    }
}

#[test]
fn leeway_and_life_are_bounded() {
    let signer = Signer::new(Algorithm::Es256, "k");
    let keys = signer.keys();
    let mut expected = expected(Profile::AccessToken);
    expected.leeway = u64::MAX;
    let token = |changes| signer.token(&json!({ "typ": AT }), &claims(&changes));
    // RFC 7519, section 4.1.4: "usually no more than a few minutes".
    for (exp, answer) in [(NOW - 299, None), (NOW - 300, Some(Problem::Expired)), (0, Some(Problem::Expired))]
    {
        assert_eq!(verify(&token(json!({ "exp": exp })), &keys, &expected, NOW).err(), answer);
    }
    expected.longest_life = Some(310);
    assert!(verify(&token(json!({})), &keys, &expected, NOW).is_ok());
    let long = token(json!({ "exp": NOW + 301 }));
    assert_eq!(verify(&long, &keys, &expected, NOW).err(), Some(Problem::Lifetime));
    expected.audiences.clear();
    assert_eq!(verify(&token(json!({})), &keys, &expected, NOW).err(), Some(Problem::Audience));
}

#[test]
fn one_serialisation_and_no_other() {
    // RFC 7519, section 7.2, and RFC 7515, section 5.2.
    let signer = Signer::new(Algorithm::Es256, "k");
    let keys = signer.keys();
    let good = signer.token(&json!({ "typ": AT }), &claims(&json!({})));
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let json_form = json!({ "payload": payload, "protected": header, "signature": signature }).to_string();
    for (token, problem) in [
        (String::new(), Problem::Serialization),
        (format!("{header}.{payload}"), Problem::Serialization),
        (format!("{good}.{signature}"), Problem::Serialization),
        (format!("{good}.a.b"), Problem::Encrypted),
        (json_form, Problem::Serialization),
        (format!(" {good}"), Problem::Encoding),
        (format!("{good}\n"), Problem::Encoding),
        (format!("{good}=="), Problem::Encoding),
        (good.replace('.', ". "), Problem::Encoding),
        (format!("{header}=.{payload}.{signature}"), Problem::Encoding),
        (format!("{header}..{signature}"), Problem::Signature),
        (format!("{header}.{payload}."), Problem::Signature),
        (format!("{header}.{payload}.{}", encode([0; 64])), Problem::Signature),
        (
            format!("{}.{payload}.{signature}", encode("{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}")),
            Problem::Signature,
        ),
    ] {
        assert_eq!(access(&token, &keys).err(), Some(problem), "{token}");
    }
}
