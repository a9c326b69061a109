//! Keys that change, a provider that is down, and clocks that differ. Times are as short as policies allow.

use std::time::{Duration, Instant};

use crate::{World, provider::API, servers::wait_until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("keys rotate without a refusal, and old tokens are good until they expire", rotation),
    ("while the provider is down its tokens are good, for as long as the policy says", down),
    ("clocks may differ by the leeway and no more", skew),
];

fn rotation() {
    let mut world = World::verifying("");
    world.provider.life(15);
    let (began, old) = (Instant::now(), world.provider.token("machine", API, &[]));
    assert_eq!(world.status(&old), 200);
    let mut asked = 0;
    // Clients get new tokens and use those that they have, while a new key signs at once, and then another.
    for keys in
        [&[("k-2", "ES256"), ("k-1", "ES256")][..], &[("k-3", "RS256"), ("k-2", "ES256"), ("k-1", "ES256")]]
    {
        std::thread::sleep(Duration::from_millis(2_500));
        world.provider.publishes(keys);
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            let new = world.provider.token("machine", API, &[]);
            assert_eq!((world.status(&new), world.status(&old)), (200, 200), "after {:?}", began.elapsed());
            asked += 2;
        }
    }
    // The leeway is 30 s unless a policy says otherwise.
    let last = Duration::from_secs(15 + 30);
    while began.elapsed() < last - Duration::from_secs(2) {
        assert_eq!(world.status(&old), 200, "after {:?}", began.elapsed());
        asked += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep((last + Duration::from_secs(1)).saturating_sub(began.elapsed()));
    let (status, answer) = world.get(&format!("Authorization: Bearer {old}\r\n"));
    assert_eq!(status, 401, "{answer}");
    println!("{asked} requests during two rotations, none refused; the old token ended with its time");
}

fn down() {
    let mut world = World::verifying("");
    let token = world.provider.token("machine", API, &[]);
    assert_eq!(world.status(&token), 200);
    world.provider.goes_down();
    let (began, mut asked) = (Instant::now(), 0);
    // Keys are fresh for 10 s, and count for 10 s more; when they were last fetched, nobody here knows.
    while began.elapsed() < Duration::from_secs(12) {
        assert_eq!(world.status(&token), 200, "after {:?}", began.elapsed());
        asked += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    wait_until("the end of keys that nobody vouches for", || world.status(&token) == 503);
    let ended = began.elapsed();
    assert!(ended < Duration::from_secs(22), "{ended:?}");
    // Back, with another key.
    world.provider.comes_up(&[("k-9", "ES256")]);
    let back = Instant::now();
    let new = world.provider.token("machine", API, &[]);
    wait_until("the new keys", || world.status(&new) == 200);
    let back = back.elapsed();
    assert_eq!(world.status(&token), 401, "its key is gone");
    println!(
        "down: {asked} requests in 12 s, none refused; 503 after {ended:.1?} (10 s and 10 s); good again {back:.1?} after it was back"
    );
    assert!(back < Duration::from_secs(5), "{back:?}");
}

fn skew() {
    let mut world = World::verifying("");
    // Seconds by which the provider is ahead, how long its tokens live, and what comes of them. The leeway is 30 s.
    for (ahead, life, status) in [
        (20, 300, 200),
        (28, 300, 200),
        (40, 300, 401),
        (3_600, 300, 401),
        (-20, 10, 200),
        (-45, 10, 401),
        (-280, 300, 200),
        (-3_600, 300, 401),
    ] {
        world.provider.clock(ahead);
        world.provider.life(life);
        let token = world.provider.token("machine", API, &[]);
        let (found, answer) = world.get(&format!("Authorization: Bearer {token}\r\n"));
        assert_eq!(found, status, "{ahead} s ahead, a life of {life} s: {answer}");
    }
}
