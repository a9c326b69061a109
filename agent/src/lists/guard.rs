//! What an operator probably did not mean, and must say twice (`--force`).

use std::net::IpAddr;

use ipnet::IpNet;
use stopbank_common::gcra::Dimension;

use super::ListName;
use crate::config::{Class, LimitSet, RateLimit, dimension_name};

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

/// The least that a session over SSH can live on: packets and bytes a second, and new connections a minute for who must come back.
const LEAST_PACKETS: u64 = 20;
const LEAST_BYTES: u64 = 4_096;
const LEAST_CONNECTIONS_A_MINUTE: u64 = 1;

/// Why limits of the class that an operator's session belongs to should be thought over; `None` if nothing speaks against them.
pub fn limit_objection(class: &Class) -> Option<String> {
    if class.observe {
        return None;
    }
    let sets = [("per_source", &class.per_source), ("total", &class.total)];
    sets.into_iter().find_map(|(scope, set)| {
        let what = too_little(set)?;
        Some(format!(
            "{scope}.{what} of class `{}` would be too little for a session over SSH, and yours belongs to it: you might lock yourself out",
            class.name
        ))
    })
}

/// What of a set of limits no session can live on.
fn too_little(set: &LimitSet) -> Option<&'static str> {
    Dimension::ALL.into_iter().find_map(|dimension| {
        let RateLimit { rate, burst } = set.get(dimension)?;
        let (a_second, a_minute) = (rate.period.seconds(), rate.period.seconds().max(60) / 60);
        let little = match dimension {
            // A keystroke and its echo are a few packets at once.
            Dimension::Packets => rate.count < LEAST_PACKETS * a_second || burst < LEAST_PACKETS / 2,
            Dimension::Bytes => rate.count < LEAST_BYTES * a_second,
            Dimension::Connections => rate.count < LEAST_CONNECTIONS_A_MINUTE * a_minute,
        };
        little.then(|| dimension_name(dimension))
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
    fn limits_that_no_session_can_live_on_ask_first() {
        let asks = |limits: &str| {
            let text = format!("[[class]]\nname = \"ssh\"\nprotocol = \"tcp\"\nports = [22]\n{limits}\n");
            let config = crate::config::parse("test", &text).unwrap();
            limit_objection(config.class("ssh").unwrap())
        };
        assert_eq!(
            asks("per_source = { packets = \"200/s\", connections = \"6/m\", bytes = \"1MB/s\" }"),
            None
        );
        assert!(
            asks("per_source = { packets = \"5/s\" }").unwrap().contains("per_source.packets of class `ssh`")
        );
        assert!(asks("per_source = { packets = { rate = \"200/s\", burst = 2 } }").is_some());
        assert!(asks("total = { packets = \"1000/h\" }").unwrap().contains("total.packets"));
        assert!(asks("total = { bytes = \"1kB/s\" }").is_some());
        assert!(asks("per_source = { connections = \"1/d\" }").is_some());
        assert_eq!(asks("observe = true\nper_source = { packets = \"1/h\" }"), None);
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
