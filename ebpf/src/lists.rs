//! Allow, deny and ban: one look-up, the longest prefix wins.

use aya_ebpf::{
    btf_maps::{LpmTrie, lpm_trie::Key},
    macros::btf_map,
};
use stopbank_common::{
    Address, Reason,
    list::{LIST_CAPACITY, ListEntry, VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
};

use crate::{Packet, clock::Clock, verdict};

/// Written by user space only.
#[btf_map]
static LISTS: LpmTrie<Address, ListEntry, { LIST_CAPACITY as usize }> = LpmTrie::new();

/// How many expired entries, one inside the other, are looked past before the agent has swept them.
const NESTED_EXPIRED: u32 = 4;

/// The reason that the lists give for the packet's source, if they know it. See [`verdict`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_by_lists(packet: *mut Packet) -> u32 {
    // SAFETY: the verifier knows that it may be null, and how large it is.
    let Some(packet) = (unsafe { packet.as_mut() }) else { return verdict::NONE };
    verdict::of(look_up(&packet.facts.source, &mut packet.clock))
}

#[inline(always)]
fn look_up(source: &Address, clock: &mut Clock) -> Option<Reason> {
    let mut prefix_bits = 128;
    for _ in 0..NESTED_EXPIRED {
        let entry = LISTS.get(&Key::new(prefix_bits, *source))?;
        if entry.expires_ns == 0 || entry.expires_ns > clock.rough_ns() {
            return match entry.verdict {
                VERDICT_ALLOW => Some(Reason::Allowed),
                VERDICT_DENY => Some(Reason::Denied),
                VERDICT_BAN => Some(Reason::Banned),
                _ => None,
            };
        }
        // What has expired must not hide a shorter prefix that has not.
        prefix_bits = u32::from(entry.prefix_bits).checked_sub(1)?;
    }
    None
}
