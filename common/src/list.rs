//! Allow, deny and ban entries.

use crate::{Address, Plain};

/// Dynamic entries that the lists can hold: the configuration's and an operator's.
pub const LIST_CAPACITY: u32 = 1 << 20;
/// Entries of list files that the index cannot tell, at most: IPv6 beyond /32, and those within dynamic entries.
pub const LONGER_CAPACITY: u32 = 1 << 22;

/// The source passes at once.
pub const VERDICT_ALLOW: u8 = 1;
/// The source is dropped: an entry of the deny list.
pub const VERDICT_DENY: u8 = 2;
/// The source is dropped: an operator's or a detector's ban.
pub const VERDICT_BAN: u8 = 3;

/// What the trie holds for a prefix.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct ListEntry {
    /// When it ends, in nanoseconds of the kernel's monotonic clock; 0: never.
    pub expires_ns: u64,
    /// One of the `VERDICT_` values.
    pub verdict: u8,
    /// Length of this entry's prefix in bits of the 128-bit form, so that the next shorter one can be asked for when
    /// this one has expired.
    pub prefix_bits: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

// SAFETY: repr(C), 8 + 1 + 1 + 6 bytes, no padding.
unsafe impl Plain for ListEntry {}

const _: () = assert!(size_of::<ListEntry>() == 16);

/// Whether of two entries that contain an address, one of a file and a dynamic one, the file's holds: the longer prefix does,
/// and of the same prefix allow, then ban, then deny.
#[inline(always)]
pub const fn beats(filed: &ListEntry, dynamic: &ListEntry) -> bool {
    if filed.prefix_bits == dynamic.prefix_bits {
        // A file has no bans: what it allows beats a ban as it beats a denial.
        return filed.verdict == VERDICT_ALLOW;
    }
    filed.prefix_bits > dynamic.prefix_bits
}

/// The trie's key: `struct bpf_lpm_trie_key_u8` with sixteen bytes of data (include/uapi/linux/bpf.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct ListKey {
    /// Bits of `address` that count: 0 to 128; an IPv4 prefix of n bits is 96 + n.
    pub prefix_bits: u32,
    /// The address, IPv4 mapped into IPv6.
    pub address: Address,
}

// SAFETY: repr(C), 4 + 16 bytes, no padding.
unsafe impl Plain for ListKey {}

const _: () = assert!(size_of::<ListKey>() == 20);
