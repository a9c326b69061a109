//! A list of the size that feeds have.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;
use stopbank::lists::feeds::PrefixSet;
use stopbank_common::list::{VERDICT_ALLOW, VERDICT_DENY};

/// IPv4 prefixes.
const V4: u32 = 1_000_000;
/// IPv6 prefixes.
const V6: u32 = 200_000;

/// The source that is measured alone in IPv4.
pub(crate) const ONE_SOURCE: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 0);

/// Mostly single addresses, as feeds have them, spread over all of IPv4, and some of every length from /20 on; IPv6 from
/// /29 to /64. One in twenty is allowed. The benchmark's single sources are not on it.
pub(crate) fn prefixes() -> impl Iterator<Item = (IpNet, u8)> {
    let mut state = 0x9e37_79b9_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 24) as u32 ^ (state >> 40) as u32
    };
    let verdict = |i: u32| if i.is_multiple_of(20) { VERDICT_ALLOW } else { VERDICT_DENY };
    (0..V4 + V6).map(move |i| {
        let prefix = if i < V4 {
            let bits = if i % 20 == 1 { 20 + (random() % 12) as u8 } else { 32 };
            IpNet::new_assert(IpAddr::V4(random().into()), bits)
        } else {
            let address = u128::from(0x2000_0000 | random() >> 3) << 96 | u128::from(random()) << 64;
            IpNet::new_assert(IpAddr::V6(address.into()), 29 + (i % 36) as u8)
        };
        (prefix.trunc(), verdict(i))
    })
}

/// The same as the agent keeps it, and `more`, denied.
pub(crate) fn set(more: Option<IpNet>) -> PrefixSet {
    let mut set = PrefixSet::default();
    for (prefix, verdict) in prefixes().chain(more.map(|prefix| (prefix, VERDICT_DENY))) {
        set.push(prefix, verdict);
    }
    set.finish();
    set
}

/// The first prefixes as a file, one a line; the IPv4 ones come first.
pub(crate) fn file(most: usize) -> String {
    let mut text = String::with_capacity(20 << 20);
    for (prefix, _) in prefixes().take(most) {
        let _ = writeln!(text, "{prefix}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_its_size_and_spares_the_single_source() {
        let all: Vec<_> = prefixes().collect();
        assert_eq!(all.len(), (V4 + V6) as usize);
        assert!(!all.iter().any(|(prefix, _)| prefix.contains(&IpAddr::V4(ONE_SOURCE))));
        assert_eq!(file(1000).lines().count(), 1000);
    }
}
