//! What the kernel programs and user space share, and nothing else.
//!
//! `no_std` and without dependencies: the same source is compiled into the BPF object, into the agent and into
//! the host's tests, so that the arithmetic and the parser that run in the kernel are the ones that are tested
//! and fuzzed. Types that cross the boundary are `repr(C)`, have explicit padding, hold no `bool` or enum, and
//! have their sizes asserted where they are defined.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod address;
pub mod counters;
pub mod event;
pub mod exact;
pub mod flow;
pub mod gcra;
pub mod hash;
pub mod index;
pub mod list;
pub mod names;
pub mod parse;
pub mod policy;
pub mod reason;
pub mod signature;
pub mod simulation;

pub use address::Address;
pub use reason::Reason;

/// Version of the memory layout of everything in this crate that lives in a map.
///
/// Part of the pin path, so that an agent never opens maps whose layout it does not know. Raise it with any change
/// to a map's key, value, type or flags, those of inner maps included, and to what a value means. An agent takes the pins of
/// earlier versions over, map by map: `agent/src/datapath/upgrade.rs` has which.
pub const ABI_VERSION: u32 = 6;

/// Marks a type whose every bit pattern is valid and that has no padding, so that it may be copied to and from a
/// map as bytes.
///
/// # Safety
///
/// The type must be `repr(C)`, without implicit padding, and valid for every bit pattern.
pub unsafe trait Plain: Copy + 'static {}

// SAFETY: an integer.
unsafe impl Plain for u64 {}
