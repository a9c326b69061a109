//! A deny list as it is commonly written for XDP: one look-up of the source in an LPM trie.
//!
//! As little as such a list can do: IPv4 without VLAN tags, no expiry, no reason, no counter.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{LpmTrie, lpm_trie::Key},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// Prefixes that the list can hold: the benchmark's IPv4 list.
const CAPACITY: usize = 1 << 20;
/// Where the source stands in the frame.
const SOURCE: usize = 26;

#[btf_map]
static LPM_DENY: LpmTrie<u32, u8, CAPACITY> = LpmTrie::new();

/// Drops what is on the list.
#[xdp(frags)]
fn lpm_deny(ctx: XdpContext) -> u32 {
    let at = ctx.data() + SOURCE;
    if at + 4 > ctx.data_end() {
        return xdp_action::XDP_PASS;
    }
    // SAFETY: the bytes are within the frame, and BPF loads need no alignment. Volatile, for the compiler must assume
    // nothing about the address.
    let source = unsafe { core::ptr::with_exposed_provenance::<u32>(at).read_volatile() };
    if LPM_DENY.get(&Key::new(32, source)).is_some() { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}
