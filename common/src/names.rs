//! Names of the programs, maps and globals in the BPF object; a test without root holds the object against them.

/// The XDP program that judges every packet.
pub const PROGRAM: &str = "stopbank";
/// The tc program that notes what goes out through a gateway.
pub const EGRESS: &str = "stopbank_egress";
/// The XDP program that reads the kernel's clocks, when the agent starts.
pub const READ_CLOCKS: &str = "read_clocks";
/// `Array<[u64; 2], 1>`: what it read.
pub const CLOCKS: &str = "CLOCKS";

/// `ArrayOfMaps<Array<Policy, 1>, 1>`: slot 0 holds the policy in force. Replaced as a whole.
pub const POLICY: &str = "POLICY";
/// `LpmTrie<ListKey, ListEntry>`: dynamic allow, deny and ban entries, IPv4 and IPv6 alike.
pub const LISTS: &str = "LISTS";
/// `Array<exact::Bucket, BUCKETS>`: those of them that are for single addresses, as far as they find room.
pub const LISTS_EXACT: &str = "LISTS_EXACT";
/// `Array<u64, 1>`: what of the lists is in use, bits of [`crate::index`]`::STATE_…`.
pub const LISTS_STATE: &str = "LISTS_STATE";
/// `Array<index::Coarse, 1>`: where there are dynamic entries, while they are too few for an index.
pub const LISTS_COARSE: &str = "LISTS_COARSE";
/// `ArrayOfMaps<Array<u64, FILTER_MAP_WORDS>, 2>`: where the index has anything, a bit for each /24, and a summary of that.
pub const LISTS_FILTER: &str = "LISTS_FILTER";
/// `ArrayOfMaps<Array<u64, PIECE_WORDS>, 2 * PIECES>`: two generations of the index over the list files, in pieces.
pub const LISTS_INDEX: &str = "LISTS_INDEX";
/// `ArrayOfMaps<Array<Leaf, N>, 2>`: its leaves.
pub const LISTS_LEAVES: &str = "LISTS_LEAVES";
/// `ArrayOfMaps<LpmTrie<ListKey, ListEntry>, 2>`: entries of list files that the index cannot tell.
pub const LISTS_LONGER: &str = "LISTS_LONGER";
/// `Array<gcra::Line, lines>`: per-source rate state, fixed in size.
pub const SOURCES: &str = "SOURCES";
/// `Array<flow::FlowLine, lines>`: the flows of the hosts behind a gateway; one line where this host is none.
pub const FLOWS: &str = "FLOWS";
/// `Array<flow::FlowState, 1>`: how large that table is, and until when it is being filled.
pub const FLOWS_STATE: &str = "FLOWS_STATE";
/// `Array<gcra::Line, MAX_CLASSES>`: each class's total budgets.
pub const TOTALS: &str = "TOTALS";
/// `PerCpuArray<Counters>`, indexed by [`crate::counters::slot`].
pub const COUNTERS: &str = "COUNTERS";
/// `PerCpuArray<Tally>`, indexed by [`crate::signature::tally`]: what each signature has matched.
pub const SIGNATURES: &str = "SIGNATURES";
/// `RingBuf`: sampled [`crate::event::Event`]s.
pub const EVENTS: &str = "EVENTS";
/// `HashMap<Address, u64>`: proven sources, and when the proof ends. Written by user space only.
pub const PROVEN: &str = "PROVEN";
/// `Array<u64, 1>`: arrival time of the next event that may be sent.
pub const EVENT_BUDGET: &str = "EVENT_BUDGET";
/// `Array<u64, 1>`: arrival time of the next DHCP message that passes unjudged.
pub const DHCP_BUDGET: &str = "DHCP_BUDGET";
/// `PerCpuArray<u64, 1>`: events that found the ring buffer full.
pub const EVENTS_LOST: &str = "EVENTS_LOST";
/// `Array<u64, N>`: when each listener last had a SYN while others were answered with cookies. Begins anew with each agent.
pub const COOKIE_LISTENERS: &str = "COOKIE_LISTENERS";
/// `PerCpuArray<[u32; N], 1>`: the headers of the SYN that is being answered.
pub const SEGMENT: &str = "SEGMENT";
/// `PerCpuArray<[u64; 8], 1>`: the TCP options that a signature asks for.
pub const OPTIONS: &str = "OPTIONS";
/// `PerCpuArray<u64, 1>`: where in the frame at hand the packet begins that a tunnel carries.
pub const INNER: &str = "INNER";
/// Every map of the BPF object that outlives the agent: pinned by name below the agent's pin directory.
pub const PINNED_MAPS: [&str; 20] = [
    POLICY,
    LISTS,
    LISTS_EXACT,
    LISTS_STATE,
    LISTS_COARSE,
    LISTS_FILTER,
    LISTS_INDEX,
    LISTS_LEAVES,
    LISTS_LONGER,
    SOURCES,
    FLOWS,
    FLOWS_STATE,
    TOTALS,
    PROVEN,
    COUNTERS,
    SIGNATURES,
    EVENTS,
    EVENT_BUDGET,
    DHCP_BUDGET,
    EVENTS_LOST,
];

/// `Array<Kept, 1>`: what the agent must find again after a restart. The agent makes and pins it beside the others; the
/// kernel program does not know it.
pub const KEPT: &str = "KEPT";
/// The XDP program in force, pinned beside the maps: an upgrade that fails puts it back.
pub const PINNED_PROGRAM: &str = "program";

/// Global of aya-log: the level up to which the program logs, 0 for nothing.
pub const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

/// Global of the program: bits of [`crate::simulation`], 0 in a program that protects an interface.
pub const SIMULATION: &str = "SIMULATION";
/// `Array<u64, 1>`: the time of a simulation, in nanoseconds.
pub const SIMULATED_NOW: &str = "SIMULATED_NOW";
/// `Array<simulation::Trace, 1>`: what became of the latest packet of a simulation.
pub const TRACE: &str = "TRACE";
