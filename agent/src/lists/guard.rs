//! What an operator probably did not mean, and must say twice (`--force`).

use std::net::IpAddr;

use ipnet::IpNet;

use super::ListName;

/// Shortest prefixes that are taken without question: whoever bans or allows more than a /8 (a 256th of IPv4) or a
/// /16 of IPv6 has more often slipped than meant it.
const SHORTEST: (u8, u8) = (8, 16);

/// Why an entry should be thought over; `None` if nothing speaks against it. `operator` is the address that the command
/// comes from, where that is known.
pub fn objection(list: ListName, prefix: &IpNet, operator: Option<IpAddr>) -> Option<String> {
    let (verb, effect) = match list {
        ListName::Allow => ("allow", "nothing of it would be judged any more"),
        ListName::Deny | ListName::Ban => ("ban", "this host would hear nothing from there"),
    };
    if let Some(address) = operator
        && list != ListName::Allow
        && prefix.contains(&address)
    {
        return Some(format!(
            "{prefix} contains {address}, the address that your session comes from: you would lock yourself out"
        ));
    }
    if list != ListName::Allow && contains_loopback(prefix) {
        return Some(format!("{prefix} contains loopback addresses: this host would not hear itself"));
    }
    let (shortest, family) = match prefix {
        IpNet::V4(_) => (SHORTEST.0, "IPv4"),
        IpNet::V6(_) => (SHORTEST.1, "IPv6"),
    };
    (prefix.prefix_len() < shortest).then(|| {
        format!(
            "{prefix} is very wide (shorter than /{shortest}, {family}); to {verb} it means that {effect}"
        )
    })
}

fn contains_loopback(prefix: &IpNet) -> bool {
    let overlaps = |other: &str| {
        other.parse().is_ok_and(|other: IpNet| prefix.contains(&other) || other.contains(prefix))
    };
    overlaps("127.0.0.0/8") || overlaps("::1/128")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(list: ListName, prefix: &str, operator: Option<&str>) -> bool {
        objection(list, &prefix.parse().unwrap(), operator.map(|address| address.parse().unwrap())).is_some()
    }

    #[test]
    fn what_would_lock_out_asks_first() {
        use ListName::{Allow, Ban};
        assert!(asks(Ban, "0.0.0.0/0", None));
        assert!(asks(Ban, "10.0.0.0/7", None));
        assert!(!asks(Ban, "10.0.0.0/8", None));
        assert!(asks(Ban, "2000::/3", None));
        assert!(!asks(Ban, "2001::/16", None));
        assert!(
            asks(Ban, "127.0.0.0/8", None) && asks(Ban, "127.0.0.1/32", None) && asks(Ban, "::1/128", None)
        );
        assert!(asks(Ban, "192.0.2.0/24", Some("192.0.2.9")));
        assert!(!asks(Ban, "192.0.2.0/24", Some("198.51.100.9")));
        assert!(!asks(Allow, "192.0.2.0/24", Some("192.0.2.9")));
        assert!(asks(Allow, "0.0.0.0/0", None));
        assert!(!asks(Allow, "127.0.0.0/8", None));
    }
}
