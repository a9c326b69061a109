//! Any limit, and any arrivals of three sources that share a cell: none gets more than a bucket of its own gives.
#![no_main]

use std::cell::Cell as Slot;

use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use stopbank_common::gcra::{CELLS, Cell, Dimension, Limit, MAX_UNITS, admit};

/// As late as a clock can be with room for a burst after it: times are below 2^63.
const LATEST: u64 = i64::MAX as u64 - (1 << 61);

#[derive(Arbitrary, Debug)]
struct Input {
    count: u64,
    period_ns: u64,
    burst: u64,
    bytes: bool,
    start: u64,
    hash: u64,
    packets: Vec<Packet>,
}

#[derive(Arbitrary, Debug)]
struct Packet {
    source: u8,
    units: u16,
    /// Ticks since the last one: `gap << shift`.
    gap: u16,
    shift: u8,
}

#[derive(Default)]
struct Plain(Slot<u64>);

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

/// A bucket that leaks a tick per tick; charged with what was admitted.
#[derive(Clone, Copy, Default)]
struct Bucket {
    level: u128,
    seen: u64,
}

impl Bucket {
    fn filled(&self, now: u64, cost: u64) -> u128 {
        self.level.saturating_sub(u128::from(now - self.seen)) + u128::from(cost)
    }
}

fuzz_target!(|input: Input| {
    for dimension in Dimension::ALL {
        assert!(dimension.cell(input.hash) < CELLS);
    }
    let largest = if input.bytes { MAX_UNITS } else { 1 };
    let Ok(limit) = Limit::new(input.count, input.period_ns, input.burst, largest) else { return };
    assert!(limit.is_set() && limit.tolerance <= 1 << 60);

    let (shared, single) = (Plain::default(), Plain::default());
    let (mut own, mut alone) = ([Bucket::default(); 3], Bucket::default());
    let mut now = input.start.min(LATEST);
    for packet in &input.packets {
        now = now.saturating_add(u64::from(packet.gap) << (packet.shift % 48)).min(LATEST);
        let source = usize::from(packet.source % 3);
        let units = if input.bytes { u32::from(packet.units) } else { 1 };
        let cost = limit.cost(units);
        let before = shared.load();

        if admit(&shared, now, &limit, units) {
            let level = own[source].filled(now, cost);
            assert!(level <= u128::from(limit.tolerance), "source {source} would not have passed alone");
            own[source] = Bucket { level, seen: now };
            assert!(shared.load() >= before, "the cell went back");
        } else {
            assert_eq!(shared.load(), before, "dropped, and charged");
        }

        let level = alone.filled(now, cost);
        let conforms = level <= u128::from(limit.tolerance);
        assert_eq!(admit(&single, now, &limit, units), conforms);
        if conforms {
            alone = Bucket { level, seen: now };
        }
    }
});
