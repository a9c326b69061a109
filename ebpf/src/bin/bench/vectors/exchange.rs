//! What goes into the kernel and comes back in a vector's frame. Compiled into both sides: the test includes this file.

/// The whole of a frame: asked of the program, and overwritten by it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct Exchange {
    /// The cell's arrival time in ticks, before and after.
    pub(crate) arrival: u64,
    /// Ticks.
    pub(crate) now: u64,
    /// The limit's increment.
    pub(crate) increment: u64,
    /// The limit's tolerance, in ticks.
    pub(crate) tolerance: u64,
    /// What the packet costs.
    pub(crate) units: u32,
    /// Whether it was admitted, 0 or 1: for the program to set.
    pub(crate) admitted: u32,
}

const _: () = assert!(size_of::<Exchange>() == 40);
