//! Rates, in whole nanoseconds: GCRA by the book, and the table in which sources share cells.

use std::{collections::HashMap, net::IpAddr};

use super::super::world::{Class, Level, Lines, Rate, World};

/// What is limited. The order is that of [`super::super::world::Rates`].
pub(super) const PACKETS: usize = 0;
pub(super) const BYTES: usize = 1;
pub(super) const CONNECTIONS: usize = 2;

/// Theoretical arrival times (ITU-T I.371 annex A, virtual scheduling). Before any packet they are in the past.
pub(super) struct Arrivals<K>(HashMap<K, u64>);

impl<K> Default for Arrivals<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: std::hash::Hash + Eq> Arrivals<K> {
    fn of(&self, key: &K) -> u64 {
        self.0.get(key).copied().unwrap_or(0)
    }
}

/// When the next conforming packet may come after one of `units` at `now`, if this one conforms to the rate with this
/// share (in halves) of its burst.
fn next(arrival: u64, now: u64, rate: Rate, halves: u64, units: u64) -> Option<u64> {
    let next = arrival.max(now) + units * rate.interval_ns;
    ((next - now) * 2 <= rate.interval_ns * rate.burst * halves).then_some(next)
}

/// A budget that has a cell of its own: by class and dimension, and whether it is the reserve.
pub(super) type Budget = (u8, usize, bool);

impl Arrivals<Budget> {
    pub(super) fn has(&self, budget: Budget, now: u64, rate: Rate, halves: u64, units: u64) -> bool {
        next(self.of(&budget), now, rate, halves, units).is_some()
    }

    pub(super) fn charge(&mut self, budget: Budget, now: u64, rate: Rate, halves: u64, units: u64) -> bool {
        let Some(next) = next(self.of(&budget), now, rate, halves, units) else { return false };
        self.0.insert(budget, next);
        true
    }
}

/// Who is charged: a source or a prefix, of a class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Payer {
    pub(super) class: u8,
    pub(super) level: usize,
    pub(super) prefix: IpAddr,
}

/// The table, and beside it what each payer would have if it shared with nobody.
#[derive(Default)]
pub(super) struct Table {
    cells: Arrivals<(u32, usize)>,
    alone: Arrivals<(Payer, usize)>,
}

impl Table {
    /// Charges the payer in one dimension; whether it is within its rate.
    ///
    /// Of its line a payer has one cell for each dimension.
    pub(super) fn charge(
        &mut self,
        world: &World,
        payer: Payer,
        dimension: usize,
        rate: Rate,
        now: u64,
        units: u64,
    ) -> bool {
        let class = &world.classes[&payer.class];
        let hash = hash(&world.key, payer.prefix, salt(class, payer.level));
        let line = line(class.lines[payer.level.min(1)], hash);
        let key = (line, cell(hash, dimension));
        let Some(after) = next(self.cells.of(&key), now, rate, 2, units) else { return false };
        self.cells.0.insert(key, after);
        self.is_not_laxer(payer, dimension, rate, now, units);
        true
    }

    /// Sharing makes a limit stricter, never laxer: what the table admits conforms to the payer's own rate.
    fn is_not_laxer(&mut self, payer: Payer, dimension: usize, rate: Rate, now: u64, units: u64) {
        let key = (payer, dimension);
        let after = next(self.alone.of(&key), now, rate, 2, units);
        let after = after.unwrap_or_else(|| panic!("{payer:?} was admitted beyond {rate:?} in {dimension}"));
        self.alone.0.insert(key, after);
    }
}

/// Each level has a salt of its own: an address may be its own prefix.
fn salt(class: &Class, level: usize) -> u32 {
    (u64::from(class.salt) + level as u64 * 0x9e37_79b9) as u32
}

/// Multilinear hashing (Lemire and Kaser, 2014) of the address, in four words as they stand in a packet, and the salt;
/// then MurmurHash3's finaliser.
fn hash(key: &[u64; 6], prefix: IpAddr, salt: u32) -> u64 {
    let octets = match prefix {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let words = octets.chunks(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    let sum = words
        .chain([salt])
        .zip(&key[1..])
        .fold(u128::from(key[0]), |sum, (word, key)| sum + u128::from(word) * u128::from(*key));
    let mut hash = sum as u64;
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

/// The low 32 bits choose the line.
fn line(lines: Lines, hash: u64) -> u32 {
    lines.first + hash as u32 % lines.count
}

/// Of eight cells four are for packets, two for bytes and two for connections. The sixth byte of the hash picks them: two
/// bits for packets, one for bytes, one for connections, from the lowest up.
fn cell(hash: u64, dimension: usize) -> usize {
    let byte = usize::from(hash.to_le_bytes()[5]);
    match dimension {
        PACKETS => byte % 4,
        BYTES => 4 + byte / 4 % 2,
        _ => 6 + byte / 8 % 2,
    }
}

/// The address with all but its first bits cleared.
pub(super) fn cut(address: IpAddr, level: Level) -> Option<IpAddr> {
    let length = level.of(address)?;
    ipnet::IpNet::new(address, length).ok().map(|prefix| prefix.network())
}
