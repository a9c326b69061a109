//! The engine alone: a request in, a verdict out, on one processor.

use std::{hint::black_box, time::Instant};

use anyhow::{Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use stopbank_checker::{
    Policy,
    engine::{self, Context},
    http1,
};

use crate::{allocations, requests::Kind, table::Row};

/// Requests that are judged, and before that without being counted.
const ROUNDS: usize = 20_000;
const WARM_UP: usize = 2_000;

/// A row, and allocations per request.
pub(crate) fn run(policy: &Policy, kind: Kind) -> Result<(Row, f64)> {
    let [bytes] = &kind.requests(None)[..] else { bail!("{} has more than one request", kind.name()) };
    let request =
        http1::read(bytes, policy.request_limits()).map_err(|reason| anyhow::anyhow!("{}", reason.name()))?;
    let started = Instant::now();
    let elapsed = || started.elapsed();
    let mut times = Vec::with_capacity(ROUNDS);
    let (mut cpu, mut allocated) = (0.0, 0);
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            (cpu, allocated) = (thread_time(), allocations::count());
        }
        // A request that has just come has all of its time.
        let began = elapsed();
        let verdict = {
            let clock = || elapsed().saturating_sub(began);
            engine::check(
                black_box(&request),
                &Context { elapsed: Some(&clock), ..Context::default() },
                policy,
            )
        };
        let took = elapsed() - began;
        ensure!(verdict.is_allowed(), "refused: {verdict:?}");
        if round >= WARM_UP {
            times.push(took);
        }
    }
    let (cpu, allocated) = (thread_time() - cpu, allocations::count() - allocated);
    let case = format!("check-{}", kind.name());
    let total = times.iter().sum::<std::time::Duration>();
    let rate = ROUNDS as f64 / total.as_secs_f64();
    let row = Row::new(case, "stopbank-checker", rate, cpu * 1e6 / ROUNDS as f64, &mut times);
    Ok((row, allocated as f64 / ROUNDS as f64))
}

/// Seconds of processor time of this thread.
fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
