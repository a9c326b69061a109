//! Signs of life for the service manager's watchdog (sd_watchdog_enabled(3)).
//!
//! A timer alone would go on beside an agent that does nothing any more. So each sign comes out of the way that a request
//! takes: the reactor wakes the task, a thread of the blocking pool takes the engine's lock and asks the kernel for a counter,
//! and the reactor takes up the answer. Where one of them hangs, no sign is given, and the service manager starts another agent.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// Signs within the time that the service manager waits: one may be late, and a second.
const SIGNS: u32 = 3;

/// Runs `probe` often enough for a watchdog that waits `within` between two signs, and gives a `sign` each time that it came to
/// its end; for as long as the task lives.
pub async fn watch<P>(within: Duration, probe: P, sign: impl Fn())
where
    P: Fn() + Clone + Send + 'static,
{
    let mut tick = tokio::time::interval(within / SIGNS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match tokio::task::spawn_blocking(probe.clone()).await {
            Ok(()) => sign(),
            Err(panicked) => tracing::error!("no sign of life for the service manager: {panicked}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };
    use tokio::sync::Mutex;

    #[tokio::test]
    async fn whoever_holds_the_lock_keeps_the_signs_back() {
        let lock = Arc::new(Mutex::new(()));
        let signs = Arc::new(AtomicU32::new(0));
        let (taken, given) = (Arc::clone(&lock), Arc::clone(&signs));
        let probe = move || drop(taken.blocking_lock());
        let sign = move || {
            given.fetch_add(1, Ordering::Relaxed);
        };
        let watching = tokio::spawn(watch(Duration::from_millis(30), probe, sign));
        let given_within = async |time| {
            let before = signs.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(time)).await;
            signs.load(Ordering::Relaxed) - before
        };
        assert!(given_within(300).await > 2);
        let held = lock.lock().await;
        // One may have been under way.
        given_within(50).await;
        assert_eq!(given_within(300).await, 0);
        drop(held);
        assert!(given_within(300).await > 2);
        watching.abort();
    }
}
