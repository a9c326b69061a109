//! What goes into the kernel and comes back in a vector's frame. Compiled into both sides: the test includes this file.

/// Bit of [`Exchange::admitted`]: the limiter over two cells did.
pub(crate) const ADMITTED_BY_TWO: u32 = 1;
/// Bit of [`Exchange::admitted`]: the limiter over one cell did.
pub(crate) const ADMITTED_BY_ONE: u32 = 2;

/// The whole of a frame: asked of the program, and overwritten by it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct Exchange {
    /// Arrival times in ticks, before and after: the pair's, then that of the single cell.
    pub(crate) arrivals: [u64; 3],
    /// Ticks.
    pub(crate) now: u64,
    /// The limit's increment.
    pub(crate) increment: u64,
    /// The limit's tolerance, in ticks.
    pub(crate) tolerance: u64,
    /// What the packet costs.
    pub(crate) units: u32,
    /// `ADMITTED_…` bits, for the program to set.
    pub(crate) admitted: u32,
}

const _: () = assert!(size_of::<Exchange>() == 56);
