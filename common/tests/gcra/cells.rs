//! Which cell of a line a source gets.

use proptest::prelude::*;
use stopbank_common::gcra::{CELLS, Dimension};

/// Where each dimension's cells stand: packets 0 to 3, bytes 4 and 5, connections 6 and 7.
fn region(dimension: Dimension) -> std::ops::Range<usize> {
    match dimension {
        Dimension::Packets => 0..4,
        Dimension::Bytes => 4..6,
        Dimension::Connections => 6..CELLS,
    }
}

#[test]
fn every_cell_of_a_dimension_is_picked_as_often_as_the_others() {
    for dimension in Dimension::ALL {
        let mut picked = [0u32; CELLS];
        // Every value of the bits that choose; the others are covered below.
        for bits in 0..=0xffff_u64 {
            picked[dimension.cell(bits << 40)] += 1;
        }
        let region = region(dimension);
        for (cell, hashes) in picked.into_iter().enumerate() {
            let expected = if region.contains(&cell) { 65_536 / region.len() as u32 } else { 0 };
            assert_eq!(hashes, expected, "{dimension:?}, cell {cell}");
        }
    }
}

/// Were it the same bits that choose for packets and for bytes, who shares the one would share the other.
#[test]
fn dimensions_are_chosen_for_apart_from_each_other() {
    let mut seen = std::collections::BTreeSet::new();
    for bits in 0..=0xff_u64 {
        seen.insert(Dimension::ALL.map(|dimension| dimension.cell(bits << 40)));
    }
    assert_eq!(seen.len(), 4 * 2 * 2);
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
            prop_assert_eq!(dimension.cell(hash), dimension.cell(other));
        }
    }
}
