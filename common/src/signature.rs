//! Signatures: what a packet of a known attack looks like.
//!
//! A signature asks for a few things, all of which a packet must have. What the headers say is compared with [`Facts`]
//! and [`Layout`]; bytes and TCP options are read only when all of that fits. The same code runs in the kernel and on
//! the host: they differ in how they read the packet, which is [`Bytes`].

use crate::{
    Plain,
    parse::{Facts, Fragment, Layout, protocol},
    policy::MAX_SIGNATURES,
};

/// Bits of [`Signature::fields`]: what is asked.
pub mod field {
    /// [`super::Signature::ip_length`].
    pub const IP_LENGTH: u32 = 1 << 0;
    /// [`super::Signature::payload_length`].
    pub const PAYLOAD_LENGTH: u32 = 1 << 1;
    /// [`super::Signature::hop_limit`].
    pub const HOP_LIMIT: u32 = 1 << 2;
    /// [`super::Signature::source_ports`].
    pub const SOURCE_PORTS: u32 = 1 << 3;
    /// [`super::Signature::tcp_flags`].
    pub const TCP_FLAGS: u32 = 1 << 4;
    /// [`super::Signature::tcp_window`].
    pub const TCP_WINDOW: u32 = 1 << 5;
    /// [`super::Signature::tcp_options`].
    pub const TCP_OPTIONS: u32 = 1 << 6;
    /// [`super::Signature::icmp_type`], of ICMP.
    pub const ICMP: u32 = 1 << 7;
    /// [`super::Signature::icmp_type`], of ICMPv6.
    pub const ICMPV6: u32 = 1 << 8;
    /// [`super::Signature::icmp_code`] too.
    pub const ICMP_CODE: u32 = 1 << 9;
    /// [`super::Signature::pattern`], `offset` bytes after the payload's beginning.
    pub const PAYLOAD: u32 = 1 << 10;
    /// [`super::Signature::pattern`], beginning `offset` bytes before the payload's end.
    pub const PAYLOAD_END: u32 = 1 << 11;
    /// [`super::Signature::pattern`], `offset` bytes after the transport header's beginning.
    pub const HEADER: u32 = 1 << 12;
    /// Asks for nothing: what matches is counted as observed, and goes on.
    pub const OBSERVE: u32 = 1 << 31;

    /// What only TCP segments have.
    pub const TCP: u32 = TCP_FLAGS | TCP_WINDOW | TCP_OPTIONS;
    /// What needs bytes of the packet.
    pub const PATTERN: u32 = PAYLOAD | PAYLOAD_END | HEADER;
}

/// Longest pattern, in bytes.
pub const LONGEST_PATTERN: usize = 16;
/// Ranges of source ports that a signature can name.
pub const MAX_SOURCE_RANGES: usize = 4;
/// Kinds of TCP options that a fingerprint can name.
pub const MAX_OPTION_KINDS: usize = 8;
/// Longest options of a TCP header, in bytes: 15 words less the five that are always there (RFC 9293 section 3.1).
pub const LONGEST_OPTIONS: usize = 40;

/// [`option_kinds`] of options that cannot be read: one is shorter than its own header, or longer than what is left.
pub const OPTIONS_MALFORMED: u64 = u64::MAX;
/// [`option_kinds`] of more options than fit. Neither can be the kinds of real options, as none of those is 255.
pub const OPTIONS_TOO_MANY: u64 = u64::MAX - 1;

/// `from` to `to`, both included.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Range {
    /// The least.
    pub from: u16,
    /// The most.
    pub to: u16,
}

impl Range {
    /// Whether a number is in it.
    #[inline(always)]
    pub const fn holds(self, number: u16) -> bool {
        number >= self.from && number <= self.to
    }
}

/// What a packet must look like, all of it, to match.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Signature {
    /// Bytes as they stand in the packet, in two words as the machine reads them; those that do not count are zero.
    pub pattern: [u64; 2],
    /// Which bits of them count.
    pub mask: [u64; 2],
    /// What [`option_kinds`] gives.
    pub tcp_options: u64,
    /// [`field`] bits: what is asked.
    pub fields: u32,
    /// Where the pattern is: see [`field::PAYLOAD`], [`field::PAYLOAD_END`] and [`field::HEADER`].
    pub offset: u16,
    /// Bytes of the pattern, 1 to [`LONGEST_PATTERN`].
    pub pattern_length: u16,
    /// Of the IP packet, its header included.
    pub ip_length: Range,
    /// Of what follows the transport header.
    pub payload_length: Range,
    /// As it stands in the TCP header.
    pub tcp_window: Range,
    /// Time to live or hop limit.
    pub hop_limit: Range,
    /// TCP and UDP; the source port is in one of them. Those that are not needed repeat another.
    pub source_ports: [Range; MAX_SOURCE_RANGES],
    /// The flags that count, and which of these are set.
    pub tcp_flags: [u8; 2],
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// Where what it matches is counted, below [`crate::policy::MAX_SIGNATURES`]: the agent's choice, so that a count stays
    /// with its name wherever the signature stands among the others.
    pub counter: u32,
    /// Zero.
    pub reserved: [u32; 10],
}

// SAFETY: repr(C); 16 + 16 + 8 + 8 + 16 + 16 + 4 + 4 + 40 bytes, no padding.
unsafe impl Plain for Signature {}

const _: () = assert!(size_of::<Signature>() == 128);

/// Entries of the map in which the matches of signatures are counted.
pub const TALLIES: usize = 2 * MAX_SIGNATURES;

/// Where a match is counted: under the signature's counter, dropped and observed ones apart.
#[inline(always)]
pub const fn tally(counter: u32, observed: bool) -> u32 {
    counter * 2 + observed as u32
}

/// How the packet at hand is read.
pub trait Bytes {
    /// `length` bytes (1 to [`LONGEST_PATTERN`]) from `offset` on, which the packet's headers say it has, with zeroes
    /// after them; nothing where they cannot be read.
    fn pattern(&self, offset: u32, length: u32) -> Option<[u64; 2]>;

    /// [`option_kinds`] of the `length` bytes (0 to [`LONGEST_OPTIONS`]) of TCP options from `offset` on.
    fn options(&self, offset: u32, length: u32) -> Option<u64>;
}

impl Signature {
    /// Whether a packet has all that is asked for.
    #[inline(always)]
    pub fn matches(&self, facts: &Facts, layout: &Layout, packet: &impl Bytes) -> bool {
        self.fits(facts, layout) && self.options_fit(layout, packet) && self.bytes_fit(facts, layout, packet)
    }

    #[inline(always)]
    const fn asks(&self, fields: u32) -> bool {
        self.fields & fields != 0
    }

    /// What the headers say.
    #[inline(always)]
    fn fits(&self, facts: &Facts, layout: &Layout) -> bool {
        let with_header = facts.fragment != Fragment::Later;
        if self.asks(field::IP_LENGTH) && !self.ip_length.holds(layout.ip_length)
            || self.asks(field::PAYLOAD_LENGTH) && !self.payload_length.holds(layout.payload_length)
            || self.asks(field::HOP_LIMIT) && !self.hop_limit.holds(u16::from(facts.hop_limit))
        {
            return false;
        }
        if self.asks(field::TCP) {
            let [mask, value] = self.tcp_flags;
            if facts.protocol != protocol::TCP
                || !with_header
                || self.asks(field::TCP_FLAGS) && facts.tcp_flags & mask != value
                || self.asks(field::TCP_WINDOW) && !self.tcp_window.holds(layout.tcp_window)
            {
                return false;
            }
        }
        if self.asks(field::ICMP | field::ICMPV6) {
            let (wanted, family) =
                if self.asks(field::ICMP) { (protocol::ICMP, true) } else { (protocol::ICMPV6, false) };
            if facts.protocol != wanted
                || facts.source.is_v4() != family
                || !with_header
                || facts.icmp_type != self.icmp_type
                || self.asks(field::ICMP_CODE) && facts.icmp_code != self.icmp_code
            {
                return false;
            }
        }
        !self.asks(field::SOURCE_PORTS) || facts.has_ports() && self.comes_from(facts.source_port)
    }

    #[inline(always)]
    const fn comes_from(&self, port: u16) -> bool {
        let [a, b, c, d] = &self.source_ports;
        a.holds(port) || b.holds(port) || c.holds(port) || d.holds(port)
    }

    #[inline(always)]
    fn options_fit(&self, layout: &Layout, packet: &impl Bytes) -> bool {
        if !self.asks(field::TCP_OPTIONS) {
            return true;
        }
        let offset = u32::from(layout.transport_offset) + 20;
        packet.options(offset, u32::from(layout.payload_offset).wrapping_sub(offset))
            == Some(self.tcp_options)
    }

    #[inline(always)]
    fn bytes_fit(&self, facts: &Facts, layout: &Layout, packet: &impl Bytes) -> bool {
        if !self.asks(field::PATTERN) {
            return true;
        }
        let Some(offset) = self.place(facts, layout) else { return false };
        let Some([first, second]) = packet.pattern(offset, u32::from(self.pattern_length)) else {
            return false;
        };
        first & self.mask[0] == self.pattern[0] && second & self.mask[1] == self.pattern[1]
    }

    /// Where in the frame the pattern would stand, if the packet has so many bytes.
    #[inline(always)]
    fn place(&self, facts: &Facts, layout: &Layout) -> Option<u32> {
        let length = u32::from(self.pattern_length);
        let (payload, end) = (
            u32::from(layout.payload_offset),
            u32::from(layout.payload_offset) + u32::from(layout.payload_length),
        );
        let mut least = payload;
        let place = if self.asks(field::PAYLOAD_END) {
            end.checked_sub(u32::from(self.offset))?
        } else if self.asks(field::HEADER) {
            if facts.fragment == Fragment::Later {
                return None;
            }
            least = u32::from(layout.transport_offset);
            least + u32::from(self.offset)
        } else {
            payload + u32::from(self.offset)
        };
        if place >= least && place + length <= end { Some(place) } else { None }
    }
}

/// The kinds of a TCP header's options in their order, one in each byte, the first in the lowest: no two systems write
/// the same ones into their SYNs. No-operations (1) count; what follows the end of the list (0), which pads the header,
/// does not, and nor does the end itself. RFC 9293 section 3.1.
///
/// `length`: how many of the bytes are options, at most [`LONGEST_OPTIONS`].
#[inline(always)]
pub fn option_kinds(options: &[u8; 64], length: u32) -> u64 {
    // Unknown to the compiler, which would take away the masks that show the verifier where indices end.
    let length = core::hint::black_box(length);
    let (mut kinds, mut at, mut count) = (0_u64, 0_u32, 0_u32);
    let mut steps = 0;
    while steps < LONGEST_OPTIONS {
        steps += 1;
        if at >= length {
            return kinds;
        }
        let kind = options[(at & 63) as usize];
        if kind == 0 {
            return kinds;
        }
        let mut size = 1;
        if kind != 1 {
            if at + 1 >= length {
                return OPTIONS_MALFORMED;
            }
            size = u32::from(options[((at + 1) & 63) as usize]);
            if size < 2 || at + size > length {
                return OPTIONS_MALFORMED;
            }
        }
        if count == MAX_OPTION_KINDS as u32 {
            return OPTIONS_TOO_MANY;
        }
        kinds |= u64::from(kind) << ((count * 8) & 63);
        count += 1;
        at += size;
    }
    kinds
}

/// A frame in memory, all of it.
#[cfg(not(target_arch = "bpf"))]
#[derive(Clone, Copy, Debug)]
pub struct Frame<'f>(pub &'f [u8]);

#[cfg(not(target_arch = "bpf"))]
impl Bytes for Frame<'_> {
    fn pattern(&self, offset: u32, length: u32) -> Option<[u64; 2]> {
        let mut bytes = [0; LONGEST_PATTERN];
        let (offset, length) = (offset as usize, length as usize);
        bytes.get_mut(..length)?.copy_from_slice(self.0.get(offset..offset.checked_add(length)?)?);
        Some(words(bytes))
    }

    fn options(&self, offset: u32, length: u32) -> Option<u64> {
        let mut bytes = [0; 64];
        let offset = offset as usize;
        let end = offset.checked_add(length as usize)?;
        bytes.get_mut(..(length as usize).min(LONGEST_OPTIONS))?.copy_from_slice(self.0.get(offset..end)?);
        Some(option_kinds(&bytes, length))
    }
}

/// Sixteen bytes as the two words that a machine reads.
pub fn words(bytes: [u8; LONGEST_PATTERN]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes(rest)]
}
