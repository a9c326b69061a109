//! Wycheproof's vectors of JSON Web Signatures, each through the verifier. Where they are not there, the test says so and counts as skipped.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{fs, path::Path};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::{Value, json};
use stopbank_checker::tokens::{Algorithm, Compact, KeySet, Problem, Rules};

/// Vectors whose label other vectors of the same file, or the standards, contradict; and what they are answered with.
///
/// 346 and 350: the key is for PS256, the token says PS384, which 334 and 338 call invalid (and RFC 8725, section 3.1). RFC 7520, section 4.2, whose
/// example it is, has no `alg` in the key: without it, the signature is right. 367 and 370 are byte for byte the valid 357. 372 and 373 have a `?` in
/// what is to be base64url, which 366 and 371 call invalid (and RFC 7515, section 5.2).
const CONTRADICTED: [(u64, Option<Problem>); 6] = [
    (346, Some(Problem::AlgorithmMismatch)),
    (350, Some(Problem::AlgorithmMismatch)),
    (367, None),
    (370, None),
    (372, Some(Problem::Encoding)),
    (373, Some(Problem::Encoding)),
];

fn main() {
    let trial = Trial::ignorable_test("Wycheproof: every signature is judged as it should be", all);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

fn all() -> Result<Completion, Failed> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/wycheproof/json_web_signature_test.json");
    let Ok(text) = fs::read(&file) else {
        let why = format!("there is no {}", file.display());
        println!("SKIPPED Wycheproof: {why}");
        return Ok(Completion::ignored_with(why));
    };
    let suite: Value = serde_json::from_slice(&text).unwrap();
    let (mut judged, mut wrong, mut answers) = (0, Vec::new(), std::collections::BTreeMap::new());
    for group in suite["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            let said = judge(key, test["jws"].as_str().unwrap_or_default());
            let right = match CONTRADICTED.iter().find(|(contradicted, _)| *contradicted == id) {
                Some((_, answer)) => said.err() == *answer,
                None => said.is_ok() == (test["result"] == "valid"),
            };
            if !right {
                wrong.push(format!("{id} {} ({}): {said:?}", test["comment"], test["result"]));
            }
            judged += 1;
            *answers.entry(said.map_or_else(Problem::name, |()| "valid")).or_insert(0) += 1;
            if matches!(id, 346 | 350) {
                let mut key = key.clone();
                key["alg"] = "PS384".into();
                assert_eq!(judge(&key, test["jws"].as_str().unwrap()), Ok(()), "as RFC 7520 has the key");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(suite["numberOfTests"].as_u64(), Some(judged));
    println!("{judged} vectors: {answers:?}");
    Ok(Completion::Completed)
}

fn judge(key: &Value, jws: &str) -> Result<(), Problem> {
    let rules = Rules { algorithms: Algorithm::ALL.to_vec(), secrets: true };
    let keys = KeySet::read(json!({ "keys": [key] }).to_string().as_bytes(), &rules);
    // A key that is not for signatures is no key.
    let keys = keys.unwrap_or_default();
    Compact::read(jws)?.verify(&keys).map(drop)
}
