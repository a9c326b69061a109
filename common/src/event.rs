//! A sampled drop, as it goes through the ring buffer.

use crate::{Address, Plain};

/// One dropped (or, in `observe` mode, would-be dropped) packet.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Event {
    /// When, in nanoseconds of the kernel's monotonic clock.
    pub time_ns: u64,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Index of the interface it came in on.
    pub interface: u32,
    /// Bytes of the frame.
    pub length: u32,
    /// TCP or UDP source port, 0 if there is none.
    pub source_port: u16,
    /// TCP or UDP destination port; ICMP type and code; 0 if there is neither.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Class number.
    pub class: u8,
    /// Number of the [`crate::Reason`].
    pub reason: u8,
    /// 1 if the packet was really dropped, 0 if only observed.
    pub dropped: u8,
}

// SAFETY: repr(C), 8 + 32 + 8 + 8 bytes, no padding.
unsafe impl Plain for Event {}

const _: () = assert!(size_of::<Event>() == 56);
