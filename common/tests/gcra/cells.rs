//! Which cells of a line a source gets.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stopbank_common::gcra::{CELLS, Dimension};

/// Where each dimension's cells stand: packets 0 to 2, bytes 3 to 5, connections 6 and 7.
fn region(dimension: Dimension) -> std::ops::Range<usize> {
    match dimension {
        Dimension::Packets => 0..3,
        Dimension::Bytes => 3..6,
        Dimension::Connections => 6..CELLS,
    }
}

#[test]
fn every_hash_gets_two_different_cells_of_its_dimension() {
    for dimension in Dimension::ALL {
        let mut pairs = BTreeMap::new();
        // Every value of the bits that choose; the others are covered below.
        for bits in 0..=0xffff_u64 {
            let (first, second) = dimension.cells(bits << 40);
            assert_ne!(first, second);
            assert!(region(dimension).contains(&first) && region(dimension).contains(&second));
            *pairs.entry((first.min(second), first.max(second))).or_insert(0u32) += 1;
        }
        let possible = if dimension == Dimension::Connections { 1 } else { 3 };
        assert_eq!(pairs.len(), possible, "{dimension:?}: every pair is used");
        for (pair, hashes) in pairs {
            let share = f64::from(hashes) / 65_536.0 * f64::from(possible as u32);
            assert!((0.98..1.02).contains(&share), "{dimension:?} {pair:?}: {share} of its share");
        }
    }
}

#[test]
fn every_total_and_every_reserve_has_a_cell_of_its_own() {
    let mut cells: Vec<usize> = Dimension::ALL
        .iter()
        .flat_map(|dimension| [dimension.total_cell(), dimension.reserve_cell()])
        .collect();
    cells.sort_unstable();
    cells.dedup();
    assert_eq!(cells.len(), 6);
    assert!(cells.iter().all(|cell| *cell < CELLS));
}

proptest! {
    #[test]
    fn only_the_bits_above_the_line_choose(hash: u64, below in 0..1u64 << 40, above in 0..1u64 << 8) {
        let other = (hash & 0x00ff_ff00_0000_0000) | below | (above << 56);
        for dimension in Dimension::ALL {
            prop_assert_eq!(dimension.cells(hash), dimension.cells(other));
            let (first, second) = dimension.cells(hash);
            prop_assert!(first < second, "always in the same order: {} {}", first, second);
        }
    }
}
