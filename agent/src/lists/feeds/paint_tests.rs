//! The index, read as the kernel reads it, against the plain definition: of the prefixes that contain an address the
//! longest decides, and of the same prefix allow.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use stopbank_common::{Address, index::leaf_code, list::VERDICT_DENY};

use super::*;

struct Whole {
    painted: Painted,
    leaves: Vec<AtomicU64>,
}

fn painted(prefixes: &[(IpNet, u8)]) -> Whole {
    let mut set = PrefixSet::default();
    for (prefix, verdict) in prefixes {
        set.push(*prefix, *verdict);
    }
    set.finish();
    let leaves: Vec<AtomicU64> = (0..8 * leaves(&set)).map(|_| AtomicU64::new(0)).collect();
    Whole { painted: paint(&set, &leaves), leaves }
}

impl Whole {
    /// As ebpf/src/lists.rs does it.
    fn verdict(&self, address: IpAddr) -> u8 {
        let place = Place::of(&Address::from(address));
        let word = Word(self.painted.index[word_at(place)]);
        let mut code = word.code(place);
        if code == CODE_MORE {
            let first = self.painted.index[first_leaf_at(place)] as usize;
            let begin = 8 * (first + word.leaf(place) as usize);
            let leaf: Leaf = std::array::from_fn(|i| self.leaves[begin + i].load(Relaxed));
            code = leaf_code(&leaf, place);
        }
        if code != CODE_NONE {
            let addresses = self.painted.addresses[place.filter_word() as usize / 2];
            assert!(place.is_among(addresses), "{address} is listed, and the filter would let it pass");
        }
        match code {
            CODE_NONE => 0,
            CODE_DENY => VERDICT_DENY,
            CODE_ALLOW => VERDICT_ALLOW,
            _ => self.longest(Address::from(address)),
        }
    }

    fn longest(&self, address: Address) -> u8 {
        let contains = |key: &ListKey| address.masked(&Address::mask(key.prefix_bits)) == key.address;
        let found = self
            .painted
            .longer
            .iter()
            .filter(|(key, _)| contains(key))
            .max_by_key(|(key, _)| key.prefix_bits);
        found.map_or(0, |(_, entry)| entry.verdict)
    }
}

fn reference(prefixes: &[(IpNet, u8)], address: IpAddr) -> u8 {
    prefixes
        .iter()
        .filter(|(prefix, _)| prefix.contains(&address))
        .max_by_key(|(prefix, verdict)| (prefix.prefix_len(), *verdict == VERDICT_ALLOW))
        .map_or(0, |(_, verdict)| *verdict)
}

/// Few enough different addresses that prefixes meet and nest.
fn prefix() -> impl Strategy<Value = (IpNet, u8)> {
    let crowded = || prop_oneof![Just(0_u32), Just(0x0a00_0000), Just(0x0a00_0f00), Just(u32::MAX - 0xfff)];
    let v4 = (crowded(), 0..0x1400_u32, 0..=32_u8).prop_map(|(base, more, bits)| {
        IpNet::new_assert(IpAddr::V4(base.wrapping_add(more).into()), bits).trunc()
    });
    let v6 = (crowded(), 0..0x1400_u32, prop_oneof![Just(0_u128), any::<u128>()], 8..=128_u8).prop_map(
        |(base, more, low, bits)| {
            let top = u128::from(0x2000_0000 | base.wrapping_add(more)) << 96;
            IpNet::new_assert(IpAddr::V6((top | low >> 32).into()), bits).trunc()
        },
    );
    (prop_oneof![2 => v4, 1 => v6], prop_oneof![Just(VERDICT_ALLOW), Just(VERDICT_DENY)])
}

fn neighbours(prefix: &IpNet) -> Vec<IpAddr> {
    match prefix {
        IpNet::V4(v4) => {
            let (first, last) = (u32::from(v4.network()), u32::from(v4.broadcast()));
            let all =
                [first, last, first.wrapping_sub(1), last.wrapping_add(1), first ^ 0x100, last ^ 0x1000];
            all.map(|address| IpAddr::V4(address.into())).to_vec()
        }
        IpNet::V6(v6) => {
            let (first, last) = (u128::from(v6.network()), u128::from(v6.broadcast()));
            let all =
                [first, last, first.wrapping_sub(1), last.wrapping_add(1), first ^ 1 << 95, last ^ 1 << 104];
            // What is mapped stands for IPv4, and is never asked for as IPv6.
            let v6 = all.into_iter().filter(|address| address >> 32 != 0xffff);
            v6.map(|address| IpAddr::V6(address.into())).collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_address_is_told_as_the_longest_prefix_says(prefixes in prop::collection::vec(prefix(), 0..80)) {
        let painted = painted(&prefixes);
        for (prefix, _) in &prefixes {
            for address in neighbours(prefix) {
                prop_assert_eq!(painted.verdict(address), reference(&prefixes, address), "{} of {:?}", address, prefixes);
            }
        }
    }
}

fn parse(prefixes: &[(&str, u8)]) -> Vec<(IpNet, u8)> {
    prefixes.iter().map(|(prefix, verdict)| (prefix.parse().unwrap(), *verdict)).collect()
}

#[test]
fn leaves_of_all_groups_that_share_a_first_one_are_counted() {
    // A leaf in each of 1,024 /24s, and beyond.
    let mut prefixes = Vec::new();
    for slash24 in 0..1100_u32 {
        let address = IpAddr::V4((0x0a00_0000 | (slash24 << 8) | (slash24 % 256)).into());
        prefixes.push((IpNet::new_assert(address, 32), VERDICT_DENY));
    }
    prefixes.extend(parse(&[("2001:db8::/32", VERDICT_DENY), ("ffff:ffff::/32", VERDICT_ALLOW)]));
    let painted = painted(&prefixes);
    assert_eq!(painted.leaves.len(), 8 * 1102);
    for (prefix, verdict) in &prefixes {
        assert_eq!(painted.verdict(prefix.addr()), *verdict, "{prefix}");
    }
    assert_eq!(painted.verdict("10.0.5.6".parse().unwrap()), 0);
}

#[test]
fn a_slash24_that_is_of_one_kind_after_all_has_no_leaf() {
    let halves = parse(&[("192.0.2.0/25", VERDICT_DENY), ("192.0.2.128/25", VERDICT_DENY)]);
    let painted = painted(&halves);
    assert_eq!(painted.verdict("192.0.2.200".parse().unwrap()), VERDICT_DENY);
    let place = Place { top: 0xc000_0200, family: 0 };
    assert_eq!(Word(painted.painted.index[word_at(place)]).code(place), CODE_DENY);
}
