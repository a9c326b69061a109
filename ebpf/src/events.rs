//! A sample of the drops goes to user space, so that an operator can see who and what; never every packet.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, RingBuf},
    macros::btf_map,
};
use stopbank_common::{
    event::Event,
    gcra::{TICKS_PER_NS, admit},
    parse::protocol,
    policy::Policy,
};

use crate::{Packet, cell::MapCell};

/// 256 KiB: some 4,000 events.
#[btf_map]
static EVENTS: RingBuf<Event, { 256 * 1024 }> = RingBuf::new();

/// When the next event may be sent.
#[btf_map]
static EVENT_BUDGET: Array<u64, 1> = Array::new();

/// Events that found the ring full.
#[btf_map]
static EVENTS_LOST: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Sends an event if the budget allows one more.
#[inline(always)]
pub(crate) fn sample(packet: &mut Packet, policy: &Policy, reason: u32, dropped: bool) {
    if !policy.events.is_set() {
        return;
    }
    let Some(budget) = EVENT_BUDGET.get_ptr_mut(0) else { return };
    let now = packet.clock.rough_ns();
    // SAFETY: an aligned u64 in a map value.
    if !admit(&unsafe { MapCell::new(budget) }, now * TICKS_PER_NS, &policy.events, 1) {
        return;
    }
    let Some(mut entry) = EVENTS.reserve(0) else {
        if let Some(lost) = EVENTS_LOST.get_ptr_mut(0) {
            // SAFETY: this CPU's own value.
            unsafe { *lost += 1 };
        }
        return;
    };
    let facts = &packet.facts;
    let icmp = facts.protocol == protocol::ICMP || facts.protocol == protocol::ICMPV6;
    entry.write(Event {
        time_ns: now,
        source: facts.source,
        destination: facts.destination,
        interface: packet.interface,
        length: packet.length,
        source_port: facts.source_port,
        destination_port: if icmp {
            u16::from_be_bytes([facts.icmp_type, facts.icmp_code])
        } else {
            facts.destination_port
        },
        protocol: facts.protocol,
        class: packet.class,
        reason: reason as u8,
        dropped: u8::from(dropped),
    });
    entry.submit(0);
}
