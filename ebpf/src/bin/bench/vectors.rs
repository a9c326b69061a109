//! The limiter's arithmetic alone, so that a test can hold what the kernel makes of it against what the host does.

#[path = "vectors/exchange.rs"]
mod exchange;

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::Array,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use exchange::Exchange;
use stopbank_common::gcra::{Cell as _, Limit, admit};

use crate::cell::MapCell;

/// A cell in a map, as the limiter's are: the kernel changes it by the same instructions.
#[btf_map]
static VECTOR_CELL: Array<u64, 1> = Array::new();

/// Judges one packet as the frame describes it, and writes into the frame what became of the cell.
#[xdp]
fn gcra_vectors(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    let Some(value) = VECTOR_CELL.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    if start + size_of::<Exchange>() > end {
        return xdp_action::XDP_ABORTED;
    }
    let frame = core::ptr::with_exposed_provenance_mut::<Exchange>(start);
    // SAFETY: the frame is as long as an Exchange, every bit pattern is one, and BPF loads need no alignment.
    let mut exchange = unsafe { frame.read_volatile() };

    // SAFETY: an aligned u64 in a map value.
    let cell = unsafe { MapCell::new(value) };
    // SAFETY: the map value's; one run at a time writes it.
    unsafe { value.write_volatile(exchange.arrival) };

    let limit = Limit { increment: exchange.increment, tolerance: exchange.tolerance };
    exchange.admitted = u32::from(admit(&cell, exchange.now, &limit, exchange.units));
    exchange.arrival = cell.load();
    // SAFETY: as the read.
    unsafe { frame.write_volatile(exchange) };
    xdp_action::XDP_PASS
}
