//! One form for IPv4 and IPv6 addresses, so that everything after the parser has one path.

use crate::Plain;

/// An IPv6 address, or an IPv4 address mapped into IPv6 (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2).
///
/// The four words hold the sixteen bytes in network order, as they stand in the packet: a word's value depends on
/// the machine's byte order, its bytes do not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct Address {
    /// Network-order bytes, four at a time.
    pub words: [u32; 4],
}

// SAFETY: repr(C), four u32, no padding.
unsafe impl Plain for Address {}

const _: () = assert!(size_of::<Address>() == 16);

/// The third word of every IPv4-mapped address.
const MAPPED: u32 = 0x0000_ffff_u32.to_be();

impl Address {
    /// An IPv4 address from the four bytes of the packet, read as one word.
    #[inline(always)]
    pub const fn from_v4_word(word: u32) -> Self {
        Self { words: [0, 0, MAPPED, word] }
    }

    /// From sixteen network-order bytes (IPv4 as IPv4-mapped).
    pub const fn from_bytes(b: [u8; 16]) -> Self {
        Self {
            words: [
                u32::from_ne_bytes([b[0], b[1], b[2], b[3]]),
                u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
                u32::from_ne_bytes([b[8], b[9], b[10], b[11]]),
                u32::from_ne_bytes([b[12], b[13], b[14], b[15]]),
            ],
        }
    }

    /// The sixteen network-order bytes.
    #[inline(always)]
    pub const fn to_bytes(self) -> [u8; 16] {
        let [a, b, c, d] = [
            self.words[0].to_ne_bytes(),
            self.words[1].to_ne_bytes(),
            self.words[2].to_ne_bytes(),
            self.words[3].to_ne_bytes(),
        ];
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == MAPPED
    }

    /// Whether this is `0.0.0.0` or `::`.
    #[inline(always)]
    pub const fn is_unspecified(&self) -> bool {
        self.words[0] == 0
            && self.words[1] == 0
            && self.words[3] == 0
            && (self.words[2] == 0 || self.words[2] == MAPPED)
    }

    /// The address with every bit that the mask does not have cleared.
    #[inline(always)]
    pub const fn masked(&self, mask: &Self) -> Self {
        let (a, m) = (&self.words, &mask.words);
        Self { words: [a[0] & m[0], a[1] & m[1], a[2] & m[2], a[3] & m[3]] }
    }

    /// The mask of a prefix of `bits` (0 to 128; an IPv4 prefix of n bits is 96 + n here).
    pub const fn mask(bits: u32) -> Self {
        let mut words = [0u32; 4];
        let mut i = 0;
        while i < 4 {
            let here = bits.saturating_sub(32 * i as u32);
            words[i] = match here {
                0 => 0,
                1..32 => !(u32::MAX >> here),
                _ => u32::MAX,
            }
            .to_be();
            i += 1;
        }
        Self { words }
    }
}

impl From<core::net::IpAddr> for Address {
    fn from(address: core::net::IpAddr) -> Self {
        match address {
            core::net::IpAddr::V4(v4) => Self::from_bytes(v4.to_ipv6_mapped().octets()),
            core::net::IpAddr::V6(v6) => Self::from_bytes(v6.octets()),
        }
    }
}

impl From<Address> for core::net::IpAddr {
    fn from(address: Address) -> Self {
        core::net::Ipv6Addr::from(address.to_bytes()).to_canonical()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["0.0.0.0", "255.255.255.255", "192.0.2.7", "::", "2001:db8::1", "::1"] {
            let ip: IpAddr = text.parse().unwrap();
            let address = Address::from(ip);
            assert_eq!(IpAddr::from(address), ip);
            assert_eq!(address.is_v4(), ip.is_ipv4());
            assert_eq!(Address::from_bytes(address.to_bytes()), address);
        }
    }

    #[test]
    fn two_addresses_are_unspecified() {
        for (text, unspecified) in [
            ("0.0.0.0", true),
            ("::", true),
            ("0.0.0.1", false),
            ("::1", false),
            ("::1:0", false),
            ("1::", false),
        ] {
            assert_eq!(
                Address::from(text.parse::<IpAddr>().unwrap()).is_unspecified(),
                unspecified,
                "{text}"
            );
        }
    }

    #[test]
    fn a_v4_word_is_the_bytes_of_the_packet() {
        let ip: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(Address::from_v4_word(u32::from_ne_bytes([192, 0, 2, 7])), Address::from(ip));
    }

    #[test]
    fn a_mask_has_exactly_its_bits() {
        for bits in 0..=128u32 {
            let expected = if bits == 0 { 0 } else { u128::MAX << (128 - bits) };
            assert_eq!(u128::from_be_bytes(Address::mask(bits).to_bytes()), expected, "/{bits}");
        }
    }
}
