//! What the kernel at hand does for `xdp(frags)` programs, one feature after the other (`ebpf/src/bin/probe.rs`): every
//! kernel that stopbank supports has all of these, so the program may use them without a probe.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use aya::{
    Ebpf,
    maps::{Array, ArrayOfMaps, MapData, lpm_trie::LpmTrie},
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use libtest_mimic::{Arguments, Trial};
use stopbank_tests::{frames::FrameBuilder, skip};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probe-xdp"));

/// Flags of maps (include/uapi/linux/bpf.h).
const BPF_F_NO_PREALLOC: u32 = 1;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const BPF_F_INNER_MAP: u32 = 1 << 12;

/// `XDP_PASS`.
const PASS: u32 = 2;

/// The program of each feature, and what the feature is.
const FEATURES: [(&str, &str); 23] = [
    ("jiffies", "bpf_jiffies64"),
    ("coarse_clock", "bpf_ktime_get_coarse_ns"),
    ("lookup_tcp_v4", "bpf_skc_lookup_tcp and bpf_sk_release, IPv4"),
    ("lookup_tcp_v6", "bpf_skc_lookup_tcp and bpf_sk_release, IPv6"),
    ("lookup_tcp_state", "the state of a socket that was looked up"),
    ("lookup_udp_v4", "bpf_sk_lookup_udp, IPv4"),
    ("lookup_udp_v6", "bpf_sk_lookup_udp, IPv6"),
    ("cookie_v4", "bpf_tcp_raw_gen_syncookie_ipv4 and bpf_tcp_raw_check_syncookie_ipv4"),
    ("cookie_v6", "bpf_tcp_raw_gen_syncookie_ipv6 and bpf_tcp_raw_check_syncookie_ipv6"),
    ("load_bytes", "bpf_xdp_load_bytes at an offset that the run finds"),
    ("store_bytes", "bpf_xdp_store_bytes"),
    ("adjust_tail", "bpf_xdp_adjust_tail, longer"),
    ("adjust_head", "bpf_xdp_adjust_head, longer"),
    ("checksum", "bpf_csum_diff over the frame"),
    ("trie_in_map", "an LPM trie in an array of maps"),
    ("array_in_map", "an array in an array of maps"),
    ("sizeless_array_in_map", "an array of any size in an array of maps (BPF_F_INNER_MAP)"),
    ("mapped_array_in_map", "an mmapped array in an array of maps (BPF_F_MMAPABLE)"),
    ("call", "BPF-to-BPF calls with the context and the caller's stack"),
    ("tail_call", "a tail call"),
    ("tail_call_beside_call", "a tail call from a program with functions"),
    ("bounded_loop", "bpf_loop"),
    ("plain_loop", "a loop whose bound the run finds"),
];

/// Why no feature can be tried here, if none can.
fn obstacle() -> Option<String> {
    if OBJECT.is_empty() {
        return Some("built without the BPF objects: run `cargo xtask build`".to_owned());
    }
    skip::no_kernel()
}

/// Loads the program of one feature and runs a frame through it.
fn works(name: &str) {
    let mut ebpf = Ebpf::load(OBJECT).unwrap();
    let program: &mut Xdp = ebpf.program_mut(name).unwrap().try_into().unwrap();
    program.load().unwrap_or_else(|error| panic!("the kernel refuses {name}: {error:#}"));
    let frame = FrameBuilder::new("192.0.2.7", "198.51.100.1").udp(40_000, 53).payload(&[9; 40]).build();
    let mut options = TestRunOptions::new();
    options.data_in = Some(&frame);
    let result = program.test_run(options).unwrap();
    assert_eq!(result.return_value, PASS, "{name} loads, and does not do what it should");
}

/// Maps that user space makes take the slots of every map of maps: 6.1 is the strictest about what is equal to what.
fn maps_are_swapped() {
    let mut ebpf = Ebpf::load(OBJECT).unwrap();
    let trie = LpmTrie::<MapData, [u8; 16], u64>::create(64, BPF_F_NO_PREALLOC).unwrap();
    let map = ebpf.map_mut("TRIES").unwrap();
    let mut outer: ArrayOfMaps<_, LpmTrie<MapData, [u8; 16], u64>> = map.try_into().unwrap();
    outer.set(0, &trie, 0).unwrap();
    for (name, entries, flags) in
        [("ARRAYS", 64, 0), ("SIZELESS", 4_096, BPF_F_INNER_MAP), ("MAPPED", 64, BPF_F_MMAPABLE)]
    {
        let array = Array::<MapData, u64>::create(entries, flags).unwrap();
        let map = ebpf.map_mut(name).unwrap();
        let mut outer: ArrayOfMaps<_, Array<MapData, u64>> = map.try_into().unwrap();
        outer.set(0, &array, 0).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Every program of the object is tried.
fn all_are_tried() {
    let ebpf = Ebpf::load(OBJECT).unwrap();
    for (name, _) in ebpf.programs() {
        assert!(FEATURES.iter().any(|(tried, _)| *tried == name), "{name} is tried by no test");
    }
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = FEATURES
        .into_iter()
        .map(|(name, what)| skip::trial(format!("feature: {what}"), obstacle, move || works(name)))
        .collect();
    let swapped = "maps that user space makes are swapped into maps of maps";
    trials.push(skip::trial(swapped, obstacle, maps_are_swapped));
    trials.push(skip::trial("every feature's program is tried", obstacle, all_are_tried));
    libtest_mimic::run(&arguments, trials).exit();
}
