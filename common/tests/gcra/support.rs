//! Limits by their units, and cells that one thread uses.

use std::{cell, fmt};

use stopbank_common::gcra::{Cell, Limit, MAX_UNITS, TICKS_PER_NS, Ticks};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A limit, and the numbers that it was made from.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) count: u64,
    pub(crate) period_ns: u64,
    pub(crate) burst: u64,
    pub(crate) limit: Limit,
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {} ns, burst {}", self.count, self.period_ns, self.burst)
    }
}

impl Rate {
    /// Packets or connections.
    pub(crate) fn packets(count: u64, period_ns: u64, burst: u64) -> Self {
        Self { count, period_ns, burst, limit: Limit::new(count, period_ns, burst, 1).unwrap() }
    }

    /// Bytes.
    pub(crate) fn bytes(count: u64, period_ns: u64, burst: u64) -> Self {
        Self { count, period_ns, burst, limit: Limit::new(count, period_ns, burst, MAX_UNITS).unwrap() }
    }

    /// Units in a tick.
    pub(crate) fn per_tick(&self) -> f64 {
        self.count as f64 / (self.period_ns as f64 * TICKS_PER_NS as f64)
    }

    /// `burst + rate × time`: what may pass in `ticks`.
    pub(crate) fn allowed(&self, ticks: Ticks) -> f64 {
        self.burst as f64 + self.per_tick() * ticks as f64
    }

    /// What rounding may add to or take from [`Self::allowed`] over this many packets: half a tick for each, and the
    /// increment's own half unit in its last place.
    pub(crate) fn rounding(&self, packets: usize, units: f64) -> f64 {
        let per_packet = 0.5 * self.per_tick() * packets as f64;
        let increment = (units + self.burst as f64) * 0.5 / self.limit.increment as f64;
        // A burst in packets is rounded to whole ticks for each.
        let burst = if self.limit.increment.is_multiple_of(4096) {
            0.5 * self.per_tick() * self.burst as f64
        } else {
            0.0
        };
        per_packet + increment + burst
    }
}

/// A cell for one thread.
#[derive(Default, Debug)]
pub(crate) struct Plain(pub(crate) cell::Cell<u64>);

impl Plain {
    pub(crate) fn new(value: u64) -> Self {
        Self(cell::Cell::new(value))
    }
}

impl Cell for Plain {
    fn load(&self) -> u64 {
        self.0.get()
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        let unchanged = self.0.get() == current;
        if unchanged {
            self.0.set(new);
        }
        unchanged
    }
}
