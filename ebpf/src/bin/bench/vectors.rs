//! The limiter's arithmetic alone, so that a test can hold what the kernel makes of it against what the host does.

#[path = "vectors/exchange.rs"]
mod exchange;

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::Array,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use exchange::{ADMITTED_BY_ONE, ADMITTED_BY_TWO, Exchange};
use stopbank_common::gcra::{Cell as _, Limit, admit, admit_one};

use crate::cell::MapCell;

/// Cells in a map, as the limiter's are: the kernel changes them by the same instructions.
#[btf_map]
static VECTOR_CELLS: Array<[u64; 3], 1> = Array::new();

/// Judges one packet as the frame describes it, and writes into the frame what became of the cells.
#[xdp]
fn gcra_vectors(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    let Some(line) = VECTOR_CELLS.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    if start + size_of::<Exchange>() > end {
        return xdp_action::XDP_ABORTED;
    }
    let frame = core::ptr::with_exposed_provenance_mut::<Exchange>(start);
    // SAFETY: the frame is as long as an Exchange, every bit pattern is one, and BPF loads need no alignment.
    let mut exchange = unsafe { frame.read_volatile() };

    let cells = line.cast::<u64>();
    // SAFETY: three aligned u64 in a map value.
    let [first, second, single] =
        unsafe { [MapCell::new(cells), MapCell::new(cells.add(1)), MapCell::new(cells.add(2))] };
    // SAFETY: the map value's; one run at a time writes it.
    unsafe { line.write_volatile(exchange.arrivals) };

    let limit = Limit { increment: exchange.increment, tolerance: exchange.tolerance };
    exchange.admitted = 0;
    if admit(&first, &second, exchange.now, &limit, exchange.units) {
        exchange.admitted |= ADMITTED_BY_TWO;
    }
    if admit_one(&single, exchange.now, &limit, exchange.units) {
        exchange.admitted |= ADMITTED_BY_ONE;
    }
    exchange.arrivals = [first.load(), second.load(), single.load()];
    // SAFETY: as the read.
    unsafe { frame.write_volatile(exchange) };
    xdp_action::XDP_PASS
}
