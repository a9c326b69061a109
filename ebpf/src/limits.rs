//! Spike arrest per source and per prefix, and total budgets per class.

use aya_ebpf::{bindings::xdp_md, btf_maps::Array, macros::btf_map};
use stopbank_common::{
    Address, Reason,
    gcra::{CELLS, Cell as _, Dimension, Limit, Line, MAX_UNITS, Ticks, admit, admit_at_once},
    hash::source_hash,
    policy::{
        CLASS_CLOSED, CLASS_FIRM_TOTAL, CLASS_PRECISE, Class, GUARD_OFF, Limits, MAX_CLASSES, MAX_LEVELS,
        Policy,
    },
};

use crate::{Packet, bound::masked, cell::MapCell, cookies, proven, verdict};

/// `BPF_F_MMAPABLE` (include/uapi/linux/bpf.h). The kernel gives such an array whole pages, so that its 64-byte lines are
/// cache lines; without it they would straddle two.
const MMAPABLE: usize = 1 << 10;

/// Rate state of sources and prefixes: fixed in size, indexed by a keyed hash. Nothing is ever inserted or evicted.
#[btf_map]
static SOURCES: Array<Line, 1, MMAPABLE> = Array::new();

/// Each class's total budgets.
#[btf_map]
static TOTALS: Array<Line, MAX_CLASSES, MMAPABLE> = Array::new();

/// What of the limits is known before the packet is held against them.
pub(crate) struct Place {
    /// The source's line, and its hash.
    line: *mut Line,
    hash: u64,
    /// Dimensions in which the class's total is spent: a bit each; and [`SETTLED`].
    spent: u32,
}

/// That a total is spent is the end of it, whoever sent the packet.
const SETTLED: u32 = 1 << 31;

/// Does something for every dimension that has a limit and that the packet counts in. A macro, and neither a loop nor a
/// closure: the compiler would keep those as such, and the verifier lose the bounds of the indices.
macro_rules! in_each_dimension {
    ($dimension:ident, $limits:expr, $units:expr, |$limit:ident, $count:ident| $body:block) => {
        in_each_dimension!(@ Packets, $dimension, $limits, $units, $limit, $count, $body);
        in_each_dimension!(@ Bytes, $dimension, $limits, $units, $limit, $count, $body);
        in_each_dimension!(@ Connections, $dimension, $limits, $units, $limit, $count, $body);
    };
    (@ $name:ident, $dimension:ident, $limits:expr, $units:expr, $limit:ident, $count:ident, $body:block) => {
        let $dimension = Dimension::$name;
        let ($limit, $count) = (&$limits[$dimension as usize], $units.count($dimension));
        if $limit.is_set() && $count != 0 $body
    };
}

mod apart;
pub(crate) use apart::judge_apart;

/// Asks the class's total, which is one hot line, and begins to read the line of the source before anything waits for it:
/// memory answers while the sockets are asked. (Changing a cell is a barrier, after which nothing is read ahead. The lines
/// of prefixes are few enough to be in the cache.) Where the total turns the packet away whoever sent it, nothing else is
/// read.
///
/// Where no source's line is needed, the table's first one stands in, so that the verifier has one way to follow, not two.
#[inline(always)]
pub(crate) fn read_ahead(packet: &mut Packet, policy: &Policy, class: u8) -> Option<Place> {
    let total = TOTALS.get_ptr_mut(class.into())?;
    let class = &policy.classes[masked::<{ MAX_CLASSES - 1 }>(class.into())];
    let mut spent = spent_totals(packet, class, total);
    let (mut line, mut hash) = (0, 0);
    if spent != 0
        && class.flags & CLASS_FIRM_TOTAL != 0
        && (class.guard.mode == GUARD_OFF || !packet.facts.opens_connection())
    {
        spent |= SETTLED;
    } else if levels(class, packet) & 1 != 0 {
        hash = hash_at(policy, class, &packet.facts.source, 0);
        line = class.regions[0].line(hash);
    }
    let line = SOURCES.get_ptr_mut(line)?;
    let _ = cell(line, 0).load();
    Some(Place { line, hash, spent })
}

/// The dimensions in which the packet finds a class's total spent.
#[inline(always)]
fn spent_totals(packet: &mut Packet, class: &Class, total: *mut Line) -> u32 {
    let units = Units::of(packet);
    let now = packet.clock.ticks(class.flags & CLASS_PRECISE != 0);
    let mut spent = 0;
    in_each_dimension!(dimension, class.total, units, |limit, count| {
        let arrival = cell(total, dimension.total_cell()).load();
        if limit.after(arrival, now, count).is_none() {
            spent |= 1 << dimension as u32;
        }
    });
    spent
}

/// The hash of a source, or of a prefix that it is in, for a class.
#[inline(always)]
fn hash_at(policy: &Policy, class: &Class, source: &Address, level: usize) -> u64 {
    let masks = &policy.levels[level];
    let mask = if source.is_v4() { &masks.mask_v4 } else { &masks.mask_v6 };
    // Another salt at each level: an address whose last bits are zero is its own prefix.
    let salt = class.salt.wrapping_add((level as u32).wrapping_mul(0x9e37_79b9));
    source_hash(&policy.key, &source.masked(mask), salt)
}

/// The limit of its class that the packet is over, if there is one. See [`verdict`]. A limit that is only observed is noted,
/// and those after it are asked.
#[inline(always)]
pub(crate) fn judge_by_limits(ctx: *mut xdp_md, packet: &mut Packet, policy: &Policy, place: &Place) -> u32 {
    let class = class(policy, packet);
    if class.flags & CLASS_CLOSED != 0 && packet.stands(policy, Reason::ClassClosed as u32) {
        return Reason::ClassClosed as u32;
    }
    if place.spent & SETTLED != 0 {
        return over_first(place.spent);
    }
    let units = Units::of(packet);
    let now = packet.clock.ticks(class.flags & CLASS_PRECISE != 0);
    let Some(total) = TOTALS.get_ptr_mut(u32::from(packet.class)) else { return verdict::NONE };
    // What is answered from here costs the host nothing, and no total.
    let guarded = units.count(Dimension::Connections) != 0
        && class.guard.mode != GUARD_OFF
        && cookies::guards(packet, class, total) != 0
        && packet.may_be_answered(policy);
    // Where the class's total is spent, the packet is dropped whatever its source has left: that is known from one hot
    // line, and random sources leave no trace in the table.
    in_each_dimension!(dimension, class.total, units, |_limit, _count| {
        if place.spent & 1 << dimension as u32 != 0
            && !guarded
            && reserve_spent(total, class, packet, policy, dimension, now, ASK)
            && packet.stands(policy, over_total(dimension) as u32)
        {
            return over_total(dimension) as u32;
        }
    });
    let levels = levels(class, packet);
    if levels & 1 != 0 {
        let over = charge_source(packet, policy, place, &class.per_source[0], now, units);
        if over != verdict::NONE {
            return over;
        }
    }
    if levels > 1 {
        let over = charge_prefixes(packet, policy, class, now, units.0);
        if over != verdict::NONE {
            return over;
        }
    }
    if guarded {
        let answered = cookies::answer(ctx, packet, policy);
        if answered != verdict::NONE {
            return answered;
        }
    }
    in_each_dimension!(dimension, class.total, units, |limit, count| {
        let total_cell = cell(total, dimension.total_cell());
        if !admit(&total_cell, now, limit, count)
            && reserve_spent(total, class, packet, policy, dimension, now, CHARGE)
            && packet.stands(policy, over_total(dimension) as u32)
        {
            return over_total(dimension) as u32;
        }
    });
    verdict::NONE
}

/// The first of the totals that are spent.
#[inline(always)]
const fn over_first(spent: u32) -> u32 {
    (if spent & 1 != 0 {
        Reason::TotalPackets
    } else if spent & 2 != 0 {
        Reason::TotalBytes
    } else {
        Reason::TotalConnections
    }) as u32
}

#[inline(always)]
fn class<'p>(policy: &'p Policy, packet: &Packet) -> &'p Class {
    &policy.classes[masked::<{ MAX_CLASSES - 1 }>(packet.class.into())]
}

/// The levels at which the class limits sources of the packet's family.
#[inline(always)]
const fn levels(class: &Class, packet: &Packet) -> u32 {
    if packet.facts.source.is_v4() { class.levels } else { class.levels >> 8 }
}

/// What the packet costs, in one argument: its bytes, and above them whether it opens a connection.
#[derive(Clone, Copy)]
struct Units(u64);

impl Units {
    #[inline(always)]
    const fn of(packet: &Packet) -> Self {
        let bytes = if packet.length > MAX_UNITS { MAX_UNITS } else { packet.length };
        Self(bytes as u64 | (packet.facts.opens_connection() as u64) << 32)
    }

    /// How much it costs in a dimension; 0 where it does not count.
    #[inline(always)]
    const fn count(self, dimension: Dimension) -> u32 {
        match dimension {
            Dimension::Packets => 1,
            Dimension::Bytes => self.0 as u32,
            Dimension::Connections => (self.0 >> 32) as u32,
        }
    }
}

/// Charges a source; [`verdict::NONE`] if it keeps to its limits. A packet that a later limit refuses has been charged to the
/// earlier ones.
///
/// In place, but for what happens when another CPU was first: to call a function costs as much as all of this where
/// processors must be kept from guessing where it returns to.
#[inline(always)]
fn charge_source(
    packet: &mut Packet,
    policy: &Policy,
    place: &Place,
    limits: &Limits,
    now: Ticks,
    units: Units,
) -> u32 {
    let (line, hash) = (place.line, place.hash);
    in_each_dimension!(dimension, limits, units, |limit, count| {
        let cell = cell(line, masked::<{ CELLS - 1 }>(dimension.cell(hash)));
        let within = match admit_at_once(&cell, now, limit, count) {
            Some(within) => within,
            None => charge_again(line, limit, hash, now, u64::from(count) << 8 | dimension as u64) != 0,
        };
        if !within && packet.stands(policy, over_source(dimension) as u32) {
            return over_source(dimension) as u32;
        }
    });
    verdict::NONE
}

// The functions below are global ones of the object: see `verdict`.

/// Charges the prefixes that a source is in, the narrow ones first: what a narrow one is over in is not charged to the wide
/// one, where its neighbours would pay for it. See [`verdict`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn charge_prefixes(
    packet: *mut Packet,
    policy: *const Policy,
    class: *const Class,
    now: Ticks,
    units: u64,
) -> u32 {
    // SAFETY: the verifier knows that each may be null, and how large it is.
    let (Some(packet), Some(policy), Some(class)) =
        (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }, unsafe { class.as_ref() })
    else {
        return verdict::NONE;
    };
    let levels = levels(class, packet);
    let mut level = 1;
    while level < MAX_LEVELS {
        if levels & (1 << level) != 0 {
            let hash = hash_at(policy, class, &packet.facts.source, level);
            if let Some(line) = SOURCES.get_ptr_mut(class.regions[1].line(hash)) {
                in_each_dimension!(dimension, class.per_source[level], Units(units), |limit, count| {
                    let cell = cell(line, masked::<{ CELLS - 1 }>(dimension.cell(hash)));
                    if !admit(&cell, now, limit, count) {
                        // Who has proved itself is not held to what its neighbours do.
                        if proven::is_proven(packet, policy) != 0 {
                            return verdict::NONE;
                        }
                        if packet.stands(policy, over_prefix(dimension) as u32) {
                            return over_prefix(dimension) as u32;
                        }
                    }
                });
            }
        }
        level += 1;
    }
    verdict::NONE
}

/// Charges a source in one dimension, where another CPU was first. `what`: the dimension, and from bit 8 on how much.
/// 0 if the source is over its limit.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn charge_again(line: *mut Line, limit: *const Limit, hash: u64, now: Ticks, what: u64) -> u32 {
    if line.is_null() || limit.is_null() {
        return 1;
    }
    // SAFETY: not null, and the verifier holds it to its size.
    let limit = unsafe { &*limit };
    let dimension = match what & 3 {
        0 => Dimension::Packets,
        1 => Dimension::Bytes,
        _ => Dimension::Connections,
    };
    let cell = cell(line, masked::<{ CELLS - 1 }>(dimension.cell(hash)));
    u32::from(admit(&cell, now, limit, (what >> 8) as u32))
}

/// Only asks whether the reserve is spent.
const ASK: u64 = 0;
/// Charges it: only a race with another CPU makes this fail where asking did not.
const CHARGE: u64 = 1;

/// Whether the packet finds nothing left of the part of a total that is reserved for proven sources, either. What none of
/// them asks for, anybody may have, down to half of the reserve's burst.
#[inline(always)]
fn reserve_spent(
    total: *mut Line,
    class: &Class,
    packet: &mut Packet,
    policy: &Policy,
    dimension: Dimension,
    now: Ticks,
    what: u64,
) -> bool {
    // Without a reserve nobody asks who is proven, which is an access to random memory.
    if !class.reserve[dimension as usize].is_set() {
        return true;
    }
    let what = what | (dimension as u64) << 8 | u64::from(Units::of(packet).count(dimension)) << 16;
    charge_reserve(total, class, now, what) == 0
        && (proven::is_proven(packet, policy) == 0 || charge_reserve(total, class, now, what | PROVEN) == 0)
}

/// For a proven source.
const PROVEN: u64 = 2;

/// Asks for, or charges, the reserve of one of a class's totals. `what`: [`ASK`] or [`CHARGE`], [`PROVEN`], from bit 8 on
/// the dimension and from bit 16 on how much. 0 if it is spent.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn charge_reserve(total: *mut Line, class: *const Class, now: Ticks, what: u64) -> u32 {
    if total.is_null() || class.is_null() {
        return 0;
    }
    // SAFETY: not null, and the verifier holds it to its size.
    let class = unsafe { &*class };
    let (limit, index) = match (what >> 8) & 3 {
        0 => (&class.reserve[0], Dimension::Packets.reserve_cell()),
        1 => (&class.reserve[1], Dimension::Bytes.reserve_cell()),
        _ => (&class.reserve[2], Dimension::Connections.reserve_cell()),
    };
    if !limit.is_set() {
        return 0;
    }
    let limit = if what & PROVEN != 0 { *limit } else { limit.halved() };
    let (cell, units) = (cell(total, index), (what >> 16) as u32);
    u32::from(if what & CHARGE == 0 {
        limit.after(cell.load(), now, units).is_some()
    } else {
        admit(&cell, now, &limit, units)
    })
}

#[inline(always)]
const fn over_total(dimension: Dimension) -> Reason {
    match dimension {
        Dimension::Packets => Reason::TotalPackets,
        Dimension::Bytes => Reason::TotalBytes,
        Dimension::Connections => Reason::TotalConnections,
    }
}

#[inline(always)]
fn cell(line: *mut Line, index: usize) -> MapCell {
    // SAFETY: `line` is a map value; indices are below CELLS, and the verifier checks it.
    unsafe { MapCell::new((&raw mut (*line).cells).cast::<u64>().add(index)) }
}

#[inline(always)]
const fn over_source(dimension: Dimension) -> Reason {
    match dimension {
        Dimension::Packets => Reason::SourcePackets,
        Dimension::Bytes => Reason::SourceBytes,
        Dimension::Connections => Reason::SourceConnections,
    }
}

#[inline(always)]
const fn over_prefix(dimension: Dimension) -> Reason {
    match dimension {
        Dimension::Packets => Reason::PrefixPackets,
        Dimension::Bytes => Reason::PrefixBytes,
        Dimension::Connections => Reason::PrefixConnections,
    }
}
