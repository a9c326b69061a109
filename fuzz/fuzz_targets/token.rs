//! Any bytes as a token, as a set of keys, as a proof and its URI: nothing panics, nothing is accepted that nobody has signed, and a token that can be read
//! is the only way to write what it says. Zero bytes part the three.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use stopbank_checker::tokens::{
    Algorithm, Compact, Expected, Key, KeySet, Profile, ProofRules, Rules, Target, Wanted, check_proof, explain, verify,
};

const RFC_8037: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A key whose other half is nowhere near, and a secret.
fn keys() -> &'static KeySet {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    KEYS.get_or_init(|| {
        let public = KeySet::read(RFC_8037.as_bytes(), &Rules::default()).unwrap();
        let secret = Key::secret(Some("s".to_owned()), Algorithm::Hs256, &[0xa5; 32]).unwrap();
        KeySet::of(public.iter().cloned().chain([secret]).collect())
    })
}

fuzz_target!(|input: &[u8]| {
    let mut pieces = input.splitn(3, |&byte| byte == 0);
    let Ok(token) = str::from_utf8(pieces.next().unwrap_or_default()) else { return };
    let set = pieces.next().unwrap_or_default();
    let Ok(uri) = str::from_utf8(pieces.next().unwrap_or_default()) else { return };
    let expected = Expected {
        issuer: "i".to_owned(),
        audiences: vec!["a".to_owned()],
        profile: Profile::Jwt,
        leeway: 60,
        longest_life: None,
    };
    assert!(verify(token, keys(), &expected, 1_800_000_000).is_err());
    let explained = explain(token, Some(keys()), &Wanted::default(), 1_800_000_000);
    assert!(explained.signer.is_none() && !explained.problems.is_empty());
    if let Ok(compact) = Compact::read(token) {
        assert_eq!(token.split('.').count(), 3);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')));
        assert!(compact.verify(keys()).is_err());
    }
    let rules = Rules { algorithms: Algorithm::ALL.to_vec(), secrets: true };
    if let Ok(read) = KeySet::read(set, &rules) {
        assert!(read.iter().count() + read.notes().len() <= 64);
        for key in read.iter() {
            assert!(read.contains(key.thumbprint()));
            assert!(key.id().is_none_or(|id| id.len() <= 256));
        }
        let _ = verify(token, &read, &expected, 1_800_000_000);
        for note in read.notes() {
            assert!(!note.to_string().contains(char::is_control));
        }
    }
    let target = Target { method: "GET", scheme: "https", authority: uri, path: uri };
    let _ = check_proof(token, &target, uri, None, &ProofRules::default(), 1_800_000_000);
});
