//! How the kernel's timer ticks relate to its monotonic clock.
//!
//! The program tells the time from the number of ticks, which stands in memory, where that is exact enough. How long a tick
//! is the kernel says (the resolution of the coarse clock); where ticks count from is measured, by reading both clocks at
//! once for a few ticks: right after a tick, they differ by just that.

use std::{
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{Array, MapData},
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use stopbank_common::names;

use super::{DatapathError, missing};

/// Ticks that are watched.
const WATCHED: u32 = 3;
/// How often the clocks are read meanwhile.
const PAUSE: Duration = Duration::from_micros(100);

/// The kernel's ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticks {
    /// Length of one in nanoseconds.
    pub tick_ns: u64,
    /// What the number of ticks, times their length, is short of the monotonic clock; wraps around.
    pub offset_ns: u64,
}

impl Ticks {
    /// None: every time is read to the nanosecond.
    pub(super) const NONE: Self = Self { tick_ns: 0, offset_ns: 0 };
}

/// Measures the kernel's ticks.
///
/// # Errors
///
/// [`DatapathError`] when the program that reads the clocks cannot be run.
pub(super) fn measure(ebpf: &mut Ebpf) -> Result<Ticks, DatapathError> {
    let failed =
        |error: &(dyn std::error::Error + 'static)| DatapathError::kernel("read the kernel's clocks", error);
    let tick_ns = resolution();
    let clocks = ebpf.take_map(names::CLOCKS).ok_or_else(|| missing(names::CLOCKS))?;
    let clocks = Array::<MapData, [u64; 2]>::try_from(clocks).map_err(|error| failed(&error))?;
    let program = ebpf.program_mut(names::READ_CLOCKS).ok_or_else(|| missing(names::READ_CLOCKS))?;
    let program: &mut Xdp = program.try_into().map_err(|error| failed(&error))?;
    program.load().map_err(|error| failed(&error))?;
    let begun = Instant::now();
    let mut least: Option<i64> = None;
    while begun.elapsed() < Duration::from_nanos(tick_ns) * WATCHED {
        let mut options = TestRunOptions::new();
        options.data_in = Some(&[0; 14]);
        program.test_run(options).map_err(|error| failed(&error))?;
        let [ticks, now] = clocks.get(&0, 0).map_err(|error| failed(&error))?;
        let offset = now.wrapping_sub(ticks.wrapping_mul(tick_ns)).cast_signed();
        least =
            Some(least.map_or(offset, |least| if offset.wrapping_sub(least) < 0 { offset } else { least }));
        thread::sleep(PAUSE);
    }
    program.unload().map_err(|error| failed(&error))?;
    Ok(Ticks { tick_ns, offset_ns: least.unwrap_or_default().cast_unsigned() })
}

/// Length of a tick: `CLOCK_MONOTONIC_COARSE` moves with it (kernel/time/posix-timers.c, `KTIME_LOW_RES`).
fn resolution() -> u64 {
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `tick` is a valid timespec, and the clock exists on every Linux that has BPF.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut tick) };
    tick.tv_sec.unsigned_abs() * 1_000_000_000 + tick.tv_nsec.unsigned_abs()
}
