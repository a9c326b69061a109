//! How fast things are counted: snapshots of the counters, and the difference over the last few seconds.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use stopbank_common::{
    Reason,
    counters::{Counters, Tally},
    reason::Kind,
};

use crate::control::api::{Flow, Traffic, Verdict};

/// Time over which rates are taken.
const WINDOW: Duration = Duration::from_secs(5);
/// Shortest time that a rate is taken over: less says more of the clock than of the traffic.
const SHORTEST: Duration = Duration::from_millis(200);

/// Where, in which class, under which reason, with which outcome: what packets are counted by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// Interface slot.
    pub slot: u32,
    /// Class number.
    pub class: u8,
    /// What became of the packets.
    pub verdict: Verdict,
    /// Number of the reason.
    pub reason: u8,
}

/// The counters at one time; what is zero is left out.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    counts: BTreeMap<Key, Tally>,
}

impl Snapshot {
    /// Takes in the counters of an interface slot and a class.
    pub fn add(&mut self, slot: u32, class: u8, counters: &Counters) {
        for &reason in Reason::ALL {
            let (judged, observed) = counters.of(reason);
            let verdict = match reason.kind() {
                Kind::Pass => Verdict::Pass,
                Kind::Drop => Verdict::Drop,
                Kind::Reply => Verdict::Reply,
            };
            for (verdict, tally) in [(verdict, judged), (Verdict::Observed, observed)] {
                if tally.packets > 0 {
                    self.counts.insert(Key { slot, class, verdict, reason: reason as u8 }, tally);
                }
            }
        }
    }

    /// Everything that was counted.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Tally)> {
        self.counts.iter().map(|(key, tally)| (*key, *tally))
    }
}

/// The last few snapshots.
#[derive(Debug, Default)]
pub struct Rates {
    snapshots: VecDeque<(Instant, Snapshot)>,
}

impl Rates {
    /// Takes in the counters as they are now.
    pub fn push(&mut self, now: Instant, snapshot: Snapshot) {
        // One older than the window stays, so that the window is always covered.
        while self.snapshots.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back((now, snapshot));
    }

    /// Counts as they are now, and their rates, added up by whatever `group` makes of a key.
    pub fn flows<G: Ord>(
        &self,
        now: Instant,
        current: &Snapshot,
        group: impl Fn(Key) -> G,
    ) -> BTreeMap<G, Flow> {
        let mut flows: BTreeMap<G, Flow> = BTreeMap::new();
        for (key, tally) in current.iter() {
            let flow = flows.entry(group(key)).or_default();
            flow.packets += tally.packets;
            flow.bytes += tally.bytes;
        }
        let Some((since, earlier)) = self.snapshots.front() else { return flows };
        let time = now.duration_since(*since);
        if time < SHORTEST {
            return flows;
        }
        for (key, tally) in current.iter() {
            let before = earlier.counts.get(&key).copied().unwrap_or_default();
            let flow = flows.entry(group(key)).or_default();
            let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / time.as_secs_f64();
            flow.packets_per_second += per_second(tally.packets, before.packets);
            flow.bytes_per_second += per_second(tally.bytes, before.bytes);
        }
        flows
    }

    /// Everything together, by what became of it.
    pub fn traffic(&self, now: Instant, current: &Snapshot) -> Traffic {
        let mut flows = self.flows(now, current, |key| key.verdict);
        let mut take = |verdict| flows.remove(&verdict).unwrap_or_default();
        Traffic {
            passed: take(Verdict::Pass),
            dropped: take(Verdict::Drop),
            observed: take(Verdict::Observed),
            replied: take(Verdict::Reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(dropped: u64, observed: u64) -> Snapshot {
        let mut counters = Counters::default();
        counters.judged[Reason::Banned as usize] = Tally { packets: dropped, bytes: dropped * 100 };
        counters.observed[Reason::Banned as usize] = Tally { packets: observed, bytes: observed * 100 };
        counters.judged[Reason::Passed as usize] = Tally { packets: 7, bytes: 700 };
        let mut snapshot = Snapshot::default();
        snapshot.add(1, 0, &counters);
        snapshot
    }

    #[test]
    fn rates_are_taken_over_the_last_seconds_only() {
        let (start, mut rates) = (Instant::now(), Rates::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..20 {
            // Ten a second at first, then a thousand.
            let dropped = if second < 10 { second * 10 } else { 100 + (second - 10) * 1_000 };
            rates.push(at(second), snapshot(dropped, 0));
        }
        let traffic = rates.traffic(at(20), &snapshot(10_100, 50));
        assert_eq!(traffic.dropped.packets, 10_100);
        assert!((traffic.dropped.packets_per_second - 1_000.0).abs() < 1.0, "{traffic:?}");
        assert_eq!((traffic.passed.packets, traffic.observed.packets), (7, 50));
        assert!(rates.snapshots.len() <= 8);
    }

    #[test]
    fn counters_that_begin_anew_give_no_negative_rates() {
        let (start, mut rates) = (Instant::now(), Rates::default());
        rates.push(start, snapshot(1_000, 0));
        let traffic = rates.traffic(start + Duration::from_secs(1), &snapshot(5, 0));
        assert_eq!(traffic.dropped.packets_per_second, 0.0);
    }
}
