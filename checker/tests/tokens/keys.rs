//! Sets of keys (RFC 7517; RFC 7518, section 6; RFC 8037; RFC 7638).

use serde_json::{Value, json};
use stopbank_checker::tokens::{
    Algorithm, Key, KeyProblem, KeySet, Problem, Profile, Rules, SetProblem, verify,
};

use crate::{
    jwt::{claims, expected},
    sign::{NOW, Signer, encode, merge, random, set},
};

/// What becomes of a key beside one that is right.
fn problem(key: &Value, rules: &Rules) -> Option<KeyProblem> {
    let good = Signer::new(Algorithm::Es256, "good").jwk();
    let read = KeySet::read(json!({ "keys": [good, key] }).to_string().as_bytes(), rules).unwrap();
    assert_eq!(read.iter().count() + read.notes().len(), 2);
    read.notes().first().map(|note| {
        assert_eq!(note.number, 2);
        note.problem
    })
}

fn changed(key: &Value, changes: &Value) -> Value {
    let mut key = key.clone();
    merge(&mut key, changes);
    key
}

#[test]
fn a_key_that_cannot_be_used_is_left_out_and_named() {
    let rules = Rules::default();
    let (rsa, curve) = (Signer::new(Algorithm::Rs256, "r").jwk(), Signer::new(Algorithm::Es256, "e").jwk());
    let (wide, edwards) =
        (Signer::new(Algorithm::Es512, "w").jwk(), Signer::new(Algorithm::Ed25519, "o").jwk());
    for key in [&rsa, &curve, &wide, &edwards] {
        assert_eq!(problem(key, &rules), None);
        assert_eq!(
            problem(&changed(key, &json!({ "use": "sig", "key_ops": ["verify"], "x5t": "a" })), &rules),
            None
        );
    }
    let other_point = Signer::new(Algorithm::Es256, "f").jwk();
    for (key, changes, answer) in [
        (&curve, json!({ "kty": "XX" }), KeyProblem::Type),
        (&curve, json!({ "kty": "ec" }), KeyProblem::Type),
        (&curve, json!({ "kty": null }), KeyProblem::Member),
        (&curve, json!({ "crv": "secp256k1" }), KeyProblem::Curve),
        (&edwards, json!({ "crv": "X25519" }), KeyProblem::Curve),
        (&edwards, json!({ "crv": "Ed448" }), KeyProblem::Curve),
        // RFC 7517, section 4.2 and 4.3.
        (&curve, json!({ "use": "enc" }), KeyProblem::Use),
        (&curve, json!({ "use": ["sig"] }), KeyProblem::Use),
        (&curve, json!({ "key_ops": ["encrypt"] }), KeyProblem::Operations),
        (&curve, json!({ "key_ops": ["verify", "verify"] }), KeyProblem::Operations),
        (&curve, json!({ "key_ops": "verify" }), KeyProblem::Operations),
        // RFC 7517, section 4.4.
        (&curve, json!({ "alg": "RS256" }), KeyProblem::Algorithm),
        (&curve, json!({ "alg": "ES384" }), KeyProblem::Algorithm),
        (&curve, json!({ "alg": "HS256" }), KeyProblem::Algorithm),
        (&curve, json!({ "alg": "none" }), KeyProblem::Algorithm),
        (&curve, json!({ "alg": 1 }), KeyProblem::Algorithm),
        (&rsa, json!({ "alg": "RSA-OAEP" }), KeyProblem::Algorithm),
        (&curve, json!({ "kid": 1 }), KeyProblem::Name),
        (&curve, json!({ "kid": "k".repeat(257) }), KeyProblem::Name),
        (&curve, json!({ "d": encode(random(32)) }), KeyProblem::Private),
        (&rsa, json!({ "p": encode(random(128)) }), KeyProblem::Private),
        // RFC 7518, section 6.2.1: whole coordinates, on the curve.
        (&curve, json!({ "x": other_point["x"] }), KeyProblem::OffCurve),
        (&curve, json!({ "x": encode([0; 32]), "y": encode([0; 32]) }), KeyProblem::OffCurve),
        (&curve, json!({ "x": encode([0xff; 32]) }), KeyProblem::OffCurve),
        (&wide, json!({ "y": encode([1; 66]) }), KeyProblem::OffCurve),
        (&curve, json!({ "x": encode([7; 31]) }), KeyProblem::Encoding),
        (&curve, json!({ "x": null }), KeyProblem::Member),
        (&curve, json!({ "y": 1 }), KeyProblem::Member),
        (&curve, json!({ "crv": "P-384", "alg": null }), KeyProblem::Encoding),
        // RFC 7518, sections 3.3 and 6.3.1.
        (&rsa, json!({ "n": encode(modulus(128, 0xff, 1)) }), KeyProblem::Modulus),
        (&rsa, json!({ "n": encode(modulus(256, 0x7f, 1)) }), KeyProblem::Modulus),
        (&rsa, json!({ "n": encode(modulus(1025, 0xff, 1)) }), KeyProblem::Modulus),
        (&rsa, json!({ "n": encode(modulus(256, 0xff, 2)) }), KeyProblem::Modulus),
        (&rsa, json!({ "n": encode(modulus(257, 0, 1)) }), KeyProblem::Encoding),
        (&rsa, json!({ "n": "" }), KeyProblem::Encoding),
        (&rsa, json!({ "n": "A+/=" }), KeyProblem::Encoding),
        (&rsa, json!({ "e": encode([1]) }), KeyProblem::Exponent),
        (&rsa, json!({ "e": encode([3]) }), KeyProblem::Exponent),
        (&rsa, json!({ "e": encode([1, 0, 0]) }), KeyProblem::Exponent),
        (&rsa, json!({ "e": encode([2, 0, 0, 0, 1]) }), KeyProblem::Exponent),
        (&rsa, json!({ "e": encode([0xff; 256]) }), KeyProblem::Exponent),
        (&rsa, json!({ "e": encode([0, 1, 0, 1]) }), KeyProblem::Encoding),
        (&edwards, json!({ "x": encode([1; 31]) }), KeyProblem::Encoding),
        (&json!({ "kty": "oct" }), json!({ "k": encode(random(32)), "alg": "HS256" }), KeyProblem::Secret),
    ] {
        assert_eq!(problem(&changed(key, &changes), &rules), Some(answer), "{changes}");
    }
    let note = KeySet::read(
        json!({ "keys": [curve, changed(&rsa, &json!({ "e": "Aw", "kid": "a\u{1b}[2J" }))] })
            .to_string()
            .as_bytes(),
        &rules,
    );
    assert_eq!(
        note.unwrap().notes()[0].to_string(),
        "key 2 (a\\u{1b}[2J) is left out: its exponent is even, below 65537, or of more than 33 bits"
    );
}

fn modulus(length: usize, first: u8, last: u8) -> Vec<u8> {
    let mut bytes = vec![0x55; length];
    bytes[0] = first;
    bytes[length - 1] = last;
    bytes
}

#[test]
fn points_of_small_order_with_which_anybody_signs_are_no_keys() {
    let mut one = [0; 32];
    one[0] = 1;
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(one), "kid": "k" });
    // ring takes the point, and for it the signature that nobody has made.
    let forged = [&one[..], &[0; 32]].concat();
    ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, one)
        .verify(b"anything", &forged)
        .unwrap();
    for sign in [0, 0x80] {
        one[31] = sign;
        let key = changed(&key, &json!({ "x": encode(one) }));
        assert_eq!(problem(&key, &Rules::default()), Some(KeyProblem::SmallOrder));
    }
}

#[test]
fn secrets_are_for_configurations_that_ask_for_them_and_long() {
    let rules = Rules { algorithms: Algorithm::ALL.to_vec(), secrets: true };
    let secret =
        |algorithm: &str, bytes: Vec<u8>| json!({ "kty": "oct", "alg": algorithm, "k": encode(bytes) });
    // RFC 7518, section 3.2; RFC 8725, section 3.5.
    for (algorithm, length) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        assert_eq!(problem(&secret(algorithm, random(length)), &rules), None);
        assert_eq!(problem(&secret(algorithm, random(length - 1)), &rules), Some(KeyProblem::WeakSecret));
    }
    assert_eq!(
        problem(&json!({ "kty": "oct", "k": encode(random(64)) }), &rules),
        Some(KeyProblem::Algorithm)
    );
    let public = b"-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A".to_vec();
    assert_eq!(problem(&secret("HS256", public), &rules), Some(KeyProblem::PublicSecret));
    let jwk = Signer::new(Algorithm::Es256, "k").jwk().to_string();
    assert_eq!(Key::secret(None, Algorithm::Hs256, jwk.as_bytes()).err(), Some(KeyProblem::PublicSecret));
    assert_eq!(Key::secret(None, Algorithm::Es256, &random(32)).err(), Some(KeyProblem::Algorithm));
    let shown = format!("{:?}", Key::secret(None, Algorithm::Hs256, &[b's'; 32]).unwrap());
    assert_eq!(shown, "Key(None, HS256)");
    let rules = Rules { algorithms: Algorithm::ASYMMETRIC.to_vec(), secrets: true };
    assert_eq!(problem(&secret("HS256", random(32)), &rules), Some(KeyProblem::NotAllowed));
}

#[test]
fn sets_are_bounded_and_strict() {
    let read = |text: &str| KeySet::read(text.as_bytes(), &Rules::default()).err();
    let key = Signer::new(Algorithm::Ed25519, "k").jwk();
    assert_eq!(read(&json!({ "keys": vec![&key; 64], "more": 1 }).to_string()), None);
    assert_eq!(read(&json!({ "keys": vec![&key; 65] }).to_string()), Some(SetProblem::Keys));
    assert_eq!(
        read(&format!("{}{}", json!({ "keys": [key] }), " ".repeat(256 << 10))),
        Some(SetProblem::Size)
    );
    // RFC 7517, section 5: "keys" must be there, and names are unique.
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]} x"#] {
        assert_eq!(read(text), Some(SetProblem::Syntax), "{text}");
    }
    for text in [r#"{"keys":[]}"#, r#"{"keys":[1,"a",{}]}"#] {
        assert_eq!(read(text), Some(SetProblem::Empty), "{text}");
    }
    // A certificate chain beside a key is ignored.
    let chain = changed(&key, &json!({ "x5c": ["M".repeat(4_000), "M".repeat(30_000)] }));
    assert_eq!(read(&json!({ "keys": [chain] }).to_string()), None);
}

#[test]
fn keys_are_chosen_by_name_and_algorithm() {
    let signers = [
        Signer::new(Algorithm::Es256, "same"),
        Signer::new(Algorithm::Rs256, "same"),
        Signer::new(Algorithm::Es256, "other"),
    ];
    let keys = set(&signers.each_ref());
    let judge = |signer: &Signer, header: Value, keys: &KeySet| {
        let mut header = header;
        header["typ"] = "at+jwt".into();
        let token = signer.token(&header, &claims(&json!({})));
        verify(&token, keys, &expected(Profile::AccessToken), NOW).err()
    };
    for signer in &signers {
        // RFC 7517, section 4.5: keys of different types may have one name.
        assert_eq!(judge(signer, json!({}), &keys), None);
        assert_eq!(judge(signer, json!({ "kid": null }), &keys), None);
        assert_eq!(judge(signer, json!({ "kid": "none" }), &keys), Some(Problem::KeyUnknown));
    }
    assert_eq!(judge(&signers[0], json!({ "kid": "other" }), &keys), Some(Problem::Signature));
    // The work that a token without a name can ask for is bounded.
    let many: Vec<Signer> = ["a", "b", "c", "d", "e"].map(|id| Signer::new(Algorithm::Es256, id)).into();
    let keys = set(&many.iter().collect::<Vec<_>>());
    assert_eq!(judge(&many[0], json!({ "kid": null }), &keys), Some(Problem::KeyAmbiguous));
    assert_eq!(judge(&many[4], json!({}), &keys), None);
}

#[test]
fn a_key_of_rsa_without_an_algorithm_is_for_one_nevertheless() {
    let signers = [Signer::new(Algorithm::Rs256, "k"), Signer::new(Algorithm::Ps256, "k")];
    let bare = json!({ "keys": [changed(&signers[0].jwk(), &json!({ "alg": null }))] }).to_string();
    for (algorithms, answers) in [
        (
            vec![Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256],
            [None, Some(Problem::AlgorithmMismatch)],
        ),
        (vec![Algorithm::Ps256, Algorithm::Rs256], [Some(Problem::AlgorithmMismatch), None]),
    ] {
        let keys = KeySet::read(bare.as_bytes(), &Rules { algorithms, secrets: false }).unwrap();
        for (signer, answer) in signers.iter().zip(answers) {
            let token = signer.token(&json!({ "typ": "at+jwt" }), &claims(&json!({})));
            assert_eq!(verify(&token, &keys, &expected(Profile::AccessToken), NOW).err(), answer);
        }
    }
    let none = Rules { algorithms: vec![Algorithm::Es256], secrets: false };
    assert_eq!(KeySet::read(bare.as_bytes(), &none).err(), Some(SetProblem::Empty));
}

#[test]
fn thumbprints_are_those_of_the_standards() {
    // RFC 7638, section 3.1, and RFC 8037, appendix A.3.
    let rsa = json!({
        "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    });
    let edwards =
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let keys =
        KeySet::read(json!({ "keys": [rsa, edwards] }).to_string().as_bytes(), &Rules::default()).unwrap();
    let thumbprints: Vec<String> = keys.iter().map(|key| encode(key.thumbprint())).collect();
    assert_eq!(
        thumbprints,
        ["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]
    );
}
