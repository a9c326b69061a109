//! The BPF object against what user space expects of it. Needs no root.

use aya_obj::{Object, generated::bpf_map_type::*};
use stopbank_common::{
    Address,
    counters::{Counters, SLOTS, Tally},
    exact::{BUCKETS, Bucket},
    flow::{FlowLine, FlowState},
    gcra::Line,
    index::{Coarse, PIECES},
    list::{LIST_CAPACITY, ListEntry, ListKey},
    names,
    policy::{MAX_CLASSES, MAX_PROVEN, MAX_SIGNATURES, Policy},
    simulation::Trace,
};

/// The object, or nothing (and a line that says so) where it was not built.
fn object(test: &str) -> Option<Object> {
    if stopbank::object::is_stub() {
        println!("SKIPPED {test}: built without the BPF object: run `cargo xtask build`");
        return None;
    }
    Some(Object::parse(stopbank::object::OBJECT).expect("the object can be read"))
}

#[test]
fn the_object_holds_the_program_and_is_licensed_for_gpl_helpers() {
    let Some(object) = object("the_object_holds_the_program") else { return };
    let mut programs: Vec<_> = object.programs.keys().collect();
    programs.sort();
    assert_eq!(programs, [names::READ_CLOCKS, names::PROGRAM, names::EGRESS]);
    assert_eq!(object.license.to_str().unwrap(), "Dual MIT/GPL");
    let section = format!("{:?}", object.programs[names::PROGRAM].section);
    assert!(section.contains("frags: true"), "native attach at MTU 9000 needs frags: {section}");
}

#[test]
fn the_object_holds_the_maps_that_user_space_knows() {
    let Some(object) = object("the_object_holds_the_maps") else { return };
    let (key, cell) = (4, 8);
    let policy = size_of::<Policy>() as u32;
    let line = size_of::<Line>() as u32;
    let expected = [
        (names::POLICY, BPF_MAP_TYPE_ARRAY_OF_MAPS, key, 4, 1),
        (
            names::LISTS,
            BPF_MAP_TYPE_LPM_TRIE,
            size_of::<ListKey>() as u32,
            size_of::<ListEntry>() as u32,
            LIST_CAPACITY,
        ),
        (names::LISTS_EXACT, BPF_MAP_TYPE_ARRAY, key, size_of::<Bucket>() as u32, BUCKETS as u32),
        (names::LISTS_STATE, BPF_MAP_TYPE_ARRAY, key, cell, 1),
        (names::LISTS_COARSE, BPF_MAP_TYPE_ARRAY, key, size_of::<Coarse>() as u32, 1),
        (names::LISTS_FILTER, BPF_MAP_TYPE_ARRAY_OF_MAPS, key, 4, 2),
        (names::LISTS_INDEX, BPF_MAP_TYPE_ARRAY_OF_MAPS, key, 4, 2 * PIECES as u32),
        (names::LISTS_LEAVES, BPF_MAP_TYPE_ARRAY_OF_MAPS, key, 4, 2),
        (names::LISTS_LONGER, BPF_MAP_TYPE_ARRAY_OF_MAPS, key, 4, 2),
        (names::SOURCES, BPF_MAP_TYPE_ARRAY, key, line, 1),
        (names::FLOWS, BPF_MAP_TYPE_ARRAY, key, size_of::<FlowLine>() as u32, 1),
        (names::FLOWS_STATE, BPF_MAP_TYPE_ARRAY, key, size_of::<FlowState>() as u32, 1),
        (names::TOTALS, BPF_MAP_TYPE_ARRAY, key, line, MAX_CLASSES as u32),
        (names::PROVEN, BPF_MAP_TYPE_HASH, size_of::<Address>() as u32, cell, MAX_PROVEN),
        (names::COUNTERS, BPF_MAP_TYPE_PERCPU_ARRAY, key, size_of::<Counters>() as u32, SLOTS),
        (
            names::SIGNATURES,
            BPF_MAP_TYPE_PERCPU_ARRAY,
            key,
            size_of::<Tally>() as u32,
            2 * MAX_SIGNATURES as u32,
        ),
        (names::EVENTS, BPF_MAP_TYPE_RINGBUF, 0, 0, 256 * 1024),
        (names::EVENT_BUDGET, BPF_MAP_TYPE_ARRAY, key, cell, 1),
        (names::DHCP_BUDGET, BPF_MAP_TYPE_ARRAY, key, cell, 1),
        (names::EVENTS_LOST, BPF_MAP_TYPE_PERCPU_ARRAY, key, cell, 1),
    ];
    assert_eq!(expected.map(|(name, ..)| name), names::PINNED_MAPS);
    for (name, kind, key, value, entries) in expected {
        let map = object.maps.get(name).unwrap_or_else(|| panic!("no map {name}"));
        let found = (map.map_type(), map.key_size(), map.value_size(), map.max_entries());
        assert_eq!(found, (kind as u32, key, value, entries), "{name}");
    }
    // Two for simulations, which are loaded with maps of their own and pin nothing.
    for (name, value) in [(names::SIMULATED_NOW, 8), (names::TRACE, size_of::<Trace>() as u32)] {
        let map = object.maps.get(name).unwrap_or_else(|| panic!("no map {name}"));
        let found = (map.map_type(), map.key_size(), map.value_size(), map.max_entries());
        assert_eq!(found, (BPF_MAP_TYPE_ARRAY as u32, key, value, 1), "{name}");
    }
    // Beyond these: aya-log's ring, the constants, what reads the clocks, and what begins anew with each agent.
    for name in object.maps.keys().filter(|name| !names::PINNED_MAPS.contains(&name.as_str())) {
        let known = [
            "AYA_LOGS",
            names::CLOCKS,
            names::SIMULATED_NOW,
            names::TRACE,
            names::COOKIE_LISTENERS,
            names::SEGMENT,
            names::INNER,
            names::OPTIONS,
        ]
        .contains(&name.as_str());
        assert!(known || name.starts_with(".rodata"), "unexpected map {name}");
    }
    let inner = object.maps[names::POLICY].inner().expect("POLICY has an inner map");
    assert_eq!((inner.map_type(), inner.value_size()), (BPF_MAP_TYPE_ARRAY as u32, policy));
}

/// What an agent finds pinned by an earlier one must mean the same, or have another version. The sizes of inner maps are in
/// no outer one, so that no agent could tell.
#[test]
fn another_layout_has_another_abi_version() {
    let Some(object) = object("another_layout") else { return };
    let mut layout = Vec::new();
    for name in names::PINNED_MAPS {
        let map = &object.maps[name];
        layout.push((map.map_type(), map.key_size(), map.value_size(), map.max_entries()));
        if let Some(map) = map.inner() {
            layout.push((map.map_type(), map.key_size(), map.value_size(), map.max_entries()));
        }
    }
    let written = [
        (12, 4, 4, 1),
        (2, 4, 168_504, 1),
        (11, 20, 16, 1 << 20),
        (2, 4, 64, 1024),
        (2, 4, 8, 1),
        (2, 4, 64, 1),
        (12, 4, 4, 2),
        (2, 4, 8, 1_179_648),
        (12, 4, 4, 1060),
        (2, 4, 8, 4030),
        (12, 4, 4, 2),
        (2, 4, 64, 1),
        (12, 4, 4, 2),
        (11, 20, 16, 1 << 22),
        (2, 4, 64, 1),
        (2, 4, 64, 1),
        (2, 4, 16, 1),
        (2, 4, 64, 64),
        (1, 16, 8, 1 << 16),
        (6, 4, 2048, 512),
        (6, 4, 16, 64),
        (27, 0, 0, 256 * 1024),
        (2, 4, 8, 1),
        (2, 4, 8, 1),
        (6, 4, 8, 1),
    ];
    assert_eq!(
        (stopbank_common::ABI_VERSION, layout.as_slice()),
        (6, written.as_slice()),
        "raise ABI_VERSION, and the numbers in TAKEN_OVER (agent/src/datapath/upgrade.rs) of maps that were changed; then write down what is new"
    );
}

/// The promise that nothing a remote sender does grows memory or evicts another's state: the program has no way to insert
/// into, or delete from, any map.
#[test]
fn the_program_never_calls_a_helper_that_inserts_or_deletes() {
    const BPF_JMP_CALL: u8 = 0x85;
    const FORBIDDEN: [(i32, &str); 5] = [
        (2, "bpf_map_update_elem"),
        (3, "bpf_map_delete_elem"),
        (87, "bpf_map_push_elem"),
        (88, "bpf_map_pop_elem"),
        (107, "bpf_sk_storage_get"),
    ];
    let Some(object) = object("the_program_never_inserts") else { return };
    let mut calls = 0;
    for function in object.functions.values() {
        for instruction in &function.instructions {
            if instruction.code == BPF_JMP_CALL && instruction.src_reg() == 0 {
                calls += 1;
                for (number, helper) in FORBIDDEN {
                    assert_ne!(instruction.imm, number, "{} calls {helper}", function.name);
                }
            }
        }
    }
    assert!(calls > 5, "only {calls} helper calls: is this the right object?");
}
