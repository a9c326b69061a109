//! The limits of what a tunnel carries.
//!
//! The same limits and the same cells, in the same order, but in functions of their own: what is in a tunnel is judged on top of what
//! is around it, and the stack has no room for both at once. SYN cookies are not sent: the answer would have to be put into a
//! tunnel.

use stopbank_common::{
    Reason,
    gcra::{Cell as _, Dimension, admit},
    policy::{CLASS_CLOSED, CLASS_PRECISE, Policy},
};

use super::{
    ASK, CHARGE, Place, SOURCES, TOTALS, Units, cell, charge_prefixes, charge_source, class, hash_at, levels,
    over_total, reserve_spent,
};
use crate::{Packet, verdict};

/// The limit of its class that the packet is over, if there is one. See [`verdict`].
#[inline(always)]
pub(crate) fn judge_apart(packet: &mut Packet, policy: &Policy) -> u32 {
    let class = class(policy, packet);
    if class.flags & CLASS_CLOSED != 0 && packet.stands(policy, Reason::ClassClosed as u32) {
        return Reason::ClassClosed as u32;
    }
    let spent = totals_apart(packet, policy, ASK);
    if spent != verdict::NONE {
        return spent;
    }
    let levels = levels(class, packet);
    if levels & 1 != 0 {
        let over = source_apart(packet, policy);
        if over != verdict::NONE {
            return over;
        }
    }
    if levels > 1 {
        let now = packet.clock.ticks(class.flags & CLASS_PRECISE != 0);
        let over = charge_prefixes(packet, policy, class, now, Units::of(packet).0);
        if over != verdict::NONE {
            return over;
        }
    }
    totals_apart(packet, policy, CHARGE)
}

/// Asks for, or charges, the totals of a packet's class.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn totals_apart(packet: *mut Packet, policy: *const Policy, what: u64) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return verdict::NONE;
    };
    let class = class(policy, packet);
    let Some(total) = TOTALS.get_ptr_mut(u32::from(packet.class)) else { return verdict::NONE };
    let units = Units::of(packet);
    let now = packet.clock.ticks(class.flags & CLASS_PRECISE != 0);
    in_each_dimension!(dimension, class.total, units, |limit, count| {
        let total_cell = cell(total, dimension.total_cell());
        let within = if what == ASK {
            limit.after(total_cell.load(), now, count).is_some()
        } else {
            admit(&total_cell, now, limit, count)
        };
        if !within
            && reserve_spent(total, class, packet, policy, dimension, now, what)
            && packet.stands(policy, over_total(dimension) as u32)
        {
            return over_total(dimension) as u32;
        }
    });
    verdict::NONE
}

/// Charges a packet's source.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn source_apart(packet: *mut Packet, policy: *const Policy) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return verdict::NONE;
    };
    let class = class(policy, packet);
    let hash = hash_at(policy, class, &packet.facts.source, 0);
    let Some(line) = SOURCES.get_ptr_mut(class.regions[0].line(hash)) else { return verdict::NONE };
    let units = Units::of(packet);
    let now = packet.clock.ticks(class.flags & CLASS_PRECISE != 0);
    charge_source(packet, policy, &Place { line, hash, spent: 0 }, &class.per_source[0], now, units)
}
