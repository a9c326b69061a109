//! Limits against models that keep everything, and the many against the one.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn rules(text: &str) -> Vec<Rule> {
    #[derive(serde::Deserialize)]
    struct File {
        rate: Vec<Rule>,
    }
    toml::from_str::<File>(text).unwrap_or_else(|error| panic!("{error}")).rate
}

fn rates(text: &str) -> Rates {
    Rates::new(rules(text), Key(*b"0123456789abcdef")).unwrap_or_else(|error| panic!("{error}"))
}

fn at(nanoseconds: u64) -> Time {
    // The wall is ahead of the monotonic clock, as it is.
    let monotonic = Duration::from_nanos(nanoseconds);
    Time { monotonic, wall: monotonic + Duration::from_secs(1_700_000_000) }
}

fn one(rates: &Rates, identity: &[u8], weight: u32, now: u64) -> Ruling {
    rates.judge(&[Ask { rule: 0, identity, class: None, weight }], at(now))[0]
}

#[test]
fn five_a_second_is_one_every_200_ms_and_twelve_a_minute_one_every_five_seconds() {
    for (rate, gap) in [("5/s", SECOND / 5), ("12/m", 5 * SECOND)] {
        let rates = rates(&format!("[[rate]]\nname = \"a\"\nby = \"token\"\nspike = \"{rate}\""));
        for turn in 0..100 {
            assert!(one(&rates, b"t", 1, turn * gap).admitted);
            let early = one(&rates, b"t", 1, (turn + 1) * gap - 1);
            assert!(!early.admitted);
            assert_eq!((early.retry, early.remaining), (Some(Duration::from_nanos(1)), 0));
        }
    }
}

#[test]
fn a_burst_passes_at_once_and_a_weight_counts_as_many() {
    let rates = rates(
        "[[rate]]\nname = \"a\"\nby = \"key\"\nspike = \"10/s\"\nburst = 6\nweight = 2\nweights = { POST = 3 }",
    );
    let rule = rates.rules().next().unwrap();
    assert_eq!((rule.weight("GET"), rule.weight("POST")), (2, 3));
    assert_eq!(one(&rates, b"k", 2, 0).remaining, 4);
    assert_eq!(one(&rates, b"k", 3, 0).remaining, 1);
    assert_eq!(one(&rates, b"k", 2, 0).retry, Some(Duration::from_millis(100)));
    assert!(one(&rates, b"k", 1, 0).admitted);
    assert!(one(&rates, b"another", 6, 0).admitted);
    let never = one(&rates, b"third", 7, 0);
    assert_eq!((never.admitted, never.retry), (false, None));
    // A weight so large that its cost would not fit is not let through by wrapping around.
    assert!(!one(&rates, b"third", u32::MAX, 0).admitted);
}

#[test]
fn quotas_have_windows_of_three_kinds() {
    let of = |window: &str| {
        rates(&format!(
            "[[rate]]\nname = \"a\"\nby = \"key\"\nquota = \"3/m\"\nwindow = \"{window}\"\nidentities = 64"
        ))
    };
    // 1,700,000,000 is 20 s into its minute.
    let calendar = of("calendar");
    for (second, admitted, reset) in
        [(0, true, 40), (1, true, 39), (39, true, 1), (39, false, 1), (40, true, 60)]
    {
        let ruling = one(&calendar, b"k", 1, second * SECOND);
        assert_eq!((ruling.admitted, ruling.reset), (admitted, Duration::from_secs(reset)), "{second}");
    }
    let flexible = of("flexible");
    for (second, admitted) in [(10, true), (11, true), (69, true), (69, false), (70, true), (71, true)] {
        assert_eq!(one(&flexible, b"k", 1, second * SECOND).admitted, admitted, "{second}");
    }
    let rolling = of("rolling");
    for (second, admitted) in
        [(0, true), (30, true), (59, true), (59, false), (61, true), (62, false), (91, true)]
    {
        assert_eq!(one(&rolling, b"k", 1, second * SECOND).admitted, admitted, "{second}");
    }
}

#[test]
fn a_wall_clock_that_jumps_gives_no_second_quota_and_keeps_nobody_out_for_long() {
    let rates = rates("[[rate]]\nname = \"a\"\nby = \"key\"\nquota = \"1/h\"");
    let ask = |seconds: u64| {
        let time = Time { monotonic: Duration::ZERO, wall: Duration::from_secs(seconds) };
        rates.judge(&[Ask { rule: 0, identity: b"k", class: None, weight: 1 }], time)[0].admitted
    };
    assert!(ask(7_200));
    assert!(!ask(7_199), "set back over the hour's begin");
    assert!(ask(1_000_000_000), "far ahead");
    assert!(ask(7_200), "and back again");
}

#[test]
fn classes_have_allowances_of_their_own() {
    let rates = rates(
        "[[rate]]\nname = \"a\"\nby = { claim = \"tenant\" }\nquota = \"1/d\"\nclasses = { gold = \"3/d\", none = \"2/d\" }",
    );
    let passed = |identity: &[u8], class| {
        let ask = Ask { rule: 0, identity, class, weight: 1 };
        (0..5).filter(|_| rates.judge(&[ask], at(0))[0].admitted).count()
    };
    assert_eq!(passed(b"a", Some("gold")), 3);
    assert_eq!(passed(b"b", Some("none")), 2);
    assert_eq!((passed(b"c", None), passed(b"d", Some("silver"))), (1, 1));
}

#[test]
fn what_one_rule_refuses_uses_up_no_other() {
    let rates = rates(
        "[[rate]]\nname = \"a\"\nby = \"key\"\nquota = \"10/d\"\n[[rate]]\nname = \"b\"\nby = \"route\"\nspike = \"1/s\"",
    );
    let asks = [
        Ask { rule: 0, identity: b"k", class: None, weight: 1 },
        Ask { rule: 1, identity: b"/a", class: None, weight: 1 },
    ];
    assert!(rates.judge(&asks, at(0)).iter().all(|ruling| ruling.admitted));
    for _ in 0..50 {
        let rulings = rates.judge(&asks, at(1));
        assert!(rulings[0].admitted && !rulings[1].admitted);
    }
    assert_eq!(rates.judge(&asks, at(SECOND))[0].remaining, 8);
    let unknown = rates.judge(&[Ask { rule: 2, identity: b"", class: None, weight: 1 }], at(0));
    assert!(!unknown[0].admitted);
}

#[test]
fn a_rule_that_is_wrong_says_what_is_allowed() {
    for (keys, said) in [
        ("", "`spike = \"5/s\"` or `quota"),
        ("spike = \"5/s\"\nquota = \"1/d\"", "and not both"),
        ("quota = \"5/s\"\nburst = 2", "`burst` goes with `spike`"),
        ("spike = \"5/s\"\nwindow = \"rolling\"", "`window` goes with `quota`"),
        ("spike = \"5/s\"\nburst = 0", "nothing would pass"),
        ("spike = \"5/s\"\nweight = 2", "more than its burst, 1"),
        ("quota = \"5/d\"\nclasses = { a = \"2/d\" }\nweights = { POST = 3 }", "smallest quota, 2"),
        ("quota = \"5/d\"\nclasses = { A = \"2/d\" }", "class \"A\" is no name"),
        ("quota = \"5/month\"\nwindow = \"rolling\"", "months differ in length"),
        ("spike = \"5/s\"\nidentities = 0", "1 to 67108864"),
        ("spike = \"1/366d\"\nburst = 100", "longer than two years"),
    ] {
        let text = format!("[[rate]]\nname = \"a\"\nby = \"key\"\n{keys}");
        let error = Rates::new(rules(&text), Key([0; 16])).unwrap_err().to_string();
        assert!(error.starts_with("rule \"a\": ") && error.contains(said), "{keys}: {error}");
    }
    let twice = "[[rate]]\nname = \"a\"\nby = \"key\"\nspike = \"1/s\"\n".repeat(2);
    assert!(Rates::new(rules(&twice), Key([0; 16])).unwrap_err().to_string().contains("another rule"));
    let unknown = "[[rate]]\nname = \"a\"\nby = \"tokens\"\nspike = \"1/s\"";
    assert!(
        toml::from_str::<HashMap<String, Vec<Rule>>>(unknown).unwrap_err().to_string().contains("`claim`")
    );
}

#[test]
fn many_threads_together_get_no_more_than_one() {
    let rates = rates(
        "[[rate]]\nname = \"a\"\nby = \"key\"\nquota = \"1000/d\"\nwindow = \"rolling\"\nidentities = 64\n\
         [[rate]]\nname = \"b\"\nby = \"key\"\nspike = \"1/h\"\nburst = 1000",
    );
    for rule in 0..2 {
        let ask = Ask { rule, identity: b"k", class: None, weight: 1 };
        let passed: usize = std::thread::scope(|scope| {
            let work = || (0..500).filter(|_| rates.judge(&[ask], at(5))[0].admitted).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 1_000);
    }
}

/// The whole of it, with ten million, is `examples/rates.rs`.
#[test]
fn a_flood_of_identities_changes_no_verdict_of_those_who_keep_on() {
    for limit in [
        "spike = \"5/s\"\nidentities = 16384",
        "quota = \"40/h\"\nidentities = 16384",
        "quota = \"40/h\"\nwindow = \"flexible\"\nidentities = 16384",
        "quota = \"40/h\"\nwindow = \"rolling\"\nidentities = 16384",
    ] {
        let text = format!("[[rate]]\nname = \"a\"\nby = \"key\"\n{limit}");
        let (alone, flooded) = (rates(&text), rates(&text));
        let memory = flooded.memory();
        let mut refused = [0; 2];
        for number in 0..100_000_u64 {
            // 25,000 new identities a second, beside one that keeps to the rate of 5 a second and one that asks for twice as much.
            let now = number * 40_000;
            one(&flooded, &number.to_le_bytes(), 1, now);
            for (who, every) in [(0, 5_000), (1, 2_500)] {
                if number % every == 0 {
                    let identity = [who as u8];
                    let (expected, found) =
                        (one(&alone, &identity, 1, now), one(&flooded, &identity, 1, now));
                    assert_eq!(expected, found, "{limit}, {number}");
                    refused[who] += usize::from(!found.admitted);
                }
            }
        }
        assert_eq!(refused[0], 0);
        assert!(limit.contains("quota") == (refused[1] == 0), "{refused:?}");
        assert_eq!(flooded.memory(), memory);
    }
}

fn arrivals() -> impl Strategy<Value = Vec<(u8, u32, u64)>> {
    // Identity, weight, nanoseconds since the last.
    let gap = prop_oneof![Just(0), 0..1_000_u64, 0..SECOND, 0..100 * SECOND];
    prop::collection::vec((0..3_u8, 0..4_u32, gap), 1..200)
}

proptest! {
    /// A bucket of `burst` that leaks `count` a period, in exact numbers.
    #[test]
    fn spike_arrest_is_a_leaky_bucket(
        count in prop::sample::select(vec![1_u32, 2, 5, 8, 100, 1_000]),
        period in prop::sample::select(vec!["s", "m", "h"]),
        burst in 1..10_u32,
        arrivals in arrivals(),
    ) {
        let rates = rates(&format!("[[rate]]\nname = \"a\"\nby = \"key\"\nspike = \"{count}/{period}\"\nburst = {burst}"));
        let rate: Rate = format!("{count}/{period}").parse().unwrap();
        let period = rate.period.length().as_nanos();
        let mut levels = HashMap::<u8, (u128, u64)>::new();
        let mut now = 0;
        for (identity, weight, gap) in arrivals {
            now += gap;
            let (level, seen) = levels.get(&identity).copied().unwrap_or((0, now));
            // In units of which one leaks per nanosecond and `count`.
            let level = level.saturating_sub(u128::from(now - seen) * u128::from(count));
            let fits = level + u128::from(weight) * period <= u128::from(burst) * period;
            let ruling = one(&rates, &[identity], weight, now);
            prop_assert_eq!(ruling.admitted, fits);
            let level = if fits { level + u128::from(weight) * period } else { level };
            prop_assert_eq!(u128::from(ruling.remaining), u128::from(burst) - level.div_ceil(period));
            levels.insert(identity, (level, now));
        }
    }

    #[test]
    fn a_flexible_quota_is_a_count_that_begins_anew(quota in 1..8_u32, arrivals in arrivals()) {
        let rates = rates(&format!("[[rate]]\nname = \"a\"\nby = \"key\"\nquota = \"{quota}/m\"\nwindow = \"flexible\""));
        let mut windows = HashMap::<u8, (u64, u32)>::new();
        let mut now = 1;
        for (identity, weight, gap) in arrivals {
            now += gap;
            let window = windows.entry(identity).or_insert((now, 0));
            if now - window.0 >= 60 * SECOND || window.1 == 0 {
                *window = (now, 0);
            }
            let fits = window.1 + weight <= quota;
            prop_assert_eq!(one(&rates, &[identity], weight, now).admitted, fits);
            window.1 += if fits { weight } else { 0 };
        }
    }

    /// Never more than the quota in any window; nothing refused that would fit if windows were 1/127 longer.
    #[test]
    fn a_rolling_quota_is_within_a_hundredth_of_an_exact_one(quota in 1..8_u32, arrivals in arrivals()) {
        let rates = rates(&format!(
            "[[rate]]\nname = \"a\"\nby = \"key\"\nquota = \"{quota}/m\"\nwindow = \"rolling\"\nidentities = 64"
        ));
        let part = (60 * SECOND).div_ceil(127);
        let mut log = Vec::<(u8, u32, u64)>::new();
        let mut now = 0;
        for (identity, weight, gap) in arrivals {
            now += gap;
            let since = |length: u64| -> u32 {
                let counts = |entry: &&(u8, u32, u64)| entry.0 == identity && now - entry.2 < length;
                log.iter().filter(counts).map(|entry| entry.1).sum()
            };
            let ruling = one(&rates, &[identity], weight, now);
            if ruling.admitted {
                prop_assert!(since(60 * SECOND) + weight <= quota);
                log.push((identity, weight, now));
            } else {
                prop_assert!(since(128 * part) + weight > quota);
            }
        }
    }

    #[test]
    fn whoever_waits_as_told_passes_and_whoever_comes_earlier_does_not(
        limit in prop::sample::select(vec![
            "spike = \"7/s\"\nburst = 5",
            "spike = \"11/h\"\nburst = 5",
            "quota = \"5/m\"",
            "quota = \"5/month\"",
            "quota = \"5/m\"\nwindow = \"flexible\"",
            "quota = \"5/m\"\nwindow = \"rolling\"",
        ]),
        arrivals in arrivals(),
    ) {
        let rates = rates(&format!("[[rate]]\nname = \"a\"\nby = \"key\"\nidentities = 64\n{limit}"));
        let mut now = 0;
        for (identity, weight, gap) in arrivals {
            now += gap;
            let ruling = one(&rates, &[identity], weight, now);
            if let Some(wait) = ruling.retry {
                let wait = u64::try_from(wait.as_nanos()).unwrap();
                prop_assert!(wait > 0 && !ruling.admitted);
                prop_assert!(!one(&rates, &[identity], weight, now + wait - 1).admitted, "{} ns too early", 1);
                now += wait;
                prop_assert!(one(&rates, &[identity], weight, now).admitted, "{} after {} ns", weight, wait);
            }
        }
    }
}
