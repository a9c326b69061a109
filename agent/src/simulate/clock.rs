//! When the packets of a capture come.

use crate::config::Rate;

/// The time of the first packet by the program's clock: as if the host had been up for an hour. (At 0, a limiter that was
/// never used would look like one that was used now.)
pub(super) const BASE_NS: u64 = 3_600 * 1_000_000_000;

/// The longest time that the limiter's arithmetic is trusted with: ten years, of the 36 that it can count.
const LONGEST_NS: u64 = 10 * 365 * 86_400 * 1_000_000_000;

/// What gives packets their time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// The capture.
    Original,
    /// They come evenly, so many in a time.
    Even(Rate),
}

/// The capture's clock.
pub(super) struct Clock {
    pace: Pace,
    first_ns: Option<i64>,
    now_ns: u64,
    packets: u64,
    /// Packets that were older than the one before them.
    pub(super) backwards: u64,
    /// Packets without a time of their own.
    pub(super) untimed: u64,
    /// Packets that came later than can be told.
    pub(super) beyond: u64,
}

impl Clock {
    pub(super) const fn new(pace: Pace) -> Self {
        Self { pace, first_ns: None, now_ns: 0, packets: 0, backwards: 0, untimed: 0, beyond: 0 }
    }

    /// Time of the next packet, in nanoseconds since the first; never before the one before it.
    pub(super) fn next(&mut self, captured_ns: Option<i64>) -> u64 {
        let number = self.packets;
        self.packets += 1;
        let since = match (self.pace, captured_ns) {
            (Pace::Even(rate), _) => {
                let since = u128::from(number) * u128::from(rate.period.seconds()) * 1_000_000_000
                    / u128::from(rate.count);
                u64::try_from(since).unwrap_or(u64::MAX)
            }
            (Pace::Original, None) => {
                self.untimed += 1;
                self.now_ns
            }
            (Pace::Original, Some(captured)) => {
                let first = *self.first_ns.get_or_insert(captured);
                let since = i128::from(captured) - i128::from(first);
                if since < i128::from(self.now_ns) {
                    self.backwards += 1;
                }
                u64::try_from(since.max(0)).unwrap_or(u64::MAX)
            }
        };
        if since > LONGEST_NS {
            self.beyond += 1;
        }
        self.now_ns = self.now_ns.max(since.min(LONGEST_NS));
        self.now_ns
    }

    /// Time from the first packet to the last.
    pub(super) const fn elapsed_ns(&self) -> u64 {
        self.now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    #[test]
    fn the_capture_s_time_never_steps_back() {
        let mut clock = Clock::new(Pace::Original);
        let times = [Some(1_000), Some(1_500), Some(900), None, Some(1_499), Some(1_600), Some(i64::MAX)];
        let at: Vec<u64> = times.into_iter().map(|time| clock.next(time)).collect();
        assert_eq!(at, [0, 500, 500, 500, 500, 600, LONGEST_NS]);
        assert_eq!((clock.backwards, clock.untimed, clock.beyond), (2, 1, 1));
        assert!((LONGEST_NS + BASE_NS).checked_mul(stopbank_common::gcra::TICKS_PER_NS).is_some());
    }

    #[test]
    fn an_even_pace_takes_no_notice_of_it() {
        let mut clock = Clock::new(Pace::Even(Rate { count: 3, period: Period::Second }));
        let at: Vec<u64> = [Some(5), Some(1), None, Some(i64::MIN)].map(|time| clock.next(time)).to_vec();
        assert_eq!(at, [0, 333_333_333, 666_666_666, 1_000_000_000]);
        assert_eq!((clock.backwards, clock.untimed, clock.elapsed_ns()), (0, 0, 1_000_000_000));
        let mut clock = Clock::new(Pace::Even(Rate { count: 1, period: Period::Day }));
        assert_eq!([clock.next(None), clock.next(None)], [0, 86_400_000_000_000]);
    }
}
