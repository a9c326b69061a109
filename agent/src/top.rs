//! The most frequent of a stream in bounded memory: Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient computation
//! of frequent and top-k elements in data streams", 2005), with counts that fade.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// Time after which something seen counts half.
pub const HALF_LIFE: Duration = Duration::from_secs(60);
/// How far weights may grow before all are scaled down, in half lives.
const RESCALE: f64 = 64.0;

/// Counts how often keys are seen, with at most `capacity` counters. A key that is not counted takes over the smallest
/// counter, so that counts are never too small, and too large by at most that counter.
///
/// Counts fade by forward decay: instead of shrinking old ones, new ones weigh more.
#[derive(Debug)]
pub struct Top<K, V> {
    capacity: usize,
    counters: HashMap<K, Counter<V>>,
    total: f64,
    /// Time that weights are relative to, in half lives.
    landmark: f64,
}

#[derive(Debug)]
struct Counter<V> {
    weight: f64,
    latest: V,
}

impl<K: Hash + Eq + Clone, V> Top<K, V> {
    /// With at most `capacity` counters.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), counters: HashMap::new(), total: 0.0, landmark: 0.0 }
    }

    /// Takes in a key seen at `now` (time since any fixed beginning, never running backwards), with what is to be
    /// remembered of the latest time.
    pub fn see(&mut self, key: K, latest: V, now: Duration) {
        let weight = self.weight(now);
        self.total += weight;
        if let Some(counter) = self.counters.get_mut(&key) {
            counter.weight += weight;
            counter.latest = latest;
            return;
        }
        let mut taken_over = 0.0;
        if self.counters.len() >= self.capacity {
            let smallest = self.counters.iter().min_by(|a, b| a.1.weight.total_cmp(&b.1.weight));
            if let Some((smallest, counter)) = smallest.map(|(key, counter)| (key.clone(), counter.weight)) {
                taken_over = counter;
                self.counters.remove(&smallest);
            }
        }
        self.counters.insert(key, Counter { weight: taken_over + weight, latest });
    }

    /// The `limit` keys most seen, most first, each with its part of all that was seen (0 to 1).
    pub fn most(&self, limit: usize) -> Vec<(&K, f64, &V)> {
        let mut all: Vec<_> = self
            .counters
            .iter()
            .map(|(key, counter)| (key, counter.weight / self.total, &counter.latest))
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(limit);
        all
    }

    fn weight(&mut self, now: Duration) -> f64 {
        let now = now.as_secs_f64() / HALF_LIFE.as_secs_f64();
        if now - self.landmark > RESCALE {
            let scale = (self.landmark - now).exp2();
            self.total *= scale;
            // What has faded beyond notice makes room.
            self.counters.retain(|_, counter| {
                counter.weight *= scale;
                counter.weight > f64::EPSILON
            });
            self.landmark = now;
        }
        (now - self.landmark).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heavy_are_found_among_many_and_memory_is_bounded() {
        let mut top = Top::new(64);
        for i in 0..100_000_u32 {
            let now = Duration::from_millis(u64::from(i));
            top.see(1_000_000 + i, (), now);
            if i % 4 == 0 {
                top.see(i % 12, (), now);
            }
        }
        assert!(top.counters.len() <= 64);
        let most: Vec<u32> = top.most(3).iter().map(|(key, ..)| **key).collect();
        assert!([0, 4, 8].iter().all(|heavy| most.contains(heavy)), "{most:?}");
        let share: f64 = top.most(3).iter().map(|(_, share, _)| share).sum();
        assert!((0.18..0.30).contains(&share), "{share}");
    }

    #[test]
    fn what_was_long_ago_fades() {
        let mut top = Top::new(8);
        for i in 0..1_000 {
            top.see("old", (), Duration::from_millis(i));
        }
        for i in 0..10 {
            top.see("new", (), Duration::from_secs(600) + Duration::from_millis(i));
        }
        assert_eq!(*top.most(1)[0].0, "new");
        // After a long time, when weights have to be scaled down, nothing is lost but the faded.
        top.see("newest", (), Duration::from_secs(86_400));
        assert_eq!(*top.most(1)[0].0, "newest");
        assert!((top.most(1)[0].1 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn nothing_seen_is_nothing() {
        assert!(Top::<u8, ()>::new(4).most(5).is_empty());
    }
}
