//! Objects that are asked for: counted, walked through, and paged.

use std::{collections::BTreeSet, time::Duration};

use super::{Enumerated, Enumeration, EnumerationRule, Key, TooMuch};

const KEY: Key = Key([9; 16]);

fn of(rule: EnumerationRule) -> Enumeration {
    Enumeration::new(rule, KEY)
}

fn walk(walk: u32) -> EnumerationRule {
    EnumerationRule { walk: Some(walk), ..EnumerationRule::default() }
}

fn distinct(distinct: u32) -> EnumerationRule {
    EnumerationRule { distinct: Some(distinct), ..EnumerationRule::default() }
}

fn ask(known: &Enumeration, who: &str, id: &str, now: u64) -> Result<(), TooMuch> {
    known.ask(who.as_bytes(), id, Duration::from_secs(now)).map_err(|Enumerated { what, .. }| what)
}

/// How many of these are given, one a second, until one is not.
fn given(known: &Enumeration, ids: impl Iterator<Item = String>) -> usize {
    (0..).zip(ids).take_while(|(now, id)| ask(known, "alice", id, now / 10).is_ok()).count()
}

/// Numbers in an order that looks like none.
fn shuffled(many: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..many).collect();
    let mut seed = 12_345_u64;
    for last in (1..numbers.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        numbers.swap(last, (seed >> 33) as usize % (last + 1));
    }
    numbers
}

#[test]
fn as_many_different_ids_are_given_as_allowed_within_the_error() {
    for (most, percent) in [(3_u32, 0.0), (10, 30.0), (100, 15.0), (1_000, 20.0), (5_000, 20.0)] {
        let known = of(distinct(most));
        for who in 0..10 {
            let ids =
                (0..2 * most).filter(|id| ask(&known, &format!("{who}"), &format!("{who}/{id}"), 0).is_ok());
            let ids = ids.count() as f64;
            assert!((ids / f64::from(most) - 1.0).abs() * 100.0 <= percent, "{most}: {ids}");
        }
    }
}

#[test]
fn in_no_window_are_more_ids_given_than_allowed() {
    let known = of(EnumerationRule { window: 60, ..distinct(100) });
    let times: Vec<u64> = (0..60_000_u64)
        .filter(|turn| ask(&known, "alice", &format!("{turn}"), turn / 100).is_ok())
        .map(|turn| turn / 100)
        .collect();
    // Ten minutes of a hundred a second.
    for begin in 0..540 {
        let inside = times.iter().filter(|time| (begin..begin + 60).contains(*time)).count();
        assert!(inside <= 120, "{inside} from {begin} on");
    }
    assert!((500..=1_200).contains(&times.len()), "{}", times.len());
}

#[test]
fn whoever_is_at_the_limit_goes_on_with_what_he_has_and_with_all_when_told_to() {
    let known = of(distinct(50));
    let last = (0..).find(|id| ask(&known, "alice", &format!("doc {id} x"), 0).is_err()).unwrap();
    for id in last - 16..last {
        assert_eq!(ask(&known, "alice", &format!("doc {id} x"), 1), Ok(()), "{id}");
    }
    let refused = known.ask(b"alice", "another", Duration::from_secs(1)).unwrap_err();
    assert_eq!(refused.what, TooMuch::Distinct);
    assert!(refused.retry <= Duration::from_secs(900), "{refused:?}");
    let when = refused.retry.as_secs() + 1;
    assert_eq!(ask(&known, "alice", "another", when - 2), Err(TooMuch::Distinct));
    assert_eq!(ask(&known, "alice", "another", when), Ok(()));
    assert_eq!(ask(&known, "bob", "another", 1), Ok(()));
}

#[test]
fn asking_for_the_same_again_is_nothing_new() {
    let known = of(EnumerationRule { walk: Some(5), ..distinct(30) });
    for turn in 0..5_000 {
        assert_eq!(ask(&known, "alice", &format!("{}", turn % 20 * 100), turn / 10), Ok(()), "{turn}");
    }
}

#[test]
fn a_walk_up_or_down_in_small_steps_is_found_after_the_steps_that_are_allowed() {
    assert_eq!(given(&of(walk(20)), (1_000..2_000).map(|id| id.to_string())), 21);
    assert_eq!(given(&of(walk(20)), (0..1_000).rev().map(|id| id.to_string())), 21);
    assert_eq!(given(&of(walk(20)), (0..1_000).map(|id| format!("INV-{:06}.pdf", id * 4))), 21);
    assert_eq!(given(&of(walk(20)), (0..100).map(|id| format!("{}{:018}", "9".repeat(40), 5 + id))), 21);
    // Too far apart for steps, and of several families.
    assert_eq!(given(&of(walk(20)), (0..1_000).map(|id| (id * 5).to_string())), 1_000);
    assert_eq!(
        given(
            &of(walk(20)),
            (0..1_000).map(|id| format!("{}-{id}", "abcdefghijkl".chars().nth(id % 12).unwrap()))
        ),
        1_000
    );
}

#[test]
fn what_is_asked_for_in_between_hides_no_walk() {
    // Something far away, the same again and again, a step back, and several walks at once.
    let far = (0..1_000_u64).flat_map(|id| [format!("{id}"), format!("{}", 1_000_000 + id * 7_919)]);
    assert!(given(&of(walk(20)), far) <= 43);
    let same = (0..1_000_u64).flat_map(|id| [format!("{id}"), "77777".to_owned()]);
    assert!(given(&of(walk(20)), same) <= 43);
    let back = (0..1_000_u64).flat_map(|id| [format!("{}", 2 * id + 2), format!("{}", 2 * id)]);
    assert!(given(&of(walk(20)), back) <= 45);
    let several = (0..1_000_u64).flat_map(|id| (0..6).map(move |walk| format!("{}", walk * 100_000 + id)));
    assert!(given(&of(walk(20)), several) <= 6 * 21);
}

#[test]
fn nothing_new_is_given_to_whoever_has_walked_until_the_window_is_over() {
    let known = of(walk(20));
    assert_eq!(given(&known, (0..100).map(|id| id.to_string())), 21);
    assert_eq!(ask(&known, "alice", "500000", 60), Err(TooMuch::Walk));
    let refused = known.ask(b"alice", "21", Duration::from_secs(60)).unwrap_err();
    assert_eq!(ask(&known, "alice", "20", 60), Ok(()), "what he has");
    let until = 60 + refused.retry.as_secs();
    assert_eq!(ask(&known, "alice", "21", until - 1), Err(TooMuch::Walk));
    assert_eq!(ask(&known, "alice", "21", until), Ok(()));
    assert_eq!(ask(&known, "bob", "21", 60), Ok(()));
}

#[test]
fn paging_through_a_list_is_no_walk() {
    // Ids of one's own lie among those of others.
    let own = |number: u64| 40_000 + number * 13 + number * number % 7;
    // Ten pages of twenty, each opened in its order, and each page gone back to once.
    let known = of(walk(20));
    for page in 0..10 {
        for visit in [page, page.max(1) - 1, page] {
            for id in (visit * 20..visit * 20 + 20).map(own) {
                assert_eq!(ask(&known, "alice", &id.to_string(), page * 20), Ok(()), "{page}");
            }
        }
    }
    // Ids without gaps, five pages of twenty, each opened as people do: some of them, now here, now there.
    let known = of(walk(50));
    for page in 0..5_u64 {
        for (turn, id) in (0..).zip(shuffled(20)) {
            let id = page * 20 + id;
            assert_eq!(ask(&known, "alice", &id.to_string(), page * 60 + turn), Ok(()), "{page}: {id}");
        }
    }
    // Pages whose items a client fetches all at once, newest first, a minute each for whoever reads them: a page is shorter than the walk that is not allowed.
    let known = of(EnumerationRule { window: 60, ..walk(50) });
    for page in 0..20_u64 {
        for id in (0..20).rev() {
            assert_eq!(ask(&known, "alice", &(1_000 - page * 20 + id).to_string(), page * 61), Ok(()));
        }
    }
    // Random ids (UUIDs) are close to none.
    let known = of(walk(1));
    for id in shuffled(500) {
        let hash = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert_eq!(ask(&known, "alice", &format!("{hash:016x}-{:016x}", !hash), 0), Ok(()));
    }
}

#[test]
fn a_question_uses_up_nothing() {
    let known = of(EnumerationRule { walk: Some(3), ..distinct(3) });
    for id in 0..100 {
        assert_eq!(known.look(b"alice", &id.to_string(), Duration::ZERO), Ok(()));
    }
    assert_eq!(given(&known, (0..9).map(|id| id.to_string())), 3);
    assert!(known.look(b"alice", "8", Duration::ZERO).is_err());
}

/// A fiftieth of ten million, each with an id of its own, through a table for a thousand: it stays as large as it was made, and an enumerator among them is known still.
#[test]
fn memory_is_bounded_and_a_flood_of_strangers_hides_nobody() {
    let rule = EnumerationRule { identities: 1_000, ..distinct(100) };
    let known = of(rule.clone());
    let memory = known.memory();
    assert_eq!(memory, rule.memory());
    assert!(memory <= 1_000 * 1_152, "{memory}");
    let mut passed = BTreeSet::new();
    for who in 0..200_000_u64 {
        assert_eq!(ask(&known, &format!("s{who}"), "7", who / 1_000), Ok(()));
        if who % 100 == 0 && ask(&known, "alice", &format!("{who}"), who / 1_000).is_ok() {
            passed.insert(who);
        }
    }
    assert!((85..=115).contains(&passed.len()), "{}", passed.len());
    assert_eq!(known.memory(), memory);
    let health = known.health(Duration::from_secs(200));
    assert_eq!((health.room, health.memory), (1_000, memory as u64));
    assert!(health.occupied <= 1_000 && health.forgotten >= 190_000, "{health:?}");
}
