//! The keyed hash that chooses a source's cells.

use crate::{Address, Plain};

/// Secret of the hash, drawn from the system's random source when the maps are first made. Never logged, never shown.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct HashKey {
    /// Any values; all of them random.
    pub words: [u64; 6],
}

// SAFETY: repr(C), six u64, no padding.
unsafe impl Plain for HashKey {}

/// Hashes a source (already cut to its prefix) and a class to 64 bits.
///
/// Multilinear hashing over 32-bit words with random 64-bit keys is strongly universal (Lemire and Kaser, "Strongly
/// universal string hashing is fast", 2014): whoever does not know the key cannot choose sources that collide more
/// often than chance. A linear hash alone would let one observed collision predict others, and its low bits are weak,
/// so a fixed non-linear bijection (the finaliser of MurmurHash3) follows.
#[inline(always)]
pub const fn source_hash(key: &HashKey, source: &Address, class_salt: u32) -> u64 {
    let (k, w) = (&key.words, &source.words);
    let mut h = k[0]
        .wrapping_add(k[1].wrapping_mul(w[0] as u64))
        .wrapping_add(k[2].wrapping_mul(w[1] as u64))
        .wrapping_add(k[3].wrapping_mul(w[2] as u64))
        .wrapping_add(k[4].wrapping_mul(w[3] as u64))
        .wrapping_add(k[5].wrapping_mul(class_salt as u64));
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// A class's salt: FNV-1a of its name, so that rate state follows the name and not the place in the file.
pub const fn class_salt(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let mut h = 0x811c_9dc5_u32;
    let mut i = 0;
    while i < bytes.len() {
        h = (h ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr};
    use std::vec;

    fn key(seed: u64) -> HashKey {
        let mut x = seed;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            x ^ (x >> 29)
        };
        HashKey { words: [next(), next(), next(), next(), next(), next()] }
    }

    #[test]
    fn consecutive_sources_spread_evenly_over_lines() {
        let (key, lines) = (key(7), 1usize << 12);
        let mut load = vec![0u32; lines];
        let sources = 64 * lines as u32;
        for i in 0..sources {
            let source = Address::from(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + i)));
            load[(source_hash(&key, &source, 1) as usize) & (lines - 1)] += 1;
        }
        // Chi-squared over 4096 lines: mean 4095, standard deviation 90.5; six of those are allowed.
        let chi: f64 = load.iter().map(|&n| (f64::from(n) - 64.0).powi(2) / 64.0).sum();
        assert!((3552.0..4638.0).contains(&chi), "chi-squared {chi}");
    }

    #[test]
    fn key_and_class_both_matter() {
        let source = Address::from(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        assert_ne!(source_hash(&key(1), &source, 1), source_hash(&key(2), &source, 1));
        assert_ne!(source_hash(&key(1), &source, 1), source_hash(&key(1), &source, 2));
        assert_ne!(class_salt("web"), class_salt("dns"));
    }
}
