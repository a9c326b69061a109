//! How many different ones there were lately, in memory of a fixed size: HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, 2007), read by the estimator that Ertl
//! gave it ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6), which has no bias at small numbers and needs no table.
//!
//! A window is counted in halves. What counts is the half that runs and the two before it: one window at least, one and a half at most.

/// Registers of a half, a byte each. The standard error is 1.04 ÷ √256 = 6.5 %, and less below some hundreds.
const REGISTERS: usize = 256;
/// Halves of a window that count.
const HALVES: usize = 3;

/// What there was lately.
#[derive(Clone)]
pub(super) struct Distinct {
    /// The half that runs, and those before it.
    halves: [[u8; REGISTERS]; HALVES],
    /// Number of the half that runs.
    half: u64,
}

impl Default for Distinct {
    fn default() -> Self {
        Self { halves: [[0; REGISTERS]; HALVES], half: 0 }
    }
}

impl Distinct {
    /// Length of half a window, rounded up: two of them are a window at least.
    pub(super) const fn half_of(window: u64) -> u64 {
        let half = window.div_ceil(2);
        if half == 0 { 1 } else { half }
    }

    /// Forgets what is over. Whether something was.
    pub(super) fn turn(&mut self, half: u64) -> bool {
        let passed = half.saturating_sub(self.half).min(HALVES as u64);
        for _ in 0..passed {
            self.halves.rotate_right(1);
            if let Some(first) = self.halves.first_mut() {
                *first = [0; REGISTERS];
            }
        }
        self.half = self.half.max(half);
        passed > 0
    }

    /// Counts one, by a hash of it. Whether that changes anything.
    pub(super) fn add(&mut self, hash: u64) -> bool {
        let [place, ..] = hash.to_be_bytes();
        // Of the 56 bits behind the place, the first one that is set: from 1 to 57.
        let rank = (((hash << 8) | (1 << 7)).leading_zeros() + 1) as u8;
        let register = self.halves.first_mut().and_then(|half| half.get_mut(usize::from(place)));
        match register {
            Some(register) if *register < rank => {
                *register = rank;
                true
            }
            _ => false,
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u32 {
        self.count_after(0)
    }

    /// How many of them will be left when so many more halves are over.
    pub(super) fn count_after(&self, turns: usize) -> u32 {
        let halves = self.halves.get(..HALVES.saturating_sub(turns)).unwrap_or_default();
        let (mut empty, mut sum) = (0_u32, 0_u64);
        for place in 0..REGISTERS {
            match halves.iter().filter_map(|half| half.get(place)).max() {
                None | Some(0) => empty += 1,
                // Of 2^-57 that is 0, as it may be: nobody lives to see it.
                Some(rank) => sum += (1 << 56_u64) >> u64::from(*rank),
            }
        }
        if empty == REGISTERS as u32 {
            return 0;
        }
        let registers = REGISTERS as f64;
        let sum = sum as f64 / (1_u64 << 56) as f64 + registers * sigma(f64::from(empty) / registers);
        (registers * registers / (2.0 * std::f64::consts::LN_2 * sum)).round() as u32
    }
}

/// x + Σ x^(2^k) · 2^(k-1), for 0 ≤ x < 1. At 255/256, the largest that comes, the terms from the 20th on are less than what a double can tell.
fn sigma(mut x: f64) -> f64 {
    let (mut y, mut z) = (1.0, x);
    for _ in 0..20 {
        x *= x;
        z += x * y;
        y += y;
    }
    z
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use siphasher::sip::SipHasher13;

    use super::*;

    fn hash(salt: u64, number: u64) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(7, salt);
        hasher.write_u64(number);
        hasher.finish()
    }

    #[test]
    fn the_error_is_the_one_that_is_stated() {
        // Numbers, and the standard error in percent: below some hundreds that of linear counting (Whang, Vander-Zanden and Taylor, 1990).
        for (number, stated) in [(10_u64, 4.4), (100, 4.8), (1_000, 6.5), (10_000, 6.5), (100_000, 6.5)] {
            let salts = if number > 10_000 { 60 } else { 300 };
            let errors: Vec<f64> = (0..salts)
                .map(|salt| {
                    let mut distinct = Distinct::default();
                    for id in 0..number {
                        distinct.add(hash(salt, id));
                    }
                    100.0 * (f64::from(distinct.count()) / number as f64 - 1.0)
                })
                .collect();
            let many = errors.len() as f64;
            let bias = errors.iter().sum::<f64>() / many;
            let deviation = (errors.iter().map(|error| (error - bias).powi(2)).sum::<f64>() / many).sqrt();
            // Of so many samples: three standard errors of each. To be whole numbers costs a fifth of one at the most.
            let rounded = 20.0 / number as f64;
            assert!(bias.abs() < 3.0 * stated / many.sqrt() + rounded, "{number}: bias {bias:.2} %");
            assert!(
                deviation < stated * (1.0 + 3.0 / (2.0 * many).sqrt()),
                "{number}: deviation {deviation:.2} %"
            );
        }
    }

    #[test]
    fn what_comes_again_is_no_other_one_and_nothing_is_none() {
        let mut distinct = Distinct::default();
        assert_eq!(distinct.count(), 0);
        for turn in 0..1_000 {
            distinct.add(hash(0, turn % 20));
        }
        assert!((18..=22).contains(&distinct.count()), "{}", distinct.count());
    }

    #[test]
    fn a_half_is_forgotten_when_two_others_have_passed() {
        let mut distinct = Distinct::default();
        for half in 0..4 {
            distinct.turn(half);
            for id in 0..50 {
                distinct.add(hash(half, id));
            }
        }
        let near = |count: u32, expected: u32| assert!(count.abs_diff(expected) * 5 < expected, "{count}");
        near(distinct.count(), 150);
        near(distinct.count_after(1), 100);
        near(distinct.count_after(2), 50);
        assert_eq!(distinct.count_after(3), 0);
        assert!(!distinct.turn(2), "time does not go back");
        near(distinct.count(), 150);
        distinct.turn(1_000_000);
        assert_eq!(distinct.count(), 0);
    }

    #[test]
    fn any_hash_is_counted() {
        let mut distinct = Distinct::default();
        for hash in [0, 1, u64::MAX, 1 << 63, 255, 1 << 55] {
            distinct.add(hash);
        }
        assert!((1..=6).contains(&distinct.count()), "{}", distinct.count());
    }
}
