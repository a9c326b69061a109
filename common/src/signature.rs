//! Signatures: what a packet of a known attack looks like.

use crate::Plain;

/// What a packet must look like, all of it, to match. What is zero in `fields` is not asked.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Signature {
    /// Bytes as they stand in the packet, from `offset` on.
    pub pattern: [u8; 16],
    /// Which bits of them count.
    pub mask: [u8; 16],
    /// `FIELD_` bits: what is asked.
    pub fields: u32,
    /// Zero.
    pub reserved: [u32; 7],
}

// SAFETY: repr(C), 16 + 16 + 4 + 28 bytes, no padding.
unsafe impl Plain for Signature {}

const _: () = assert!(size_of::<Signature>() == 64);
