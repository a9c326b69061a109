//! Cache, keys and revocations together, over time.

use std::sync::Arc;

use serde_json::json;
use stopbank_checker::tokens::{Algorithm, Cache, Guard, KeySet, Problem, Profile, Revocations, Times};

use crate::{
    jwt::{claims, expected},
    sign::{NOW, Signer, random, set},
};

fn cache(most: usize, bytes: usize) -> Cache {
    Cache::new(&random(32).try_into().unwrap(), most, bytes)
}

/// With keys.
fn guard(keys: KeySet) -> Guard {
    let times = Times { fresh: 300, stale: 3_600, cool_down: 30, retry: 5, timeout: 10 };
    let guard =
        Guard::new(expected(Profile::AccessToken), times, cache(1_024, 1 << 20), Revocations::new(100));
    let fetch = guard.judge("", NOW).fetch.unwrap();
    assert!(guard.refresh().succeeded(fetch, keys, NOW));
    guard
}

fn token(signer: &Signer, number: u64, exp: u64) -> String {
    let changes = json!({ "jti": format!("t-{number}"), "sub": format!("s-{}", number % 10), "exp": exp });
    signer.token(&json!({ "typ": "at+jwt" }), &claims(&changes))
}

#[test]
fn a_cached_token_ends_when_it_expires_and_is_judged_as_a_new_one() {
    let signer = Signer::new(Algorithm::Ed25519, "k");
    let guard = guard(signer.keys());
    let token = token(&signer, 1, NOW + 100);
    for now in [NOW, NOW + 1, NOW + 99] {
        assert!(guard.judge(&token, now).answer.is_ok());
        assert_eq!(guard.cache().count(), 1);
    }
    // Within the leeway it is verified anew, each time; then it is over.
    assert!(guard.judge(&token, NOW + 100).answer.is_ok());
    assert_eq!(guard.judge(&token, NOW + 160).answer.err(), Some(Problem::Expired));
    let changed = token.replacen('A', "B", 1);
    assert!(guard.judge(&changed, NOW).answer.is_err());
}

#[test]
fn what_was_verified_is_recalled_until_it_is_revoked_or_its_key_is_gone() {
    let (signer, other) = (Signer::new(Algorithm::Ed25519, "k"), Signer::new(Algorithm::Ed25519, "l"));
    let guard = guard(set(&[&signer, &other]));
    let tokens = [token(&signer, 1, NOW + 400), token(&signer, 2, NOW + 400), token(&other, 3, NOW + 400)];
    let recalled = |token: &str, now| guard.recall(token, now).map(|judged| judged.answer.err());
    assert!(tokens.iter().all(|token| guard.recall(token, NOW).is_none()), "nobody has verified them");
    for token in &tokens {
        let verified = guard.judge(token, NOW).answer.unwrap();
        let again = guard.recall(token, NOW).unwrap().answer.unwrap();
        assert!(Arc::ptr_eq(&again, &verified), "the same, and not verified anew");
    }
    guard.revocations().token("t-1", NOW + 460, NOW).unwrap();
    assert_eq!(recalled(&tokens[0], NOW), Some(Some(Problem::Revoked)));
    assert_eq!(recalled(&tokens[0], NOW), None, "it is forgotten, and judged as a new one");
    // Keys are due, which is said here as well; those that come have one less.
    let fetch = guard.recall(&tokens[1], NOW + 301).unwrap().fetch.unwrap();
    assert!(guard.refresh().succeeded(fetch, signer.keys(), NOW + 301));
    assert_eq!(recalled(&tokens[1], NOW + 302), Some(None));
    assert_eq!(recalled(&tokens[2], NOW + 302), Some(Some(Problem::KeyUnknown)));
    assert_eq!(recalled(&tokens[1], NOW + 400), None, "it has expired");
}

#[test]
fn what_is_revoked_is_refused_at_once_though_it_is_cached() {
    let signer = Signer::new(Algorithm::Ed25519, "k");
    let guard = guard(signer.keys());
    let tokens: Vec<String> = (0..4).map(|number| token(&signer, number, NOW + 200)).collect();
    for token in &tokens {
        assert!(guard.judge(token, NOW).answer.is_ok());
    }
    guard.revocations().token("t-0", NOW + 260, NOW).unwrap();
    guard.revocations().subject("s-1", NOW, NOW + 260, NOW).unwrap();
    // Issued later than the revocation says.
    guard.revocations().subject("s-2", NOW - 11, NOW + 260, NOW).unwrap();
    let answers: Vec<bool> = tokens.iter().map(|token| guard.judge(token, NOW).answer.is_ok()).collect();
    assert_eq!(answers, [false, false, true, true]);
    assert_eq!(guard.judge(&tokens[0], NOW).answer.err(), Some(Problem::Revoked), "nor verified anew");
    let thumbprint = *signer.keys().iter().next().unwrap().thumbprint();
    guard.revocations().key(thumbprint).unwrap();
    assert!(tokens.iter().all(|token| guard.judge(token, NOW).answer.err() == Some(Problem::Revoked)));
    assert!(guard.revocations().restore_key(&thumbprint) && guard.judge(&tokens[3], NOW).answer.is_ok());
}

#[test]
fn there_is_room_for_so_many_revocations_and_the_next_one_is_heard_of() {
    let mut revocations = Revocations::new(2);
    revocations.token("a", NOW + 10, NOW).unwrap();
    revocations.token("b", NOW + 20, NOW).unwrap();
    revocations.token("b", NOW + 5, NOW).unwrap();
    assert!(revocations.token("c", NOW + 10, NOW).is_err());
    // One is over by then; the other one is not.
    revocations.token("c", NOW + 50, NOW + 10).unwrap();
    assert!(revocations.token("d", NOW + 50, NOW + 19).is_err());
    revocations.subject("a", NOW, NOW + 10, NOW).unwrap();
    revocations.subject("b", NOW, NOW + 10, NOW).unwrap();
    assert!(revocations.subject("c", NOW, NOW + 10, NOW).is_err());
    revocations.key([1; 32]).unwrap();
    revocations.key([2; 32]).unwrap();
    assert!(revocations.key([3; 32]).is_err() && revocations.key([1; 32]).is_ok());
}

#[test]
fn keys_rotate_without_a_refusal_and_withdrawn_ones_end() {
    let (old, new) = (Signer::new(Algorithm::Es256, "old"), Signer::new(Algorithm::Es256, "new"));
    let guard = guard(old.keys());
    let (by_old, by_new) = (token(&old, 1, NOW + 250), token(&new, 2, NOW + 250));
    assert!(guard.judge(&by_old, NOW + 31).answer.is_ok());
    // The first token by a new key asks for a fetch, and passes when it is there.
    let judged = guard.judge(&by_new, NOW + 31);
    assert_eq!(judged.answer.err(), Some(Problem::KeyUnknown));
    let fetch = judged.fetch.unwrap();
    assert!(guard.judge(&by_new, NOW + 31).fetch.is_none(), "one fetch at a time");
    assert!(guard.refresh().succeeded(fetch, set(&[&old, &new]), NOW + 32));
    assert!(guard.judge(&by_new, NOW + 32).answer.is_ok() && guard.judge(&by_old, NOW + 32).answer.is_ok());
    // The old one is withdrawn: what it has signed ends with the next set, cached or not.
    let fetch =
        guard.judge(&token(&Signer::new(Algorithm::Es256, "other"), 3, NOW + 250), NOW + 62).fetch.unwrap();
    assert!(guard.refresh().succeeded(fetch, new.keys(), NOW + 62));
    assert_eq!(guard.judge(&by_old, NOW + 63).answer.err(), Some(Problem::KeyUnknown));
    assert!(guard.judge(&by_new, NOW + 63).answer.is_ok());
}

#[test]
fn a_provider_that_is_down_for_ten_minutes_refuses_nobody() {
    let signer = Signer::new(Algorithm::Ed25519, "k");
    let guard = guard(signer.keys());
    let token = token(&signer, 1, NOW + 10_000);
    let mut fetches = 0;
    for now in NOW..NOW + 900 {
        let judged = guard.judge(&token, now);
        assert!(judged.answer.is_ok(), "{now}");
        if let Some(fetch) = judged.fetch {
            fetches += 1;
            guard.refresh().failed(fetch, now);
        }
    }
    assert!((1..10).contains(&fetches), "{fetches}");
    // For ever it does not: then nobody's token can be judged.
    let judged = guard.judge(&token, NOW + 3_900);
    assert_eq!(judged.answer.err(), Some(Problem::KeysUnavailable));
    assert_eq!(Problem::KeysUnavailable.status(), 503);
}

#[test]
fn bad_tokens_by_the_thousand_fetch_once_and_leave_nothing_behind() {
    let (signer, stranger) = (Signer::new(Algorithm::Ed25519, "k"), Signer::new(Algorithm::Ed25519, "k"));
    let guard = guard(signer.keys());
    let template = stranger.token(&json!({ "typ": "at+jwt" }), &claims(&json!({})));
    let (_, rest) = template.split_once('.').unwrap();
    let mut fetches = 0;
    for number in 0..20_000 {
        let header = json!({ "alg": "EdDSA", "kid": format!("k-{number}"), "typ": "at+jwt" }).to_string();
        let judged =
            guard.judge(&format!("{}.{rest}", crate::sign::encode(header)), NOW + 30 + number / 1_000);
        assert_eq!(judged.answer.err(), Some(Problem::KeyUnknown));
        if let Some(fetch) = judged.fetch {
            fetches += 1;
            guard.refresh().succeeded(fetch, signer.keys(), NOW + 30);
        }
    }
    let cache = guard.cache();
    assert_eq!((fetches, cache.count(), cache.bytes()), (1, 0, 0));
}

#[test]
fn the_cache_is_bounded_in_number_and_bytes() {
    let signer = Signer::new(Algorithm::Hs256, "k");
    let keys = signer.keys();
    let verified = |number| {
        let text = token(&signer, number, NOW + 100);
        let token =
            stopbank_checker::tokens::verify(&text, &keys, &expected(Profile::AccessToken), NOW).unwrap();
        (text, Arc::new(token))
    };
    for (most, bytes) in [(64, 1 << 20), (1_024, 64 << 10), (8, 0)] {
        let mut cache = cache(most, bytes);
        for number in 0..2_000 {
            let (text, token) = verified(number);
            cache.insert(&text, Arc::clone(&token));
            cache.insert(&text, token);
            assert!(cache.count() <= most && cache.bytes() <= bytes);
            assert_eq!(cache.get(&text, NOW).is_some(), bytes > 0, "the newest is there");
        }
        assert_eq!(cache.count() > 7, bytes > 0);
        let (text, _) = verified(1_999);
        cache.remove(&text);
        assert!(cache.get(&text, NOW).is_none());
    }
}

#[test]
fn what_is_asked_for_stays_longest() {
    let signer = Signer::new(Algorithm::Hs256, "k");
    let guard = guard(signer.keys());
    let busy = token(&signer, 0, NOW + 100);
    let mut cache = cache(8, 1 << 20);
    for number in 0..100 {
        let one = guard.judge(&busy, NOW).answer.unwrap();
        if number == 0 {
            cache.insert(&busy, one);
        }
        assert!(cache.get(&busy, NOW).is_some(), "{number}");
        let text = token(&signer, number + 1, NOW + 100);
        let other = guard.judge(&text, NOW).answer.unwrap();
        cache.insert(&text, other);
    }
}
