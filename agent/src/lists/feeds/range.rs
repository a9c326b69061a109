//! From a range of addresses to prefixes.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

/// The fewest prefixes that make up the range, both ends included; `None` if the ends are not of one family in order.
pub(super) fn prefixes(first: IpAddr, last: IpAddr) -> Option<Box<dyn Iterator<Item = IpNet>>> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Some(Box::new(Ipv4Subnets::new(first, last, 0).map(IpNet::V4)))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Some(Box::new(Ipv6Subnets::new(first, last, 0).map(IpNet::V6)))
        }
        _ => None,
    }
}
