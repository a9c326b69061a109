//! Ends a program in order: on Ctrl-C, on SIGTERM, when its terminal goes, and when it takes too long.

use std::{
    io, mem, ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::scratch;

static ASKED: AtomicBool = AtomicBool::new(false);

/// How long a program that was asked to end may take to clear up by itself.
const GRACE: Duration = Duration::from_secs(15);

/// From now on a signal asks the program to end, and so does the time `at_most`: see [`check`]. A second signal, or more than
/// 15 s without an end, ends it at once, after removing what is left in file systems; the kernel does the rest.
///
/// To be called before any thread is started: they inherit that the signals are blocked.
///
/// # Errors
///
/// When the thread that waits for signals cannot be started.
pub fn watch(at_most: Duration) -> io::Result<()> {
    // SAFETY: the set is emptied before it is used.
    let signals = unsafe {
        let mut signals: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut signals, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, ptr::null_mut());
        signals
    };
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        if wait(&signals, at_most) {
            eprintln!("interrupted: clearing up (once more to do without)");
        } else {
            eprintln!("not done after {at_most:?}: giving up");
        }
        ASKED.store(true, Ordering::Relaxed);
        wait(&signals, GRACE);
        scratch::remove_all();
        // The children and namespaces go with this process.
        std::process::exit(130);
    })?;
    Ok(())
}

/// Whether the program has been asked to end.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// To be asked wherever time passes.
///
/// # Errors
///
/// When the program has been asked to end.
pub fn check() -> Result<()> {
    if asked() {
        bail!("interrupted");
    }
    Ok(())
}

/// Sleeps until then.
///
/// # Errors
///
/// As soon as the program has been asked to end.
pub fn sleep_until(then: Instant) -> Result<()> {
    loop {
        check()?;
        let left = then.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// Waits for one of the signals; whether one came in time.
fn wait(signals: &libc::sigset_t, at_most: Duration) -> bool {
    let deadline = Instant::now() + at_most;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout =
            libc::timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        // SAFETY: the set and the timeout live across the call, and no information on the signal is asked for.
        if unsafe { libc::sigtimedwait(signals, ptr::null_mut(), &raw const timeout) } > 0 {
            return true;
        }
        if left.is_zero() {
            return false;
        }
    }
}
