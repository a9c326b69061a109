//! What user space tells the flood program. Compiled into both sides: the tests' generator includes this file.

/// Offset in the frame of the four bytes that tell one source from another. In IPv4 they are the whole source address,
/// in IPv6 its second word, so that each source has a /64 of its own: both happen to stand at the same place.
pub(crate) const SOURCE_AT: usize = 26;

/// Most bytes of a template that can be written anew: all headers.
pub(crate) const MOST_RESTORED: usize = 128;

/// What varies from frame to frame, and the sums from which its checksums are finished.
///
/// A sum here is the one's complement sum (RFC 1071, not yet inverted) of the template with the checksum, the varying
/// source word and the source port taken as zero. The program adds what it writes, which is RFC 1624's equation 3
/// with an old value of zero. It never reads the frame: the kernel reuses a flood's pages without restoring them.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Settings {
    /// Index of the interface that sends the frames.
    pub(crate) interface: u32,
    /// The first source's word, as a number.
    pub(crate) first_source: u32,
    /// How many sources there are from the first on; 0: all 2^32.
    pub(crate) sources: u32,
    /// Offset of the port that varies, which is random from 32,768 up; 0: none.
    pub(crate) port_at: u32,
    /// Offset of the IPv4 header's checksum; 0: IPv6, which has none.
    pub(crate) header_checksum_at: u32,
    /// Sum of the IPv4 header.
    pub(crate) header_sum: u32,
    /// Offset of the transport checksum; 0: the template's is right whatever the source.
    pub(crate) transport_checksum_at: u32,
    /// Sum of the transport segment and its pseudo header.
    pub(crate) transport_sum: u32,
    /// Bytes of the template that are written anew each time, because whoever is flooded may answer in the same page; 0: none.
    pub(crate) restored: u32,
    /// Nanoseconds between two frames; 0: as fast as can be.
    pub(crate) spacing_ns: u32,
}
