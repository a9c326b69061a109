//! The policy in force, and what it says of an interface and a class.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps},
    macros::btf_map,
};
use stopbank_common::{
    parse::{Facts, Fragment, protocol},
    policy::{MAX_INTERFACES, Policy},
};

use crate::bound::masked;

/// Slot 0 holds the map with the policy; user space replaces that map.
///
/// The value is an array of one policy, because Linux 6.1 takes no inner map whose maker gave no BTF in place of one with a
/// structure for a value: only the latter was searched for a timer, and "none found" is not "not searched".
#[btf_map]
static POLICY: ArrayOfMaps<Array<[Policy; 1], 1>, 1> = ArrayOfMaps::new();

/// The policy that this packet is judged by, from the first step to the last.
#[inline(always)]
pub(crate) fn in_force<'p>() -> Option<&'p Policy> {
    // A fresh map is filled before it is swapped in and never written afterwards.
    POLICY.get_value(0, &0).map(|[policy]| policy)
}

/// Where packets of this interface are counted; 0 for one that the policy does not name.
#[inline(always)]
pub(crate) fn interface_slot(policy: &Policy, interface: u32) -> u32 {
    for slot in 1..MAX_INTERFACES {
        if policy.interfaces[slot] == interface {
            return slot as u32;
        }
    }
    0
}

/// The class that claims the packet.
#[inline(always)]
pub(crate) fn class_of(policy: &Policy, facts: &Facts) -> u8 {
    let class = match facts.protocol {
        // A later fragment has no port to go by.
        _ if facts.fragment == Fragment::Later => policy.fragments_class as u8,
        protocol::TCP => policy.by_tcp_port[masked::<0xffff>(facts.destination_port.into())],
        protocol::UDP => {
            let class = policy.by_udp_port[masked::<0xffff>(facts.destination_port.into())];
            if u32::from(class) == policy.udp_class && policy.is_amplifier(facts.source_port) {
                policy.answers_class as u8
            } else {
                class
            }
        }
        other => policy.by_protocol[masked::<0xff>(other.into())],
    };
    class & (stopbank_common::policy::MAX_CLASSES as u8 - 1)
}
