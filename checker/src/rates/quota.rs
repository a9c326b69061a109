//! Quotas: so many units in a window, which is the calendar's, begins with an identity's first request, or rolls.

use std::time::Duration;

use super::{
    Charge, Period, Rate, Ruling, Time, Window,
    calendar::{Span, month, week},
    table::{Key, State, Table, TableState},
};

/// Parts of a rolling window, of which one is the present one. What was used in a part counts until the whole part is out of the window: a quota is
/// never exceeded in any window, and up to 1/127 less may pass.
const PARTS: usize = 128;

/// Limits one quota, of any number of identities.
pub(super) struct Quota {
    rate: Rate,
    /// In nanoseconds.
    length: u64,
    kind: Kind,
}

enum Kind {
    Calendar(Table<Used>),
    Flexible(Table<Used>),
    Rolling(Box<Table<Rolling>>),
}

/// What was used in a window that ends, in nanoseconds of the clock that it goes by.
#[derive(Clone, Copy, Default)]
struct Used {
    until: u64,
    /// When it was used last.
    seen: u64,
    used: u32,
}

impl State for Used {
    fn rank(&self, now: u64) -> Option<(u64, u64)> {
        (self.until > now && self.used > 0).then_some((u64::from(self.used), self.seen))
    }
}

/// What was used in each part of a rolling window.
#[derive(Clone)]
struct Rolling {
    /// Number of the present part since the clock's origin; 0 where nothing was used yet.
    part: u64,
    /// When it was used last, in nanoseconds.
    seen: u64,
    used: u32,
    parts: [u32; PARTS],
}

impl Default for Rolling {
    fn default() -> Self {
        Self { part: 0, seen: 0, used: 0, parts: [0; PARTS] }
    }
}

impl State for Rolling {
    /// `now` in parts.
    fn rank(&self, now: u64) -> Option<(u64, u64)> {
        (self.used > 0 && self.part + PARTS as u64 > now).then_some((u64::from(self.used), self.seen))
    }
}

impl Rolling {
    /// Forgets what is out of the window at the part `now`.
    fn advance(&mut self, now: u64) {
        // A clock that went back stays where it was.
        let passed = now.saturating_sub(self.part);
        if passed >= PARTS as u64 {
            *self = Self { part: now, ..Self::default() };
            return;
        }
        for part in self.part + 1..=self.part + passed {
            let slot = self.slot(part);
            let over = std::mem::take(slot);
            self.used = self.used.saturating_sub(over);
        }
        self.part += passed;
    }

    fn slot(&mut self, part: u64) -> &mut u32 {
        // Below 128 by the remainder.
        &mut self.parts[(part % PARTS as u64) as usize]
    }

    /// The first part at which no more than `allowed` units count.
    fn free_at(&mut self, allowed: u32) -> u64 {
        let mut used = self.used;
        for part in self.part.saturating_sub(PARTS as u64 - 1)..=self.part {
            if used <= allowed {
                // What was taken off last is out of the window PARTS after its part.
                return part + PARTS as u64 - 1;
            }
            used = used.saturating_sub(*self.slot(part));
        }
        self.part + PARTS as u64
    }
}

impl Quota {
    /// `None` where a month is to roll, or to begin with the first request: it has no fixed length.
    pub(super) fn new(rate: Rate, window: Window, key: Key, salt: &str, identities: usize) -> Option<Self> {
        if !Self::is_possible(rate, window) {
            return None;
        }
        let length = u64::try_from(rate.period.length().as_nanos()).unwrap_or(u64::MAX);
        let kind = match window {
            Window::Calendar => Kind::Calendar(Table::new(key, salt, identities)),
            Window::Flexible => Kind::Flexible(Table::new(key, salt, identities)),
            Window::Rolling => Kind::Rolling(Box::new(Table::new(key, salt, identities))),
        };
        Some(Self { rate, length, kind })
    }

    /// Whether there are such windows of that length.
    pub(super) fn is_possible(rate: Rate, window: Window) -> bool {
        rate.period != Period::Month || window == Window::Calendar
    }

    pub(super) fn memory_for(window: Window, identities: usize) -> usize {
        match window {
            Window::Calendar | Window::Flexible => Table::<Used>::memory_for(identities),
            Window::Rolling => Table::<Rolling>::memory_for(identities),
        }
    }

    pub(super) fn table_state(&self) -> TableState {
        match &self.kind {
            Kind::Calendar(table) | Kind::Flexible(table) => table.state(),
            Kind::Rolling(table) => table.state(),
        }
    }

    pub(super) fn occupied(&self, time: Time) -> usize {
        match &self.kind {
            Kind::Calendar(table) => table.occupied(nanoseconds(time.wall)),
            Kind::Flexible(table) => table.occupied(nanoseconds(time.monotonic)),
            Kind::Rolling(table) => table.occupied(self.part(nanoseconds(time.monotonic))),
        }
    }

    /// The part of a rolling window that a time is in: from 1 on, since 0 means that nothing was used yet.
    fn part(&self, now: u64) -> u64 {
        now / self.part_length() + 1
    }

    fn part_length(&self) -> u64 {
        self.length.div_ceil(PARTS as u64 - 1).max(1)
    }

    pub(super) fn judge(&self, identity: &[u8], weight: u32, time: Time, charge: Charge) -> Ruling {
        match &self.kind {
            Kind::Calendar(table) => {
                let now = nanoseconds(time.wall);
                let span = self.calendar(now);
                table.with(identity, now, |state| {
                    // A clock that was set back by less than a window does not give a second quota; one that was far ahead does not
                    // keep anybody out for long.
                    let behind = state.until.saturating_sub(span.until);
                    if state.until < span.until || behind > self.length {
                        *state = Used { until: span.until, ..Used::default() };
                    }
                    self.of_window(state, weight, now, charge)
                })
            }
            Kind::Flexible(table) => {
                let now = nanoseconds(time.monotonic);
                table.with(identity, now, |state| {
                    if state.until <= now {
                        *state = Used { until: now.saturating_add(self.length), ..Used::default() };
                    }
                    self.of_window(state, weight, now, charge)
                })
            }
            Kind::Rolling(table) => {
                self.rolling(table, identity, weight, nanoseconds(time.monotonic), charge)
            }
        }
    }

    /// The window of the calendar that a time is in.
    fn calendar(&self, now: u64) -> Span {
        match self.rate.period {
            Period::Month => month(now),
            Period::Seconds(seconds) if seconds.is_multiple_of(7 * super::amount::DAY) => {
                week(now, self.length)
            }
            Period::Seconds(_) => Span::aligned(now, self.length, 0),
        }
    }

    fn of_window(&self, state: &mut Used, weight: u32, now: u64, charge: Charge) -> Ruling {
        let used = state.used.saturating_add(weight);
        let admitted = used <= self.rate.count;
        if admitted && charge == Charge::Yes {
            (state.used, state.seen) = (used, now);
        }
        let reset = Duration::from_nanos(state.until.saturating_sub(now));
        let retry = (!admitted && weight <= self.rate.count).then_some(reset);
        self.ruling(admitted, state.used, reset, retry)
    }

    fn rolling(
        &self,
        table: &Table<Rolling>,
        identity: &[u8],
        weight: u32,
        now: u64,
        charge: Charge,
    ) -> Ruling {
        let (length, part) = (self.part_length(), self.part(now));
        table.with(identity, part, |state| {
            state.advance(part);
            let used = state.used.saturating_add(weight);
            let admitted = used <= self.rate.count;
            if admitted && charge == Charge::Yes {
                (state.used, state.seen) = (used, now);
                let present = state.part;
                *state.slot(present) += weight;
            }
            let until =
                |part: u64| Duration::from_nanos(((part - 1).saturating_mul(length)).saturating_sub(now));
            let retry = (!admitted && weight <= self.rate.count)
                .then(|| until(state.free_at(self.rate.count - weight)));
            let whole = if state.used == 0 { Duration::ZERO } else { until(state.free_at(0)) };
            self.ruling(admitted, state.used, retry.unwrap_or(whole), retry)
        })
    }

    fn ruling(&self, admitted: bool, used: u32, reset: Duration, retry: Option<Duration>) -> Ruling {
        Ruling {
            admitted,
            quota: self.rate.count,
            window: self.rate.period.length(),
            remaining: self.rate.count.saturating_sub(used),
            reset,
            retry,
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    // 500 years: what is later is no time that a clock shows.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 2)
}
