//! Tokens with which verifiers were walked past elsewhere. None passes here, whatever the signature is made with.

use serde_json::{Value, json};
use stopbank_checker::tokens::{Algorithm, Expected, KeySet, Problem, Profile, verify};

use crate::{
    jwt::{claims, expected},
    sign::{NOW, Signer, encode, merge, set},
};

/// A verifier that has keys of every kind but secrets, as most have.
struct Bench {
    curve: Signer,
    rsa: Signer,
    edwards: Signer,
    keys: KeySet,
    expected: Expected,
}

impl Bench {
    fn new() -> Self {
        let (curve, rsa) = (Signer::new(Algorithm::Es256, "curve"), Signer::new(Algorithm::Rs256, "rsa"));
        let edwards = Signer::new(Algorithm::Ed25519, "edwards");
        let keys = set(&[&curve, &rsa, &edwards]);
        Self { curve, rsa, edwards, keys, expected: expected(Profile::Jwt) }
    }

    fn refuses(&self, name: &str, token: &str, problem: Problem) {
        assert_eq!(verify(token, &self.keys, &self.expected, NOW).err(), Some(problem), "{name}: {token}");
    }

    /// Signed rightly, with another header.
    fn refuses_header(&self, name: &str, header: &Value, problem: Problem) {
        self.refuses(name, &self.curve.token(header, &claims(&json!({}))), problem);
    }
}

/// Parts of a token with a signature of somebody's choice.
fn unsigned(header: &Value, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}.{}", encode(header.to_string()), encode(claims(&json!({})).to_string()), encode(signature))
}

#[test]
fn the_bench_accepts_what_is_right() {
    let bench = Bench::new();
    for signer in [&bench.curve, &bench.rsa, &bench.edwards] {
        verify(&signer.token(&json!({}), &claims(&json!({}))), &bench.keys, &bench.expected, NOW).unwrap();
    }
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let bench = Bench::new();
    let spellings = ["none", "None", "NONE", "nOnE", "NonE", " none", "none ", "none\t", "\nnone", "nonE"];
    for alg in spellings {
        for signature in [&b""[..], b"x", &[0; 64]] {
            bench.refuses(
                alg,
                &unsigned(&json!({ "alg": alg, "kid": "curve" }), signature),
                Problem::AlgorithmNone,
            );
        }
        bench.refuses_header("signed, and called none", &json!({ "alg": alg }), Problem::AlgorithmNone);
    }
    for alg in ["", "null", "n\u{043e}ne", "none\0", "\"none\"", "HS256,none", "ES256 ", " ES256", "ES256\n"]
    {
        bench.refuses_header(alg, &json!({ "alg": alg }), Problem::AlgorithmUnknown);
    }
    for alg in [json!([]), json!({}), json!(0), json!(true)] {
        bench.refuses_header("alg of another type", &json!({ "alg": alg }), Problem::Header);
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // Algorithm confusion (CVE-2015-9235 and its kin): HMAC with what everybody can read.
    let bench = Bench::new();
    for (signer, id) in [(&bench.rsa, "rsa"), (&bench.curve, "curve"), (&bench.edwards, "edwards")] {
        let jwk = signer.jwk();
        let mut secrets = vec![jwk.to_string().into_bytes(), b"-----BEGIN PUBLIC KEY-----".to_vec()];
        for member in ["n", "x", "y"] {
            secrets.extend(jwk[member].as_str().map(|text| text.as_bytes().to_vec()));
        }
        for secret in secrets {
            for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
                let forger = Signer::with_secret(algorithm, "forger", secret.clone());
                let token = forger.token(&json!({ "kid": id }), &claims(&json!({})));
                bench.refuses("HMAC with a public key", &token, Problem::AlgorithmMismatch);
                let nameless = forger.token(&json!({ "kid": null }), &claims(&json!({})));
                bench.refuses("HMAC with a public key, without kid", &nameless, Problem::AlgorithmMismatch);
            }
        }
    }
    let bare = Signer::with_secret(Algorithm::Hs256, "", Vec::new());
    bench.refuses(
        "an empty secret",
        &bare.token(&json!({ "kid": null }), &claims(&json!({}))),
        Problem::AlgorithmMismatch,
    );
}

#[test]
fn signatures_of_nothing_are_none() {
    let bench = Bench::new();
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&order[2 * at..2 * at + 2], 16).unwrap()).collect();
    let one: Vec<u8> = (0..32).map(|at| u8::from(at == 31)).collect();
    let header = json!({ "alg": "ES256", "kid": "curve" });
    let halves = [&[0; 32][..], &one, &order, &[0xff; 32]];
    // CVE-2022-21449: r = s = 0, and what is as good.
    for (r, s) in halves.iter().flat_map(|r| halves.iter().map(move |s| (r, s))) {
        bench.refuses("r and s", &unsigned(&header, [*r, *s].concat()), Problem::Signature);
    }
    let token = bench.curve.token(&json!({}), &claims(&json!({})));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    // DER, as TLS has it; one byte more, one less; twice.
    let der = [&[0x30, 68, 2, 32][..], &signature[..32], &[2, 32], &signature[32..]].concat();
    for other in [der, [&signature[..], &[0]].concat(), signature[..63].to_vec(), signature.repeat(2), vec![]]
    {
        bench.refuses("another form", &format!("{signed}.{}", encode(other)), Problem::Signature);
    }
    for (alg, kid, length) in [("RS256", "rsa", 256), ("EdDSA", "edwards", 64)] {
        let header = json!({ "alg": alg, "kid": kid });
        for signature in [vec![], vec![0; length], vec![0xff; length], vec![1; length - 1], vec![0; 2_000]] {
            bench.refuses(alg, &unsigned(&header, signature), Problem::Signature);
        }
    }
}

#[test]
fn the_name_of_a_key_is_a_name_and_nothing_else() {
    let bench = Bench::new();
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "..\\..\\windows\\win.ini",
        "file:///etc/passwd",
        "http://127.0.0.1/jwks.json",
        "x' UNION SELECT 'secret",
        "curve' OR '1'='1",
        "curve|| sleep 5",
        "$(id)",
        "{{7*7}}",
        "${jndi:ldap://a.example/x}",
        "*",
        "curve ",
        "Curve",
        "curve/../rsa",
        "%63urve",
        "__proto__",
        "constructor",
        "0",
    ] {
        bench.refuses_header(kid, &json!({ "kid": kid }), Problem::KeyUnknown);
    }
    let too_long = "a".repeat(100_000);
    for kid in
        [json!("curve\0"), json!("cur\r\nve"), json!(["curve"]), json!({ "curve": 1 }), json!(0), json!("")]
    {
        bench.refuses_header("kid", &json!({ "kid": kid }), Problem::KeyId);
    }
    bench.refuses_header("kid", &json!({ "kid": too_long }), Problem::Length);
}

#[test]
fn a_token_brings_no_key() {
    let bench = Bench::new();
    let attacker = Signer::new(Algorithm::Es256, "curve");
    for header in [
        json!({ "jwk": attacker.jwk() }),
        json!({ "jwk": attacker.jwk(), "kid": null }),
        json!({ "jku": "https://attacker.example/jwks.json" }),
        json!({ "jku": "https://issuer.example@attacker.example/" }),
        json!({ "x5u": "https://attacker.example/a.pem" }),
        json!({ "x5c": ["MIIB"] }),
        json!({ "jwk": null, "x5c": [] }),
    ] {
        bench.refuses("own key", &attacker.token(&header, &claims(&json!({}))), Problem::KeyInToken);
    }
    bench.refuses("another's key", &attacker.token(&json!({}), &claims(&json!({}))), Problem::Signature);
}

#[test]
fn crit_and_b64_are_no_way_around_the_payload() {
    let bench = Bench::new();
    for header in [
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "crit": ["b64"], "b64": true }),
        json!({ "crit": ["unknown"] }),
        json!({ "crit": ["alg"] }),
        json!({ "crit": [] }),
        json!({ "crit": {} }),
        json!({ "crit": [""] }),
        json!({ "crit": ["exp", "exp"], "exp": 1 }),
        json!({ "crit": vec!["x"; 200] }),
    ] {
        bench.refuses_header("crit", &header, Problem::Critical);
    }
    for b64 in [json!(false), json!(true), json!("false"), json!(0)] {
        bench.refuses_header("b64 without crit", &json!({ "b64": b64 }), Problem::Unencoded);
    }
    // The payload as it is, signed so.
    let header = encode(r#"{"alg":"ES256","kid":"curve","b64":false,"crit":["b64"]}"#);
    let text = claims(&json!({})).to_string().replace('.', "");
    let signed = format!("{header}.{text}");
    let token = format!("{signed}.{}", encode(bench.curve.sign(signed.as_bytes())));
    bench.refuses("unencoded", &token, Problem::Critical);
}

#[test]
fn a_token_in_a_token_is_none() {
    let bench = Bench::new();
    let inner = bench.curve.token(&json!({}), &claims(&json!({})));
    for cty in ["JWT", "jwt", "application/jwt", "at+jwt", "application/at+JWT"] {
        let header = json!({ "alg": "ES256", "kid": "curve", "cty": cty }).to_string();
        bench.refuses(cty, &bench.curve.raw(&header, &inner), Problem::Nested);
    }
    let header = r#"{"alg":"ES256","kid":"curve"}"#;
    bench.refuses("undeclared", &bench.curve.raw(header, &inner), Problem::Nested);
    bench.refuses("as a string", &bench.curve.raw(header, format!("\"{inner}\"")), Problem::Nested);
    // JWE: five parts, an algorithm for keys, or `enc`.
    let header = encode(r#"{"alg":"dir","enc":"A128CBC-HS256","cty":"JWT"}"#);
    bench.refuses("five parts", &format!("{header}..AAAA.AAAA.AAAA"), Problem::Encrypted);
    bench.refuses("three parts", &format!("{header}.AAAA.AAAA"), Problem::Encrypted);
    bench.refuses_header(
        "an algorithm for keys",
        &json!({ "alg": "PBES2-HS256+A128KW" }),
        Problem::AlgorithmUnknown,
    );
}

#[test]
fn dates_are_numbers_and_true_ones() {
    let bench = Bench::new();
    for (changes, problem) in [
        (json!({ "exp": "9999999999" }), Problem::ClaimType),
        (json!({ "exp": "2099-01-01T00:00:00Z" }), Problem::ClaimType),
        (json!({ "exp": [NOW + 60] }), Problem::ClaimType),
        (json!({ "exp": true }), Problem::ClaimType),
        (json!({ "exp": {} }), Problem::ClaimType),
        (json!({ "exp": "" }), Problem::ClaimType),
        (json!({ "exp": 1e300 }), Problem::DateRange),
        (json!({ "exp": u64::MAX }), Problem::DateRange),
        (json!({ "exp": i64::MIN }), Problem::DateRange),
        (json!({ "exp": -0.5 }), Problem::DateRange),
        (json!({ "exp": 0 }), Problem::Expired),
        (json!({ "exp": NOW as f64 - 60.5 }), Problem::Expired),
        (json!({ "nbf": "0" }), Problem::ClaimType),
        (json!({ "nbf": NOW as f64 + 60.5 }), Problem::NotYet),
        (json!({ "nbf": 1e300 }), Problem::DateRange),
        (json!({ "iat": "0" }), Problem::ClaimType),
        (json!({ "iat": 1e12 }), Problem::DateRange),
    ] {
        bench.refuses("dates", &bench.curve.token(&json!({}), &claims(&changes)), problem);
    }
    // What is a member and null is there, and of a wrong type.
    for name in ["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "cnf"] {
        let mut with_null = claims(&json!({}));
        with_null[name] = Value::Null;
        let token = bench.curve.token(&json!({}), &with_null);
        bench.refuses(name, &token, Problem::ClaimType);
    }
    for exp in [
        "1e400",
        "01800000300",
        "1800000300.",
        "+1800000300",
        "0x7fffffff",
        "NaN",
        "Infinity",
        "1_800_000_300",
    ] {
        let text = claims(&json!({})).to_string().replace(&(NOW + 300).to_string(), exp);
        bench.refuses(exp, &bench.curve.raw(r#"{"alg":"ES256","kid":"curve"}"#, &text), Problem::Claims);
    }
}

#[test]
fn whom_a_token_is_for_is_taken_to_the_letter() {
    let bench = Bench::new();
    for aud in [
        json!("https://api.example/"),
        json!("https://API.example"),
        json!("https://api.example "),
        json!("https://api.example.attacker.example"),
        json!("*"),
        json!(""),
        json!("https://api.example,second"),
        json!(["https://api.example\0"]),
        json!([[]]),
    ] {
        let token = bench.curve.token(&json!({}), &claims(&json!({ "aud": aud })));
        let problem = if aud == json!([[]]) { Problem::ClaimType } else { Problem::Audience };
        bench.refuses("aud", &token, problem);
    }
    for iss in [
        "https://issuer.example.attacker.example",
        "https://issuer.example#",
        "issuer.example",
        "https://issuer.example\0",
    ] {
        bench.refuses(iss, &bench.curve.token(&json!({}), &claims(&json!({ "iss": iss }))), Problem::Issuer);
    }
}

#[test]
fn names_that_stand_twice_do_not_split_readers() {
    let bench = Bench::new();
    let good = claims(&json!({})).to_string();
    for (header, payload, problem) in [
        (r#"{"alg":"ES256","kid":"curve","kid":"rsa"}"#, good.clone(), Problem::Header),
        (r#"{"alg":"ES256","kid":"curve","crit":["a"],"crit":[]}"#, good.clone(), Problem::Header),
        (r#"{"alg":"ES256","kid":"curve"}"#, format!("{{\"exp\":9999999999,{}", &good[1..]), Problem::Claims),
        (
            r#"{"alg":"ES256","kid":"curve"}"#,
            good.replace('}', r#","cnf":{"jkt":"a","jkt":"b"}}"#),
            Problem::Claims,
        ),
    ] {
        bench.refuses("twice", &bench.curve.raw(header, &payload), problem);
    }
    // Another case is another name: it is ignored, and what must be there is missed.
    let mut upper = claims(&json!({ "exp": null }));
    merge(&mut upper, &json!({ "EXP": NOW + 300, "Exp": NOW + 300 }));
    bench.refuses("EXP", &bench.curve.token(&json!({}), &upper), Problem::ClaimMissing);
    bench.refuses(
        "ALG",
        &bench.curve.token(&json!({ "alg": null, "ALG": "ES256" }), &upper),
        Problem::Header,
    );
}
