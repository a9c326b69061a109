//! Spike arrest: a rate without bursts, or with one of a given size. `5/s` is one request every 200 ms.

use std::time::Duration;

use stopbank_common::gcra::{Limit, LimitError, TICKS_PER_NS, Ticks};

use super::{
    Charge, Rate, Ruling,
    table::{Key, State, Table, TableState},
};

/// Marks an arrival time of which an identity has come again before it: a newcomer's is forgotten before it.
const AGAIN: u64 = 1 << 63;
/// As late as a clock can be, with room for a burst after it: 11 years after its origin.
const LATEST: Ticks = (1 << 63) - (1 << 61);

/// Limits one rate, of any number of identities. The arithmetic is that of the kernel's limiter (GCRA, ITU-T I.371 annex A).
pub(super) struct Spike {
    table: Table<Arrival>,
    limit: Limit,
    rate: Rate,
    burst: u32,
}

/// The time at which the next request would come if it kept to the rate, in ticks, and [`AGAIN`].
#[derive(Clone, Copy, Default)]
struct Arrival {
    word: u64,
    /// What one unit costs, in ticks.
    unit: Ticks,
}

impl State for Arrival {
    fn rank(&self, now: u64) -> Option<(u64, u64)> {
        let ahead = (self.word & !AGAIN).checked_sub(now).filter(|&ahead| ahead > 0)?;
        Some((ahead.div_ceil(self.unit.max(1)), self.word))
    }
}

impl Spike {
    /// # Errors
    ///
    /// The burst is zero, or so long that arrival times would leave 64 bits.
    pub(super) fn new(
        rate: Rate,
        burst: u32,
        key: Key,
        salt: &str,
        identities: usize,
    ) -> Result<Self, LimitError> {
        let limit = Self::limit(rate, burst)?;
        Ok(Self { table: Table::new(key, salt, identities), limit, rate, burst })
    }

    /// # Errors
    ///
    /// As [`Spike::new`].
    pub(super) fn limit(rate: Rate, burst: u32) -> Result<Limit, LimitError> {
        let period = u64::try_from(rate.period.length().as_nanos()).map_err(|_| LimitError::TooSlow)?;
        Limit::new(u64::from(rate.count), period, u64::from(burst), 1)
    }

    pub(super) fn memory_for(identities: usize) -> usize {
        Table::<Arrival>::memory_for(identities)
    }

    pub(super) fn table_state(&self) -> TableState {
        self.table.state()
    }

    pub(super) fn occupied(&self, now: Duration) -> usize {
        self.table.occupied(ticks(now))
    }

    /// Judges a request of `weight` units at `now`, since any fixed moment.
    pub(super) fn judge(&self, identity: &[u8], weight: u32, now: Duration, charge: Charge) -> Ruling {
        let now = ticks(now);
        self.table.with(identity, now, |state| self.judge_at(state, weight, now, charge))
    }

    fn judge_at(&self, state: &mut Arrival, weight: u32, now: Ticks, charge: Charge) -> Ruling {
        let arrival = state.word & !AGAIN;
        let ahead = arrival.saturating_sub(now);
        // Of a weight beyond the burst the cost is never affordable, and it need not be computed: it might not fit.
        let next = if weight > self.burst { None } else { self.limit.after(arrival, now, weight) };
        if charge == Charge::Yes {
            let again = if ahead > 0 { AGAIN } else { 0 };
            match next {
                Some(next) => *state = Arrival { word: next | again, unit: self.limit.cost(1) },
                None if ahead > 0 => state.word |= AGAIN,
                None => {}
            }
        }
        let ahead = if charge == Charge::Yes { next.map_or(ahead, |next| next - now) } else { ahead };
        let remaining = self.limit.tolerance.saturating_sub(ahead) / self.limit.cost(1).max(1);
        let retry = (next.is_none() && weight <= self.burst)
            .then(|| span((ahead + self.limit.cost(weight)).saturating_sub(self.limit.tolerance)));
        Ruling {
            admitted: next.is_some(),
            quota: self.rate.count,
            window: self.rate.period.length(),
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: retry.unwrap_or(span(ahead)),
            retry,
        }
    }
}

/// Never later than what the arithmetic can hold: a clock that is out of its mind makes no request pass that should not.
fn ticks(time: Duration) -> Ticks {
    u64::try_from(time.as_nanos() * u128::from(TICKS_PER_NS)).unwrap_or(LATEST).min(LATEST)
}

/// Rounded up: whoever waits so long is in time.
const fn span(ticks: Ticks) -> Duration {
    Duration::from_nanos(ticks.div_ceil(TICKS_PER_NS))
}
