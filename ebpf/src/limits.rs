//! Spike arrest per source and total budgets per class.

use aya_ebpf::{Global, btf_maps::Array, macros::btf_map};
use stopbank_common::{
    Reason,
    gcra::{Cell as _, Dimension, Line, MAX_UNITS, admit, admit_one},
    hash::source_hash,
    policy::{Class, Limits, MAX_CLASSES, Policy},
};

use crate::{Packet, cell::MapCell};

/// `BPF_F_MMAPABLE` (include/uapi/linux/bpf.h). The kernel gives such an array whole pages, so that its 64-byte lines are
/// cache lines; without it they would straddle two.
const MMAPABLE: usize = 1 << 10;

/// Per-source rate state: fixed in size, indexed by a keyed hash. Nothing is ever inserted or evicted.
#[btf_map]
static SOURCES: Array<Line, 1, MMAPABLE> = Array::new();

/// Each class's total budgets.
#[btf_map]
static TOTALS: Array<Line, MAX_CLASSES, MMAPABLE> = Array::new();

/// Lines in `SOURCES`, less one; a power of two, less one. Always set at load. The initial value is one that no other
/// constant has: the compiler merges equal constants, and what is set here would then be set there as well (with 0, it
/// was the key of a map look-up).
#[unsafe(no_mangle)]
static SOURCES_MASK: Global<u32> = Global::new(0xdead_5b07);

/// Judges the packet by its class's limits: the reason is [`Reason::Passed`] if it keeps to all of them.
#[inline(always)]
pub(crate) fn reason(packet: &mut Packet, policy: &Policy) -> Reason {
    let class = &policy.classes[usize::from(packet.class) & (MAX_CLASSES - 1)];
    if class.closed != 0 {
        return Reason::ClassClosed;
    }
    let charge = Charge::of(packet);
    let limited_in_total = limited(&class.total, &charge);
    // Where the class's total is spent, the packet is dropped whatever its source has left: that is known from one hot
    // line, the source need not be looked up, and random sources leave no trace in the table.
    if limited_in_total && let Some(spent) = total_spent(packet, class, &charge) {
        return spent;
    }
    if limited(&class.per_source, &charge)
        && let Some(over) = source_over(packet, policy, class, &charge)
    {
        return over;
    }
    if limited_in_total && let Some(spent) = charge_total(packet, class, &charge) {
        return spent;
    }
    Reason::Passed
}

/// Does something for every dimension that has a limit and that the packet counts in. A macro, and neither a loop nor a
/// closure: the compiler would keep those as such, and the verifier lose the bounds of the indices.
macro_rules! in_each_dimension {
    ($dimension:ident, $limits:expr, $charge:expr, |$limit:ident, $units:ident| $body:block) => {
        in_each_dimension!(@ Packets, $dimension, $limits, $charge, $limit, $units, $body);
        in_each_dimension!(@ Bytes, $dimension, $limits, $charge, $limit, $units, $body);
        in_each_dimension!(@ Connections, $dimension, $limits, $charge, $limit, $units, $body);
    };
    (@ $name:ident, $dimension:ident, $limits:expr, $charge:expr, $limit:ident, $units:ident, $body:block) => {
        let $dimension = Dimension::$name;
        let ($limit, $units) = (&$limits[$dimension as usize], $charge.units[$dimension as usize]);
        if $limit.is_set() && $units != 0 $body
    };
}

/// What the packet costs in each dimension; 0 where it does not count.
struct Charge {
    units: [u32; 3],
}

impl Charge {
    #[inline(always)]
    fn of(packet: &Packet) -> Self {
        let bytes = if packet.length > MAX_UNITS { MAX_UNITS } else { packet.length };
        Self { units: [1, bytes, u32::from(packet.facts.opens_connection())] }
    }
}

#[inline(always)]
fn limited(limits: &Limits, charge: &Charge) -> bool {
    limits[0].is_set() || limits[1].is_set() || (limits[2].is_set() && charge.units[2] != 0)
}

/// Whether a total is spent; charges nothing.
#[inline(always)]
fn total_spent(packet: &mut Packet, class: &Class, charge: &Charge) -> Option<Reason> {
    let line = TOTALS.get_ptr_mut(u32::from(packet.class))?;
    let now = packet.clock.ticks();
    in_each_dimension!(dimension, class.total, charge, |limit, units| {
        let arrival = cell(line, dimension.total_cell()).load();
        if limit.after(arrival, now, units).is_none() {
            return Some(over_total(dimension));
        }
    });
    None
}

/// Charges the totals; only a race with another CPU can make this fail after [`total_spent`].
#[inline(always)]
fn charge_total(packet: &mut Packet, class: &Class, charge: &Charge) -> Option<Reason> {
    let line = TOTALS.get_ptr_mut(u32::from(packet.class))?;
    let now = packet.clock.ticks();
    in_each_dimension!(dimension, class.total, charge, |limit, units| {
        if !admit_one(&cell(line, dimension.total_cell()), now, limit, units) {
            return Some(over_total(dimension));
        }
    });
    None
}

/// Charges the source. A packet that a later limit refuses has been charged to the earlier ones.
#[inline(always)]
fn source_over(packet: &mut Packet, policy: &Policy, class: &Class, charge: &Charge) -> Option<Reason> {
    let source = &packet.facts.source;
    let mask = if source.is_v4() { &policy.mask_v4 } else { &policy.mask_v6 };
    let hash = source_hash(&policy.key, &source.masked(mask), class.salt);
    let line = SOURCES.get_ptr_mut(hash as u32 & SOURCES_MASK.load())?;
    let now = packet.clock.ticks();
    in_each_dimension!(dimension, class.per_source, charge, |limit, units| {
        let (first, second) = dimension.cells(hash);
        if !admit(&cell(line, first), &cell(line, second), now, limit, units) {
            return Some(over_source(dimension));
        }
    });
    None
}

#[inline(always)]
fn cell(line: *mut Line, index: usize) -> MapCell {
    // SAFETY: `line` is a map value; indices are below CELLS, and the verifier checks it.
    unsafe { MapCell::new((&raw mut (*line).cells).cast::<u64>().add(index)) }
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
const fn over_source(dimension: Dimension) -> Reason {
    match dimension {
        Dimension::Packets => Reason::SourcePackets,
        Dimension::Bytes => Reason::SourceBytes,
        Dimension::Connections => Reason::SourceConnections,
    }
}
