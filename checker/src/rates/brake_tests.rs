//! What brakes hold, and whom they leave alone.

use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn brake() -> Brake {
    Brake::new(BrakeRule { identities: 1 << 12, ..BrakeRule::default() }, Key([3; 16]))
}

fn attempt<'a>(account: &'a str, origin: &'a str) -> Attempt<'a> {
    Attempt { account: account.as_bytes(), origin: Some(origin.as_bytes()), credential: None }
}

/// Attempts that are judged, and fail, if each is made as soon as it may be.
fn tries(
    brake: &Brake,
    from: u64,
    until: u64,
    mut attempt: impl FnMut(u64) -> (Vec<u8>, Vec<u8>, Vec<u8>),
) -> u64 {
    let (mut now, mut judged) = (seconds(from), 0);
    while now < seconds(until) {
        let (account, origin, credential) = attempt(judged);
        let attempt = Attempt { account: &account, origin: Some(&origin), credential: Some(&credential) };
        match brake.begin(&attempt, now) {
            Ok(()) => judged += 1,
            Err(Delay(wait)) => now += wait,
        }
        now += Duration::from_millis(1);
    }
    judged
}

#[test]
fn waits_grow_from_a_second_to_a_quarter_of_an_hour() {
    let brake = Brake::new(BrakeRule { shared_free: 1_000, ..BrakeRule::default() }, Key([3; 16]));
    let one = attempt("alice", "there");
    let mut now = Duration::ZERO;
    for expected in [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        let wait = brake.begin(&one, now).map_or_else(|Delay(wait)| wait, |()| Duration::ZERO);
        assert_eq!(wait, seconds(expected));
        now += wait;
        assert!(wait == Duration::ZERO || brake.begin(&one, now).is_ok());
    }
    // Forgotten after a day.
    now += seconds(86_400);
    assert!((0..5).all(|_| brake.begin(&one, now).is_ok()));
}

#[test]
fn attempts_that_have_to_wait_make_the_wait_no_longer() {
    let brake = brake();
    let one = attempt("alice", "there");
    assert!((0..5).all(|_| brake.begin(&one, Duration::ZERO).is_ok()));
    for millisecond in 0..1_000 {
        let Delay(wait) = brake.begin(&one, Duration::from_millis(millisecond)).unwrap_err();
        assert_eq!(wait, Duration::from_millis(1_000 - millisecond));
    }
    assert!(brake.begin(&one, seconds(1)).is_ok());
}

#[test]
fn many_attempts_at_once_are_judged_no_more_often_than_one_after_another() {
    let brake = brake();
    let judged: usize = std::thread::scope(|scope| {
        let work =
            || (0..100).filter(|_| brake.begin(&attempt("alice", "there"), seconds(1)).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(judged, 5);
}

#[test]
fn a_success_forgets_what_its_own_origin_failed_and_nothing_else() {
    let brake = brake();
    let (here, there) = (attempt("alice", "here"), attempt("alice", "there"));
    assert!((0..5).all(|_| brake.begin(&here, Duration::ZERO).is_ok()));
    assert!((0..5).all(|_| brake.begin(&there, Duration::ZERO).is_ok()));
    assert!(brake.begin(&here, seconds(1)).is_ok());
    brake.succeeded(&here, seconds(1));
    assert!((0..5).all(|_| brake.begin(&here, seconds(1)).is_ok()));
    // Of eleven failures, one was none: strangers wait after the eleventh.
    assert!(brake.begin(&there, seconds(2)).is_ok());
    let Delay(wait) = brake.begin(&attempt("alice", "elsewhere"), seconds(2)).unwrap_err();
    assert_eq!(wait, seconds(1));
    // Nobody else's account is touched.
    assert!(brake.begin(&attempt("bob", "elsewhere"), seconds(2)).is_ok());
}

#[test]
fn an_owner_who_was_there_before_never_waits_for_what_others_do() {
    let brake = brake();
    let owner = attempt("alice", "her own device");
    assert!(brake.begin(&owner, Duration::ZERO).is_ok());
    brake.succeeded(&owner, Duration::ZERO);
    // A week of guessing from as many origins as anybody likes.
    let day = 86_400;
    for number in 0..7 {
        let judged = tries(&brake, number * day, (number + 1) * day, |judged| {
            (b"alice".to_vec(), format!("{number}.{judged}").into_bytes(), judged.to_le_bytes().to_vec())
        });
        assert!(judged <= 2_900, "{judged} guesses a day");
        assert!(brake.begin(&owner, seconds((number + 1) * day)).is_ok(), "day {number}");
        brake.succeeded(&owner, seconds((number + 1) * day));
    }
    // Even from a new device she waits no longer than half a minute.
    let Delay(wait) = brake.begin(&attempt("alice", "a new one"), seconds(7 * day)).unwrap_err();
    assert!(wait <= seconds(30));
}

#[test]
fn one_password_at_many_accounts_is_held() {
    let judged = tries(&brake(), 0, 3_600, |judged| {
        (format!("account {judged}").into_bytes(), judged.to_le_bytes().to_vec(), b"Spring2026".to_vec())
    });
    // Ten for nothing, then after 1, 2, 4, ... 900 seconds.
    assert!(judged <= 24, "{judged}");
}

#[test]
fn a_waiting_origin_does_not_use_up_what_strangers_have() {
    let brake = brake();
    for _ in 0..10_000 {
        let _ = brake.begin(&attempt("alice", "there"), Duration::ZERO);
    }
    // Five were judged; five more are free.
    assert!((0..5).all(|other| brake.begin(&attempt("alice", &format!("{other}")), Duration::ZERO).is_ok()));
}

#[test]
fn what_could_not_be_judged_is_not_counted() {
    let brake = brake();
    let one = Attempt { credential: Some(b"x"), ..attempt("alice", "there") };
    for _ in 0..100 {
        assert!(brake.begin(&one, Duration::ZERO).is_ok());
        brake.unjudged(&one, Duration::ZERO);
    }
}

#[test]
fn a_flood_of_accounts_and_origins_makes_no_failure_forgotten() {
    let brake = brake();
    let memory = brake.memory();
    let one = attempt("alice", "there");
    assert!((0..5).all(|_| brake.begin(&one, Duration::ZERO).is_ok()));
    for number in 0..50_000_u32 {
        let _ = brake.begin(&attempt(&format!("{number}"), &format!("{number}")), Duration::ZERO);
    }
    assert_eq!(brake.begin(&one, Duration::ZERO), Err(Delay(seconds(1))));
    assert_eq!(brake.memory(), memory);
}
