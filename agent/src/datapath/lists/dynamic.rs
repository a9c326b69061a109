//! Where dynamic entries are: what the index must be marked with.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

/// /24s of a family (IPv6: by the top 24 bits), whole groups of sixteen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    /// 0 for IPv4, 1 for IPv6.
    pub(super) family: u32,
    /// The first /24, of a whole group.
    pub(super) first: u32,
    /// The last one, of a whole group.
    pub(super) last: u32,
}

/// The prefixes of dynamic entries.
#[derive(Default)]
pub(super) struct Dynamic {
    /// By family, first /24, and the whole.
    prefixes: BTreeSet<(u32, u32, IpNet)>,
    /// How many there are of each length of up to 24 bits, by family, so that those around a group are found.
    wide: [[usize; 25]; 2],
}

impl Dynamic {
    pub(super) fn len(&self) -> usize {
        self.prefixes.len()
    }

    pub(super) fn insert(&mut self, prefix: IpNet) {
        let (family, first, _) = slash24s(prefix);
        if self.prefixes.insert((family, first, prefix)) {
            self.count(prefix).into_iter().for_each(|count| *count += 1);
        }
    }

    pub(super) fn remove(&mut self, prefix: IpNet) {
        let (family, first, _) = slash24s(prefix);
        if self.prefixes.remove(&(family, first, prefix)) {
            self.count(prefix).into_iter().for_each(|count| *count -= 1);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = IpNet> {
        self.prefixes.iter().map(|(.., prefix)| *prefix)
    }

    fn count(&mut self, prefix: IpNet) -> Option<&mut usize> {
        self.wide[slash24s(prefix).0 as usize].get_mut(usize::from(prefix.prefix_len()))
    }

    /// The groups that a prefix touches.
    pub(super) fn groups(prefix: IpNet) -> Range {
        let (family, first, last) = slash24s(prefix);
        Range { family, first: first & !15, last: last | 15 }
    }

    /// All groups of each family that has any.
    pub(super) fn families(&self) -> impl Iterator<Item = Range> {
        let has = |family| self.prefixes.iter().any(|(other, ..)| *other == family);
        let all = [0, 1].map(|family| Range { family, first: 0, last: 0x00ff_ffff });
        all.into_iter().filter(move |range| has(range.family))
    }

    /// The marks of a range, a word for each group.
    pub(super) fn marks(&self, range: &Range) -> Vec<u16> {
        let mut marks = vec![0; ((range.last - range.first) / 16 + 1) as usize];
        let mut mark = |first: u32, last: u32| {
            let (first, last) = (first.max(range.first), last.min(range.last));
            let mut at = first;
            while at <= last {
                let end = (at | 15).min(last);
                let bits = (u32::from(u16::MAX) >> (15 - (end - at))) << (at % 16);
                marks[((at - range.first) / 16) as usize] |= bits as u16;
                at = end + 1;
            }
        };
        // Those that begin before the range and reach into it are wider than a /24.
        for bits in 0..=24_u32 {
            if self.wide[range.family as usize][bits as usize] == 0 {
                continue;
            }
            let begin = range.first & !(0x00ff_ffff_u32.checked_shr(bits).unwrap_or(0));
            if begin < range.first && self.has(range.family, begin, bits as u8) {
                mark(range.first, begin | 0x00ff_ffff_u32.checked_shr(bits).unwrap_or(0));
            }
        }
        let (lowest, highest) = (IpNet::V4(ipnet::Ipv4Net::default()), range.last + 1);
        for (.., prefix) in
            self.prefixes.range((range.family, range.first, lowest)..(range.family, highest, lowest))
        {
            let (_, first, last) = slash24s(*prefix);
            mark(first, last);
        }
        marks
    }

    fn has(&self, family: u32, first: u32, bits: u8) -> bool {
        let address = if family == 0 {
            IpAddr::V4((first << 8).into())
        } else {
            IpAddr::V6((u128::from(first) << 104).into())
        };
        IpNet::new(address, bits).is_ok_and(|prefix| self.prefixes.contains(&(family, first, prefix)))
    }
}

/// Family, first and last /24 of a prefix.
fn slash24s(prefix: IpNet) -> (u32, u32, u32) {
    match prefix {
        IpNet::V4(v4) => (0, u32::from(v4.network()) >> 8, u32::from(v4.broadcast()) >> 8),
        IpNet::V6(v6) => {
            let top = |address: std::net::Ipv6Addr| (u128::from(address) >> 104) as u32;
            (1, top(v6.network()), top(v6.broadcast()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(prefix: &str) -> Range {
        Dynamic::groups(prefix.parse().unwrap())
    }

    #[test]
    fn marks_are_those_of_a_plain_count() {
        let prefixes: Vec<IpNet> = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.0.0/19",
            "10.0.16.0/20",
            "10.0.31.0/24",
            "10.0.32.5/32",
            "10.0.32.9/32",
            "10.255.255.255/32",
            "11.0.0.0/22",
            "255.255.255.0/25",
            "2001:db8::/32",
            "2001:db8:1::/48",
            "2000::/3",
            "2001:d00::/22",
            "ffff:ffff::/128",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        // All subsets of neighbours: each stays and goes.
        for begin in 0..prefixes.len() {
            for end in begin..=prefixes.len() {
                let mut dynamic = Dynamic::default();
                prefixes.iter().for_each(|prefix| dynamic.insert(*prefix));
                prefixes[..begin].iter().chain(&prefixes[end..]).for_each(|prefix| dynamic.remove(*prefix));
                let left = &prefixes[begin..end];
                assert_eq!(dynamic.len(), left.len());
                for asked in [
                    "10.0.0.0/8",
                    "10.0.16.0/20",
                    "10.0.32.5/32",
                    "255.0.0.0/8",
                    "2001:d00::/22",
                    "ffff::/16",
                ] {
                    let range = range(asked);
                    let marks = dynamic.marks(&range);
                    for at in range.first..=range.last {
                        let expected = left.iter().any(|prefix| {
                            let (family, first, last) = slash24s(*prefix);
                            family == range.family && first <= at && at <= last
                        });
                        let found = marks[((at - range.first) / 16) as usize] >> (at % 16) & 1 == 1;
                        assert_eq!(found, expected, "{at:x} of {asked} with {left:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_range_is_of_whole_groups() {
        assert_eq!(range("192.0.2.7/32"), Range { family: 0, first: 0xc0_0000, last: 0xc0_000f });
        assert_eq!(range("0.0.0.0/0"), Range { family: 0, first: 0, last: 0xff_ffff });
        assert_eq!(range("2001:db8::1/128"), Range { family: 1, first: 0x20_0100, last: 0x20_010f });
    }
}
