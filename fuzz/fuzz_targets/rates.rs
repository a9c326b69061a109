//! Any rule, and any arrivals of three identities: nothing panics, an allowance is kept, and whoever waits as told passes.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use stopbank_checker::rates::{Ask, By, Headers, Key, Rate, Rates, Rule, Time, Window, retry_after};

#[derive(Arbitrary, Debug)]
struct Input {
    rate: String,
    spike: bool,
    burst: Option<u32>,
    window: Option<u8>,
    key: [u8; 16],
    start: u32,
    arrivals: Vec<Arrival>,
}

#[derive(Arbitrary, Debug)]
struct Arrival {
    identity: u8,
    weight: u32,
    /// Nanoseconds since the last: `gap << shift`.
    gap: u16,
    shift: u8,
}

/// Clocks are handed in as times since any moment within eleven years.
const LATEST: Duration = Duration::from_secs(9 * 366 * 86_400);

fuzz_target!(|input: Input| {
    let Ok(rate) = input.rate.parse::<Rate>() else { return };
    assert_eq!(rate.to_string().parse(), Ok(rate));
    let window = input.window.map(|window| match window % 3 {
        0 => Window::Calendar,
        1 => Window::Rolling,
        _ => Window::Flexible,
    });
    let rule = Rule {
        name: "fuzz".to_owned(),
        by: By::Token,
        spike: input.spike.then_some(rate),
        burst: input.burst,
        quota: (!input.spike).then_some(rate),
        window,
        classes: Default::default(),
        weight: None,
        weights: Default::default(),
        identities: Some(64),
        ipv4_prefix: None,
        ipv6_prefix: None,
    };
    let Ok(rates) = Rates::new(vec![rule], Key(input.key)) else { return };
    let memory = rates.memory();
    let mut now = Duration::from_secs(input.start.into()).min(LATEST);
    let most = if input.spike { input.burst.unwrap_or(1) } else { rate.count };
    for arrival in &input.arrivals {
        now = now.saturating_add(Duration::from_nanos(u64::from(arrival.gap) << (arrival.shift % 40)));
        if now > LATEST {
            return;
        }
        let judge = |now| {
            let identity = [arrival.identity % 3];
            let ask = Ask { rule: 0, identity: &identity, class: None, weight: arrival.weight };
            rates.judge(&[ask], Time { monotonic: now, wall: now })[0]
        };
        let ruling = judge(now);
        assert!(ruling.remaining <= most);
        assert!(!ruling.admitted || arrival.weight <= most);
        assert_eq!(ruling.retry.is_some(), !ruling.admitted && arrival.weight <= most);
        assert_eq!(retry_after([&ruling]).is_some(), ruling.retry.is_some());
        let headers = Headers::new([("fuzz", &ruling)]);
        assert!(headers.limit.starts_with("\"fuzz\";r=") && headers.policy.starts_with("\"fuzz\";q="));
        if let Some(wait) = ruling.retry {
            now = now.saturating_add(wait);
            assert!(judge(now).admitted, "{arrival:?} after {wait:?}");
        }
        assert_eq!(rates.memory(), memory);
    }
});
