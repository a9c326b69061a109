//! The rate limiter's arithmetic: GCRA (ITU-T I.371 annex A, the virtual-scheduling form) over shared cells.
//!
//! A cell is the *theoretical arrival time* of the next conforming packet, one `u64`. A source owns no cell: its hash
//! picks a line of 64 bytes, and in it one cell for each thing that is limited (a sketch of arrival times, blocked so that a
//! source costs one cache line). Sharing can only push an arrival time later, so it can only make the limiter stricter,
//! never laxer.
//!
//! Everything here takes `now` and touches memory only through [`Cell`], so that the kernel program and the host's
//! tests run the same code.

use crate::Plain;

/// Time in ticks of 1/16 ns since the kernel's monotonic clock began: fine enough that the cost of one byte at
/// 100 Gbit/s is not lost in rounding, coarse enough that times stay below 2^63, as the arithmetic wants them, for 18
/// years of uptime.
pub type Ticks = u64;

/// Ticks in a nanosecond.
pub const TICKS_PER_NS: u64 = 16;
/// Ticks in a second.
pub const TICKS_PER_SECOND: u64 = TICKS_PER_NS * 1_000_000_000;
/// Fractional bits of [`Limit::increment`].
pub const INCREMENT_FRACTION: u32 = 12;
/// Half a tick, as [`Limit::increment`] counts.
const HALF_TICK: u64 = 1 << (INCREMENT_FRACTION - 1);
/// The most units that one packet is charged: a packet's bytes, capped at what IP can carry.
pub const MAX_UNITS: u32 = 65_535;
/// How often [`admit`] begins anew when another CPU changed the cell first. Each time, some other packet got on.
const ATTEMPTS: u32 = 6;

/// Cells in a line: 64 bytes, one cache line.
pub const CELLS: usize = 8;

/// A cache line of cells. Cells 0 to 3 hold packet rates, 4 and 5 byte rates, 6 and 7 connection rates.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C, align(64))]
pub struct Line {
    /// Theoretical arrival times.
    pub cells: [Ticks; CELLS],
}

// SAFETY: repr(C), eight u64 fill the 64 bytes that the alignment asks for.
unsafe impl Plain for Line {}

const _: () = assert!(size_of::<Line>() == 64);

/// What a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Dimension {
    /// Packets.
    Packets = 0,
    /// Bytes of the frame as it came in, Ethernet header included, FCS excluded.
    Bytes = 1,
    /// New TCP connections: segments with SYN and without ACK.
    Connections = 2,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 3] = [Self::Packets, Self::Bytes, Self::Connections];

    /// The cell of a line that the hash of a source picks for this dimension.
    ///
    /// Two sources that share a line share a cell of four, or of two. (The earlier one of two cells out of three, as in
    /// count-min sketches, would collide as often and be pushed forward twice by everybody else.)
    #[inline(always)]
    pub const fn cell(self, hash: u64) -> usize {
        // The high bits choose: the low ones have chosen the line.
        match self {
            Self::Packets => (hash >> 40) as usize & 3,
            Self::Bytes => 4 | (hash >> 42) as usize & 1,
            Self::Connections => 6 | (hash >> 43) as usize & 1,
        }
    }

    /// The one cell of a class's total budget.
    #[inline(always)]
    pub const fn total_cell(self) -> usize {
        self as usize * 2
    }

    /// The one cell of the part of it that is reserved for proven sources.
    #[inline(always)]
    pub const fn reserve_cell(self) -> usize {
        self as usize * 2 + 1
    }
}

/// The cell of a class's SYN rate, beside its totals.
pub const GUARD_RATE_CELL: usize = 6;
/// The cell that tells until when SYNs of the class are answered with cookies, in ticks.
pub const GUARD_UNTIL_CELL: usize = 7;

/// A rate and a burst, ready for the kernel. All zero means no limit.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Limit {
    /// What one unit costs, in ticks with [`INCREMENT_FRACTION`] fractional bits. 0: no limit.
    pub increment: u64,
    /// How far an arrival time may run ahead of now: the burst's worth of ticks.
    pub tolerance: Ticks,
}

// SAFETY: repr(C), two u64, no padding.
unsafe impl Plain for Limit {}

/// Why a rate cannot be expressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitError {
    /// The count, the period or the burst is zero.
    Zero,
    /// More than 1,000,000,000,000 units a second.
    TooFast,
    /// So slow, or with so long a burst, that arrival times would leave 64 bits.
    TooSlow,
}

impl Limit {
    /// No limit at all.
    pub const NONE: Self = Self { increment: 0, tolerance: 0 };

    /// `count` units every `period_ns`, and `burst` units at once. `largest` is the most units that one packet costs
    /// (1 for packets and connections, [`MAX_UNITS`] for bytes).
    ///
    /// # Errors
    ///
    /// [`LimitError`] when the limit is empty or outside what the arithmetic can hold.
    pub const fn new(count: u64, period_ns: u64, burst: u64, largest: u32) -> Result<Self, LimitError> {
        if count == 0 || period_ns == 0 || burst == 0 {
            return Err(LimitError::Zero);
        }
        let period = (period_ns as u128 * TICKS_PER_NS as u128) << INCREMENT_FRACTION;
        let mut increment = (period + count as u128 / 2) / count as u128;
        if increment < 64 {
            return Err(LimitError::TooFast);
        }
        if largest == 1 {
            // Every packet costs the same: in whole ticks (one at least), so that a burst of n is n packets exactly.
            let ticks = (increment + HALF_TICK as u128) >> INCREMENT_FRACTION;
            increment = if ticks == 0 { 1 } else { ticks } << INCREMENT_FRACTION;
        }
        // The largest packet's cost must fit, and so must the whole burst (two years of it are of no use to anyone).
        if increment * largest as u128 > i64::MAX as u128 {
            return Err(LimitError::TooSlow);
        }
        let tolerance = (increment * burst as u128) >> INCREMENT_FRACTION;
        if tolerance > 1 << 60 {
            return Err(LimitError::TooSlow);
        }
        Ok(Self { increment: increment as u64, tolerance: tolerance as u64 })
    }

    /// Whether there is a limit.
    #[inline(always)]
    pub const fn is_set(&self) -> bool {
        self.increment != 0
    }

    /// The same rate with half of the burst.
    #[inline(always)]
    pub const fn halved(&self) -> Self {
        Self { increment: self.increment, tolerance: self.tolerance / 2 }
    }

    /// What `units` cost, in ticks, rounded to the nearest: always down, 64-byte frames at 100 Gbit/s would get 1.1 %
    /// more than they should.
    #[inline(always)]
    pub const fn cost(&self, units: u32) -> Ticks {
        self.increment.wrapping_mul(units as u64).wrapping_add(HALF_TICK) >> INCREMENT_FRACTION
    }

    /// The arrival time after a packet of `units`, or `None` if it does not conform.
    #[inline(always)]
    pub const fn after(&self, arrival: Ticks, now: Ticks, units: u32) -> Option<Ticks> {
        let base = later(arrival, now);
        let next = base.wrapping_add(self.cost(units));
        if next.wrapping_sub(now) > self.tolerance { None } else { Some(next) }
    }
}

/// The later of two times, without a branch: BPF has no conditional move, and with random sources a processor guesses
/// every other branch wrong. Times are below 2^63.
#[inline(always)]
const fn later(a: Ticks, b: Ticks) -> Ticks {
    let difference = a.wrapping_sub(b);
    a.wrapping_sub(difference & ((difference as i64) >> 63) as u64)
}

/// One `u64` that several CPUs change at once.
pub trait Cell {
    /// Its value.
    fn load(&self) -> u64;
    /// Stores `new` if the value is still `current`; whether it did.
    fn replace(&self, current: u64, new: u64) -> bool;
}

/// Admits a packet of `units` if its cell allows it, and charges the cell.
///
/// Two CPUs never admit on the same token: whoever fails to replace the cell that it has read begins anew. A packet that
/// does not conform changes nothing.
#[inline(always)]
pub fn admit<C: Cell>(cell: &C, now: Ticks, limit: &Limit, units: u32) -> bool {
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        attempt += 1;
        if let Some(admitted) = admit_at_once(cell, now, limit, units) {
            return admitted;
        }
    }
    false
}

/// One attempt of [`admit`]; `None` if another CPU was first.
#[inline(always)]
pub fn admit_at_once<C: Cell>(cell: &C, now: Ticks, limit: &Limit, units: u32) -> Option<bool> {
    let arrival = cell.load();
    let Some(next) = limit.after(arrival, now, units) else { return Some(false) };
    if cell.replace(arrival, next) { Some(true) } else { None }
}
