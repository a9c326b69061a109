//! Vectors by the thousand, most of them near where the decision turns.

use stopbank_common::gcra::{Limit, MAX_UNITS};

use crate::kernel::Exchange;

/// The same every time, so that a failure can be looked at again.
const SEED: u64 = 0x5eed_0f57_0bba_9c42;

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Up to `bits` bits, numbers of every size alike.
    fn of_any_size(&mut self, bits: u64) -> u64 {
        let size = 1 + self.below(bits);
        self.next() >> (64 - size)
    }
}

/// `count` vectors.
pub(crate) fn vectors(count: usize) -> impl Iterator<Item = Exchange> {
    let mut random = SplitMix(SEED);
    std::iter::repeat_with(move || one(&mut random)).take(count)
}

fn one(random: &mut SplitMix) -> Exchange {
    let (limit, units) = limit(random);
    let now = random.of_any_size(63);
    // The last arrival time with which the packet still conforms.
    let last = now.wrapping_add(limit.tolerance.wrapping_sub(limit.cost(units)));
    let arrival = match random.below(8) {
        0 => 0,
        1 => now,
        2 => last,
        3 => last.wrapping_add(1),
        4 => last.wrapping_sub(random.of_any_size(20)),
        5 => now.saturating_add(random.of_any_size(62)),
        6 => now.saturating_sub(random.of_any_size(62)),
        _ => random.next(),
    };
    let Limit { increment, tolerance } = limit;
    Exchange { arrival, now, increment, tolerance, units, admitted: random.next() as u32 }
}

/// A limit and what a packet is charged: one that can be made, now and then one that cannot.
fn limit(random: &mut SplitMix) -> (Limit, u32) {
    loop {
        if random.below(16) == 0 {
            let limit = Limit { increment: random.next(), tolerance: random.next() };
            return (limit, random.next() as u32);
        }
        let (largest, units) = if random.below(2) == 0 {
            (1, 1)
        } else {
            (MAX_UNITS, random.below(u64::from(MAX_UNITS) + 1) as u32)
        };
        let (count, period, burst) = (random.of_any_size(40), random.of_any_size(47), random.of_any_size(24));
        if let Ok(limit) = Limit::new(count, period, burst, largest) {
            return (limit, units);
        }
    }
}
