//! Prefixes of list files in the order of their addresses, eight bytes each for IPv4: a million must fit.

use std::{fmt, net::IpAddr, ops::Range};

use ipnet::IpNet;
use stopbank_common::{
    Address,
    list::{ListEntry, ListKey},
};

/// An address of a family as a number.
pub trait Bits: Copy + Ord + fmt::Debug {
    /// As in [`stopbank_common::index::Place`].
    const FAMILY: u32;
    /// Bits of an address.
    const LENGTH: u8;
    /// The last address of a prefix that begins with this one.
    fn last(self, bits: u8) -> Self;
    /// The top 32 bits.
    fn top(self) -> u32;
    /// The first address of a prefix that this one is in.
    fn first(self, bits: u8) -> Self;
    /// For people.
    fn ip(self) -> IpAddr;
}

impl Bits for u32 {
    const FAMILY: u32 = 0;
    const LENGTH: u8 = 32;

    fn last(self, bits: u8) -> Self {
        self | Self::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
    }

    fn top(self) -> u32 {
        self
    }

    fn first(self, bits: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
    }

    fn ip(self) -> IpAddr {
        IpAddr::V4(self.into())
    }
}

impl Bits for u128 {
    const FAMILY: u32 = 1;
    const LENGTH: u8 = 128;

    fn last(self, bits: u8) -> Self {
        self | Self::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
    }

    fn top(self) -> u32 {
        (self >> 96) as u32
    }

    fn first(self, bits: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
    }

    fn ip(self) -> IpAddr {
        IpAddr::V6(self.into())
    }
}

/// A prefix and what is to become of its sources. Ordered by address, then length: what contains another comes before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Filed<A> {
    /// The first address.
    pub address: A,
    /// Length of the prefix in the family's own bits.
    pub bits: u8,
    /// [`stopbank_common::list::VERDICT_ALLOW`] or `VERDICT_DENY`.
    pub verdict: u8,
}

impl<A: Bits> Filed<A> {
    /// The last address.
    pub fn last(&self) -> A {
        self.address.last(self.bits)
    }

    /// As a prefix.
    pub fn net(&self) -> IpNet {
        IpNet::new_assert(self.address.ip(), self.bits)
    }

    /// Whether all of the other prefix is in this one.
    pub fn contains(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.address <= other.address && other.last() <= self.last()
    }

    /// As the kernel's tries hold it.
    pub fn element(&self) -> (ListKey, ListEntry) {
        let prefix_bits = self.bits + (128 - A::LENGTH);
        let key = ListKey { prefix_bits: u32::from(prefix_bits), address: Address::from(self.address.ip()) };
        (key, ListEntry { expires_ns: 0, verdict: self.verdict, prefix_bits, reserved: [0; 6] })
    }
}

/// Prefixes of both families, each sorted, none twice.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PrefixSet {
    v4: Vec<Filed<u32>>,
    v6: Vec<Filed<u128>>,
}

impl PrefixSet {
    /// None yet, with room for so many.
    pub fn with_capacity(v4: usize, v6: usize) -> Self {
        Self { v4: Vec::with_capacity(v4), v6: Vec::with_capacity(v6) }
    }

    /// Adds a prefix; [`PrefixSet::finish`] is to follow.
    pub fn push(&mut self, prefix: IpNet, verdict: u8) {
        match prefix {
            IpNet::V4(v4) => {
                self.v4.push(Filed { address: v4.network().into(), bits: v4.prefix_len(), verdict });
            }
            IpNet::V6(v6) => {
                self.v6.push(Filed { address: v6.network().into(), bits: v6.prefix_len(), verdict });
            }
        }
    }

    /// Sorts, and keeps one of what stands several times: of the same prefix allow beats deny.
    pub fn finish(&mut self) {
        // Allow has the lower number.
        self.v4.sort_unstable();
        self.v4.dedup_by_key(|filed| (filed.address, filed.bits));
        self.v4.shrink_to_fit();
        self.v6.sort_unstable();
        self.v6.dedup_by_key(|filed| (filed.address, filed.bits));
        self.v6.shrink_to_fit();
    }

    /// All of several sets.
    pub fn merge<'s>(sets: impl Iterator<Item = &'s Self> + Clone) -> Self {
        let mut all = Self {
            v4: Vec::with_capacity(sets.clone().map(|set| set.v4.len()).sum()),
            v6: Vec::with_capacity(sets.clone().map(|set| set.v6.len()).sum()),
        };
        for set in sets {
            all.v4.extend_from_slice(&set.v4);
            all.v6.extend_from_slice(&set.v6);
        }
        all.finish();
        all
    }

    /// IPv4.
    pub fn v4(&self) -> &[Filed<u32>] {
        &self.v4
    }

    /// IPv6.
    pub fn v6(&self) -> &[Filed<u128>] {
        &self.v6
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Those that contain the whole of a prefix, the same one included: longest first, each with its verdict.
    pub fn around(&self, prefix: IpNet) -> Vec<(IpNet, u8)> {
        match prefix {
            IpNet::V4(v4) => around(&self.v4, u32::from(v4.network()), v4.prefix_len()),
            IpNet::V6(v6) => around(&self.v6, u128::from(v6.network()), v6.prefix_len()),
        }
    }

    /// Those inside a prefix, itself left out: at most `limit`, each with its verdict, and how many more there are.
    pub fn inside(&self, prefix: IpNet, limit: usize) -> (Vec<(IpNet, u8)>, usize) {
        match prefix {
            IpNet::V4(v4) => inside(&self.v4, u32::from(v4.network()), v4.prefix_len(), limit),
            IpNet::V6(v6) => inside(&self.v6, u128::from(v6.network()), v6.prefix_len(), limit),
        }
    }

    /// Those within a prefix, the same one included, as the kernel's tries hold them.
    pub fn within(&self, prefix: IpNet) -> Box<dyn Iterator<Item = (ListKey, ListEntry)> + '_> {
        match prefix {
            IpNet::V4(v4) => {
                let outer = Filed { address: u32::from(v4.network()), bits: v4.prefix_len(), verdict: 0 };
                Box::new(self.v4[range(&self.v4, &outer)].iter().map(Filed::element))
            }
            IpNet::V6(v6) => {
                let outer = Filed { address: u128::from(v6.network()), bits: v6.prefix_len(), verdict: 0 };
                Box::new(self.v6[range(&self.v6, &outer)].iter().map(Filed::element))
            }
        }
    }
}

/// A look-up for each length.
fn around<A: Bits>(sorted: &[Filed<A>], address: A, bits: u8) -> Vec<(IpNet, u8)> {
    (0..=bits)
        .rev()
        .filter_map(|bits| {
            let wanted = (address.first(bits), bits);
            let found = sorted.binary_search_by_key(&wanted, |filed| (filed.address, filed.bits)).ok()?;
            Some((sorted[found].net(), sorted[found].verdict))
        })
        .collect()
}

fn inside<A: Bits>(sorted: &[Filed<A>], address: A, bits: u8, limit: usize) -> (Vec<(IpNet, u8)>, usize) {
    let range = range(sorted, &Filed { address, bits, verdict: 0 });
    // The prefix itself comes first.
    let inside = sorted[range].iter().skip_while(|filed| filed.bits == bits);
    let mut inside = inside.filter(|filed| filed.bits > bits);
    let some = inside.by_ref().take(limit).map(|filed| (filed.net(), filed.verdict)).collect();
    (some, inside.count())
}

/// What of a sorted slice is within a prefix. (`outer` has the lowest verdict, so it comes before its equals.)
fn range<A: Bits>(sorted: &[Filed<A>], outer: &Filed<A>) -> Range<usize> {
    let last = outer.last();
    let begin = sorted.partition_point(|filed| filed < outer);
    begin..begin + sorted[begin..].partition_point(|filed| filed.address <= last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stopbank_common::list::{VERDICT_ALLOW, VERDICT_DENY};

    fn set(prefixes: &[(&str, u8)]) -> PrefixSet {
        let mut set = PrefixSet::default();
        for (prefix, verdict) in prefixes {
            set.push(prefix.parse().unwrap(), *verdict);
        }
        set.finish();
        set
    }

    #[test]
    fn of_the_same_prefix_allow_beats_deny() {
        let one = set(&[("192.0.2.0/24", VERDICT_DENY), ("2001:db8::/32", VERDICT_ALLOW)]);
        let two = set(&[("192.0.2.0/24", VERDICT_ALLOW), ("2001:db8::/32", VERDICT_DENY)]);
        let both = PrefixSet::merge([&one, &two].into_iter());
        assert_eq!(both.len(), 2);
        assert_eq!(both.v4()[0].verdict, VERDICT_ALLOW);
        assert_eq!(both.v6()[0].verdict, VERDICT_ALLOW);
    }

    #[test]
    fn what_is_within_a_prefix_is_found() {
        let set = set(&[
            ("0.0.0.0/0", 2),
            ("10.0.0.0/8", 2),
            ("10.0.0.0/9", 2),
            ("10.255.255.255/32", 2),
            ("11.0.0.0/32", 2),
            ("255.255.255.255/32", 2),
            ("2001:db8::/32", 2),
            ("2001:db8:ffff::/48", 2),
        ]);
        let count = |prefix: &str| set.within(prefix.parse().unwrap()).count();
        assert_eq!(count("0.0.0.0/0"), 6);
        assert_eq!(count("10.0.0.0/8"), 3);
        assert_eq!(count("10.0.0.0/9"), 1);
        assert_eq!(count("10.0.0.0/10"), 0);
        assert_eq!(count("255.0.0.0/8"), 1);
        assert_eq!(count("2001:db8::/31"), 2);
        assert_eq!(count("2001:db8::/33"), 0);
        assert_eq!(count("2001:db8:ffff::/48"), 1);
    }
}
