//! The policy as the kernel reads it: one flat value, written by the agent to a fresh map and swapped in as a whole, so
//! that a packet is judged by the old policy or by the new one and never by a mixture.

use crate::{Address, Plain, gcra::Limit, hash::HashKey, signature::Signature};

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

/// Fragments are judged like other packets; later ones, which carry no ports, have a class of their own.
pub const FRAGMENTS_JUDGE: u32 = 0;
/// Every fragment is dropped.
pub const FRAGMENTS_DROP: u32 = 1;

/// Prefix lengths at which sources are limited: the source itself, then wider prefixes.
pub const MAX_LEVELS: usize = 4;
/// Sources that can be proven at once.
pub const MAX_PROVEN: u32 = 1 << 16;
/// Signatures that a policy can hold.
pub const MAX_SIGNATURES: usize = 32;

/// Nothing is asked of sockets.
pub const ROLE_ANY: u32 = 0;
/// What comes in is for this host's own sockets, and its socket table knows every connection.
pub const ROLE_HOST: u32 = 1;
/// What comes in is for hosts behind this one; the flow table knows what they have sent.
pub const ROLE_GATEWAY: u32 = 2;

/// What GRE carries is judged too.
pub const TUNNEL_GRE: u32 = 1;
/// What IPv4 and IPv6 carry in IP is judged too.
pub const TUNNEL_IPIP: u32 = 2;
/// What VXLAN carries is judged too.
pub const TUNNEL_VXLAN: u32 = 4;
/// UDP ports at which VXLAN can be expected.
pub const MAX_VXLAN_PORTS: usize = 4;

/// Packets of the class are dropped.
pub const CLASS_CLOSED: u32 = 1;
/// The class's limits are evaluated and counted, and drop nothing.
pub const CLASS_OBSERVE: u32 = 2;
/// One of the class's limits is too fine for the coarse clock.
pub const CLASS_PRECISE: u32 = 4;
/// What is above one of the class's totals is dropped, whoever sent it: nothing is reserved, nothing observed.
pub const CLASS_FIRM_TOTAL: u32 = 8;

/// No SYN cookies.
pub const GUARD_OFF: u32 = 0;
/// SYN cookies while more SYNs come in than [`Guard::rate`] allows, and for a while after.
pub const GUARD_AUTO: u32 = 1;
/// SYN cookies for every connection.
pub const GUARD_ALWAYS: u32 = 2;

/// Limits on packets, bytes and new connections, indexed by [`crate::gcra::Dimension`].
pub type Limits = [Limit; 3];

/// A run of lines of the table of sources.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Region {
    /// Number of the first line.
    pub base: u32,
    /// How many lines, a power of two, less one.
    pub mask: u32,
}

impl Region {
    /// The line that a hash falls on.
    #[inline(always)]
    pub const fn line(&self, hash: u64) -> u32 {
        self.base.wrapping_add(hash as u32 & self.mask)
    }
}

/// One of the prefix lengths at which sources are limited.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Level {
    /// What of an IPv4 address counts.
    pub mask_v4: Address,
    /// What of an IPv6 address counts.
    pub mask_v6: Address,
}

/// When a class answers SYNs with cookies.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Guard {
    /// [`GUARD_OFF`], [`GUARD_AUTO`] or [`GUARD_ALWAYS`].
    pub mode: u32,
    /// For how many milliseconds after the last SYN above the rate cookies are sent.
    pub hold_ms: u32,
    /// The SYN rate of the whole class above which `GUARD_AUTO` begins.
    pub rate: Limit,
}

/// The kernel keeps selective acknowledgements over a cookie.
pub const HANDSHAKE_SACK: u8 = 1;
/// The kernel keeps window scaling over a cookie.
pub const HANDSHAKE_SCALING: u8 = 2;
/// The kernel's timestamps have no secret offset, so that one of ours can carry the two above.
pub const HANDSHAKE_TIMESTAMPS: u8 = 4;

/// What a SYN-ACK with a cookie says, so that the kernel takes the connection over just as if it had said it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Handshake {
    /// Largest segment over IPv4, in bytes.
    pub mss_v4: u16,
    /// Largest segment over IPv6, in bytes.
    pub mss_v6: u16,
    /// First window, in bytes.
    pub window: u16,
    /// Window scale: a shift, 0 to 14.
    pub scale: u8,
    /// `HANDSHAKE_` bits.
    pub flags: u8,
    /// IPv4 time to live and IPv6 hop limit.
    pub hop_limit: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

// SAFETY: repr(C), 3 * 2 + 3 + 7 bytes, no padding.
unsafe impl Plain for Handshake {}

const _: () = assert!(size_of::<Handshake>() == 16);

/// One class.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Class {
    /// For each source, by level: first for the source itself, then for the wider prefixes that it is in.
    pub per_source: [Limits; MAX_LEVELS],
    /// For all sources together.
    pub total: Limits,
    /// The part of the total that proven sources have before all others.
    pub reserve: Limits,
    /// SYN cookies.
    pub guard: Guard,
    /// [`crate::hash::class_salt`] of the name.
    pub salt: u32,
    /// `CLASS_` bits.
    pub flags: u32,
    /// Levels that have limits: a bit each, IPv4 in the low eight, IPv6 in the eight above.
    pub levels: u32,
    /// Signatures that packets of the class are held against: a bit each.
    pub signatures: u32,
    /// Where the rates of sources are kept, and those of prefixes.
    pub regions: [Region; 2],
    /// Zero.
    pub reserved: [u64; 5],
}

// SAFETY: repr(C); 192 + 48 + 48 + 24 + 16 + 16 + 40 bytes, no padding.
unsafe impl Plain for Class {}

const _: () = assert!(size_of::<Class>() == 384);

/// Everything that a packet is judged by, apart from the lists.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Policy {
    /// [`MODE_OBSERVE`] or [`MODE_ENFORCE`].
    pub mode: u32,
    /// [`FRAGMENTS_JUDGE`] or [`FRAGMENTS_DROP`].
    pub fragments: u32,
    /// [`ROLE_ANY`], [`ROLE_HOST`] or [`ROLE_GATEWAY`].
    pub role: u32,
    /// 1: UDP to a port that no socket is bound to is dropped, whatever port it comes from.
    pub udp_needs_socket: u32,
    /// What of tunnels is looked into: `TUNNEL_` bits.
    pub tunnels: u32,
    /// Zero.
    pub reserved: u32,
    /// Reasons (a bit each, by number) whose packets are counted as observed, and pass.
    pub observed: u64,
    /// Nanoseconds of the kernel's tick.
    pub tick_ns: u64,
    /// What the number of ticks, as nanoseconds, is short of the monotonic clock.
    pub tick_offset_ns: u64,
    /// The levels, the source itself first.
    pub levels: [Level; MAX_LEVELS],
    /// The secret of the hash.
    pub key: HashKey,
    /// How many events a second may be sent.
    pub events: Limit,
    /// The class of later fragments, which carry no ports.
    pub fragments_class: u32,
    /// The class of UDP from amplifiers to a port that no class names.
    pub answers_class: u32,
    /// The class of UDP to such a port from anywhere else.
    pub udp_class: u32,
    /// Zero.
    pub reserved_too: u32,
    /// UDP destination ports of VXLAN; 0 where there are fewer.
    pub vxlan_ports: [u16; MAX_VXLAN_PORTS],
    /// SYN-ACKs with cookies.
    pub handshake: Handshake,
    /// Interface indices; the position is the counters' interface slot. Slot 0 and unused ones are 0.
    pub interfaces: [u32; MAX_INTERFACES],
    /// UDP source ports from which only answers come, or abuse: a bit each.
    pub amplifiers: [u64; 1024],
    /// The signatures that classes name.
    pub signatures: [Signature; MAX_SIGNATURES],
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
    size_of::<Policy>()
        == 48
            + 32 * MAX_LEVELS
            + 48
            + 2 * 16
            + 8
            + 16
            + 4 * MAX_INTERFACES
            + 8 * 1024
            + size_of::<Signature>() * MAX_SIGNATURES
            + 384 * MAX_CLASSES
            + 256
            + 2 * 65_536
);

impl Policy {
    /// Whether a UDP source port is an amplifier's.
    #[inline(always)]
    pub const fn is_amplifier(&self, port: u16) -> bool {
        self.amplifiers[(port >> 6) as usize] >> (port & 63) & 1 != 0
    }
}

/// What the agent must find again after a restart, kept in a map of its own.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Kept {
    /// The secret under which the rate state was written. All zero: never drawn.
    pub key: HashKey,
    /// Class salts by class number, so that a class keeps its number (and its counters) as long as it keeps its name.
    pub salts: [u32; MAX_CLASSES],
    /// The salts of signatures by the counter that they have, for the same reason. 0: never given.
    pub signatures: [u32; MAX_SIGNATURES],
}

// SAFETY: repr(C), 48 + 256 + 128 bytes, no padding.
unsafe impl Plain for Kept {}

const _: () = assert!(size_of::<Kept>() == 48 + 4 * MAX_CLASSES + 4 * MAX_SIGNATURES);

impl Default for Kept {
    fn default() -> Self {
        Self { key: HashKey::default(), salts: [0; MAX_CLASSES], signatures: [0; MAX_SIGNATURES] }
    }
}
