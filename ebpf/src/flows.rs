//! What belongs to no flow of the hosts behind a gateway. See [`stopbank_common::flow`] for the table.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_UNSPEC},
    btf_maps::Array,
    helpers::generated::bpf_skb_pull_data,
    macros::{btf_map, classifier},
    programs::TcContext,
};
use stopbank_common::{
    Reason,
    flow::{CELLS, FlowLine, FlowState, Row, UNKNOWN, flow_hash, inbound, outbound, units},
    parse::{Cursor, Facts, Fragment, Network, parse, protocol},
    policy::{Policy, ROLE_GATEWAY},
};

use crate::{Packet, cell::MapCell, clock::Clock, policy, simulation, verdict};

/// `BPF_F_MMAPABLE`: whole pages, so that lines are cache lines.
const MMAPABLE: usize = 1 << 10;
/// Bytes that hold the headers of any packet that the parser understands, but for rows of long extension headers.
const HEADERS: u32 = 192;

/// Flows. Only what goes out writes new ones.
#[btf_map]
static FLOWS: Array<FlowLine, 1, MMAPABLE> = Array::new();

#[btf_map]
static FLOWS_STATE: Array<FlowState, 1> = Array::new();

/// A line of the table.
struct MapRow(*mut FlowLine);

impl Row for MapRow {
    type Cell = MapCell;

    #[inline(always)]
    fn at(&self, index: usize) -> MapCell {
        // SAFETY: a map value; the verifier holds the index to it.
        unsafe { MapCell::new((&raw mut (*self.0).cells).cast::<u64>().add(index & (CELLS - 1))) }
    }
}

/// The reason for which the packet is for nobody behind this gateway, if there is one. See [`verdict`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_by_flows(packet: *mut Packet, policy: *const Policy) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return verdict::NONE;
    };
    let facts = &packet.facts;
    if facts.fragment == Fragment::Later {
        return verdict::NONE;
    }
    let reason = match facts.protocol {
        protocol::TCP if !facts.opens_connection() => Reason::NoConnection as u32,
        protocol::UDP if policy.is_amplifier(facts.source_port) => Reason::Amplification as u32,
        _ => return verdict::NONE,
    };
    if simulation::socket() == Some(true) {
        return verdict::NONE;
    }
    let now = packet.clock.rough_ns();
    let hash = flow_hash(&policy.key, &packet.facts);
    let Some(state) = FLOWS_STATE.get(0) else { return verdict::NONE };
    let Some(line) = FLOWS.get_ptr_mut(hash as u32 & state.mask) else { return verdict::NONE };
    if inbound(&MapRow(line), hash, &packet.facts, units(now)) != UNKNOWN {
        return verdict::NONE;
    }
    if now < state.learning_until_ns {
        packet.note(reason);
        return verdict::NONE;
    }
    reason
}

/// Notes what goes out, and leaves it to whatever comes next.
#[classifier]
fn stopbank_egress(ctx: TcContext) -> i32 {
    if let Some(policy) = policy::in_force()
        && policy.role == ROLE_GATEWAY
    {
        note(ctx.skb.skb, policy);
    }
    TC_ACT_UNSPEC
}

#[inline(always)]
fn note(skb: *mut __sk_buff, policy: &Policy) {
    let mut facts = MaybeUninit::<Facts>::uninit();
    if read(skb, facts.as_mut_ptr()) == 0 {
        // Of a packet in several pieces, the kernel may keep the headers out of the first.
        // SAFETY: the kernel's context. Fails where the packet is shorter, and changes nothing then.
        unsafe { bpf_skb_pull_data(skb, HEADERS.min((*skb).len)) };
        if read(skb, facts.as_mut_ptr()) == 0 {
            return;
        }
    }
    // SAFETY: `read` has written all of it.
    let facts = unsafe { facts.assume_init_ref() };
    let noted = match facts.protocol {
        protocol::TCP => true,
        // Only answers from these are ever asked for.
        protocol::UDP => policy.is_amplifier(facts.destination_port),
        _ => false,
    };
    if !noted || facts.fragment == Fragment::Later {
        return;
    }
    let now = Clock::of(policy).rough_ns();
    let hash = flow_hash(&policy.key, facts);
    let Some(state) = FLOWS_STATE.get(0) else { return };
    let Some(line) = FLOWS.get_ptr_mut(hash as u32 & state.mask) else { return };
    outbound(&MapRow(line), hash, facts, units(now));
}

/// Reads the headers of what goes out; 0 if they cannot be read. A global function: see [`verdict`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read(skb: *mut __sk_buff, facts: *mut Facts) -> u32 {
    // SAFETY: the verifier knows that it may be null, and how large it is.
    let Some(facts) = (unsafe { facts.as_mut() }) else { return 0 };
    *facts = Facts::default();
    let ctx = TcContext::new(skb);
    // SAFETY: data and data_end delimit the packet's bytes; the verifier holds every read to them.
    let cursor = unsafe { Cursor::from_range(ctx.data(), ctx.data_end()) };
    u32::from(parse(cursor, ctx.len(), facts) == Ok(Network::Ip))
}
