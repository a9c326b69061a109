//! What keeps the host on the network, whatever the policy says.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use stopbank_common::{
    gcra::{Limit, TICKS_PER_NS, admit},
    parse::{Facts, Fragment, protocol},
};

use crate::{cell::MapCell, clock::Clock};

/// DHCP can be forged from anywhere, so only so much of it passes unjudged; the rest is judged like any UDP.
const DHCP_LIMIT: Limit = match Limit::new(100, 1_000_000_000, 100, 1) {
    Ok(limit) => limit,
    Err(_) => panic!("100/s is a limit"),
};

#[btf_map]
static DHCP_BUDGET: Array<u64, 1> = Array::new();

/// IPv6 neighbour discovery, and DHCP within its budget. (ARP is told by its ethertype.)
#[inline(always)]
pub(crate) fn keeps_host_alive(facts: &Facts, clock: &mut Clock) -> bool {
    match facts.protocol {
        protocol::ICMPV6 => is_neighbour_discovery(facts),
        protocol::UDP if is_dhcp(facts) => dhcp_within_budget(clock),
        _ => false,
    }
}

/// Whether it is what a host sends before it has an address.
#[inline(always)]
pub(crate) fn asks_for_address(facts: &Facts) -> bool {
    facts.source.is_unspecified()
        && match facts.protocol {
            protocol::ICMPV6 => is_neighbour_discovery(facts),
            protocol::UDP => is_dhcp(facts),
            _ => false,
        }
}

/// RFC 4861: router and neighbour solicitation and advertisement, redirect. A hop limit of 255 proves that no router
/// has forwarded it (section 11.2), and neighbour discovery is never fragmented (RFC 6980).
#[inline(always)]
fn is_neighbour_discovery(facts: &Facts) -> bool {
    matches!(facts.icmp_type, 133..=137)
        && facts.icmp_code == 0
        && facts.hop_limit == 255
        && facts.fragment == Fragment::Whole
        && !facts.source.is_v4()
}

/// RFC 2131 (67, 68) and RFC 8415 (546, 547), both ways: an edge host may be the server.
#[inline(always)]
fn is_dhcp(facts: &Facts) -> bool {
    facts.fragment == Fragment::Whole
        && matches!(
            (facts.source_port, facts.destination_port, facts.source.is_v4()),
            (67, 68, true) | (68, 67, true) | (67, 67, true) | (546, 547, false) | (547, 546, false)
        )
}

#[inline(always)]
fn dhcp_within_budget(clock: &mut Clock) -> bool {
    let Some(cell) = DHCP_BUDGET.get_ptr_mut(0) else { return false };
    // SAFETY: an aligned u64 in a map value.
    let cell = unsafe { MapCell::new(cell) };
    admit(&cell, clock.rough_ns() * TICKS_PER_NS, &DHCP_LIMIT, 1)
}
