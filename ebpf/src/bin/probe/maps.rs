//! Maps in maps.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, LpmTrie, lpm_trie::Key},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::answer;

/// Entries of an inner map whose makers may choose another size.
const ENTRIES: usize = 64;

/// `BPF_F_INNER_MAP`: what is swapped in need not be as large as what it replaces.
const ANY_SIZE: usize = 1 << 12;

/// `BPF_F_MMAPABLE`.
const MAPPABLE: usize = 1 << 10;

#[btf_map]
static TRIES: ArrayOfMaps<LpmTrie<[u8; 16], u64, ENTRIES>, 2> = ArrayOfMaps::new();

#[btf_map]
static ARRAYS: ArrayOfMaps<Array<u64, ENTRIES>, 2> = ArrayOfMaps::new();

#[btf_map]
static SIZELESS: ArrayOfMaps<Array<u64, ENTRIES, ANY_SIZE>, 2> = ArrayOfMaps::new();

#[btf_map]
static MAPPED: ArrayOfMaps<Array<u64, ENTRIES, MAPPABLE>, 2> = ArrayOfMaps::new();

/// Look-ups in a trie in an array of maps; there is none in the slot.
#[xdp(frags)]
fn trie_in_map(_ctx: XdpContext) -> u32 {
    let Some(trie) = TRIES.get(1) else { return answer(true) };
    answer(trie.get(&Key::new(128, [0; 16])).is_none())
}

/// An array in an array of maps.
#[xdp(frags)]
fn array_in_map(_ctx: XdpContext) -> u32 {
    answer(ARRAYS.get_value(1, &3).is_none())
}

/// An array of any size in an array of maps.
#[xdp(frags)]
fn sizeless_array_in_map(_ctx: XdpContext) -> u32 {
    answer(SIZELESS.get_value(1, &3).is_none())
}

/// An array that user space has mapped in an array of maps.
#[xdp(frags)]
fn mapped_array_in_map(_ctx: XdpContext) -> u32 {
    answer(MAPPED.get_value(1, &3).is_none())
}
