use super::*;

const TIMES: Times = Times { fresh: 300, stale: 600, cool_down: 30, retry: 5, timeout: 10 };

fn with_keys(now: u64) -> Refresh {
    let mut refresh = Refresh::new(TIMES);
    let fetch = refresh.due(now).unwrap();
    assert!(refresh.succeeded(fetch, KeySet::default(), now));
    refresh
}

#[test]
fn keys_are_fetched_when_they_are_old_and_one_fetch_is_under_way() {
    let mut refresh = Refresh::new(TIMES);
    assert!(refresh.keys(1_000).is_none());
    let fetch = refresh.due(1_000).unwrap();
    assert!(refresh.due(1_000).is_none() && refresh.unknown(1_009).is_none(), "a second one at once");
    assert!(refresh.succeeded(fetch, KeySet::default(), 1_001));
    assert!(refresh.due(1_300).is_none());
    assert_eq!(refresh.next(), 1_301);
    assert!(refresh.due(1_301).is_some() && refresh.keys(1_301).is_some());
}

#[test]
fn a_million_tokens_with_unknown_keys_in_a_minute_make_a_fetch_per_cool_down() {
    let mut refresh = with_keys(1_000);
    let mut fetches = 0;
    for number in 0..1_000_000_u64 {
        let now = 1_000 + number * 60 / 1_000_000;
        if let Some(fetch) = refresh.unknown(now) {
            fetches += 1;
            refresh.succeeded(fetch, KeySet::default(), now);
        }
    }
    assert_eq!(fetches, 1, "at 1030; the first of 1000 counts for the cool-down before");
}

#[test]
fn keys_outlive_ten_minutes_without_their_provider_and_then_end() {
    let mut refresh = with_keys(1_000);
    let mut tries = Vec::new();
    for now in 1_001..1_900 {
        assert!(refresh.keys(now).is_some(), "{now}");
        if let Some(fetch) = refresh.due(now) {
            refresh.failed(fetch, now);
            tries.push(now - 1_000);
        }
    }
    assert_eq!(tries, [300, 305, 315, 335, 375, 455, 615], "each twice as long after the one before");
    assert!(refresh.keys(1_900).is_none(), "fresh and stale are over");
    let fetch = refresh.due(2_000).unwrap();
    assert!(refresh.succeeded(fetch, KeySet::default(), 2_000) && refresh.keys(2_899).is_some());
}

#[test]
fn who_is_back_after_a_long_time_is_asked_within_a_cool_down() {
    // Down since the start, and down for longer than old keys count.
    for (mut refresh, ended) in [(Refresh::new(TIMES), 1_000), (with_keys(1_000), 1_900)] {
        let mut tries = Vec::new();
        for now in 1_001..5_000 {
            if let Some(fetch) = refresh.due(now) {
                refresh.failed(fetch, now);
                tries.push(now);
            }
        }
        let late: Vec<u64> = tries.into_iter().filter(|one| *one >= ended).collect();
        assert!(late[0] <= ended + 1, "{late:?}");
        assert!(late.windows(2).all(|two| two[1] - two[0] <= TIMES.cool_down), "{late:?}");
        assert!(late.len() <= 4_000 / 30 + 5, "and no oftener for that: {late:?}");
    }
}

#[test]
fn a_fetch_that_says_nothing_is_given_up_and_its_late_answer_not_heard() {
    let mut refresh = with_keys(1_000);
    let first = refresh.due(1_300).unwrap();
    assert!(refresh.due(1_309).is_none());
    let second = refresh.due(1_310).unwrap();
    assert!(
        !refresh.succeeded(first, KeySet::default(), 1_311),
        "it may be older than what was published since"
    );
    assert!(refresh.succeeded(second, KeySet::default(), 1_312));
    let third = refresh.due(1_700).unwrap();
    refresh.failed(third, 1_701);
    assert!(refresh.due(1_702).is_none());
}

#[test]
fn a_clock_that_is_put_back_stops_nothing() {
    let mut refresh = with_keys(1_000_000);
    assert!(refresh.unknown(1_000).is_none());
    assert!(refresh.unknown(1_030).is_some(), "the cool-down counts anew");
    let mut refresh = with_keys(1_000_000);
    assert!(refresh.due(1_000).is_none());
    assert!(refresh.due(1_300).is_some());
    assert!(refresh.keys(1_900).is_none());
    let mut refresh = Refresh::new(Times { fresh: 0, stale: 0, cool_down: 0, retry: 0, timeout: 0 });
    for now in [0, u64::MAX, 5] {
        let fetch = refresh.due(now);
        fetch.into_iter().for_each(|fetch| refresh.failed(fetch, now));
    }
}
