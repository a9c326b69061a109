//! What the program and `stopbank simulate` say to each other while a capture is replayed.
//!
//! A program that protects an interface knows nothing of this: its [`crate::names::SIMULATION`] is 0 when it is loaded, and
//! the verifier removes all that depends on it.

use crate::Plain;

/// Bit of [`crate::names::SIMULATION`]: the clock is [`crate::names::SIMULATED_NOW`], and verdicts are left in
/// [`crate::names::TRACE`]. Look-ups of sockets find none.
pub const SIMULATE: u32 = 1 << 0;
/// Bit of [`crate::names::SIMULATION`]: look-ups of sockets find one, whatever is asked for.
pub const ASSUME_SOCKETS: u32 = 1 << 1;

/// What became of the latest packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Trace {
    /// Number of the [`crate::Reason`] under which it was judged.
    pub reason: u32,
    /// Number of the drop reason that a rule which only observes gave first; [`Trace::NOTHING`] if there was none.
    pub observed: u32,
    /// The XDP action: 1 is drop, 2 is pass, 3 is back where it came from.
    pub action: u32,
    /// Number of its class.
    pub class: u32,
    /// Not 0: what a tunnel carries decided, and not the packet around it.
    pub inner: u32,
}

// SAFETY: repr(C), five u32.
unsafe impl Plain for Trace {}

const _: () = assert!(size_of::<Trace>() == 20);

impl Trace {
    /// No reason's number.
    pub const NOTHING: u32 = u32::MAX;
    /// What stands there before the first packet.
    pub const NONE: Self = Self {
        reason: Self::NOTHING,
        observed: Self::NOTHING,
        action: Self::NOTHING,
        class: Self::NOTHING,
        inner: Self::NOTHING,
    };
}
