//! The policy as the kernel reads it: one flat value, written by the agent to a fresh map and swapped in as a whole, so
//! that a packet is judged by the old policy or by the new one and never by a mixture.

use crate::{Address, Plain, gcra::Limit, hash::HashKey};

/// Classes that a policy can hold, the two reserved ones included.
pub const MAX_CLASSES: usize = 64;
/// Interfaces that are counted apart; slot 0 stands for any other.
pub const MAX_INTERFACES: usize = 8;
/// The "class" of packets that are judged before they have one.
pub const CLASS_NONE: u8 = 0;
/// The class of what no other class claims.
pub const CLASS_DEFAULT: u8 = 1;

/// Judged packets pass all the same, and are counted as what would have been dropped.
pub const MODE_OBSERVE: u32 = 0;
/// Judged packets are dropped.
pub const MODE_ENFORCE: u32 = 1;

/// Fragments are judged like other packets; later ones, which carry no ports, by the default class.
pub const FRAGMENTS_JUDGE: u32 = 0;
/// Every fragment is dropped.
pub const FRAGMENTS_DROP: u32 = 1;

/// Limits on packets, bytes and new connections, indexed by [`crate::gcra::Dimension`].
pub type Limits = [Limit; 3];

/// One class.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Class {
    /// For each source.
    pub per_source: Limits,
    /// For all sources together.
    pub total: Limits,
    /// [`crate::hash::class_salt`] of the name.
    pub salt: u32,
    /// 1: every packet of the class is dropped.
    pub closed: u32,
    /// Zero.
    pub reserved: [u64; 3],
}

// SAFETY: repr(C); 6 * 16 + 4 + 4 + 24 = 128 bytes, no padding.
unsafe impl Plain for Class {}

const _: () = assert!(size_of::<Class>() == 128);

/// Everything that a packet is judged by, apart from the lists.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Policy {
    /// [`MODE_OBSERVE`] or [`MODE_ENFORCE`].
    pub mode: u32,
    /// [`FRAGMENTS_JUDGE`] or [`FRAGMENTS_DROP`].
    pub fragments: u32,
    /// What of an IPv4 source makes up one source.
    pub mask_v4: Address,
    /// What of an IPv6 source makes up one source.
    pub mask_v6: Address,
    /// The secret of the hash.
    pub key: HashKey,
    /// How many events a second may be sent.
    pub events: Limit,
    /// Interface indices; the position is the counters' interface slot. Slot 0 and unused ones are 0.
    pub interfaces: [u32; MAX_INTERFACES],
    /// The classes.
    pub classes: [Class; MAX_CLASSES],
    /// Class by IP protocol, for what has no ports.
    pub by_protocol: [u8; 256],
    /// Class by TCP destination port.
    pub by_tcp_port: [u8; 65_536],
    /// Class by UDP destination port.
    pub by_udp_port: [u8; 65_536],
}

// SAFETY: repr(C); every field is Plain or an array of integers, and the sizes below add up without padding.
unsafe impl Plain for Policy {}

const _: () = assert!(
    size_of::<Policy>() == 8 + 32 + 48 + 16 + 4 * MAX_INTERFACES + 128 * MAX_CLASSES + 256 + 2 * 65_536
);

/// What the agent must find again after a restart, kept in a map of its own.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Kept {
    /// The secret under which the rate state was written. All zero: never drawn.
    pub key: HashKey,
    /// Class salts by class number, so that a class keeps its number (and its counters) as long as it keeps its name.
    pub salts: [u32; MAX_CLASSES],
}

// SAFETY: repr(C), 48 + 256 bytes, no padding.
unsafe impl Plain for Kept {}

const _: () = assert!(size_of::<Kept>() == 48 + 4 * MAX_CLASSES);

impl Default for Kept {
    fn default() -> Self {
        Self { key: HashKey::default(), salts: [0; MAX_CLASSES] }
    }
}
